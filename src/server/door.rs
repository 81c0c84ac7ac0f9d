//! The door of the large rooms. Who joins a room of N is told of N occupants, and each of them of
//! it: of a crowd that comes at once, all the clients that read would soon have more waiting than
//! all outboxes may hold, and be cut for it. So joins wait while much waits to be written, and are
//! let in at the pace at which the clients read.
//!
//! A session whose next stanza is such a join is not read on before that is handled: what one
//! session sends keeps its order. The join is not counted as handled before it is (XEP-0198 §4): a
//! session that loses its connection at the door is kept like any other, and its client sends the
//! join again when it is back. Who waits is let in in the order of asking, and with them wait
//! only joins into rooms that are as large. Clients that do not read hold nobody up for long: when
//! nobody was let in for [`PATIENCE_MS`] the next one is, regardless, and whoever has still not
//! read what waited for it when patience ended the last time is cut, the largest outbox first,
//! until there is room. At the shutdown nobody waits: a join that would have to is refused.

use std::collections::BTreeMap;

use crate::ids::{SessionId, Target};
use crate::muc;
use crate::xmpp::Stanza;

use super::Server;
use super::session::Hold;

/// Clients that do not read hold joins up for so long.
const PATIENCE_MS: u64 = 5_000;

/// Who waits to be let in: each session once at most.
#[derive(Default)]
pub(super) struct Door {
    /// The joins, in the order in which they came.
    waiting: BTreeMap<u64, (SessionId, Stanza)>,
    /// The number of the next.
    next_ticket: u64,
    /// Somebody waits, and nobody was let in since then.
    stalled_ms: Option<u64>,
    /// Patience has ended in this turn.
    is_patience_over: bool,
    /// Somebody was let in when there was room the last time, so that others come first now.
    was_served: bool,
}

impl Door {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// A session that waited is over.
    pub(super) fn forget(&mut self, ticket: u64) {
        self.waiting.remove(&ticket);
    }
}

impl Server {
    /// True when a stanza is a join that has to wait.
    pub(super) fn must_wait(&self, stanza: &Stanza) -> bool {
        self.muc.is_join_into_crowd(stanza)
            && (!self.door.waiting.is_empty() || self.cx.is_crowded())
    }

    /// A session is not read on until its join was handled.
    pub(super) fn wait_at_door(&mut self, id: SessionId, stanza: Stanza) {
        if self.drain.has_begun() {
            self.reply_error(Target::Local(id), &stanza, muc::refusal_of_join());
            self.count_handled(id);
            return;
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.hold = Hold::Door;
        session.ticket = Some(self.door.next_ticket);
        self.door.waiting.insert(self.door.next_ticket, (id, stanza));
        self.door.next_ticket += 1;
        self.door.stalled_ms.get_or_insert(self.cx.now.mono_ms);
    }

    /// Once a turn: what rooms have to tell to many, news and newcomers. Who was served first the
    /// last time comes second now.
    pub(super) fn tell_crowds(&mut self) {
        let joins_first = !self.door.was_served;
        self.door.was_served = joins_first && self.let_in();
        if self.muc.has_backlog() {
            self.begin_chain();
            self.muc.tell_backlog(&mut self.cx);
            self.finish_chain();
        }
        if !joins_first {
            self.let_in();
        }
    }

    /// Lets in who waits, one at least when there is room, and no more than the turn has room
    /// for; true when somebody was.
    fn let_in(&mut self) -> bool {
        let now_ms = self.cx.now.mono_ms;
        let is_over = |since_ms: u64| now_ms >= since_ms + PATIENCE_MS;
        let is_patience_over = self.door.stalled_ms.is_some_and(is_over);
        self.door.is_patience_over |= is_patience_over;
        let mut has_let_in = false;
        while let Some(entry) = self.door.waiting.first_entry() {
            let is_urgent = is_patience_over && !has_let_in;
            if !is_urgent && self.cx.is_crowded() || has_let_in && self.cx.out.is_congested() {
                break;
            }
            let (id, stanza) = entry.remove();
            self.open_door(id);
            self.begin_chain();
            self.handle_one(Target::Local(id), stanza);
            self.count_handled(id);
            self.finish_chain();
            has_let_in = true;
            self.door.stalled_ms = Some(now_ms);
        }
        if self.door.waiting.is_empty() {
            self.door.stalled_ms = None;
        }
        has_let_in
    }

    /// The connection that a join came by is lost: the join is forgotten, since it comes again.
    pub(super) fn leave_door(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if let Some(ticket) = session.ticket.take() {
            self.door.forget(ticket);
            session.hold = Hold::None;
        }
    }

    /// The session is read on.
    fn open_door(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.hold = Hold::None;
        session.ticket = None;
        session.input_ms = self.cx.now.mono_ms; // It could not show that it is there.
        self.set_timer(id);
        self.resume(id);
    }

    /// The shutdown begins: nobody waits any more.
    pub(super) fn clear_door(&mut self) {
        for (id, stanza) in std::mem::take(&mut self.door.waiting).into_values() {
            self.open_door(id);
            self.begin_chain();
            self.reply_error(Target::Local(id), &stanza, muc::refusal_of_join());
            self.count_handled(id);
            self.finish_chain();
        }
        self.door.stalled_ms = None;
    }

    /// After the writes: cuts who holds the others up when patience has ended.
    pub(super) fn cut_laggards(&mut self) {
        if std::mem::take(&mut self.door.is_patience_over) {
            self.cx.out.cut_laggards(self.cx.crowded_bytes());
        }
    }

    /// When [`Self::tell_crowds`] wants to be called for those who wait.
    pub(super) fn door_due_ms(&self) -> Option<u64> {
        let stalled_ms = self.door.stalled_ms?;
        let is_open = !self.cx.is_crowded();
        Some(if is_open { self.cx.now.mono_ms } else { stalled_ms + PATIENCE_MS })
    }
}
