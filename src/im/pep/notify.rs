//! Events: who hears of what has happened to a node (XEP-0163 §4).
//!
//! Three kinds of recipients: the available sessions of the owner, and those of the contacts that
//! see its presence and may read the node, each where the client has said `node+notify` in its
//! capabilities (`im::caps`); and the addresses that have subscribed by themselves. An event is
//! serialised once. It is a message from the account that is neither archived nor copied. Blocks
//! hold in both directions (§4.3.3).

use std::collections::BTreeSet;

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::im::Im;
use crate::outbound::Envelope;
use crate::storage::{PepItem, PepNode, PepSendLast};
use crate::xml::Element;
use crate::xmpp::datetime::format_utc;
use crate::xmpp::{BareJid, Jid, MessageType, Stanza, StanzaError, StanzaKind, ns};

use super::access::check_contact;
use super::payload;

/// Bytes of chance in the id of an event.
const EVENT_ID_BYTES: usize = 8;
/// The part of an outbox that the last items may take that a session is sent at once.
const OUTBOX_SHARE: usize = 4;

/// Whom an event concerns.
#[derive(Debug, Default)]
pub(super) struct Audience {
    sessions: BTreeSet<SessionId>,
    /// Subscribed addresses that are reached through the router.
    routed: BTreeSet<Jid>,
}

impl Im {
    /// Tells of something that has happened to a node.
    pub(super) fn pep_tell(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &PepNode,
        event: Element,
    ) -> Result<(), StanzaError> {
        let audience = self.pep_audience(cx, account, node)?;
        self.pep_tell_all(cx, account, node, event, audience)
    }

    /// The same to those who were to hear of it before it happened.
    pub(super) fn pep_tell_all(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &PepNode,
        event: Element,
        audience: Audience,
    ) -> Result<(), StanzaError> {
        if audience.sessions.is_empty() && audience.routed.is_empty() {
            return Ok(());
        }
        let message = message(cx, account, node, event);
        let envelope = Envelope::new(&message);
        for id in audience.sessions {
            if let Some(session) = self.sessions.get(id) {
                cx.out.push_envelope(id, &envelope, &session.to);
            }
        }
        for jid in audience.routed {
            let mut message = message.clone();
            message.to = Some(jid);
            cx.route(message);
        }
        Ok(())
    }

    /// An item was published (XEP-0060 §7.1.2).
    pub(super) fn pep_tell_item(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &PepNode,
        item: &PepItem,
        payload: Option<Element>,
    ) -> Result<(), StanzaError> {
        let event = item_event(node, item, payload);
        self.pep_tell(cx, account, node, event)
    }

    /// Items had to go (XEP-0060 §7.1.2.5).
    pub(super) fn pep_tell_retracted(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &PepNode,
        ids: &[String],
    ) -> Result<(), StanzaError> {
        if !node.config.notify_retract {
            return Ok(());
        }
        self.pep_tell_ids(cx, account, node, ids)
    }

    /// Items are gone (XEP-0060 §7.2.2.1).
    pub(super) fn pep_tell_ids(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &PepNode,
        ids: &[String],
    ) -> Result<(), StanzaError> {
        let items = Element::new("items", ns::PUBSUB_EVENT).with_attr("node", node.name.as_str());
        let retract =
            |id: &String| Element::new("retract", ns::PUBSUB_EVENT).with_attr("id", id.as_str());
        let event = ids.iter().map(retract).fold(items, Element::with_child);
        self.pep_tell(cx, account, node, event)
    }

