//! Bounds: of time, of pairs, of streams, of bytes.

use super::*;

#[test]
fn keys_that_wait_are_bounded() {
    twice(plain, |world| {
        world.server.cx.peers.set_component("gateway.localhost", None);
        let peer = world.accept();
        world.turn(peer, OPEN);
        for n in 0..16 {
            let key = KEY.replace("remote.example", &format!("r{n}.example"));
            assert_eq!(world.turn(peer, &key), "", "{n}");
        }
        let want = refused("localhost", "remote.example", "wait", "resource-constraint");
        assert_eq!(world.turn(peer, KEY), want);
        // One is done: there is room for another.
        let valid = VALID.replace("remote.example", "r3.example");
        assert_eq!(world.verified(peer, "r3.example", "localhost", Verdict::Valid), valid);
        assert_eq!(world.turn(peer, KEY), "");
    });
}

#[test]
fn pairs_are_bounded() {
    let mut world = World::new(plain, false);
    let peer = world.proved();
    for n in 1..100 {
        let theirs = format!("r{n}.example");
        assert_eq!(world.turn(peer, &KEY.replace("remote.example", &theirs)), "", "{n}");
        world.verified(peer, &theirs, "localhost", Verdict::Valid);
    }
    let want = refused("conference.localhost", "remote.example", "wait", "resource-constraint");
    assert_eq!(world.turn(peer, KEY_ROOMS), want);
    assert_eq!(world.turn(peer, PING), "", "the stream goes on");
}

#[test]
fn streams_of_a_domain_are_bounded() {
    let change = |config: &mut Config| {
        plain(config);
        config.limits.connections_per_address = 0;
    };
    let mut world = World::new(change, false);
    let mut peers: Vec<_> = (0..32).map(|_| world.proved()).collect();
    let late = world.accept();
    world.turn(late, OPEN);
    let want = refused("localhost", "remote.example", "wait", "resource-constraint");
    assert_eq!(world.turn(late, KEY), want);
    let gone = peers.pop().expect("a peer");
    world.turn(gone, "</stream:stream>");
    world.server.handle_closed(world.now, gone.conn, "closed");
    assert_eq!(world.turn(late, KEY), "");
    assert_eq!(world.verified(late, "remote.example", "localhost", Verdict::Valid), VALID);
    for peer in peers.into_iter().chain([late]) {
        world.server.handle_closed(world.now, peer.conn, "gone");
    }
    assert_eq!(world.server.links.guests.streams("remote.example"), 0);
    assert_eq!(world.server.addresses.connections(), 0);
}

#[test]
fn connections_of_an_address_are_bounded() {
    let change = |config: &mut Config| config.limits.connections_per_address = 2;
    let mut world = World::new(change, false);
    let peer = world.accept();
    world.accept();
    assert!(world.try_accept(false).is_none());
    world.server.handle_closed(world.now, peer.conn, "gone");
    assert!(world.try_accept(false).is_some());
}

#[test]
fn strangers_are_bounded() {
    let change = |config: &mut Config| {
        plain(config);
        config.limits.connections_unauthenticated = 2;
    };
    let mut world = World::new(change, false);
    world.proved();
    let peer = world.proved();
    let stranger = world.accept();
    world.accept();
    assert!(world.try_accept(false).is_none());
    world.server.handle_closed(world.now, peer.conn, "gone");
    assert!(world.try_accept(false).is_none(), "that one was none");
    world.server.handle_closed(world.now, stranger.conn, "gone");
    assert!(world.try_accept(false).is_some());
    assert_eq!(world.server.links.guests.strangers, 2);
}

/// However many streams a domain has, it has one allowance.
#[test]
fn the_streams_of_a_domain_share_their_rate() {
    let change = |config: &mut Config| {
        plain(config);
        config.limits.bytes_per_second = 1_000;
        config.limits.burst_bytes = 2_000;
    };
    let mut world = World::new(change, false);
    let (one, other) = (world.proved(), world.proved());
    for _ in 0..24 {
        world.turn(one, PING);
        world.pass(1);
    }
    for peer in [one, other] {
        let wish = world.server.read_wish(peer.conn);
        assert!(matches!(wish, crate::server::ReadWish::Until(_)), "{wish:?}");
    }
    world.pass(3_000);
    world.turn(other, "");
    assert_eq!(world.server.read_wish(other.conn), crate::server::ReadWish::Read);
}

#[test]
fn handshakes_of_an_address_are_bounded() {
    let change = |config: &mut Config| config.limits.handshakes_per_address_per_minute = 2;
    let mut world = World::new(change, false);
    assert!(world.try_accept(true).is_some());
    let peer = world.accept();
    world.turn(peer, OPEN);
    assert!(world.turn(peer, STARTTLS).contains("<proceed"));
    let peer = world.accept();
    world.turn(peer, OPEN);
    let written = world.turn(peer, STARTTLS);
    world.ends(peer, &written, "policy-violation");
    assert!(world.try_accept(true).is_none());
}

#[test]
fn who_does_not_show_who_it_is_must_go() {
    twice(plain, |world| {
        let peer = world.accept();
        world.turn(peer, OPEN);
        world.turn(peer, KEY);
        world.pass(29_000);
        // Nobody can be asked about the key.
        assert!(world.finish_turn(peer).contains("<remote-server-not-found "));
        world.pass(1_000);
        let written = world.finish_turn(peer);
        world.ends(peer, &written, "connection-timeout");
    });
}

#[test]
fn idle_streams_are_closed() {
    twice(plain, |world| {
        let peer = world.proved();
        world.pass(599_000);
        assert_eq!(world.turn(peer, PING), "");
        world.pass(599_000);
        assert_eq!(world.finish_turn(peer), "");
        world.pass(1_000);
        assert_eq!(world.finish_turn(peer), "</stream:stream>");
        assert!(world.closed().contains(&peer.conn));
    });
}

#[test]
fn large_elements_before_the_proof() {
    twice(plain, |world| {
        let large = format!("<message from='remote.example'><body>{}", "x".repeat(11_000));
        let peer = world.accept();
        world.turn(peer, OPEN);
        let written = world.turn(peer, &large);
        world.ends(peer, &written, "policy-violation");
        let peer = world.proved();
        assert_eq!(world.turn(peer, &large), "");
    });
}

#[test]
fn who_sends_too_fast_is_not_read() {
    let change = |config: &mut Config| {
        plain(config);
        config.limits.bytes_per_second = 1_000;
        config.limits.burst_bytes = 1_000;
    };
    twice(change, |world| {
        let peer = world.proved();
        assert_eq!(world.server.read_wish(peer.conn), crate::server::ReadWish::Read);
        for _ in 0..20 {
            assert_eq!(world.turn(peer, PING), "");
        }
        let wish = world.server.read_wish(peer.conn);
        assert!(matches!(wish, crate::server::ReadWish::Until(_)), "{wish:?}");
    });
}
