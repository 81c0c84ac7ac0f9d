//! Long affiliation lists and long histories of them (XEP-0463 §5.2): what is split, what is
//! forgotten.

use super::*;

/// Somebody who was in the room, comes (again) and is told of the list.
fn told(world: &mut World, user: &User, since: Option<&str>) -> Vec<Element> {
    world.received(user);
    let since = since.map(|since| format!(" since='{since}'")).unwrap_or_default();
    let x = format!("<x xmlns='{}'><mav xmlns='{}'{since}/></x>", ns::MUC, ns::MUC_AFFILIATIONS);
    world.presence(user, &format!("{ROOM}/O"), &x).expect("an owner may");
    let stanzas = world.received(user);
    stanzas.iter().filter_map(|stanza| stanza.child("x", ns::MUC_USER).cloned()).collect()
}

fn mav<'a>(x: &'a Element, name: &str) -> Option<&'a str> {
    x.child("mav", ns::MUC_AFFILIATIONS)?.attr(name)
}

fn jids(x: &Element) -> impl Iterator<Item = &str> {
    x.elements().filter_map(|element| element.attr("jid"))
}

fn add(world: &mut World, owner: &User, numbers: std::ops::Range<usize>) {
    let item = |n| format!("<item affiliation='member' jid='u{n:05}@localhost'/>");
    world.admin(owner, &numbers.map(item).collect::<String>()).expect("an owner may");
}

#[test]
fn a_long_list_is_told_in_parts_that_follow_one_another() {
    let mut world = World::new();
    let owner = world.user("o@localhost/r");
    world.room(&[(&owner, "O")]);
    add(&mut world, &owner, 0..2_500);
    let all = told(&mut world, &owner, None);
    let (own, parts) = all.split_last().expect("its own presence at least");
    assert!(parts.len() > 2, "{} parts", parts.len());
    let mut since = None;
    for x in parts {
        assert_eq!(mav(x, "since"), since);
        since = mav(x, "until");
        let mut bytes = Vec::new();
        crate::xml::writer::write_element(&mut bytes, x, ns::CLIENT);
        // Each part of it, with its envelope, is smaller than that.
        assert!(bytes.len() < 65_536, "{} bytes", bytes.len());
    }
    assert_eq!(mav(own, "until"), since);
    let listed: Vec<_> = parts.iter().flat_map(jids).collect();
    let members = (0..2_500).map(|n| format!("u{n:05}@localhost"));
    let want: Vec<_> = ["o@localhost".to_owned()].into_iter().chain(members).collect();
    assert_eq!(listed, want);
    // Who did not hear the last part hears all again.
    let between = mav(&parts[0], "until").expect("each has one").to_owned();
    assert_eq!(told(&mut world, &owner, Some(&between)), all);
    // Who did is told of nothing else.
    let last = mav(own, "until").expect("it has one").to_owned();
    assert_eq!(told(&mut world, &owner, Some(&last)).len(), 1);
}

#[test]
fn a_thousand_changes_are_remembered_here_and_at_rest() {
    let mut world = World::new();
    let owner = world.user("o@localhost/r");
    world.room(&[(&owner, "O")]);
    world.configure(&owner, &[("roomconfig_persistentroom", &["1"])]).expect("an owner may");
    let version = |world: &mut World| {
        let all = told(world, &owner, None);
        mav(all.last().expect("its own presence"), "until").expect("it has one").to_owned()
    };
    let first = version(&mut world);
    add(&mut world, &owner, 0..1);
    let second = version(&mut world);
    for number in 1..=1_000 {
        add(&mut world, &owner, number..number + 1);
    }
    for _ in 0..2 {
        let known = told(&mut world, &owner, Some(&second));
        assert_eq!(mav(&known[0], "since"), Some(&*second));
        assert_eq!(known.iter().flat_map(jids).filter(|jid| jid.starts_with('u')).count(), 1_000);
        let unknown = told(&mut world, &owner, Some(&first));
        assert_eq!(mav(&unknown[0], "since"), None);
        let listed = unknown.iter().flat_map(jids).filter(|jid| jid.starts_with('u')).count();
        assert_eq!(listed, 1_001);
        let room = jid(ROOM).to_bare();
        let stored = world.cx.storage.room_versions(&room).expect("a database");
        assert_eq!(stored.expect("it is stored").len(), 1_000);
        // The same when the room is read again.
        world.leave(&owner);
        assert_eq!(world.muc.rooms_count(), 0);
    }
}