    /// Whom events of a node concern.
    pub(super) fn pep_audience(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &PepNode,
    ) -> Result<Audience, StanzaError> {
        let mut audience = Audience::default();
        if !node.config.notify {
            return Ok(audience);
        }
        audience.sessions.extend(self.listeners(account, &node.name));
        let contacts = self.contacts(cx, account)?;
        for contact in contacts.subscribers() {
            let watchers = self.watchers.listening(account, contact, &node.name);
            if !watchers.is_empty() && check_contact(cx, account, node, contact, true).is_ok() {
                let watchers = watchers.into_iter();
                audience.routed.extend(watchers.filter(|jid| self.pep_may_tell(cx, account, jid)));
            }
            let mut listeners = self.listeners(contact, &node.name);
            if !listeners.is_empty() && check_contact(cx, account, node, contact, true).is_ok() {
                listeners.retain(|&id| {
                    let full_jid = self.sessions.get(id).map(|session| session.full_jid.clone());
                    full_jid.is_some_and(|jid| self.pep_may_tell(cx, account, &jid))
                });
                audience.sessions.extend(listeners);
            }
        }
        for jid in cx.storage.pep_subscribers(node)? {
            let subscriber = jid.to_bare();
            if self.pep_check_reader(cx, account, node, &subscriber).is_err()
                || !self.pep_may_tell(cx, account, &jid)
            {
                continue;
            }
            // XEP-0163 §4.3.2: a session that was subscribed itself; all sessions of an account
            // that want it; else the account.
            let listeners = match self.session_at(&jid) {
                Some(session) => vec![session],
                None if jid.is_bare() => self.listeners(&subscriber, &node.name),
                None => Vec::new(),
            };
            let watchers = match jid.is_bare() {
                true => self.watchers.listening(account, &subscriber, &node.name),
                false => Vec::new(),
            };
            if listeners.is_empty() && watchers.is_empty() {
                audience.routed.insert(jid);
            }
            audience.routed.extend(watchers);
            audience.sessions.extend(listeners);
        }
        Ok(audience)
    }

    /// The available sessions of an account that want to hear of a node.
    fn listeners(&self, account: &BareJid, node: &str) -> Vec<SessionId> {
        let available = self.available_in(account).filter(|(_, session, _)| session.wants(node));
        available.map(|(id, ..)| id).collect()
    }

    /// `false`: one of the two has blocked the other (XEP-0163 §4.3.3, XEP-0191).
    fn pep_may_tell(&mut self, cx: &mut Cx, account: &BareJid, recipient: &Jid) -> bool {
        let blocks_recipient = self.blocks(cx, account, recipient);
        matches!(blocks_recipient, Ok(false))
            && matches!(self.blocks(cx, &recipient.to_bare(), account.as_jid()), Ok(false))
    }

    /// A session has begun to listen to `nodes`: it gets the last item of each, of its own account
    /// and of all contacts that let it (XEP-0163 §4.3.4).
    pub(in crate::im) fn pep_greet(
        &mut self,
        cx: &mut Cx,
        id: SessionId,
        nodes: &[&str],
    ) -> Result<(), StanzaError> {
        let Some(session) = self.sessions.get(id) else { return Ok(()) };
        let listener = session.account.clone();
        let is_wanted = |name: &str| nodes.contains(&name);
        let mut bytes_left = greeting_bytes(cx);
        let own = cx.storage.pep_nodes_named(&listener, is_wanted)?;
        self.pep_greet_from(cx, id, &listener, &own, &mut bytes_left)?;
        // Those of other servers hear of this presence by themselves.
        for (contact, nodes) in cx.storage.pep_nodes_of_contacts(&listener, is_wanted)? {
            if cx.config.is_account_domain(contact.domain()) {
                self.pep_greet_from(cx, id, &contact, &nodes, &mut bytes_left)?;
            }
        }
        Ok(())
    }

