//! What a session had not got when it ended (XEP-0198 §5).

use super::*;
use crate::storage::tests::credentials;
use crate::xmpp::BareJid;

const BALCONY: &str = "juliet@localhost/balcony";
const CHAMBER: &str = "juliet@localhost/chamber";
const ACCOUNT: &str = "juliet@localhost";

/// Now, in the harness.
const NOW_MS: i64 = 951_782_400_000;

fn world() -> World {
    let mut world = World::new();
    let juliet = BareJid::parse(ACCOUNT).expect("a valid address");
    assert_eq!(world.cx.storage.account_create(&juliet, &credentials(1)), Ok(true));
    world
}

fn stanza(kind: StanzaKind, to: &str) -> Stanza {
    let stanza = Stanza::new(kind, jid("romeo@localhost/orchard"), Some(jid(to)));
    stanza.with_child(Element::new("body", ns::CLIENT).with_text("words"))
}

fn chat(to: &str) -> Stanza {
    stanza(StanzaKind::Message(MessageType::Chat), to)
}

fn redeliver(world: &mut World, stanza: &Stanza, queued_ms: i64) -> Result<(), Condition> {
    let result = world.im.redeliver(&mut world.cx, &jid(BALCONY), stanza.clone(), queued_ms);
    result.map_err(|error| error.condition)
}

/// What is kept reaches who is ready next, with the first time that it was accepted.
#[test]
fn nobody_else_is_there() {
    let mut world = world();
    assert_eq!(redeliver(&mut world, &chat(BALCONY), NOW_MS - 60_000), Ok(()));
    let balcony = world.bind(BALCONY);
    world.broadcast(balcony, &available(BALCONY)).expect("valid presence");
    let read = world.read(balcony);
    assert_eq!(read.matches("<body>words</body>").count(), 1, "{read}");
    assert!(read.contains("from='localhost' stamp='2000-02-28T23:59:00Z'"), "{read}");
    // It was not acknowledged, so it comes back; it does not get a second time.
    world.end(balcony);
    let mut again = chat(BALCONY);
    let delay = crate::xmpp::delay::delay("localhost", NOW_MS - 60_000);
    again.children.push(crate::xml::Node::Element(delay));
    assert_eq!(redeliver(&mut world, &again, NOW_MS), Ok(()));
    let chamber = world.bind(CHAMBER);
    world.broadcast(chamber, &available(CHAMBER)).expect("valid presence");
    let read = world.read(chamber);
    assert_eq!(read.matches("<delay").count(), 1, "{read}");
    assert!(read.contains("stamp='2000-02-28T23:59:00Z'"), "{read}");
}

/// XEP-0386 §3.2: what the archive of the account has does not come again; the rest comes.
#[test]
fn what_is_archived_is_cleared() {
    let mut world = world();
    for (id, by) in [("own", Some(ACCOUNT)), ("other", Some("romeo@localhost")), ("none", None)] {
        let stanza_id = |by| Element::new("stanza-id", ns::SID).with_attr("by", by);
        let message = chat(ACCOUNT).with_id(Some(id.to_owned()));
        let message = message.with_child_opt(by.map(stanza_id));
        assert_eq!(redeliver(&mut world, &message, NOW_MS), Ok(()));
    }
    let juliet = BareJid::parse(ACCOUNT).expect("a valid address");
    world.im.clear_offline(&mut world.cx, &juliet);
    let balcony = world.bind(BALCONY);
    world.broadcast(balcony, &available(BALCONY)).expect("valid presence");
    let read = world.read(balcony);
    assert!(!read.contains("id='own'"), "{read}");
    assert!(read.contains("id='other'") && read.contains("id='none'"), "{read}");
}

#[test]
fn to_those_who_have_not_had_it() {
    let mut world = world();
    let chamber = world.available(CHAMBER, 0);
    // To one resource: the other has not had it.
    assert_eq!(redeliver(&mut world, &chat(BALCONY), NOW_MS), Ok(()));
    let read = world.read(chamber);
    assert!(read.contains("words") && read.contains("<delay"), "{read}");
    // To all that were ready: it was, unless it has come later.
    assert_eq!(redeliver(&mut world, &chat(ACCOUNT), NOW_MS), Ok(()));
    assert_eq!(world.read(chamber), "");
    assert_eq!(redeliver(&mut world, &chat(ACCOUNT), NOW_MS - 1), Ok(()));
    assert!(world.read(chamber).contains("words"));
    // With carbons it has had a copy.
    world.im.set_carbons(&world.cx, chamber, true);
    assert_eq!(redeliver(&mut world, &chat(BALCONY), NOW_MS), Ok(()));
    assert_eq!(world.read(chamber), "");
}

