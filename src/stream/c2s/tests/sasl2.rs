//! Logins by XEP-0388: what differs from those by RFC 6120.

use super::*;

pub const AGENT: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";

pub fn authenticate(mechanism: &str, message: &[u8]) -> Element {
    let initial = Element::new("initial-response", ns::SASL2).with_text(base64::encode(message));
    Element::new("authenticate", ns::SASL2).with_attr("mechanism", mechanism).with_child(initial)
}

pub fn agent(id: &str) -> Element {
    Element::new("user-agent", ns::SASL2).with_attr("id", id)
}

pub fn failure2(condition: &str) -> String {
    format!("<failure xmlns='{}'><{condition} xmlns='{}'/>", ns::SASL2, ns::SASL)
}

fn plain() -> Element {
    authenticate("PLAIN", b"\0alice\0pencil")
}

fn response2(message: &str) -> Element {
    Element::new("response", ns::SASL2).with_text(base64::encode(message.as_bytes()))
}

/// Sends what begins a login; what was granted.
pub fn granted(peer: &mut Peer, element: Element) -> Granted {
    let step = match peer.send(element) {
        Ok(Step::CheckPassword) => peer.check_password(),
        step => step,
    };
    match step {
        Ok(Step::Granted(granted)) => *granted,
        step => panic!("{step:?} {}", peer.output()),
    }
}

#[test]
fn a_success_and_the_features_follow_at_once() {
    let mut peer = Peer::secure();
    let granted = granted(&mut peer, plain());
    assert_eq!(granted.inline, Default::default());
    assert!(granted.token.is_none());
    assert_eq!(peer.output(), "");
    peer.negotiation.send_success(&mut peer.cx, peer.session, granted, None, Vec::new());
    let output = peer.output();
    let success = format!(
        "<success xmlns='{}'><authorization-identifier>alice@localhost\
         </authorization-identifier></success><stream:features><bind ",
        ns::SASL2
    );
    assert!(output.starts_with(&success), "{output}");
    // The stream goes on.
    assert!(matches!(peer.send(bind(Some("x"))), Ok(Step::Bind { .. })));
}

#[test]
fn scram_with_a_resource() {
    let mut peer = Peer::secure();
    let client =
        Client::new(ScramHash::Sha256, "alice", "pencil").bound("p=tls-exporter,,", EXPORTED);
    let step = peer.send(authenticate("SCRAM-SHA-256-PLUS", client.first().as_bytes()));
    assert!(matches!(step, Ok(Step::Continue)));
    let challenge = peer.output();
    let text = challenge
        .strip_prefix(&*format!("<challenge xmlns='{}'>", ns::SASL2))
        .and_then(|rest| rest.strip_suffix("</challenge>"))
        .expect("a challenge");
    let server_first = String::from_utf8(base64::decode(text).unwrap()).unwrap();
    let (last, verifier) = client.last(&server_first);
    let granted = granted(&mut peer, response2(&last));
    assert_eq!(granted.data.as_deref(), Some(verifier.as_bytes()));
    let full = crate::xmpp::Jid::parse("alice@localhost/x").unwrap();
    let results = vec![Element::new("bound", ns::BIND2)];
    peer.negotiation.send_success(&mut peer.cx, peer.session, granted, Some(&full), results);
    let output = peer.output();
    let want = format!(
        "<success xmlns='{}'><additional-data>{}</additional-data><authorization-identifier>\
         alice@localhost/x</authorization-identifier><bound xmlns='{}'/></success>",
        ns::SASL2,
        base64::encode(verifier.as_bytes()),
        ns::BIND2
    );
    assert!(output.starts_with(&want), "{output}");
    assert!(!output.contains(ns::BIND), "{output}");
    assert!(matches!(peer.send(plain()), Ok(Step::Stanza(_))));
}

#[test]
fn what_was_offered_is_signed_in_both_profiles() {
    let announced = "PLAIN\x1eSCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1eSCRAM-SHA-256\
                     \x1eSCRAM-SHA-256-PLUS\x1ftls-exporter\x1etls-server-end-point";
    let hash = ScramHash::Sha256.digest(announced.as_bytes());
    let want = format!(",h={}", base64::encode(&hash));
    let first = Client::new(ScramHash::Sha256, "alice", "pencil").first();
    assert!(Peer::secure().challenge("SCRAM-SHA-256", &first).ends_with(&want));
    let mut peer = Peer::secure();
    peer.send(authenticate("SCRAM-SHA-256", first.as_bytes())).unwrap();
    let output = peer.output();
    let text = output.split(['<', '>']).nth(2).and_then(base64::decode).unwrap();
    assert!(String::from_utf8(text).unwrap().ends_with(&want));
}

