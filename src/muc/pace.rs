//! How fast and how much somebody may speak: slow mode (XEP-0500), the room's own limits, and
//! that of the service (`limits.room_messages_per_second`).
//!
//! What is over a limit is refused with `policy-violation` and reaches nobody; it costs nothing
//! either, so a refused message makes no wait longer. Limits go by account, across nicks and
//! sessions (XEP-0500 §8). Slow mode and the owner's limits are for messages to all, and spare
//! admins and owners (XEP-0500 §6). The service's limit spares nobody and counts whatever the room
//! has to pass on: messages to all, to one, and about the room (invitations, requests for voice),
//! requests to other sessions, joins, changes of nick and of presence, registrations; wrong
//! passwords too. Going is never refused; a resync that changes nothing costs of the allowance
//! (allowance.rs) alone.
//!
//! Rates are token buckets in whole numbers. An account is remembered while it has to wait for
//! something, at most [`ACCOUNTS_MAX`] of them; a persistent room that is not in memory leaves
//! that with the service ([`Resting`]). A restart forgets it.

use std::collections::HashMap;

use super::occupant::Occupant;
use super::room::Room;
use crate::cx::Cx;
use crate::xml::writer::write_element;
use crate::xmpp::{Affiliation, BareJid, Condition, ErrorType, Stanza, StanzaError, ns};

/// Accounts that a room remembers; over it those are forgotten who would wait the least.
const ACCOUNTS_MAX: usize = 20_000;
/// Accounts that are remembered for all rooms out of memory.
const RESTING_ACCOUNTS_MAX: usize = 20_000;
/// A table of fewer accounts is not looked through for those that may be forgotten.
const ACCOUNTS_SWEPT_MIN: usize = 64;
/// Seconds' worth of the service's limit that may come at once.
const BURST_SECONDS: u64 = 5;

/// So many messages in a period, in the long run, and so many at once.
#[derive(Clone, Copy)]
struct Rate {
    /// 0: no limit.
    messages: u64,
    period_ms: u64,
    burst: u64,
}

impl Rate {
    fn of_service(messages_per_second: u32) -> Self {
        let messages = u64::from(messages_per_second);
        Self { messages, period_ms: 1_000, burst: messages * BURST_SECONDS }
    }

    fn of_room(messages_per_minute: u32) -> Self {
        let messages = u64::from(messages_per_minute);
        Self { messages, period_ms: 60_000, burst: messages }
    }
}

/// What was owed at a time, in such parts of a message that each millisecond pays as many of them
/// as the rate has messages: one message is `period_ms` parts.
#[derive(Clone, Copy, Default)]
struct Bucket {
    owed: u64,
    mono_ms: u64,
}

impl Bucket {
    fn owed_at(self, rate: Rate, now_ms: u64) -> u64 {
        let elapsed_ms = now_ms.saturating_sub(self.mono_ms);
        self.owed.saturating_sub(elapsed_ms.saturating_mul(rate.messages))
    }

    /// Milliseconds until one more message fits; 0: now.
    fn wait_ms(self, rate: Rate, now_ms: u64) -> u64 {
        if rate.messages == 0 {
            return 0;
        }
        let owed = self.owed_at(rate, now_ms) + rate.period_ms;
        owed.saturating_sub(rate.burst * rate.period_ms).div_ceil(rate.messages)
    }

    /// Counts a message; returns when all is paid.
    fn count(&mut self, rate: Rate, now_ms: u64) -> u64 {
        if rate.messages == 0 {
            return now_ms;
        }
        let owed = self.owed_at(rate, now_ms) + rate.period_ms;
        *self = Self { owed, mono_ms: now_ms };
        now_ms + owed.div_ceil(rate.messages)
    }
}

/// What is known of an account.
#[derive(Clone, Copy, Default)]
struct Pace {
    /// When it last said something in slow mode.
    spoke_ms: Option<u64>,
    service: Bucket,
    room: Bucket,
    /// From then on it is as if it had never said anything.
    until_ms: u64,
}

