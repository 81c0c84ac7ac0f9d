//! Who sees the user go and come when it blocks and unblocks (XEP-0191 §3.3, §3.4).

use super::*;
use crate::storage::Fault;
use crate::storage::tests::credentials;
use crate::storage::{RosterItem, Subscription};
use crate::xmpp::BareJid;

const BALCONY: &str = "juliet@localhost/balcony";

fn bare(text: &str) -> BareJid {
    BareJid::parse(text).expect("a valid address")
}

/// Juliet with a contact of each subscription.
fn world() -> World {
    let mut world = World::new();
    let juliet = bare("juliet@localhost");
    assert_eq!(world.cx.storage.account_create(&juliet, &credentials(1)), Ok(true));
    for (jid, subscription) in [
        ("none@verona.lit", Subscription::None),
        ("to@verona.lit", Subscription::To),
        ("from@verona.lit", Subscription::From),
        ("both@verona.lit", Subscription::Both),
    ] {
        let item = RosterItem {
            jid: bare(jid),
            name: None,
            groups: Vec::new(),
            subscription,
            ask: false,
            approved: false,
        };
        world.cx.storage.roster_put(&juliet, &item).expect("stored");
    }
    world
}

fn items(name: &'static str, jids: &[&str]) -> Element {
    jids.iter().fold(Element::new(name, ns::BLOCKING), |element, jid| {
        element.with_child(Element::new("item", ns::BLOCKING).with_attr("jid", *jid))
    })
}

/// What is on its way to others: `kind to`.
fn routed(world: &mut World) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(stanza) = world.cx.poll_routed() {
        // A probe is the account's (RFC 6121 §4.3.1).
        let is_probe = stanza.kind == StanzaKind::Presence(PresenceType::Probe);
        let from = if is_probe { stanza.from.bare_str() } else { stanza.from.as_str() };
        assert_eq!(from, if is_probe { "juliet@localhost" } else { BALCONY });
        let kind = stanza.kind.type_str().unwrap_or("available");
        found.push(format!("{kind} {}", stanza.to.expect("somebody")));
    }
    found
}

#[track_caller]
fn change(world: &mut World, session: SessionId, payload: Element, want: &[&str]) {
    assert_eq!(world.ask(session, BALCONY, IqType::Set, payload), Ok(None));
    assert_eq!(routed(world), want);
}

#[test]
fn contacts_who_see_the_user_see_it_go_and_come() {
    let mut world = world();
    let balcony = world.available(BALCONY, 0);
    routed(&mut world);
    let both = "both@verona.lit";
    change(&mut world, balcony, items("block", &["none@verona.lit", "to@verona.lit"]), &[]);
    change(&mut world, balcony, items("block", &[both]), &["unavailable both@verona.lit"]);
    // Who does not see it already is told nothing again.
    let domain = items("block", &["verona.lit"]);
    change(&mut world, balcony, domain, &["unavailable from@verona.lit"]);
    change(&mut world, balcony, items("unblock", &[both]), &[]);
    let shown = [
        "available both@verona.lit",
        "available from@verona.lit",
        "probe both@verona.lit",
        "probe to@verona.lit",
    ];
    change(&mut world, balcony, items("unblock", &["verona.lit"]), &shown[..3]);
    change(&mut world, balcony, items("unblock", &[]), &shown[3..]);
}

#[test]
fn a_resource_of_a_contact_alone() {
    let mut world = world();
    let balcony = world.available(BALCONY, 0);
    routed(&mut world);
    let resource = "both@verona.lit/phone";
    let gone = format!("unavailable {resource}");
    change(&mut world, balcony, items("block", &[resource]), &[&gone]);
    change(&mut world, balcony, items("block", &["none@verona.lit/x"]), &[]);
    let shown = [format!("available {resource}"), format!("probe {resource}")];
    change(&mut world, balcony, items("unblock", &[]), &[&shown[0], &shown[1]]);
}

#[test]
fn nobody_is_told_of_what_is_not_seen() {
    let mut world = world();
    let balcony = world.bind(BALCONY);
    change(&mut world, balcony, items("block", &["verona.lit"]), &[]);
    change(&mut world, balcony, items("unblock", &[]), &[]);
}

/// What was not stored is not in force, and rooms look at what is read again.
#[test]
fn lists_are_those_of_storage() {
    let mut world = world();
    let balcony = world.bind(BALCONY);
    let (juliet, paris) = (bare("juliet@localhost"), jid("paris@verona.lit"));
    assert_eq!(world.cx.storage.commit(), Ok(()));
    world.cx.storage.inject(Fault::FailWrite(1));
    let block = items("block", &["paris@verona.lit"]);
    let failed = world.ask(balcony, BALCONY, IqType::Set, block.clone());
    assert_eq!(failed, Err(Condition::InternalServerError));
    assert!(!world.cx.blocks.has_blocked(&juliet, &paris));
    world.cx.storage.inject(Fault::LoseCommit(1));
    change(&mut world, balcony, block, &[]);
    assert!(world.cx.blocks.has_blocked(&juliet, &paris));
    assert!(world.cx.storage.commit().is_err());
    world.im.handle_storage_lost(&mut world.cx);
    assert!(world.cx.blocks.is_empty());
}

#[test]
fn lists_go_with_the_last_session() {
    let mut world = world();
    let (balcony, chamber) = (world.bind(BALCONY), world.bind("juliet@localhost/chamber"));
    change(&mut world, balcony, items("block", &["verona.lit"]), &[]);
    world.end(balcony);
    assert!(!world.cx.blocks.is_empty());
    world.end(chamber);
    assert!(world.cx.blocks.is_empty());
    let message = Stanza::new(
        StanzaKind::Message(MessageType::Chat),
        jid("from@verona.lit/x"),
        Some(jid("juliet@localhost")),
    );
    assert_eq!(world.deliver(&message), Err(Condition::ServiceUnavailable));
}
