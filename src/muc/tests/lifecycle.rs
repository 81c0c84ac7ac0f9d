//! Rooms come and go: locks, persistence, lost writes, the end of sessions and of the service.

use super::*;
use crate::storage::Fault;
use crate::timers::TimerKey;

const PERSISTENT: &[(&str, &[&str])] = &[("roomconfig_persistentroom", &["1"])];

#[test]
fn the_defaults_are_accepted_after_five_minutes() {
    let mut world = World::new();
    let (romeo, juliet) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.join(&romeo, "R").expect("new");
    world.cx.now.mono_ms += 5 * 60 * 1000 - 1;
    assert_eq!(world.cx.timers.poll(world.cx.now.mono_ms), None);
    refused(world.join(&juliet, "J"), Condition::ItemNotFound);
    world.cx.now.mono_ms += 1;
    let timer = world.cx.timers.poll(world.cx.now.mono_ms);
    let Some(TimerKey::Room(number)) = timer else { panic!("{timer:?}") };
    world.muc.handle_timer(&mut world.cx, number);
    world.join(&juliet, "J").expect("unlocked");
    assert!(world.cx.timers.is_empty());
}

#[test]
fn one_timer_serves_all_locks() {
    let mut world = World::new();
    let romeo = world.user("romeo@localhost/a");
    for _ in 0..50 {
        world.join(&romeo, "R").expect("new");
        world.leave(&romeo);
    }
    assert_eq!(world.muc.rooms_count(), 0);
    assert!(world.cx.timers.len() <= 1);
}

#[test]
fn a_creator_who_goes_or_cancels_destroys_the_room() {
    let mut world = World::new();
    let romeo = world.user("romeo@localhost/a");
    let gone = "presence unavailable R destroy none/none 110";
    world.join(&romeo, "R").expect("new");
    world.bytes(&romeo);
    world.leave(&romeo);
    assert_eq!(world.heard(&romeo), [gone]);
    world.join(&romeo, "R").expect("new");
    world.bytes(&romeo);
    let cancel = "<query xmlns='http://jabber.org/protocol/muc#owner'>\
                  <x xmlns='jabber:x:data' type='cancel'/></query>";
    world.set(&romeo, cancel).expect("an owner may");
    assert_eq!(world.heard(&romeo), [gone, "iq result"]);
    refused(world.set(&romeo, cancel), Condition::ItemNotFound);
    assert_eq!((world.muc.rooms_count(), world.muc.seats_count()), (0, 0));
}

#[test]
fn the_end_of_a_session_leaves_all_its_rooms() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R"), (&guest, "J")]);
    let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
    world.presence(&guest, "other@conference.localhost/J", x).expect("new");
    assert_eq!(world.muc.rooms_of(guest.session).len(), 2);
    let mut bye =
        Stanza::new(StanzaKind::Presence(PresenceType::Unavailable), guest.jid.clone(), None);
    bye.children = vec![Node::Element(xml("<status>bye</status>"))];
    world.muc.handle_session_end(&mut world.cx, guest.session, Some(&bye));
    assert_eq!(world.muc.rooms_of(guest.session), []);
    let received = world.received(&owner);
    assert_eq!(received[0].child("status", ns::CLIENT).map(Element::text).as_deref(), Some("bye"));
    world.muc.handle_session_end(&mut world.cx, owner.session, None);
    assert_eq!((world.muc.rooms_count(), world.muc.seats_count()), (0, 0));
}

#[test]
fn a_persistent_room_is_read_again_when_somebody_comes() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.join(&owner, "R").expect("new");
    world.configure(&owner, PERSISTENT).expect("sound");
    world.configure(&owner, &[("roomconfig_roomname", &["Balcony"])]).expect("sound");
    world.admin(&owner, "<item affiliation='outcast' jid='tybalt@localhost'/>").expect("sound");
    world.say(&owner, "<subject>Love &amp; more</subject>").expect("moderator");
    world.leave(&owner);
    assert_eq!(world.muc.rooms_count(), 0);
    world.cx.storage.commit().expect("memory");
    // Another service on the same database: a restart.
    world.muc = Muc::new();
    world.bytes(&owner);
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    world.send(&guest, StanzaKind::Iq(IqType::Get), "conference.localhost", items).expect("open");
    let bytes = world.bytes(&guest);
    assert!(bytes.contains("jid='room@conference.localhost' name='Balcony'"), "{bytes}");
    assert_eq!(world.muc.rooms_count(), 0);
    let tybalt = world.user("tybalt@localhost/t");
    refused(world.join(&tybalt, "T"), Condition::Forbidden);
    world.join(&guest, "J").expect("open");
    assert_eq!(
        world.heard(&guest),
        ["presence J none/participant 110", "message groupchat R subject=Love & more"]
    );
    world.join(&owner, "R").expect("open");
    assert!(
        world.heard(&owner).contains(&"presence R owner/moderator romeo@localhost/a 110".into())
    );
}

