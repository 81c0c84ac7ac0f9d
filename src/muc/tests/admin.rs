//! Changes by moderators, admins and owners: all or none, and who hears of it in which order.

use super::*;

#[test]
fn several_items_all_or_none() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R"), (&guest, "J")]);
    let ban = "<item affiliation='outcast' jid='juliet@localhost'/>";
    for (bad, condition) in [
        ("<item affiliation='outcast' jid='romeo@localhost'/>", Condition::Conflict),
        ("<item affiliation='none' jid='romeo@localhost'/>", Condition::Conflict),
        ("<item affiliation='member' jid='@'/>", Condition::JidMalformed),
        ("<item affiliation='member'/>", Condition::BadRequest),
        ("<item affiliation='friend' jid='a@b'/>", Condition::BadRequest),
        ("<item affiliation='member' role='visitor' jid='a@b' nick='J'/>", Condition::BadRequest),
        ("<item nick='J'/>", Condition::BadRequest),
        ("<item role='none' nick='nobody'/>", Condition::ItemNotFound),
        ("<item role='none' nick='R'/>", Condition::Conflict),
        ("<item affiliation='owner' jid='localhost'/>", Condition::NotAllowed),
    ] {
        refused(world.admin(&owner, &format!("{ban}{bad}")), condition);
        assert_eq!(world.heard(&guest), [""; 0], "{bad}");
        assert_eq!(world.heard(&owner), [""; 0], "{bad}");
    }
    refused(world.admin(&owner, ""), Condition::BadRequest);
    refused(world.admin(&guest, ban), Condition::Forbidden);
    let two = format!("{ban}<item affiliation='member' jid='a@b/full'/>");
    world.admin(&owner, &two).expect("sound");
    assert_eq!(
        world.heard(&owner),
        [
            "iq result",
            "presence unavailable J 301 outcast/none juliet@localhost/b",
            "message member/none a@b"
        ]
    );
    assert_eq!(world.heard(&guest), ["presence unavailable J 301 outcast/none 110"]);
}

#[test]
fn a_list_that_would_grow_too_long_is_refused() {
    let mut world = World::with(|config| config.limits.room_affiliations = 2);
    let owner = world.user("romeo@localhost/a");
    world.room(&[(&owner, "R")]);
    let items = "<item affiliation='member' jid='a@b'/><item affiliation='member' jid='c@b'/>";
    refused(world.admin(&owner, items), Condition::ResourceConstraint);
    world.admin(&owner, "<item affiliation='member' jid='a@b'/>").expect("room for one");
    world.admin(&owner, "<item affiliation='outcast' jid='a@b'/>").expect("no more than before");
}

#[test]
fn a_kick_is_told_in_the_order_of_8_2() {
    let mut world = World::new();
    let owner = world.user("romeo@localhost/a");
    let (juliet, tybalt) = (world.user("juliet@localhost/b"), world.user("tybalt@localhost/c"));
    world.room(&[(&owner, "R"), (&juliet, "J"), (&tybalt, "T")]);
    world
        .admin(&owner, "<item role='none' nick='J'><reason>out</reason></item>")
        .expect("an owner kicks");
    let kicked = world.bytes(&juliet);
    assert!(kicked.contains("<actor nick='R'/><reason>out</reason>"), "{kicked}");
    assert!(!kicked.contains("romeo@localhost"), "{kicked}");
    assert_eq!(
        world.heard(&owner),
        ["iq result", "presence unavailable J 307 none/none juliet@localhost/b"]
    );
    assert_eq!(world.heard(&tybalt), ["presence unavailable J 307 none/none"]);
    assert_eq!(world.muc.rooms_of(juliet.session), []);
}

