//! How much an account may have read from the database, and written to it, by stanzas that do not
//! show what they cost: a join of a few bytes may ask for a room with thousands of affiliations,
//! and the list of rooms for all of them. What is over the allowance is refused and may be tried
//! again a moment later; whoever comes to its rooms once never sees that.

use std::collections::HashMap;

use crate::cx::Now;
use crate::xmpp::{BareJid, Condition, ErrorType, StanzaError};

/// Rows that may be touched at once.
const ROWS_AT_ONCE: u64 = 100_000;
/// Rows that may be touched each second in the long run.
const ROWS_PER_SECOND: u64 = 5_000;
/// When more accounts than this are known, those who owe nothing are forgotten.
const ACCOUNTS_MAX: usize = 1_000;

/// What a row costs that has to be understood (the options of a room), or written.
pub const DEAR_ROW: usize = 10;

/// What an account owed at some time.
struct Debt {
    rows: u64,
    mono_ms: u64,
}

impl Debt {
    fn at(&self, now: Now) -> u64 {
        let paid = now.mono_ms.saturating_sub(self.mono_ms).saturating_mul(ROWS_PER_SECOND) / 1000;
        self.rows.saturating_sub(paid)
    }
}

/// The allowances of all accounts.
#[derive(Default)]
pub struct Allowances {
    debts: HashMap<BareJid, Debt>,
}

impl Allowances {
    /// Refuses an account that has used up its allowance.
    pub fn check(&self, account: &BareJid, now: Now) -> Result<(), StanzaError> {
        let owed = self.debts.get(account).map_or(0, |debt| debt.at(now));
        if owed < ROWS_AT_ONCE {
            return Ok(());
        }
        let error = StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait);
        Err(error.with_text("too much was asked for; try again in a moment"))
    }

    /// Counts rows that an account has caused to be touched.
    pub fn charge(&mut self, account: &BareJid, rows: usize, now: Now) {
        let owed = self.debts.get(account).map_or(0, |debt| debt.at(now));
        if self.debts.len() >= ACCOUNTS_MAX {
            self.debts.retain(|_, debt| debt.at(now) > 0);
        }
        let debt = Debt { rows: owed.saturating_add(rows as u64), mono_ms: now.mono_ms };
        self.debts.insert(account.clone(), debt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, unix_ms: 0 }
    }

    #[test]
    fn used_up_and_paid_back() {
        let (romeo, juliet) =
            ["romeo@h", "juliet@h"].map(|text| BareJid::parse(text).expect("an address")).into();
        let mut allowances = Allowances::default();
        for _ in 0..10 {
            assert!(allowances.check(&romeo, at(0)).is_ok());
            allowances.charge(&romeo, 10_001, at(0));
        }
        let error = allowances.check(&romeo, at(0)).expect_err("used up");
        assert_eq!(error.condition, Condition::ResourceConstraint);
        assert!(allowances.check(&juliet, at(0)).is_ok());
        assert!(allowances.check(&romeo, at(1)).is_err());
        assert!(allowances.check(&romeo, at(10)).is_ok());
        allowances.charge(&romeo, 100, at(10));
        assert!(allowances.check(&romeo, at(10)).is_err());
        assert!(allowances.check(&romeo, at(60_000)).is_ok());
    }

    #[test]
    fn accounts_that_owe_nothing_are_forgotten() {
        let mut allowances = Allowances::default();
        for number in 0..3 * ACCOUNTS_MAX {
            let account = BareJid::parse(&format!("a{number}@h")).expect("an address");
            allowances.charge(&account, 5, at(number as u64));
        }
        assert!(allowances.debts.len() <= ACCOUNTS_MAX);
    }
}
