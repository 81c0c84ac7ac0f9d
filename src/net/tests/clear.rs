//! Without TLS: bytes, ends, pauses.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::echo::{FLOOD_BYTES, Running, Seen, ask, expect, rest};
use crate::ids::Door;

/// No byte of `mixed` opens a trick.
fn mixed(len: usize) -> Vec<u8> {
    (0..len).map(|at| b'a' + (at * 7 % 25) as u8).collect()
}

#[test]
fn one_byte_at_a_time_then_half_close() {
    let running = Running::new("bytes");
    let mut client = running.client();
    let bytes = mixed(300);
    for byte in &bytes {
        client.write_all(&[*byte]).expect("taken");
    }
    client.shutdown(Shutdown::Write).expect("half-closed");
    // What came before the end is answered, then the end is.
    assert_eq!(rest(&mut client), [&bytes[..], b"<eof>"].concat());
    let Seen::Accepted(Door::Clients) = running.saw() else { panic!("accepted first") };
    let Seen::End { bytes_before } = running.saw() else { panic!("then the end") };
    assert_eq!(bytes_before, 300);
    assert_eq!(running.closed(), "closed");
    running.finish();
}

#[test]
fn bytes_before_the_end_come_first_when_the_core_is_slow() {
    let running = Running::with("pending", |core| core.slice_bytes = 100);
    let mut client = running.client();
    let bytes = mixed(50_000);
    client.write_all(&bytes).expect("taken");
    client.shutdown(Shutdown::Write).expect("half-closed");
    assert_eq!(rest(&mut client), [&bytes[..], b"<eof>"].concat());
    assert_eq!(running.closed(), "closed");
    running.finish();
}

#[test]
fn megabytes_both_ways_under_partial_writes() {
    let running = Running::new("megabytes");
    let mut client = running.client();
    let bytes = mixed(6 * 1024 * 1024);
    let mut writer = client.try_clone().expect("a second handle");
    let sent = bytes.clone();
    let thread = std::thread::spawn(move || {
        writer.write_all(&sent).expect("taken");
        writer.shutdown(Shutdown::Write).expect("half-closed");
    });
    let got = rest(&mut client);
    thread.join().expect("sent");
    assert!(got == [&bytes[..], b"<eof>"].concat(), "every byte, in order");
    running.closed();
    running.finish();
}

#[test]
fn a_slow_reader_holds_up_nobody() {
    let running = Running::new("slow");
    let mut slow = running.client();
    slow.write_all(b"<flood>").expect("taken");
    expect(&mut slow, b"<flood>");
    // `slow` does not read now, and its outbox is far larger than the socket's buffer.
    let mut other = running.client();
    for _ in 0..100 {
        ask(&mut other, b"hello", b"");
    }
    let mut flood = vec![0; FLOOD_BYTES];
    slow.read_exact(&mut flood).expect("all of it");
    assert!(flood.iter().enumerate().all(|(at, &byte)| byte == (at % 251) as u8), "in order");
    ask(&mut slow, b"still here", b"");
    drop((slow, other));
    running.closed();
    running.closed();
    running.finish();
}

#[test]
fn a_reset_is_told_once() {
    let running = Running::new("reset");
    let mut client = running.client();
    ask(&mut client, b"hello", b"");
    let socket = socket2::Socket::from(client);
    socket.set_linger(Some(std::time::Duration::ZERO)).expect("linger");
    drop(socket);
    assert!(running.closed().contains("reset"), "the reason is the reset");
    running.finish();
}

/// A connection that the core does not read is still noticed when it is reset.
#[test]
fn a_reset_while_waiting() {
    let running = Running::new("reset-waiting");
    let mut client = running.client();
    ask(&mut client, b"<never>", b"");
    let socket = socket2::Socket::from(client);
    socket.set_linger(Some(std::time::Duration::ZERO)).expect("linger");
    drop(socket);
    assert!(running.closed().contains("reset"), "the reason is the reset");
    running.finish();
}

#[test]
fn the_farewell_survives_unread_input() {
    let running = Running::new("farewell");
    let mut client = running.client();
    client.write_all(b"<end>").expect("taken");
    // Nobody is interested in these bytes; a reset because of them would destroy the farewell.
    let junk = mixed(2 * 1024 * 1024);
    client.write_all(&junk).expect("read and thrown away");
    assert_eq!(rest(&mut client), b"<end><bye>");
    drop(client);
    assert_eq!(running.closed(), "closed");
    running.finish();
}

#[test]
fn a_peer_that_never_ends_is_cut_at_the_deadline() {
    let running = Running::new("deadline");
    let mut client = running.client();
    client.write_all(b"<end>").expect("taken");
    assert_eq!(rest(&mut client), b"<end><bye>");
    assert_eq!(running.closed(), "closed; the other side did not end in time");
    running.finish();
}

#[test]
fn a_peer_that_never_reads_is_cut_at_the_deadline() {
    let running = Running::new("deaf");
    let mut client = running.client();
    client.write_all(b"<flood>").expect("taken");
    expect(&mut client, b"<flood>");
    client.write_all(b"<end>").expect("taken");
    assert_eq!(running.closed(), "closed; the other side did not end in time");
    drop(client);
    running.finish();
}

#[test]
fn abort_closes_at_once() {
    let running = Running::new("abort");
    let mut client = running.client();
    client.write_all(b"<abort>").expect("taken");
    assert_eq!(running.closed(), "aborted");
    assert!(!matches!(client.read(&mut [0; 100]), Ok(8..)), "not more than the echo");
    running.finish();
}

#[test]
fn a_pause_ends_by_itself() {
    let running = Running::new("pause");
    let mut client = running.client();
    client.write_all(b"<pause>").expect("taken");
    expect(&mut client, b"<pause>");
    ask(&mut client, b"after", b"");
    client.shutdown(Shutdown::Write).expect("half-closed");
    assert_eq!(rest(&mut client), b"<eof>");
    running.closed();
    running.finish();
}

/// The core wants nothing for a while, with bytes of this client in the socket and another one
/// idle: the loop sleeps. When the core wants to read again, no edge is needed.
#[test]
fn waiting_does_not_spin() {
    let running = Running::new("spin");
    let idle = running.client();
    let mut client = running.client();
    ask(&mut client, b"<wait>", b"");
    client.write_all(b"more").expect("taken");
    let mut text = [0; 64];
    let len = client.read(&mut text).expect("the number of turns");
    let text = String::from_utf8_lossy(&text[..len]).into_owned();
    let turns = text.trim_start_matches('<').split(' ').next().and_then(|it| it.parse().ok());
    assert!(turns.is_some_and(|turns: u64| turns <= 8), "{text}");
    let echoed = text.split_once('>').map_or(0, |(_, rest)| rest.len());
    expect(&mut client, &b"more"[echoed..]);
    drop((idle, client));
    running.closed();
    running.closed();
    running.finish();
}

#[test]
fn the_core_ends_the_loop_after_the_last_flush() {
    let running = Running::new("exit");
    let mut client = running.client();
    client.write_all(b"the last words<exit>").expect("taken");
    expect(&mut client, b"the last words<exit>");
    assert_eq!(running.exit_code(), 7);
}
