//! Logins, right and wrong.

use super::*;

#[test]
fn no_login_before_tls_where_it_is_required() {
    let mut peer = Peer::new(config(), true, None);
    peer.open(None).unwrap();
    peer.output();
    assert!(matches!(peer.send(auth("PLAIN", "\0alice\0pencil")), Ok(Step::Continue)));
    assert_eq!(peer.output(), failure("encryption-required"));
    let query = Element::new("query", ns::REGISTER);
    assert_eq!(peer.send(iq("get", query)).err(), Some(StreamCondition::NotAuthorized));
}

#[test]
fn cleartext_login_where_it_is_allowed() {
    let mut config = config();
    config.c2s.require_tls = false;
    let mut peer = Peer::new(config, false, None);
    peer.open(None).unwrap();
    assert!(matches!(peer.send(auth("PLAIN", "\0alice\0pencil")), Ok(Step::CheckPassword)));
    assert!(matches!(peer.check_password(), Ok(Step::Authenticated)));
}

#[test]
fn plain() {
    let mut peer = Peer::secure();
    let message = "alice@localhost\0Alice\0pencil";
    assert!(matches!(peer.send(auth("PLAIN", message)), Ok(Step::CheckPassword)));
    // Nothing is looked at while the check waits.
    assert_eq!(peer.send(bind(None)).err(), Some(StreamCondition::PolicyViolation));
    assert!(matches!(peer.check_password(), Ok(Step::Authenticated)));
    assert_eq!(peer.output(), format!("<success xmlns='{}'/>", ns::SASL));
    assert_eq!(peer.negotiation.account().map(BareJid::as_str), Some("alice@localhost"));
    assert!(!peer.negotiation.is_open());
}

#[test]
fn plain_without_initial_response() {
    let mut peer = Peer::secure();
    assert_eq!(
        peer.challenge_empty("PLAIN"),
        "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
    );
    assert!(matches!(peer.send(response("\0alice\0pencil")), Ok(Step::CheckPassword)));
    assert!(matches!(peer.check_password(), Ok(Step::Authenticated)));
}

#[test]
fn plain_failures_are_held_back() {
    for (name, password, account) in [
        ("alice", "pencils", Some("alice@localhost")),
        ("nobody", "pencil", Some("nobody@localhost")),
        ("carol\u{e000}", "pencil", None),
        ("alice", "\u{7}", Some("alice@localhost")),
    ] {
        let mut peer = Peer::secure();
        peer.send(auth("PLAIN", &format!("\0{name}\0{password}"))).unwrap();
        let step = peer.check_password();
        let Ok(Step::LoginFailed { account: got }) = step else { panic!("{step:?}") };
        if account.is_some() {
            assert_eq!(got.as_ref().map(BareJid::as_str), account);
        }
        assert_eq!(peer.output(), "");
        assert_eq!(peer.send_failure().as_deref(), Ok(failure("not-authorized").as_str()));
        // Once only, and then the next attempt is free.
        assert_eq!(peer.send_failure().as_deref(), Ok(""));
        peer.send(auth("PLAIN", "\0alice\0pencil")).unwrap();
        assert!(matches!(peer.check_password(), Ok(Step::Authenticated)));
    }
}

#[test]
fn scram_logs_in() {
    for (hash, name) in [(ScramHash::Sha1, "SCRAM-SHA-1"), (ScramHash::Sha256, "SCRAM-SHA-256")] {
        let client = Client::new(hash, "alice", "pencil");
        assert!(matches!(Peer::secure().scram(name, &client), Ok(Step::Authenticated)));
        let client = client.bound("p=tls-exporter,a=alice@localhost,", EXPORTED);
        let mut peer = Peer::secure();
        let step = peer.scram(&format!("{name}-PLUS"), &client);
        assert!(matches!(step, Ok(Step::Authenticated)));
        assert_eq!(peer.negotiation.account().map(BareJid::as_str), Some("alice@localhost"));
    }
    // Without an initial response the server asks for the first message.
    let client = Client::new(ScramHash::Sha1, "alice", "pencil");
    let mut peer = Peer::secure();
    peer.challenge_empty("SCRAM-SHA-1");
    peer.send(response(&client.first())).unwrap();
    assert!(peer.output().contains("<challenge "));
    assert!(matches!(peer.send(response("c=biws,r=x,p=")), Ok(Step::LoginFailed { .. })));
}

