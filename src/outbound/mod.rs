//! What waits to be written: one outbox per session, and what is true of all of them together.
//!
//! A stanza is serialised once per audience into an [`Envelope`] and pushed to each recipient:
//! small ones are copied into the outbox's open tail, large ones shared. Handlers only push; the
//! reactor takes the bytes at the end of the turn, after the storage commit. It is not a place for
//! decisions about recipients: blocked, absent, allowed are decided before.

use std::collections::VecDeque;

use bytes::Bytes;
use slab::Slab;

use crate::ids::SessionId;
use crate::xml::writer::{escape_attr, write_element};
use crate::xml::{self, Element};
use crate::xmpp::{Jid, PresenceType, Stanza, StanzaKind, ns};

mod ledger;
mod managed;
mod outbox;
#[cfg(test)]
mod tests;
mod urgency;

pub use ledger::{TooHigh, Undelivered};
pub use outbox::Outbox;

use urgency::is_urgent;

/// From this size on the tail of an envelope is shared instead of copied (bench `fanout`).
const SHARED_BYTES_MIN: usize = 768;
/// Output of one turn after which no further input is taken in that turn.
const TURN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A stanza serialised once for many recipients, split where their address goes.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// `<message from='…' type='groupchat'`
    head: Bytes,
    /// `>…</message>`
    tail: Bytes,
    /// It is not held back for a client that nobody looks at (XEP-0352).
    is_urgent: bool,
}

impl Envelope {
    /// Serialises everything of the stanza but its `to`.
    pub fn new(stanza: &Stanza) -> Self {
        let mut bytes = Vec::with_capacity(256);
        stanza.write_head(&mut bytes);
        let split = bytes.len();
        stanza.write_tail(&mut bytes);
        let mut head = Bytes::from(bytes);
        let tail = head.split_off(split);
        Self { head, tail, is_urgent: is_urgent(stanza) }
    }

    /// The same of a stanza without children, with a payload that is serialised already.
    pub fn with_xml(stanza: &Stanza, xml: &str) -> Self {
        let mut head = Vec::with_capacity(128);
        stanza.write_head(&mut head);
        let tail = format!(">{xml}</{}>", stanza.kind.name());
        Self { head: head.into(), tail: tail.into(), is_urgent: true }
    }

    /// Bytes of the stanza without its `to`.
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Characters of the stanza without its `to`.
    pub fn chars_count(&self) -> usize {
        let count = |bytes: &[u8]| bytes.iter().filter(|&byte| byte & 0xC0 != 0x80).count();
        count(&self.head) + count(&self.tail)
    }

    /// The stanza without its `to`.
    pub fn to_vec(&self) -> Vec<u8> {
        [&*self.head, &*self.tail].concat()
    }

    /// The available presence that this is, without `to`: for whoever has kept it of `from`.
    pub fn to_presence(&self, from: &Jid) -> Option<Stanza> {
        let element = xml::read_fragment(&self.to_vec(), ns::CLIENT).pop()?;
        let kind = StanzaKind::Presence(PresenceType::Available);
        let mut stanza = Stanza::new(kind, from.clone(), None);
        stanza.id = element.attr("id").map(str::to_owned);
        stanza.lang = element.lang().map(str::to_owned);
        stanza.children = element.children;
        Some(stanza)
    }

    /// The same stanza with one more child at its end; `name` is that of the stanza. Panics when
    /// the stanza has no children.
    pub fn with_last_child(&self, name: &str, child: &Element) -> Self {
        let end = self.tail.len().checked_sub(name.len() + 3).expect("a stanza with children");
        let mut tail = Vec::with_capacity(self.tail.len() + 128);
        tail.extend_from_slice(&self.tail[..end]);
        write_element(&mut tail, child, ns::CLIENT);
        tail.extend_from_slice(&self.tail[end..]);
        Self { head: self.head.clone(), tail: tail.into(), is_urgent: self.is_urgent }
    }

    /// Never: an element has a name.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// ` to='…'`, escaped once for the life of a session or a seat.
pub fn to_attribute(jid: &Jid) -> Bytes {
    let mut bytes = Vec::with_capacity(jid.as_str().len() + 6);
    bytes.extend_from_slice(b" to='");
    escape_attr(&mut bytes, jid.as_str());
    bytes.push(b'\'');
    bytes.into()
}

/// What is pushed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pushed {
    /// No stanza.
    Raw,
    /// A stanza that may be held back.
    Stanza,
    /// A stanza that may not.
    UrgentStanza,
}

