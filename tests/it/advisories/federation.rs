//! What other servers say of themselves: dialback, certificates, addresses (the side that is
//! connected to; what we ask ourselves is tested beside its code).

use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tercet::certs::trust::Trust;
use tercet::cx::Now;
use tercet::ids::{ConnId, Door};
use tercet::server::Server;
use tercet::stream::c2s::TlsInfo;
use tercet::stream::s2s::{DIALBACK_SECRET, dialback_key};

use crate::setup::{Seeded, Setup};

const NOW: Now = Now { mono_ms: 1000, unix_ms: 1_795_352_493_120 };
const CONN: ConnId = ConnId { index: 0, generation: 1 };
const OPEN: &str = "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
                    xmlns:stream='http://etherx.jabber.org/streams' from='remote.example' \
                    to='localhost' version='1.0'>";
const KEY: &str = "<db:result from='remote.example' to='localhost'>key</db:result>";
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
const PING: &str = "<iq type='get' id='p' from='juliet@remote.example/x' to='localhost'>\
                    <ping xmlns='urn:xmpp:ping'/></iq>";

/// A server to which another one has connected.
fn server(config: &str) -> Server {
    let setup = Setup::new(config, Vec::new(), None).expect("a setup");
    let mut server = setup.server(NOW).expect("a server");
    // One that does not answer: nobody is asked about a key in vain at once.
    server.handle_resolver(NOW, "nameserver 192.0.2.53\n", "");
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert!(server.handle_accept_link(NOW, CONN, Door::Servers, address, false));
    server
}

fn turn(server: &mut Server, input: &str) -> String {
    server.handle_input(NOW, CONN, input.as_bytes());
    server.handle_timeout(NOW);
    server.commit(NOW);
    let mut slices = [IoSlice::new(&[]); 64];
    let outbox = server.outbox(CONN).expect("a link");
    let used = outbox.slices(&mut slices);
    let written: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
    outbox.consume(written.len());
    if outbox.starttls_is_due() {
        outbox.starttls_done();
    }
    String::from_utf8(written).expect("XML is text")
}

