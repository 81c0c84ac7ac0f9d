//! Subscriptions of addresses to a node (XEP-0060 §6.1, §6.2, §5.6, §8.8): besides those that come
//! of seeing the owner's presence, which are written nowhere (XEP-0163 §4.1). An address has one
//! subscription to a node at most, and those of one account are few.

use crate::cx::Cx;
use crate::im::Im;
use crate::storage::PepNode;
use crate::xml::Element;
use crate::xmpp::error::ErrorType;
use crate::xmpp::{BareJid, Condition, Jid, StanzaError, ns};

use super::requests::Asked;
use super::{ADDRESSES_MAX, node, node_name, refused, refused_as, unsupported};

/// Subscriptions of one account, its resources included, to the nodes of another.
const OF_ONE_ENTRIES_MAX: usize = 100;

/// §6.1
pub(super) fn handle_subscribe(
    im: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let name = node_name(asked.action)?;
    let jid = subscribed_jid(asked.action)?;
    // §6.1.3.1
    if jid.bare_str() != asked.asker.as_str() {
        return Err(refused(Condition::BadRequest, "invalid-jid"));
    }
    // §6.3.7
    if asked.pubsub.elements().nth(1).is_some() {
        return Err(unsupported("subscription-options"));
    }
    let node = im.pep_readable_node(cx, asked.account, name, &asked.asker)?;
    let own = cx.storage.pep_subscriptions_of(asked.account, &asked.asker)?;
    let is_new = !own.iter().any(|(of, by)| *of == node.name && *by == jid.as_str());
    if is_new {
        let is_full = cx.storage.pep_subscribers(&node)?.len() >= ADDRESSES_MAX;
        if own.len() >= OF_ONE_ENTRIES_MAX || is_full {
            // §6.1.3.9
            let condition = Condition::PolicyViolation;
            return Err(refused_as(ErrorType::Wait, condition, "too-many-subscriptions"));
        }
        cx.storage.pep_subscribe(&node, &jid)?;
        im.pep_greet_subscriber(cx, asked.account, &node, &jid)?;
    }
    let element = subscription(ns::PUBSUB, jid.as_str(), "subscribed").with_attr("node", name);
    Ok(Some(Element::new("pubsub", ns::PUBSUB).with_child(element)))
}

/// §6.2; a `subid` is ignored (§6.2.3.5).
pub(super) fn handle_unsubscribe(
    im: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let name = node_name(asked.action)?;
    let jid = subscribed_jid(asked.action)?;
    // §6.2.3.3
    if jid.bare_str() != asked.asker.as_str() {
        return Err(Condition::Forbidden.into());
    }
    let node = cx.storage.pep_node(asked.account, name)?;
    let ended = match &node {
        Some(node) => cx.storage.pep_unsubscribe(node, &jid)?,
        None => false,
    };
    if !ended {
        // Strangers get one answer, whatever there is or is not (`access`).
        let knows = asked.is_owner || im.is_subscriber(cx, asked.account, &asked.asker)?;
        return Err(match node {
            None if knows => Condition::ItemNotFound.into(),
            // §6.2.3.2
            _ => refused_as(ErrorType::Cancel, Condition::UnexpectedRequest, "not-subscribed"),
        });
    }
    let element = subscription(ns::PUBSUB, jid.as_str(), "none").with_attr("node", name);
    Ok(Some(Element::new("pubsub", ns::PUBSUB).with_child(element)))
}

/// The asker's own (§5.6).
pub(super) fn handle_own(
    _: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let name = asked.action.attr("node");
    let mut list = Element::new("subscriptions", ns::PUBSUB).with_attr_opt("node", name);
    for (of, jid) in cx.storage.pep_subscriptions_of(asked.account, &asked.asker)? {
        if name.is_none_or(|name| name == of) {
            list.push(subscription(ns::PUBSUB, &jid, "subscribed").with_attr("node", of));
        }
    }
    Ok(Some(Element::new("pubsub", ns::PUBSUB).with_child(list)))
}

