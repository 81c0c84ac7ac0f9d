//! Limits that an owner sets on what is said: how often (slow mode, XEP-0500; so many messages a
//! minute), and how much at once. Admins and owners are free of them.

use super::novelties::SLOW_MODE;
use super::{OBSERVER, ROOMS, Sim};

pub const MESSAGES_PER_MINUTE: &str = "{urn:tercet:room}messages_per_minute";
pub const MESSAGE_BYTES: &str = "{urn:tercet:room}message_bytes";
/// All of them; 0 is no limit.
pub const PACE: [&str; 3] = [SLOW_MODE, MESSAGES_PER_MINUTE, MESSAGE_BYTES];

/// A limit, and what comes of messages one after the other: the milliseconds before each, the bytes
/// that it has besides its text, whether it is within the limit, and else the refusal.
struct Trial {
    limit: (&'static str, &'static str),
    messages: [(u64, usize, bool); 4],
    refusal: &'static str,
    refused: &'static str,
}

const TRIALS: [Trial; 3] = [
    Trial {
        limit: (SLOW_MODE, "5"),
        messages: [(0, 0, true), (0, 0, false), (4_000, 0, false), (1_100, 0, true)],
        refusal: "policy-violation wait",
        refused: "refusals in slow mode",
    },
    // Two at once, and then one every 30 s.
    Trial {
        limit: (MESSAGES_PER_MINUTE, "2"),
        messages: [(0, 0, true), (0, 0, true), (20_000, 0, false), (11_000, 0, true)],
        refusal: "policy-violation wait",
        refused: "refusals of too many",
    },
    Trial {
        limit: (MESSAGE_BYTES, "300"),
        messages: [(0, 0, true), (0, 300, false), (0, 200, true), (0, 5_000, false)],
        refusal: "policy-violation",
        refused: "refusals of too much",
    },
];

impl Sim {
    /// The owner sets a limit for a while, and somebody meets it.
    pub(super) fn slow_down(&mut self, who: usize, room: usize) -> Result<(), String> {
        let jid = ROOMS[room];
        let trial = &TRIALS[self.rng.below(TRIALS.len())];
        let (var, value) = trial.limit;
        let standing = self.standing(who, room);
        let is_exempt = matches!(standing.affiliation.as_str(), "admin" | "owner");
        let role = self.people[who].stays.get(jid).map_or("", |stay| stay.role.as_str());
        let is_able = matches!(role, "participant" | "moderator") && self.fields.contains(var);
        if who == OBSERVER || !is_able || self.is_slowed(room) {
            return Ok(());
        }
        self.submit(OBSERVER, room, &[(var, value)]);
        self.settle()?;
        // Whatever was said under an earlier limit is over.
        self.pass_time(61_000)?;
        let (mut said, mut due) = (Vec::new(), Vec::new());
        for (wait_ms, bytes, is_within) in trial.messages {
            self.pass_time(wait_ms)?;
            let number = self.next_number();
            self.oracle.spoken(&format!("m{number}"), jid, self.people[who].account());
            let make = |id: &str| {
                let body = format!("<body>m{number}</body>");
                let pad = format!("<pad xmlns='urn:example'>{}</pad>", "x".repeat(bytes));
                format!("<message type='groupchat' id='{id}' to='{jid}'>{body}{pad}</message>")
            };
            let Some((outcome, _)) = self.attempt(who, make)? else { break };
            said.push(outcome);
            due.push(if is_within || is_exempt { "result" } else { trial.refusal });
        }
        let is_known = self.ledger.option(jid, var) == Some(value);
        self.submit(OBSERVER, room, &[(var, "0")]);
        self.settle()?;
        if said != due && is_known && !self.is_faulty {
            return Err(format!("{standing:?} with {var} {value}: {said:?}, not {due:?}"));
        }
        if !is_exempt && said == due && said.len() == trial.messages.len() {
            self.oracle.count(trial.refused);
        }
        self.oracle.count("limits met");
        Ok(())
    }
}
