//! Through seats: private messages, iq stanzas there and back, nick changes, ghosts.

use super::*;

const GET: StanzaKind = StanzaKind::Iq(IqType::Get);

fn with_two() -> (World, User, User) {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R"), (&guest, "J")]);
    (world, owner, guest)
}

fn seat(nick: &str) -> String {
    format!("{ROOM}/{nick}")
}

#[test]
fn an_iq_goes_there_and_back() {
    let (mut world, owner, guest) = with_two();
    world.send(&guest, GET, &seat("R"), "<query xmlns='jabber:iq:version'/>").expect("through");
    let request = world.received(&owner).remove(0);
    assert_eq!(request.attr("from"), Some(seat("J").as_str()));
    let id = request.attr("id").expect("an id").to_owned();
    assert!(!id.contains("localhost"), "{id}");
    let answer = |from: &User, id: &str| {
        Stanza::new(StanzaKind::Iq(IqType::Result), from.jid.clone(), Some(jid(&seat("J"))))
            .with_id(Some(id.to_owned()))
    };
    // Nobody else answers, and not with another id.
    let thief = world.user("tybalt@localhost/t");
    world.join(&thief, "T").expect("open");
    world.bytes(&guest);
    world.handle(&thief, answer(&thief, &id)).expect("never answered");
    world.handle(&owner, answer(&owner, &format!("{id}x"))).expect("never answered");
    assert_eq!(world.heard(&guest), [""; 0]);
    world.handle(&owner, answer(&owner, &id)).expect("the answer");
    let result = world.received(&guest).remove(0);
    assert_eq!(result.attr("id"), Some("id"));
    assert_eq!(result.attr("from"), Some(seat("R").as_str()));
    assert_eq!(result.attr("to"), Some("juliet@localhost/b"));
}

#[test]
fn an_error_comes_back_without_addresses_and_removes_nobody() {
    let (mut world, owner, guest) = with_two();
    world.send(&guest, GET, &seat("R"), "<query xmlns='jabber:iq:version'/>").expect("through");
    let id = world.received(&owner)[0].attr("id").map(str::to_owned);
    let error = "<error type='cancel' by='romeo@localhost'>\
                 <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:romeo@localhost</gone>\
                 </error>";
    let mut answer =
        Stanza::new(StanzaKind::Iq(IqType::Error), owner.jid.clone(), Some(jid(&seat("J"))))
            .with_id(id);
    answer.children = vec![Node::Element(xml(error))];
    world.handle(&owner, answer).expect("never answered");
    let bytes = world.bytes(&guest);
    assert!(bytes.contains("<gone ") && !bytes.contains("romeo@localhost"), "{bytes}");
    assert_eq!(world.muc.seats_count(), 2);
}

#[test]
fn iq_for_the_account_goes_to_the_bare_address() {
    let (mut world, owner, guest) = with_two();
    world.send(&guest, GET, &seat("R"), "<vCard xmlns='vcard-temp'/>").expect("through");
    assert_eq!(world.heard(&owner), [""; 0]);
    let routed = world.cx.poll_routed().expect("by the router");
    assert_eq!(routed.to, Some(jid("romeo@localhost")));
    assert_eq!(routed.from, jid(&seat("J")));
    let mut answer = Stanza::new(StanzaKind::Iq(IqType::Result), jid("romeo@localhost"), None);
    answer.to = Some(routed.from);
    answer.id = routed.id;
    world.muc.handle(&mut world.cx, Target::Routed, answer).expect("never answered");
    assert_eq!(world.received(&guest)[0].attr("from"), Some(seat("R").as_str()));
}

