//! What can wait until somebody looks at the client (XEP-0352 §3.2): presence, and messages that
//! carry nothing to read. Whatever is not known to be such is urgent.

use crate::xml::Element;
use crate::xmpp::{MessageType, PresenceType, Stanza, StanzaKind, ns};

/// What a message may consist of and wait: `None` stands for every element of the namespace.
const UNURGENT: &[(&str, Option<&str>)] = &[
    (ns::CHAT_STATES, None),
    (ns::CHAT_MARKERS, None),
    (ns::RECEIPTS, Some("received")),
    (ns::PUBSUB_EVENT, None),
    // What accompanies them.
    (ns::DELAY, None),
    (ns::SID, None),
    (ns::OCCUPANT_ID, None),
    (ns::HINTS, None),
    (ns::CLIENT, Some("thread")),
];

/// Whether a stanza is written at once to a client that nobody looks at.
pub(super) fn is_urgent(stanza: &Stanza) -> bool {
    match stanza.kind {
        StanzaKind::Presence(PresenceType::Available | PresenceType::Unavailable) => {
            stanza.child("x", ns::MUC_USER).is_some_and(is_about_oneself)
        }
        StanzaKind::Presence(_) | StanzaKind::Iq(_) | StanzaKind::Message(MessageType::Error) => {
            true
        }
        StanzaKind::Message(_) => is_worth_reading(stanza.elements()),
    }
}

/// XEP-0045 §7.2.2: what a room says of one's own seat is the answer to a request, or news that one
/// is out of it.
fn is_about_oneself(x: &Element) -> bool {
    x.elements().any(|child| child.name == "status" && child.attr("code") == Some("110"))
}

fn is_worth_reading<'a>(children: impl Iterator<Item = &'a Element>) -> bool {
    let mut children = children.peekable();
    // Nothing at all: some clients send that instead of a chat state.
    children.peek().is_some() && children.any(|child| !can_wait(child))
}

fn can_wait(child: &Element) -> bool {
    if child.ns == ns::CARBONS {
        // XEP-0280: as urgent as what was copied.
        let message = child.child("forwarded", ns::FORWARD);
        let message = message.and_then(|forwarded| forwarded.child("message", ns::CLIENT));
        return message.is_some_and(|message| !is_worth_reading(message.elements()));
    }
    let is_of = |(ns, name): &(&str, Option<&str>)| {
        child.ns == *ns && name.is_none_or(|name| child.name == name)
    };
    UNURGENT.iter().any(is_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::read_fragment;
    use crate::xmpp::{Jid, MessageType};

    #[track_caller]
    fn check(kind: StanzaKind, children: &str, want: bool) {
        let mut stanza = Stanza::new(kind, Jid::parse("a@c.example/r").unwrap(), None);
        for child in read_fragment(children.as_bytes(), ns::CLIENT) {
            stanza = stanza.with_child(child);
        }
        assert_eq!(is_urgent(&stanza), want, "{children}");
    }

    #[test]
    fn what_can_wait() {
        let chat = StanzaKind::Message(MessageType::Chat);
        let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        check(chat, "", false);
        check(chat, state, false);
        check(chat, &format!("{state}<thread>t</thread>"), false);
        check(chat, &format!("{state}<body>b</body>"), true);
        check(chat, "<body>b</body>", true);
        check(chat, "<subject/>", true);
        check(chat, "<received xmlns='urn:xmpp:receipts' id='1'/>", false);
        check(chat, "<request xmlns='urn:xmpp:receipts'/>", true);
        check(chat, "<encrypted xmlns='eu.siacs.conversations.axolotl'/>", true);
        check(StanzaKind::Message(MessageType::Error), state, true);
        let event =
            "<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='n'/></event>";
        check(StanzaKind::Message(MessageType::Headline), event, false);
    }

    #[test]
    fn a_copy_is_as_urgent_as_what_was_copied() {
        let chat = StanzaKind::Message(MessageType::Chat);
        let copy = |inner: &str| {
            format!(
                "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
                 <message xmlns='jabber:client'>{inner}</message></forwarded></received>"
            )
        };
        check(chat, &copy("<body>b</body>"), true);
        check(chat, &copy("<active xmlns='http://jabber.org/protocol/chatstates'/>"), false);
    }

    #[test]
    fn presence_waits_but_not_ones_own_in_a_room() {
        let x = |code| {
            format!("<x xmlns='http://jabber.org/protocol/muc#user'><status code='{code}'/></x>")
        };
        check(StanzaKind::Presence(PresenceType::Available), "<show>away</show>", false);
        check(StanzaKind::Presence(PresenceType::Unavailable), "", false);
        check(StanzaKind::Presence(PresenceType::Subscribe), "", true);
        check(StanzaKind::Presence(PresenceType::Unavailable), &x("307"), false);
        check(StanzaKind::Presence(PresenceType::Unavailable), &x("110"), true);
    }
}
