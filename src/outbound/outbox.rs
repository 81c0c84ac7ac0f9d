//! The queue of one session: chunks of bytes, where stanzas end in them, and what the commit of
//! this turn still decides. What is pushed to whom is not known here.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use super::ledger::{self, Ledger, TooHigh, Undelivered};

/// Room for so many stanza ends is kept while nothing waits; it is made anew too often otherwise.
const STANZA_ENDS_KEPT: usize = 16;
/// A tail chunk is closed when it holds this much.
const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// The queue of one session.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Closed chunks, oldest first; never empty ones.
    chunks: VecDeque<Bytes>,
    /// The chunk that small stanzas are copied into.
    pub(super) open: BytesMut,
    /// Bytes waiting. Invariant: the lengths of `chunks` and `open` together.
    pub(super) len: usize,
    /// Bytes ever taken by the transport; positions below count from the first byte ever queued.
    taken: u64,
    /// Where each waiting stanza ends.
    pub(super) stanza_ends: VecDeque<u64>,
    /// Where the transport switches to TLS: after the byte before this position (`<proceed/>`).
    pub(super) starttls_at: Option<u64>,
    /// The handler that pushed last, and the end of the queue when it first did.
    pub(super) handler: (u64, u64),
    /// Where a handler of this turn began to push that has also written to storage: from here on
    /// all depends on the commit.
    pub(super) tainted_at: Option<u64>,
    /// What waited when [`super::Outboxes::cut_laggards`] last looked ends here.
    pub(super) noted_end: u64,
    /// Since when something has waited, by the wall clock.
    pub(super) waiting_since_ms: i64,
    /// In the dirty list.
    pub(super) dirty: bool,
    /// The stream has ended: takes nothing any more.
    pub(super) sealed: bool,
    /// Over its limit: takes nothing any more, and the session is about to be cut.
    pub(super) cut: bool,
    /// The first byte that waits is not the first of a stanza.
    is_amid_stanza: bool,
    /// The client is not looked at (XEP-0352): what is not urgent waits for what is.
    pub(super) is_quiet: bool,
    /// With stream management (XEP-0198).
    pub(super) ledger: Option<Box<Ledger>>,
}

impl Outbox {
    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True when it went over its limit: its session is over.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Stanzas of which at least one byte waits.
    pub fn stanzas_waiting(&self) -> usize {
        self.stanza_ends.len()
    }

    /// Bytes that the present transport may take: those before the switch to TLS, or all.
    pub fn transport_len(&self) -> usize {
        self.starttls_at.map_or(self.len, |at| self.len.min((at - self.taken) as usize))
    }

    /// True when everything before the switch to TLS is written and the switch is due.
    pub fn starttls_is_due(&self) -> bool {
        self.starttls_at == Some(self.taken)
    }

    /// True from the push of `<proceed/>` until [`Self::starttls_done`].
    pub fn starttls_is_marked(&self) -> bool {
        self.starttls_at.is_some()
    }

    /// The transport has switched.
    pub fn starttls_done(&mut self) {
        self.starttls_at = None;
    }