#[test]
fn a_room_that_was_read_for_a_refused_request_is_not_kept() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.join(&owner, "R").expect("new");
    world.configure(&owner, PERSISTENT).expect("sound");
    world.configure(&owner, &[("roomconfig_membersonly", &["1"])]).expect("sound");
    world.leave(&owner);
    refused(world.join(&guest, " "), Condition::JidMalformed);
    refused(world.join(&guest, "J"), Condition::RegistrationRequired);
    refused(world.say(&guest, "<body>x</body>"), Condition::NotAcceptable);
    refused(world.admin(&guest, "<item role='none' nick='x'/>"), Condition::Forbidden);
    world.get(&guest, "<query xmlns='http://jabber.org/protocol/disco#info'/>").expect("open");
    world.get(&owner, "<query xmlns='http://jabber.org/protocol/muc#owner'/>").expect("hers");
    assert_eq!(world.muc.rooms_count(), 0);
}

#[test]
fn a_destroyed_room_leaves_nothing() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.join(&owner, "R").expect("new");
    world.configure(&owner, PERSISTENT).expect("sound");
    world.admin(&owner, "<item affiliation='outcast' jid='x@localhost'/>").expect("sound");
    world.join(&guest, "J").expect("open");
    let id = |received: &[Element]| {
        let own = received.iter().find_map(|e| e.child("occupant-id", ns::OCCUPANT_ID));
        own.and_then(|e| e.attr("id")).map(str::to_owned)
    };
    let before = id(&world.received(&owner));
    world.bytes(&guest);
    let destroy = |jid: &str| {
        format!(
            "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy jid='{jid}'>\
             <reason>r</reason></destroy></query>"
        )
    };
    refused(world.set(&guest, &destroy("b@c")), Condition::Forbidden);
    refused(world.set(&owner, &destroy("@")), Condition::JidMalformed);
    world.set(&owner, &destroy("b@c")).expect("an owner may");
    assert_eq!(world.heard(&guest), ["presence unavailable J destroy none/none 110"]);
    let heard = world.heard(&owner);
    assert_eq!(heard, ["presence unavailable R destroy none/none 110", "iq result"]);
    assert_eq!(world.cx.storage.rooms_count(), Ok(0));
    world.join(&owner, "R").expect("new");
    assert_ne!(id(&world.received(&owner)), before);
    let list = "<query xmlns='http://jabber.org/protocol/muc#admin'>\
                <item affiliation='outcast'/></query>";
    world.get(&owner, list).expect("an owner may");
    assert!(!world.bytes(&owner).contains("x@localhost"));
}

#[test]
fn lost_writes_are_taken_back() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.join(&owner, "R").expect("new");
    world.configure(&owner, PERSISTENT).expect("sound");
    world.cx.storage.commit().expect("memory");
    world.cx.now.mono_ms += 10;
    world.admin(&owner, "<item affiliation='outcast' jid='juliet@localhost'/>").expect("sound");
    refused(world.join(&guest, "J"), Condition::Forbidden);
    world.cx.storage.inject(Fault::LoseCommit(1));
    world.cx.storage.commit().expect_err("it is made to fail");
    world.muc.handle_storage_lost(&mut world.cx);
    world.join(&guest, "J").expect("the ban was never stored");
}

#[test]
fn lost_roles_are_taken_back() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    let others = [world.user("paris@localhost/c"), world.user("tybalt@localhost/d")];
    world.room(&[(&owner, "R"), (&guest, "J"), (&others[0], "P")]);
    world.configure(&owner, PERSISTENT).expect("sound");
    world.admin(&owner, "<item role='moderator' nick='J'/>").expect("an owner may");
    world.cx.storage.commit().expect("memory");
    // The next turn, though in the same millisecond.
    let items = "<item role='participant' nick='J'/><item role='moderator' nick='P'/>\
                 <item affiliation='admin' jid='tybalt@localhost'/>";
    world.admin(&owner, items).expect("an owner may");
    world.join(&others[1], "T").expect("an open room");
    let list = "<query xmlns='http://jabber.org/protocol/muc#admin'>\
                <item role='participant'/></query>";
    refused(world.get(&guest, list), Condition::Forbidden);
    world.get(&others[0], list).expect("a moderator may");
    world.get(&others[1], list).expect("an admin may");
    world.cx.storage.inject(Fault::LoseCommit(1));
    world.cx.storage.commit().expect_err("it is made to fail");
    world.muc.handle_storage_lost(&mut world.cx);
    world.get(&guest, list).expect("a moderator again");
    for other in &others {
        refused(world.get(other, list), Condition::Forbidden);
    }
    // Sight goes with the role.
    others.iter().for_each(|other| drop(world.bytes(other)));
    world.presence(&guest, &format!("{ROOM}/J"), "").expect("news");
    assert_eq!(world.heard(&others[0]), ["presence J none/moderator"]);
}