/// A chat to a resource that is not there goes to all (RFC 6121 §8.5.3.2.1): they have it.
#[test]
fn to_a_resource_that_was_not_there() {
    let mut world = world();
    let chamber = world.available(CHAMBER, 0);
    assert_eq!(redeliver(&mut world, &chat("juliet@localhost/gone"), NOW_MS), Ok(()));
    assert_eq!(world.read(chamber), "");
}

/// Copies that were wanted later, and the resource that wrote it, do not count.
#[test]
fn who_has_had_no_copy() {
    let mut world = world();
    let chamber = world.available(CHAMBER, 0);
    world.cx.now.unix_ms += 1000;
    world.im.set_carbons(&world.cx, chamber, true);
    assert_eq!(redeliver(&mut world, &chat(BALCONY), NOW_MS), Ok(()));
    assert!(world.read(chamber).contains("words"));
    let own = Stanza { from: jid(CHAMBER), ..chat(BALCONY) };
    assert_eq!(redeliver(&mut world, &own, NOW_MS + 1000), Ok(()));
    assert!(world.read(chamber).contains("words"));
}

#[test]
fn what_is_never_delivered_again() {
    use StanzaKind::{Iq, Message, Presence};
    let mut world = world();
    let chamber = world.available(CHAMBER, 0);
    for kind in [
        Message(MessageType::Groupchat),
        Message(MessageType::Headline),
        Message(MessageType::Error),
        Presence(PresenceType::Available),
        Presence(PresenceType::Unavailable),
        Iq(IqType::Result),
        Iq(IqType::Error),
    ] {
        assert_eq!(redeliver(&mut world, &stanza(kind, BALCONY), NOW_MS), Ok(()), "{kind:?}");
    }
    for kind in [Iq(IqType::Get), Iq(IqType::Set)] {
        let refused = redeliver(&mut world, &stanza(kind, BALCONY), NOW_MS);
        assert_eq!(refused, Err(Condition::ServiceUnavailable), "{kind:?}");
    }
    let kind = Message(MessageType::Chat);
    let copy = Stanza::new(kind, jid(ACCOUNT), Some(jid(BALCONY)))
        .with_child(Element::new("sent", ns::CARBONS));
    assert_eq!(redeliver(&mut world, &copy, NOW_MS), Ok(()));
    assert_eq!(world.read(chamber), "");
}

/// What a session was told for being in a room, or because it had asked: others of the user need
/// not be there, and who is ready next need not either (XEP-0045 §7.5, XEP-0313 §4.2).
#[test]
fn what_is_for_that_session_alone() {
    use MessageType::{Chat, Normal};
    let (room, seat) = ("room@conference.localhost", "room@conference.localhost/nick");
    let remote = "room@rooms.example/nick";
    let x = |child: &'static str| {
        let x = Element::new("x", ns::MUC_USER);
        if child.is_empty() { x } else { x.with_child(Element::new(child, ns::MUC_USER)) }
    };
    let rows = [
        // from, to, payload, whether others of the user get it
        (Chat, seat, BALCONY, x(""), false),
        (Chat, remote, BALCONY, x(""), false),
        (Normal, room, BALCONY, x("item"), false),
        (Normal, room, BALCONY, Element::new("x", ns::DATA), false),
        (Normal, room, BALCONY, x("invite"), true),
        (Normal, room, BALCONY, x("decline"), true),
        (Normal, room, ACCOUNT, x("invite"), true),
        (Normal, room, ACCOUNT, x("status"), true),
        (Normal, ACCOUNT, BALCONY, Element::new("result", ns::MAM), false),
        (Normal, "romeo@localhost/orchard", BALCONY, Element::new("x", ns::DATA), true),
    ];
    for (kind, from, to, payload, is_given) in rows {
        for is_ready in [true, false] {
            let mut world = world();
            let ready = is_ready.then(|| world.available(CHAMBER, 0));
            let name = payload.name.clone();
            let stanza = Stanza::new(StanzaKind::Message(kind), jid(from), Some(jid(to)));
            let stanza = stanza.with_child(payload.clone());
            assert_eq!(redeliver(&mut world, &stanza, NOW_MS - 1), Ok(()), "{from} {name}");
            let chamber = ready.unwrap_or_else(|| world.bind(CHAMBER));
            world.broadcast(chamber, &available(CHAMBER)).expect("valid presence");
            let read = world.read(chamber);
            assert_eq!(read.contains("<delay"), is_given, "{from} {to} {name}: {read}");
        }
    }
}
