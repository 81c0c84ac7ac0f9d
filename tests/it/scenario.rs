//! Reads a script (`*.scs`, tests/scenarios/README.md) into steps. What a step means is the
//! player's business.

use std::path::{Path, PathBuf};

use crate::sasl::Mechanism;

/// An account that takes part.
#[derive(Clone, Debug)]
pub struct Role {
    pub name: String,
    /// `user@domain`, with `/resource` when the script wants one.
    pub jid: String,
    pub password: String,
    pub mechanism: Option<Mechanism>,
    /// Logs in by XEP-0388, over TLS, and binds by XEP-0386.
    pub is_sasl2: bool,
    /// Attaches by XEP-0114: `jid` is its domain, `password` the secret.
    pub is_component: bool,
    /// False for somebody who has no account yet, and a component that the server does not know.
    pub has_account: bool,
}

/// What somebody does or expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Logs in.
    Connects,
    /// Logs in by XEP-0388 with these elements in `<authenticate/>`.
    ConnectsWith(String),
    /// Tries to log in; SASL refuses with this condition.
    CannotConnect(String),
    /// Logs in and leaves binding, or resuming, to the script.
    LogsIn,
    /// Opens a connection and leaves the rest to the script.
    Opens,
    /// The same from the features of a stream over TLS on.
    OpensSecureStream,
    /// Sends stanzas.
    Sends(String),
    /// Sends bytes.
    SendsRaw(String),
    /// Switches to TLS after `<proceed/>`.
    StartsTls,
    /// Waits for a stanza; others are passed over.
    Receives(String),
    /// The very next stanza.
    ReceivesNext(String),
    /// A fence: whatever was caused so far has not brought anything that the script has not named.
    ReceivesNothing,
    /// A fence: whatever was caused so far has come; what came is of no interest.
    CatchesUp,
    /// A fence: whatever was caused so far has not brought such a stanza.
    DoesNotReceive(String),
    /// `</stream:stream>`, with a stream error before it or without one, then the end.
    StreamEnds(Option<String>),
    /// The transport ends.
    IsDisconnected,
    /// Sends `</stream:stream>`, and waits for the server's.
    Disconnects,
    /// Cuts the connection.
    Drops,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Act(usize, Act),
    TimePasses(u64),
    ShutsDown,
    Exits(i32),
    Restarts,
}

/// A script.
#[derive(Debug)]
pub struct Scenario {
    pub path: PathBuf,
    /// What `# Proves:` says.
    pub proves: Vec<String>,
    /// What `# drivers:` says; empty: all.
    pub drivers: Vec<String>,
    /// What `# config:` says, as TOML.
    pub config: String,
    pub roles: Vec<Role>,
    /// Line, what the line says, step.
    pub steps: Vec<(usize, String, Step)>,
}

impl Scenario {
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::parse(path, &text)
    }

    pub fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let mut scenario = Self {
            path: path.to_owned(),
            proves: Vec::new(),
            drivers: Vec::new(),
            config: String::new(),
            roles: Vec::new(),
            steps: Vec::new(),
        };
        let lines: Vec<&str> = text.lines().collect();
        let mut index = 0;
        let mut in_dialogue = false;
        while index < lines.len() {
            let (number, line) = (index + 1, lines[index].trim_end());
            index += 1;
            let at = |why: String| format!("{}:{number}: {why}", path.display());
            if let Some(comment) = line.strip_prefix('#') {
                scenario.header(comment.trim());
            } else if line.starts_with("-----") {
                in_dialogue = true;
            } else if line.is_empty() {
            } else if in_dialogue {
                let block_end = block_end(&lines, index);
                let block = dedent(&lines[index..block_end]);
                index = block_end;
                let step = scenario.step(line, block).map_err(at)?;
                scenario.steps.push((number, line.to_owned(), step));
            } else {
                scenario.role(line).map_err(at)?;
            }
        }
        Ok(scenario)
    }

    /// True when only a driver with a fake clock can play it.
    pub fn needs_fake_clock(&self) -> bool {
        self.steps.iter().any(|(_, _, step)| matches!(step, Step::TimePasses(_)))
    }

    /// True when the data must outlive the server.
    pub fn restarts(&self) -> bool {
        self.steps.iter().any(|(_, _, step)| matches!(step, Step::Restarts))
    }

    fn header(&mut self, comment: &str) {
        if let Some(sections) = comment.strip_prefix("Proves:") {
            self.proves.extend(sections.split(',').map(|section| section.trim().to_owned()));
        } else if let Some(names) = comment.strip_prefix("drivers:") {
            self.drivers.extend(names.split(',').map(|name| name.trim().to_owned()));
        } else if let Some(toml) = comment.strip_prefix("config:") {
            self.config.push_str(toml.trim());
            self.config.push('\n');
        }
    }

    fn role(&mut self, line: &str) -> Result<(), String> {
        let client = line.strip_prefix("[Client]");
        if let Some(name) = client.or_else(|| line.strip_prefix("[Component]")) {
            self.roles.push(Role {
                name: name.trim().to_owned(),
                jid: String::new(),
                password: String::new(),
                mechanism: None,
                is_sasl2: false,
                is_component: client.is_none(),
                has_account: true,
            });
            return Ok(());
        }
        let role = self.roles.last_mut().ok_or("a key outside of [Client]")?;
        let (key, value) = line.trim().split_once(':').ok_or("neither key nor [Client]")?;
        let value = value.trim();
        match key {
            "jid" => role.jid = value.to_owned(),
            "password" => role.password = value.to_owned(),
            "login" if value == "sasl2" => role.is_sasl2 = true,
            "account" => role.has_account = value != "none",
            "mechanism" => {
                role.mechanism = Some(Mechanism::parse(value).ok_or("unknown mechanism")?);
            }
            _ => return Err(format!("unknown key {key}")),
        }
        Ok(())
    }

    fn step(&self, line: &str, block: String) -> Result<Step, String> {
        if line == "server shuts down" {
            return Ok(Step::ShutsDown);
        } else if line == "server restarts" {
            return Ok(Step::Restarts);
        } else if let Some(code) = line.strip_prefix("server exits with ") {
            return code.parse().map(Step::Exits).map_err(|_| "no exit code".to_owned());
        } else if let Some(time) = line.strip_prefix("time passes: ") {
            return duration_ms(time).map(Step::TimePasses);
        }
        let (name, act) = line.split_once([' ', '\'']).ok_or("no step")?;
        let role = self.roles.iter().position(|role| role.name == name);
        let role = role.ok_or_else(|| format!("who is {name}?"))?;
        let act = match act {
            "connects" | "attaches" => Act::Connects,
            "logs in" => Act::LogsIn,
            "connects with:" => Act::ConnectsWith(need(block)?),
            "opens a connection" => Act::Opens,
            "opens a secure stream" => Act::OpensSecureStream,
            "starts TLS" => Act::StartsTls,
            "disconnects" => Act::Disconnects,
            "drops" => Act::Drops,
            "is disconnected" => Act::IsDisconnected,
            "receives nothing" => Act::ReceivesNothing,
            "catches up" => Act::CatchesUp,
            "s stream ends" => Act::StreamEnds(None),
            "sends:" => Act::Sends(need(block)?),
            "sends raw:" => Act::SendsRaw(need(block)?),
            "receives:" => Act::Receives(need(block)?),
            "receives next:" => Act::ReceivesNext(need(block)?),
            "does not receive:" => Act::DoesNotReceive(need(block)?),
            _ => {
                if let Some(condition) = act.strip_prefix("s stream ends with ") {
                    Act::StreamEnds(Some(condition.to_owned()))
                } else if let Some(condition) = refused(act) {
                    Act::CannotConnect(condition.to_owned())
                } else {
                    return Err(format!("unknown step: {line}"));
                }
            }
        };
        Ok(Step::Act(role, act))
    }
}

