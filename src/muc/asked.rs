//! Who has asked those in charge for something: voice (voice_requests.rs),
//! membership (register.rs). Each
//! request is a message to several people, so one account makes one a minute, and a room passes on
//! only so many of them.

use std::collections::BTreeMap;

use crate::cx::Now;
use crate::xmpp::{BareJid, Condition, ErrorType, StanzaError};

/// One account asks once in so long.
const INTERVAL_MS: u64 = 60_000;
/// Accounts that may ask in that time.
const ACCOUNTS_MAX: usize = 100;

/// When accounts have asked.
#[derive(Debug, Default)]
pub struct Asked {
    /// Invariant: at most `ACCOUNTS_MAX`.
    times_ms: BTreeMap<BareJid, u64>,
}

impl Asked {
    /// Refuses a request that comes too early; [`Self::note`] counts one that was passed on.
    pub fn check(&mut self, account: &BareJid, now: Now) -> Result<(), StanzaError> {
        self.times_ms.retain(|_, asked_ms| now.mono_ms.saturating_sub(*asked_ms) < INTERVAL_MS);
        let text = if self.times_ms.contains_key(account) {
            "you have asked already; wait a minute"
        } else if self.times_ms.len() >= ACCOUNTS_MAX {
            "too many are asking; wait a minute"
        } else {
            return Ok(());
        };
        let error = StanzaError::new(Condition::PolicyViolation).with_type(ErrorType::Wait);
        Err(error.with_text(text))
    }

    /// Counts a request that was checked.
    pub fn note(&mut self, account: &BareJid, now: Now) {
        self.times_ms.insert(account.clone(), now.mono_ms);
    }

    /// An account is no more: the next of its name does not wait for it.
    pub fn forget(&mut self, account: &BareJid) {
        self.times_ms.remove(account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute_and_so_many() {
        let at = |mono_ms| Now { mono_ms, unix_ms: 0 };
        let account = |number: usize| BareJid::parse(&format!("a{number}@h")).expect("an address");
        let mut asked = Asked::default();
        for number in 0..ACCOUNTS_MAX {
            assert!(asked.check(&account(number), at(5)).is_ok());
            asked.note(&account(number), at(5));
        }
        for number in [0, ACCOUNTS_MAX] {
            let error = asked.check(&account(number), at(60_004)).expect_err("too early");
            assert_eq!(
                (error.condition, error.kind),
                (Condition::PolicyViolation, ErrorType::Wait)
            );
        }
        assert!(asked.check(&account(0), at(60_005)).is_ok());
        assert!(asked.times_ms.is_empty());
    }
}
