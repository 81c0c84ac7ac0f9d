//! How busy a room is (XEP-0502): messages per hour, for those who think of joining.
//!
//! The shift register of XEP-0502 §5: 25 counters, the first for the hour that runs (by the wall
//! clock), the others for the full hours before it. What is said is their mean over the hours
//! that the room has been watched, 24 at most: nothing before the first full one is over. A
//! message costs one addition, a request 24 of them.
//!
//! Only messages to all with a body count, and neither corrections (§4) nor retractions, whose
//! body is but a fallback. It is told only of rooms that anybody can find and enter (§3.1, §9).
//!
//! Counters are written with the first message of another hour, when the last occupant goes, and
//! when the service ends: a crash may lose the latest of them, which is a rough figure's right.

use super::room::Room;
use crate::cx::{Cx, Now};
use crate::storage::{StorageError, StoredActivity};
use crate::xmpp::dataform::Form;
use crate::xmpp::{Stanza, ns};

/// The field of `muc#roominfo`.
const FIELD: &str = "{urn:xmpp:muc-activity}message-activity";
/// Full hours that are looked back on.
const FULL_HOURS: usize = 24;
const HOUR_MS: i64 = 3_600_000;

fn hour_of(now: Now) -> i64 {
    now.unix_ms.div_euclid(HOUR_MS)
}

/// Messages of the latest hours.
#[derive(Default)]
pub struct Activity {
    /// The hour in which counting began; `None` before the first message.
    since_hour: Option<i64>,
    /// The hour of the first counter.
    hour: i64,
    counts: [u32; FULL_HOURS + 1],
    /// Memory knows more than the database.
    is_changed: bool,
}

impl Activity {
    /// Hours from that of the first counter to another; a clock that was set back stands still.
    fn hours_to(&self, hour: i64) -> usize {
        usize::try_from(hour.saturating_sub(self.hour)).unwrap_or(0)
    }

    /// Makes `hour` that of the first counter, if it is later. True when it is.
    fn shift(&mut self, hour: i64) -> bool {
        let hours = self.hours_to(hour);
        if hours == 0 {
            return false;
        }
        let gone = hours.min(self.counts.len());
        self.counts.rotate_right(gone);
        self.counts[..gone].fill(0);
        self.hour = hour;
        true
    }

    /// Begins to count, if it has not begun.
    fn begin(&mut self, hour: i64) {
        if self.since_hour.is_none() {
            self.since_hour = Some(hour);
            self.hour = hour;
            self.is_changed = true;
        }
    }

    /// Counts a message; true when an hour has turned.
    fn count(&mut self, hour: i64) -> bool {
        self.begin(hour);
        let has_turned = self.shift(hour);
        self.counts[0] = self.counts[0].saturating_add(1);
        self.is_changed = true;
        has_turned
    }

    /// Hundredths of a message per hour; `None` before a full hour is over.
    fn per_hour_hundredths(&self, hour: i64) -> Option<u64> {
        let since = self.since_hour?;
        let watched = usize::try_from(hour.saturating_sub(since).saturating_sub(1)).unwrap_or(0);
        let watched = watched.min(FULL_HOURS);
        if watched == 0 {
            return None;
        }
        let shifted = self.hours_to(hour);
        // The counter of n hours ago stands `shifted` places before its turn.
        let index = |ago: usize| ago.checked_sub(shifted);
        let counted = (1..=watched).filter_map(|ago| self.counts.get(index(ago)?));
        let messages: u64 = counted.map(|count| u64::from(*count)).sum();
        let watched = watched as u64;
        Some((messages * 100 + watched / 2) / watched)
    }

    fn to_stored(&self) -> Option<StoredActivity> {
        let since_hour = self.since_hour?;
        Some(StoredActivity { since_hour, hour: self.hour, counts: self.counts.to_vec() })
    }

    fn from_stored(stored: &StoredActivity) -> Self {
        let mut activity =
            Self { since_hour: Some(stored.since_hour), hour: stored.hour, ..Self::default() };
        for (count, stored) in activity.counts.iter_mut().zip(&stored.counts) {
            *count = *stored;
        }
        activity
    }
}

fn is_counted(message: &Stanza) -> bool {
    message.child("body", ns::CLIENT).is_some()
        && message.child("replace", ns::CORRECT).is_none()
        && message.child("retract", ns::RETRACT).is_none()
}

impl Room {
    /// Counts a message that was sent to all.
    pub fn count_message(&mut self, cx: &mut Cx, message: &Stanza) {
        if is_counted(message) && self.activity.count(hour_of(cx.now)) {
            self.keep_activity(cx);
        }
    }