/// Who cannot log in, or attach, and why.
fn refused(act: &str) -> Option<&str> {
    act.strip_prefix("cannot connect: ").or_else(|| act.strip_prefix("cannot attach: "))
}

fn need(block: String) -> Result<String, String> {
    if block.is_empty() { Err("an indented block must follow".to_owned()) } else { Ok(block) }
}

/// Indented and empty lines from `start` on.
fn block_end(lines: &[&str], start: usize) -> usize {
    let is_block = |line: &&str| line.trim().is_empty() || line.starts_with([' ', '\t']);
    start + lines[start..].iter().take_while(|line| is_block(line)).count()
}

/// The lines without their indentation and without empty ones at the end.
fn dedent(lines: &[&str]) -> String {
    let text: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    text.join("\n").trim_end().to_owned()
}

fn duration_ms(text: &str) -> Result<u64, String> {
    let (count, unit) = text.split_once(' ').ok_or("a duration is a number and a unit")?;
    let count: u64 = count.parse().map_err(|_| format!("no number: {count}"))?;
    match unit.trim_end_matches('s') {
        "m" | "millisecond" => Ok(count),
        "second" => Ok(count * 1000),
        "minute" => Ok(count * 60_000),
        _ => Err(format!("unknown unit {unit}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
# A title
# Proves: XEP-0045 §7.2.5, WIRE 8
# drivers: whole
# config: limits.rooms = 1

[Client] Romeo
\tjid: user@localhost/phone
\tpassword: password

-----
Romeo connects

# a comment in between
Romeo sends:
\t<presence
\t\tto='a'/>

\t<presence/>

Romeo's stream ends with conflict
time passes: 5 minutes
";

    #[test]
    fn a_script_is_read() {
        let scenario = Scenario::parse(Path::new("x.scs"), SCRIPT).expect("a script");
        assert_eq!(scenario.proves, ["XEP-0045 §7.2.5", "WIRE 8"]);
        assert_eq!(scenario.drivers, ["whole"]);
        assert_eq!(scenario.config, "limits.rooms = 1\n");
        assert_eq!(scenario.roles[0].jid, "user@localhost/phone");
        let steps: Vec<_> =
            scenario.steps.into_iter().map(|(line, _, step)| (line, step)).collect();
        let sent = "<presence\nto='a'/>\n\n<presence/>".to_owned();
        let want = [
            (11, Step::Act(0, Act::Connects)),
            (14, Step::Act(0, Act::Sends(sent))),
            (20, Step::Act(0, Act::StreamEnds(Some("conflict".to_owned())))),
            (21, Step::TimePasses(300_000)),
        ];
        assert_eq!(steps, want);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let check = |script: &str, want: &str| {
            let error = Scenario::parse(Path::new("x.scs"), script).expect_err("a mistake");
            assert_eq!(error, want);
        };
        check("[Client] A\n-----\nA dances", "x.scs:3: unknown step: A dances");
        check("-----\n\nB connects", "x.scs:3: who is B?");
        check("[Client] A\n-----\nA sends:\nA connects", "x.scs:3: an indented block must follow");
        check("jid: x", "x.scs:1: a key outside of [Client]");
    }
}