impl Pushed {
    fn stanza(is_urgent: bool) -> Self {
        if is_urgent { Self::UrgentStanza } else { Self::Stanza }
    }
}

/// All outboxes, and the session handles, which are allocated here.
pub struct Outboxes {
    slots: Slab<(u32, Outbox)>,
    generation: u32,
    /// Sessions with something to write that the reactor has not been told of.
    dirty: VecDeque<SessionId>,
    /// Sessions whose outbox went over its limit, to be cut by the server.
    cut: Vec<SessionId>,
    /// Sessions pushed to in this turn.
    turn: Vec<SessionId>,
    /// How many of `turn` had been pushed to when the current handler began.
    handler_start: usize,
    /// The number of the current handler, over the server's life.
    handler: u64,
    /// Bytes pushed in this turn.
    turn_bytes: usize,
    /// No fewer bytes than are kept in all outboxes: what is gone is taken off only when somebody
    /// needs to know exactly, so that a turn need not look at every session.
    kept_bytes_max: usize,
    /// `limits.outbox_bytes`; `usize::MAX` when off.
    outbox_bytes_max: usize,
    /// Sessions without a connection that hold more than they may: the server is to end them.
    overflowed: Vec<SessionId>,
    /// The time by the wall clock.
    now_unix_ms: i64,
    /// Stanzas lost because their session was cut, over the server's life.
    pub stanzas_dropped: u64,
    /// Stanzas moved from a queue to a stream with a server, over the server's life.
    pub stanzas_forwarded: u64,
}

impl Outboxes {
    /// No session; a limit of 0 is none.
    pub fn new(outbox_bytes_max: usize) -> Self {
        let mut outboxes = Self {
            slots: Slab::new(),
            generation: 0,
            dirty: VecDeque::new(),
            cut: Vec::new(),
            turn: Vec::new(),
            handler_start: 0,
            handler: 1,
            turn_bytes: 0,
            kept_bytes_max: 0,
            outbox_bytes_max: 0,
            overflowed: Vec::new(),
            now_unix_ms: 0,
            stanzas_dropped: 0,
            stanzas_forwarded: 0,
        };
        outboxes.set_limit(outbox_bytes_max);
        outboxes
    }

    /// Changes the limit of each outbox (a reload); 0 is none.
    pub fn set_limit(&mut self, outbox_bytes_max: usize) {
        self.outbox_bytes_max = if outbox_bytes_max == 0 { usize::MAX } else { outbox_bytes_max };
    }

    /// A new session with an empty outbox.
    pub fn open(&mut self) -> SessionId {
        self.generation = self.generation.wrapping_add(1);
        let index = self.slots.insert((self.generation, Outbox::default()));
        SessionId { index: index as u32, generation: self.generation }
    }

    /// Ends the session; what waits is lost.
    pub fn close(&mut self, id: SessionId) {
        if self.get(id).is_some() {
            self.slots.remove(id.index as usize);
        }
    }

    /// Sessions that exist.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True without sessions.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The outbox of a session.
    pub fn get(&self, id: SessionId) -> Option<&Outbox> {
        let (generation, outbox) = self.slots.get(id.index as usize)?;
        (*generation == id.generation).then_some(outbox)
    }

    /// The outbox of a session.
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Outbox> {
        let (generation, outbox) = self.slots.get_mut(id.index as usize)?;
        (*generation == id.generation).then_some(outbox)
    }

    /// Pushes a serialised stanza to the session that `to` (of [`to_attribute`]) names.
    pub fn push_envelope(&mut self, id: SessionId, envelope: &Envelope, to: &[u8]) {
        let what = Pushed::stanza(envelope.is_urgent);
        self.push_with(id, envelope.len() + to.len(), what, |outbox| {
            let is_shared = envelope.tail.len() >= SHARED_BYTES_MIN;
            let tail_bytes = if is_shared { 0 } else { envelope.tail.len() };
            outbox.open.reserve(envelope.head.len() + to.len() + tail_bytes);
            outbox.copy(&envelope.head);
            outbox.copy(to);
            if is_shared {
                outbox.share(&envelope.tail);
            } else {
                outbox.copy(&envelope.tail);
            }
        });
    }