/// When accounts have spoken.
pub struct Paces {
    accounts: HashMap<BareJid, Pace>,
    /// When there are so many, those that may be are forgotten.
    swept_at: usize,
}

impl Default for Paces {
    fn default() -> Self {
        Self { accounts: HashMap::new(), swept_at: ACCOUNTS_SWEPT_MIN }
    }
}

impl Paces {
    fn get(&self, account: &BareJid) -> Pace {
        self.accounts.get(account).copied().unwrap_or_default()
    }

    fn set(&mut self, account: &BareJid, pace: Pace, now_ms: u64) {
        if pace.until_ms <= now_ms {
            return;
        }
        if let Some(known) = self.accounts.get_mut(account) {
            *known = pace;
            return;
        }
        if self.accounts.len() >= self.swept_at {
            self.forget_past(now_ms);
            if self.accounts.len() >= ACCOUNTS_MAX {
                self.forget_soonest(ACCOUNTS_MAX / 4);
            }
            self.swept_at = (self.accounts.len() * 2).clamp(ACCOUNTS_SWEPT_MIN, ACCOUNTS_MAX);
        }
        self.accounts.insert(account.clone(), pace);
    }

    fn forget_past(&mut self, now_ms: u64) {
        self.accounts.retain(|_, pace| pace.until_ms > now_ms);
    }

    fn forget_soonest(&mut self, count: usize) {
        let mut ends: Vec<_> =
            self.accounts.iter().map(|(jid, pace)| (pace.until_ms, jid.clone())).collect();
        ends.sort_unstable();
        for (_, account) in ends.into_iter().take(count) {
            self.accounts.remove(&account);
        }
    }

    /// An account is no more: the next of its name does not wait for it.
    pub fn forget(&mut self, account: &BareJid) {
        self.accounts.remove(account);
    }

    /// When the last wait is over.
    fn until_ms(&self) -> u64 {
        self.accounts.values().map(|pace| pace.until_ms).max().unwrap_or(0)
    }
}

/// The paces of persistent rooms that are out of memory, while somebody has to wait: else slow
/// mode would end with the last occupant's going.
#[derive(Default)]
pub struct Resting {
    rooms: HashMap<BareJid, Paces>,
    /// Invariant: how many there are in all `rooms`.
    accounts: usize,
}

impl Resting {
    /// A room goes out of memory.
    pub fn put(&mut self, room: &BareJid, mut paces: Paces, now_ms: u64) {
        paces.forget_past(now_ms);
        if paces.accounts.is_empty() {
            return;
        }
        self.take(room);
        self.accounts += paces.accounts.len();
        self.rooms.insert(room.clone(), paces);
        if self.accounts > RESTING_ACCOUNTS_MAX {
            self.shrink(now_ms);
        }
    }

    /// A room comes back.
    pub fn take(&mut self, room: &BareJid) -> Paces {
        let paces = self.rooms.remove(room).unwrap_or_default();
        self.accounts -= paces.accounts.len();
        paces
    }

    /// An account is no more.
    pub fn forget(&mut self, account: &BareJid) {
        for paces in self.rooms.values_mut() {
            if paces.accounts.remove(account).is_some() {
                self.accounts -= 1;
            }
        }
    }

    /// Forgets the rooms whose last wait is over, then those where it ends the soonest, until
    /// there is room for a good while.
    fn shrink(&mut self, now_ms: u64) {
        let mut ends: Vec<_> =
            self.rooms.iter().map(|(room, paces)| (paces.until_ms(), room.clone())).collect();
        ends.sort_unstable();
        for (until_ms, room) in ends {
            if until_ms > now_ms && self.accounts <= RESTING_ACCOUNTS_MAX / 2 {
                return;
            }
            self.take(&room);
        }
    }
}

fn too_fast(wait_ms: u64, what: &str) -> StanzaError {
    let seconds = wait_ms.div_ceil(1_000);
    let error = StanzaError::new(Condition::PolicyViolation).with_type(ErrorType::Wait);
    error.with_text(format!("{what}; try again in {seconds} s"))
}

