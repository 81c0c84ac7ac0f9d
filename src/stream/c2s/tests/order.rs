//! What comes in which order: headers, features, STARTTLS, registration, binding.

use super::*;
use crate::xmpp::{self, Jid, StanzaError};

#[test]
fn headers_answer_in_form() {
    let mut peer = Peer::new(config(), false, None);
    assert!(!peer.negotiation.is_open());
    let from = Some("alice@example.org/x".to_owned());
    let lang = Some("de".to_owned());
    peer.open_with(&StreamHeader { from, lang, ..header(Some("example.org")) }).unwrap();
    let output = peer.output();
    let start = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                 xmlns:stream='http://etherx.jabber.org/streams' from='example.org' \
                 to='alice@example.org' id='";
    assert!(output.starts_with(start), "{output}");
    let id = output[start.len()..].split('\'').next().unwrap();
    assert_eq!(id.len(), 32);
    assert!(output.contains(" version='1.0' xml:lang='en'><stream:features>"), "{output}");
    assert_eq!(peer.negotiation.lang(), Some("de"));
    assert_eq!(peer.negotiation.host().map(BareJid::as_str), Some("example.org"));
    assert!(peer.negotiation.is_open());
    // No second header on the same stream, and none is added for an error.
    assert_eq!(peer.open(Some("example.org")), Err(StreamCondition::BadFormat));
    peer.negotiation.open_for_error(&mut peer.cx, peer.session);
    assert_eq!(peer.output(), "");
}

#[test]
fn a_header_precedes_every_error() {
    use StreamCondition as S;
    let check = |change: fn(&mut StreamHeader), want: S| {
        let mut peer = Peer::new(config(), false, None);
        let mut header = header(Some("localhost"));
        change(&mut header);
        assert_eq!(peer.open_with(&header), Err(want));
        let output = peer.output();
        assert!(output.contains("<stream:stream ") && output.contains(" from='localhost'"));
        assert!(!output.contains("features"), "{output}");
        assert!(peer.negotiation.is_open());
    };
    check(|h| h.ns = "x".into(), S::InvalidNamespace);
    check(|h| h.name = "x".into(), S::BadFormat);
    check(|h| h.content_ns = ns::SERVER.into(), S::InvalidNamespace);
    check(|h| h.version = None, S::UnsupportedVersion);
    check(|h| h.to = Some("nowhere".into()), S::HostUnknown);
    check(|h| h.to = Some(String::new()), S::ImproperAddressing);
    check(|h| h.from = Some("@".into()), S::ImproperAddressing);
    // The parser refused the very first bytes.
    let mut peer = Peer::new(config(), false, None);
    peer.negotiation.open_for_error(&mut peer.cx, peer.session);
    assert!(peer.output().starts_with("<?xml version='1.0'?><stream:stream "));
    assert!(peer.negotiation.is_open());
}

#[test]
fn features_tell_what_is_possible() {
    let features = |require_tls, in_band, is_loopback, tls: Option<TlsInfo>| {
        let mut config = config();
        config.c2s.require_tls = require_tls;
        config.registration.in_band = in_band;
        let mut peer = Peer::new(config, is_loopback, tls);
        peer.open(None).unwrap();
        let output = peer.output();
        let text = output.split_once("<stream:features>").expect("features").1;
        // XEP-0388 has a test of its own.
        match (text.split_once("<authentication "), text.split_once("</authentication>")) {
            (Some((before, _)), Some((_, after))) => format!("{before}{after}"),
            _ => text.to_owned(),
        }
    };
    let limits = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10240</max-bytes>\
                  <idle-seconds>30</idle-seconds></limits></stream:features>";
    let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>";
    assert_eq!(
        features(true, InBand::Anyone, true, None),
        format!("{starttls}<required/></starttls>{limits}")
    );
    let three = "<mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism>\
                 <mechanism>PLAIN</mechanism></mechanisms>";
    let mechanisms = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>";
    // XEP-0445 §3: with an invitation there is always a way.
    let invited = "<register xmlns='urn:xmpp:ibr-token:0'/>";
    assert_eq!(
        features(false, InBand::Loopback, true, None),
        format!(
            "<starttls xmlns='{}'/>{invited}<{REGISTER}/>{mechanisms}{three}{limits}",
            "urn:ietf:params:xml:ns:xmpp-tls"
        )
    );
    let cb = |types: &str| {
        format!("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>{types}</sasl-channel-binding>")
    };
    let plus = "<mechanism>SCRAM-SHA-256-PLUS</mechanism><mechanism>SCRAM-SHA-1-PLUS</mechanism>";
    let exporter = "<channel-binding type='tls-exporter'/>";
    let both = cb(&format!("{exporter}<channel-binding type='tls-server-end-point'/>"));
    assert_eq!(
        features(true, InBand::Off, true, Some(tls13())),
        format!("{invited}{both}{mechanisms}{plus}{three}{limits}")
    );
    // tls-server-end-point is undefined for Ed25519 certificates.
    let ed25519 = TlsInfo { end_point: None, ..tls13() };
    assert_eq!(
        features(true, InBand::Loopback, false, Some(ed25519)),
        format!("{invited}{}{mechanisms}{plus}{three}{limits}", cb(exporter))
    );
    // No -PLUS before TLS 1.3.
    let tls12 = TlsInfo { is_tls13: false, ..tls13() };
    assert_eq!(
        features(true, InBand::Anyone, false, Some(tls12)),
        format!("{invited}<{REGISTER}/>{mechanisms}{three}{limits}")
    );
}