    /// Pushes one stanza, as it stands.
    pub fn push_stanza(&mut self, id: SessionId, stanza: &Stanza) {
        let mut bytes = Vec::with_capacity(256);
        stanza.write(&mut bytes);
        let what = Pushed::stanza(is_urgent(stanza));
        self.push_with(id, bytes.len(), what, |outbox| outbox.copy(&bytes));
    }

    /// Pushes one message that was serialised, with its `to`, at another time.
    pub fn push_written(&mut self, id: SessionId, bytes: &[u8]) {
        self.push_with(id, bytes.len(), Pushed::stanza(true), |outbox| outbox.copy(bytes));
    }

    /// Pushes bytes that are no stanza: stream header, features, nonzas, stream end.
    pub fn push_raw(&mut self, id: SessionId, bytes: &[u8]) {
        self.push_with(id, bytes.len(), Pushed::Raw, |outbox| outbox.copy(bytes));
    }

    /// Pushes the last bytes of a stream (`</stream:stream>`); nothing is taken after them.
    pub fn push_end(&mut self, id: SessionId, bytes: &[u8]) {
        self.push_raw(id, bytes);
        if let Some(outbox) = self.get_mut(id) {
            outbox.sealed = true;
        }
    }

    /// After what is queued now the transport switches to TLS.
    pub fn mark_starttls(&mut self, id: SessionId) {
        if let Some(outbox) = self.get_mut(id) {
            outbox.starttls_at = Some(outbox.end());
        }
    }

    fn push_with(
        &mut self,
        id: SessionId,
        bytes: usize,
        what: Pushed,
        push: impl FnOnce(&mut Outbox),
    ) {
        let (handler, outbox_bytes_max) = (self.handler, self.outbox_bytes_max);
        let now_unix_ms = self.now_unix_ms;
        let Some(outbox) = self.get_mut(id) else { return };
        if outbox.sealed {
            return;
        }
        let was_cut = outbox.cut;
        if was_cut || outbox.len + bytes > outbox_bytes_max {
            outbox.cut = true;
            self.stanzas_dropped += u64::from(what != Pushed::Raw);
            // Making it has taken its time all the same.
            self.turn_bytes += bytes;
            if !was_cut {
                self.cut.push(id);
            }
            return;
        }
        if outbox.handler.0 != handler {
            outbox.handler = (handler, outbox.end());
        }
        let start = outbox.end();
        if outbox.is_empty() {
            outbox.waiting_since_ms = now_unix_ms;
        }
        push(outbox);
        let mut is_overflowing = false;
        if what != Pushed::Raw {
            outbox.stanza_ends.push_back(outbox.end());
            let (end, waiting) = (outbox.end(), outbox.len);
            if let Some(ledger) = &mut outbox.ledger {
                ledger.push(start, end, now_unix_ms);
                is_overflowing = ledger.is_over(waiting);
            }
        }
        let is_held = what == Pushed::Stanza && outbox.holds_back();
        let newly_dirty = !is_held && !std::mem::replace(&mut outbox.dirty, true);
        if is_overflowing {
            self.overflowed.push(id);
        }
        self.turn_bytes += bytes;
        self.kept_bytes_max = self.kept_bytes_max.saturating_add(bytes);
        self.turn.push(id);
        if newly_dirty {
            self.dirty.push_back(id);
        }
    }

    /// Something was done that took milliseconds: further input waits for the next turn.
    pub fn end_turn_early(&mut self) {
        self.turn_bytes = TURN_BYTES_MAX + 1;
    }

    /// True when so much was done in this turn that further input should wait for the next.
    pub fn is_congested(&self) -> bool {
        self.turn_bytes > TURN_BYTES_MAX
    }

    /// The time by the wall clock: since when stanzas have waited.
    pub fn set_time(&mut self, now_unix_ms: i64) {
        self.now_unix_ms = now_unix_ms;
    }

    /// A handler begins: what is pushed from here on is its doing.
    pub fn begin_handler(&mut self) {
        self.handler_start = self.turn.len();
        self.handler += 1;
    }

