//! The queue of one session: chunks of bytes, where stanzas end in them, and what the commit of
//! this turn still decides. What is pushed to whom is not known here.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

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
    /// In the dirty list.
    pub(super) dirty: bool,
    /// The stream has ended: takes nothing any more.
    pub(super) sealed: bool,
    /// Over its limit: takes nothing any more, and the session is about to be cut.
    pub(super) cut: bool,
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

    /// Fills `slices` with the waiting bytes, oldest first; returns how many slices were used.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        let open = (!self.open.is_empty()).then_some(&self.open[..]);
        for chunk in self.chunks.iter().map(|chunk| &chunk[..]).chain(open) {
            if used == slices.len() {
                break;
            }
            slices[used] = IoSlice::new(chunk);
            used += 1;
        }
        used
    }

    /// The transport has taken `count` bytes. Panics when that is more than waits.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len, "a transport takes no more than it was given");
        self.len -= count;
        self.taken += count as u64;
        let mut left = count;
        while left > 0 {
            match self.chunks.front_mut() {
                Some(chunk) if chunk.len() > left => {
                    chunk.advance(left);
                    left = 0;
                }
                Some(chunk) => {
                    left -= chunk.len();
                    self.chunks.pop_front();
                }
                None => {
                    self.open.advance(left);
                    left = 0;
                }
            }
        }
        if self.len == 0 {
            // An idle session keeps no buffer.
            self.open = BytesMut::new();
            self.chunks.shrink_to(0);
        }
        while self.stanza_ends.front().is_some_and(|&end| end <= self.taken) {
            self.stanza_ends.pop_front();
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

    fn close_chunk(&mut self) {
        if !self.open.is_empty() {
            self.chunks.push_back(self.open.split().freeze());
        }
    }

    /// Takes back what was queued from position `start` on.
    pub(super) fn truncate(&mut self, start: u64) {
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
    }

    pub(super) fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.open = BytesMut::new();
        self.stanza_ends = VecDeque::new();
        self.len = 0;
    }
}
