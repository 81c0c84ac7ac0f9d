//! Whom the connected accounts have blocked (XEP-0191): what `im` reads and changes, and rooms look
//! at, which write straight into the outboxes of their occupants.
//!
//! A list is here when its account has sessions, has needed it, and blocks somebody: so where
//! nobody blocks anybody, looking costs one `is_empty`. A session's first stanza to anybody brings
//! the list of its account here, before that stanza passes: nobody is in a room without it. Whether
//! to refuse, to drop or to say something is decided elsewhere.

use std::collections::{BTreeSet, HashMap};

use crate::storage::{Storage, StorageError};
use crate::xmpp::{BareJid, Jid};

/// The addresses that one account blocks. Bounded by `limits.blocked_addresses`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockList(BTreeSet<String>);

/// The lists of connected accounts.
#[derive(Default)]
pub struct Blocks {
    /// Invariant: none of them is empty.
    lists: HashMap<BareJid, BlockList>,
}

/// What a block of `other` may be written as (XEP-0191 §6): the address itself, with or without a
/// local part; all resources of it; its domain with all that is there. `None` for what an account
/// cannot block: itself (§5), and the server that it lives on, which it could not ask to unblock
/// anybody any more. The users of that server it can.
fn forms<'a>(account: &BareJid, other: &'a Jid) -> Option<[&'a str; 3]> {
    let is_own_server = other.local().is_none() && other.domain() == account.domain();
    let is_own = other.bare_str() == account.as_str();
    (!is_own && !is_own_server).then(|| [other.as_str(), other.bare_str(), other.domain()])
}

/// Whether an account, connected or not, has blocked `other`.
pub fn is_stored(
    storage: &mut Storage,
    account: &BareJid,
    other: &Jid,
) -> Result<bool, StorageError> {
    forms(account, other).map_or(Ok(false), |forms| storage.blocked_any(account, &forms))
}

impl BlockList {
    /// A list of addresses.
    pub fn new(addresses: impl IntoIterator<Item = String>) -> Self {
        Self(addresses.into_iter().collect())
    }

    /// True when `account`, whose list this is, blocks `other`.
    pub fn covers(&self, account: &BareJid, other: &Jid) -> bool {
        let forms = forms(account, other);
        forms.is_some_and(|forms| forms.iter().any(|&form| self.0.contains(form)))
    }

    /// The addresses, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nobody is blocked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an address.
    pub fn insert(&mut self, jid: &Jid) {
        self.0.insert(jid.as_str().to_owned());
    }

    /// Takes an address away.
    pub fn remove(&mut self, jid: &Jid) {
        self.0.remove(jid.as_str());
    }
}

impl Blocks {
    /// True when no connected account blocks anybody.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// The list of a connected account that blocks somebody.
    pub fn of(&self, account: &BareJid) -> Option<&BlockList> {
        self.lists.get(account)
    }

    /// True when a connected account blocks `other`.
    pub fn has_blocked(&self, account: &BareJid, other: &Jid) -> bool {
        !self.is_empty() && self.of(account).is_some_and(|list| list.covers(account, other))
    }

    /// The list of a connected account, as storage has it.
    pub fn put(&mut self, account: &BareJid, list: BlockList) {
        if list.is_empty() {
            self.forget(account);
        } else {
            self.lists.insert(account.clone(), list);
        }
    }

    /// An account has no sessions any more, or what is known of it is not certain.
    pub fn forget(&mut self, account: &BareJid) {
        self.lists.remove(account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(blocked: &str, covered: &[&str], free: &[&str]) {
        let account = BareJid::parse("juliet@capulet.lit").expect("an address");
        let mut blocks = Blocks::default();
        blocks.put(&account, BlockList::new([blocked.to_owned()]));
        let has =
            |other: &str| blocks.has_blocked(&account, &Jid::parse(other).expect("an address"));
        for other in covered {
            assert!(has(other), "{blocked} covers {other}");
        }
        for other in free {
            assert!(!has(other), "{blocked} does not cover {other}");
        }
    }

    /// XEP-0191 §6.
    #[test]
    fn what_an_address_covers() {
        let (romeo, phone) = ("romeo@montague.lit", "romeo@montague.lit/phone");
        check(phone, &[phone], &[romeo, "romeo@montague.lit/home", "montague.lit"]);
        check(romeo, &[romeo, phone], &["benvolio@montague.lit", "montague.lit"]);
        check("montague.lit/phone", &["montague.lit/phone"], &["montague.lit", phone]);
        let domain = "montague.lit";
        check(domain, &[domain, romeo, phone, "montague.lit/x"], &["montague.lit.example"]);
    }

    #[test]
    fn neither_oneself_nor_ones_server() {
        let own = ["juliet@capulet.lit", "juliet@capulet.lit/balcony"];
        check("juliet@capulet.lit", &[], &own);
        let free = [own[0], own[1], "capulet.lit", "capulet.lit/x"];
        check("capulet.lit", &["tybalt@capulet.lit"], &free);
    }

    #[test]
    fn an_empty_list_is_none() {
        let account = BareJid::parse("juliet@capulet.lit").expect("an address");
        let mut blocks = Blocks::default();
        blocks.put(&account, BlockList::new(["a@b".to_owned()]));
        assert!(!blocks.is_empty());
        blocks.put(&account, BlockList::default());
        assert!(blocks.is_empty());
    }
}