#[test]
fn self_ping_and_requests_from_outside() {
    let (mut world, owner, guest) = with_two();
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    world.send(&guest, GET, &seat("J"), ping).expect("she is in");
    assert_eq!(world.heard(&guest), ["iq result J"]);
    refused(world.send(&guest, GET, &seat("nobody"), ping), Condition::ItemNotFound);
    world.leave(&guest);
    let error = world.send(&guest, GET, &seat("J"), ping).expect_err("she is out");
    assert_eq!((error.condition, error.kind.as_str()), (Condition::NotAcceptable, "cancel"));
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    refused(world.send(&guest, GET, &seat("R"), info), Condition::BadRequest);
    world.leave(&owner);
    refused(world.send(&guest, GET, &seat("J"), ping), Condition::NotAcceptable);
}

#[test]
fn a_nick_change_is_told_once_and_uses_the_new_payload() {
    let (mut world, owner, guest) = with_two();
    world.presence(&guest, &seat("Jule"), "<show>away</show>").expect("free");
    assert_eq!(
        world.heard(&guest),
        [
            "presence unavailable J 303 none/participant ->Jule 110",
            "presence Jule none/participant 110"
        ]
    );
    let received = world.received(&owner);
    assert_eq!(
        received.iter().map(short).collect::<Vec<_>>(),
        [
            "presence unavailable J 303 none/participant juliet@localhost/b ->Jule",
            "presence Jule none/participant juliet@localhost/b"
        ]
    );
    assert!(received[1].child("show", ns::CLIENT).is_some());
    refused(world.presence(&guest, &seat("r"), ""), Condition::Conflict);
    refused(world.presence(&guest, &seat("\u{a0}"), ""), Condition::JidMalformed);
    world.presence(&guest, &seat("JULE"), "").expect("one's own in other letters");
    assert_eq!(world.muc.rooms_of(guest.session), [jid(&seat("JULE"))]);
    // The old nick is free, the new one is taken.
    let other = world.user("tybalt@localhost/t");
    refused(world.join(&other, "jule"), Condition::Conflict);
    world.join(&other, "J").expect("free");
}

#[test]
fn private_messages() {
    let (mut world, owner, guest) = with_two();
    let chat = StanzaKind::Message(MessageType::Chat);
    let body = "<body>psst</body>\
                <x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x>";
    world.send(&guest, chat, &seat("R"), body).expect("allowed");
    let received = world.received(&owner);
    assert_eq!(short(&received[0]), "message chat J body=psst");
    let x: Vec<_> = received[0].elements().filter(|e| e.is("x", ns::MUC_USER)).collect();
    assert_eq!(x, [&Element::new("x", ns::MUC_USER)]);
    assert_eq!(world.heard(&guest), [""; 0]);
    world.configure(&owner, &[("roomconfig_allowpm", &["moderators"])]).expect("sound");
    refused(world.send(&guest, chat, &seat("R"), body), Condition::Forbidden);
    world.send(&owner, chat, &seat("J"), body).expect("a moderator");
    let groupchat = StanzaKind::Message(MessageType::Groupchat);
    refused(world.send(&owner, groupchat, &seat("J"), body), Condition::BadRequest);
}

#[test]
fn advisory_a21_errors_remove_the_session() {
    let (mut world, owner, guest) = with_two();
    let error = |condition: &str| {
        format!(
            "<error type='cancel'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        )
    };
    let kind = StanzaKind::Message(MessageType::Error);
    world.send(&guest, kind, &seat("R"), &error("not-acceptable")).expect("never answered");
    assert_eq!(world.heard(&owner), ["message error J"]);
    world.send(&guest, kind, &seat("R"), &error("recipient-unavailable")).expect("no answer");
    assert_eq!(world.heard(&guest), ["presence unavailable J 333 none/none 110"]);
    assert_eq!(world.heard(&owner), ["presence unavailable J 333 none/none juliet@localhost/b"]);
    // A stranger's error is nothing.
    world.send(&guest, kind, &seat("R"), &error("gone")).expect("never answered");
    world.send(&guest, kind, ROOM, &error("gone")).expect("never answered");
    assert_eq!(world.heard(&guest), [""; 0]);
    assert_eq!(world.muc.seats_count(), 1);
}
