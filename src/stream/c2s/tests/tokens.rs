//! Logins by tokens (XEP-0484).

use super::sasl2::{AGENT, agent, authenticate, failure2, granted};
use super::*;

const OTHER: &str = "d4565fa7-4d72-4749-a3d3-740edbf87771";
const DAY_MS: i64 = 86_400_000;

/// A server that has alice in its storage, too.
fn peer() -> Peer {
    let mut peer = Peer::secure();
    let alice = BareJid::parse("alice@localhost").unwrap();
    let credentials = accounts(&mut peer.cx, &alice).unwrap().unwrap();
    assert_eq!(peer.cx.storage.account_create(&alice, &credentials), Ok(true));
    peer
}

/// The same server, and a new connection.
fn reconnect(peer: &mut Peer) {
    peer.session = peer.cx.out.open();
    peer.negotiation = Negotiation::new(false, Some(tls13()));
    peer.negotiation.stage = Stage::Login(Box::new(Login::new(accounts)));
    peer.open(Some("localhost")).unwrap();
    peer.output();
}

fn request(mechanism: &str) -> Element {
    Element::new("request-token", ns::FAST).with_attr("mechanism", mechanism)
}

fn fast() -> Element {
    Element::new("fast", ns::FAST)
}

fn text_of(granted: &Granted) -> Option<String> {
    granted.token.as_ref().map(|token| token.attr("token").unwrap().to_owned())
}

/// A token for a mechanism, by password.
fn token(peer: &mut Peer, mechanism: &str) -> String {
    reconnect(peer);
    let element = authenticate("PLAIN", b"\0alice\0pencil").with_child(agent(AGENT));
    text_of(&granted(peer, element.with_child(request(mechanism)))).expect("a token")
}

/// What begins a login by a token.
fn by(token: &str, mechanism: &str, fast: Element) -> Element {
    let binding: &[u8] = match mechanism {
        "HT-SHA-256-EXPR" => EXPORTED,
        "HT-SHA-256-ENDP" => b"hash",
        _ => b"",
    };
    let proof = ScramHash::Sha256.hmac(token.as_bytes(), &[b"Initiator", binding].concat());
    authenticate(mechanism, &[b"alice\0", &proof[..]].concat())
        .with_child(agent(AGENT))
        .with_child(fast)
}

fn log_in(peer: &mut Peer, element: Element) -> Granted {
    reconnect(peer);
    granted(peer, element)
}

#[track_caller]
fn refused(peer: &mut Peer, element: Element, want: &str) {
    reconnect(peer);
    let step = peer.send(element);
    assert!(matches!(step, Ok(Step::LoginFailed { .. })), "{step:?} {}", peer.output());
    assert_eq!(peer.output(), "");
    let failure = peer.send_failure().unwrap();
    assert!(failure.starts_with(&failure2(want)), "{failure}");
}

#[test]
fn a_token_logs_in() {
    for mechanism in ["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"] {
        let mut peer = peer();
        let text = token(&mut peer, mechanism);
        let granted = log_in(&mut peer, by(&text, mechanism, fast()));
        assert_eq!(granted.account.as_str(), "alice@localhost");
        // The server has the token, too.
        assert!(granted.data.is_some_and(|data| data.len() == 32));
        assert!(granted.token.is_none());
        log_in(&mut peer, by(&text, mechanism, fast()));
        // For its mechanism only (§3.4).
        for other in ["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"] {
            if other != mechanism {
                refused(&mut peer, by(&text, other, fast()), "not-authorized");
            }
        }
    }
}

#[test]
fn wrong_tokens_are_refused() {
    let mut peer = peer();
    let text = token(&mut peer, "HT-SHA-256-NONE");
    let none = |text: &str| by(text, "HT-SHA-256-NONE", fast());
    refused(&mut peer, none("wrong"), "not-authorized");
    let stand_in = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    refused(&mut peer, none(stand_in), "not-authorized");
    // Another client of the user.
    let mut other = none(&text);
    other.children.remove(1);
    refused(&mut peer, other.with_child(agent(OTHER)), "not-authorized");
    // Another user.
    let proof = ScramHash::Sha256.hmac(text.as_bytes(), b"Initiator");
    for user in [&b"bob\0"[..], b"nobody\0", b"@\0"] {
        let element = authenticate("HT-SHA-256-NONE", &[user, &proof[..]].concat());
        refused(&mut peer, element.with_child(agent(AGENT)).with_child(fast()), "not-authorized");
    }
    log_in(&mut peer, none(&text));
}

#[test]
fn counts_only_go_up() {
    let mut peer = peer();
    let text = token(&mut peer, "HT-SHA-256-EXPR");
    let counted = |count: &str| by(&text, "HT-SHA-256-EXPR", fast().with_attr("count", count));
    log_in(&mut peer, counted("2"));
    for replayed in ["1", "2"] {
        refused(&mut peer, counted(replayed), "not-authorized");
    }
    log_in(&mut peer, counted("3"));
    // Nothing is required where there is no early data (§3.4).
    log_in(&mut peer, by(&text, "HT-SHA-256-EXPR", fast()));
    refused(&mut peer, counted("3"), "not-authorized");
    for bad in ["0", "-1", "x", "", "4294967296"] {
        reconnect(&mut peer);
        assert!(matches!(peer.send(counted(bad)), Ok(Step::Continue)));
        assert!(peer.output().starts_with(&failure2("malformed-request")), "{bad}");
    }
}