    /// Adds what is known to `muc#roominfo`, where anybody may know (§9).
    pub fn with_activity(&self, now: Now, form: Form) -> Form {
        let options = &self.options;
        let is_open = options.public && !options.members_only && options.password.is_empty();
        let hundredths = self.activity.per_hour_hundredths(hour_of(now));
        match hundredths.filter(|_| options.persistent && is_open) {
            Some(hundredths) => {
                let value = format!("{}.{:02}", hundredths / 100, hundredths % 100);
                form.text(FIELD, "Messages per hour", &value)
            }
            None => form, // §3.1: no placeholder.
        }
    }

    /// Writes the counts of a stored room, if there is news. A room does not fail over them.
    pub fn keep_activity(&mut self, cx: &mut Cx) {
        if self.is_stored
            && self.activity.is_changed
            && let Err(error) = self.store_activity(cx)
        {
            log::warn!("{}: its activity is not stored: {error:?}", self.jid);
        }
    }

    /// Writes the counts of a room that is stored in this turn at the latest.
    pub fn store_activity(&mut self, cx: &mut Cx) -> Result<(), StorageError> {
        self.activity.begin(hour_of(cx.now));
        if let Some(stored) = self.activity.to_stored() {
            cx.storage.room_activity_put(&self.jid, &stored)?;
            self.activity.is_changed = false;
            self.mark_written(cx);
        }
        Ok(())
    }

    /// Reads the counts of a stored room. What memory knows is newer: when a commit was lost, it
    /// is only to be written again.
    pub fn load_activity(&mut self, cx: &mut Cx) -> Result<(), StorageError> {
        if self.activity.since_hour.is_some() {
            self.activity.is_changed = true;
        } else if let Some(stored) = cx.storage.room_activity(&self.jid)? {
            self.activity = Activity::from_stored(&stored);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts as many messages in each hour from 1000 on as `said` says.
    fn after(said: &[u32]) -> Activity {
        let mut activity = Activity::default();
        for (hour, messages) in (1000..).zip(said) {
            for _ in 0..*messages {
                activity.count(hour);
            }
        }
        activity
    }

    #[test]
    fn the_mean_of_the_full_hours_watched() {
        let busy: Vec<u32> = (0..30).map(|_| 6).collect();
        for (said, hour, want) in [
            (&[][..], 1000, None),
            (&[5], 1000, None),
            (&[5], 1001, None), // The first hour was not watched in full.
            (&[5], 1002, Some(0)),
            (&[5, 4], 1002, Some(400)),
            (&[5, 4], 1003, Some(200)),
            (&[5, 4, 3], 1002, Some(400)), // The third still runs.
            (&[5, 4, 3], 1004, Some(233)),
            (&[5, 1, 1], 1003, Some(100)),
            (&[5, 2], 1004, Some(67)),
            (&busy, 1029, Some(600)),
            (&busy, 1029 + 13, Some(300)),
            (&busy, 1029 + 24, Some(25)),
            (&busy, 1029 + 25, Some(0)),
            (&busy, i64::MAX, Some(0)),
            (&busy, 0, None), // The clock was set back.
        ] {
            assert_eq!(after(said).per_hour_hundredths(hour), want, "{said:?} at {hour}");
        }
    }

    #[test]
    fn an_hour_turns_once_and_never_back() {
        let mut activity = Activity::default();
        let turns = [1000, 1000, 1001, 999, 1001, 1050].map(|hour| activity.count(hour));
        assert_eq!(turns, [false, false, true, false, false, true]);
        assert_eq!(activity.counts.iter().sum::<u32>(), 1);
    }

    #[test]
    fn stored_and_read_again() {
        let mut activity = after(&[1, 2, 3]);
        let stored = activity.to_stored().expect("it counts");
        assert_eq!(
            (stored.since_hour, stored.hour, &stored.counts[..4]),
            (1000, 1002, &[3, 2, 1, 0][..])
        );
        let mut again = Activity::from_stored(&stored);
        assert_eq!(again.per_hour_hundredths(1003), activity.per_hour_hundredths(1003));
        assert_eq!(again.count(1003), activity.count(1003));
        assert_eq!(again.counts, activity.counts);
        // Of another version, with more counters or with fewer.
        let counts = vec![7; 40];
        assert_eq!(Activity::from_stored(&StoredActivity { counts, ..stored }).counts, [7; 25]);
    }
}
