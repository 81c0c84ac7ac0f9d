//! TLS: direct and by STARTTLS, both versions, and what the core learns of it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::super::certificate;
use super::echo::{FLOOD_BYTES, Folder, Running, Seen, ask, config, connect, expect, rest};
use crate::cx::Now;
use crate::stream::c2s::TlsInfo;

type Client = StreamOwned<ClientConnection, TcpStream>;

const V12: &SupportedProtocolVersion = &rustls::version::TLS12;
const V13: &SupportedProtocolVersion = &rustls::version::TLS13;

/// A client that trusts the self-signed certificate of `folder` and nothing else.
fn secure(
    stream: TcpStream,
    folder: &Path,
    version: &'static SupportedProtocolVersion,
    alpn: &str,
) -> Client {
    let certificate = CertificateDer::from_pem_file(folder.join("certificate.pem"));
    let mut roots = RootCertStore::empty();
    roots.add(certificate.expect("made at the start")).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("both versions are there")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.into()];
    let name = "localhost".try_into().expect("a name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a sound configuration");
    StreamOwned::new(tls, stream)
}

impl Running {
    #[track_caller]
    fn tls_info(&self) -> TlsInfo {
        loop {
            if let Seen::Tls(tls) = self.saw() {
                return tls;
            }
        }
    }
}

/// Says goodbye, and expects the same: `rest` fails when `close_notify` is missing.
#[track_caller]
fn finish(running: Running, mut client: Client) {
    client.write_all(b"<end>").expect("taken");
    assert_eq!(rest(&mut client), b"<end><bye>");
    client.conn.send_close_notify();
    client.conn.write_tls(&mut client.sock).expect("taken");
    // With its close_notify the other side has ended; the socket need not be closed.
    assert_eq!(running.closed(), "closed");
    running.finish();
}

#[track_caller]
fn check(running: Running, mut client: Client, version: &'static SupportedProtocolVersion) {
    ask(&mut client, b"hello", b"");
    let seen = running.tls_info();
    assert_eq!(seen.is_tls13, version == V13);
    assert_eq!(seen.sni.as_deref(), Some("localhost"));
    assert_eq!(seen.alpn.as_deref(), Some(&b"xmpp-client"[..]));
    let leaf = &client.conn.peer_certificates().expect("sent")[0];
    let hash = ring::digest::digest(&ring::digest::SHA256, leaf);
    assert_eq!(seen.end_point.as_deref(), Some(hash.as_ref()));
    let label = b"EXPORTER-Channel-Binding";
    let exported = client.conn.export_keying_material([0; 32], label, Some(b""));
    let want = (version == V13).then(|| exported.expect("after the handshake").to_vec());
    assert_eq!(seen.exporter, want);
    finish(running, client);
}

#[test]
fn direct_tls_13() {
    let running = Running::new("direct13");
    let client = secure(connect(running.tls), &running.folder.0, V13, "xmpp-client");
    check(running, client, V13);
}

#[test]
fn direct_tls_12() {
    let running = Running::new("direct12");
    let client = secure(connect(running.tls), &running.folder.0, V12, "xmpp-client");
    check(running, client, V12);
}

#[track_caller]
fn check_starttls(name: &str, version: &'static SupportedProtocolVersion) {
    let running = Running::new(name);
    let mut stream = running.client();
    ask(&mut stream, b"hello<starttls>", b"<proceed>");
    let mut client = secure(stream, &running.folder.0, version, "xmpp-client");
    // What was queued behind the switch did not go out in the clear.
    expect(&mut client, b"<secret>");
    check(running, client, version);
}

#[test]
fn starttls_13() {
    check_starttls("starttls13", V13);
}

#[test]
fn starttls_12() {
    check_starttls("starttls12", V12);
}

/// The ClientHello, and all else, one byte at a time.
#[test]
fn a_handshake_in_single_bytes() {
    let running = Running::new("drops");
    let mut stream = running.client();
    ask(&mut stream, b"<starttls>", b"<proceed>");
    let mut client = secure(stream, &running.folder.0, V13, "xmpp-client");
    while client.conn.is_handshaking() {
        let mut bytes = Vec::new();
        while client.conn.wants_write() {
            client.conn.write_tls(&mut bytes).expect("into memory");
        }
        for byte in bytes {
            client.sock.write_all(&[byte]).expect("taken");
        }
        if client.conn.is_handshaking() {
            client.conn.read_tls(&mut client.sock).expect("an answer");
            client.conn.process_new_packets().expect("a good one");
        }
    }
    expect(&mut client, b"<secret>");
    check(running, client, V13);
}