/// A stream over TLS on which a certificate was shown: for these names, by an authority that is
/// known or by another one. Returns the features too.
fn secure(config: &str, name: &str, is_known: bool) -> (Server, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = |key: &KeyPair| params.self_signed(key).expect("a certificate").pem();
    let (key, stranger) = (KeyPair::generate(), KeyPair::generate());
    let (key, stranger) = (key.expect("a key"), stranger.expect("a key"));
    let trusted = authority(if is_known { &key } else { &stranger });
    let issuer = Issuer::new(params, key);
    let own = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let own = own.signed_by(&KeyPair::generate().expect("a key"), &issuer);
    let mut server = server(config);
    server.handle_trust(NOW, Rc::new(Trust::from_pem(&trusted).expect("an authority")));
    turn(&mut server, OPEN);
    let written = turn(&mut server, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert!(written.starts_with("<proceed "), "{written}");
    let peer_chain = vec![own.expect("a certificate").der().to_vec()];
    let tls = TlsInfo { peer_chain, is_tls13: true, ..TlsInfo::default() };
    server.handle_tls(NOW, CONN, tls);
    let features = turn(&mut server, OPEN);
    (server, features)
}

fn is_error(written: &str, condition: &str) -> bool {
    written.ends_with("</stream:error></stream:stream>")
        && written.contains(&format!("<stream:error><{condition} "))
}

/// A result counts where it was asked for.
#[test]
fn advisory_a08_results_that_nobody_asked_for() {
    for forged in [
        "<db:result from='remote.example' to='localhost' type='valid'/>",
        "<db:verify from='remote.example' to='localhost' id='x' type='valid'/>",
    ] {
        let mut server = server("s2s = { require_tls = false, listen = ['127.0.0.1:5269'] }");
        let id = turn(&mut server, OPEN);
        let (_, id) = id.split_once(" id='").expect("an id");
        let id = id.split('\'').next().expect("its end");
        assert_eq!(turn(&mut server, KEY), "");
        assert_eq!(turn(&mut server, &forged.replace("'x'", &format!("'{id}'"))), "");
        let written = turn(&mut server, PING);
        assert!(is_error(&written, "not-authorized"), "{written}");
    }
}

/// A key is for one receiver, one sender, one stream; without the secret there is none.
#[test]
fn advisory_a09_keys_are_for_one_purpose() {
    let mut server = server("");
    let ask = |server: &mut Server, from: &str, to: &str, id: &str, key: &str| {
        let ask = format!("<db:verify from='{from}' to='{to}' id='{id}'>{key}</db:verify>");
        turn(server, &ask).contains("type='valid'")
    };
    turn(&mut server, OPEN);
    let secret = server.storage().secret(DIALBACK_SECRET, &mut Seeded(1)).expect("a secret");
    let key = dialback_key(&secret, "remote.example", "localhost", "abc");
    assert!(ask(&mut server, "remote.example", "localhost", "abc", &key));
    for (from, to, id) in [
        ("remote.example", "localhost", "ab"),
        ("remote.example", "localhost", "abc "),
        ("remote.example", "conference.localhost", "abc"),
        ("emote.example", "localhost", "abc"),
        // The roles changed, and the same letters cut elsewhere.
        ("localhost", "localhost", "remote.example abc"),
        ("remote.example", "localhost", "localhost abc"),
    ] {
        assert!(!ask(&mut server, from, to, id, &key), "{from} {to} {id}");
    }
    for wrong in ["", "0", &key[..63], &key.to_uppercase(), &format!("{key}0")] {
        assert!(!ask(&mut server, "remote.example", "localhost", "abc", wrong), "{wrong}");
    }
    for guess in [&b""[..], b"secret", &[0; 32]] {
        let forged = dialback_key(guess, "remote.example", "localhost", "abc");
        assert!(!ask(&mut server, "remote.example", "localhost", "abc", &forged));
    }
}

/// A certificate counts when it is by an authority that we know, for the name that is claimed.
#[test]
fn advisory_a10_certificates_are_checked_for_the_name() {
    for (name, is_known, is_good) in [
        ("remote.example", true, true),
        ("remote.example", false, false),
        ("other.example", true, false),
        ("localhost", true, false),
    ] {
        let config = "s2s = { verify = 'certificate' }";
        let (mut server, features) = secure(config, name, is_known);
        assert_eq!(features.contains("EXTERNAL"), is_good, "{name}: {features}");
        let written = turn(&mut server, KEY);
        let want = if is_good { "type='valid'" } else { "<not-authorized " };
        assert!(written.contains(want), "{name}: {written}");
        let (mut server, _) = secure(config, name, is_known);
        let written = turn(&mut server, AUTH);
        let want = if is_good { "<success " } else { "<not-authorized/>" };
        assert!(written.contains(want), "{name}: {written}");
        if !is_good {
            let written = turn(&mut server, PING);
            assert!(is_error(&written, "not-authorized"), "{written}");
        }
    }
}

/// What was proved is one pair of domains, and no other comes in.
#[test]
fn advisory_a11_nothing_from_domains_that_were_not_proved() {
    for (from, to, condition) in [
        ("juliet@remote.example", "juliet@other.example", "invalid-from"),
        ("juliet@remote.example", "juliet@sub.remote.example", "invalid-from"),
        ("juliet@remote.example/x", "localhost", "invalid-from"),
        ("to='localhost'", "to='conference.localhost'", "invalid-from"),
        ("to='localhost'", "to='other.example'", "host-unknown"),
        (" to='localhost'", "", "improper-addressing"),
        (" from='juliet@remote.example/x'", "", "improper-addressing"),
    ] {
        let (mut server, _) = secure("", "remote.example", true);
        assert!(turn(&mut server, AUTH).contains("<success "));
        assert!(turn(&mut server, OPEN).ends_with("</stream:features>"));
        assert_eq!(turn(&mut server, PING), "", "the pair that was proved");
        let written = turn(&mut server, &PING.replace(from, to));
        assert!(is_error(&written, condition), "{condition}: {written}");
    }
}
