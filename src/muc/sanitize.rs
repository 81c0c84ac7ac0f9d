//! What clients may not say through a room: everything that only the room itself can know
//! (XEP-0045 §17.3, XEP-0359 §5, XEP-0421 §4). All copies are taken out, wherever they stand among
//! the children of the stanza.

use crate::xml::{Element, Node};
use crate::xmpp::{BareJid, Jid, ns};

/// The namespace of delayed delivery before XEP-0203.
const LEGACY_DELAY: &str = "jabber:x:delay";
/// Hats as servers told them before XEP-0317 had a namespace that clients know.
const LEGACY_HATS: &[&str] = &["http://prosody.im/protocol/hats:1", "xmpp:prosody.im/hats:1"];
/// Moderation before XEP-0425 0.3, and what it was wrapped in (XEP-0422).
const LEGACY_MODERATE: &str = "urn:xmpp:message-moderate:0";
const FASTEN: &str = "urn:xmpp:fasten:0";
/// Extended addressing (XEP-0033).
const ADDRESS: &str = "http://jabber.org/protocol/address";

/// False for an element that a client has forged, or that is for the room alone.
pub fn is_allowed(room: &BareJid, element: &Element) -> bool {
    let is_ours = |name: &str| element.attr(name).is_some_and(|text| names_room(room, text));
    match &*element.ns {
        ns::MUC | ns::MUC_USER | ns::MUC_ADMIN | ns::MUC_OWNER => false,
        ns::OCCUPANT_ID | ns::HATS | ns::MODERATE | LEGACY_MODERATE => false,
        // The archive and the versions of the lists are the room's, whoever believes a nick.
        ns::MAM | ns::MUC_AFFILIATIONS => false,
        FASTEN => element.elements().all(|child| child.ns != LEGACY_MODERATE),
        other if LEGACY_HATS.contains(&other) => false,
        // A tombstone is the room's (XEP-0424 §4).
        ns::RETRACT => element.name != "retracted",
        ns::SID => element.name != "stanza-id" || !is_ours("by"),
        ns::DELAY | LEGACY_DELAY => !is_ours("from"),
        // The room's word for the real address of whoever spoke (§7.2.13).
        ADDRESS => element.elements().all(|address| address.attr("type") != Some("ofrom")),
        _ => true,
    }
}

/// The children of a client's message without those.
pub fn children(room: &BareJid, children: Vec<Node>) -> Vec<Node> {
    let allowed = |node| match node {
        Node::Element(element) if is_allowed(room, &element) => Some(element),
        _ => None,
    };
    let allowed = children.into_iter().filter_map(allowed);
    allowed.map(|element| Node::Element(without_moderation(element))).collect()
}

/// A retraction without the word that a moderator has made it: that is the room's (XEP-0425 §5).
fn without_moderation(mut element: Element) -> Element {
    if element.is("retract", ns::RETRACT) {
        let is_plain = |node: &Node| match node {
            Node::Element(child) => child.ns != ns::MODERATE,
            Node::Text(_) => true,
        };
        element.children.retain(is_plain);
    }
    element
}

/// The errors among the children of a stanza that goes on to an occupant: see [`error`].
pub fn errors(children: &mut [Node]) {
    for node in children {
        if let Node::Element(element) = node
            && element.is("error", ns::CLIENT)
        {
            error(element);
        }
    }
}

/// The payload of an error that goes on to an occupant: it must not tell the real address of
/// whoever made it (`by`, and the addresses in `gone` and `redirect`).
pub fn error(element: &mut Element) {
    element.attributes.retain(|attribute| attribute.name != "by");
    for child in &mut element.children {
        if let Node::Element(condition) = child
            && condition.ns == ns::STANZA_ERRORS
            && condition.name != "text"
        {
            condition.children.clear();
        }
    }
}

/// True for the address of the room, of its occupants, or of its service.
fn names_room(room: &BareJid, text: &str) -> bool {
    match Jid::parse(text.trim()) {
        Ok(jid) => {
            jid.bare_str() == room.as_str()
                || jid.local().is_none() && jid.domain() == room.domain()
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advisory_a15_forged_elements() {
        let room = BareJid::parse("room@conference.localhost").expect("an address");
        let element = |name: &'static str, ns: &'static str| Element::new(name, ns);
        let address = |kind: &str| Element::new("address", ADDRESS).with_attr("type", kind);
        for (element, want) in [
            (element("body", ns::CLIENT), true),
            (element("x", ns::MUC), false),
            (element("x", ns::MUC_USER), false),
            (element("occupant-id", ns::OCCUPANT_ID).with_attr("id", "1"), false),
            (element("hats", ns::HATS), false),
            (element("moderated", ns::MODERATE), false),
            (element("moderated", LEGACY_MODERATE), false),
            (element("apply-to", FASTEN).with_child(element("moderated", LEGACY_MODERATE)), false),
            (element("apply-to", FASTEN), true),
            (element("hats", LEGACY_HATS[0]), false),
            (element("result", ns::MAM), false),
            (element("mav", ns::MUC_AFFILIATIONS), false),
            (element("forwarded", ns::FORWARD), true),
            (element("x", "vcard-temp:x:update"), true),
            (element("retracted", ns::RETRACT), false),
            (element("retract", ns::RETRACT), true),
            (element("stanza-id", ns::SID).with_attr("by", "room@conference.localhost"), false),
            (element("stanza-id", ns::SID).with_attr("by", "ROOM@conference.localhost"), false),
            (element("stanza-id", ns::SID).with_attr("by", " room@conference.localhost "), false),
            (element("stanza-id", ns::SID).with_attr("by", "other@conference.localhost"), true),
            (element("origin-id", ns::SID).with_attr("id", "1"), true),
            (element("delay", ns::DELAY).with_attr("from", "room@conference.localhost/x"), false),
            (element("delay", ns::DELAY).with_attr("from", "conference.localhost"), false),
            (element("delay", ns::DELAY).with_attr("from", "user@localhost"), true),
            (element("x", LEGACY_DELAY).with_attr("from", "room@conference.localhost"), false),
            (element("x", ns::CONFERENCE), true),
            (element("addresses", ADDRESS).with_child(address("ofrom")), false),
            (element("addresses", ADDRESS).with_child(address("cc")), true),
        ] {
            assert_eq!(is_allowed(&room, &element), want, "{element:?}");
        }
    }

    #[test]
    fn advisory_a17_errors_tell_no_address() {
        let gone = Element::new("gone", ns::STANZA_ERRORS).with_text("xmpp:real@localhost");
        let text = Element::new("text", ns::STANZA_ERRORS).with_text("words");
        let mut error_element = Element::new("error", ns::CLIENT)
            .with_attr("by", "real@localhost")
            .with_child(gone)
            .with_child(text);
        error(&mut error_element);
        assert_eq!(error_element.attr("by"), None);
        let texts: Vec<_> = error_element.elements().map(Element::text).collect();
        assert_eq!(texts, ["", "words"]);
    }
}
