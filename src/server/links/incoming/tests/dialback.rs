//! Keys, and requests whether keys are ours.

use super::*;
use crate::dns::Resolver;
use crate::stream::s2s;

#[test]
fn a_key_is_valid_invalid_or_not_known() {
    twice(plain, |world| {
        let peer = world.proved();
        world.turn(peer, PING);
        assert_eq!(world.answers("localhost", "remote.example"), 1);

        let peer = world.accept();
        world.turn(peer, OPEN);
        assert_eq!(world.turn(peer, KEY), "");
        let want = refused("localhost", "remote.example", "cancel", "remote-server-not-found");
        assert_eq!(world.verified(peer, "remote.example", "localhost", Verdict::Unknown), want);
        assert!(!world.closed().contains(&peer.conn));

        assert_eq!(world.turn(peer, KEY), "");
        let written = world.verified(peer, "remote.example", "localhost", Verdict::Invalid);
        let invalid = VALID.replace("'valid'", "'invalid'");
        assert_eq!(written, format!("{invalid}</stream:stream>"));
        assert!(world.closed().contains(&peer.conn));
    });
}

/// The name service may know at once that there is no such domain.
#[test]
fn the_key_of_a_domain_that_is_not_found() {
    twice(plain, |world| {
        world.server.dns = Resolver::default();
        let peer = world.accept();
        world.turn(peer, OPEN);
        let key = KEY.replace("remote.example", "nowhere.example");
        let want = refused("localhost", "nowhere.example", "cancel", "remote-server-not-found");
        assert_eq!(world.turn(peer, &key), want);
    });
}

#[test]
fn an_error_of_one_pair_keeps_the_others() {
    twice(plain, |world| {
        let peer = world.proved();
        assert_eq!(world.turn(peer, KEY_ROOMS), "");
        let want = refused("conference.localhost", "remote.example", "auth", "forbidden");
        let ours = "conference.localhost";
        assert_eq!(world.verified(peer, "remote.example", ours, Verdict::Invalid), want);
        let unknown = KEY.replace("'localhost'", "'nowhere.example'");
        let want = refused("nowhere.example", "remote.example", "cancel", "item-not-found");
        assert_eq!(world.turn(peer, &unknown), want);
        let forged = KEY.replace("'remote.example'", "'conference.localhost'");
        let want = refused("localhost", "conference.localhost", "modify", "not-acceptable");
        assert_eq!(world.turn(peer, &forged), want);
        world.turn(peer, PING);
        assert_eq!(world.answers("localhost", "remote.example"), 1);
    });
}

#[test]
fn several_pairs_on_one_stream() {
    twice(plain, |world| {
        let peer = world.accept();
        world.turn(peer, OPEN);
        let third = KEY.replace("remote.example", "rooms.remote.example");
        assert_eq!(world.turn(peer, &format!("{KEY}{KEY_ROOMS}{third}")), "");
        // Two of one pair: one answer.
        assert_eq!(world.turn(peer, KEY), "");
        let theirs = "rooms.remote.example";
        let valid = VALID.replace("'remote.example'", "'rooms.remote.example'");
        assert_eq!(world.verified(peer, theirs, "localhost", Verdict::Valid), valid);
        assert_eq!(world.verified(peer, "remote.example", "localhost", Verdict::Valid), VALID);
        assert_eq!(world.verified(peer, "remote.example", "localhost", Verdict::Valid), "");
        let valid = VALID.replace("'localhost'", "'conference.localhost'");
        let ours = "conference.localhost";
        assert_eq!(world.verified(peer, "remote.example", ours, Verdict::Valid), valid);
        // What is proved is proved.
        assert_eq!(world.turn(peer, KEY), VALID);
    });
}

/// The table of the policies.
#[test]
fn what_a_key_is_worth_over_tls() {
    use Verify::{Both, Certificate, Dialback};
    let refusal = refused("localhost", "remote.example", "auth", "not-authorized");
    for (verify, is_good, want) in [
        (Dialback, true, VALID),
        (Dialback, false, ""),
        (Certificate, true, VALID),
        (Certificate, false, &*refusal),
        (Both, true, ""),
        (Both, false, &*refusal),
    ] {
        twice(policy(verify), |world| {
            let names = if is_good { "remote.example" } else { "other.example" };
            let (peer, _) = world.secure(&[names]);
            assert_eq!(world.turn(peer, KEY), want, "{verify:?}");
            let verdict = world.verified(peer, "remote.example", "localhost", Verdict::Valid);
            assert_eq!(verdict, if want.is_empty() { VALID } else { "" }, "{verify:?}");
        });
    }
    for verify in [Dialback, Certificate, Both] {
        twice(policy(verify), |world| {
            let peer = world.accept();
            world.turn(peer, OPEN);
            let want = refused("localhost", "remote.example", "modify", "policy-violation");
            assert_eq!(world.turn(peer, KEY), want, "{verify:?} without TLS");
        });
    }
    for verify in [Certificate, Both] {
        let change = |config: &mut Config| {
            config.s2s.require_tls = false;
            config.s2s.verify = verify;
        };
        twice(change, |world| {
            let peer = world.accept();
            world.turn(peer, OPEN);
            let want = refused("localhost", "remote.example", "modify", "policy-violation");
            assert_eq!(world.turn(peer, KEY), want, "{verify:?} without TLS");
        });
    }
}

fn verify(to: &str, id: &str, key: &str) -> String {
    format!("<db:verify from='remote.example' to='{to}' id='{id}'>{key}</db:verify>")
}