    /// The handler has written to storage, or may have read what an earlier one wrote: what it
    /// pushed depends on the commit of this turn. So does the stream of `origin`, whose input it
    /// was, when there is anything to lose: who is told nothing takes it for done all the same.
    pub fn taint_handler(&mut self, origin: Option<SessionId>, has_written: bool) {
        for index in self.handler_start..self.turn.len() {
            let id = self.turn[index];
            if let Some(outbox) = self.get_mut(id) {
                outbox.tainted_at.get_or_insert(outbox.handler.1);
            }
        }
        let has_pushed = self.handler_start < self.turn.len();
        if let Some(id) = origin.filter(|_| has_written || has_pushed)
            && let Some(outbox) = self.get_mut(id)
        {
            let end = outbox.end();
            outbox.tainted_at.get_or_insert(end);
            self.turn.push(id);
        }
    }

    /// The commit is done: what was pushed in this turn may be seen.
    pub fn commit_turn(&mut self) {
        self.turn_bytes = 0;
        self.handler_start = 0;
        for index in 0..self.turn.len() {
            let id = self.turn[index];
            if let Some(outbox) = self.get_mut(id) {
                outbox.tainted_at = None;
                outbox.settle_turn();
            }
        }
        self.turn.clear();
    }

    /// The commit failed: takes back what this turn pushed to an outbox from the first handler on
    /// that has written, the end of a stream included, and returns those sessions; their streams
    /// must end.
    pub fn roll_back_turn(&mut self) -> Vec<SessionId> {
        let mut lost = Vec::new();
        for index in 0..self.turn.len() {
            let id = self.turn[index];
            let Some(outbox) = self.get_mut(id) else { continue };
            if let Some(start) = outbox.tainted_at.take() {
                outbox.roll_back(start);
                outbox.sealed = false;
                lost.push(id);
            }
        }
        self.commit_turn();
        lost
    }

    /// The next session that has something to write and was not told of yet.
    pub fn poll_dirty(&mut self) -> Option<SessionId> {
        loop {
            let id = self.dirty.pop_front()?;
            if let Some(outbox) = self.get_mut(id) {
                outbox.dirty = false;
                return Some(id);
            }
        }
    }

    /// Sessions that went over their limit since the last call; they take nothing any more.
    pub fn take_cut(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.cut)
    }

    /// Bytes that wait to be written, in all outboxes that a connection empties.
    pub fn bytes_waiting(&self) -> usize {
        let outboxes = self.slots.iter().map(|(_, (_, outbox))| outbox);
        let emptied = outboxes.filter(|outbox| !outbox.cut && !outbox.is_detached());
        emptied.map(|outbox| outbox.len).sum()
    }

    /// Bytes that are kept in all outboxes but cut ones: they wait, or are not acknowledged.
    pub fn bytes_kept(&self) -> usize {
        let outboxes = self.slots.iter().map(|(_, (_, outbox))| outbox);
        outboxes.filter(|outbox| !outbox.cut).map(Outbox::bytes_kept).sum()
    }

    /// True when more than `bytes_max` wait in all outboxes.
    pub fn exceeds(&self, bytes_max: usize) -> bool {
        self.kept_bytes_max > bytes_max && self.bytes_waiting() > bytes_max
    }

    /// Cuts outboxes until at most `bytes_max` wait in all (0: no limit): the largest one of those
    /// that are late, else the largest.
    pub fn enforce_total(&mut self, bytes_max: usize) {
        // [`Self::exceeds`] is asked about half of it.
        if bytes_max != 0 && self.kept_bytes_max > bytes_max / 2 {
            self.cut_largest(bytes_max, |_| true);
        }
    }

    /// Cuts outboxes in which something waits that did so at the last call, the largest first,
    /// until at most `bytes_max` wait in all.
    pub fn cut_laggards(&mut self, bytes_max: usize) {
        self.cut_largest(bytes_max, Outbox::is_late);
        for (_, (_, outbox)) in &mut self.slots {
            outbox.noted_end = outbox.end();
        }
    }

    fn cut_largest(&mut self, bytes_max: usize, may_be_cut: impl Fn(&Outbox) -> bool) {
        let mut kept = self.bytes_kept();
        while kept > bytes_max {
            let all = self.slots.iter_mut();
            let largest = all.filter(|(_, (_, outbox))| !outbox.cut && may_be_cut(outbox));
            let Some((index, (generation, outbox))) =
                largest.max_by_key(|(_, (_, outbox))| (outbox.is_late(), outbox.bytes_kept()))
            else {
                break;
            };
            kept -= outbox.bytes_kept();
            outbox.cut = true;
            self.cut.push(SessionId { index: index as u32, generation: *generation });
        }
        self.kept_bytes_max = kept;
    }
}
