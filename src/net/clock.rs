//! The only clock. The core sees one reading per turn; the reading at the end of a turn only
//! measures it and tells the reactor how long it may sleep.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cx::Now;

/// Monotonic time since the start, and the wall clock.
pub struct Clock {
    start: Instant,
    /// When the present turn began, since `start`.
    turn_start: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock that starts at 0.
    pub fn new() -> Self {
        Self { start: Instant::now(), turn_start: Duration::ZERO }
    }

    /// A turn begins: its time.
    pub fn begin_turn(&mut self) -> Now {
        self.turn_start = self.start.elapsed();
        // A wall clock before 1970 is a machine without one (a router at boot): 0.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            mono_ms: self.turn_start.as_millis() as u64,
            unix_ms: i64::try_from(unix.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// A turn ends: how long it took, and the monotonic milliseconds now.
    pub fn end_turn(&self) -> (Duration, u64) {
        let elapsed = self.start.elapsed();
        (elapsed.saturating_sub(self.turn_start), elapsed.as_millis() as u64)
    }
}
