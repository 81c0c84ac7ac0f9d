//! Personal eventing (XEP-0163): the nodes of an account, who may read them, who hears of them.
//!
//! An account is a publish-subscribe service (XEP-0060) at its bare address. `requests` is the
//! table of what can be asked; `node` makes, configures and removes nodes, `crate::node_config` is
//! their form; `publish` takes items in and out, `items` gives them; `access` says who may;
//! `affiliations` and `subscriptions` are lists of a node; `notify` tells of events whom they
//! concern; `disco` is what an account says of its nodes. What clients want to hear of is known
//! from `im::caps`.
//!
//! Nodes are in storage alone: there is nothing to be kept in step. Here, in this file, is what
//! other parts of the account use to keep their data in nodes.

mod access;
mod affiliations;
mod disco;
mod items;
mod node;
mod notify;
mod publish;
mod requests;
mod subscriptions;

use crate::cx::Cx;
use crate::node_config::{self as config, NAME_BYTES_MAX, refused};
use crate::storage::{PepConfig, PepItem};
use crate::xml::{Element, read_fragment};
use crate::xmpp::error::ErrorType;
use crate::xmpp::{BareJid, Condition, StanzaError, ns};

use super::Im;

pub(super) use disco::{add_to_account, handle_node_info, handle_node_items, nodes_for};
pub(super) use requests::{handle_get, handle_set};

/// Addresses in a list of a node: affiliations, subscriptions.
const ADDRESSES_MAX: usize = 1000;

/// What has happened to a node of an account.
#[derive(Clone, Copy, Debug)]
pub(super) enum PepChange<'a> {
    /// An item was published, or replaced: what it says, if anything.
    Published(Option<&'a Element>),
    /// These items are gone.
    Retracted(&'a [String]),
    /// All items are gone.
    Purged,
    /// The node is gone.
    Deleted,
}

impl Im {
    /// Publishes an item in the name of the account, as its owner would do it; a node that is not
    /// there is made with `defaults`. Who listens hears of it.
    pub(super) fn pep_publish(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &str,
        item_id: &str,
        payload: Element,
        defaults: &PepConfig,
    ) -> Result<(), StanzaError> {
        let node = match cx.storage.pep_node(account, node)? {
            Some(node) => node,
            None => node::create(cx, account, node, defaults)?,
        };
        let publication = publish::Publication {
            id: item_id.to_owned(),
            publisher: account.as_jid().clone(),
            payload: Some(payload),
        };
        self.pep_put(cx, account, &node, publication)
    }

    /// The payload of an item.
    pub(super) fn pep_item(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &str,
        item_id: &str,
    ) -> Result<Option<Element>, StanzaError> {
        let Some(node) = cx.storage.pep_node(account, node)? else { return Ok(None) };
        let item = cx.storage.pep_item(&node, item_id)?;
        Ok(item.and_then(|item| payload(&item)))
    }

    /// Id and payload of all items of a node, oldest first; none where there is no such node.
    pub(super) fn pep_items(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &str,
    ) -> Result<Vec<(String, Element)>, StanzaError> {
        let Some(node) = cx.storage.pep_node(account, node)? else { return Ok(Vec::new()) };
        let mut items = Vec::new();
        for (uid, _) in cx.storage.pep_index(&node)? {
            let item = cx.storage.pep_item(&node, &uid)?;
            items.extend(item.and_then(|item| Some((uid, payload(&item)?))));
        }
        Ok(items)
    }

    /// Removes an item in the name of the account; `false` when it is not there.
    pub(super) fn pep_retract(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &str,
        item_id: &str,
    ) -> Result<bool, StanzaError> {
        let Some(node) = cx.storage.pep_node(account, node)? else { return Ok(false) };
        let notifies = node.config.notify_retract;
        self.pep_take(cx, account, &node, item_id, notifies)
    }

    /// A node has changed in storage, and who listens is told next: what else follows from it. An
    /// `Err` refuses the change.
    pub(super) fn handle_pep_change(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &str,
        change: PepChange<'_>,
    ) -> Result<(), StanzaError> {
        match node {
            _ if self.is_converting => Ok(()),
            ns::AVATAR_METADATA => self.handle_avatar_change(cx, account, change),
            ns::BOOKMARKS => self.handle_bookmarks_change(cx, account),
            ns::BOOKMARKS_STORAGE => self.handle_bookmarks_list_change(cx, account, change),
            _ => Ok(()),
        }
    }
}

/// The payload of a stored item.
fn payload(item: &PepItem) -> Option<Element> {
    read_fragment(item.xml.as_bytes(), "").into_iter().next()
}

/// The same with another type.
fn refused_as(kind: ErrorType, condition: Condition, application: &'static str) -> StanzaError {
    refused(condition, application).with_type(kind)
}

/// An error that names a feature which is not there.
fn unsupported(feature: &'static str) -> StanzaError {
    let mut error = refused(Condition::FeatureNotImplemented, "unsupported");
    if let Some(application) = &mut error.extra_mut().application {
        application.set_attr("feature", feature);
    }
    error
}

/// The node that a request names (XEP-0060 §7.2.3.3, §8.2.3.3).
fn node_name(action: &Element) -> Result<&str, StanzaError> {
    let name = action.attr("node").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| refused(Condition::BadRequest, "nodeid-required"))?;
    if name.len() > NAME_BYTES_MAX {
        let error = StanzaError::new(Condition::NotAcceptable);
        return Err(error.with_text("The name of the node is too long"));
    }
    Ok(name)
}
