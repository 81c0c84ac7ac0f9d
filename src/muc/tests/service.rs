//! The service: a list of rooms that is too long, what it costs, and admins that come and go with a
//! reload.

use super::*;
use crate::config::RoomOptions;
use crate::storage::{Grave, StoredRoom};
use crate::xmpp::BareJid;

const LIST: &str = "<query xmlns='http://jabber.org/protocol/disco#items'/>";

fn bare(text: &str) -> BareJid {
    BareJid::parse(text).expect("an address")
}

/// A service with so many stored rooms that nobody is in.
fn stored_rooms(count: usize) -> World {
    let mut world = World::new();
    for number in 0..count {
        let room = StoredRoom {
            jid: bare(&format!("r{number:05}@conference.localhost")),
            options: world.cx.config.rooms.defaults.clone(),
            secret: vec![1],
            subject: None,
            affiliations: Vec::new(),
        };
        world.cx.storage.room_put(&room).expect("stored");
    }
    world
}

fn list(world: &mut World, user: &User) -> Result<Element, StanzaError> {
    world.send(user, StanzaKind::Iq(IqType::Get), "conference.localhost", LIST)?;
    let query = world.received(user).pop().and_then(|iq| iq.elements().next().cloned());
    Ok(query.expect("a result"))
}

#[test]
fn a_list_that_is_too_long_is_a_first_page() {
    let mut world = stored_rooms(501);
    let romeo = world.user("romeo@localhost/a");
    let first = list(&mut world, &romeo).expect("listed");
    let set = first.child("set", ns::RSM).expect("it says that it is a part (§6.3)");
    let text = |name| set.child(name, ns::RSM).map(Element::text);
    assert_eq!(first.elements().count(), 501, "500 items and the set");
    assert_eq!(text("count").as_deref(), Some("501"));
    assert_eq!(text("last").as_deref(), Some("r00499@conference.localhost"));
    world.cx.storage.room_remove(&bare("r00007@conference.localhost")).expect("removed");
    let whole = list(&mut world, &romeo).expect("listed");
    assert_eq!((whole.elements().count(), whole.child("set", ns::RSM)), (500, None));
}

#[test]
fn long_names_do_not_make_a_list_that_cuts_off_whoever_looks() {
    let mut world = stored_rooms(300);
    let name = "&".repeat(world.cx.config.limits.room_text_bytes);
    let rooms: Vec<_> = (0..300).map(|n| format!("r{n:05}@conference.localhost")).collect();
    for room in &rooms {
        let options = RoomOptions { name: name.clone(), ..world.cx.config.rooms.defaults.clone() };
        world.cx.storage.room_options(&bare(room), &options).expect("stored");
    }
    let romeo = world.user("romeo@localhost/a");
    // Forwards and backwards every room is seen once, and no stanza is large.
    for (from, next) in [("", "last"), ("<before/>", "first")] {
        let mut seen = Vec::new();
        let mut from = from.to_owned();
        while seen.len() < rooms.len() {
            let query = format!(
                "<query xmlns='http://jabber.org/protocol/disco#items'>\
                 <set xmlns='http://jabber.org/protocol/rsm'>{from}</set></query>"
            );
            let kind = StanzaKind::Iq(IqType::Get);
            world.send(&romeo, kind, "conference.localhost", &query).expect("listed");
            let bytes = world.bytes(&romeo);
            assert!(bytes.len() < 140 * 1024, "{}", bytes.len());
            let list = elements(&bytes).pop().and_then(|iq| iq.elements().next().cloned());
            let list = list.expect("a list");
            let set = list.child("set", ns::RSM).expect("a part");
            let text = |name| set.child(name, ns::RSM).map(Element::text).expect("told");
            assert_eq!(text("count"), "300");
            let items: Vec<_> = list.elements().filter_map(|item| item.attr("jid")).collect();
            assert_eq!((items[0], items[items.len() - 1]), (&*text("first"), &*text("last")));
            let index = set.child("first", ns::RSM).and_then(|first| first.attr("index"));
            assert_eq!(
                index.map(|index| &*rooms[index.parse::<usize>().expect("a number")]),
                Some(items[0])
            );
            seen.extend(items.iter().map(|jid| (*jid).to_owned()));
            let place = if next == "last" { "after" } else { "before" };
            from = format!("<{place}>{}</{place}>", text(next));
        }
        seen.sort_unstable();
        assert_eq!(seen, rooms);
    }
    let first = list(&mut world, &romeo).expect("listed");
    assert!(first.child("set", ns::RSM).is_some(), "it says that it is a part (§6.3)");
}

#[test]
fn lists_are_charged_by_what_is_read() {
    let mut world = stored_rooms(400);
    let romeo = world.user("romeo@localhost/a");
    let mut lists = 0;
    while list(&mut world, &romeo).is_ok() {
        lists += 1;
    }
    assert_eq!(lists, 25, "100,000 rows at once, ten for each room");
    let page = "<query xmlns='http://jabber.org/protocol/disco#items'>\
                <set xmlns='http://jabber.org/protocol/rsm'><max>10</max></set></query>";
    let juliet = world.user("juliet@localhost/b");
    for _ in 0..500 {
        let kind = StanzaKind::Iq(IqType::Get);
        world.send(&juliet, kind, "conference.localhost", page).expect("a page costs little");
        world.bytes(&juliet);
    }
}

/// Takes another list of admins over, as a reload does.
fn reload(world: &mut World, admins: &[&str]) {
    let mut config = (*world.cx.config).clone();
    config.admin.jids = admins.iter().map(|admin| bare(admin)).collect();
    world.cx.config = Rc::new(config);
    world.muc.handle_reload(&mut world.cx);
}