#[test]
fn advisory_a13_unknown_users_look_like_known_ones() {
    let client = |name: &str| Client::new(ScramHash::Sha256, name, "pencil");
    let salt = |name: &str| {
        let first = Peer::secure().challenge("SCRAM-SHA-256", &client(name).first());
        let mut parts = first.split(',').skip(1).map(str::to_owned);
        (parts.next().unwrap(), parts.next().unwrap())
    };
    let (known, unknown) = (salt("alice"), salt("nobody"));
    assert_eq!(known.0.len(), unknown.0.len());
    assert_eq!(known.1, unknown.1);
    assert_eq!(unknown, salt("nobody"));
    assert_eq!(unknown, salt("NOBODY"));
    assert_ne!(unknown.0, salt("somebody").0);
    // Both end the same way, whatever the password.
    for name in ["alice", "nobody"] {
        let wrong = Client { password: "wrong".to_owned(), ..client(name) };
        let mut peer = Peer::secure();
        let step = peer.scram("SCRAM-SHA-256", &wrong);
        let Ok(Step::LoginFailed { account }) = step else { panic!("{step:?}") };
        assert_eq!(account.unwrap().local(), Some(name));
        assert_eq!(peer.output(), "");
        assert_eq!(peer.send_failure().as_deref(), Ok(failure("not-authorized").as_str()));
    }
}

#[test]
fn a_password_changed_during_the_exchange_is_refused() {
    let client = Client::new(ScramHash::Sha256, "carol", "pencil");
    let mut peer = Peer::secure();
    let server_first = peer.challenge("SCRAM-SHA-256", &client.first());
    peer.cx.now.mono_ms += 1;
    let (last, _) = client.last(&server_first);
    assert!(matches!(peer.send(response(&last)), Ok(Step::LoginFailed { .. })));
    let step = Peer::secure().scram("SCRAM-SHA-256", &client);
    assert!(matches!(step, Ok(Step::Authenticated)));
}

#[test]
fn a_replayed_proof_is_refused() {
    let client = Client::new(ScramHash::Sha256, "alice", "pencil");
    let mut peer = Peer::secure();
    let (last, _) = client.last(&peer.challenge("SCRAM-SHA-256", &client.first()));
    // The same client nonce, but another one of ours.
    peer.send(sasl("abort", "")).unwrap();
    peer.output();
    peer.challenge("SCRAM-SHA-256", &client.first());
    assert!(matches!(peer.send(response(&last)), Ok(Step::LoginFailed { .. })));
}

#[test]
fn errors_that_say_nothing_about_a_password_are_answered_at_once() {
    let check = |steps: &[Element], want: &str| {
        let mut peer = Peer::secure();
        for element in steps {
            peer.output();
            let step = peer.send(element.clone());
            assert!(matches!(step, Ok(Step::Continue)), "{element:?} {step:?}");
        }
        let output = peer.output();
        let start = format!("<failure xmlns='{}'><{want}/>", ns::SASL);
        assert!(output.starts_with(&start), "{want}: {output}");
        // The stream lives on.
        peer.send(auth("PLAIN", "\0alice\0pencil")).unwrap();
        assert!(matches!(peer.check_password(), Ok(Step::Authenticated)));
    };
    let raw = |text: &str| sasl("auth", text).with_attr("mechanism", "PLAIN");
    let begun = || auth("SCRAM-SHA-1", "n,,n=alice,r=abc");
    check(&[sasl("auth", "")], "invalid-mechanism");
    for name in ["EXTERNAL", "DIGEST-MD5", "plain", "", "SCRAM-SHA-1-plus"] {
        check(&[auth(name, "x")], "invalid-mechanism");
    }
    for text in ["==", "!", "AGE", "AGFsaWNlAHBlbmNpbA==\n", " "] {
        check(&[raw(text)], "incorrect-encoding");
    }
    check(&[raw("=")], "malformed-request");
    check(&[auth("PLAIN", "alice")], "malformed-request");
    check(&[auth("PLAIN", &"x".repeat(9000))], "malformed-request");
    check(&[raw("=").with_child(Element::new("x", "y"))], "malformed-request");
    check(&[auth("SCRAM-SHA-1", "x")], "malformed-request");
    check(&[auth("SCRAM-SHA-1", "n,,m=x,n=alice,r=abc")], "malformed-request");
    check(&[response("x")], "malformed-request");
    check(&[sasl("abort", "")], "malformed-request");
    check(&[begun(), begun()], "malformed-request");
    check(&[begun(), sasl("response", "=")], "incorrect-encoding");
    check(&[begun(), response("x")], "malformed-request");
    check(&[begun(), sasl("abort", "")], "aborted");
    check(&[auth("PLAIN", ""), sasl("abort", "")], "aborted");
    // Advisory a05, every mechanism.
    for authzid in ["bob@localhost", "alice@example.org", "alice@localhost/x", "@", "alice"] {
        check(&[auth("PLAIN", &format!("{authzid}\0alice\0pencil"))], "invalid-authzid");
        let first = |flag| format!("{flag},a={authzid},n=alice,r=abc");
        check(&[auth("SCRAM-SHA-1", &first("n"))], "invalid-authzid");
        check(&[auth("SCRAM-SHA-256-PLUS", &first("p=tls-exporter"))], "invalid-authzid");
    }
    // Storage is ill.
    check(&[auth("SCRAM-SHA-1", "n,,n=broken,r=abc")], "temporary-auth-failure");
}

