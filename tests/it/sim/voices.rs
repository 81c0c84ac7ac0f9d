//! Voice across visits, as the observer can know it (XEP-0045 §5.1): in a moderated room whoever
//! comes back has the voice that it went with. The room remembers in memory alone, and forgets with
//! a change of affiliation and when it is moderated no more. Where the observer cannot have seen
//! everything, nothing is known.

use std::collections::{BTreeMap, BTreeSet};

use tercet::xmpp::ns;

use super::acts::escape;
use super::ledger::bare;
use super::{OBSERVER, ROOMS, Sim};

/// Who has another role on entering than others of its affiliation.
#[derive(Clone, Debug, Default)]
pub struct Voices {
    roles: BTreeMap<String, &'static str>,
    /// Of these accounts it is not known.
    doubtful: BTreeSet<String>,
    /// Nothing was missed since the room remembered nobody.
    is_complete: bool,
}

/// A room as it was when somebody went, as far as that is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kind<'a> {
    pub moderated: Option<&'a str>,
    pub members_only: Option<&'a str>,
    /// All roles are told of to all.
    pub is_open: bool,
}

impl Voices {
    /// The room remembers nobody.
    pub fn begin(&mut self) {
        *self = Self { is_complete: true, ..Self::default() };
    }

    /// Something may have been missed.
    pub fn doubt(&mut self) {
        *self = Self::default();
    }

    /// An account has another affiliation.
    pub fn forget(&mut self, jid: &str) {
        let is_meant =
            |account: &String| bare(account) == jid || account.ends_with(&format!("@{jid}"));
        self.roles.retain(|account, _| !is_meant(account));
        self.doubtful.retain(|account| !is_meant(account));
    }

    /// Somebody went: with this affiliation, and out of this role.
    pub fn note(&mut self, account: &str, affiliation: &str, role: &str, kind: Kind<'_>) {
        let (Some(moderated), Some(members), true) =
            (kind.moderated, kind.members_only, kind.is_open)
        else {
            self.roles.remove(account);
            self.doubtful.insert(account.to_owned());
            return;
        };
        let default = match affiliation {
            "none" if members != "1" => "visitor",
            "member" => "participant",
            _ => return,
        };
        if moderated != "1" {
            return;
        }
        self.doubtful.remove(account);
        let role = if role == "visitor" { role } else { "participant" };
        match role {
            _ if role == default => drop(self.roles.remove(account)),
            "visitor" => drop(self.roles.insert(account.to_owned(), "visitor")),
            _ => drop(self.roles.insert(account.to_owned(), "participant")),
        }
    }

    /// The role with which an account comes back, where `default` is that of others. `None`: it is
    /// not known.
    pub fn role(&self, account: &str, default: &'static str) -> Option<&'static str> {
        if !self.is_complete || self.doubtful.contains(account) {
            return None;
        }
        Some(self.roles.get(account).copied().unwrap_or(default))
    }
}

impl Sim {
    /// Somebody is given the voice that it has not, or loses it, goes and comes back.
    pub(super) fn come_back(&mut self, who: usize, room: usize) -> Result<(), String> {
        let Some(stay) = self.people[who].stays.get(ROOMS[room]) else { return Ok(()) };
        let role = match stay.role.as_str() {
            "visitor" => "participant",
            "participant" => "visitor",
            _ => return Ok(()),
        };
        let item = format!("<item nick='{}' role='{role}'/>", escape(&stay.nick));
        let query = format!("<query xmlns='{}'>{item}</query>", ns::MUC_ADMIN);
        self.request(OBSERVER, "set", ROOMS[room], &query, &[]);
        self.settle()?;
        self.leave(who, room);
        self.settle()?;
        self.join_as(who, room, "Free", "pw")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembered_forgotten_and_doubted() {
        let kind = Kind { moderated: Some("1"), members_only: Some("0"), is_open: true };
        let mut voices = Voices::default();
        assert_eq!(voices.role("a@h", "visitor"), None);
        voices.begin();
        assert_eq!(voices.role("a@h", "visitor"), Some("visitor"));
        voices.note("a@h", "none", "moderator", kind);
        voices.note("b@h", "member", "visitor", kind);
        assert_eq!(voices.role("a@h", "visitor"), Some("participant"));
        assert_eq!(voices.role("b@h", "participant"), Some("visitor"));
        voices.forget("b@h");
        assert_eq!(voices.role("b@h", "participant"), Some("participant"));
        voices.note("a@h", "none", "visitor", Kind { moderated: None, ..kind });
        assert_eq!(voices.role("a@h", "visitor"), None);
        voices.note("a@h", "none", "visitor", kind);
        assert_eq!(voices.role("a@h", "visitor"), Some("visitor"));
        voices.doubt();
        assert_eq!(voices.role("c@h", "visitor"), None);
    }
}
