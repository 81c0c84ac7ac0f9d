//! Streams that come about, and those that do not.

use crate::config::Verify;
use crate::dns::{Nowhere, Place};
use crate::xmpp::PresenceType;

use super::peer::{Manners, Peer};
use super::world::World;

const ALICE: &str = "alice@localhost/a";
const BOB: &str = "bob@remote.example";

/// Every way to come to an agreement.
pub fn all_manners() -> Vec<(&'static str, Manners)> {
    let plain = Manners::plain();
    let tls = Manners { starttls: true, ..plain };
    let external = Manners { external: true, dialback: false, ..tls };
    let acks = Manners { acks: true, ..tls };
    vec![
        ("plain", plain),
        ("old", Manners { is_old: true, ..plain }),
        ("dialback over TLS", tls),
        ("external", external),
        ("external refused", Manners { external: true, refuses_external: true, ..tls }),
        ("bidi", Manners { bidi: true, ..tls }),
        ("acks", acks),
        ("external and acks", Manners { acks: true, ..external }),
        ("all", Manners { external: true, errors: true, bidi: true, ..acks }),
    ]
}

fn world(manners: Manners) -> World {
    World::new(Peer::new(manners))
}

fn bounce(id: &str, condition: &str) -> Vec<(String, String)> {
    vec![(id.to_owned(), condition.to_owned())]
}

#[test]
fn stanzas_arrive_in_order() {
    for (name, manners) in all_manners() {
        for is_bytewise in [false, true] {
            let mut world = world(manners);
            world.is_bytewise = is_bytewise;
            for id in ["1", "2", "3"] {
                world.send(id, ALICE, BOB);
            }
            world.run();
            world.send("4", ALICE, BOB);
            world.run();
            assert_eq!(world.peer.got, ["1", "2", "3", "4"], "{name}");
            assert_eq!(world.told(), "", "{name}");
            // Idle streams are closed.
            world.wait(700_000);
            assert!(world.conns.is_empty(), "{name}");
            world.assert_idle();
        }
    }
}

#[test]
fn what_is_agreed_on() {
    let heard = |manners| {
        let mut world = world(manners);
        world.send("1", ALICE, BOB);
        world.run();
        assert_eq!(world.peer.got, ["1"]);
        world.peer.heard.join(" ")
    };
    let tls = Manners { starttls: true, ..Manners::plain() };
    assert_eq!(heard(Manners::plain()), "result");
    assert_eq!(heard(tls), "starttls result");
    let external = Manners { external: true, ..tls };
    assert_eq!(heard(external), "starttls auth");
    // EXTERNAL shows nothing without a certificate.
    assert_eq!(heard(Manners { starttls: false, ..external }), "result");
    assert_eq!(heard(Manners { refuses_external: true, ..external }), "starttls auth result");
    assert_eq!(heard(Manners { bidi: true, ..external }), "starttls bidi auth");
    assert_eq!(heard(Manners { acks: true, ..tls }), "starttls result enable r");
}

#[test]
fn refusals_come_back_with_their_condition() {
    let check = |result, condition| {
        let mut world = world(Manners { result, ..Manners::plain() });
        world.send("1", ALICE, BOB);
        world.wait(40_000);
        assert_eq!(world.bounced(), bounce("1", condition), "{result}");
        assert!(world.peer.got.is_empty());
        world.assert_idle();
    };
    check("invalid", "internal-server-error");
    check("item-not-found", "remote-server-timeout");
    check("resource-constraint", "remote-server-timeout");
    check("", "remote-server-timeout");
}

#[test]
fn unreachable_servers() {
    let mut world = world(Manners::plain());
    world.is_dead = true;
    world.send("1", ALICE, BOB);
    world.run();
    assert_eq!(world.bounced(), bounce("1", "remote-server-not-found"));
    world.assert_idle();
    // Within the pause nobody tries again, and nothing waits.
    world.send("2", ALICE, BOB);
    world.run();
    assert_eq!(world.bounced(), bounce("2", "remote-server-not-found"));
    assert_eq!(world.tried.len(), 1);
    // The pause grows.
    for (wait_ms, tried) in [(10_000, 2), (10_000, 2), (10_000, 3), (30_000, 3), (10_000, 4)] {
        world.wait(wait_ms);
        world.send("3", ALICE, BOB);
        world.run();
        assert_eq!(world.tried.len(), tried, "{wait_ms}");
    }
    // A success ends it.
    world.is_dead = false;
    world.wait(300_000);
    world.send("4", ALICE, BOB);
    world.run();
    assert_eq!(world.peer.got, ["4"]);
}

#[test]
fn servers_that_do_not_answer() {
    let mut world = world(Manners { is_mute: true, ..Manners::plain() });
    world.send("1", ALICE, BOB);
    world.wait(29_000);
    assert_eq!(world.told(), "");
    world.wait(1_500);
    assert_eq!(world.bounced(), bounce("1", "remote-server-timeout"));
    world.wait(10_000);
    world.assert_idle();
}