/// XEP-0220 §2.2.2: anybody may ask, at any time, before TLS too.
#[test]
fn requests_whether_a_key_is_ours() {
    twice(
        |_| {},
        |world| {
            let cx = &mut world.server.cx;
            let secret = cx.storage.secret(s2s::DIALBACK_SECRET, &mut *cx.entropy);
            let secret = secret.expect("a secret");
            let key = s2s::dialback_key(&secret, "remote.example", "localhost", "abc");
            let answer = |id: &str, kind: &str| {
                format!("<db:verify from='localhost' to='remote.example' id='{id}' type='{kind}'/>")
            };
            let peer = world.accept();
            world.turn(peer, OPEN);
            let ask =
                |world: &mut World, id, key: &str| world.turn(peer, &verify("localhost", id, key));
            assert_eq!(ask(world, "abc", &key), answer("abc", "valid"));
            assert_eq!(ask(world, "abc", &format!("\n  {key}\n")), answer("abc", "valid"));
            assert_eq!(ask(world, "abd", &key), answer("abd", "invalid"));
            assert_eq!(ask(world, "abc", &key[1..]), answer("abc", "invalid"));
            assert_eq!(ask(world, "abc", ""), answer("abc", "invalid"));
            let other = world.turn(peer, &verify("conference.localhost", "abc", &key));
            assert!(other.contains("type='invalid'"), "{other}");
            let other = world.turn(peer, &verify("nowhere.example", "abc", &key));
            let want = "<db:verify from='nowhere.example' to='remote.example' id='abc' \
                        type='error'><error type='cancel'><item-not-found \
                        xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:verify>";
            assert_eq!(other, want);
            world.server.handle_shutdown(world.now, "test");
            world.finish_turn(peer);
            assert_eq!(ask(world, "abc", &key), answer("abc", "valid"), "at the shutdown too");
            let late = world.try_accept(false).expect("not refused at the shutdown");
            world.turn(late, OPEN);
            let asked = world.turn(late, &verify("localhost", "abc", &key));
            assert_eq!(asked, answer("abc", "valid"));
        },
    );
}

#[test]
fn dialback_without_addresses() {
    for wrong in [
        "<db:result from='remote.example'>key</db:result>",
        "<db:result to='localhost'>key</db:result>",
        "<db:verify from='remote.example' id='x'>key</db:verify>",
        "<db:result from='a@remote.example' to='localhost'>key</db:result>",
        "<db:result from='remote.example' to='@'>key</db:result>",
    ] {
        twice(plain, |world| {
            let peer = world.accept();
            world.turn(peer, OPEN);
            let written = world.turn(peer, wrong);
            world.ends(peer, &written, "improper-addressing");
        });
    }
}

/// Advisory a08: nothing was asked over this stream, nothing is answered on it.
#[test]
fn advisory_a08_unsolicited_results() {
    let valid = "<db:result from='remote.example' to='localhost' type='valid'/>";
    let verified = "<db:verify from='remote.example' to='localhost' id='x' type='valid'/>";
    for forged in [valid, verified] {
        twice(plain, |world| {
            let peer = world.accept();
            world.turn(peer, OPEN);
            assert_eq!(world.turn(peer, forged), "");
            // With a key on its way, too.
            assert_eq!(world.turn(peer, KEY), "");
            assert_eq!(world.turn(peer, forged), "");
            let written = world.turn(peer, PING);
            world.ends(peer, &written, "not-authorized");
            let peer = world.proved();
            assert_eq!(world.turn(peer, BIDI), "");
            let written = world.turn(peer, forged);
            world.ends(peer, &written, "policy-violation");
        });
    }
}

/// Advisory a08: a verdict counts for the pair that was asked about, on its link, once.
#[test]
fn advisory_a08_mismatched_verdicts() {
    twice(plain, |world| {
        let (peer, other) = (world.accept(), world.accept());
        world.turn(peer, OPEN);
        world.turn(other, OPEN);
        assert_eq!(world.turn(peer, KEY), "");
        for (theirs, ours) in
            [("other.example", "localhost"), ("remote.example", "conference.localhost")]
        {
            assert_eq!(world.verified(peer, theirs, ours, Verdict::Valid), "");
        }
        assert_eq!(world.verified(other, "remote.example", "localhost", Verdict::Valid), "");
        let written = world.turn(other, PING);
        world.ends(other, &written, "not-authorized");
        let written = world.turn(peer, PING);
        world.ends(peer, &written, "not-authorized");
        // Too late: the stream is over.
        assert_eq!(world.verified(peer, "remote.example", "localhost", Verdict::Valid), "");
        assert_eq!(world.answers("localhost", "remote.example"), 0);
    });
}

#[test]
fn internationalised_domains_are_one_whatever_their_form() {
    twice(plain, |world| {
        let open = OPEN.replace("remote.example", "xn--bcher-kva.example");
        let peer = world.accept();
        world.turn(peer, &open);
        let key = KEY.replace("remote.example", "xn--bcher-kva.example");
        assert_eq!(world.turn(peer, &key), "");
        // The answer has the names of the question.
        let valid = VALID.replace("remote.example", "xn--bcher-kva.example");
        assert_eq!(world.verified(peer, "bücher.example", "localhost", Verdict::Valid), valid);
        assert_eq!(world.turn(peer, &PING.replace("remote.example", "BÜCHER.example")), "");
        assert_eq!(world.answers("localhost", "bücher.example"), 1);
    });
}
