//! Stream management (XEP-0198).

use super::*;

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const ASK: &str = "<r xmlns='urn:xmpp:sm:3'/>";

fn handled(count: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{count}'/>")
}

fn resume(id: &str, h: u32) -> String {
    format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>")
}

fn failed(condition: &str) -> String {
    format!(
        "<failed xmlns='urn:xmpp:sm:3'><{condition} \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
    )
}

/// A stream that may be resumed by the id that is returned.
fn enabled(world: &mut World) -> (Peer, String) {
    let peer = world.proved();
    let written = world.turn(peer, ENABLE);
    assert!(written.starts_with("<enabled xmlns='urn:xmpp:sm:3' id='"), "{written}");
    assert!(written.contains(" resume='true' max='"), "{written}");
    (peer, stream_id(&written).to_owned())
}

#[test]
fn stanzas_are_counted() {
    twice(plain, |world| {
        let (peer, _) = enabled(world);
        assert_eq!(world.turn(peer, ASK), handled(0));
        assert_eq!(world.turn(peer, &format!("{PING}{KEY_ROOMS}{PING}{ASK}")), handled(2));
        // Refused ones as well.
        let refused = PING.replace("'get'", "'what'");
        assert_eq!(world.turn(peer, &format!("{refused}{ASK}")), handled(3));
    });
}

#[test]
fn at_the_wrong_time() {
    twice(plain, |world| {
        let peer = world.accept();
        world.turn(peer, OPEN);
        assert_eq!(world.turn(peer, ENABLE), failed("unexpected-request"));
        assert_eq!(world.turn(peer, &resume("x", 0)), failed("unexpected-request"));
        let written = world.turn(peer, ASK);
        world.ends(peer, &written, "unsupported-stanza-type");
        let (peer, id) = enabled(world);
        assert_eq!(world.turn(peer, &resume(&id, 0)), failed("unexpected-request"));
        let written = world.turn(peer, ENABLE);
        assert!(written.starts_with(&failed("unexpected-request")), "{written}");
        world.ends(peer, &written, "policy-violation");
    });
}

#[test]
fn a_lost_stream_is_resumed() {
    twice(plain, |world| {
        let (peer, id) = enabled(world);
        world.turn(peer, &format!("{PING}{PING}{KEY_ROOMS}"));
        world.verified(peer, "remote.example", "conference.localhost", Verdict::Valid);
        world.server.handle_closed(world.now, peer.conn, "reset");
        let other = world.proved();
        let resumed = format!("<resumed xmlns='urn:xmpp:sm:3' h='2' previd='{id}'/>");
        assert_eq!(world.turn(other, &resume(&id, 0)), resumed);
        // With the count, and with the pairs.
        let ping = PING.replace("'localhost'", "'conference.localhost'");
        assert_eq!(world.turn(other, &format!("{ping}{ASK}")), handled(3));
        // Once more, and its connection ends without the end of the stream.
        world.server.handle_end(world.now, other.conn);
        world.server.handle_closed(world.now, other.conn, "closed");
        let third = world.proved();
        assert_eq!(world.turn(third, &resume(&id, 0)), resumed.replace("'2'", "'3'"));
    });
}

#[test]
fn a_stream_is_resumed_before_it_is_known_to_be_lost() {
    twice(plain, |world| {
        let (peer, id) = enabled(world);
        world.turn(peer, PING);
        let other = world.proved();
        let resumed = format!("<resumed xmlns='urn:xmpp:sm:3' h='1' previd='{id}'/>");
        assert_eq!(world.turn(other, &resume(&id, 0)), resumed);
        let written = world.written(peer);
        world.ends(peer, &written, "conflict");
        assert_eq!(world.turn(other, &format!("{PING}{ASK}")), handled(2));
    });
}

#[test]
fn what_cannot_be_resumed() {
    twice(plain, |world| {
        // Ended, not lost.
        let (peer, id) = enabled(world);
        world.turn(peer, "</stream:stream>");
        world.server.handle_closed(world.now, peer.conn, "closed");
        let other = world.proved();
        assert_eq!(world.turn(other, &resume(&id, 0)), failed("item-not-found"));
        assert_eq!(world.turn(other, &resume("x", 0)), failed("item-not-found"));
        let no_count = "<resume xmlns='urn:xmpp:sm:3' previd='x'/>";
        assert_eq!(world.turn(other, no_count), failed("bad-request"));
        // More than was ever sent; then as it should be.
        let (peer, id) = enabled(world);
        world.server.handle_closed(world.now, peer.conn, "reset");
        let written = world.turn(other, &resume(&id, 7));
        assert!(written.contains("<handled-count-too-high "), "{written}");
        assert!(world.turn(other, &resume(&id, 0)).starts_with("<resumed "));
        // Too late.
        let (peer, id) = enabled(world);
        world.server.handle_closed(world.now, peer.conn, "reset");
        world.pass(world.server.cx.config.c2s.resume_seconds * 1000);
        let other = world.proved();
        assert_eq!(world.turn(other, &resume(&id, 0)), failed("item-not-found"));
    });
}

/// Who has not proved that it is the same server does not get its stream.
#[test]
fn not_by_somebody_else() {
    twice(plain, |world| {
        let (peer, id) = enabled(world);
        let thief = world.accept();
        world.turn(thief, &OPEN.replace("remote.example", "other.example"));
        world.turn(thief, &KEY.replace("remote.example", "other.example"));
        world.verified(thief, "other.example", "localhost", Verdict::Valid);
        assert_eq!(world.turn(thief, &resume(&id, 0)), failed("item-not-found"));
        assert_eq!(world.turn(peer, &format!("{PING}{ASK}")), handled(1), "untouched");
        world.server.handle_closed(world.now, peer.conn, "reset");
        assert_eq!(world.turn(thief, &resume(&id, 0)), failed("item-not-found"));
    });
}

#[test]
fn streams_of_both_directions_are_counted_and_not_resumed() {
    twice(plain, |world| {
        let peer = world.proved();
        world.turn(peer, BIDI);
        assert_eq!(world.turn(peer, ENABLE), "<enabled xmlns='urn:xmpp:sm:3'/>");
        let written = world.turn(peer, &format!("{PING}{ASK}"));
        assert!(written.starts_with(&handled(1)), "{written}");
        let (peer, id) = enabled(world);
        world.turn(peer, BIDI);
        world.server.handle_closed(world.now, peer.conn, "reset");
        let other = world.proved();
        assert_eq!(world.turn(other, &resume(&id, 0)), failed("item-not-found"));
    });
}

#[test]
fn lost_streams_are_bounded() {
    let change = |config: &mut Config| {
        plain(config);
        config.limits.connections_per_address = 0;
    };
    let mut world = World::new(change, false);
    let ids: Vec<_> = (0..9)
        .map(|_| {
            let (peer, id) = enabled(&mut world);
            world.server.handle_closed(world.now, peer.conn, "reset");
            id
        })
        .collect();
    let peer = world.proved();
    assert_eq!(world.turn(peer, &resume(&ids[0], 0)), failed("item-not-found"));
    assert!(world.turn(peer, &resume(&ids[1], 0)).starts_with("<resumed "));
}
