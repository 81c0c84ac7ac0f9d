//! Outboxes of managed sessions (XEP-0198) and of clients that nobody looks at (XEP-0352): opening
//! the books, losing the connection, going on with another one, and what becomes of stanzas that
//! were not delivered. Which session that is, and who may go on with it, is decided elsewhere.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::ids::SessionId;

use super::ledger::{Ledger, Undelivered};
use super::{Outbox, Outboxes};

/// While a client is not looked at, more bytes than these do not wait for something urgent.
const HELD_BYTES_MAX: usize = 64 * 1024;
/// Nor more stanzas.
const HELD_STANZAS_MAX: usize = 200;

impl Outbox {
    /// True when what is not urgent waits on.
    pub(super) fn holds_back(&self) -> bool {
        self.is_quiet && self.len <= HELD_BYTES_MAX && self.stanzas_waiting() <= HELD_STANZAS_MAX
    }

    /// The turn is over, for good.
    pub(super) fn settle_turn(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.floor = None;
        }
    }

    /// Takes back what depends on the lost commit from `start` on. What was only moved here from a
    /// lost connection in this turn stays, but is not written: the client has not been told that
    /// its session goes on.
    pub(super) fn roll_back(&mut self, start: u64) {
        match self.ledger.as_ref().and_then(|ledger| ledger.floor) {
            Some(floor) => {
                self.truncate(start.max(floor));
                self.park();
            }
            None => self.truncate(start),
        }
    }
}

impl Outboxes {
    /// Opens the books of a session (§3): they begin after what is queued now. They keep at most
    /// so many written bytes, and as many in all while there is no connection; 0: any number.
    pub fn manage(&mut self, id: SessionId, bytes_max: usize) {
        if let Some(outbox) = self.get_mut(id) {
            outbox.ledger = Some(Box::new(Ledger::new(outbox.end(), bytes_max)));
        }
    }

    /// The same for a stream between servers that goes on from an earlier one: so many of its
    /// stanzas have been acknowledged (§5).
    pub fn manage_from(&mut self, id: SessionId, acknowledged: u32) {
        self.manage(id, 0);
        if let Some(ledger) = self.get_mut(id).and_then(|outbox| outbox.ledger.as_mut()) {
            ledger.begin_at(u64::from(acknowledged));
        }
    }

    /// The connection of a managed session is gone. False: it holds more than it may without one.
    pub fn detach(&mut self, id: SessionId) -> bool {
        let Some(outbox) = self.get_mut(id) else { return false };
        outbox.is_quiet = false;
        let waiting = outbox.len;
        if outbox.cut || outbox.sealed {
            return false;
        }
        outbox.ledger.as_mut().is_some_and(|ledger| {
            ledger.is_detached = true;
            !ledger.is_over(waiting)
        })
    }

    /// A session goes on with the connection of another (§5): what waits for that connection is
    /// written first. Its own stanzas are set aside until [`Self::write_again`], those that the
    /// client has handled excepted.
    pub fn move_to(&mut self, id: SessionId, other: SessionId) {
        let Some(from) = self.get_mut(other) else { return };
        let (tainted, queue) = (from.tainted_at.take().is_some(), from.take_queue());
        let Some(outbox) = self.get_mut(id) else { return };
        outbox.park();
        outbox.handler = (0, 0);
        outbox.sealed = false;
        outbox.is_quiet = false;
        let start = outbox.end();
        outbox.tainted_at = tainted.then_some(start);
        append(outbox, &queue);
        let end = outbox.end();
        if let Some(ledger) = &mut outbox.ledger {
            ledger.reopen(end);
        }
        self.note_push(id);
    }