    /// A contact sees the presence of an account from now on: those of its sessions that listen
    /// get the last items (XEP-0163 §4.3.4).
    pub(in crate::im) fn pep_welcome(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<(), StanzaError> {
        let sessions = self.available_in(contact);
        let sessions: Vec<_> =
            sessions.filter_map(|(id, s, _)| Some((id, s.interests.clone()?))).collect();
        for (id, interests) in sessions {
            let wanted = interests.nodes();
            let nodes = cx.storage.pep_nodes_named(account, |name| wanted.contains(&name))?;
            self.pep_greet_from(cx, id, account, &nodes, &mut greeting_bytes(cx))?;
        }
        for (jid, interests) in self.watchers.shown_to(account, contact) {
            self.pep_greet_watcher(cx, account, &jid, &interests.nodes())?;
        }
        Ok(())
    }

    /// The same for a resource of a contact at another server.
    pub(in crate::im) fn pep_greet_watcher(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        watcher: &Jid,
        nodes: &[&str],
    ) -> Result<(), StanzaError> {
        let nodes = cx.storage.pep_nodes_named(account, |name| nodes.contains(&name))?;
        for message in
            self.pep_last_messages(cx, account, watcher, &nodes, &mut greeting_bytes(cx))?
        {
            cx.route(Stanza { to: Some(watcher.clone()), ..message.0 });
        }
        Ok(())
    }

    fn pep_greet_from(
        &mut self,
        cx: &mut Cx,
        id: SessionId,
        account: &BareJid,
        nodes: &[PepNode],
        bytes_left: &mut usize,
    ) -> Result<(), StanzaError> {
        let Some(session) = self.sessions.get(id) else { return Ok(()) };
        let full_jid = session.full_jid.clone();
        let messages = self.pep_last_messages(cx, account, &full_jid, nodes, bytes_left)?;
        if let Some(session) = self.sessions.get(id) {
            for (_, envelope) in messages {
                cx.out.push_envelope(id, &envelope, &session.to);
            }
        }
        Ok(())
    }

    /// The last items of these nodes, for somebody who begins to listen: those that it may hear of.
    fn pep_last_messages(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        full_jid: &Jid,
        nodes: &[PepNode],
        bytes_left: &mut usize,
    ) -> Result<Vec<(Stanza, Envelope)>, StanzaError> {
        let (listener, mut messages) = (full_jid.to_bare(), Vec::new());
        if nodes.is_empty() || !self.pep_may_tell(cx, account, full_jid) {
            return Ok(messages);
        }
        let is_subscriber = self.is_subscriber(cx, account, &listener)?;
        for node in nodes {
            let may_read = listener == *account
                || check_contact(cx, account, node, &listener, is_subscriber).is_ok();
            let is_due = node.config.send_last == PepSendLast::OnSubAndPresence;
            if !is_due || !node.config.notify || !may_read {
                continue;
            }
            let Some(message) = self.pep_last_message(cx, account, node)? else { continue };
            let envelope = Envelope::new(&message);
            // Who cannot take all gets what it can: it may ask for the rest.
            if envelope.len() > *bytes_left {
                break;
            }
            *bytes_left -= envelope.len();
            messages.push((message, envelope));
        }
        Ok(messages)
    }

    /// The event of the last item of a node, as one sends it late (XEP-0060 §6.1.7).
    fn pep_last_message(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &PepNode,
    ) -> Result<Option<Stanza>, StanzaError> {
        self.pep_expire(cx, node)?;
        let Some(item) = cx.storage.pep_last_item(node)? else { return Ok(None) };
        let event = item_event(node, &item, payload(&item));
        let stamp = format_utc(item.unix_ms);
        let delay = Element::new("delay", ns::DELAY).with_attr("stamp", stamp);
        Ok(Some(message(cx, account, node, event).with_child(delay)))
    }

    /// An address has subscribed by itself: it gets the last item (XEP-0060 §6.1.7).
    pub(super) fn pep_greet_subscriber(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &PepNode,
        jid: &Jid,
    ) -> Result<(), StanzaError> {
        if node.config.send_last == PepSendLast::Never || !node.config.notify {
            return Ok(());
        }
        if let Some(mut message) = self.pep_last_message(cx, account, node)? {
            message.to = Some(jid.clone());
            cx.route(message);
        }
        Ok(())
    }
}

/// What the last items may take that a session is sent at once.
fn greeting_bytes(cx: &Cx) -> usize {
    match cx.config.limits.outbox_bytes {
        0 => usize::MAX,
        bytes => bytes / OUTBOX_SHARE,
    }
}

fn item_event(node: &PepNode, item: &PepItem, payload: Option<Element>) -> Element {
    let payload = payload.filter(|_| node.config.notify_payload);
    let element = Element::new("item", ns::PUBSUB_EVENT)
        .with_attr("id", item.uid.as_str())
        .with_child_opt(payload);
    Element::new("items", ns::PUBSUB_EVENT)
        .with_attr("node", node.name.as_str())
        .with_child(element)
}

/// An event, from the account (XEP-0163 §4.3.1).
fn message(cx: &mut Cx, account: &BareJid, node: &PepNode, event: Element) -> Stanza {
    let kind = match node.config.headline {
        true => MessageType::Headline,
        false => MessageType::Normal,
    };
    Stanza::new(StanzaKind::Message(kind), account.as_jid().clone(), None)
        .with_id(Some(cx.random_hex(EVENT_ID_BYTES)))
        .with_child(Element::new("event", ns::PUBSUB_EVENT).with_child(event))
}
