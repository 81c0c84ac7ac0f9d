//! The telling of what is left (backlog.rs): occupants are visited one after the other, so that
//! what one of them gets is one write. No visit puts much before somebody who has much to read
//! already, and no turn is made long. Clients that do not read at all hold the others up but for a
//! while.

use std::collections::VecDeque;
use std::ops::Bound;

use super::{Backlog, Muc, Room, Seat, Viewer};
use crate::cx::Cx;
use crate::ids::Target;
use crate::xmpp::Jid;

/// What one visit may add to an outbox, and what may wait in it before its owner is visited.
const VISIT_BYTES_MAX: usize = 256 * 1024;
/// Clients that do not read hold the others up for so long; then they are visited regardless, and
/// cut when that is too much for their outbox.
const PATIENCE_MS: u64 = 5_000;

/// What came of one step of the telling.
enum Told {
    /// Somebody was told something.
    Some,
    /// All who have not heard everything are slow.
    None,
    /// There is nothing left.
    All,
}

impl Room {
    /// Visits occupants until one was told something.
    fn tell_next(&mut self, cx: &mut Cx, waiting_max: usize) -> Told {
        loop {
            let next = self.occupants.range(self.backlog.cursor..).next();
            if let Some(key) = next.map(|(key, _)| *key) {
                self.backlog.cursor = key + 1;
                if self.visit(cx, key, waiting_max) {
                    return Told::Some;
                }
                continue;
            }
            self.backlog.end_round();
            let is_stuck = self.backlog.has_skipped;
            self.backlog.start_round();
            if self.backlog.is_empty() {
                return Told::All;
            }
            if is_stuck {
                return Told::None;
            }
        }
    }

    /// Tells one occupant what it has not heard, unless more than `waiting_max` bytes wait for it
    /// already; true when there was something.
    fn visit(&mut self, cx: &mut Cx, key: u64, waiting_max: usize) -> bool {
        let Some((viewer, mut seats)) = self.take_viewer(key) else { return false };
        let mut backlog = std::mem::take(&mut self.backlog);
        let (mut has_told, mut is_slow) = (false, false);
        for seat in &mut seats {
            let before = waiting_bytes(cx, seat);
            if before > waiting_max {
                is_slow = true;
                backlog.heard_by_all = backlog.heard_by_all.min(seat.heard);
                continue;
            }
            has_told |= self.tell_seat(cx, &mut backlog, &viewer, seat, VISIT_BYTES_MAX);
            backlog.heard_by_all = backlog.heard_by_all.min(seat.heard);
        }
        backlog.has_skipped |= is_slow;
        let is_refreshed = !is_slow && backlog.refreshes.remove(&key);
        self.backlog = backlog;
        self.put_seats_back(key, seats);
        if is_refreshed {
            self.show_all_to(cx, key);
        }
        has_told || is_refreshed
    }

    /// Tells a seat what it has not heard, up to about `bytes_max`; true when there was something.
    fn tell_seat(
        &mut self,
        cx: &mut Cx,
        backlog: &mut Backlog,
        viewer: &Viewer,
        seat: &mut Seat,
        bytes_max: usize,
    ) -> bool {
        let bytes_max = waiting_bytes(cx, seat).saturating_add(bytes_max);
        let mut has_told = false;
        let unheard = (Bound::Excluded(seat.heard), Bound::Unbounded);
        for (number, item) in backlog.items.range_mut(unheard) {
            if waiting_bytes(cx, seat) > bytes_max {
                break;
            }
            seat.heard = *number;
            if let Some(envelope) = item.envelope(self, viewer, seat) {
                seat.push(cx, &envelope);
                has_told = true;
            }
        }
        has_told
    }

