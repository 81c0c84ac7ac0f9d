//! Whom an owner lets in, lets publish, or keeps out (XEP-0060 §4.1, §5.7, §8.9). The owner itself
//! is on no list and cannot be anything else.

use crate::cx::Cx;
use crate::im::Im;
use crate::storage::PepAffiliation;
use crate::xml::Element;
use crate::xmpp::{Condition, Jid, StanzaError, ns};

use super::requests::Asked;
use super::subscriptions::invalid_entries;
use super::{ADDRESSES_MAX, node, refused, unsupported};

/// The asker's own (§5.7).
pub(super) fn handle_own(
    _: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let name = asked.action.attr("node");
    let own: Vec<(String, &str)> = if asked.is_owner {
        let nodes = cx.storage.pep_nodes(asked.account)?;
        nodes.into_iter().map(|node| (node.name, "owner")).collect()
    } else {
        let own = cx.storage.pep_affiliations_of(asked.account, &asked.asker)?;
        own.into_iter().map(|(name, affiliation)| (name, affiliation.as_str())).collect()
    };
    let mut list = Element::new("affiliations", ns::PUBSUB).with_attr_opt("node", name);
    for (of, affiliation) in own {
        if name.is_none_or(|name| name == of) {
            let element = Element::new("affiliation", ns::PUBSUB).with_attr("node", of);
            list.push(element.with_attr("affiliation", affiliation));
        }
    }
    Ok(Some(Element::new("pubsub", ns::PUBSUB).with_child(list)))
}

/// All of a node (§8.9.1).
pub(super) fn handle_list(
    _: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let node = node::own(cx, asked)?;
    let mut list = Element::new("affiliations", ns::PUBSUB_OWNER)
        .with_attr("node", node.name.as_str())
        .with_child(entry(asked.account.as_str(), "owner"));
    for (jid, affiliation) in cx.storage.pep_affiliations(&node)? {
        list.push(entry(jid.as_str(), affiliation.as_str()));
    }
    Ok(Some(Element::new("pubsub", ns::PUBSUB_OWNER).with_child(list)))
}

/// All changes are done or none (§8.9.2).
pub(super) fn handle_change(
    im: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let node = node::own(cx, asked)?;
    let mut invalid = Vec::new();
    let mut changes = Vec::new();
    for element in asked.action.elements() {
        if !element.is("affiliation", ns::PUBSUB_OWNER) {
            return Err(Condition::BadRequest.into());
        }
        let jid = element.attr("jid").and_then(|jid| Jid::parse(jid).ok());
        let jid = jid.ok_or_else(|| refused(Condition::BadRequest, "invalid-jid"))?.to_bare();
        let affiliation = match element.attr("affiliation") {
            Some("none") => None,
            Some("publish-only") => return Err(unsupported("publish-only-affiliation")),
            Some("owner") if jid == *asked.account => continue,
            // §8.9.2.4: the only owner stays it, and nobody else becomes one.
            Some("owner") => {
                let current = cx.storage.pep_affiliation(&node, &jid)?;
                let current = current.map_or("none", PepAffiliation::as_str);
                invalid.push(entry(jid.as_str(), current));
                continue;
            }
            text => Some(text.and_then(PepAffiliation::parse).ok_or(Condition::BadRequest)?),
        };
        // §8.9.2.4: nobody twice.
        if changes.iter().any(|(other, _)| *other == jid) {
            return Err(Condition::BadRequest.into());
        }
        if jid == *asked.account {
            invalid.push(entry(jid.as_str(), "owner"));
        }
        changes.push((jid, affiliation));
    }
    if !invalid.is_empty() {
        return Err(invalid_entries("affiliations", &node, invalid));
    }
    for (jid, affiliation) in &changes {
        cx.storage.pep_affiliate(&node, jid, *affiliation)?;
    }
    if cx.storage.pep_affiliations(&node)?.len() > ADDRESSES_MAX {
        return Err(Condition::ResourceConstraint.into());
    }
    im.pep_cancel_subscriptions(cx, asked.account, &node)?;
    Ok(None)
}

fn entry(jid: &str, affiliation: &'static str) -> Element {
    Element::new("affiliation", ns::PUBSUB_OWNER)
        .with_attr("jid", jid)
        .with_attr("affiliation", affiliation)
}
