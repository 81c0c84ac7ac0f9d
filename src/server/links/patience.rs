//! How long is waited on a stream to another server: for the connection, for the negotiation, for
//! an answer; and when one that nobody needs is closed.

use crate::ids::SessionId;
use crate::peers::Pair;
use crate::xmpp::StreamCondition;

use super::super::Server;
use super::bounce::Failure;
use super::outgoing::{Outgoing, Stage};
use super::{Hold, Link, Part};

/// A connection is made within this time, or the next place is tried.
const CONNECT_MS: u64 = 10_000;
/// A stream is good for something within this time, the connection included; a question on it has
/// as long for its answer.
const NEGOTIATION_MS: u64 = 30_000;

impl Server {
    /// When something is due.
    pub(super) fn outgoing_deadline_ms(&self, link: &Link) -> Option<u64> {
        let Part::Outgoing(outgoing) = &link.part else { return None };
        if link.hold == Hold::Connecting {
            return Some(link.began_ms + CONNECT_MS);
        }
        if outgoing.stage != Stage::Open {
            return Some(link.began_ms + NEGOTIATION_MS);
        }
        let asked = outgoing.asked.iter().map(|(_, asked_ms)| asked_ms + NEGOTIATION_MS);
        let questions = outgoing.questions.iter().map(|question| question.due_ms);
        let idle = self.idle_deadline_ms(link, outgoing);
        asked.chain(questions).chain(idle).chain(outgoing.acks.deadline_ms()).min()
    }

    fn idle_deadline_ms(&self, link: &Link, outgoing: &Outgoing) -> Option<u64> {
        let seconds = self.cx.config.s2s.idle_seconds;
        let is_busy = !outgoing.asked.is_empty() || !outgoing.questions.is_empty();
        let passed_ms = link.input_ms.max(outgoing.given_ms);
        (seconds > 0 && !is_busy).then(|| passed_ms + seconds * 1000)
    }

    /// Something is due.
    pub(super) fn outgoing_is_due(&mut self, id: SessionId) {
        let now_ms = self.cx.now.mono_ms;
        let Some(link) = self.links.get(id) else { return };
        let Part::Outgoing(outgoing) = &link.part else { return };
        let is_late = link.hold == Hold::Connecting
            || outgoing.stage != Stage::Open
            || outgoing.acks.deadline_ms().is_some_and(|due_ms| due_ms <= now_ms);
        if is_late {
            self.end_link(id, Some(StreamCondition::ConnectionTimeout.into()));
            return;
        }
        if self.idle_deadline_ms(link, outgoing).is_some_and(|due_ms| due_ms <= now_ms) {
            self.end_link(id, None);
            return;
        }
        self.give_up_asked(id, false);
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        let is_due = |asked: &mut (Pair, u64)| asked.1 + NEGOTIATION_MS <= now_ms;
        let due: Vec<_> = outgoing.asked.extract_if(.., is_due).collect();
        for (pair, _) in due {
            self.pair_is_refused(id, &pair, Failure::Timeout);
        }
        self.end_if_useless(id);
    }
}
