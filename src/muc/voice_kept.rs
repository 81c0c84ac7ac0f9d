//! Voice across visits (XEP-0045 §5.1): a moderated room should keep the distinction between
//! visitors and participants, for it means nothing if leaving and coming back undoes it. What
//! moderators have said about an account is remembered while the room lives in memory, until its
//! affiliation changes or the room is moderated no more. A role that is what everybody gets is not
//! remembered, and neither is a moderator's: it is one for a visit (§5.1.3).

use std::collections::BTreeMap;

use super::occupant::Occupant;
use super::privilege;
use super::room::Room;
use crate::xmpp::{Affiliation, BareJid, Role};

/// Accounts that are remembered; each stands for an act of a moderator.
const VOICES_MAX: usize = 1000;

/// The accounts whose voice differs from what they would have.
#[derive(Default)]
pub struct Voices {
    roles: BTreeMap<BareJid, Role>,
}

impl Voices {
    fn note(&mut self, account: &BareJid, default: Role, role: Role) {
        if role == default {
            self.roles.remove(account);
        } else if self.roles.len() < VOICES_MAX || self.roles.contains_key(account) {
            self.roles.insert(account.clone(), role);
        }
    }

    /// The affiliation of an account, or of a whole domain, has changed.
    pub fn forget(&mut self, jid: &BareJid) {
        match jid.local() {
            Some(_) => drop(self.roles.remove(jid)),
            None => self.roles.retain(|account, _| account.domain() != jid.domain()),
        }
    }

    /// The room is not moderated any more.
    pub fn clear(&mut self) {
        self.roles.clear();
    }
}

/// True for the roles between which moderators choose.
fn is_of_voice(role: Role) -> bool {
    matches!(role, Role::Visitor | Role::Participant)
}

impl Room {
    /// The role with which an account enters (§5.1.2), with or without the voice it had.
    pub fn role_on_entering(&self, account: &BareJid, affiliation: Affiliation) -> Role {
        let default = privilege::default_role(&self.options, affiliation);
        let kept = self.voices.roles.get(account).copied();
        kept.filter(|_| self.options.moderated && is_of_voice(default)).unwrap_or(default)
    }

    /// An occupant goes.
    pub fn note_voice(&mut self, occupant: &Occupant) {
        let default = privilege::default_role(&self.options, occupant.affiliation);
        if self.options.moderated && is_of_voice(default) {
            let role = occupant.role.min(Role::Participant);
            self.voices.note(&occupant.account, default, role);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(text: &str) -> BareJid {
        BareJid::parse(text).expect("an address")
    }

    #[test]
    fn remembered_forgotten_and_bounded() {
        let mut voices = Voices::default();
        voices.note(&account("a@h"), Role::Visitor, Role::Participant);
        voices.note(&account("b@h"), Role::Visitor, Role::Visitor);
        voices.note(&account("c@other"), Role::Participant, Role::Visitor);
        assert_eq!(voices.roles.len(), 2);
        voices.forget(&account("h"));
        assert_eq!(voices.roles.len(), 1);
        voices.note(&account("c@other"), Role::Participant, Role::Participant);
        assert!(voices.roles.is_empty());
        for number in 0..2 * VOICES_MAX {
            voices.note(&account(&format!("a{number}@h")), Role::Visitor, Role::Participant);
        }
        assert_eq!(voices.roles.len(), VOICES_MAX);
        voices.note(&account("a0@h"), Role::Participant, Role::Visitor);
        voices.forget(&account("a1@h"));
        assert_eq!(voices.roles.len(), VOICES_MAX - 1);
        assert_eq!(voices.roles[&account("a0@h")], Role::Visitor);
    }
}
