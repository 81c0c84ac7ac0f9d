//! The ordered end of the built binary, over TCP and TLS (DESIGN.md §8): who is told what, in
//! which order, who is waited for, who is not, and what the process says at its end.

mod crowd;
mod ends;
mod reload;

use tercet::xml::Element;
use tercet::xmpp::ns;

use crate::client::Item;
use crate::party::{Party, Who, describe};
use crate::socket::Sockets;

/// Waits for the end of `who`; checks the farewell, and returns what came before it. The order is
/// that of DESIGN.md §8: one unavailable presence for each of `rooms`, then the stream error, then
/// the end of the stream, `close_notify` where there is TLS, and the end of the connection.
#[track_caller]
fn check_farewell(party: &mut Party<Sockets>, who: Who, rooms: &[&str]) -> Vec<Element> {
    let mut items = party.end(who);
    let all: Vec<String> = items.iter().map(describe).collect();
    let all = all.join("\n");
    assert!(matches!(items.pop(), Some(Item::Close)), "no stream end: {all}");
    let Some(Item::Element(error)) = items.pop() else { panic!("no stream error: {all}") };
    assert!(error.is("error", ns::STREAMS), "no stream error: {all}");
    assert!(error.child("system-shutdown", ns::STREAM_ERRORS).is_some(), "{all}");
    let mut elements = Vec::new();
    for item in items {
        let Item::Element(element) = item else { panic!("two stream ends: {all}") };
        elements.push(element);
    }
    let first = elements.len().checked_sub(rooms.len()).expect("a farewell of each room");
    let farewells = elements.split_off(first);
    let mut told: Vec<&str> = farewells.iter().map(|presence| check_room(presence, &all)).collect();
    told.sort_unstable();
    assert_eq!(told, rooms, "{all}");
    assert!(!elements.iter().any(|element| describe_codes(element).contains(&"332")), "{all}");
    if party.with_tls {
        assert!(party.driver.is_notified(party.guests[who].link), "no close_notify");
    }
    elements
}

/// The farewell of a room: 332, the item, 110 (WIRE.md 2 and 21). Returns the room's name.
#[track_caller]
fn check_room<'a>(presence: &'a Element, all: &str) -> &'a str {
    assert_eq!(presence.attr("type"), Some("unavailable"), "{all}");
    let x = presence.child("x", ns::MUC_USER).unwrap_or_else(|| panic!("no farewell: {all}"));
    let children: Vec<(&str, Option<&str>)> =
        x.elements().map(|child| (&*child.name, child.attr("code"))).collect();
    let want = [("status", Some("332")), ("item", None), ("status", Some("110"))];
    assert_eq!(children, want, "{all}");
    let item = x.child("item", ns::MUC_USER).expect("just seen");
    assert_eq!(item.attr("role"), Some("none"), "{all}");
    assert!(item.attr("affiliation").is_some(), "{all}");
    let from = presence.attr("from").expect("a sender");
    from.split('@').next().expect("a room")
}

fn describe_codes(element: &Element) -> Vec<&str> {
    let x = element.child("x", ns::MUC_USER);
    x.into_iter().flat_map(Element::elements).filter_map(|child| child.attr("code")).collect()
}

/// Waits for the exit; returns its code and the summary.
#[track_caller]
fn exit(party: &mut Party<Sockets>) -> (i32, String) {
    let code = party.driver.process.exit_code().unwrap_or_else(|why| panic!("{why}"));
    let log = party.driver.process.log();
    let line = log.lines().find_map(|line| line.split_once("shutdown: "));
    let (_, summary) = line.unwrap_or_else(|| panic!("no summary: {log}"));
    (code, summary.to_owned())
}
