//! Which places are found for a domain, and in which order (RFC 6120 §3.2, XEP-0368 §3).

use super::super::{LOOKUPS_MAX, Nowhere};
use super::world::{Mood, Record, World};

#[test]
fn addresses_and_hosts_of_this_machine_need_no_name_server() {
    let mut world = World::new(&[Mood::Fine]);
    for (domain, want) in [
        ("192.0.2.7", "192.0.2.7:5269"),
        ("[2001:db8::7]", "[2001:db8::7]:5269"),
        ("localhost", "127.0.0.1:5269 [::1]:5269"),
    ] {
        assert_eq!(world.find(domain), want);
    }
    assert_eq!(world.seen, [""; 0]);
}

#[test]
fn services_and_the_addresses_of_their_hosts() {
    let mut world = World::new(&[Mood::Fine]);
    world.service("_xmpp-server._tcp.chat.example", &[(20, 0, 5269, "b.example")]);
    world.service(
        "_xmpps-server._tcp.chat.example",
        &[(30, 0, 443, "b.example"), (10, 0, 5270, "A.example")],
    );
    world.address("a.example", &["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    world.address("b.example", &["192.0.2.3"]);
    assert_eq!(
        world.find("chat.example"),
        "tls [2001:db8::1]:5270 tls 192.0.2.1:5270 tls 192.0.2.2:5270 192.0.2.3:5269 \
         tls 192.0.2.3:443"
    );
    let seen = |name: &str| world.seen.iter().filter(|seen| seen.starts_with(name)).count();
    assert_eq!((seen("b.example"), world.seen.len()), (2, 6), "each question once");
}

#[test]
fn names_of_other_scripts_are_asked_for_in_ascii() {
    let mut world = World::new(&[Mood::Fine]);
    world.address("xn--bcher-kva.example", &["192.0.2.1"]);
    assert_eq!(world.find("bücher.example"), "192.0.2.1:5269");
}

#[test]
fn without_services_the_domain_is_the_host() {
    let mut world = World::new(&[Mood::Fine]);
    world.address("chat.example", &["192.0.2.1"]);
    assert_eq!(world.find("chat.example"), "192.0.2.1:5269");
    assert_eq!(world.find("nobody.example"), "NoServer");
    // There is such a name, and nothing about it.
    world.set("empty.example", Vec::new());
    assert_eq!(world.find("empty.example"), "NoServer");
    // The host of a service is not there: the domain's own address is no place to go.
    world.service("_xmpp-server._tcp.chat2.example", &[(0, 0, 5269, "gone.example")]);
    world.address("chat2.example", &["192.0.2.1"]);
    assert_eq!(world.find("chat2.example"), "NoServer");
}

/// RFC 2782: a target of "." says that there is no such service.
#[test]
fn a_domain_may_say_that_it_has_no_server() {
    let mut world = World::new(&[Mood::Fine]);
    world.address("chat.example", &["192.0.2.1"]);
    world.service("_xmpp-server._tcp.chat.example", &[(0, 0, 0, ".")]);
    assert_eq!(world.find("chat.example"), "NoServer");
    // Direct TLS is what there is none of.
    world.address("other.example", &["192.0.2.2"]);
    world.service("_xmpps-server._tcp.other.example", &[(0, 0, 0, ".")]);
    assert_eq!(world.find("other.example"), "192.0.2.2:5269");
    world.address("third.example", &["192.0.2.3"]);
    world.service("_xmpps-server._tcp.third.example", &[(0, 0, 5270, "third.example")]);
    world.service("_xmpp-server._tcp.third.example", &[(0, 0, 0, ".")]);
    assert_eq!(world.find("third.example"), "tls 192.0.2.3:5270");
}

#[test]
fn places_are_bounded() {
    let mut world = World::new(&[Mood::Fine]);
    let host = |number: u16| format!("host{number}.example");
    let service = |number: u16| Record::Service(number, 0, 5269, host(number));
    world.set("_xmpp-server._tcp.chat.example", (0..60).map(service).collect());
    for number in 0..60 {
        world.address(&host(number), &[&format!("198.51.100.{number}")]);
    }
    let found = world.find("chat.example");
    assert_eq!(found.split(' ').count(), 16);
    assert!(found.starts_with("198.51.100.0:5269 198.51.100.1:5269 "), "{found}");
    assert_eq!(world.seen.len(), 2 + 2 * 16);
    world.address("many.example", &["192.0.2.1"; 30]);
    assert_eq!(world.find("many.example"), "192.0.2.1:5269", "each place once");
}

#[test]
fn look_ups_are_bounded_and_shared() {
    let mut world = World::new(&[Mood::Silent]);
    for number in 0..LOOKUPS_MAX {
        world.look_up(&format!("{number}.example"));
        world.look_up(&format!("{number}.example"));
    }
    assert_eq!(world.found(), None);
    world.look_up("one-more.example");
    let too_many = ("one-more.example".to_owned(), Err(Nowhere::NoAnswer));
    assert_eq!(world.found(), Some(too_many));
    let packets = std::iter::from_fn(|| world.resolver.poll_transmit()).count();
    assert_eq!(packets, 64, "the others wait");
    world.serve();
    let ended = std::iter::from_fn(|| world.found()).count();
    assert_eq!(ended, LOOKUPS_MAX);
    assert!(world.resolver.lookups.is_empty());
    // Nothing is left behind, and the next one is like the first.
    world.moods = vec![Mood::Fine];
    world.address("chat.example", &["192.0.2.1"]);
    assert_eq!(world.find("chat.example"), "192.0.2.1:5269");
}

#[test]
fn a_name_that_is_too_long_for_its_service() {
    let mut world = World::new(&[Mood::Fine]);
    let label = "a".repeat(60);
    let domain = [&label[..]; 4].join(".");
    world.address(&domain, &["192.0.2.1"]);
    assert_eq!(world.find(&domain), "192.0.2.1:5269");
}

#[test]
fn before_the_files_are_read_there_is_nobody_to_ask() {
    let mut world = World::new(&[]);
    world.resolver = super::super::Resolver::default();
    assert_eq!(world.find("chat.example"), "NoAnswer");
}