    /// A session is about to be told how all is now, and all versions of the affiliation list: it
    /// hears at once what came before, without these.
    pub fn catch_up(&mut self, cx: &mut Cx, key: u64, session_jid: &Jid) {
        let Some((viewer, mut seats)) = self.take_viewer(key) else { return };
        let mut backlog = std::mem::take(&mut self.backlog);
        for seat in seats.iter_mut().filter(|seat| seat.jid == *session_jid) {
            seat.wants_versions = false; // Until it is welcomed (versions.rs).
            self.tell_seat(cx, &mut backlog, &viewer, seat, usize::MAX);
        }
        self.backlog = backlog;
        self.put_seats_back(key, seats);
    }
}

fn waiting_bytes(cx: &Cx, seat: &Seat) -> usize {
    match seat.target {
        Target::Local(session) => cx.out.get(session).map_or(0, |outbox| outbox.len()),
        Target::Remote | Target::Routed => 0,
    }
}

/// The rooms that have something left to tell, one after the other.
#[derive(Default)]
pub struct Telling {
    rooms: VecDeque<u64>,
    /// Nobody could be told anything since then.
    stalled_ms: Option<u64>,
    /// How often patience has ended since the queue was empty: each time a slow reader may have
    /// the bytes of one more visit waiting.
    stalls: usize,
}

impl Telling {
    fn is_over(&self, now_ms: u64) -> bool {
        self.stalled_ms.is_some_and(|since_ms| now_ms >= since_ms + PATIENCE_MS)
    }
}

impl Muc {
    /// A room may have come to have something left to tell.
    pub(in crate::muc) fn note_backlog(&mut self, index: usize) {
        let Some(room) = self.rooms.get_mut(index) else { return };
        if !room.backlog.is_queued && !room.backlog.is_empty() {
            room.backlog.is_queued = true;
            room.backlog.start_round();
            self.telling.rooms.push_back(room.number);
        }
    }

    /// When [`Self::tell_backlog`] wants to be called.
    pub fn poll_timeout(&self, now_ms: u64) -> Option<u64> {
        let stalled_ms = self.telling.stalled_ms;
        let due_ms = stalled_ms.map_or(now_ms, |stalled_ms| stalled_ms + PATIENCE_MS);
        self.has_backlog().then_some(due_ms)
    }

    /// True while [`Self::tell_backlog`] has something to tell.
    pub fn has_backlog(&self) -> bool {
        !self.telling.rooms.is_empty()
    }

    /// Once a turn: tells what is left, one visit at least and no more than the turn has room for.
    pub fn tell_backlog(&mut self, cx: &mut Cx) {
        if !self.has_backlog() {
            return;
        }
        let now_ms = cx.now.mono_ms;
        let is_urgent = self.telling.is_over(now_ms);
        if is_urgent {
            self.telling.stalls += 1;
            self.telling.stalled_ms = None;
        }
        let has_told = (is_urgent || !cx.is_crowded()) && self.tell_rooms(cx);
        if self.telling.rooms.is_empty() {
            self.telling = Telling::default();
        } else if has_told {
            self.telling.stalled_ms = None;
        } else {
            self.telling.stalled_ms.get_or_insert(now_ms);
        }
    }

    /// Tells rooms in turn until nothing is left, everybody is slow or the turn is full; true when
    /// somebody was told something.
    fn tell_rooms(&mut self, cx: &mut Cx) -> bool {
        let waiting_max = VISIT_BYTES_MAX * (1 + self.telling.stalls);
        let (mut has_told, mut stuck_rooms) = (false, 0);
        while stuck_rooms < self.telling.rooms.len() && !(has_told && cx.out.is_congested()) {
            let Some(number) = self.telling.rooms.pop_front() else { break };
            let Some(index) = self.numbered(number) else { continue };
            let room = &mut self.rooms[index];
            match room.tell_next(cx, waiting_max) {
                Told::Some => (has_told, stuck_rooms) = (true, 0),
                Told::None => stuck_rooms += 1,
                Told::All => {
                    room.backlog.is_queued = false;
                    continue;
                }
            }
            self.telling.rooms.push_back(number);
        }
        has_told
    }
}
