//! Watchers: resources of contacts at other servers that want to hear of the nodes of accounts here
//! (XEP-0163 §4.3.2), as their presence says (XEP-0115).
//!
//! They are what `Session::interests` is for sessions of this server. A contact is one that an
//! account here has a subscription with, in either direction; whether it may hear of a node is
//! looked at with each event. It is asked for its features once, whatever the number of accounts
//! that it has shown its presence to; only its own answer to that very question counts. It is
//! forgotten when it says that it is gone, or when something that was sent to it comes back.
//! Nothing of this is kept: after a restart the answers to probes bring it back.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::cx::Cx;
use crate::xmpp::{BareJid, Jid, PresenceType, Stanza, StanzaError, StanzaKind};

use super::Im;
use super::caps::{self, Hash, Interests, QUESTION_ID_BYTES};

/// Resources of one contact.
const RESOURCES_MAX: usize = 20;
/// Pairs of a resource and an account, of all contacts together: what comes later is told nothing.
const PAIRS_MAX: usize = 100_000;

/// A resource of a contact.
struct Watcher {
    jid: Jid,
    hash: Hash,
    /// `None` until it has answered.
    interests: Option<Rc<Interests>>,
    /// The id of the question that is open, and the account that has asked.
    asked: Option<(String, BareJid)>,
    /// The accounts that it has shown its presence to.
    accounts: BTreeSet<BareJid>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Watchers {
    /// In the order they came. Invariant: no list is empty, and each has accounts.
    by_contact: HashMap<BareJid, Vec<Watcher>>,
    /// Invariant: the number of all `accounts`.
    pairs_count: usize,
}

impl Watchers {
    /// The resources of a contact that want to hear of a node of an account.
    pub(super) fn listening(&self, account: &BareJid, contact: &BareJid, node: &str) -> Vec<Jid> {
        let listens = |watcher: &&Watcher| {
            watcher.accounts.contains(account)
                && watcher.interests.as_ref().is_some_and(|interests| interests.has(node))
        };
        self.of(contact).iter().filter(listens).map(|watcher| watcher.jid.clone()).collect()
    }

    /// The resources of a contact that have shown themselves to an account, and what they want to
    /// hear of.
    pub(super) fn shown_to(
        &self,
        account: &BareJid,
        contact: &BareJid,
    ) -> Vec<(Jid, Rc<Interests>)> {
        let shown = self.of(contact).iter().filter(|watcher| watcher.accounts.contains(account));
        shown.filter_map(|w| Some((w.jid.clone(), Rc::clone(w.interests.as_ref()?)))).collect()
    }

    /// An account is no more.
    pub(super) fn forget_account(&mut self, account: &BareJid) {
        self.retain(account, |_| false);
    }

    fn of(&self, contact: &BareJid) -> &[Watcher] {
        self.by_contact.get(contact).map_or(&[], Vec::as_slice)
    }

    fn find(&mut self, jid: &Jid) -> Option<&mut Watcher> {
        let watchers = self.by_contact.get_mut(&jid.to_bare())?;
        watchers.iter_mut().find(|watcher| watcher.jid == *jid)
    }

    /// An account is not told to any more whom `stays` does not name.
    fn retain(&mut self, account: &BareJid, stays: impl Fn(&Watcher) -> bool) {
        let count = &mut self.pairs_count;
        self.by_contact.retain(|_, watchers| {
            retain_in(watchers, count, account, &stays);
            !watchers.is_empty()
        });
    }

    /// A resource, or with a bare address all of a contact, is gone for an account.
    fn forget(&mut self, account: &BareJid, gone: &Jid) {
        let contact = gone.to_bare();
        let Some(watchers) = self.by_contact.get_mut(&contact) else { return };
        let stays = |watcher: &Watcher| !gone.is_bare() && watcher.jid != *gone;
        retain_in(watchers, &mut self.pairs_count, account, &stays);
        if watchers.is_empty() {
            self.by_contact.remove(&contact);
        }
    }

