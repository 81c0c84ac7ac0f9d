//! Who sees whose presence: of a roster only what presence needs, kept in memory.
//!
//! The contacts of an account are read from storage when presence first needs them, that is when
//! one of its sessions becomes available, and kept while the account has sessions. Names and groups
//! are not here: they are read when somebody asks for the roster. Who has no contacts costs
//! nothing, and neither do contacts without a subscription.

use std::rc::Rc;

use crate::cx::Cx;
use crate::storage::{StorageError, Subscription};
use crate::xmpp::BareJid;

use super::Im;

/// The contacts of an account that have a subscription in either direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contacts {
    /// Sorted by address, each once; never with `Subscription::None`.
    list: Vec<(BareJid, Subscription)>,
}

impl Contacts {
    /// From what storage has.
    fn new(mut list: Vec<(BareJid, Subscription)>) -> Self {
        // Storage sorts by text; an address that is prepared otherwise today may stand elsewhere.
        list.sort_by(|one, other| one.0.cmp(&other.0));
        list.dedup_by(|one, other| one.0 == other.0);
        Self { list }
    }

    /// What there is with `contact`.
    pub(super) fn subscription(&self, contact: &BareJid) -> Subscription {
        let found = self.list.binary_search_by(|(jid, _)| jid.cmp(contact));
        found.map_or(Subscription::None, |at| self.list[at].1)
    }

    /// Notes a change.
    pub(super) fn set(&mut self, contact: &BareJid, subscription: Subscription) {
        match (self.list.binary_search_by(|(jid, _)| jid.cmp(contact)), subscription) {
            (Ok(at), Subscription::None) => {
                self.list.remove(at);
            }
            (Ok(at), _) => self.list[at].1 = subscription,
            (Err(_), Subscription::None) => {}
            (Err(at), _) => self.list.insert(at, (contact.clone(), subscription)),
        }
    }

    /// Those who see the account's presence (`from`, `both`).
    pub(super) fn subscribers(&self) -> impl Iterator<Item = &BareJid> {
        self.list.iter().filter(|(_, subscription)| subscription.is_from()).map(|(jid, _)| jid)
    }

    /// Those whose presence the account sees (`to`, `both`).
    pub(super) fn subscribed_to(&self) -> impl Iterator<Item = &BareJid> {
        self.list.iter().filter(|(_, subscription)| subscription.is_to()).map(|(jid, _)| jid)
    }
}

impl Im {
    /// True when `asker` may see the presence of `account`, and so may ask who it is (XEP-0030 §8):
    /// the account itself, and who has a subscription (`from` or `both` in the account's roster).
    pub fn is_subscriber(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        asker: &BareJid,
    ) -> Result<bool, StorageError> {
        Ok(account == asker || self.subscription(cx, account, asker)?.is_from())
    }

    /// How an account stands to a contact.
    pub(super) fn subscription(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<Subscription, StorageError> {
        let cached = self.accounts.get(account).and_then(|record| record.contacts.as_ref());
        match cached {
            Some(contacts) => Ok(contacts.subscription(contact)),
            None => cx.storage.subscription(account, contact),
        }
    }

    /// The contacts of an account, kept while it has sessions.
    pub(super) fn contacts(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
    ) -> Result<Rc<Contacts>, StorageError> {
        let cached = self.accounts.get(account).and_then(|record| record.contacts.clone());
        if let Some(contacts) = cached {
            return Ok(contacts);
        }
        let contacts = Rc::new(Contacts::new(cx.storage.subscriptions(account)?));
        if let Some(record) = self.accounts.get_mut(account) {
            record.contacts = Some(Rc::clone(&contacts));
        }
        Ok(contacts)
    }

    /// Notes a change that storage has: nothing where the contacts have not been read.
    pub(super) fn note_subscription(
        &mut self,
        account: &BareJid,
        contact: &BareJid,
        subscription: Subscription,
    ) {
        let cached = self.accounts.get_mut(account).and_then(|record| record.contacts.as_mut());
        if let Some(contacts) = cached {
            Rc::make_mut(contacts).set(contact, subscription);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_without_strangers() {
        use Subscription::{Both, From, None, To};
        let jid = |text: &str| BareJid::parse(text).expect("a valid address");
        let mut contacts = Contacts::new(vec![(jid("b@x"), To), (jid("d@x"), Both)]);
        contacts.set(&jid("c@x"), From);
        contacts.set(&jid("a@x"), From);
        contacts.set(&jid("e@x"), None);
        contacts.set(&jid("b@x"), Both);
        contacts.set(&jid("d@x"), None);
        let names =
            |list: Vec<&BareJid>| list.iter().map(|j| j.as_str()).collect::<Vec<_>>().join(" ");
        assert_eq!(names(contacts.subscribers().collect()), "a@x b@x c@x");
        assert_eq!(names(contacts.subscribed_to().collect()), "b@x");
        assert_eq!(contacts.subscription(&jid("c@x")), From);
        assert_eq!(contacts.subscription(&jid("d@x")), None);
    }
}