fn check_rate(wait_ms: u64) -> Result<(), StanzaError> {
    if wait_ms > 0 { Err(too_fast(wait_ms, "too much at once")) } else { Ok(()) }
}

/// Refuses a message that is larger than the owner wants them: what the client put into it, as
/// it is written.
fn check_bytes(message: &Stanza, bytes_max: usize) -> Result<(), StanzaError> {
    let mut bytes = Vec::new();
    for element in message.elements() {
        write_element(&mut bytes, element, ns::CLIENT);
        if bytes.len() > bytes_max {
            let text = format!("the message is too long: this room takes {bytes_max} bytes");
            return Err(StanzaError::new(Condition::PolicyViolation).with_text(text));
        }
    }
    Ok(())
}

impl Room {
    /// Milliseconds of slow mode, and the owner's rate, for somebody.
    fn own_limits(&self, speaker: &Occupant) -> (u64, Rate) {
        if speaker.affiliation >= Affiliation::Admin {
            return (0, Rate::of_room(0));
        }
        let slow_ms = u64::from(self.options.slow_mode_seconds) * 1_000;
        (slow_ms, Rate::of_room(self.options.messages_per_minute))
    }

    /// Refuses a message to all that is too large, or comes too early.
    pub fn check_pace(
        &self,
        cx: &Cx,
        speaker: &Occupant,
        message: &Stanza,
    ) -> Result<(), StanzaError> {
        let bytes_max = self.options.message_bytes as usize;
        if bytes_max > 0 && speaker.affiliation < Affiliation::Admin {
            check_bytes(message, bytes_max)?;
        }
        let now_ms = cx.now.mono_ms;
        let pace = self.paces.get(&speaker.account);
        let (slow_ms, rate) = self.own_limits(speaker);
        let is_counted = slow_ms > 0 && message.child("body", ns::CLIENT).is_some();
        if is_counted && let Some(spoke_ms) = pace.spoke_ms {
            let wait_ms = (spoke_ms + slow_ms).saturating_sub(now_ms);
            if wait_ms > 0 {
                let seconds = self.options.slow_mode_seconds; // XEP-0500 §6: SHOULD be said.
                let what = format!("slow mode: {seconds} s between two messages");
                return Err(too_fast(wait_ms, &what));
            }
        }
        check_rate(pace.room.wait_ms(rate, now_ms))?;
        let service = Rate::of_service(cx.config.limits.room_messages_per_second);
        check_rate(pace.service.wait_ms(service, now_ms))
    }

    /// Counts a message that is sent to all, after [`Self::check_pace`].
    pub fn note_spoken(&mut self, cx: &Cx, speaker: &Occupant, has_body: bool) {
        let now_ms = cx.now.mono_ms;
        let (slow_ms, rate) = self.own_limits(speaker);
        let service = Rate::of_service(cx.config.limits.room_messages_per_second);
        let mut pace = self.paces.get(&speaker.account);
        if slow_ms > 0 && has_body {
            pace.spoke_ms = Some(now_ms);
        }
        let until_ms = pace.service.count(service, now_ms).max(pace.room.count(rate, now_ms));
        let slow_until_ms = pace.spoke_ms.map_or(0, |spoke_ms| spoke_ms + slow_ms);
        pace.until_ms = pace.until_ms.max(until_ms).max(slow_until_ms);
        self.paces.set(&speaker.account, pace, now_ms);
    }