#[test]
fn a_reload_gives_and_takes_the_rank_of_an_admin_at_once() {
    let mut world = World::new();
    let (romeo, prince) = (world.user("romeo@localhost/a"), world.user("prince@localhost/b"));
    world.room(&[(&romeo, "R"), (&prince, "P")]);
    let form = "<query xmlns='http://jabber.org/protocol/muc#owner'/>";
    refused(world.get(&prince, form), Condition::Forbidden);

    reload(&mut world, &["prince@localhost"]);
    let shown = ["presence P owner/moderator prince@localhost/b"];
    assert_eq!(world.heard(&romeo), shown);
    let heard = world.heard(&prince);
    assert_eq!(heard[0], "presence P owner/moderator prince@localhost/b 110");
    assert_eq!(heard[1..], ["presence R owner/moderator romeo@localhost/a"]);
    world.get(&prince, form).expect("an owner");
    world.bytes(&prince);

    reload(&mut world, &["prince@localhost"]);
    assert!(world.heard(&romeo).is_empty() && world.heard(&prince).is_empty());

    reload(&mut world, &[]);
    assert_eq!(world.heard(&romeo), ["presence P none/participant prince@localhost/b"]);
    assert_eq!(world.heard(&prince)[0], "presence P none/participant 110");
    refused(world.get(&prince, form), Condition::Forbidden);
}

#[test]
fn who_may_not_stay_without_the_rank_is_taken_out() {
    let mut world = World::new();
    reload(&mut world, &["prince@localhost"]);
    let (romeo, prince) = (world.user("romeo@localhost/a"), world.user("prince@localhost/b"));
    world.room(&[(&romeo, "R")]);
    world.configure(&romeo, &[("roomconfig_membersonly", &["1"])]).expect("an owner");
    world.join(&prince, "P").expect("an admin");
    world.bytes(&prince);
    world.bytes(&romeo);
    reload(&mut world, &[]);
    let own = "presence unavailable P 321 none/none prince@localhost/b 110";
    assert_eq!(world.heard(&prince), [own]);
    assert_eq!(world.heard(&romeo), ["presence unavailable P 321 none/none prince@localhost/b"]);
    refused(world.join(&prince, "P"), Condition::RegistrationRequired);
    assert_eq!(world.muc.seats_count(), 1);
}

#[test]
fn a_name_is_taken_again_whole_or_not_at_all() {
    let mut world = World::with(|config| config.limits.rooms = 1);
    let romeo = world.user("romeo@localhost/a");
    let grave = Grave {
        room: bare(ROOM),
        until_unix_ms: i64::MAX,
        venue: None,
        reason: None,
        owners: vec![bare("romeo@localhost")],
    };
    world.cx.storage.grave_put(&grave, None, 0).expect("buried");
    let other = StoredRoom {
        jid: bare("other@conference.localhost"),
        options: world.cx.config.rooms.defaults.clone(),
        secret: vec![1],
        subject: None,
        affiliations: Vec::new(),
    };
    world.cx.storage.room_put(&other).expect("stored");
    // It may have the name, but there are too many rooms: it is remembered still.
    refused(world.join(&romeo, "R"), Condition::ResourceConstraint);
    assert_eq!(world.cx.storage.grave(&bare(ROOM), 0), Ok(Some(grave)));
    world.cx.storage.room_remove(&other.jid).expect("removed");
    // Nor is it taken by a room that is never configured.
    for _ in 0..2 {
        world.join(&romeo, "R").expect("there is room");
        assert!(world.cx.storage.grave(&bare(ROOM), 0).is_ok_and(|grave| grave.is_some()));
        world.leave(&romeo);
    }
    world.join(&romeo, "R").expect("there is room");
    world.configure(&romeo, &[]).expect("the defaults are sound");
    assert_eq!(world.cx.storage.grave(&bare(ROOM), 0), Ok(None));
}

#[test]
fn long_nicks_do_not_make_a_list_that_cuts_off_whoever_looks() {
    let mut world = World::with(|config| config.rooms.defaults.occupants_in_disco = true);
    let owner = world.user("romeo@localhost/a");
    world.room(&[(&owner, "R")]);
    for number in 0..99 {
        let guest = world.user(&format!("u{number}@localhost/b"));
        world.join(&guest, &format!("{number}{}", "&".repeat(400))).expect("an open room");
        world.bytes(&owner);
    }
    for (place, place_of) in [("after", "last"), ("before", "first")] {
        let (mut from, mut count) = (format!("<{place}/>"), 0);
        while count < 100 {
            let set = format!("<set xmlns='{}'>{from}</set>", ns::RSM);
            let query = format!("<query xmlns='{}'>{set}</query>", ns::DISCO_ITEMS);
            world.get(&owner, &query).expect("an occupant may");
            let bytes = world.bytes(&owner);
            assert!(bytes.len() < 140 * 1024, "{}", bytes.len());
            let list = elements(&bytes).pop().expect("an answer");
            let list = list.child("query", ns::DISCO_ITEMS).expect("a list").clone();
            let page = list.elements().filter(|item| &*item.name == "item").count();
            assert!((1..99).contains(&page), "{page}");
            count += page;
            let set = list.child("set", ns::RSM).expect("a part");
            let next = set.child(place_of, ns::RSM).map(Element::text).expect("told");
            from = format!("<{place}>{}</{place}>", next.replace('&', "&amp;"));
        }
        assert_eq!(count, 100);
    }
}
