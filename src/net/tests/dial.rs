//! Connections that we make, and TLS on them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::super::verify::AnyServer;
use super::echo::{Running, Seen, ask, expect, rest};
use crate::stream::c2s::TlsInfo;

/// Somebody to connect to.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// The connection that the reactor has made.
fn accept(running: &Running, listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("connected");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout");
    let Seen::Connected(Ok(())) = running.saw() else { panic!("told of") };
    stream
}

#[test]
fn bytes_both_ways() {
    let (listener, address) = listener();
    let running = Running::with("dial", move |core| core.dial(address));
    let mut server = accept(&running, &listener);
    ask(&mut server, b"hello", b"");
    server.write_all(b"<end>").expect("taken");
    assert_eq!(rest(&mut server), b"<end><bye>");
    drop(server);
    assert_eq!(running.closed(), "closed");
    running.finish();
}

#[test]
fn nobody_listens() {
    let (listener, address) = listener();
    drop(listener);
    let running = Running::with("dial-refused", move |core| core.dial(address));
    let Seen::Connected(Err(reason)) = running.saw() else { panic!("there is nobody") };
    assert!(reason.contains("refused"), "{reason}");
    running.finish();
}

/// No connection can be made to such a place, whatever the network is.
#[test]
fn an_attempt_that_cannot_begin() {
    let address = SocketAddr::from(([255, 255, 255, 255], 5269));
    let running = Running::with("dial-nowhere", move |core| core.dial(address));
    let Seen::Connected(Err(_)) = running.saw() else { panic!("connected to everybody") };
    running.finish();
}

#[test]
fn an_attempt_that_is_given_up() {
    let (listener, address) = listener();
    let running = Running::with("dial-given-up", move |core| core.dial_and_give_up(address));
    let (mut server, _) = listener.accept().expect("the kernel was quicker");
    assert!(matches!(server.read(&mut [0; 8]), Ok(0) | Err(_)), "closed");
    assert!(running.seen.try_recv().is_err(), "nothing is said of it");
    running.finish();
}

/// A server whose certificate is for somebody else, and which asks for ours.
fn secure(server: TcpStream, alpn: Option<&str>) -> StreamOwned<ServerConnection, TcpStream> {
    let made = rcgen::generate_simple_self_signed(["wrong.example".to_owned()]).expect("made");
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let any = Arc::new(AnyServer::new(&provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("both versions are there")
        .with_client_cert_verifier(any)
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("a pair");
    config.alpn_protocols = alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
    let tls = ServerConnection::new(Arc::new(config)).expect("a sound configuration");
    StreamOwned::new(tls, server)
}

fn own_certificate(folder: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(folder.join("certificate.pem")).expect("made at the start")
}

/// Plays the server: `word` makes the other side begin TLS.
fn check_tls(name: &str, word: &[u8], alpn: Option<&str>) -> TlsInfo {
    let (listener, address) = listener();
    let running = Running::with(name, move |core| core.dial(address));
    let mut server = accept(&running, &listener);
    server.write_all(word).expect("taken");
    let mut server = secure(server, alpn);
    expect(&mut server, word);
    assert_eq!(server.conn.server_name(), Some("other.example"), "by the name that it wants");
    let shown = server.conn.peer_certificates().expect("asked for");
    assert_eq!(shown, [own_certificate(&running.folder.0)]);
    ask(&mut server, b"hello", b"");
    let Seen::Tls(tls) = running.saw() else { panic!("told of") };
    server.write_all(b"<end>").expect("taken");
    assert_eq!(rest(&mut server), b"<end><bye>");
    drop(server);
    running.closed();
    running.finish();
    tls
}

#[test]
fn any_certificate_is_taken_and_told() {
    let tls = check_tls("dial-tls", b"<tls>", None);
    assert_eq!(tls.peer_chain.len(), 1);
    let facts = crate::certs::CertFacts::read(&tls.peer_chain[0]).expect("a certificate");
    assert_eq!(facts.dns_names, ["wrong.example"]);
    assert_eq!(tls.alpn, None);
}

#[test]
fn with_direct_tls_the_protocol_is_named() {
    let tls = check_tls("dial-direct", b"<direct>", Some("xmpp-server"));
    assert_eq!(tls.alpn.as_deref(), Some(&b"xmpp-server"[..]));
}

/// A certificate is public: who shows it must have its key too.
#[test]
fn a_certificate_of_somebody_else() {
    let make = || rcgen::generate_simple_self_signed(["other.example".to_owned()]).expect("made");
    let (shown, had) = (make(), make());
    let key = PrivateKeyDer::from_pem_slice(had.signing_key.serialize_pem().as_bytes());
    let key = any_supported_type(&key.expect("a key")).expect("a key of a known kind");
    let stolen = CertifiedKey::new(vec![shown.cert.der().clone()], key);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("both versions are there")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(stolen)));
    let (listener, address) = listener();
    let running = Running::with("dial-stolen", move |core| core.dial(address));
    let mut server = accept(&running, &listener);
    server.write_all(b"<tls>").expect("taken");
    let tls = ServerConnection::new(Arc::new(config)).expect("nobody has looked");
    let mut server = StreamOwned::new(tls, server);
    server.read_exact(&mut [0; 5]).expect_err("refused");
    let reason = running.closed();
    assert!(reason.contains("BadSignature"), "{reason}");
    running.finish();
}

#[test]
fn a_server_that_speaks_no_tls() {
    let (listener, address) = listener();
    let running = Running::with("dial-clear", move |core| core.dial(address));
    let mut server = accept(&running, &listener);
    server.write_all(b"<tls>").expect("taken");
    server.read_exact(&mut [0; 64]).expect("a ClientHello");
    server.write_all(b"<stream:error>").expect("taken");
    let reason = running.closed();
    assert!(reason.starts_with("TLS: "), "{reason}");
    running.finish();
}
