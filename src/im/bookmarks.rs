//! Bookmarks: the items of a node (XEP-0402) are the truth; the list that older clients keep whole
//! (XEP-0048), in private XML or as one item of another node, shows them and changes them.
//!
//! What such a list holds that is no bookmark of a room, addresses of web pages for one, is kept in
//! private XML, and shown with the rest. An item that stays as it was is not published again
//! (XEP-0402 §5.3.2). What an old client does not know of a bookmark it cannot take away.

use std::collections::{BTreeMap, HashSet};

use crate::cx::Cx;
use crate::storage::{PepAccess, PepConfig};
use crate::xml::writer::write_element;
use crate::xml::{Element, Node};
use crate::xmpp::bookmarks::{split, to_old, with_extensions};
use crate::xmpp::{BareJid, Condition, StanzaError, ns};

pub(super) use crate::xmpp::bookmarks::is_list;

use super::Im;
use super::pep::PepChange;

/// The one item of the old list where it is a node (XEP-0048 §3.1).
const LIST_ITEM: &str = "current";

impl Im {
    /// The old list as it is now (XEP-0402 §5.3.1).
    pub(super) fn bookmarks_list(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
    ) -> Result<Element, StanzaError> {
        let mut storage = Element::new("storage", ns::BOOKMARKS_STORAGE);
        for (id, conference) in self.pep_items(cx, account, ns::BOOKMARKS)? {
            storage.children.extend(to_old(&id, &conference).map(Node::Element));
        }
        for rest in self.private(cx, account, &storage)? {
            storage.children.extend(rest.elements().cloned().map(Node::Element));
        }
        Ok(storage)
    }

    /// An old list takes the place of the whole (XEP-0402 §5.3.2): in private XML.
    pub(super) fn set_bookmarks_list(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        storage: &Element,
    ) -> Result<(), StanzaError> {
        self.without_converting_back(|im| im.replace_bookmarks(cx, account, storage))?;
        self.handle_bookmarks_change(cx, account)
    }

    /// The node of the old list has changed: an item of it takes the place of the whole.
    pub(super) fn handle_bookmarks_list_change(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        change: PepChange<'_>,
    ) -> Result<(), StanzaError> {
        match change {
            PepChange::Published(Some(storage)) if is_list(storage) => {
                self.without_converting_back(|im| im.replace_bookmarks(cx, account, storage))
            }
            // Who removes the old list has gone over to the new one.
            _ => Ok(()),
        }
    }

    /// The bookmarks have changed: the old list is published again where it is a node. It is not
    /// where it would not be private, or not fit.
    pub(super) fn handle_bookmarks_change(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
    ) -> Result<(), StanzaError> {
        let (nodes_max, bytes_max) = (cx.config.limits.pep_nodes, cx.config.limits.pep_item_bytes);
        let has_room = match cx.storage.pep_node(account, ns::BOOKMARKS_STORAGE)? {
            Some(node) => node.config.access == PepAccess::Whitelist,
            None => nodes_max == 0 || cx.storage.pep_usage(account)?.nodes < nodes_max,
        };
        if !has_room {
            return Ok(());
        }
        let storage = self.bookmarks_list(cx, account)?;
        let mut xml = Vec::new();
        write_element(&mut xml, &storage, "");
        let fits = bytes_max == 0 || xml.len() <= bytes_max;
        let before = self.pep_item(cx, account, ns::BOOKMARKS_STORAGE, LIST_ITEM)?;
        if !fits || before.as_ref() == Some(&storage) {
            return Ok(());
        }
        let config = PepConfig::private(1);
        self.without_converting_back(|im| {
            im.pep_publish(cx, account, ns::BOOKMARKS_STORAGE, LIST_ITEM, storage, &config)
        })
    }

    /// What is done to nodes by `write` is not taken for a client's doing.
    fn without_converting_back(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), StanzaError>,
    ) -> Result<(), StanzaError> {
        self.is_converting = true;
        let done = write(self);
        self.is_converting = false;
        done
    }

    fn replace_bookmarks(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        storage: &Element,
    ) -> Result<(), StanzaError> {
        let (wanted, rest) = split(storage);
        let items_max = cx.config.limits.pep_items;
        if items_max > 0 && wanted.len() > items_max {
            let error = StanzaError::new(Condition::PolicyViolation);
            return Err(error.with_text("Too many bookmarks"));
        }
        self.set_private(cx, account, &[&rest])?;
        self.close_bookmarks(cx, account)?;
        let kept: BTreeMap<_, _> =
            self.pep_items(cx, account, ns::BOOKMARKS)?.into_iter().collect();
        let ids: HashSet<_> = wanted.iter().map(|(id, _)| id.as_str()).collect();
        for id in kept.keys().filter(|id| !ids.contains(id.as_str())) {
            self.pep_retract(cx, account, ns::BOOKMARKS, id)?;
        }
        let config = PepConfig::private(u32::MAX);
        for (id, conference) in &wanted {
            let before = kept.get(id);
            let conference = with_extensions(conference.clone(), before);
            if before != Some(&conference) {
                self.pep_publish(cx, account, ns::BOOKMARKS, id, conference, &config)?;
            }
        }
        Ok(())
    }

    /// Bookmarks that were private stay so, and all of them stay, whatever has become of the node
    /// that they go to (XEP-0402 §5.1).
    fn close_bookmarks(&mut self, cx: &mut Cx, account: &BareJid) -> Result<(), StanzaError> {
        let Some(node) = cx.storage.pep_node(account, ns::BOOKMARKS)? else { return Ok(()) };
        let config = PepConfig {
            access: PepAccess::Whitelist,
            items_max: u32::MAX,
            persist: true,
            ..node.config.clone()
        };
        if config != node.config {
            cx.storage.pep_node_configure(&node, &config)?;
        }
        Ok(())
    }
}