#[test]
fn plain_with_ill_storage() {
    let mut peer = Peer::secure();
    peer.send(auth("PLAIN", "\0broken\0pencil")).unwrap();
    assert!(matches!(peer.check_password(), Ok(Step::Continue)));
    assert_eq!(peer.output(), failure("temporary-auth-failure"));
}

#[test]
fn downgrades_are_login_failures() {
    let mut peer = Peer::secure();
    let step = peer.send(auth("SCRAM-SHA-1", "y,,n=alice,r=abc"));
    assert!(matches!(step, Ok(Step::LoginFailed { account: Some(_) })));
    let output = peer.send_failure().unwrap();
    assert!(output.contains("<not-authorized/><text xml:lang='en'>server-does-support-ch"));
    // Over TLS 1.2 nothing was offered, so nothing was lost.
    let tls12 = TlsInfo { is_tls13: false, ..tls13() };
    let mut peer = Peer::new(config(), false, Some(tls12));
    peer.open(None).unwrap();
    peer.output();
    let client = Client::new(ScramHash::Sha1, "alice", "pencil").bound("y,,", b"");
    assert!(matches!(peer.scram("SCRAM-SHA-1", &client), Ok(Step::Authenticated)));
}

#[test]
fn too_many_failures_end_the_stream() {
    let mut peer = Peer::secure();
    for _ in 0..4 {
        peer.send(auth("EXTERNAL", "x")).unwrap();
    }
    peer.output();
    assert_eq!(peer.send(auth("EXTERNAL", "x")).err(), Some(StreamCondition::PolicyViolation));
    assert_eq!(peer.output(), failure("invalid-mechanism"));
    // Held back or not, they count together.
    let mut peer = Peer::secure();
    for round in 0..5 {
        let is_last = round == 4;
        if round % 2 == 0 {
            peer.send(auth("PLAIN", "\0alice\0wrong")).unwrap();
            peer.check_password().unwrap();
        } else {
            peer.negotiation.refuse_login(&auth("PLAIN", "x"));
        }
        assert_eq!(peer.send_failure().is_err(), is_last, "{round}");
    }
    assert_eq!(peer.output(), failure("not-authorized"));
}

#[test]
fn refused_logins_are_held_back() {
    let mut peer = Peer::secure();
    peer.negotiation.refuse_login(&auth("PLAIN", "x"));
    assert_eq!(peer.output(), "");
    assert_eq!(peer.send_failure().as_deref(), Ok(failure("temporary-auth-failure").as_str()));
    peer.send(auth("PLAIN", "\0alice\0pencil")).unwrap();
    assert!(matches!(peer.check_password(), Ok(Step::Authenticated)));
    // Too late for that.
    peer.negotiation.refuse_login(&auth("PLAIN", "x"));
    assert_eq!(peer.negotiation.account().map(BareJid::as_str), Some("alice@localhost"));
}

#[test]
fn no_sequence_of_elements_panics() {
    let mut dice = Dice(0xfeed);
    let client = Client::new(ScramHash::Sha1, "alice", "pencil");
    for _ in 0..300 {
        let mut peer = Peer::secure();
        let mut last = "c=biws,r=x,p=AAAA".to_owned();
        for _ in 0..20 {
            let message = match dice.roll(4) {
                0 => client.first(),
                1 => "\0alice\0pencil".to_owned(),
                2 => last.clone(),
                _ => String::from_utf8_lossy(&dice.mangle(client.first().as_bytes())).into(),
            };
            let mechanism = ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "X"][dice.roll(4)];
            let element = match dice.roll(8) {
                0 => bind(Some(&message)),
                1 => sasl("abort", ""),
                2 | 3 => response(&message),
                4 => sasl("response", &message),
                _ => auth(mechanism, &message),
            };
            let step = peer.send(element);
            let output = peer.output();
            if let Some(text) = output.split(['<', '>']).nth(2)
                && let Some(server_first) = base64::decode(text)
                && let Ok(server_first) = String::from_utf8(server_first)
                && server_first.starts_with(&format!("r={}", client.nonce))
            {
                last = client.last(&server_first).0;
            }
            let ended = match step {
                Ok(Step::CheckPassword) => {
                    peer.check_password().is_err() || peer.send_failure().is_err()
                }
                Ok(Step::LoginFailed { .. }) => peer.send_failure().is_err(),
                Ok(Step::Authenticated) => peer.open(None).is_err(),
                Ok(_) => false,
                Err(_) => true,
            };
            if !ended && !peer.negotiation.is_open() {
                peer.open(None).unwrap();
            }
            if ended {
                break;
            }
        }
    }
}
