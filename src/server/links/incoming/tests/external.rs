//! SASL EXTERNAL.

use super::*;

const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

fn failure(condition: &str) -> String {
    format!("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/></failure>")
}

#[test]
fn the_certificate_is_enough() {
    // Nothing, an empty identity, the domain of the header.
    for identity in ["=", "", "cmVtb3RlLmV4YW1wbGU="] {
        twice(
            |_| {},
            |world| {
                let (peer, _) = world.secure(&["remote.example"]);
                let auth = AUTH.replace(">=<", &format!(">{identity}<"));
                assert_eq!(world.turn(peer, &auth), SUCCESS);
                let features = world.turn(peer, OPEN);
                assert!(features.contains("<sm xmlns='urn:xmpp:sm:3'/>"), "{features}");
                assert!(!features.contains("mechanism"), "{features}");
                assert_eq!(world.turn(peer, PING), "");
                assert_eq!(world.answers("localhost", "remote.example"), 1);
            },
        );
    }
}

/// The pair of the header, no other (XEP-0288 §2.2, advisory a11); more by dialback.
#[test]
fn other_pairs_take_a_key() {
    twice(
        |_| {},
        |world| {
            let (peer, _) = world.secure(&["remote.example", "rooms.remote.example"]);
            world.turn(peer, AUTH);
            world.turn(peer, OPEN);
            assert_eq!(
                world.turn(peer, KEY_ROOMS),
                VALID.replace("'localhost'", "'conference.localhost'")
            );
            let key = KEY.replace("'remote.example'", "'rooms.remote.example'");
            let valid = VALID.replace("'remote.example'", "'rooms.remote.example'");
            assert_eq!(world.turn(peer, &key), valid);
            let ping = PING.replace("juliet@remote.example", "room@rooms.remote.example");
            assert_eq!(world.turn(peer, &ping), "");
            assert_eq!(world.answers("localhost", "rooms.remote.example"), 1);
            let ping = ping.replace("'localhost'", "'conference.localhost'");
            let written = world.turn(peer, &ping);
            world.ends(peer, &written, "invalid-from");
        },
    );
}

#[test]
fn attempts_that_fail() {
    for (auth, condition) in [
        (AUTH.replace("EXTERNAL", "PLAIN"), "invalid-mechanism"),
        (AUTH.replace(" mechanism='EXTERNAL'", ""), "invalid-mechanism"),
        (AUTH.replace(">=<", ">!<"), "incorrect-encoding"),
        // other.example; octets that are no text; no address.
        (AUTH.replace(">=<", ">b3RoZXIuZXhhbXBsZQ==<"), "invalid-authzid"),
        (AUTH.replace(">=<", ">//8=<"), "invalid-authzid"),
        (AUTH.replace(">=<", ">QA==<"), "invalid-authzid"),
        ("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".to_owned(), "aborted"),
    ] {
        twice(
            |_| {},
            |world| {
                let (peer, _) = world.secure(&["remote.example"]);
                assert_eq!(world.turn(peer, &auth), failure(condition));
                assert_eq!(world.turn(peer, &auth), failure(condition));
                assert_eq!(world.turn(peer, AUTH), SUCCESS, "another attempt");
            },
        );
    }
}

#[test]
fn attempts_are_counted() {
    twice(
        |_| {},
        |world| {
            let (peer, _) = world.secure(&["other.example"]);
            for _ in 0..2 {
                assert_eq!(world.turn(peer, AUTH), failure("not-authorized"));
            }
            let written = world.turn(peer, AUTH);
            world.ends(peer, &written, "policy-violation");
        },
    );
}

#[test]
fn who_may_not_try() {
    twice(plain, |world| {
        let peer = world.accept();
        world.turn(peer, OPEN);
        assert_eq!(world.turn(peer, AUTH), failure("encryption-required"));
    });
    twice(policy(Verify::Both), |world| {
        let (peer, _) = world.secure(&["remote.example"]);
        assert_eq!(world.turn(peer, AUTH), failure("not-authorized"));
    });
    // One of our own names, a header without a name, and dialback that has begun.
    twice(
        |_| {},
        |world| {
            let (authority, own) = certificate(&["conference.localhost", "remote.example"]);
            world.server.cx.trust = Rc::new(Trust::from_pem(&authority).expect("an authority"));
            for from in ["from='conference.localhost'", ""] {
                let peer = world.try_accept(true).expect("not refused");
                world.handshake(peer, std::slice::from_ref(&own));
                let features = world.turn(peer, &OPEN.replace("from='remote.example'", from));
                assert!(!features.contains("EXTERNAL"), "{features}");
                assert_eq!(world.turn(peer, AUTH), failure("not-authorized"));
            }
            let peer = world.try_accept(true).expect("not refused");
            world.handshake(peer, &[own]);
            world.turn(peer, OPEN);
            assert_eq!(world.turn(peer, KEY), VALID);
            assert_eq!(world.turn(peer, AUTH), failure("not-authorized"));
        },
    );
}

#[test]
fn the_name_of_a_stream_stays() {
    twice(
        |_| {},
        |world| {
            let (peer, _) = world.secure(&["remote.example", "other.example"]);
            world.turn(peer, AUTH);
            let written = world.turn(peer, &OPEN.replace("remote.example", "other.example"));
            world.ends(peer, &written, "invalid-from");
            let (peer, _) = world.secure(&["remote.example"]);
            world.turn(peer, AUTH);
            let written = world.turn(peer, &OPEN.replace(" from='remote.example'", ""));
            assert!(written.contains("<stream:features>"), "{written}");
            assert_eq!(world.turn(peer, PING), "");
        },
    );
}
