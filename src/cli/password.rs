//! A password from a person, twice and without echo, or one line of standard input when that is
//! not a terminal.
//!
//! While it is typed the terminal gives us every key and turns none into a signal: Ctrl-C is a
//! byte that we read, so the terminal is always put back, without a signal handler.

use std::io::{BufRead, IsTerminal, Read, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// Bytes of a line that are read. The rules for passwords allow fewer, and have words for it.
const LINE_BYTES_MAX: usize = 4096;

/// Asks for a new password for `account`.
pub(super) fn read_new(account: &str) -> Result<String, String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return read_line(&mut stdin.lock());
    }
    let quiet = Quiet::new().map_err(|error| format!("the terminal: {error}"))?;
    let mut keys = stdin.lock();
    let typed = type_line(&mut keys, &format!("Password for {account}: "))
        .and_then(|first| Ok((first, type_line(&mut keys, "The same again: ")?)));
    drop(quiet);
    let (first, second) = typed?;
    if first == second { Ok(first) } else { Err("the two passwords are not the same".to_owned()) }
}

/// One line, without its end.
fn read_line(input: &mut impl BufRead) -> Result<String, String> {
    let mut line = Vec::new();
    input
        .take(LINE_BYTES_MAX as u64 + 1)
        .read_until(b'\n', &mut line)
        .map_err(|error| format!("standard input: {error}"))?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    to_text(line.to_vec())
}

/// One line as it is typed.
fn type_line(keys: &mut impl Read, prompt: &str) -> Result<String, String> {
    let mut screen = std::io::stderr();
    let _ = write!(screen, "{prompt}").and_then(|()| screen.flush());
    let mut line = Line::default();
    let done = loop {
        let mut key = [0];
        match keys.read(&mut key) {
            Ok(0) => break Err("no password".to_owned()),
            Ok(_) => match line.feed(key[0]) {
                Typed::More => {}
                Typed::Line => break to_text(line.bytes),
                Typed::Cancel => break Err("cancelled".to_owned()),
            },
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => break Err(format!("the terminal: {error}")),
        }
    };
    let _ = writeln!(screen);
    done
}

fn to_text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err("the password is too long".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "the password is not UTF-8".to_owned())
}

/// The terminal without echo and without signals, until dropped.
struct Quiet {
    before: Termios,
}

impl Quiet {
    fn new() -> rustix::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(std::io::stdin(), OptionalActions::Drain, &quiet)?;
        Ok(Self { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// The line that is being typed.
#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
}

/// What a key did to it.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    More,
    Line,
    Cancel,
}

impl Line {
    fn feed(&mut self, key: u8) -> Typed {
        match key {
            b'\r' | b'\n' => return Typed::Line,
            // Ctrl-C, Ctrl-\; Ctrl-D on an empty line.
            0x03 | 0x1c => return Typed::Cancel,
            0x04 if self.bytes.is_empty() => return Typed::Cancel,
            0x04 => {}
            // Backspace takes a whole character.
            0x08 | 0x7f => while self.bytes.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            // Ctrl-U begins anew.
            0x15 => self.bytes.clear(),
            // One byte over the limit is kept, so that too long is seen to be too long.
            _ if self.bytes.len() <= LINE_BYTES_MAX => self.bytes.push(key),
            _ => {}
        }
        Typed::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (typed, want) in [
            ("secret\n", Ok("secret")),
            ("secrte\u{8}\u{7f}et\r", Ok("secret")),
            ("aé\u{7f}b\n", Ok("ab")),
            ("\u{7f}\u{7f}x\n", Ok("x")),
            ("wrong\u{15}right\n", Ok("right")),
            ("a\u{4}b\n", Ok("ab")),
            ("\n", Ok("")),
            ("abc\u{3}", Err("cancelled")),
            ("\u{4}", Err("cancelled")),
            ("abc", Err("no password")),
        ] {
            let got = type_line(&mut typed.as_bytes(), "");
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{typed:?}");
        }
    }

    #[test]
    fn lines() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        for (input, want) in [
            (b"secret\nmore".as_slice(), Ok("secret")),
            (b"secret\r\n", Ok("secret")),
            (b" with spaces ", Ok(" with spaces ")),
            (b"", Ok("")),
            (b"\xff\n", Err("the password is not UTF-8")),
            (long.as_bytes(), Err("the password is too long")),
        ] {
            let got = read_line(&mut &*input);
            assert_eq!(got.as_deref().map_err(String::as_str), want);
        }
        let typed = type_line(&mut format!("{long}{long}\n").as_bytes(), "");
        assert_eq!(typed, Err("the password is too long".to_owned()));
    }
}
