//! What stream management (XEP-0198) adds to an outbox: the bytes that were written and are not
//! acknowledged, and where each stanza lies, so that those the client has not handled can be
//! written again on another connection, or given to somebody else.
//!
//! Only stanzas are ever written again; what stands between them (`<a/>`, `<r/>`) goes with its
//! neighbours. A client that acknowledges nothing costs a bounded number of bytes: above it the
//! oldest stanzas are forgotten, as those of an unmanaged session are once they are written. A
//! client that then asks to go on from before them is told that it cannot.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// A stanza that the client has not acknowledged, or that was not written to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// The stanza. That of an unmanaged session may have other first-level elements before it.
    pub xml: Bytes,
    /// When it was queued, or no later than that: for an unmanaged session since when something has
    /// waited, lest somebody who came meanwhile be taken for one who has got it.
    pub queued_unix_ms: i64,
}

/// An acknowledgement of more stanzas than were ever written (§6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooHigh {
    /// What was written, as the client counts.
    pub sent: u32,
}

/// Where a stanza lies, in positions of the outbox.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u64,
    end: u64,
    queued_unix_ms: i64,
}

/// The books of one managed session.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Written bytes, from the first unacknowledged stanza on.
    sent: VecDeque<Bytes>,
    /// Invariant: the lengths of `sent`.
    sent_bytes: usize,
    /// The position of the first byte of `sent`, or of the first that will be.
    start: u64,
    /// Unacknowledged stanzas in their order: written ones, then waiting ones.
    places: VecDeque<Place>,
    /// Stanzas before the first of `places`, over the life of the session.
    settled: u64,
    /// Stanzas to be written again once `<resumed/>` is queued.
    parked: Vec<Undelivered>,
    /// The first of `parked` that still depends on the commit of this turn.
    parked_tainted: Option<usize>,
    /// Only from this position on a lost commit takes back: what is before it was queued in
    /// earlier turns, and is written again in this one.
    pub(super) floor: Option<u64>,
    /// Of `sent`, and of everything while there is no connection.
    bytes_max: usize,
    /// There is no connection.
    pub(super) is_detached: bool,
    /// `<r/>` is queued and not answered.
    pub(super) is_asked: bool,
}

impl Ledger {
    /// The books begin at this position; a bound of 0 is none.
    pub(super) fn new(start: u64, bytes_max: usize) -> Self {
        Self {
            sent: VecDeque::new(),
            sent_bytes: 0,
            start,
            places: VecDeque::new(),
            settled: 0,
            parked: Vec::new(),
            parked_tainted: None,
            floor: None,
            bytes_max: if bytes_max == 0 { usize::MAX } else { bytes_max },
            is_detached: false,
            is_asked: false,
        }
    }

    /// Bytes that are kept here.
    pub(super) fn bytes(&self) -> usize {
        self.sent_bytes + self.parked.iter().map(|stanza| stanza.xml.len()).sum::<usize>()
    }

    /// True when a session without a connection holds more than it may; `waiting` is the length of
    /// its queue.
    pub(super) fn is_over(&self, waiting: usize) -> bool {
        self.is_detached && self.bytes() + waiting > self.bytes_max
    }

    /// A stanza was queued.
    pub(super) fn push(&mut self, start: u64, end: u64, queued_unix_ms: i64) {
        self.places.push_back(Place { start, end, queued_unix_ms });
    }

    /// What was queued from a position on is taken back.
    pub(super) fn truncate(&mut self, start: u64) {
        while self.places.back().is_some_and(|place| place.end > start) {
            self.places.pop_back();
        }
    }

    /// These bytes, from a position on, were written.
    pub(super) fn keep(&mut self, position: u64, mut bytes: Bytes) {
        if position < self.start {
            let foreign = ((self.start - position) as usize).min(bytes.len());
            bytes.advance(foreign);
        }
        if !bytes.is_empty() {
            self.sent_bytes += bytes.len();
            self.sent.push_back(bytes);
        }
    }

    /// Everything before `taken` is written: what nobody needs goes, and the oldest stanzas beyond
    /// the bound are forgotten.
    pub(super) fn trim(&mut self, taken: u64) {
        loop {
            let needed = self.places.front().map_or(taken, |place| place.start.min(taken));
            self.release(needed);
            let is_written = self.places.front().is_some_and(|place| place.end <= taken);
            if self.sent_bytes <= self.bytes_max || !is_written {
                return;
            }
            self.settle(1);
        }
    }

    /// Lets go of the written bytes before a position.
    fn release(&mut self, position: u64) {
        let mut excess = position.saturating_sub(self.start) as usize;
        self.start = self.start.max(position);
        excess = excess.min(self.sent_bytes);
        self.sent_bytes -= excess;
        while excess > 0 {
            let chunk = self.sent.front_mut().expect("sent_bytes is the sum of the chunks");
            if chunk.len() > excess {
                chunk.advance(excess);
                return;
            }
            excess -= chunk.len();
            self.sent.pop_front();
        }
        if self.sent.is_empty() {
            self.sent.shrink_to(0);
        }
    }