#[test]
fn without_tls_where_it_is_required() {
    for manners in [Manners::plain(), Manners { is_old: true, ..Manners::plain() }] {
        let mut world = World::with(Peer::new(manners), |config| config.s2s.require_tls = true);
        world.send("1", ALICE, BOB);
        world.run();
        let told = world.told();
        assert!(told.contains("<remote-server-timeout "), "{told}");
        assert!(told.contains("<error type='cancel' by='localhost'>"), "{told}");
        assert!(!told.contains("remote.example</text>"));
        world.assert_idle();
    }
}

#[test]
fn certificates_that_are_not_trusted() {
    for verify in [Verify::Certificate, Verify::Both] {
        for starttls in [true, false] {
            let peer = Peer::new(Manners { starttls, ..Manners::plain() });
            let mut world = World::with(peer, |config| config.s2s.verify = verify);
            world.send("1", ALICE, BOB);
            world.run();
            assert_eq!(world.bounced(), bounce("1", "remote-server-timeout"));
            assert!(world.peer.asked.is_empty());
        }
    }
}

#[test]
fn what_never_comes_back() {
    let mut world = world(Manners::plain());
    world.is_dead = true;
    for kind in [PresenceType::Unavailable, PresenceType::Probe, PresenceType::Error] {
        world.presence(kind, BOB);
    }
    world.run();
    assert_eq!(world.told(), "");
    world.presence(PresenceType::Subscribe, BOB);
    world.run();
    let told = world.told();
    assert!(
        told.starts_with(
            "<presence from='bob@remote.example' type='error' to='alice@localhost/a'>"
        ),
        "{told}"
    );
    world.assert_idle();
}

fn places(addresses: &[(&str, bool)]) -> Vec<Place> {
    let place = |(address, is_direct_tls): &(&str, bool)| Place {
        address: address.parse().unwrap(),
        is_direct_tls: *is_direct_tls,
    };
    addresses.iter().map(place).collect()
}

#[test]
fn places_are_tried_in_turn() {
    let mut world = world(Manners::plain());
    world.send("1", ALICE, "bob@sought.example");
    let found = places(&[("192.0.2.8:5269", false), ("192.0.2.9:5270", true)]);
    world.server.places_found("sought.example", Ok(found));
    world.is_dead = true;
    world.turn();
    world.step();
    world.is_dead = false;
    world.run();
    assert_eq!(world.peer.got, ["1"]);
    let tried: Vec<_> = world.tried.iter().map(ToString::to_string).collect();
    assert_eq!(tried, ["192.0.2.8:5269", "192.0.2.9:5270"]);
}

#[test]
fn domains_without_a_place() {
    for nowhere in [Nowhere::NoServer, Nowhere::NoAnswer] {
        let mut world = world(Manners::plain());
        world.send("1", ALICE, "bob@sought.example");
        world.server.places_found("sought.example", Err(nowhere));
        // It is not asked for any more.
        world.server.places_found("sought.example", Ok(places(&[("192.0.2.8:5269", false)])));
        world.run();
        assert_eq!(world.bounced(), bounce("1", "remote-server-not-found"));
        assert!(world.tried.is_empty());
        world.assert_idle();
    }
}

#[test]
fn answers_that_nobody_has_asked_for() {
    let mut world = world(Manners { result: "", ..Manners::plain() });
    world.send("1", ALICE, BOB);
    world.run();
    let conn = world.conn();
    for answer in [
        "<db:result from='other.example' to='localhost' type='valid'/>",
        "<db:result from='remote.example' to='conference.localhost' type='valid'/>",
        "<db:result from='remote.example' type='valid'/>",
        "<db:verify from='remote.example' to='localhost' id='x' type='valid'/>",
    ] {
        world.feed(conn, answer.as_bytes());
        world.run();
        assert!(world.peer.got.is_empty(), "{answer}");
    }
    world.feed(conn, b"<db:result from='remote.example' to='localhost' type='valid'/>");
    world.run();
    assert_eq!(world.peer.got, ["1"]);
}

#[test]
fn several_of_ours_share_a_stream() {
    let mut world = world(Manners::plain());
    world.send("1", ALICE, BOB);
    world.send("2", "room@conference.localhost/n", BOB);
    world.run();
    world.send("3", "pub@pubsub.localhost", BOB);
    world.run();
    assert_eq!(world.tried.len(), 1);
    assert_eq!(world.peer.got, ["1", "2", "3"]);
    assert_eq!(world.peer.asked.len(), 3);
}

#[test]
fn several_of_theirs_share_a_stream() {
    for (errors, connections) in [(true, 1), (false, 2)] {
        let peer = Peer::new(Manners { errors, ..Manners::plain() });
        let mut world = World::with(peer, |config| {
            let same = config.s2s.hosts["remote.example"];
            config.s2s.hosts.insert("conference.remote.example".to_owned(), same);
        });
        world.send("1", ALICE, BOB);
        world.run();
        world.send("2", ALICE, "room@conference.remote.example");
        world.run();
        world.send("3", ALICE, "carol@other.example");
        world.run();
        assert_eq!(world.peer.got, ["1", "2", "3"]);
        assert_eq!(world.tried.len(), connections + 1, "errors: {errors}");
    }
}
