//! Hats and cards: failing and lost writes, and the bounds that no scenario reaches.

use super::*;
use crate::storage::Fault;

const PERSISTENT: &[(&str, &[&str])] = &[("roomconfig_persistentroom", &["1"])];
const VCARD: &str = "<vCard xmlns='vcard-temp'/>";

impl World {
    /// Runs a command of hats with a form: (field after `hats#`, value).
    fn hat(
        &mut self,
        user: &User,
        command: &str,
        fields: &[(&str, &str)],
    ) -> Result<(), StanzaError> {
        let field = |(var, value): &(&str, &str)| {
            format!("<field var='hats#{var}'><value>{value}</value></field>")
        };
        let fields: String = fields.iter().map(field).collect();
        self.set(
            user,
            &format!(
                "<command xmlns='http://jabber.org/protocol/commands' \
                 node='urn:xmpp:hats:commands:{command}'>\
                 <x xmlns='jabber:x:data' type='submit'>{fields}</x></command>"
            ),
        )
    }

    fn card(&mut self, user: &User, name: &str) -> Result<(), StanzaError> {
        self.set(user, &format!("<vCard xmlns='vcard-temp'><FN>{name}</FN></vCard>"))
    }

    /// The name on the card, and what the hats of an occupant are: as somebody sees who joins.
    fn seen(&mut self, nick: &str) -> (Option<String>, Vec<String>) {
        let viewer = self.user("viewer@localhost/v");
        self.join(&viewer, "V").expect("open");
        let received = self.received(&viewer);
        let from = format!("{ROOM}/{nick}");
        let presence = received.iter().find(|e| e.attr("from") == Some(&from)).expect("there");
        let hats = presence.child("hats", ns::HATS).into_iter().flat_map(Element::elements);
        let titles = hats.filter_map(|hat| hat.attr("title")).map(str::to_owned).collect();
        let name = self.get(&viewer, VCARD).ok().map(|()| {
            let card = &self.received(&viewer)[0];
            card.child("vCard", ns::VCARD_TEMP)
                .and_then(|c| c.elements().next())
                .expect("one")
                .text()
        });
        self.leave(&viewer);
        (name, titles)
    }

    fn commit(&mut self) {
        self.cx.storage.commit().expect("memory");
        self.cx.now.mono_ms += 10;
    }

    fn lose_commit(&mut self) {
        self.cx.storage.inject(Fault::LoseCommit(1));
        self.cx.storage.commit().expect_err("it is made to fail");
        self.muc.handle_storage_lost(&mut self.cx);
        assert!(self.cx.storage.probe());
        self.cx.now.mono_ms += 10;
    }
}

/// A persistent room with a card and a hat that juliet wears, all of it committed.
fn dressed() -> (World, User, User) {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R"), (&guest, "J")]);
    world.configure(&owner, PERSISTENT).expect("sound");
    world.hat(&owner, "create", &[("title", "A"), ("uri", "u:a")]).expect("sound");
    world.hat(&owner, "assign", &[("jid", "juliet@localhost"), ("uri", "u:a")]).expect("sound");
    world.card(&owner, "Old").expect("sound");
    world.commit();
    world.bytes(&owner);
    world.bytes(&guest);
    (world, owner, guest)
}

fn old() -> (Option<String>, Vec<String>) {
    (Some("Old".to_owned()), vec!["A".to_owned()])
}

const CHANGES: &[(&str, &[(&str, &str)])] = &[
    ("create", &[("title", "B"), ("uri", "u:a")]),
    ("create", &[("title", "B"), ("uri", "u:b")]),
    ("destroy", &[("uri", "u:a")]),
    ("assign", &[("jid", "romeo@localhost"), ("uri", "u:a")]),
    ("unassign", &[("jid", "juliet@localhost"), ("uri", "u:a")]),
];