#[test]
fn a_failing_write_changes_nothing() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R"), (&guest, "J")]);
    world.configure(&owner, PERSISTENT).expect("sound");
    world.cx.storage.commit().expect("memory");
    world.bytes(&owner);
    world.bytes(&guest);
    world.cx.storage.inject(Fault::FailWrite(1));
    let ban = "<item affiliation='outcast' jid='juliet@localhost'/>";
    refused(world.admin(&owner, ban), Condition::InternalServerError);
    world.cx.storage.inject(Fault::FailWrite(1));
    refused(world.say(&owner, "<subject>s</subject>"), Condition::InternalServerError);
    world.cx.storage.inject(Fault::FailWrite(1));
    let name: &[(&str, &[&str])] = &[("roomconfig_roomname", &["n"])];
    refused(world.configure(&owner, name), Condition::InternalServerError);
    assert_eq!(world.heard(&guest), [""; 0]);
    assert_eq!(world.heard(&owner), [""; 0]);
    world.join(&guest, "J").expect("she is still in");
    assert_eq!(world.heard(&guest).last().map(String::as_str), Some("message groupchat subject="));
}

#[test]
fn a_room_that_could_not_be_stored_whole_at_the_end_of_its_lock_is_not_stored() {
    let mut world = World::with(|config| config.rooms.defaults.persistent = true);
    let (owner, other) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.join(&owner, "R").expect("made");
    let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
    world.presence(&other, "den@conference.localhost/J", x).expect("made");
    let fire = |world: &mut World| {
        while world.cx.timers.poll(world.cx.now.mono_ms).is_some() {
            world.cx.storage.begin_handler();
            world.muc.handle_timer(&mut world.cx, 0);
        }
        world.cx.storage.commit().expect("memory");
    };
    let stored = |world: &mut World| {
        let rooms = world.cx.storage.rooms().expect("read");
        rooms.iter().map(|(jid, ..)| jid.as_str().to_owned()).collect::<Vec<_>>()
    };
    world.cx.now.mono_ms += super::super::room::LOCK_MS;
    world.cx.storage.inject(Fault::FailWrite(3)); // Of the first: after its row is written.
    fire(&mut world);
    assert_eq!(stored(&mut world), ["den@conference.localhost"]);
    world.cx.now.mono_ms += super::super::UNLOCK_RETRY_MS;
    fire(&mut world);
    assert_eq!(stored(&mut world), ["den@conference.localhost", ROOM]);
}

#[test]
fn shutdown_tells_each_session_once_and_then_falls_silent() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    let second = world.user("juliet@localhost/c");
    world.room(&[(&owner, "R"), (&guest, "J"), (&second, "J")]);
    world.bytes(&guest);
    world.muc.shut_down(&mut world.cx);
    assert_eq!(
        world.heard(&owner),
        ["presence unavailable R 332 owner/none romeo@localhost/a 110"]
    );
    for user in [&guest, &second] {
        assert_eq!(world.heard(user), ["presence unavailable J 332 none/none 110"]);
    }
    refused(world.join(&guest, "J"), Condition::ServiceUnavailable);
    world.say(&owner, "<body>x</body>").expect("dropped");
    world.leave(&owner);
    world.muc.handle_session_end(&mut world.cx, owner.session, None);
    assert_eq!(world.heard(&owner), [""; 0]);
    assert_eq!((world.muc.rooms_count(), world.muc.seats_count()), (0, 0));
}

#[test]
fn a_large_room_is_not_read_again_and_again() {
    let mut world = World::with(|config| config.limits.room_affiliations = 0);
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R")]);
    world.configure(&owner, &[("roomconfig_persistentroom", &["1"])]).expect("sound");
    for hundreds in 0..50 {
        let item = |number| format!("<item affiliation='member' jid='m{hundreds}x{number}@b'/>");
        let items: String = (0..100).map(item).collect();
        world.admin(&owner, &items).expect("an owner may");
    }
    world.leave(&owner);
    assert_eq!(world.muc.rooms_count(), 0);
    // Whether it is a join, a message or a request: after some twenty readings that is enough.
    let read = |world: &mut World, times: usize| {
        let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
        (0..times).take_while(|_| world.get(&guest, info).is_ok()).count()
    };
    assert_eq!(read(&mut world, 100), 20);
    refused(world.join(&guest, "J"), Condition::ResourceConstraint);
    refused(world.say(&guest, "<body>x</body>"), Condition::ResourceConstraint);
    // Others have their own allowance; what is in memory costs nothing.
    world.join(&owner, "R").expect("another account");
    world.join(&guest, "J").expect("the room is there");
    assert_eq!(read(&mut world, 100), 100);
    // To switch it off and on writes all of it; the lists that the owner wrote are paid for.
    world.cx.now.mono_ms += 60_000;
    let switch = |world: &mut World, value: &str| {
        world.configure(&owner, &[("roomconfig_persistentroom", &[value])])
    };
    switch(&mut world, "0").expect("once");
    switch(&mut world, "1").expect("and back");
    refused(switch(&mut world, "0"), Condition::ResourceConstraint);
}
