//! Entering: what comes in which order, and what is refused.

use super::*;

#[test]
fn a_new_room_is_locked_until_it_is_configured() {
    let mut world = World::new();
    let (romeo, juliet) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.join(&romeo, "R").expect("a new room");
    assert_eq!(
        world.heard(&romeo),
        ["presence R 201 owner/moderator romeo@localhost/a 110", "message groupchat subject="]
    );
    refused(world.join(&juliet, "J"), Condition::ItemNotFound);
    refused(world.say(&romeo, "<body>x</body>"), Condition::ItemNotFound);
    refused(
        world.get(&juliet, "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
        Condition::ItemNotFound,
    );
    world.configure(&romeo, &[]).expect("instant");
    assert_eq!(world.heard(&romeo), ["iq result"]);
    world.join(&juliet, "J").expect("open");
    assert_eq!(
        world.heard(&juliet),
        [
            "presence R owner/moderator",
            "presence J none/participant 110",
            "message groupchat subject="
        ]
    );
    assert_eq!(world.heard(&romeo), ["presence J none/participant juliet@localhost/b"]);
}

#[test]
fn a_refused_join_repeats_the_empty_element_and_never_the_password() {
    let mut world = World::new();
    let (romeo, juliet) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&romeo, "R")]);
    world.configure(&romeo, &[("roomconfig_roomsecret", &["s3cret"])]).expect("sound");
    let x = "<x xmlns='http://jabber.org/protocol/muc'><password>wrong</password></x>";
    let error = world.presence(&juliet, &format!("{ROOM}/J"), x).expect_err("wrong");
    assert_eq!(error.condition, Condition::NotAuthorized);
    let payload = error.extra.and_then(|extra| extra.payload).expect("WIRE 7");
    assert_eq!(payload, Element::new("x", ns::MUC));
    let x = "<x xmlns='http://jabber.org/protocol/muc'><password>s3cret</password></x>";
    world.presence(&juliet, &format!("{ROOM}/J"), x).expect("right");
}

#[test]
fn refusals_in_the_order_of_the_list() {
    let mut world = World::with(|config| config.limits.room_occupants = 1);
    let owner = world.user("romeo@localhost/a");
    let guest = world.user("juliet@localhost/b");
    world.room(&[(&owner, "R")]);
    world.admin(&owner, "<item affiliation='outcast' jid='juliet@localhost'/>").expect("a ban");
    let options: &[(&str, &[&str])] =
        &[("roomconfig_membersonly", &["1"]), ("roomconfig_roomsecret", &["s"])];
    world.configure(&owner, options).expect("sound");
    refused(world.join(&guest, " "), Condition::JidMalformed);
    refused(world.join(&guest, "R"), Condition::Forbidden);
    world.admin(&owner, "<item affiliation='none' jid='juliet@localhost'/>").expect("free");
    refused(world.join(&guest, "R"), Condition::RegistrationRequired);
    world.admin(&owner, "<item affiliation='member' jid='juliet@localhost'/>").expect("member");
    refused(world.join(&guest, "R"), Condition::NotAuthorized);
    world.configure(&owner, &[("roomconfig_roomsecret", &[])]).expect("sound");
    refused(world.join(&guest, "r"), Condition::Conflict);
    let error = world.join(&guest, "J").expect_err("full");
    assert_eq!((error.condition, error.kind.as_str()), (Condition::ServiceUnavailable, "wait"));
    // §7.2.9: an admin comes in all the same.
    world.admin(&owner, "<item affiliation='admin' jid='juliet@localhost'/>").expect("admin");
    world.join(&guest, "J").expect("an admin exceeds the limit");
}

#[test]
fn limits_of_rooms_and_of_visits() {
    let mut world = World::with(|config| {
        config.limits.rooms = 2;
        config.limits.rooms_per_session = 1;
    });
    let romeo = world.user("romeo@localhost/a");
    let others: Vec<_> = (0..3).map(|n| world.user(&format!("u{n}@localhost/a"))).collect();
    let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
    world.presence(&romeo, "one@conference.localhost/R", x).expect("the first");
    let error = world.presence(&romeo, "two@conference.localhost/R", x).expect_err("a visit");
    assert_eq!(error.condition, Condition::ResourceConstraint);
    assert_eq!(world.muc.rooms_count(), 1);
    world.presence(&others[0], "two@conference.localhost/R", x).expect("the second");
    let error = world.presence(&others[1], "three@conference.localhost/R", x).expect_err("full");
    assert_eq!(error.condition, Condition::ResourceConstraint);
    let stranger = world.user("x@elsewhere/a");
    let error = world.presence(&stranger, "four@conference.localhost/R", x).expect_err("local");
    assert_eq!(error.condition, Condition::NotAllowed);
}