#[test]
fn a_failing_write_changes_no_hat_and_no_card() {
    let (mut world, owner, guest) = dressed();
    for (command, fields) in CHANGES {
        world.cx.storage.inject(Fault::FailWrite(1));
        refused(world.hat(&owner, command, fields), Condition::InternalServerError);
    }
    world.cx.storage.inject(Fault::FailWrite(1));
    refused(world.card(&owner, "New"), Condition::InternalServerError);
    world.cx.storage.inject(Fault::FailWrite(1));
    refused(world.set(&owner, VCARD), Condition::InternalServerError);
    world.cx.storage.inject(Fault::FailWrite(1));
    let temporary: &[(&str, &[&str])] = &[("roomconfig_persistentroom", &["0"])];
    refused(world.configure(&owner, temporary), Condition::InternalServerError);
    assert_eq!((world.heard(&owner), world.heard(&guest)), (vec![], vec![]));
    assert_eq!(world.seen("J"), old());
}

#[test]
fn lost_hats_and_cards_are_taken_back() {
    let (mut world, owner, _guest) = dressed();
    for (command, fields) in CHANGES {
        world.hat(&owner, command, fields).expect("sound");
        world.lose_commit();
        assert_eq!(world.seen("J"), old(), "{command}");
    }
    world.card(&owner, "New").expect("sound");
    world.lose_commit();
    world.set(&owner, VCARD).expect("sound");
    world.lose_commit();
    world.configure(&owner, &[("roomconfig_persistentroom", &["0"])]).expect("sound");
    world.lose_commit();
    assert_eq!(world.seen("J"), old());
    world.leave(&owner);
    world.muc = Muc::new();
    world.join(&owner, "R").expect("it is stored");
    let (name, _) = world.seen("R");
    assert_eq!(name.as_deref(), Some("Old"));
}

#[test]
fn a_room_that_was_not_stored_after_all_keeps_hats_and_card() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R"), (&guest, "J")]);
    world.hat(&owner, "create", &[("title", "A"), ("uri", "u:a")]).expect("sound");
    world.hat(&owner, "assign", &[("jid", "juliet@localhost"), ("uri", "u:a")]).expect("sound");
    world.card(&owner, "Old").expect("sound");
    world.commit();
    world.configure(&owner, PERSISTENT).expect("sound");
    world.lose_commit();
    assert_eq!(world.seen("J"), old());
    // Now it is stored, and the card is read from there.
    world.configure(&owner, PERSISTENT).expect("sound");
    world.commit();
    assert_eq!(world.seen("J"), old());
    world.card(&owner, "New").expect("sound");
    world.commit();
    assert_eq!(world.seen("J").0.as_deref(), Some("New"));
}

#[test]
fn hats_that_are_worn_are_counted() {
    let mut world = World::new();
    let owner = world.user("romeo@localhost/a");
    world.room(&[(&owner, "R")]);
    let give = |world: &mut World, jid: &str, hat: usize| {
        let uri = format!("u:{hat}");
        let given = world.hat(&owner, "assign", &[("jid", jid), ("uri", &uri)]);
        world.bytes(&owner);
        given
    };
    for hat in 0..=16 {
        let uri = format!("u:{hat}");
        world.hat(&owner, "create", &[("title", "T"), ("uri", &uri)]).expect("sound");
    }
    for account in 0..125 {
        let jid = format!("a{account}@localhost");
        for hat in 0..16 {
            give(&mut world, &jid, hat).expect("within the bounds");
        }
        if account == 0 {
            refused(give(&mut world, &jid, 16), Condition::ResourceConstraint);
        }
    }
    refused(give(&mut world, "last@localhost", 0), Condition::ResourceConstraint);
    let list = "<command xmlns='http://jabber.org/protocol/commands' \
                node='urn:xmpp:hats:commands:list-assigned'/>";
    world.set(&owner, list).expect("an owner may");
    assert_eq!(world.bytes(&owner).matches("<item>").count(), 2_000);
    // It is dear: again and again is too much.
    let lists = (0..1_000).take_while(|_| {
        let answer = world.set(&owner, list);
        world.bytes(&owner);
        answer.is_ok()
    });
    assert!((20..60).contains(&lists.count()));
}