#[test]
fn features_tell_what_can_come_along() {
    let features = |tls| {
        let mut peer = Peer::new(config(), false, Some(tls));
        peer.open(None).unwrap();
        let output = peer.output();
        let (_, rest) = output.split_once("<authentication ").expect("offered");
        rest.split_once("</authentication>").expect("whole").0.to_owned()
    };
    let mechanisms = |names: &[&str]| {
        names.iter().map(|name| format!("<mechanism>{name}</mechanism>")).collect::<String>()
    };
    let plus = mechanisms(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"]);
    let bare = mechanisms(&["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
    let bind = "<inline><sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'><inline>\
                <feature var='urn:xmpp:carbons:2'/><feature var='urn:xmpp:csi:0'/>\
                <feature var='urn:xmpp:sm:3'/></inline></bind><fast xmlns='urn:xmpp:fast:0'>";
    let bound = mechanisms(&["HT-SHA-256-EXPR", "HT-SHA-256-ENDP"]);
    let none = mechanisms(&["HT-SHA-256-NONE"]);
    let ns = "xmlns='urn:xmpp:sasl:2'>";
    assert_eq!(features(tls13()), format!("{ns}{plus}{bare}{bind}{bound}{none}</fast></inline>"));
    let tls12 = TlsInfo { is_tls13: false, ..tls13() };
    assert_eq!(features(tls12), format!("{ns}{bare}{bind}{none}</fast></inline>"));
}

#[test]
fn only_over_tls() {
    let mut config = config();
    config.c2s.require_tls = false;
    let mut peer = Peer::new(config, true, None);
    peer.open(None).unwrap();
    assert!(!peer.output().contains(ns::SASL2));
    assert!(matches!(peer.send(plain()), Ok(Step::Continue)));
    assert!(peer.output().starts_with(&failure2("encryption-required")));
}

#[test]
fn nothing_else_comes_while_a_login_runs() {
    let begun = || {
        let mut peer = Peer::secure();
        let first = Client::new(ScramHash::Sha1, "alice", "pencil").first();
        peer.send(authenticate("SCRAM-SHA-1", first.as_bytes())).unwrap();
        peer.output();
        peer
    };
    let check = |element: Element, want: StreamCondition| {
        assert_eq!(begun().send(element).err(), Some(want));
    };
    check(plain(), StreamCondition::NotAuthorized);
    check(auth("PLAIN", "\0alice\0pencil"), StreamCondition::NotAuthorized);
    check(response("x"), StreamCondition::NotAuthorized);
    check(sasl("abort", ""), StreamCondition::NotAuthorized);
    check(bind(None), StreamCondition::NotAuthorized);
    check(starttls(), StreamCondition::NotAuthorized);
    check(Element::new("next", ns::SASL2), StreamCondition::UnsupportedStanzaType);
    let mut peer = Peer::secure();
    peer.challenge("SCRAM-SHA-1", &Client::new(ScramHash::Sha1, "alice", "pencil").first());
    assert_eq!(peer.send(response2("x")).err(), Some(StreamCondition::NotAuthorized));
    // An end is one of its own elements, with whatever it says.
    let text = Element::new("text", ns::SASL2).with_text("changed my mind");
    let mut peer = begun();
    assert!(peer.send(Element::new("abort", ns::SASL2).with_child(text)).is_ok());
    assert!(peer.output().starts_with(&failure2("aborted")));
    assert!(matches!(peer.send(plain()), Ok(Step::CheckPassword)));
}

#[test]
fn errors_answered_at_once() {
    let check = |element: Element, want: &str| {
        let mut peer = Peer::secure();
        let step = peer.send(element.clone());
        assert!(matches!(step, Ok(Step::Continue)), "{element:?} {step:?}");
        let output = peer.output();
        assert!(output.starts_with(&failure2(want)), "{want}: {output}");
        assert!(matches!(peer.send(plain()), Ok(Step::CheckPassword)));
    };
    let malformed = |element: Element| check(element, "malformed-request");
    check(authenticate("EXTERNAL", b"x"), "invalid-mechanism");
    check(Element::new("authenticate", ns::SASL2), "invalid-mechanism");
    check(
        authenticate("HT-SHA-256-NONE", b"alice\0x").with_child(agent(AGENT)),
        "invalid-mechanism",
    );
    malformed(Element::new("response", ns::SASL2));
    malformed(Element::new("abort", ns::SASL2));
    malformed(plain().with_child(Element::new("initial-response", ns::SASL2)));
    malformed(plain().with_child(agent(AGENT)).with_child(agent(AGENT)));
    for id in
        ["", "phone", "d4565fa7-4d72-1749-b3d3-740edbf87770", "d4565fa74d724749b3d3740edbf87770"]
    {
        malformed(plain().with_child(agent(id)));
    }
    let bind2 = || Element::new("bind", ns::BIND2);
    malformed(plain().with_child(bind2()).with_child(bind2()));
    let tag = || Element::new("tag", ns::BIND2).with_text("x");
    malformed(plain().with_child(bind2().with_child(tag()).with_child(tag())));
    let text = Element::new("initial-response", ns::SASL2).with_text("\nAA==");
    let spaced = Element::new("authenticate", ns::SASL2).with_attr("mechanism", "PLAIN");
    check(spaced.with_child(text), "incorrect-encoding");
}

#[test]
fn who_logs_in_is_who_the_header_says() {
    let open = |from: &str| {
        let mut peer = Peer::new(config(), false, Some(tls13()));
        let header = StreamHeader { from: Some(from.to_owned()), ..header(Some("localhost")) };
        (peer.open_with(&header), peer.output(), peer)
    };
    for from in ["alice@localhost", "Alice@localhost/phone"] {
        let (_, _, mut peer) = open(from);
        granted(&mut peer, plain());
    }
    for from in ["bob@localhost", "localhost"] {
        for message in [&b"\0alice\0pencil"[..], b"alice@localhost\0alice\0pencil"] {
            let (_, _, mut peer) = open(from);
            assert!(matches!(peer.send(authenticate("PLAIN", message)), Ok(Step::Continue)));
            assert!(peer.output().starts_with(&failure2("invalid-authzid")));
            // RFC 6120 lets a header say what it likes before the login.
            assert!(matches!(peer.send(auth("PLAIN", "\0alice\0pencil")), Ok(Step::CheckPassword)));
        }
    }
    let (opened, output, _) = open("alice@example.org");
    assert_eq!(opened, Err(StreamCondition::InvalidFrom));
    assert!(!output.contains("features"));
}

#[test]
fn failures_are_held_back_and_counted_with_those_of_the_other_profile() {
    let mut peer = Peer::secure();
    for round in 0..5 {
        let element = match round % 2 {
            0 => authenticate("PLAIN", b"\0alice\0wrong"),
            _ => auth("PLAIN", "\0alice\0wrong"),
        };
        peer.send(element).unwrap();
        assert!(matches!(peer.check_password(), Ok(Step::LoginFailed { account: Some(_) })));
        assert_eq!(peer.output(), "");
        let sent = peer.send_failure();
        match round {
            0 | 2 => assert!(sent.unwrap().starts_with(&failure2("not-authorized"))),
            1 | 3 => assert_eq!(sent.unwrap(), failure("not-authorized")),
            _ => assert_eq!(sent, Err(StreamCondition::PolicyViolation)),
        }
    }
    let mut peer = Peer::secure();
    assert!(!peer.negotiation.refuse_login(&response2("x")));
    assert!(peer.negotiation.refuse_login(&plain()));
    assert!(peer.send_failure().unwrap().starts_with(&failure2("temporary-auth-failure")));
}

#[test]
fn no_sequence_of_elements_panics() {
    let mut dice = Dice(0xf00d);
    let client = Client::new(ScramHash::Sha1, "alice", "pencil");
    for _ in 0..200 {
        let mut peer = Peer::secure();
        for _ in 0..20 {
            let message = match dice.roll(3) {
                0 => client.first(),
                1 => "\0alice\0pencil".to_owned(),
                _ => "alice\0proof".to_owned(),
            };
            let message = dice.mangle(message.as_bytes());
            let mechanism = ["PLAIN", "SCRAM-SHA-1", "HT-SHA-256-NONE", "X"][dice.roll(4)];
            let mut element = match dice.roll(8) {
                0 => Element::new("abort", ns::SASL2),
                1 => response2(&String::from_utf8_lossy(&message)),
                2 => plain(),
                _ => authenticate(mechanism, &message),
            };
            let children = [
                agent(AGENT),
                agent("x"),
                Element::new("fast", ns::FAST).with_attr("count", dice.roll(3).to_string()),
                Element::new("request-token", ns::FAST).with_attr("mechanism", mechanism),
                Element::new("bind", ns::BIND2),
                Element::new("resume", ns::SM),
            ];
            for child in children {
                if dice.roll(3) == 0 {
                    element.push(child);
                }
            }
            let step = match peer.send(element) {
                Ok(Step::CheckPassword) => peer.check_password(),
                step => step,
            };
            peer.output();
            match step {
                Ok(Step::LoginFailed { .. }) if peer.send_failure().is_ok() => {}
                Ok(Step::Continue) => {}
                _ => break,
            }
        }
    }
}
