//! Registration and invitations: a database that fails, and the bounds of what is remembered.

use super::*;
use crate::storage::Fault;

const PERSISTENT: &[(&str, &[&str])] = &[("roomconfig_persistentroom", &["1"])];
const MEMBERS_ONLY: &[(&str, &[&str])] = &[("roomconfig_membersonly", &["1"])];

fn registration(nick: &str) -> String {
    format!(
        "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>\
         <field var='muc#register_roomnick'><value>{nick}</value></field></x></query>"
    )
}

fn muc_user(text: &str) -> String {
    format!("<x xmlns='http://jabber.org/protocol/muc#user'>{text}</x>")
}

#[test]
fn a_registration_that_is_not_written_is_none() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    let other = world.user("tybalt@localhost/c");
    world.room(&[(&owner, "R"), (&guest, "J")]);
    world.configure(&owner, PERSISTENT).expect("sound");
    world.cx.storage.commit().expect("memory");
    world.bytes(&owner);
    world.bytes(&guest);
    // The member, then its nick.
    for write in [1, 2] {
        world.cx.storage.inject(Fault::FailWrite(write));
        let result = world.set(&guest, &registration("Capulet"));
        refused(result, Condition::InternalServerError);
        world.join(&other, "Capulet").expect("not reserved");
        world.leave(&other);
        world.bytes(&owner);
        assert!(!world.bytes(&guest).contains("member"));
    }
    // Written, and the commit is lost.
    world.cx.storage.commit().expect("memory");
    world.cx.now.mono_ms += 10;
    world.set(&guest, &registration("Capulet")).expect("sound");
    refused(world.join(&other, "Capulet"), Condition::Conflict);
    world.cx.storage.inject(Fault::LoseCommit(1));
    world.cx.storage.commit().expect_err("it is made to fail");
    world.muc.handle_storage_lost(&mut world.cx);
    world.join(&other, "Capulet").expect("never stored");
}

#[test]
fn an_approval_that_is_not_written_still_waits() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R")]);
    let both = [PERSISTENT, MEMBERS_ONLY].concat();
    world.configure(&owner, &both).expect("sound");
    world.set(&guest, &registration("J")).expect("it waits");
    world.cx.storage.commit().expect("memory");
    let normal = StanzaKind::Message(MessageType::Normal);
    let form_type = "http://jabber.org/protocol/muc#register";
    let approval = format!(
        "<x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>{form_type}</value></field>\
         <field var='muc#jid'><value>juliet@localhost</value></field>\
         <field var='muc#register_allow'><value>1</value></field></x>"
    );
    world.cx.storage.inject(Fault::FailWrite(2));
    let result = world.send(&owner, normal, ROOM, &approval);
    refused(result, Condition::InternalServerError);
    refused(world.join(&guest, "J"), Condition::RegistrationRequired);
    world.send(&owner, normal, ROOM, &approval).expect("it was still waiting");
    world.join(&guest, "J").expect("a member");
}

#[test]
fn so_many_wait_for_approval() {
    let mut world = World::new();
    let owner = world.user("romeo@localhost/a");
    world.room(&[(&owner, "R")]);
    world.configure(&owner, MEMBERS_ONLY).expect("sound");
    for number in 0..50 {
        let guest = world.user(&format!("guest{number}@localhost/b"));
        world.set(&guest, &registration(&format!("G{number}"))).expect("it waits");
    }
    let late = world.user("late@localhost/b");
    refused(world.set(&late, &registration("Late")), Condition::ResourceConstraint);
    world.cx.now.mono_ms += 24 * 60 * 60 * 1000;
    world.set(&late, &registration("Late")).expect("the others have waited too long");
}

#[test]
fn so_many_invitations_are_remembered() {
    let mut world = World::new();
    let owner = world.user("romeo@localhost/a");
    world.room(&[(&owner, "R")]);
    let normal = StanzaKind::Message(MessageType::Normal);
    for number in 0..501 {
        let invite = muc_user(&format!("<invite to='guest{number}@elsewhere'/>"));
        world.send(&owner, normal, ROOM, &invite).expect("an open room");
        assert!(world.cx.poll_routed().is_some());
    }
    for (number, heard) in [(0, false), (1, true), (500, true), (500, false)] {
        let guest = world.user(&format!("guest{number}@elsewhere/x"));
        let decline = muc_user(&format!("<decline to='{ROOM}/R'/>"));
        world.send(&guest, normal, ROOM, &decline).expect("silence at worst");
        assert_eq!(!world.heard(&owner).is_empty(), heard, "{number}");
    }
    assert!(world.cx.poll_routed().is_none());
}

#[test]
fn who_may_not_make_rooms_asks_for_no_names() {
    let mut world = World::with(|config| config.limits.rooms = 1);
    let owner = world.user("romeo@localhost/a");
    let get = StanzaKind::Iq(IqType::Get);
    let unique = "<unique xmlns='http://jabber.org/protocol/muc#unique'/>";
    world.send(&owner, get, "conference.localhost", unique).expect("there is place");
    let names = world.received(&owner);
    let name = names[0].child("unique", ns::MUC_UNIQUE).map(Element::text);
    assert_eq!(name.map(|name| name.len()), Some(40));
    world.room(&[(&owner, "R")]);
    let full = world.send(&owner, get, "conference.localhost", unique).expect_err("full");
    assert_eq!(full.condition, Condition::ResourceConstraint);
}

#[test]
fn voice_and_questions_go_with_the_account() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R")]);
    world.configure(&owner, &[("roomconfig_moderatedroom", &["1"])]).expect("sound");
    world.join(&guest, "J").expect("the room is open");
    let normal = StanzaKind::Message(MessageType::Normal);
    let ask = "<x xmlns='jabber:x:data' type='submit'>\
               <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value></field>\
               <field var='muc#role'><value>participant</value></field></x>";
    world.send(&guest, normal, ROOM, ask).expect("a moderator hears it");
    refused(world.send(&guest, normal, ROOM, ask), Condition::PolicyViolation);
    world.admin(&owner, "<item nick='J' role='participant'/>").expect("an owner may");
    world.leave(&guest);
    world.muc.handle_account_removed(&mut world.cx, &guest.jid.to_bare());
    world.bytes(&guest);
    world.join(&guest, "J").expect("the room is open");
    let heard = world.heard(&guest);
    assert!(heard.contains(&"presence J none/visitor 110".to_owned()), "{heard:?}");
    world.send(&guest, normal, ROOM, ask).expect("it has never asked");
}
