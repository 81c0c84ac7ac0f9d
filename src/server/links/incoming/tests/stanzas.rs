//! What may come in (advisory a11).

use super::*;

#[test]
fn advisory_a11_only_proved_pairs() {
    for (from, to, condition) in [
        ("juliet@remote.example", "juliet@other.example", "invalid-from"),
        ("juliet@remote.example", "juliet@rooms.remote.example", "invalid-from"),
        ("juliet@remote.example", "romeo@localhost", "invalid-from"),
        ("to='localhost'", "to='conference.localhost'", "invalid-from"),
        ("to='localhost'", "to='romeo@nowhere.example'", "host-unknown"),
        ("to='localhost'", "to='juliet@remote.example'", "host-unknown"),
        (" to='localhost'", "", "improper-addressing"),
        (" from='juliet@remote.example/x'", "", "improper-addressing"),
        ("juliet@remote.example/x", "@", "improper-addressing"),
        ("to='localhost'", "to='@'", "improper-addressing"),
    ] {
        twice(plain, |world| {
            let peer = world.proved();
            let written = world.turn(peer, &PING.replace(from, to));
            world.ends(peer, &written, condition);
            assert_eq!(world.answers("localhost", "remote.example"), 0);
        });
    }
}

/// What another stream has proved is not proved on this one.
#[test]
fn advisory_a11_on_this_very_stream() {
    twice(plain, |world| {
        world.proved();
        let peer = world.accept();
        world.turn(peer, OPEN);
        let written = world.turn(peer, PING);
        world.ends(peer, &written, "not-authorized");
    });
}

#[test]
fn stanzas_of_the_wrong_form_are_answered() {
    twice(plain, |world| {
        let peer = world.proved();
        assert_eq!(world.turn(peer, &PING.replace("'get'", "'what'")), "");
        assert_eq!(world.answers("localhost", "remote.example"), 1);
        // The stream goes on.
        assert_eq!(world.turn(peer, PING), "");
        assert_eq!(world.answers("localhost", "remote.example"), 2);
    });
}

/// What was not stored is not acknowledged: the stream ends, and is not resumed.
#[test]
fn a_commit_that_fails() {
    twice(plain, |world| {
        let peer = world.proved();
        let enable = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
        assert!(world.turn(peer, enable).starts_with("<enabled "));
        let stranger = world.accept();
        let cx = &mut world.server.cx;
        let romeo = BareJid::parse("romeo@localhost").expect("an address");
        let (storage, entropy) = (&mut cx.storage, &mut *cx.entropy);
        crate::accounts::add(storage, &cx.config, entropy, &romeo, "secret").expect("an account");
        storage.commit().expect("stored");
        storage.inject(crate::storage::Fault::LoseCommit(1));
        let message = "<message from='juliet@remote.example/x' to='romeo@localhost'>\
                       <body>kept until he comes</body></message>";
        let ask = "<r xmlns='urn:xmpp:sm:3'/>";
        let input = format!("{message}{ask}");
        world.server.handle_input(world.now, peer.conn, input.as_bytes());
        world.server.handle_input(world.now, stranger.conn, OPEN.as_bytes());
        let written = world.finish_turn(peer);
        assert!(!written.contains("<a "), "{written}");
        world.ends(peer, &written, "internal-server-error");
        assert!(world.written(stranger).contains("<stream:features>"));
    });
}

#[test]
fn both_directions() {
    twice(plain, |world| {
        let peer = world.accept();
        assert!(world.turn(peer, OPEN).contains("<bidi xmlns='urn:xmpp:features:bidi'/>"));
        assert_eq!(world.turn(peer, &format!("{BIDI}{KEY}")), "");
        let written = world.verified(peer, "remote.example", "localhost", Verdict::Valid);
        assert!(written.starts_with(VALID), "{written}");
        assert!(world.server.incoming(peer.id).is_some_and(|part| part.is_bidi));
        // The answer comes over the same stream; that of another pair does not.
        let pong = "<iq from='localhost' type='result' id='p' to='juliet@remote.example/x'/>";
        assert_eq!(world.turn(peer, PING), pong);
        assert_eq!(world.turn(peer, KEY_ROOMS), "");
        let rooms = "conference.localhost";
        let written = world.verified(peer, "remote.example", rooms, Verdict::Valid);
        assert!(written.contains(" type='valid'/>"), "{written}");
        let written = world.turn(peer, &PING.replace("'localhost'", "'conference.localhost'"));
        assert!(written.contains(" from='conference.localhost' "), "{written}");
    });
    // By EXTERNAL: not before the features of the last stream.
    twice(plain, |world| {
        let (peer, _) = world.secure(&["remote.example"]);
        let written = world.turn(peer, &format!("{BIDI}{AUTH}"));
        assert_eq!(written, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        assert!(world.turn(peer, OPEN).ends_with("</stream:features>"));
        assert!(world.turn(peer, PING).starts_with("<iq from='localhost' type='result' "));
    });
    // Asked for late.
    twice(plain, |world| {
        let peer = world.proved();
        assert_eq!(world.turn(peer, PING), "");
        let written = world.turn(peer, BIDI);
        assert!(written.starts_with("<iq from='localhost' type='result' "), "{written}");
    });
    // What was said in the clear counts for nothing.
    twice(plain, |world| {
        let peer = world.accept();
        world.turn(peer, &format!("{OPEN}{BIDI}"));
        world.turn(peer, STARTTLS);
        world.handshake(peer, &[]);
        assert!(world.turn(peer, OPEN).contains("<bidi xmlns='urn:xmpp:features:bidi'/>"));
        assert!(!world.server.incoming(peer.id).is_some_and(|part| part.is_bidi));
    });
}