#[test]
fn tokens_expire_and_are_renewed() {
    let mut peer = peer();
    let none = |text: &str| by(text, "HT-SHA-256-NONE", fast());
    let first = token(&mut peer, "HT-SHA-256-NONE");
    peer.cx.now.unix_ms += DAY_MS - 1;
    assert_eq!(text_of(&log_in(&mut peer, none(&first))), None);
    peer.cx.now.unix_ms += 1;
    let lost = text_of(&log_in(&mut peer, none(&first))).expect("a new one");
    // It was lost on the way: the old one is still good, the lost one is not (§3.5).
    let second = text_of(&log_in(&mut peer, none(&first))).expect("a new one");
    refused(&mut peer, none(&lost), "not-authorized");
    assert_eq!(text_of(&log_in(&mut peer, none(&second))), None);
    refused(&mut peer, none(&first), "not-authorized");
    peer.cx.now.unix_ms += 21 * DAY_MS;
    refused(&mut peer, none(&second), "credentials-expired");
    refused(&mut peer, none("wrong"), "not-authorized");
}

#[test]
fn a_client_gives_its_token_back() {
    let mut peer = peer();
    let none = |text: &str, fast| by(text, "HT-SHA-256-NONE", fast);
    let text = token(&mut peer, "HT-SHA-256-NONE");
    peer.cx.now.unix_ms += 2 * DAY_MS;
    let end = || fast().with_attr("invalidate", "true");
    assert_eq!(text_of(&log_in(&mut peer, none(&text, end()))), None);
    refused(&mut peer, none(&text, fast()), "not-authorized");
    // Unless it asks for another one (§3.6).
    let text = token(&mut peer, "HT-SHA-256-NONE");
    let element = none(&text, end()).with_child(request("HT-SHA-256-EXPR"));
    let next = text_of(&log_in(&mut peer, element)).expect("a token");
    refused(&mut peer, none(&text, fast()), "not-authorized");
    log_in(&mut peer, by(&next, "HT-SHA-256-EXPR", fast()));
}

#[test]
fn a_change_of_the_password_ends_all_tokens() {
    let mut peer = peer();
    let text = token(&mut peer, "HT-SHA-256-NONE");
    let alice = BareJid::parse("alice@localhost").unwrap();
    let credentials = accounts(&mut peer.cx, &alice).unwrap().unwrap();
    assert_eq!(peer.cx.storage.account_change(&alice, &credentials), Ok(true));
    refused(&mut peer, by(&text, "HT-SHA-256-NONE", fast()), "not-authorized");
}

#[test]
fn who_cannot_be_given_a_token_logs_in_without() {
    let mut peer = peer();
    token(&mut peer, "HT-SHA-256-NONE");
    peer.cx.storage.inject(crate::storage::Fault::FailWrite(1));
    let element = authenticate("PLAIN", b"\0alice\0pencil").with_child(agent(AGENT));
    let element = element.with_child(request("HT-SHA-256-NONE"));
    assert!(log_in(&mut peer, element).token.is_none());
}

#[test]
fn malformed_requests() {
    let mut peer = peer();
    let text = token(&mut peer, "HT-SHA-256-NONE");
    let plain = || authenticate("PLAIN", b"\0alice\0pencil");
    let mut check = |element: Element, want: &str| {
        reconnect(&mut peer);
        let step = peer.send(element.clone());
        assert!(matches!(step, Ok(Step::Continue)), "{element:?} {step:?}");
        let output = peer.output();
        assert!(output.starts_with(&failure2(want)), "{output}");
    };
    // Nobody knows whose it would be.
    check(plain().with_child(request("HT-SHA-256-NONE")), "malformed-request");
    let nameless = Element::new("user-agent", ns::SASL2);
    let with_agent = |agent: Element| plain().with_child(agent);
    check(with_agent(nameless).with_child(request("HT-SHA-256-NONE")), "malformed-request");
    check(with_agent(agent(AGENT)).with_child(request("PLAIN")), "malformed-request");
    check(with_agent(agent(AGENT)).with_child(fast()), "invalid-mechanism");
    let given = |fast| by(&text, "HT-SHA-256-NONE", fast);
    check(given(fast().with_attr("invalidate", "yes")), "malformed-request");
    check(given(fast()).with_child(fast()), "malformed-request");
    let bad = |message: &[u8]| {
        let element = authenticate("HT-SHA-256-NONE", message);
        element.with_child(agent(AGENT)).with_child(fast())
    };
    check(bad(b"alice"), "malformed-request");
    check(bad(b"\0x"), "malformed-request");
    check(
        authenticate("HT-SHA-256-UNIQ", b"").with_child(agent(AGENT)).with_child(fast()),
        "invalid-mechanism",
    );
}
