//! Clients of contacts elsewhere hear of what is published here (XEP-0163 §4.3, XEP-0115).

use super::subscription::{add, bare, befriend, settle};
use super::*;
use crate::storage::Subscription;
use crate::xmpp::disco;

const BALCONY: &str = "juliet@localhost/balcony";
const JULIET: &str = "juliet@localhost";
const NURSE: &str = "nurse@elsewhere.example";
const PHONE: &str = "nurse@elsewhere.example/phone";
const NICK: &str = "http://jabber.org/protocol/nick";

/// Juliet is there, and whether the nurse sees her presence.
fn world(subscription: Subscription) -> (World, SessionId) {
    let mut world = World::new();
    add(&mut world, JULIET);
    befriend(&mut world, JULIET, NURSE, subscription);
    let balcony = world.available(BALCONY, 0);
    settle(&mut world);
    (world, balcony)
}

/// What a client says that wants to hear of nicks.
fn features() -> Element {
    let feature =
        Element::new("feature", ns::DISCO_INFO).with_attr("var", format!("{NICK}+notify"));
    let identity = Element::new("identity", ns::DISCO_INFO)
        .with_attr("category", "client")
        .with_attr("type", "phone");
    Element::new("query", ns::DISCO_INFO).with_child(identity).with_child(feature)
}

/// Presence with a hash; what goes elsewhere.
fn appears(world: &mut World, from: &str, function: &str, ver: &str) -> Vec<String> {
    let caps = Element::new("c", ns::CAPS)
        .with_attr("hash", function)
        .with_attr("node", "urn:phone")
        .with_attr("ver", ver);
    let presence = presence_to(from, JULIET, PresenceType::Available).with_child(caps);
    world.im.note_client(&mut world.cx, &presence);
    settle(world)
}

fn ver() -> String {
    disco::caps_ver(&disco::caps_text_of(&features()).expect("well-formed"))
}

/// The id of the one question among what goes elsewhere.
fn question(sent: &[String], to: &str) -> String {
    let [question] = sent else { panic!("one question: {sent:?}") };
    let id = question.split("id='").nth(1).and_then(|rest| rest.split('\'').next());
    let is_whole = question.starts_with("<iq from='juliet@localhost' type='get'")
        && question.contains(&format!("to='{to}'"))
        && question.contains("node='urn:phone#");
    assert!(is_whole, "{question}");
    id.expect("an id").to_owned()
}

fn answers(world: &mut World, from: &str, id: &str, kind: IqType) -> Vec<String> {
    let answer = Stanza::new(StanzaKind::Iq(kind), jid(from), Some(jid(JULIET)))
        .with_id(Some(id.to_owned()))
        .with_child(features());
    world.im.handle_client_answer(&mut world.cx, &answer);
    settle(world)
}

/// Juliet publishes a nick; what goes elsewhere.
fn publishes(world: &mut World, session: SessionId) -> Vec<String> {
    let item = Element::new("item", ns::PUBSUB)
        .with_attr("id", "current")
        .with_child(Element::new("nick", NICK).with_text("Capulet"));
    let publish = Element::new("publish", ns::PUBSUB).with_attr("node", NICK).with_child(item);
    let pubsub = Element::new("pubsub", ns::PUBSUB).with_child(publish);
    world.ask(session, BALCONY, IqType::Set, pubsub).expect("published");
    settle(world)
}

fn is_event(sent: &[String], to: &str) -> bool {
    let [event] = sent else { return false };
    event.contains(&format!(" to='{to}'")) && event.contains("Capulet")
}

#[test]
fn who_asks_for_it_hears_of_it() {
    let (mut world, balcony) = world(Subscription::Both);
    let sent = appears(&mut world, PHONE, "sha-1", &ver());
    let id = question(&sent, PHONE);
    assert_eq!(appears(&mut world, PHONE, "sha-1", &ver()), [""; 0], "asked once");
    assert_eq!(publishes(&mut world, balcony), [""; 0], "nobody listens yet");
    assert_eq!(answers(&mut world, PHONE, "other", IqType::Result), [""; 0], "another question");
    // The last item at once, then each as it comes.
    assert!(is_event(&answers(&mut world, PHONE, &id, IqType::Result), PHONE));
    assert!(is_event(&publishes(&mut world, balcony), PHONE));
    // A hash that is known is not asked for, whoever has it.
    let tablet = "nurse@elsewhere.example/tablet";
    assert!(is_event(&appears(&mut world, tablet, "sha-1", &ver()), tablet));
    assert_eq!(publishes(&mut world, balcony).len(), 2);
    for from in [PHONE, tablet] {
        let gone = presence_to(from, JULIET, PresenceType::Unavailable);
        world.im.note_client(&mut world.cx, &gone);
    }
    assert_eq!(publishes(&mut world, balcony), [""; 0]);
}

/// Who is gone with its bare address is gone with all clients.
#[test]
fn the_contact_is_gone() {
    let (mut world, balcony) = world(Subscription::From);
    let sent = appears(&mut world, PHONE, "sha-1", &ver());
    let id = question(&sent, PHONE);
    answers(&mut world, PHONE, &id, IqType::Result);
    assert!(is_event(&publishes(&mut world, balcony), PHONE));
    let gone = presence_to(NURSE, JULIET, PresenceType::Unavailable);
    world.im.note_client(&mut world.cx, &gone);
    assert_eq!(publishes(&mut world, balcony), [""; 0]);
}

/// An answer counts for a hash only if it has that hash; without one that we can compute, for the
/// client that gave it.
#[test]
fn answers_are_not_trusted() {
    for (function, ver, kind, hears) in [
        ("sha-1", "wrong", IqType::Result, false),
        ("sha-1", &*ver(), IqType::Error, false),
        ("md2", "any", IqType::Result, true),
    ] {
        let (mut world, balcony) = world(Subscription::Both);
        let sent = appears(&mut world, PHONE, function, ver);
        let id = question(&sent, PHONE);
        answers(&mut world, PHONE, &id, kind);
        let sent = publishes(&mut world, balcony);
        assert_eq!(is_event(&sent, PHONE), hears, "{function} {ver}");
        let tablet = "nurse@elsewhere.example/tablet";
        question(&appears(&mut world, tablet, function, ver), tablet);
    }
}

/// Strangers are not asked; who is seen but does not see hears nothing until it does.
#[test]
fn who_may_hear_of_it() {
    let (mut world, balcony) = world(Subscription::To);
    assert_eq!(appears(&mut world, "tybalt@elsewhere.example/x", "sha-1", &ver()), [""; 0]);
    assert_eq!(appears(&mut world, NURSE, "sha-1", &ver()), [""; 0], "not a client");
    let id = question(&appears(&mut world, PHONE, "sha-1", &ver()), PHONE);
    assert_eq!(answers(&mut world, PHONE, &id, IqType::Result), [""; 0]);
    assert_eq!(publishes(&mut world, balcony), [""; 0]);
    let contact = bare(NURSE);
    world.im.note_subscription(&bare(JULIET), &contact, Subscription::Both);
    befriend(&mut world, JULIET, NURSE, Subscription::Both);
    world.im.pep_welcome(&mut world.cx, &bare(JULIET), &contact).expect("told");
    assert!(is_event(&settle(&mut world), PHONE));
    // With the last session all is forgotten.
    world.end(balcony);
    settle(&mut world);
    assert_eq!(appears(&mut world, PHONE, "sha-1", &ver()), [""; 0]);
}
