//! Questions to name servers: what goes out, whose answers come in.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use super::echo::{Running, Seen};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

fn name_server() -> (UdpSocket, SocketAddr) {
    let server = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    server.set_read_timeout(PATIENCE).expect("a timeout");
    let address = server.local_addr().expect("bound");
    (server, address)
}

#[track_caller]
fn heard(running: &Running, from: SocketAddr) -> Result<Vec<u8>, ()> {
    let Seen::Dns(server, packet) = running.saw() else { panic!("nothing else happens") };
    assert_eq!(server, from);
    packet
}

#[test]
fn only_the_asked_server_answers() {
    let (server, address) = name_server();
    let (stranger, _) = name_server();
    let running = Running::with("udp", move |core| core.ask_dns(address, b"7?question", false));
    let mut packet = [0; 64];
    let (len, from) = server.recv_from(&mut packet).expect("asked");
    assert_eq!(&packet[..len], b"7?question");
    stranger.send_to(b"7?lie", from).expect("sent");
    server.send_to(b"8?another", from).expect("sent");
    server.send_to(b"7?answer", from).expect("sent");
    server.send_to(b"7?answer again", from).expect("sent");
    assert_eq!(heard(&running, address), Ok(b"7?answer".to_vec()));
    assert!(running.seen.try_recv().is_err(), "one answer");
    running.finish();
}

#[test]
fn each_question_has_its_own_port() {
    let (server, address) = name_server();
    let running = Running::with("udp-ports", move |core| {
        core.ask_dns(address, b"1?", false);
        core.ask_dns(address, b"2?", false);
    });
    let mut packet = [0; 64];
    let (_, one) = server.recv_from(&mut packet).expect("asked");
    let (_, other) = server.recv_from(&mut packet).expect("asked");
    assert_ne!(one.port(), other.port());
    running.finish();
}

#[test]
fn who_guesses_has_few_tries() {
    let (server, address) = name_server();
    let running = Running::with("udp-guess", move |core| core.ask_dns(address, b"7?", false));
    let mut packet = [0; 64];
    let (_, from) = server.recv_from(&mut packet).expect("asked");
    // What comes after the socket is closed goes nowhere, which the sender may hear of.
    let _ = (0..64_u8).try_for_each(|id| server.send_to(&[id, b'!'], from).map(|_| ()));
    assert_eq!(heard(&running, address), Err(()));
    running.finish();
}

#[test]
fn no_name_server_there() {
    let (server, address) = name_server();
    drop(server);
    let running = Running::with("udp-nobody", move |core| core.ask_dns(address, b"7?", false));
    assert_eq!(heard(&running, address), Err(()));
    running.finish();
}

#[test]
fn a_long_answer_over_tcp() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let running = Running::with("dns-tcp", move |core| {
        core.ask_dns(address, b"7?question", true);
        core.ask_dns(address, b"8?question", true);
    });
    let (mut one, mut other) = (listener.accept().expect("asked").0, listener.accept());
    let mut question = [0; 12];
    one.set_read_timeout(PATIENCE).expect("a timeout");
    one.read_exact(&mut question).expect("all of it");
    assert!(question.starts_with(b"\0\x0a") && question.ends_with(b"?question"), "{question:?}");
    let answer = vec![7; 60_000];
    one.write_all(&[0xea]).expect("taken");
    one.write_all(&[&[0x60][..], &answer].concat()).expect("taken");
    assert_eq!(heard(&running, address), Ok(answer));
    // Cut in the middle.
    let (other, _) = other.as_mut().expect("asked");
    other.set_read_timeout(PATIENCE).expect("a timeout");
    other.read_exact(&mut question).expect("all of it");
    other.write_all(b"\x00\x0aabc").expect("taken");
    other.shutdown(std::net::Shutdown::Both).expect("closed");
    assert_eq!(heard(&running, address), Err(()));
    running.finish();
}