#[test]
fn features_after_login() {
    let mut peer = Peer::logged_in();
    peer.negotiation.is_open = false;
    peer.open(Some("localhost")).unwrap();
    let want = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
                <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>\
                <ver xmlns='urn:xmpp:features:rosterver'/>\
                <sub xmlns='urn:xmpp:features:pre-approval'/>\
                <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:tercet' \
                ver='ver='/><sm xmlns='urn:xmpp:sm:3'/><csi xmlns='urn:xmpp:csi:0'/>\
                <limits xmlns='urn:xmpp:stream-limits:0'>\
                <max-bytes>262144</max-bytes><idle-seconds>300</idle-seconds></limits>\
                </stream:features>";
    let output = peer.output();
    assert!(output.ends_with(want), "{output}");
    // Limits that are off are left out.
    let config = Rc::make_mut(&mut peer.cx.config);
    (config.limits.stanza_bytes, config.limits.idle_seconds) = (0, 0);
    peer.negotiation.is_open = false;
    peer.open(None).unwrap();
    assert!(!peer.output().contains("limits"));
}

#[test]
fn starttls_once_and_in_time() {
    let mut peer = Peer::new(config(), false, None);
    peer.open(Some("example.org")).unwrap();
    peer.output();
    assert!(matches!(peer.send(starttls()), Ok(Step::StartTls)));
    assert!(peer.cx.out.get(peer.session).unwrap().starttls_is_marked());
    assert_eq!(peer.output(), format!("<proceed xmlns='{}'/>", ns::TLS));
    assert!(peer.cx.out.get(peer.session).unwrap().starttls_is_due());
    // Advisory a07: nothing that was sent in the clear after it is looked at.
    for element in [auth("PLAIN", "\0alice\0pencil"), starttls(), bind(None)] {
        assert_eq!(peer.send(element).err(), Some(StreamCondition::PolicyViolation));
    }
    assert_eq!(peer.open(None), Err(StreamCondition::BadFormat));
    peer.negotiation.handle_tls(tls13());
    // Advisory a06: the domain stays.
    let mut other = Peer::new(config(), false, None);
    other.open(Some("localhost")).unwrap();
    other.send(starttls()).unwrap();
    other.negotiation.handle_tls(tls13());
    assert_eq!(other.open(Some("example.org")), Err(StreamCondition::NotAuthorized));
    peer.open(None).unwrap();
    let output = peer.output();
    assert!(output.contains(" from='example.org'") && output.contains("-PLUS"), "{output}");
    assert!(!output.contains("starttls"), "{output}");
    assert_eq!(peer.send(starttls()).err(), Some(StreamCondition::NotAuthorized));
    assert_eq!(peer.output(), format!("<failure xmlns='{}'/>", ns::TLS));
}

#[test]
fn starttls_not_within_or_after_a_login() {
    let mut config = config();
    config.c2s.require_tls = false;
    let mut peer = Peer::new(config, false, None);
    peer.open(None).unwrap();
    peer.output();
    peer.challenge("SCRAM-SHA-1", "n,,n=alice,r=abc");
    assert_eq!(peer.send(starttls()).err(), Some(StreamCondition::NotAuthorized));
    let mut peer = Peer::logged_in();
    assert_eq!(peer.send(starttls()).err(), Some(StreamCondition::NotAuthorized));
    assert!(!peer.cx.out.get(peer.session).unwrap().starttls_is_marked());
}

#[test]
fn elements_out_of_order() {
    use StreamCondition as S;
    let stanza = |name: &'static str| Element::new(name, ns::CLIENT);
    let query = |kind: &str| iq(kind, Element::new("query", ns::REGISTER));
    let session = || iq("set", Element::new("session", ns::SESSION));
    let refused = |peer: &mut Peer, element: Element, want: S| {
        assert_eq!(peer.send(element.clone()).err(), Some(want), "{element:?}");
        assert_eq!(peer.output(), "");
    };
    let mut peer = Peer::secure();
    let foreign = || Element::new("message", "urn:x");
    for element in [stanza("message"), stanza("presence"), stanza("iq"), bind(None), session()] {
        refused(&mut peer, element, S::NotAuthorized);
    }
    refused(&mut peer, query("get"), S::NotAuthorized);
    for element in [stanza("x"), foreign(), Element::new("error", ns::STREAMS)] {
        refused(&mut peer, element, S::UnsupportedStanzaType);
    }
    refused(&mut peer, Element::new("challenge", ns::SASL), S::UnsupportedStanzaType);
    refused(&mut peer, Element::new("proceed", ns::TLS), S::UnsupportedStanzaType);
    let mut peer = Peer::logged_in();
    for element in [stanza("message"), stanza("presence"), stanza("iq"), session(), query("get")] {
        refused(&mut peer, element, S::NotAuthorized);
    }
    let get = iq("get", Element::new("bind", ns::BIND));
    refused(&mut peer, get, S::NotAuthorized);
    refused(&mut peer, auth("PLAIN", "\0alice\0pencil"), S::UnsupportedStanzaType);
    refused(&mut peer, foreign(), S::UnsupportedStanzaType);
}

