//! Reserved nicks (XEP-0045 §7.2.8, §7.6, §7.12, §9.3, §9.5): a part of the affiliation list, one
//! for each account at most. Nobody else enters with one or changes to one. Two nicks are in
//! conflict when their keys are the same (WIRE 38).
//!
//! Nicks are not locked down: who has reserved one may come under another (§7.12). Whoever sits
//! under a nick when an admin reserves it for somebody else stays as it is: the text forbids to
//! come, not to be there. By registering, though, nobody takes a nick that another is using
//! (register.rs). Domains and outcasts have none (§9.1).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::changes::AffiliationChanges;
use super::room::Room;
use crate::config::Config;
use crate::cx::Cx;
use crate::storage::{AffiliationEntry, StorageError};
use crate::xml::Element;
use crate::xmpp::disco::{DiscoInfo, Identity};
use crate::xmpp::jid::{nick_key, prepare_nick};
use crate::xmpp::{Affiliation, BareJid, Condition, StanzaError};

/// New reserved nicks of accounts whose entry is changed as well, or written anew as it was;
/// `None` takes the nick away.
pub type NickChanges = BTreeMap<BareJid, Option<String>>;

/// Finds who has reserved a nick.
#[derive(Default)]
pub struct Reserved {
    /// By conflict key. May name an account that has the nick no more: the affiliation list, which
    /// others change, has the last word. Invariant: not longer than that list after a change.
    accounts: HashMap<String, BareJid>,
}

/// A nick that somebody is to have: something is seen of it (§17.1), and it is not too long.
pub fn check_reservable(config: &Config, text: &str) -> Result<String, StanzaError> {
    let nick = prepare_nick(text).map_err(|_| {
        StanzaError::new(Condition::NotAcceptable).with_text("this cannot be a nick")
    })?;
    super::check_text_len(config, nick.len())?;
    Ok(nick)
}

impl Room {
    /// The account that has reserved this nick, or one in conflict with it.
    fn reserver(&self, key: &str) -> Option<&BareJid> {
        let account = self.reserved.accounts.get(key)?;
        let nick = self.reserved_nick(account)?;
        (nick_key(nick) == key).then_some(account)
    }

    /// The nick that an account has reserved.
    pub fn reserved_nick(&self, account: &BareJid) -> Option<&str> {
        self.affiliations.get(account)?.nick.as_deref()
    }

    /// Refuses a nick that is reserved by somebody else (§7.2.8, §7.6).
    pub fn check_not_reserved(&self, nick: &str, account: &BareJid) -> Result<(), Condition> {
        if self.reserved.accounts.is_empty() {
            return Ok(());
        }
        let is_own = self.reserver(&nick_key(nick)).is_none_or(|holder| holder == account);
        if is_own { Ok(()) } else { Err(Condition::Conflict) }
    }

    /// What the node of reserved nicks answers to an account (§7.12): its nick, or nothing.
    pub fn reserved_nick_info(&self, account: &BareJid, node: &str) -> Element {
        let name = self.reserved_nick(account).map(str::to_owned);
        let identity = name.map(|name| Identity { category: "conference", kind: "text", name });
        let info = DiscoInfo { identities: identity.into_iter().collect(), ..DiscoInfo::default() };
        info.to_element(Some(node))
    }

    /// Refuses new nicks of which one would be reserved twice when all the changes are done.
    pub fn check_nicks(
        &self,
        changes: &AffiliationChanges,
        nicks: &NickChanges,
    ) -> Result<(), Condition> {
        let mut keys = BTreeSet::new();
        for (account, nick) in nicks {
            let Some(key) = nick.as_deref().map(nick_key) else { continue };
            let holder = self.reserver(&key).filter(|holder| *holder != account);
            // Set free by the same request: given another or none, or no entry is left.
            let is_freed = |holder: &BareJid| {
                let change = changes.get(holder);
                nicks.contains_key(holder)
                    || change.is_some_and(|(new, _)| *new < Affiliation::Member)
            };
            if holder.is_some_and(|holder| !is_freed(holder)) || !keys.insert(key) {
                return Err(Condition::Conflict);
            }
        }
        Ok(())
    }

    /// Writes new nicks to the database, when the room is there; the changes are written already.
    pub fn store_nicks(
        &mut self,
        cx: &mut Cx,
        changes: &AffiliationChanges,
        nicks: &NickChanges,
    ) -> Result<(), StorageError> {
        if !self.is_stored {
            return Ok(());
        }
        for (account, nick) in nicks {
            let Some(change) = changes.get(account) else { continue };
            let entry =
                AffiliationEntry { nick: nick.clone(), ..self.entry_after(account, change) };
            if self.affiliations.get(account) != Some(&entry) {
                cx.storage.room_affiliation(&self.jid, &entry)?;
                self.mark_written(cx);
            }
        }
        Ok(())
    }

    /// Takes over new nicks that are written; the changes are taken over already.
    pub fn take_nicks(&mut self, nicks: &NickChanges) {
        for (account, nick) in nicks {
            let Some(entry) = self.affiliations.get_mut(account) else { continue };
            let old = std::mem::replace(&mut entry.nick, nick.clone());
            if let Some(key) = old.as_deref().map(nick_key)
                && self.reserved.accounts.get(&key) == Some(account)
            {
                self.reserved.accounts.remove(&key);
            }
            if let Some(nick) = nick {
                self.reserved.accounts.insert(nick_key(nick), account.clone());
            }
        }
        if self.reserved.accounts.len() > self.affiliations.len() {
            self.index_nicks();
        }
    }

    /// The affiliation list was read, or holds fewer nicks than the index: finds all of them anew.
    pub fn index_nicks(&mut self) {
        let entries = self.affiliations.values();
        let nicks = entries.filter_map(|entry| Some((entry.nick.as_deref()?, &entry.jid)));
        self.reserved.accounts =
            nicks.map(|(nick, account)| (nick_key(nick), account.clone())).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RoomOptions;

    #[test]
    fn advisory_a20_the_index_follows_the_list() {
        let jid = |text: &str| BareJid::parse(text).expect("an address");
        let mut room = Room::new(jid("r@c"), 0, RoomOptions::default(), Vec::new());
        let (owner, member) = (jid("owner@h"), jid("member@h"));
        let reserve = |room: &mut Room, account: &BareJid, new: Affiliation, nick: &str| {
            let changes = AffiliationChanges::from([(account.clone(), (new, None))]);
            let nicks = NickChanges::from([(account.clone(), Some(nick.to_owned()))]);
            let result = room.check_nicks(&changes, &nicks);
            if result.is_ok() {
                room.take_affiliations(&changes);
                room.take_nicks(&nicks);
            }
            result
        };
        assert_eq!(reserve(&mut room, &owner, Affiliation::Owner, "Straße"), Ok(()));
        let taken = reserve(&mut room, &member, Affiliation::Member, "STRASSE");
        assert_eq!(taken, Err(Condition::Conflict));
        assert!(room.check_not_reserved("strasse", &member).is_err());
        assert!(room.check_not_reserved("strasse", &owner).is_ok());
        // Others take entries away and know nothing of the index.
        for number in 0..100 {
            let nick = format!("nick{number}");
            assert_eq!(reserve(&mut room, &member, Affiliation::Member, &nick), Ok(()));
            assert!(room.check_not_reserved(&nick, &owner).is_err());
            room.affiliations.remove(&member);
            assert!(room.check_not_reserved(&nick, &owner).is_ok(), "{nick}");
            assert!(room.reserved.accounts.len() <= 2);
        }
    }
}
