//! The client of a running server: one request on the control socket in the data folder, one
//! reply. Blocking, with deadlines; the server's side is in `net/`.
//!
//! A request is `user` and what [`crate::accounts::orders::Order`] reads, `room` and what
//! [`crate::muc::Order`] reads, `announce TEXT`, `invite` or `invite JID`, `status`; then the end
//! of the writing side. A reply is `ok TEXT` or `error TEXT`, read to the end.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::net::CONTROL_SOCKET_FILE;

/// How long the server may take for a step: deriving a key on a slow machine takes a while.
const STEP_SECONDS_MAX: u64 = 30;

/// A reply longer than this is cut: a list of a million accounts fits.
const REPLY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What came of asking a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It did it, and said this.
    Done(String),
    /// It refused, and said this.
    Refused(String),
    /// No server listens there.
    NoServer,
    /// There is one, or something like one, but no answer.
    Silent(String),
}

/// Asks the server of this data folder.
pub(super) fn ask(data: &Path, request: &str) -> Answer {
    let path = data.join(CONTROL_SOCKET_FILE);
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            return Answer::NoServer;
        }
        Err(error) => return Answer::Silent(format!("{}: {error}", path.display())),
    };
    match exchange(&mut stream, request) {
        Ok(reply) => parse_reply(&reply),
        Err(error) => Answer::Silent(format!("{}: {error}", path.display())),
    }
}

fn exchange(stream: &mut UnixStream, request: &str) -> std::io::Result<Vec<u8>> {
    let patience = Some(Duration::from_secs(STEP_SECONDS_MAX));
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    stream.write_all(request.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut reply = Vec::new();
    stream.take(REPLY_BYTES_MAX).read_to_end(&mut reply)?;
    Ok(reply)
}

fn parse_reply(reply: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(reply);
    let (word, rest) = text.split_once([' ', '\n']).unwrap_or((&text, ""));
    match word {
        "ok" => Answer::Done(rest.to_owned()),
        "error" => Answer::Refused(rest.trim_end().to_owned()),
        _ => Answer::Silent("the running server gave no answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::TempFolder;
    use std::os::unix::net::UnixListener;

    #[test]
    fn replies() {
        let done = |text: &str| Answer::Done(text.to_owned());
        assert_eq!(parse_reply(b"ok"), done(""));
        assert_eq!(parse_reply(b"ok\n"), done(""));
        assert_eq!(parse_reply(b"ok a@b\nc@d\n"), done("a@b\nc@d\n"));
        assert_eq!(parse_reply(b"error it is there\n"), Answer::Refused("it is there".to_owned()));
        for bad in [b"".as_slice(), b"okay", b"\xff", b"ERROR x"] {
            assert!(matches!(parse_reply(bad), Answer::Silent(_)), "{bad:?}");
        }
    }

    #[test]
    fn a_request_and_its_reply_cross_the_socket() {
        let folder = TempFolder::new("control");
        assert_eq!(ask(folder.path(), "user list"), Answer::NoServer);
        let listener = UnixListener::bind(folder.path().join(CONTROL_SOCKET_FILE)).expect("bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = String::new();
            stream.read_to_string(&mut request).expect("a request");
            stream.write_all(b"ok added").expect("taken");
            request
        });
        let answer = ask(folder.path(), "user add a@b\nsecret");
        assert_eq!(answer, Answer::Done("added".to_owned()));
        assert_eq!(server.join().expect("ran"), "user add a@b\nsecret");
        // A server that was killed leaves its socket behind.
        assert_eq!(ask(folder.path(), "user list"), Answer::NoServer);
    }
}