#[test]
fn who_gains_or_loses_sight_of_addresses_is_shown_everybody_again() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R"), (&guest, "J")]);
    world.admin(&owner, "<item role='moderator' nick='J'/>").expect("an owner may");
    assert_eq!(
        world.heard(&guest),
        [
            "presence J none/moderator juliet@localhost/b 110",
            "presence R owner/moderator romeo@localhost/a"
        ]
    );
    world.admin(&owner, "<item role='participant' nick='J'/>").expect("an owner may");
    assert_eq!(
        world.heard(&guest),
        ["presence J none/participant 110", "presence R owner/moderator"]
    );
}

#[test]
fn members_only_takes_out_who_is_no_member() {
    let mut world = World::new();
    let owner = world.user("romeo@localhost/a");
    let (juliet, tybalt) = (world.user("juliet@localhost/b"), world.user("tybalt@localhost/c"));
    world.room(&[(&owner, "R"), (&juliet, "J"), (&tybalt, "T")]);
    world.admin(&owner, "<item affiliation='member' jid='juliet@localhost'/>").expect("sound");
    world.bytes(&juliet);
    world.configure(&owner, &[("roomconfig_membersonly", &["1"])]).expect("sound");
    assert_eq!(world.heard(&tybalt)[2..], ["presence unavailable T 322 none/none 110"]);
    world.admin(&owner, "<item affiliation='none' jid='juliet@localhost'/>").expect("sound");
    let heard = world.heard(&juliet);
    assert_eq!(heard.last().map(String::as_str), Some("presence unavailable J 321 none/none 110"));
    assert!(!heard.contains(&"presence J none/participant 110".to_owned()), "{heard:?}");
    // §9.5: a new member is invited.
    world.admin(&owner, "<item affiliation='member' jid='nurse@localhost'/>").expect("sound");
    let invitation = world.cx.poll_routed().expect("an invitation");
    assert_eq!(invitation.to, Some(jid("nurse@localhost")));
}

#[test]
fn presence_of_some_roles_is_not_broadcast() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R")]);
    let fields: &[(&str, &[&str])] = &[
        ("roomconfig_moderatedroom", &["1"]),
        ("roomconfig_presencebroadcast", &["moderator", "participant"]),
    ];
    world.configure(&owner, fields).expect("sound");
    world.bytes(&owner);
    world.join(&guest, "J").expect("open");
    assert_eq!(world.heard(&owner), [""; 0]);
    assert_eq!(world.heard(&guest).len(), 3);
    world.admin(&owner, "<item role='participant' nick='J'/>").expect("voice");
    assert_eq!(
        world.heard(&owner),
        ["iq result", "presence J none/participant juliet@localhost/b"]
    );
    world.admin(&owner, "<item role='visitor' nick='J'/>").expect("no voice");
    assert_eq!(
        world.heard(&owner),
        ["iq result", "presence unavailable J none/none juliet@localhost/b"]
    );
    world.leave(&guest);
    assert_eq!(world.heard(&owner), [""; 0]);
}

#[test]
fn admins_and_owners_of_the_form_are_full_lists() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R"), (&guest, "J")]);
    refused(world.configure(&owner, &[("roomconfig_roomowners", &[])]), Condition::Conflict);
    world
        .configure(&owner, &[("roomconfig_roomadmins", &["juliet@localhost", "nurse@localhost"])])
        .expect("sound");
    assert_eq!(
        world.heard(&guest),
        [
            "message groupchat 104",
            "presence J admin/moderator juliet@localhost/b 110",
            "presence R owner/moderator romeo@localhost/a",
            "message admin/none nurse@localhost"
        ]
    );
    world
        .configure(
            &owner,
            &[("roomconfig_roomadmins", &[]), ("roomconfig_roomowners", &["juliet@localhost"])],
        )
        .expect("another owner is there");
    refused(world.configure(&owner, &[]), Condition::Forbidden);
    world.configure(&guest, &[]).expect("she owns it now");
}