    /// The watcher that a resource is, made if there is room for one; `true` when it was not the
    /// account's.
    fn entry(&mut self, account: &BareJid, jid: &Jid, hash: &Hash) -> Option<(&mut Watcher, bool)> {
        let is_full = self.pairs_count >= PAIRS_MAX;
        let watchers = self.by_contact.get(&jid.to_bare()).map_or(&[][..], Vec::as_slice);
        let known = watchers.iter().position(|watcher| watcher.jid == *jid);
        let is_new = known.is_none_or(|at| !watchers[at].accounts.contains(account));
        if is_new && is_full || known.is_none() && watchers.len() >= RESOURCES_MAX {
            return None;
        }
        self.pairs_count += usize::from(is_new);
        let watchers = self.by_contact.entry(jid.to_bare()).or_default();
        let at = known.unwrap_or(watchers.len());
        if known.is_none() {
            let (jid, hash) = (jid.clone(), hash.clone());
            let accounts = BTreeSet::new();
            watchers.push(Watcher { jid, hash, interests: None, asked: None, accounts });
        }
        let watcher = watchers.get_mut(at)?;
        if is_new {
            watcher.accounts.insert(account.clone());
        }
        Some((watcher, is_new))
    }
}

fn retain_in(
    watchers: &mut Vec<Watcher>,
    count: &mut usize,
    account: &BareJid,
    stays: &impl Fn(&Watcher) -> bool,
) {
    for watcher in watchers.iter_mut() {
        if !stays(watcher) {
            *count -= usize::from(watcher.accounts.remove(account));
        }
    }
    watchers.retain(|watcher| !watcher.accounts.is_empty());
}

impl Im {
    /// Something has come for an account: presence of a contact at another server, the answer to
    /// what it was asked, or what was sent to it and came back.
    pub(super) fn note_watcher(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        stanza: &Stanza,
    ) -> Result<(), StanzaError> {
        use StanzaKind::{Iq, Message, Presence};
        if cx.config.is_own_domain(stanza.from.domain()) {
            return Ok(());
        }
        match stanza.kind {
            Presence(PresenceType::Available) => self.note_watcher_presence(cx, account, stanza),
            Presence(PresenceType::Unavailable) => {
                self.watchers.forget(account, &stanza.from);
                Ok(())
            }
            Message(_) | Presence(_) if stanza.kind.is_error() => {
                self.watchers.forget(account, &stanza.from);
                Ok(())
            }
            Iq(_) => self.note_watcher_answer(cx, account, stanza),
            Message(_) | Presence(_) => Ok(()),
        }
    }

    /// Presence without capabilities changes nothing, clients may leave them out of updates
    /// (XEP-0115 §8.4).
    fn note_watcher_presence(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        presence: &Stanza,
    ) -> Result<(), StanzaError> {
        let client = &presence.from;
        let Some((hash, node)) = caps::hash_in(presence).filter(|_| !client.is_bare()) else {
            return Ok(());
        };
        let subscription = self.subscription(cx, account, &client.to_bare())?;
        if !subscription.is_from() && !subscription.is_to() {
            return Ok(());
        }
        let Some((watcher, is_new)) = self.watchers.entry(account, client, &hash) else {
            return Ok(());
        };
        let is_same = watcher.hash == hash;
        if is_same && (watcher.asked.is_some() || watcher.interests.is_some()) {
            return match watcher.interests.clone().filter(|_| is_new) {
                Some(interests) => self.pep_greet_watcher(cx, account, client, &interests.nodes()),
                None => Ok(()),
            };
        }
        if let Some(interests) = self.caps.find(&hash) {
            return self.take_watcher_interests(cx, client, interests);
        }
        let id = cx.random_hex(QUESTION_ID_BYTES);
        cx.route(caps::question(&id, account, client, node, &hash));
        (watcher.hash, watcher.asked) = (hash, Some((id, account.clone())));
        Ok(())
    }

    fn note_watcher_answer(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        answer: &Stanza,
    ) -> Result<(), StanzaError> {
        let Some(watcher) = self.watchers.find(&answer.from) else { return Ok(()) };
        let is_asked =
            |asked: &(String, BareJid)| Some(&asked.0) == answer.id.as_ref() && asked.1 == *account;
        if watcher.asked.take_if(|asked| is_asked(asked)).is_none() {
            return Ok(());
        }
        let (interests, _) = self.caps.learn(watcher.hash.clone(), answer);
        self.take_watcher_interests(cx, &answer.from, interests)
    }

    /// From now on a resource listens to these nodes: it is sent the last items of those that it
    /// has not listened to before, of all accounts that it has shown itself to.
    fn take_watcher_interests(
        &mut self,
        cx: &mut Cx,
        client: &Jid,
        interests: Rc<Interests>,
    ) -> Result<(), StanzaError> {
        let Some(watcher) = self.watchers.find(client) else { return Ok(()) };
        (watcher.hash, watcher.asked) = (interests.hash().clone(), None);
        let previous = watcher.interests.replace(Rc::clone(&interests));
        let accounts: Vec<_> = watcher.accounts.iter().cloned().collect();
        let is_new = |node: &&str| previous.as_ref().is_none_or(|previous| !previous.has(node));
        let nodes: Vec<_> = interests.nodes().into_iter().filter(is_new).collect();
        for account in accounts {
            self.pep_greet_watcher(cx, &account, client, &nodes)?;
        }
        Ok(())
    }
}
