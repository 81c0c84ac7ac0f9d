//! Headers and features.

use super::*;

#[test]
fn our_header_and_features() {
    twice(
        |_| {},
        |world| {
            let peer = world.accept();
            let written = world.turn(peer, OPEN);
            let id = stream_id(&written);
            assert_eq!(id.len(), 32);
            let header = format!(
                "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
                 xmlns:stream='http://etherx.jabber.org/streams' \
                 xmlns:db='jabber:server:dialback' from='localhost' to='remote.example' \
                 id='{id}' version='1.0' xml:lang='en'><stream:features>\
                 <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
                 <c xmlns='http://jabber.org/protocol/caps'"
            );
            assert!(written.starts_with(&header), "{written}");
            let other = world.accept();
            assert_ne!(stream_id(&world.turn(other, OPEN)), id);
        },
    );
}

#[test]
fn features_follow_the_policy() {
    let dialback = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
    let external = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                    <mechanism>EXTERNAL</mechanism></mechanisms>";
    for (verify, names, has_external, has_dialback) in [
        (Verify::Dialback, "remote.example", true, true),
        (Verify::Dialback, "other.example", false, true),
        (Verify::Certificate, "remote.example", true, false),
        (Verify::Certificate, "other.example", false, false),
        (Verify::Both, "remote.example", false, true),
    ] {
        twice(policy(verify), |world| {
            let (_, features) = world.secure(&[names]);
            assert_eq!(features.contains(external), has_external, "{verify:?}: {features}");
            assert_eq!(features.contains(dialback), has_dialback, "{verify:?}: {features}");
            assert!(features.contains("<bidi xmlns='urn:xmpp:features:bidi'/>"), "{features}");
            assert!(!features.contains("<starttls"), "{features}");
        });
    }
    twice(plain, |world| {
        let peer = world.accept();
        let features = world.turn(peer, OPEN);
        assert!(features.contains("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
        assert!(features.contains(dialback) && !features.contains("mechanisms"), "{features}");
    });
}

#[test]
fn wrong_headers() {
    for (from, to, condition) in [
        ("to='localhost'", "to='nowhere.example'", "host-unknown"),
        ("to='localhost'", "to='a@localhost'", "host-unknown"),
        ("to='localhost'", "to='@'", "improper-addressing"),
        ("to='localhost'", "", "improper-addressing"),
        ("from='remote.example'", "from='a@remote.example'", "invalid-from"),
        ("from='remote.example'", "from='@'", "invalid-from"),
        ("'jabber:server'", "'jabber:client'", "invalid-namespace"),
        ("'http://etherx.jabber.org/streams'", "'urn:x'", "invalid-namespace"),
    ] {
        twice(plain, |world| {
            let peer = world.accept();
            let written = world.turn(peer, &OPEN.replace(from, to));
            assert!(written.starts_with("<?xml version='1.0'?><stream:stream "), "{written}");
            assert!(!written.contains("<stream:features>"), "{written}");
            world.ends(peer, &written, condition);
        });
    }
}

#[test]
fn an_error_has_our_header_before_it() {
    twice(plain, |world| {
        let peer = world.accept();
        let written = world.turn(peer, "<!DOCTYPE x>");
        assert!(written.starts_with("<?xml version='1.0'?><stream:stream "), "{written}");
        world.ends(peer, &written, "restricted-xml");
    });
}

#[test]
fn names_may_be_missing_or_ours_of_any_kind() {
    twice(plain, |world| {
        for (from, to) in [
            (" from='remote.example'", ""),
            ("to='localhost'", "to='conference.localhost'"),
            ("to='localhost'", "to='gateway.localhost'"),
        ] {
            world.server.cx.peers.set_component("gateway.localhost", None);
            let peer = world.accept();
            let written = world.turn(peer, &OPEN.replace(from, to));
            assert!(written.contains("<stream:features>"), "{to}: {written}");
        }
    });
}

/// RFC 6120 §4.7.5: no version, no features; dialback all the same.
#[test]
fn before_xmpp_1_0() {
    twice(plain, |world| {
        let peer = world.accept();
        let open = OPEN.replace(" to='localhost' version='1.0'", "");
        let written = world.turn(peer, &open);
        assert!(!written.contains("features") && !written.contains(" version='1.0' "), "{written}");
        assert!(written.contains(" from='localhost' "), "{written}");
        assert_eq!(world.turn(peer, KEY), "");
        assert_eq!(world.verified(peer, "remote.example", "localhost", Verdict::Valid), VALID);
    });
    twice(
        |_| {},
        |world| {
            let peer = world.accept();
            world.turn(peer, &OPEN.replace(" version='1.0'", ""));
            let want = refused("localhost", "remote.example", "modify", "policy-violation");
            assert_eq!(world.turn(peer, KEY), want);
        },
    );
}

#[test]
fn starttls_at_the_wrong_time() {
    twice(plain, |world| {
        let peer = world.proved();
        let written = world.turn(peer, STARTTLS);
        assert!(written.starts_with("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
        world.ends(peer, &written, "not-authorized");
        let (peer, _) = world.secure(&["remote.example"]);
        let written = world.turn(peer, STARTTLS);
        world.ends(peer, &written, "not-authorized");
    });
}

#[test]
fn nothing_follows_starttls() {
    let mut world = World::new(plain, false);
    let peer = world.accept();
    world.turn(peer, OPEN);
    let written = world.turn(peer, &format!("{STARTTLS}{OPEN}"));
    world.ends(peer, &written, "policy-violation");
}

#[test]
fn the_domain_of_a_stream_stays() {
    twice(plain, |world| {
        let (authority, own) = certificate(&["remote.example"]);
        world.server.cx.trust = Rc::new(Trust::from_pem(&authority).expect("an authority"));
        let peer = world.accept();
        world.turn(peer, OPEN);
        world.turn(peer, STARTTLS);
        world.handshake(peer, &[own]);
        let written = world.turn(peer, &OPEN.replace("'localhost'", "'conference.localhost'"));
        world.ends(peer, &written, "not-authorized");
    });
}

#[test]
fn direct_tls() {
    twice(
        |_| {},
        |world| {
            let (authority, own) = certificate(&["remote.example"]);
            world.server.cx.trust = Rc::new(Trust::from_pem(&authority).expect("an authority"));
            let peer = world.try_accept(true).expect("not refused");
            world.handshake(peer, &[own]);
            let features = world.turn(peer, OPEN);
            assert!(features.contains("<mechanism>EXTERNAL</mechanism>"), "{features}");
        },
    );
}

#[test]
fn the_end_of_the_stream_is_answered() {
    twice(plain, |world| {
        let peer = world.proved();
        assert_eq!(world.turn(peer, "</stream:stream>"), "</stream:stream>");
        assert_eq!(world.closed(), [peer.conn]);
        let other = world.proved();
        let error = "<stream:error><system-shutdown \
                     xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        assert_eq!(world.turn(other, error), "</stream:stream>");
    });
}

#[test]
fn strange_elements() {
    twice(plain, |world| {
        let peer = world.proved();
        let written = world.turn(peer, "<strange xmlns='urn:x'/>");
        world.ends(peer, &written, "unsupported-stanza-type");
        let peer = world.accept();
        world.turn(peer, OPEN);
        let written = world.turn(peer, &format!("{OPEN}</stream:stream>"));
        world.ends(peer, &written, "unsupported-stanza-type");
    });
}
