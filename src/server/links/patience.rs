//! How long is waited on a link: one timer for each, and its part says when it is due. Of a stream
//! to another server: for the connection, for the negotiation, for an answer; and when one that
//! nobody needs is closed.

use crate::ids::SessionId;
use crate::peers::Pair;
use crate::timers::TimerKey;
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
    /// Sets the timer of a link, unless one is set that fires before.
    pub(super) fn set_link_timer(&mut self, id: SessionId) {
        let Some(due_ms) = self.link_deadline_ms(id) else { return };
        let Some(link) = self.links.get_mut(id) else { return };
        if link.timer_ms.is_none_or(|set_ms| set_ms > due_ms) {
            link.timer_ms = Some(due_ms);
            self.cx.timers.set(due_ms, TimerKey::Link(id));
        }
    }

    /// When something is due for a link, whatever it is: its part says when.
    fn link_deadline_ms(&self, id: SessionId) -> Option<u64> {
        let link = self.links.get(id).filter(|link| link.hold != Hold::Ended)?;
        match &link.part {
            Part::Incoming(_) => self.incoming_deadline_ms(link),
            Part::Outgoing(_) => self.outgoing_deadline_ms(link),
            Part::Attached(_) => self.attached_deadline_ms(link),
            Part::Upstream(_) => self.upstream_deadline_ms(link),
        }
    }

    /// A timer of a link fired: does what is due, and sets the next one.
    pub(in crate::server) fn handle_link_timer(&mut self, id: SessionId) {
        let now_ms = self.cx.now.mono_ms;
        let Some(link) = self.links.get_mut(id) else { return };
        if link.timer_ms.is_none_or(|due_ms| due_ms > now_ms) {
            return; // An earlier timer has replaced this one.
        }
        link.timer_ms = None;
        if self.link_deadline_ms(id).is_some_and(|due_ms| due_ms <= now_ms) {
            self.begin_chain();
            match self.links.get(id).map(|link| &link.part) {
                Some(Part::Incoming(_)) => self.incoming_is_due(id),
                Some(Part::Outgoing(_)) => self.outgoing_is_due(id),
                Some(Part::Attached(_)) => self.attached_is_due(id),
                Some(Part::Upstream(_)) => self.upstream_is_due(id),
                None => {}
            }
            self.finish_chain();
        }
        self.set_link_timer(id);
    }

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