    /// `<resumed/>` is queued: the stanzas that were set aside follow it.
    pub fn write_again(&mut self, id: SessionId) {
        let Some(outbox) = self.get_mut(id) else { return };
        let Some(ledger) = &mut outbox.ledger else { return };
        let (parked, tainted) = ledger.take_parked();
        let mut floor = None;
        for (index, stanza) in parked.into_iter().enumerate() {
            let start = outbox.end();
            if tainted == Some(index) {
                outbox.tainted_at.get_or_insert(start);
                floor = Some(start);
            }
            outbox.share(&stanza.xml);
            let end = outbox.end();
            outbox.stanza_ends.push_back(end);
            if let Some(ledger) = &mut outbox.ledger {
                ledger.push(start, end, stanza.queued_unix_ms);
            }
        }
        let end = outbox.end();
        if let Some(ledger) = &mut outbox.ledger {
            ledger.floor = Some(floor.unwrap_or(end));
        }
        self.note_push(id);
    }

    /// Takes the stanzas that the client of a session that ends may not have: those that it has not
    /// acknowledged, or, without stream management, those that are not written.
    pub fn take_undelivered(&mut self, id: SessionId) -> Vec<Undelivered> {
        self.get_mut(id).map_or_else(Vec::new, Outbox::take_undelivered)
    }

    /// Whether a client is looked at (XEP-0352). What has waited is written when it is.
    pub fn set_active(&mut self, id: SessionId, is_active: bool) {
        let Some(outbox) = self.get_mut(id) else { return };
        outbox.is_quiet = !is_active;
        if is_active && !outbox.is_empty() && !std::mem::replace(&mut outbox.dirty, true) {
            self.dirty.push_back(id);
        }
    }

    /// The managed sessions that got stanzas in this turn which are about to be written, and that
    /// have not been asked yet what they have handled. They count as asked from here on.
    pub fn ask_managed(&mut self) -> Vec<SessionId> {
        let mut asked = Vec::new();
        for index in 0..self.turn.len() {
            let id = self.turn[index];
            let Some(outbox) = self.get_mut(id).filter(|outbox| outbox.dirty) else { continue };
            if outbox.sealed || outbox.cut || outbox.stanzas_unacknowledged() == 0 {
                continue;
            }
            let Some(ledger) = &mut outbox.ledger else { continue };
            if !ledger.is_detached && !std::mem::replace(&mut ledger.is_asked, true) {
                asked.push(id);
            }
        }
        asked
    }

    /// A session is to be asked at the end of this turn, though it got nothing in it.
    pub fn ask_soon(&mut self, id: SessionId) {
        self.note_push(id);
    }

    /// Sessions without a connection that hold more than they may, since the last call.
    pub fn take_overflowed(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.overflowed)
    }

    /// Moves stanzas from a queue that no connection empties to an outbox, the oldest first, as
    /// long as less than `bytes_max` waits there. True when nothing is left.
    pub fn forward(&mut self, queue: SessionId, to: SessionId, bytes_max: usize) -> bool {
        loop {
            match self.get(to) {
                Some(outbox) if outbox.len < bytes_max && !outbox.sealed && !outbox.cut => {}
                _ => return self.get(queue).is_none_or(Outbox::is_empty),
            }
            let Some(stanza) = self.get_mut(queue).and_then(Outbox::pop_stanza) else {
                return true;
            };
            self.stanzas_forwarded += 1;
            self.push_written(to, &stanza);
        }
    }

    /// Takes the oldest stanza of a queue that no connection empties.
    pub fn take_first(&mut self, queue: SessionId) -> Option<Bytes> {
        self.get_mut(queue).and_then(Outbox::pop_stanza)
    }

    /// Something was put into a queue in this turn.
    fn note_push(&mut self, id: SessionId) {
        let Some(outbox) = self.get_mut(id) else { return };
        let (bytes, is_new) = (outbox.len, !std::mem::replace(&mut outbox.dirty, true));
        self.kept_bytes_max = self.kept_bytes_max.saturating_add(bytes);
        self.turn.push(id);
        if is_new {
            self.dirty.push_back(id);
        }
    }
}

fn append(outbox: &mut Outbox, chunks: &VecDeque<Bytes>) {
    chunks.iter().for_each(|chunk| outbox.share(chunk));
}