#[test]
fn megabytes_and_a_slow_reader() {
    let running = Running::new("tls-megabytes");
    let mut client = secure(connect(running.tls), &running.folder.0, V13, "xmpp-client");
    let bytes: Vec<u8> = (0..4 * 1024 * 1024).map(|at| b'a' + (at * 7 % 25) as u8).collect();
    // All of it is sent before anything is read: the echo waits in the outbox.
    client.write_all(&bytes).expect("taken");
    let mut echo = vec![0; bytes.len()];
    client.read_exact(&mut echo).expect("all of it");
    assert!(echo == bytes, "every byte, in order");
    client.write_all(b"<flood>").expect("taken");
    expect(&mut client, b"<flood>");
    let mut flood = vec![0; FLOOD_BYTES];
    client.read_exact(&mut flood).expect("all of it");
    assert!(flood.iter().enumerate().all(|(at, &byte)| byte == (at % 251) as u8), "in order");
    finish(running, client);
}

#[test]
fn many_handshakes_at_once() {
    let running = Running::new("handshakes");
    let (address, folder) = (running.tls, running.folder.0.clone());
    let threads: Vec<_> = (0..40)
        .map(|_| {
            let folder = folder.clone();
            std::thread::spawn(move || {
                let mut client = secure(connect(address), &folder, V13, "xmpp-client");
                ask(&mut client, b"hello", b"");
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("served");
        running.closed();
    }
    running.finish();
}

/// The end of the socket without `close_notify` is an end.
#[test]
fn truncation_is_an_end() {
    let running = Running::new("truncated");
    let mut client = secure(connect(running.tls), &running.folder.0, V13, "xmpp-client");
    ask(&mut client, b"hello", b"");
    client.sock.shutdown(std::net::Shutdown::Write).expect("half-closed");
    assert_eq!(rest(&mut client), b"<eof>");
    assert_eq!(running.closed(), "closed");
    running.finish();
}

#[test]
fn a_foreign_protocol_is_refused() {
    let running = Running::new("alpn");
    let mut client = secure(connect(running.tls), &running.folder.0, V13, "h2");
    let error = client.write_all(b"hello").and_then(|()| client.read(&mut [0; 8])).err();
    let error = error.expect("refused").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    assert!(running.closed().starts_with("TLS: "), "with the reason");
    running.finish();
}

#[test]
fn what_is_no_tls_gets_an_alert() {
    let running = Running::new("garbage");
    let mut client = connect(running.tls);
    client.write_all(b"<?xml version='1.0'?><stream:stream>").expect("taken");
    let mut first = [0];
    client.read_exact(&mut first).expect("an alert");
    assert_eq!(first[0], 21, "the record type of alerts");
    assert!(running.closed().starts_with("TLS: "), "with the reason");
    running.finish();
}

/// A handshake message that never ends, in small records.
#[test]
fn an_endless_handshake_is_cut() {
    let running = Running::new("endless");
    let mut client = connect(running.tls);
    let mut record = vec![22, 3, 1, 0, 100, 1, 0, 0xff, 0xf0];
    record.resize(105, 0);
    let more = [&[22, 3, 1, 0, 1][..], &[0]].concat().repeat(2000);
    let mut sent = client.write_all(&record);
    for _ in 0..1000 {
        sent = sent.and_then(|()| client.write_all(&more));
    }
    let error = sent.expect_err("cut before twelve megabytes").kind();
    assert!(matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert_eq!(running.closed(), "the TLS handshake is too long");
    running.finish();
}

#[test]
fn gone_during_the_handshake() {
    let running = Running::new("gone");
    drop(connect(running.tls));
    assert_eq!(running.closed(), "gone during the TLS handshake");
    running.finish();
}

#[test]
fn certificates_are_made_once_and_reloaded_only_when_good() {
    let folder = Folder::new("reload");
    let (send, _seen) = std::sync::mpsc::channel();
    let (mut reactor, _) = super::echo::reactor(config(&folder.0), send, |_| {});
    let names = |identities: &super::super::tls::Identities| {
        identities.pick(None).facts.dns_names.join(" ")
    };
    assert_eq!(names(&reactor.identities), "localhost conference.localhost");
    let key = folder.0.join("key.pem");
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&key).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = std::fs::read(&key).expect("made");

    // Another domain needs another certificate; the self-signed one is not replaced by itself.
    let other = Folder::new("reload-other");
    let mut changed = config(&other.0);
    changed.domains = vec![crate::xmpp::BareJid::parse("example.org").expect("a domain")];
    certificate::load(&changed, Now::default()).expect("made");
    let mut pair = config(&folder.0);
    pair.tls.certificate = Some(other.0.join("certificate.pem"));
    pair.tls.key = Some(key.clone());
    let bad = Rc::new(pair.clone());
    reactor.reload(Now::default(), &mut || Ok(bad.clone()));
    assert_eq!(names(&reactor.identities), "localhost conference.localhost", "no pair");
    pair.tls.key = Some(other.0.join("key.pem"));
    let good = Rc::new(pair);
    reactor.reload(Now::default(), &mut || Ok(good.clone()));
    assert_eq!(names(&reactor.identities), "example.org conference.localhost");
    reactor.reload(Now::default(), &mut || Err("line 3".to_owned()));
    assert_eq!(names(&reactor.identities), "example.org conference.localhost");
    assert_eq!(std::fs::read(&key).expect("still there"), first);
}
