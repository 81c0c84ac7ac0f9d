//! Bookmarks as values: an item of a node (XEP-0402) and an entry of the old list (XEP-0048), each
//! made of the other. Which of them an account keeps, and where, is not here.

use std::collections::HashSet;

use super::{Jid, ns};
use crate::xml::{Element, Node};

/// The old list, whole.
pub fn is_list(element: &Element) -> bool {
    element.is("storage", ns::BOOKMARKS_STORAGE)
}

/// An item as a bookmark of the old list (XEP-0402 §5.3.1); `None` when it is none.
pub fn to_old(id: &str, item: &Element) -> Option<Element> {
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
pub fn with_extensions(new: Element, before: Option<&Element>) -> Element {
    let extensions = |item: &Element| item.child("extensions", ns::BOOKMARKS).cloned();
    if extensions(&new).is_some() {
        return new;
    }
    new.with_child_opt(before.and_then(extensions))
}

/// The bookmarks of rooms in an old list, each address once, and the list without them.
pub fn split(storage: &Element) -> (Vec<(String, Element)>, Element) {
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