#[test]
fn what_changes_everybody_in_a_large_room_is_told_over_turns() {
    let mut world = World::new();
    let owner = world.user("romeo@localhost/a");
    world.room(&[(&owner, "R")]);
    world.configure(&owner, &[("roomconfig_moderatedroom", &["1"])]).expect("sound");
    let crowd: Vec<_> = (0..200).map(|n| world.user(&format!("u{n}@localhost/b"))).collect();
    for (number, user) in crowd.iter().enumerate() {
        world.join(user, &format!("U{number}")).expect("open");
        crowd[..=number].iter().for_each(|user| drop(world.bytes(user)));
        world.bytes(&owner);
    }
    refused(world.say(&crowd[0], "<body>x</body>"), Condition::Forbidden);
    world.configure(&owner, &[("roomconfig_moderatedroom", &["0"])]).expect("sound");
    assert!(world.cx.out.bytes_waiting() < 6_000_000, "more than a turn has room for");
    // Everybody hears of itself at once, and of all others in turns that follow.
    let mut heard: Vec<_> = crowd.iter().map(|user| world.heard(user)).collect();
    for (number, heard) in heard.iter().enumerate() {
        let own = format!("presence U{number} none/participant 110");
        assert!(heard[0] == "message groupchat 104" && heard.contains(&own));
        assert!(number < 100 || heard.len() < 198, "too small a crowd");
    }
    let mut turns = 0;
    while world.muc.poll_timeout(1_000).is_some() {
        world.cx.out.commit_turn();
        world.muc.tell_backlog(&mut world.cx);
        assert!(world.cx.out.bytes_waiting() < 6_000_000, "more than a turn has room for");
        for (user, heard) in crowd.iter().zip(&mut heard) {
            heard.extend(world.heard(user));
        }
        world.bytes(&owner);
        turns += 1;
    }
    assert!(turns > 1);
    for heard in &mut heard {
        assert_eq!(heard.len(), 201);
        heard.sort();
        heard.dedup();
        assert_eq!(heard.len(), 201, "the message, oneself and 199 others, each once");
    }
    world.say(&crowd[0], "<body>x</body>").expect("voice");
    crowd.iter().for_each(|user| drop(world.bytes(user)));
    let items: String = (0..199).map(|n| format!("<item role='none' nick='U{n}'/>")).collect();
    world.admin(&owner, &items).expect("an owner may");
    assert_eq!(world.heard(&crowd[199]).len(), 199);
    assert_eq!(world.heard(&crowd[0]), ["presence unavailable U0 307 none/none 110"]);
}

#[test]
fn lists_that_nobody_could_be_sent() {
    let mut world = World::with(|config| config.limits.outbox_bytes = 40_000);
    let owner = world.user("romeo@localhost/a");
    world.room(&[(&owner, "R")]);
    // No list is written that would be longer than half an outbox.
    let ban = |number: usize, reason: &str| {
        let reason = reason.repeat(4_000);
        let jid = format!("u{number}@b");
        format!("<item affiliation='outcast' jid='{jid}'><reason>{reason}</reason></item>")
    };
    refused(world.admin(&owner, &ban(0, "&amp;")), Condition::ResourceConstraint);
    let count = (0..9).take_while(|n| world.admin(&owner, &ban(*n, "x")).is_ok()).count();
    assert_eq!(count, 4);
    world.bytes(&owner);
    let list = |what: &str| format!("<query xmlns='{}'><item {what}/></query>", ns::MUC_ADMIN);
    world.get(&owner, &list("affiliation='outcast'")).expect("an owner may");
    assert!((16_000..20_000).contains(&world.bytes(&owner).len()));
    // Nor is one of occupants told that has grown so long.
    for (number, want) in [(1, true), (2, true), (3, true), (4, false)] {
        let guest = world.user(&format!("u{number}@localhost/b"));
        let nick = format!("{number}{}", "&".repeat(1_000));
        world.join(&guest, &nick).expect("an open room");
        world.bytes(&owner);
        let told = world.get(&owner, &list("role='participant'"));
        assert_eq!(told.is_ok(), want, "{number}");
        assert!(world.bytes(&owner).len() < 20_000);
    }
}