    /// Counts something else that the room passes on, by the service's limit alone; refuses it
    /// when it comes too early.
    pub fn spend(&mut self, cx: &Cx, account: &BareJid) -> Result<(), StanzaError> {
        let now_ms = cx.now.mono_ms;
        let service = Rate::of_service(cx.config.limits.room_messages_per_second);
        let mut pace = self.paces.get(account);
        check_rate(pace.service.wait_ms(service, now_ms))?;
        pace.until_ms = pace.until_ms.max(pace.service.count(service, now_ms));
        self.paces.set(account, pace, now_ms);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(number: usize) -> BareJid {
        BareJid::parse(&format!("a{number}@h")).expect("an address")
    }

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_the_rate() {
        for (rate, burst, step_ms) in [
            (Rate::of_service(20), 100, 50),
            (Rate::of_service(3), 15, 334),
            (Rate::of_room(1), 1, 60_000),
            (Rate::of_room(7), 7, 8_572),
        ] {
            let mut bucket = Bucket::default();
            let start_ms = 5_000;
            for _ in 0..burst {
                assert_eq!(bucket.wait_ms(rate, start_ms), 0);
                bucket.count(rate, start_ms);
            }
            assert_eq!(bucket.wait_ms(rate, start_ms), step_ms);
            assert_eq!(bucket.wait_ms(rate, start_ms + step_ms - 1), 1);
            assert_eq!(bucket.wait_ms(rate, start_ms + step_ms), 0);
            let paid_ms = bucket.count(rate, start_ms + step_ms);
            assert_eq!(bucket.owed_at(rate, paid_ms), 0);
            assert!(bucket.owed_at(rate, paid_ms - 1) > 0);
        }
    }

    #[test]
    fn no_rate_is_no_limit_and_no_memory() {
        let (rate, mut bucket) = (Rate::of_service(0), Bucket::default());
        for _ in 0..1_000 {
            assert_eq!((bucket.wait_ms(rate, 7), bucket.count(rate, 7)), (0, 7));
        }
        let mut paces = Paces::default();
        paces.set(&jid(1), Pace { until_ms: 7, ..Pace::default() }, 7);
        assert!(paces.accounts.is_empty());
    }

    #[test]
    fn who_has_nothing_to_wait_for_is_forgotten() {
        let mut paces = Paces::default();
        for number in 0..1_000 {
            let until_ms = number as u64 + 10;
            paces.set(&jid(number), Pace { until_ms, ..Pace::default() }, number as u64);
            assert!(paces.accounts.len() <= ACCOUNTS_SWEPT_MIN);
        }
    }

    #[test]
    fn a_room_remembers_only_so_many() {
        let mut paces = Paces::default();
        for number in 0..ACCOUNTS_MAX + 10 {
            let until_ms = 1_000_000 + number as u64;
            paces.set(&jid(number), Pace { until_ms, ..Pace::default() }, 0);
            assert!(paces.accounts.len() <= ACCOUNTS_MAX);
        }
        // Those who would wait the least are let go.
        assert_eq!(paces.get(&jid(0)).until_ms, 0);
        assert!(paces.get(&jid(ACCOUNTS_MAX)).until_ms > 0);
    }

    #[test]
    fn rooms_at_rest_are_remembered_while_somebody_waits() {
        let with = |count: usize, until_ms: u64| {
            let mut paces = Paces::default();
            for number in 0..count {
                paces.set(&jid(number), Pace { until_ms, ..Pace::default() }, 0);
            }
            paces
        };
        let mut resting = Resting::default();
        resting.put(&jid(1), with(3, 100), 100);
        assert_eq!((resting.rooms.len(), resting.accounts), (0, 0), "all waits are over");
        resting.put(&jid(1), with(3, 101), 100);
        assert_eq!(resting.accounts, 3);
        resting.forget(&jid(2));
        assert_eq!(resting.accounts, 2);
        assert_eq!(resting.take(&jid(1)).accounts.len(), 2);
        assert_eq!((resting.rooms.len(), resting.accounts), (0, 0));
        for number in 0..=RESTING_ACCOUNTS_MAX / 100 {
            resting.put(&jid(number), with(100, 1_000 + number as u64), 0);
        }
        assert!(resting.accounts <= RESTING_ACCOUNTS_MAX / 2);
        let counted: usize = resting.rooms.values().map(|paces| paces.accounts.len()).sum();
        assert_eq!(counted, resting.accounts);
        assert_eq!(resting.take(&jid(0)).accounts.len(), 0, "the soonest is gone first");
    }
}