#[test]
fn registration_where_it_is_allowed() {
    let query = |kind: &str| iq(kind, Element::new("query", ns::REGISTER));
    let check = |in_band, is_loopback, want: bool| {
        let mut config = config();
        config.registration.in_band = in_band;
        let mut peer = Peer::new(config, is_loopback, Some(tls13()));
        peer.open(None).unwrap();
        for kind in ["get", "set"] {
            assert_eq!(matches!(peer.send(query(kind)), Ok(Step::Stanza(_))), want);
        }
        assert_eq!(peer.send(query("result")).err(), Some(StreamCondition::NotAuthorized));
        // Not in the middle of a login.
        peer.challenge_empty("PLAIN");
        assert_eq!(peer.send(query("get")).err(), Some(StreamCondition::NotAuthorized));
    };
    check(InBand::Off, true, false);
    check(InBand::Loopback, true, true);
    check(InBand::Loopback, false, false);
    check(InBand::Anyone, false, true);
}

#[test]
fn binding() {
    let wish = |resource| match Peer::logged_in().send(bind(resource)) {
        Ok(Step::Bind { id, resource }) if id == "i1" => resource,
        step => panic!("{step:?}"),
    };
    assert_eq!(wish(None), None);
    assert_eq!(wish(Some("")), None);
    assert_eq!(wish(Some("balcony")).as_deref(), Some("balcony"));
    let mut peer = Peer::logged_in();
    peer.send(bind(None)).unwrap();
    let full = Jid::parse("alice@localhost/it's").unwrap();
    peer.negotiation.bound(&mut peer.cx, peer.session, "a&b", &full);
    assert_eq!(
        peer.output(),
        "<iq type='result' id='a&amp;b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <jid>alice@localhost/it's</jid></bind></iq>"
    );
    // From here on all is the server's.
    for element in [bind(None), auth("PLAIN", "x"), starttls(), Element::new("r", "urn:x")] {
        assert!(matches!(peer.send(element), Ok(Step::Stanza(_))));
    }
    assert_eq!(peer.negotiation.account().map(BareJid::as_str), Some("alice@localhost"));
}

#[test]
fn bind_requests_that_cannot_be_processed() {
    let bad_request = "<error type='modify'>\
                       <bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
    let check = |change: fn(&mut Element), id: &str| {
        let mut peer = Peer::logged_in();
        let mut request = bind(None);
        change(&mut request);
        assert!(matches!(peer.send(request), Ok(Step::Continue)));
        assert_eq!(peer.output(), format!("<iq type='error'{id}>{bad_request}"));
        // The client may try again.
        assert!(matches!(peer.send(bind(Some("x"))), Ok(Step::Bind { .. })));
    };
    check(|iq| iq.attributes.retain(|a| a.name != "id"), "");
    check(|iq| iq.push(Element::new("bind", ns::BIND)), " id='i1'");
    let mut peer = Peer::logged_in();
    let error = StanzaError::from(xmpp::Condition::ResourceConstraint);
    peer.negotiation.refuse_bind(&mut peer.cx, peer.session, Some("i1"), &error);
    assert!(peer.output().starts_with("<iq type='error' id='i1'><error type='wait'>"));
}

#[test]
fn advisory_a06_a_restart_keeps_the_domain_and_the_account() {
    let restarted = |to: Option<&str>, from: Option<&str>| {
        let mut peer = Peer::secure();
        peer.send(auth("PLAIN", "\0alice\0pencil")).unwrap();
        peer.check_password().unwrap();
        let from = from.map(str::to_owned);
        peer.open_with(&StreamHeader { from, ..header(to) }).err()
    };
    assert_eq!(restarted(Some("localhost"), None), None);
    assert_eq!(restarted(None, Some("alice@localhost")), None);
    assert_eq!(restarted(Some("example.org"), None), Some(StreamCondition::NotAuthorized));
    assert_eq!(restarted(Some("nowhere"), None), Some(StreamCondition::HostUnknown));
    let bob = Some("bob@localhost");
    assert_eq!(restarted(Some("localhost"), bob), Some(StreamCondition::InvalidFrom));
}