    fn settle(&mut self, count: usize) {
        self.places.drain(..count);
        self.settled += count as u64;
        if self.places.is_empty() {
            self.places.shrink_to(4);
        }
    }

    /// Stanzas that were acknowledged, or forgotten, modulo 2^32.
    pub(super) fn settled(&self) -> u32 {
        self.settled as u32
    }

    /// The stanzas that are not acknowledged.
    pub(super) fn stanzas(&self) -> usize {
        self.places.len() + self.parked.len()
    }

    /// The client has handled `h` stanzas; returns how many of them are news. An `h` from before
    /// what is known already says nothing. Counted modulo 2^32 (§4).
    pub(super) fn acknowledge(&mut self, h: u32, taken: u64) -> Result<usize, TooHigh> {
        let news = self.news(h, taken)?.unwrap_or(0);
        self.settle(news);
        self.trim(taken);
        self.is_asked = false;
        Ok(news)
    }

    /// True when everything after the first `h` stanzas is still here.
    pub(super) fn reaches_back_to(&self, h: u32, taken: u64) -> Result<bool, TooHigh> {
        Ok(self.news(h, taken)?.is_some())
    }

    /// How many of the kept stanzas `h` covers; `None`: none, it is from before them.
    fn news(&self, h: u32, taken: u64) -> Result<Option<usize>, TooHigh> {
        let written = self.places.partition_point(|place| place.end <= taken);
        let written_ever = self.settled + written as u64;
        let sent = written_ever as u32;
        let behind = u64::from(sent.wrapping_sub(h));
        if behind > written_ever.min(u64::from(u32::MAX / 2)) {
            return Err(TooHigh { sent });
        }
        Ok((written as u64).checked_sub(behind).map(|news| news as usize))
    }

    /// How many of the bytes that wait from `taken` on are from before the books were opened.
    pub(super) fn foreign(&self, taken: u64) -> usize {
        self.start.saturating_sub(taken) as usize
    }

    /// The connection is gone: takes the queue of the outbox up to its end, sets aside the stanzas
    /// that the client has not acknowledged, and forgets all else. `tainted_at`: what depends on
    /// the commit of this turn.
    pub(super) fn park(&mut self, waiting: VecDeque<Bytes>, end: u64, tainted_at: Option<u64>) {
        let mut bytes = std::mem::take(&mut self.sent);
        bytes.extend(waiting);
        let mut position = self.start;
        for place in std::mem::take(&mut self.places) {
            skip(&mut bytes, (place.start - position) as usize);
            position = place.end;
            if tainted_at.is_some_and(|at| place.start >= at) {
                self.parked_tainted.get_or_insert(self.parked.len());
            }
            let xml = take(&mut bytes, (place.end - place.start) as usize);
            let queued_unix_ms = place.queued_unix_ms;
            self.parked.push(Undelivered { xml, queued_unix_ms });
        }
        self.sent_bytes = 0;
        self.start = end;
        self.is_asked = false;
    }

    /// The books go on at this position, on another connection.
    pub(super) fn reopen(&mut self, start: u64) {
        self.start = start;
        self.is_detached = false;
    }

    /// The stanzas that were set aside, and the first of them that depends on the commit of this
    /// turn.
    pub(super) fn take_parked(&mut self) -> (Vec<Undelivered>, Option<usize>) {
        (std::mem::take(&mut self.parked), self.parked_tainted.take())
    }

    /// Begins as if so many stanzas had been acknowledged.
    pub(super) fn begin_at(&mut self, settled: u64) {
        self.settled = settled;
    }
}

/// Throws the first bytes away.
pub(super) fn skip(bytes: &mut VecDeque<Bytes>, count: usize) {
    take_pieces(bytes, count, |_| {});
}

/// The first bytes in one piece; not copied where they lie in one already.
pub(super) fn take(bytes: &mut VecDeque<Bytes>, count: usize) -> Bytes {
    let mut pieces = Vec::new();
    take_pieces(bytes, count, |piece| pieces.push(piece));
    match <[Bytes; 1]>::try_from(pieces) {
        Ok([piece]) => piece,
        Err(pieces) => pieces.concat().into(),
    }
}

fn take_pieces(bytes: &mut VecDeque<Bytes>, mut count: usize, mut take: impl FnMut(Bytes)) {
    while count > 0 {
        let chunk = bytes.front_mut().expect("stanzas lie within the kept bytes");
        if chunk.len() > count {
            take(chunk.split_to(count));
            return;
        }
        count -= chunk.len();
        if let Some(chunk) = bytes.pop_front() {
            take(chunk);
        }
    }
}
