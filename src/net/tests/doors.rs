//! Who comes through which door, and what servers show when they come.

use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::super::verify::AnyServer;
use super::echo::{Running, Seen, ask, connect};
use crate::ids::Door;
use crate::stream::c2s::TlsInfo;

#[track_caller]
fn door(running: &Running) -> Door {
    loop {
        if let Seen::Accepted(door) = running.saw() {
            return door;
        }
    }
}

#[test]
fn the_core_learns_which_door() {
    let running = Running::new("which-door");
    let [servers, servers_tls, components] = running.others;
    for (address, want) in [
        (running.clear, Door::Clients),
        (running.tls, Door::Clients),
        (servers, Door::Servers),
        (servers_tls, Door::Servers),
        (components, Door::Components),
    ] {
        drop(connect(address));
        assert_eq!(door(&running), want, "{address}");
        running.closed();
    }
    running.finish();
}

#[test]
fn servers_may_come_until_the_end() {
    let running = Running::new("server-door");
    let mut client = running.client();
    ask(&mut client, b"<doors>", b"");
    // A child of another test may hold copies of the listeners until it has become itself.
    let is_closed = |address| (0..1000).any(|_| TcpStream::connect(address).is_err());
    let [servers, servers_tls, components] = running.others;
    assert!(is_closed(components));
    ask(&mut connect(servers), b"hello", b"");
    ask(&mut client, b"<servers>", b"");
    assert!(is_closed(servers) && is_closed(servers_tls));
    drop(client);
    running.closed();
    running.closed();
    running.finish();
}

/// A TLS client; with a certificate of its own or without.
fn secure(stream: TcpStream, alpn: &str, own: Option<&rcgen::CertifiedKey<rcgen::KeyPair>>) -> Tls {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let any = Arc::new(AnyServer::new(&provider));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("both versions are there")
        .dangerous()
        .with_custom_certificate_verifier(any);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::from_pem_slice(own.signing_key.serialize_pem().as_bytes());
            let chain = vec![own.cert.der().clone()];
            builder.with_client_auth_cert(chain, key.expect("a key")).expect("a pair")
        }
    };
    config.alpn_protocols = vec![alpn.into()];
    let name = "localhost".try_into().expect("a name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a sound configuration");
    StreamOwned::new(tls, stream)
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

#[track_caller]
fn tls_info(running: &Running) -> TlsInfo {
    loop {
        if let Seen::Tls(tls) = running.saw() {
            return tls;
        }
    }
}

#[test]
fn servers_are_asked_for_a_certificate_and_clients_are_not() {
    let running = Running::new("server-certificate");
    let own = rcgen::generate_simple_self_signed(["other.example".to_owned()]).expect("made");
    let chain = vec![own.cert.der().to_vec()];
    let direct = running.others[1];
    for (address, alpn, own, want) in [
        (direct, "xmpp-server", Some(&own), &chain[..]),
        (direct, "xmpp-server", None, &[]),
        (running.tls, "xmpp-client", Some(&own), &[]),
    ] {
        let mut peer = secure(connect(address), alpn, own);
        ask(&mut peer, b"hello", b"");
        let tls = tls_info(&running);
        assert_eq!(tls.peer_chain, want);
        assert_eq!(tls.alpn.as_deref(), Some(alpn.as_bytes()));
        drop(peer);
        running.closed();
    }
    // The same by STARTTLS.
    let mut stream = connect(running.others[0]);
    ask(&mut stream, b"<starttls>", b"<proceed>");
    let mut peer = secure(stream, "xmpp-server", Some(&own));
    super::echo::expect(&mut peer, b"<secret>");
    assert_eq!(tls_info(&running).peer_chain, chain);
    drop(peer);
    running.closed();
    running.finish();
}
