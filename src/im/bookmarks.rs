//! Bookmarks: the items of a node (XEP-0402) are the truth; the list that older clients keep whole
//! (XEP-0048), in private XML or as one item of another node, shows them and changes them.
//!
//! What such a list holds that is no bookmark of a room, addresses of web pages for one, is kept in
//! private XML, and shown with the rest. An item that stays as it was is not published again
//! (XEP-0402 §5.3.2). What an old client does not know of a bookmark it cannot take away.

use std::collections::{BTreeMap, HashSet};

use crate::cx::Cx;
use crate::storage::{PepAccess, PepConfig, PepSendLast};
use crate::xml::writer::write_element;
use crate::xml::{Element, Node};
use crate::xmpp::{BareJid, Condition, Jid, StanzaError, ns};

use super::Im;
use super::pep::PepChange;

/// The one item of the old list where it is a node (XEP-0048 §3.1).
const LIST_ITEM: &str = "current";

/// The old list, whole.
pub(super) fn is_list(element: &Element) -> bool {
    element.is("storage", ns::BOOKMARKS_STORAGE)
}

/// XEP-0223 §3: nobody else is to see it, and nothing is dropped for the newest one.
fn private_node(items_max: u32) -> PepConfig {
    PepConfig {
        access: PepAccess::Whitelist,
        items_max,
        send_last: PepSendLast::Never,
        ..PepConfig::default()
    }
}

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
        let config = private_node(1);
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
        let config = private_node(u32::MAX);
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

/// An item as a bookmark of the old list (XEP-0402 §5.3.1); `None` when it is none.
fn to_old(id: &str, item: &Element) -> Option<Element> {
    if !item.is("conference", ns::BOOKMARKS) {
        return None;
    }
    let mut old = Element::new("conference", ns::BOOKMARKS_STORAGE)
        .with_attr_opt("name", item.attr("name"))
        .with_attr_opt("autojoin", item.attr("autojoin"))
        .with_attr("jid", id);
    for name in ["nick", "password"] {
        let child = item.child(name, ns::BOOKMARKS);
        let child = child.map(|e| Element::new(name, ns::BOOKMARKS_STORAGE).with_text(e.text()));
        old.children.extend(child.map(Node::Element));
    }
    let extensions = item.child("extensions", ns::BOOKMARKS);
    Some(old.with_child_opt(extensions.cloned()))
}

/// A bookmark of the old list as an item. What it has of elements in other namespaces is an
/// extension.
fn to_new(old: &Element) -> Element {
    let autojoin = old.attr("autojoin").filter(|text| ["true", "1", "false", "0"].contains(text));
    let mut new = Element::new("conference", ns::BOOKMARKS)
        .with_attr_opt("name", old.attr("name"))
        .with_attr_opt("autojoin", autojoin);
    for name in ["nick", "password"] {
        let text = old.child(name, ns::BOOKMARKS_STORAGE).map(Element::text);
        let text = text.filter(|text| !text.is_empty());
        let child = text.map(|text| Element::new(name, ns::BOOKMARKS).with_text(text));
        new.children.extend(child.map(Node::Element));
    }
    let mut extensions = Element::new("extensions", ns::BOOKMARKS);
    for child in old.elements() {
        if child.is("extensions", ns::BOOKMARKS) {
            extensions.children.extend(child.elements().cloned().map(Node::Element));
        } else if child.ns != ns::BOOKMARKS_STORAGE {
            extensions.push(child.clone());
        }
    }
    new.with_child_opt(Some(extensions).filter(|extensions| !extensions.children.is_empty()))
}

/// The same with the extensions it had `before`, when it comes without any.
fn with_extensions(new: Element, before: Option<&Element>) -> Element {
    let extensions = |item: &Element| item.child("extensions", ns::BOOKMARKS).cloned();
    if extensions(&new).is_some() {
        return new;
    }
    new.with_child_opt(before.and_then(extensions))
}

/// The bookmarks of rooms in an old list, each address once, and the list without them.
fn split(storage: &Element) -> (Vec<(String, Element)>, Element) {
    let mut rooms = Vec::new();
    let mut known = HashSet::new();
    let mut rest = Element::new("storage", ns::BOOKMARKS_STORAGE);
    for child in storage.elements() {
        let is_room = child.is("conference", ns::BOOKMARKS_STORAGE);
        let jid = child.attr("jid").filter(|_| is_room).and_then(|jid| Jid::parse(jid).ok());
        match jid.map(|jid| jid.to_bare().as_str().to_owned()) {
            None => rest.push(child.clone()),
            Some(jid) if known.insert(jid.clone()) => rooms.push((jid, to_new(child))),
            Some(_) => {}
        }
    }
    (rooms, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::read_fragment;

    fn element(xml: &str) -> Element {
        read_fragment(xml.as_bytes(), "").pop().expect("an element")
    }

    #[track_caller]
    fn check(old: &str, new: &str, back: &str) {
        let old = format!("<conference xmlns='storage:bookmarks' jid='r@c'{old}</conference>");
        let new = element(&format!("<conference xmlns='urn:xmpp:bookmarks:1'{new}</conference>"));
        let back = format!("<conference xmlns='storage:bookmarks'{back}</conference>");
        assert_eq!(to_new(&element(&old)), new);
        assert_eq!(to_old("r@c", &new), Some(element(&back)));
    }

    #[test]
    fn there_and_back() {
        check(">", ">", " jid='r@c'>");
        check(
            " name='Tea' autojoin='1'><nick>J</nick><password>p</password>",
            " name='Tea' autojoin='1'><nick>J</nick><password>p</password>",
            " name='Tea' autojoin='1' jid='r@c'><nick>J</nick><password>p</password>",
        );
        check(" autojoin='yes'><nick/><other/>", ">", " jid='r@c'>");
        let extensions = "<extensions xmlns='urn:xmpp:bookmarks:1'><x xmlns='u:x'/></extensions>";
        check("><x xmlns='u:x'/>", &format!(">{extensions}"), &format!(" jid='r@c'>{extensions}"));
        check(
            &format!(">{extensions}"),
            &format!(">{extensions}"),
            &format!(" jid='r@c'>{extensions}"),
        );
    }

    #[test]
    fn only_rooms_are_items() {
        let (rooms, rest) = split(&element(
            "<storage xmlns='storage:bookmarks'><url url='http://x'/><conference jid='R@C/n'/>\
             <conference jid='r@c' name='again'/><conference/><conference jid='@'/></storage>",
        ));
        let ids: Vec<_> = rooms.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["r@c"]);
        let kept = "<storage xmlns='storage:bookmarks'><url url='http://x'/><conference/>\
                    <conference jid='@'/></storage>";
        assert_eq!(rest, element(kept));
    }

    #[test]
    fn what_an_old_client_does_not_know_stays() {
        let item = |xml: &str| {
            element(&format!("<conference xmlns='{}'>{xml}</conference>", ns::BOOKMARKS))
        };
        let (one, two) = (
            item("<extensions><x xmlns='u:x'/></extensions>"),
            item("<extensions><y xmlns='u:y'/></extensions>"),
        );
        assert_eq!(with_extensions(item(""), Some(&one)), one);
        assert_eq!(with_extensions(two.clone(), Some(&one)), two);
        assert_eq!(with_extensions(item(""), None), item(""));
    }
}