#[test]
fn two_sessions_under_one_nick() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("tybalt@localhost/t"));
    let (one, two) = (world.user("juliet@localhost/1"), world.user("juliet@localhost/2"));
    world.room(&[(&owner, "R"), (&guest, "T"), (&one, "J")]);
    world.join(&two, "j").expect("one's own nick");
    assert_eq!(
        world.heard(&two),
        [
            "presence R owner/moderator",
            "presence T none/participant",
            "presence J 210 none/participant 110",
            "message groupchat subject="
        ]
    );
    let both = "none/participant juliet@localhost/1 none/participant juliet@localhost/2";
    assert_eq!(world.heard(&owner), [format!("presence J {both}")]);
    assert_eq!(world.heard(&one), ["presence J none/participant 110"]);
    assert_eq!(world.heard(&guest), ["presence J none/participant"]);
    world.say(&two, "<body>hi</body>").expect("voice");
    for user in [&owner, &guest, &one, &two] {
        assert_eq!(world.heard(user), ["message groupchat J body=hi"]);
    }
    // One goes: who sees addresses hears of it, the others do not.
    world.leave(&one);
    assert_eq!(world.heard(&one), ["presence unavailable J none/none 110"]);
    assert_eq!(world.heard(&owner), ["presence J none/participant juliet@localhost/2"]);
    assert_eq!(world.heard(&guest), [""; 0]);
    assert_eq!(world.heard(&two), [""; 0]);
    world.leave(&two);
    assert_eq!(world.heard(&guest), ["presence unavailable J none/none"]);
    assert_eq!(world.muc.seats_count(), 2);
}

#[test]
fn a_second_join_is_a_full_resync() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R"), (&guest, "J")]);
    world.say(&owner, "<body>one</body>").expect("voice");
    world.bytes(&owner);
    world.bytes(&guest);
    world.join(&guest, "J").expect("again");
    assert_eq!(
        world.heard(&guest),
        [
            "presence R owner/moderator",
            "presence J none/participant 110",
            "message groupchat R body=one",
            "message groupchat subject="
        ]
    );
    assert_eq!(world.heard(&owner), [""; 0]);
    let x = "<x xmlns='http://jabber.org/protocol/muc'/><show>away</show>";
    world.presence(&guest, &format!("{ROOM}/J"), x).expect("again");
    assert_eq!(world.heard(&owner).len(), 1);
    assert_eq!(world.muc.seats_count(), 2);
}

#[test]
fn out_of_step() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R")]);
    for room in [ROOM, "none@conference.localhost"] {
        world.presence(&guest, &format!("{room}/J"), "").expect("no error");
        assert_eq!(world.heard(&guest), ["presence unavailable J 307 333 none/none 110"]);
    }
    assert_eq!((world.muc.seats_count(), world.muc.rooms_count()), (1, 1));
}

#[test]
fn history_is_bounded_in_bytes_and_wishes_are_heard() {
    let mut world = World::with(|config| config.limits.room_history_bytes = 2_000);
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R")]);
    for n in 0..15 {
        world.cx.now.unix_ms += 1_000;
        world.say(&owner, &format!("<body>{n}</body>")).expect("voice");
    }
    world.say(&owner, "<subject>s</subject>").expect("moderator");
    let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
    world.presence(&guest, &format!("{ROOM}/J"), x).expect("open");
    let heard = world.heard(&guest);
    let bodies: Vec<_> = heard.iter().filter(|line| line.contains("body=")).collect();
    assert!((2..15).contains(&bodies.len()), "{bodies:?}");
    assert!(bodies.last().is_some_and(|line| line.ends_with("body=14")));
    assert_eq!(heard.last().map(String::as_str), Some("message groupchat R subject=s"));
    let x = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='1'/></x>";
    world.presence(&guest, &format!("{ROOM}/J"), x).expect("again");
    let received = world.received(&guest);
    let message = received.iter().find(|e| e.child("body", ns::CLIENT).is_some());
    let delay = message.and_then(|m| m.child("delay", ns::DELAY)).expect("XEP-0203");
    assert_eq!(delay.attr("from"), Some(ROOM));
    assert_eq!(delay.attr("stamp"), Some("2023-11-14T22:13:35Z"));
}

#[test]
fn who_is_told_everything_again_and_again_has_to_wait() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R"), (&guest, "J")]);
    // As after many in a large room.
    world.muc.allowances.charge(&guest.jid.to_bare(), 99_999, world.cx.now);
    world.join(&guest, "J").expect("the last one");
    world.bytes(&guest);
    refused(world.join(&guest, "J"), Condition::ResourceConstraint);
    assert!(world.bytes(&guest).is_empty());
    world.say(&guest, "<body>Still here</body>").expect("it is in the room");
    world.join(&owner, "R").expect("each has its own");
    world.cx.now.mono_ms += 1_000;
    world.join(&guest, "J").expect("some time later");
}
