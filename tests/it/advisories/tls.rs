//! TLS: versions, renegotiation, floods of handshakes.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use tercet::ids::ConnId;

use crate::party::{HEADER, in_process, over_sockets};

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// A connection right after `<proceed/>`.
fn proceeded(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream.write_all(HEADER.as_bytes()).expect("written");
    read_until(&mut stream, "</stream:features>");
    stream.write_all(STARTTLS.as_bytes()).expect("written");
    read_until(&mut stream, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    stream
}

fn read_until(stream: &mut TcpStream, end: &str) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(end.as_bytes()) {
        stream.read_exact(&mut byte).unwrap_or_else(|why| {
            panic!("{why} after {}", String::from_utf8_lossy(&seen));
        });
        seen.push(byte[0]);
    }
}

/// A ClientHello without extensions: TLS 1.0 or 1.1, or SSL 3.0, by `minor`.
fn old_hello(minor: u8) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    // No session; ECDHE-ECDSA and RSA suites of that time; no compression.
    body.extend([0, 0, 8, 0xc0, 0x09, 0xc0, 0x0a, 0, 0x2f, 0, 0x35, 1, 0]);
    let mut message = vec![1, 0, 0, body.len() as u8];
    message.extend(body);
    let mut record = vec![22, 3, 1, 0, message.len() as u8];
    record.extend(message);
    record
}

#[test]
fn advisory_a24_old_versions_are_refused() {
    let mut party = over_sockets("", &["romeo"]);
    for minor in [0, 1, 2] {
        let mut stream = proceeded(party.driver.process.address);
        stream.write_all(&old_hello(minor)).expect("written");
        let mut answer = Vec::new();
        // A reset after the alert is an end as well.
        let _ = stream.read_to_end(&mut answer);
        // One alert (21), fatal (2), and no handshake message (22).
        assert!(answer.is_empty() || answer[0] == 21 && answer[5] == 2, "3.{minor}: {answer:?}");
    }
    party.with_tls = true;
    party.login("romeo");
}

/// Renegotiation and the versions that had it are not in the one TLS library that there is.
#[test]
fn advisory_a24_there_is_no_other_tls() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).expect("a lock file");
    assert!(lock.contains("name = \"rustls\""));
    for other in ["openssl", "openssl-sys", "native-tls", "boring", "gnutls", "mbedtls"] {
        assert!(!lock.contains(&format!("name = \"{other}\"")), "{other}");
    }
}

#[test]
fn advisory_a24_handshakes_are_counted() {
    // With STARTTLS: see the limits. With TLS from the first byte:
    let mut party = in_process("limits.handshakes_per_address_per_minute = 3", &[]);
    let now = party.driver.world.now;
    let here = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    let mut index = 1_000;
    let mut accept = |address| {
        index += 1;
        party.server().handle_accept(now, ConnId { index, generation: 1 }, address, true)
    };
    for _ in 0..3 {
        assert!(accept(here));
    }
    assert!(!accept(here), "the fourth in this minute");
    assert!(accept(elsewhere));
}

#[test]
fn advisory_a24_a_flood_of_handshakes_stalls_nobody() {
    let toml = "[limits]\nhandshakes_per_address_per_minute = 100";
    let mut party = over_sockets(toml, &["romeo"]);
    let romeo = party.login("romeo");
    let address = party.driver.process.address;
    // Handshakes that are begun, and then left: each costs the server a step, and no more.
    let mut hello = old_hello(3);
    hello.truncate(40);
    let mut begun: Vec<TcpStream> = (0..100).map(|_| proceeded(address)).collect();
    for stream in &mut begun {
        stream.write_all(&hello).expect("written");
        party.fence(romeo);
    }
    // The one too many is told so before it begins.
    let mut stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream.write_all(HEADER.as_bytes()).expect("written");
    read_until(&mut stream, "</stream:features>");
    stream.write_all(STARTTLS.as_bytes()).expect("written");
    read_until(&mut stream, "</stream:stream>");
    party.fence(romeo);
}