    /// The waiting bytes, oldest first.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let open = (!self.open.is_empty()).then_some(&self.open[..]);
        self.chunks.iter().map(|chunk| &chunk[..]).chain(open)
    }

    /// Fills `slices` with them; returns how many slices were used.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = self.chunks().zip(slices).map(|(chunk, slice)| *slice = IoSlice::new(chunk));
        filled.count()
    }

    /// The transport has taken `count` bytes. Panics when that is more than waits.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len, "a transport takes no more than it was given");
        let mut left = count;
        while left > 0 {
            let bytes = match self.chunks.front_mut() {
                Some(chunk) if chunk.len() > left => chunk.split_to(left),
                Some(_) => self.chunks.pop_front().unwrap_or_default(),
                None if self.ledger.is_some() => self.open.split_to(left).freeze(),
                None => {
                    self.open.advance(left);
                    break;
                }
            };
            if let Some(ledger) = &mut self.ledger {
                ledger.keep(self.taken + (count - left) as u64, bytes.clone());
            }
            left -= bytes.len();
        }
        self.len -= count;
        self.taken += count as u64;
        if self.len == 0 {
            // An idle session keeps no buffer.
            self.open = BytesMut::new();
            self.chunks.shrink_to(0);
        }
        // Without a stanza's end among them, all these bytes were of one.
        let mut last_end = None;
        while self.stanza_ends.front().is_some_and(|&end| end <= self.taken) {
            last_end = self.stanza_ends.pop_front();
        }
        if count > 0 {
            self.is_amid_stanza = self.len > 0 && last_end != Some(self.taken);
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.trim(self.taken);
        }
        if self.stanza_ends.is_empty() && self.stanza_ends.capacity() > STANZA_ENDS_KEPT {
            self.stanza_ends.shrink_to(0);
        }
    }

    /// True when something still waits that waited when the server last lost its patience.
    pub(super) fn is_late(&self) -> bool {
        self.taken < self.noted_end
    }

    /// The position of the next byte that will be queued.
    pub(super) fn end(&self) -> u64 {
        self.taken + self.len as u64
    }

    pub(super) fn copy(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
        self.len += bytes.len();
        if self.open.len() >= CHUNK_BYTES_MAX {
            self.close_chunk();
        }
    }

    pub(super) fn share(&mut self, bytes: &Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.close_chunk();
        self.chunks.push_back(bytes.clone());
        self.len += bytes.len();
    }

    pub(super) fn close_chunk(&mut self) {
        if !self.open.is_empty() {
            self.chunks.push_back(self.open.split().freeze());
        }
    }

    /// Takes back what was queued from position `start` on.
    pub(super) fn truncate(&mut self, start: u64) {
        // What has left the queue meanwhile is not here to be taken back.
        let start = start.max(self.taken);
        let mut excess = (self.end() - start) as usize;
        self.len -= excess;
        let from_open = excess.min(self.open.len());
        self.open.truncate(self.open.len() - from_open);
        excess -= from_open;
        while excess > 0 {
            let mut chunk = self.chunks.pop_back().expect("len is the sum of the chunks");
            if chunk.len() > excess {
                chunk.truncate(chunk.len() - excess);
                excess = 0;
                self.chunks.push_back(chunk);
            } else {
                excess -= chunk.len();
            }
        }
        while self.stanza_ends.back().is_some_and(|&end| end > start) {
            self.stanza_ends.pop_back();
        }
        if self.starttls_at.is_some_and(|at| at > start) {
            self.starttls_at = None;
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.truncate(start);
        }
    }

    /// Stanzas that the client has not acknowledged (XEP-0198).
    pub fn stanzas_unacknowledged(&self) -> usize {
        self.ledger.as_ref().map_or(0, |ledger| ledger.stanzas())
    }

    /// Stanzas that were acknowledged, modulo 2^32.
    pub fn stanzas_acknowledged(&self) -> u32 {
        self.ledger.as_ref().map_or(0, |ledger| ledger.settled())
    }

    /// True while it takes something.
    pub fn is_taking(&self) -> bool {
        !self.sealed && !self.cut
    }

    /// Bytes that are kept: those that wait, and those that are not acknowledged.
    pub fn bytes_kept(&self) -> usize {
        self.len + self.ledger.as_ref().map_or(0, |ledger| ledger.bytes())
    }

    /// XEP-0198 §4: the client has handled `h` stanzas; returns how many of them are news.
    pub fn acknowledge(&mut self, h: u32) -> Result<usize, TooHigh> {
        let taken = self.taken;
        self.ledger.as_mut().map_or(Ok(0), |ledger| ledger.acknowledge(h, taken))
    }

    /// XEP-0198 §5: whether everything after the first `h` stanzas is still here.
    pub fn reaches_back_to(&self, h: u32) -> Result<bool, TooHigh> {
        let taken = self.taken;
        self.ledger.as_ref().map_or(Ok(false), |ledger| ledger.reaches_back_to(h, taken))
    }

    /// True when a stanza is half written.
    pub fn is_amid_stanza(&self) -> bool {
        self.is_amid_stanza
    }

    /// True while no connection empties it.
    pub fn is_detached(&self) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.is_detached)
    }

    /// Everything queued leaves the queue.
    pub(super) fn take_queue(&mut self) -> VecDeque<Bytes> {
        self.close_chunk();
        self.taken += self.len as u64;
        self.len = 0;
        self.is_amid_stanza = false;
        self.stanza_ends = VecDeque::new();
        self.open = BytesMut::new();
        std::mem::take(&mut self.chunks)
    }

    /// The stanzas that the client has not acknowledged leave the queue, to be written again.
    pub(super) fn park(&mut self) {
        let tainted_at = self.tainted_at.take();
        let foreign = self.ledger.as_ref().map_or(0, |ledger| ledger.foreign(self.taken));
        let mut queue = self.take_queue();
        ledger::skip(&mut queue, foreign);
        if let Some(ledger) = &mut self.ledger {
            ledger.park(queue, self.taken, tainted_at);
        }
    }

    /// Takes the first stanza that waits, of a queue that no connection empties.
    pub(super) fn pop_stanza(&mut self) -> Option<Bytes> {
        let end = self.stanza_ends.pop_front()?;
        self.close_chunk();
        let len = (end - self.taken) as usize;
        self.len -= len;
        self.taken = end;
        Some(ledger::take(&mut self.chunks, len))
    }

    /// The stanzas that the client may not have: those that it has not acknowledged, or, without
    /// stream management, those that are not written. One that is half written then is lost: its
    /// beginning is gone. It is a session's last: what is queued may be written all the same, but
    /// counts no more.
    pub(super) fn take_undelivered(&mut self) -> Vec<Undelivered> {
        self.close_chunk();
        let (mut queue, end) = (self.chunks.clone(), self.end());
        let ends = std::mem::take(&mut self.stanza_ends);
        if let Some(mut ledger) = self.ledger.take() {
            ledger::skip(&mut queue, ledger.foreign(self.taken));
            ledger.park(queue, end, None);
            return ledger.take_parked().0;
        }
        let mut position = self.taken;
        let queued_unix_ms = self.waiting_since_ms;
        let stanzas = ends.into_iter().map(|end| {
            let xml = ledger::take(&mut queue, (end - position) as usize);
            position = end;
            Undelivered { xml, queued_unix_ms }
        });
        stanzas.skip(usize::from(self.is_amid_stanza)).collect()
    }
}
