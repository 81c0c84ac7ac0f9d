//! Timers of the core: a heap of deadlines. Nothing is ever cancelled: who gets a timer looks at
//! its own state and, when the deadline has moved, sets the timer again. So a stanza costs no
//! timer work, and a stale key is an ordinary `None` where it is looked up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ids::SessionId;

/// Whom a timer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKey {
    /// A deadline of a session or its stream: login, idle, the delay of a failed login, close.
    Session(SessionId),
    /// A stream with a server or a component.
    Link(SessionId),
    /// A queue for another server: its next attempt, or its end.
    Queue(SessionId),
    /// The next attempt to attach to the server that we are a component of.
    Upstream,
    /// A question to a name server.
    Dns,
    /// A room whose lock or empty state ends; the room's number within the service.
    Room(u64),
    /// The next phase of the shutdown.
    Drain,
    /// The shutdown that an admin has ordered for later.
    Shutdown,
    /// A probe whether storage works again.
    Storage,
    /// The next slice of what storage has to sweep.
    Sweep,
}

/// Deadlines in monotonic milliseconds, earliest first; equal ones in the order they were set.
#[derive(Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(u64, u64, TimerKey)>>,
    set_count: u64,
}

impl Timers {
    /// Fires `key` once, at or after `due_ms` (monotonic).
    pub fn set(&mut self, due_ms: u64, key: TimerKey) {
        self.set_count += 1;
        self.heap.push(Reverse((due_ms, self.set_count, key)));
    }

    /// The earliest deadline.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((due_ms, ..))| *due_ms)
    }

    /// Takes one timer that is due at `now_ms`.
    pub fn poll(&mut self, now_ms: u64) -> Option<TimerKey> {
        let Reverse((due_ms, ..)) = self.heap.peek()?;
        if *due_ms > now_ms {
            return None;
        }
        self.heap.pop().map(|Reverse((.., key))| key)
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// True when none is set.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_first_and_equal_ones_in_order() {
        let mut timers = Timers::default();
        timers.set(20, TimerKey::Drain);
        timers.set(10, TimerKey::Room(2));
        timers.set(10, TimerKey::Room(1));
        assert_eq!(timers.next_due_ms(), Some(10));
        assert_eq!(timers.poll(9), None);
        assert_eq!(timers.poll(10), Some(TimerKey::Room(2)));
        assert_eq!(timers.poll(10), Some(TimerKey::Room(1)));
        assert_eq!(timers.poll(10), None);
        assert_eq!(timers.poll(30), Some(TimerKey::Drain));
        assert!(timers.is_empty());
    }
}
