//! Nodes come, change and go (XEP-0060 §8.1 to §8.5): all of it the owner's alone.

use crate::config::Limits;
use crate::cx::Cx;
use crate::im::Im;
use crate::storage::{PepConfig, PepNode};
use crate::xml::Element;
use crate::xmpp::dataform::Submitted;
use crate::xmpp::{BareJid, Condition, StanzaError, ns};

use super::requests::Asked;
use super::{PepChange, config, node_name, refused, unsupported};

/// Bytes of chance in the name of a node that was asked for without one.
const INSTANT_NAME_BYTES: usize = 16;

/// Makes a node.
pub(super) fn create(
    cx: &mut Cx,
    account: &BareJid,
    name: &str,
    config: &PepConfig,
) -> Result<PepNode, StanzaError> {
    let nodes_max = cx.config.limits.pep_nodes;
    if nodes_max > 0 && cx.storage.pep_usage(account)?.nodes >= nodes_max {
        return Err(refused(Condition::PolicyViolation, "max-nodes-exceeded"));
    }
    Ok(cx.storage.pep_node_create(account, name, config, cx.now.unix_ms)?)
}

/// A node of the owner who asks.
pub(super) fn own(cx: &mut Cx, asked: &Asked<'_>) -> Result<PepNode, StanzaError> {
    let node = cx.storage.pep_node(asked.account, node_name(asked.action)?)?;
    node.ok_or_else(|| Condition::ItemNotFound.into())
}

/// §8.1
pub(super) fn handle_create(
    _: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let options = read_configure(asked)?;
    let named = asked.action.attr("node").filter(|name| !name.is_empty());
    let instant = cx.random_hex(INSTANT_NAME_BYTES);
    let name = match named {
        Some(_) => node_name(asked.action)?,
        None => &instant,
    };
    if cx.storage.pep_node(asked.account, name)?.is_some() {
        return Err(Condition::Conflict.into());
    }
    let config = match options {
        Some(options) => config::with(&PepConfig::default(), &options, &cx.config.limits)?,
        None => PepConfig::default(),
    };
    create(cx, asked.account, name, &config)?;
    if named.is_some() {
        return Ok(None);
    }
    let create = Element::new("create", ns::PUBSUB).with_attr("node", name);
    Ok(Some(Element::new("pubsub", ns::PUBSUB).with_child(create)))
}

/// `<configure/>` behind `<create/>` (§8.1.3): it follows, and names no node.
fn read_configure(asked: &Asked<'_>) -> Result<Option<Submitted>, StanzaError> {
    let mut rest = asked.pubsub.elements().skip(1);
    let Some(configure) = rest.next() else { return Ok(None) };
    let is_one = configure.is("configure", ns::PUBSUB) && rest.next().is_none();
    if !is_one || configure.attr("node").is_some() {
        return Err(Condition::BadRequest.into());
    }
    // Empty: the defaults, as one asked for them before.
    if configure.elements().next().is_none() {
        return Ok(None);
    }
    config::read(configure, ns::PUBSUB_NODE_CONFIG)
}

/// §8.2.1
pub(super) fn handle_form(
    _: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let node = own(cx, asked)?;
    let configure = Element::new("configure", ns::PUBSUB_OWNER)
        .with_attr("node", node.name)
        .with_child(config::form(&node.config));
    Ok(Some(Element::new("pubsub", ns::PUBSUB_OWNER).with_child(configure)))
}

/// §8.2.4
pub(super) fn handle_configure(
    im: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let mut node = own(cx, asked)?;
    let Some(form) = config::read(asked.action, ns::PUBSUB_NODE_CONFIG)? else {
        return Ok(None);
    };
    let config = config::with(&node.config, &form, &cx.config.limits)?;
    if config == node.config {
        return Ok(None);
    }
    cx.storage.pep_node_configure(&node, &config)?;
    let is_closer =
        config.access != node.config.access || config.roster_groups != node.config.roster_groups;
    node.config = config;
    if !node.config.persist {
        cx.storage.pep_purge(&node)?;
        im.handle_pep_change(cx, asked.account, &node.name, PepChange::Purged)?;
    }
    let pruned = cx.storage.pep_prune(&node, items_kept(&node.config, &cx.config.limits))?;
    if !pruned.is_empty() {
        im.handle_pep_change(cx, asked.account, &node.name, PepChange::Retracted(&pruned))?;
    }
    if is_closer {
        // XEP-0163 §7.1: who has lost access has lost its subscription.
        im.pep_cancel_subscriptions(cx, asked.account, &node)?;
    }
    if node.config.notify_config {
        let x = node.config.notify_payload.then(|| config::result(&node.config));
        let event = Element::new("configuration", ns::PUBSUB_EVENT)
            .with_attr("node", node.name.as_str())
            .with_child_opt(x);
        im.pep_tell(cx, asked.account, &node, event)?;
    }
    if !pruned.is_empty() {
        im.pep_tell_retracted(cx, asked.account, &node, &pruned)?;
    }
    Ok(None)
}

/// §8.3
pub(super) fn handle_default(
    _: &mut Im,
    _: &mut Cx,
    _: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let form = config::form(&PepConfig::default());
    let default = Element::new("default", ns::PUBSUB_OWNER).with_child(form);
    Ok(Some(Element::new("pubsub", ns::PUBSUB_OWNER).with_child(default)))
}

/// §8.4; replacements of nodes are not kept.
pub(super) fn handle_delete(
    im: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let node = own(cx, asked)?;
    let audience = im.pep_audience(cx, asked.account, &node)?;
    cx.storage.pep_node_delete(&node)?;
    im.handle_pep_change(cx, asked.account, &node.name, PepChange::Deleted)?;
    if node.config.notify_delete {
        let event = Element::new("delete", ns::PUBSUB_EVENT).with_attr("node", node.name.as_str());
        im.pep_tell_all(cx, asked.account, &node, event, audience)?;
    }
    Ok(None)
}

/// §8.5
pub(super) fn handle_purge(
    im: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let node = own(cx, asked)?;
    if !node.config.persist {
        return Err(unsupported("persistent-items"));
    }
    cx.storage.pep_purge(&node)?;
    im.handle_pep_change(cx, asked.account, &node.name, PepChange::Purged)?;
    if node.config.notify_retract {
        let event = Element::new("purge", ns::PUBSUB_EVENT).with_attr("node", node.name.as_str());
        im.pep_tell(cx, asked.account, &node, event)?;
    }
    Ok(None)
}

/// How many items a node keeps.
pub(super) fn items_kept(config: &PepConfig, limits: &Limits) -> usize {
    let most = if limits.pep_items == 0 { usize::MAX } else { limits.pep_items };
    most.min(config.items_max as usize)
}