/// All of a node, for its owner (§8.8.1).
pub(super) fn handle_list(
    _: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let node = node::own(cx, asked)?;
    let mut list =
        Element::new("subscriptions", ns::PUBSUB_OWNER).with_attr("node", node.name.as_str());
    for jid in cx.storage.pep_subscribers(&node)? {
        list.push(subscription(ns::PUBSUB_OWNER, jid.as_str(), "subscribed"));
    }
    Ok(Some(Element::new("pubsub", ns::PUBSUB_OWNER).with_child(list)))
}

/// The owner ends subscriptions (§8.8.2, §8.8.3). It makes none: nobody is sent events who has not
/// asked for them.
pub(super) fn handle_change(
    _: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let node = node::own(cx, asked)?;
    let subscribers = cx.storage.pep_subscribers(&node)?;
    let mut invalid = Vec::new();
    let mut ended = Vec::new();
    for entry in asked.action.elements() {
        if !entry.is("subscription", ns::PUBSUB_OWNER) {
            return Err(Condition::BadRequest.into());
        }
        let jid = subscribed_jid(entry)?;
        let is_subscribed = subscribers.contains(&jid);
        match (entry.attr("subscription"), is_subscribed) {
            (Some("none"), _) => ended.push(jid),
            (None, _) | (Some("subscribed"), true) => {}
            (Some(_), _) => {
                let state = if is_subscribed { "subscribed" } else { "none" };
                invalid.push(subscription(ns::PUBSUB_OWNER, jid.as_str(), state));
            }
        }
    }
    if !invalid.is_empty() {
        return Err(invalid_entries("subscriptions", &node, invalid));
    }
    for jid in &ended {
        cx.storage.pep_unsubscribe(&node, jid)?;
    }
    Ok(None)
}

/// The error for a list in which some entries cannot be done (§8.8.2.4, §8.9.2.4): nothing is.
pub(super) fn invalid_entries(
    name: &'static str,
    node: &PepNode,
    entries: Vec<Element>,
) -> StanzaError {
    let list = Element::new(name, ns::PUBSUB_OWNER).with_attr("node", node.name.as_str());
    let list = entries.into_iter().fold(list, Element::with_child);
    let mut error = StanzaError::new(Condition::NotAcceptable);
    error.extra_mut().payload = Some(Element::new("pubsub", ns::PUBSUB_OWNER).with_child(list));
    error
}

fn subscription(ns: &'static str, jid: &str, state: &'static str) -> Element {
    Element::new("subscription", ns).with_attr("jid", jid).with_attr("subscription", state)
}

fn subscribed_jid(element: &Element) -> Result<Jid, StanzaError> {
    let jid = element.attr("jid").and_then(|jid| Jid::parse(jid).ok());
    jid.ok_or_else(|| refused(Condition::BadRequest, "invalid-jid"))
}

impl Im {
    /// Ends the subscriptions to a node of those who may not read it any more (XEP-0163 §7.1).
    pub(super) fn pep_cancel_subscriptions(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &PepNode,
    ) -> Result<(), StanzaError> {
        for jid in cx.storage.pep_subscribers(node)? {
            if self.pep_check_reader(cx, account, node, &jid.to_bare()).is_err() {
                cx.storage.pep_unsubscribe(node, &jid)?;
            }
        }
        Ok(())
    }

    /// What an account says of a contact has changed: it loses the subscriptions that it may not
    /// have any more (XEP-0163 §7.1).
    pub(in crate::im) fn pep_recheck(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<(), StanzaError> {
        for (name, jid) in cx.storage.pep_subscriptions_of(account, contact)? {
            let (Some(node), Ok(jid)) = (cx.storage.pep_node(account, &name)?, Jid::parse(&jid))
            else {
                continue;
            };
            if self.pep_check_reader(cx, account, &node, contact).is_err() {
                cx.storage.pep_unsubscribe(&node, &jid)?;
            }
        }
        Ok(())
    }
}
