//! Clients of contacts at other servers: which nodes they want to hear of (XEP-0163 §4.3.2,
//! XEP-0115).
//!
//! A contact's server sends its presence to the accounts here that are subscribed to it. Each
//! client is remembered with the account that has got its presence, and only as long as that
//! account has sessions: when it comes back, it asks for the presence of all its contacts anyway.
//! What a client wants to hear of is learnt as that of sessions is (`caps`): by the hash, where
//! that is known, or by asking, from the address of the account; only the answer to that very
//! question counts.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::cx::Cx;
use crate::storage::Subscription;
use crate::xmpp::{BareJid, Jid, PresenceType, Stanza, StanzaKind};

use super::Im;
use super::caps::{Hash, Interests};

/// Clients of contacts elsewhere that one account knows, at most; of others it does not learn what
/// they want.
const CLIENTS_MAX: usize = 2000;

/// What is known of a client.
#[derive(Debug)]
enum Client {
    /// It has been asked, under this id.
    Asked(Hash, String),
    /// It has answered, or its hash was known.
    Known(Hash, Rc<Interests>),
}

/// The clients of contacts elsewhere whose presence an account has.
#[derive(Debug, Default)]
pub(super) struct Clients(BTreeMap<Jid, Client>);

impl Client {
    fn hash(&self) -> &Hash {
        let (Self::Asked(hash, _) | Self::Known(hash, _)) = self;
        hash
    }

    fn interests(&self) -> Option<&Rc<Interests>> {
        match self {
            Self::Asked(..) => None,
            Self::Known(_, interests) => Some(interests),
        }
    }
}

impl Clients {
    /// Those that want to hear of a node.
    fn wanting(&self, node: &str) -> Vec<Jid> {
        let wants = |client: &Client| client.interests().is_some_and(|own| own.has(node));
        self.0.iter().filter(|(_, client)| wants(client)).map(|(jid, _)| jid.clone()).collect()
    }

    /// Those of a contact, and what they want to hear of.
    fn of(&self, contact: &BareJid) -> Vec<(Jid, Rc<Interests>)> {
        let theirs = self.0.iter().filter(|(jid, _)| jid.bare_str() == contact.as_str());
        theirs
            .filter_map(|(jid, client)| Some((jid.clone(), Rc::clone(client.interests()?))))
            .collect()
    }
}

impl Im {
    /// Presence from another server to an account here.
    pub fn note_client(&mut self, cx: &mut Cx, presence: &Stanza) {
        let Some(account) = presence.to.as_ref().map(Jid::to_bare) else { return };
        let Some(record) = self.accounts.get_mut(&account) else { return };
        let from = &presence.from;
        if presence.kind != StanzaKind::Presence(PresenceType::Available) {
            let is_it =
                |jid: &Jid| jid == from || (from.is_bare() && jid.bare_str() == from.as_str());
            record.clients.0.retain(|jid, _| !is_it(jid));
            return;
        }
        let Some((hash, node)) = Hash::of(presence) else { return };
        let known = record.clients.0.get(from);
        let is_same = known.is_some_and(|client| *client.hash() == hash);
        let is_full = known.is_none() && record.clients.0.len() >= CLIENTS_MAX;
        if from.is_bare() || is_same || is_full || !self.is_contact(cx, &account, from) {
            return;
        }
        if let Some(interests) = self.caps.find(&hash) {
            return self.take_client(cx, &account, from, hash, interests);
        }
        let question = hash.question(cx, &account, from, node);
        let id = question.id.clone().unwrap_or_default();
        if let Some(record) = self.accounts.get_mut(&account) {
            record.clients.0.insert(from.clone(), Client::Asked(hash, id));
        }
        cx.route(question);
    }

    /// Somebody elsewhere answers an account here: what it was asked, or nothing.
    pub fn handle_client_answer(&mut self, cx: &mut Cx, answer: &Stanza) {
        let Some(account) = answer.to.as_ref().map(Jid::to_bare) else { return };
        let Some(record) = self.accounts.get_mut(&account) else { return };
        let hash = match record.clients.0.get(&answer.from) {
            Some(Client::Asked(hash, id)) if answer.id.as_ref() == Some(id) => hash.clone(),
            _ => return,
        };
        let interests = self.caps.learn(hash.clone(), answer);
        self.take_client(cx, &account, &answer.from, hash, interests);
    }

    /// The clients elsewhere that want to hear of a node of an account.
    pub(super) fn clients_wanting(&self, account: &BareJid, node: &str) -> Vec<Jid> {
        self.accounts.get(account).map(|own| own.clients.wanting(node)).unwrap_or_default()
    }

    /// The clients of a contact elsewhere that an account knows.
    pub(super) fn clients_of(
        &self,
        account: &BareJid,
        contact: &BareJid,
    ) -> Vec<(Jid, Rc<Interests>)> {
        self.accounts.get(account).map(|own| own.clients.of(contact)).unwrap_or_default()
    }

    /// From now on a client listens; it is sent the last items of the nodes that it has not
    /// listened to before.
    fn take_client(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        jid: &Jid,
        hash: Hash,
        interests: Rc<Interests>,
    ) {
        let Some(record) = self.accounts.get_mut(account) else { return };
        let client = Client::Known(hash, Rc::clone(&interests));
        let previous = record.clients.0.insert(jid.clone(), client);
        let previous = previous.as_ref().and_then(Client::interests);
        let is_new = |node: &&str| previous.is_none_or(|previous| !previous.has(node));
        let nodes: Vec<_> = interests.nodes().into_iter().filter(is_new).collect();
        if !nodes.is_empty() && self.pep_greet_client(cx, account, jid, &nodes).is_err() {
            // Storage has said why. The client can still ask.
            log::warn!("the last items of {account} are not sent to {jid}");
        }
    }

    /// Whether somebody is a contact that an account has not blocked.
    fn is_contact(&mut self, cx: &mut Cx, account: &BareJid, jid: &Jid) -> bool {
        let contacts = self.contacts(cx, account);
        contacts.is_ok_and(|contacts| contacts.subscription(&jid.to_bare()) != Subscription::None)
            && matches!(self.blocks(cx, account, jid), Ok(false))
    }
}