#[test]
fn many_who_wear_one_hat_hear_of_its_change() {
    let mut world = World::new();
    let owner = world.user("owner@localhost/o");
    let users: Vec<_> =
        (0..200).map(|number| world.user(&format!("u{number}@localhost/x"))).collect();
    world.room(&[(&owner, "O")]);
    world.hat(&owner, "create", &[("title", "A"), ("uri", "u:a")]).expect("sound");
    for (number, user) in users.iter().enumerate() {
        let jid = format!("u{number}@localhost");
        world.hat(&owner, "assign", &[("jid", &jid), ("uri", "u:a")]).expect("sound");
        world.join(user, &format!("N{number}")).expect("open");
    }
    users.iter().chain([&owner]).for_each(|user| drop(world.bytes(user)));
    world.hat(&owner, "create", &[("title", "B"), ("uri", "u:a")]).expect("sound");
    for (number, user) in users.iter().enumerate() {
        let own = format!("{ROOM}/N{number}");
        let heard = world.received(user);
        assert_eq!(short(&heard[0]), "message groupchat 104");
        let presence = heard.iter().find(|stanza| stanza.attr("from") == Some(&own));
        let hats = presence.and_then(|presence| presence.child("hats", ns::HATS));
        let title = hats.and_then(|hats| hats.elements().next()?.attr("title"));
        assert_eq!(title, Some("B"));
    }
    assert_eq!(world.seen("N7").1, ["B"]);
}

#[test]
fn a_card_is_not_asked_for_without_end() {
    let (mut world, _owner, guest) = dressed();
    let asked = (0..5_000).take_while(|_| {
        let answer = world.get(&guest, VCARD);
        world.bytes(&guest);
        answer.is_ok()
    });
    assert_eq!(asked.count(), 1_000);
    refused(world.get(&guest, VCARD), Condition::ResourceConstraint);
}

#[test]
fn a_card_is_sent_as_it_came() {
    let (mut world, owner, guest) = dressed();
    let card = "<vCard xmlns='vcard-temp' version='3.0'><N><GIVEN>A &amp; B</GIVEN></N>\
                <x xmlns='urn:other' y='&lt;&apos;'><z xmlns=''/></x></vCard>";
    world.set(&owner, card).expect("sound");
    world.get(&guest, VCARD).expect("open");
    let received = world.received(&guest);
    let answer = received.last().expect("an answer");
    assert_eq!(answer.attr("to"), Some("juliet@localhost/b"));
    assert_eq!(answer.child("vCard", ns::VCARD_TEMP), Some(&xml(card)));
}

#[test]
fn lists_of_hats_are_bounded_in_bytes() {
    let mut world = World::with(|config| config.limits.outbox_bytes = 80_000);
    let owner = world.user("romeo@localhost/a");
    world.room(&[(&owner, "R")]);
    let title = "x".repeat(1_000);
    let hat = |number: usize| format!("u:{number}");
    let make = |world: &mut World, number, title: &str| {
        world.hat(&owner, "create", &[("title", title), ("uri", &hat(number))])
    };
    let count = (0..99).take_while(|number| make(&mut world, *number, &title).is_ok()).count();
    assert_eq!(count, 32);
    let give = |world: &mut World, number: usize, uri: &str| {
        let jid = format!("u{number}@localhost");
        world.hat(&owner, "assign", &[("jid", &jid), ("uri", uri)])
    };
    let count = (0..99).take_while(|number| give(&mut world, *number, "u:0").is_ok()).count();
    assert_eq!(count, 32);
    refused(give(&mut world, 99, "u:1"), Condition::ResourceConstraint);
    // One that is worn by many does not grow either.
    refused(make(&mut world, 0, &"&amp;".repeat(1_000)), Condition::ResourceConstraint);
    make(&mut world, 0, "short").expect("there is room");
    give(&mut world, 99, "u:1").expect("there is room");
    world.bytes(&owner);
    for node in ["list", "list-assigned"] {
        let node = format!("urn:xmpp:hats:commands:{node}");
        let command = format!("<command xmlns='{}' node='{node}'/>", ns::COMMANDS);
        world.set(&owner, &command).expect("an owner may");
        assert!(world.bytes(&owner).len() < 40_000);
    }
}
