//! What each kind of client gets at the end, and what it costs the others.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{check_farewell, exit};
use crate::client::{Client, Item};
use crate::driver::Driver as _;
use crate::party::{HEADER, Party, in_process, over_sockets, setup_on_disk};
use crate::process::Process;
use crate::sasl::Mechanism;
use crate::socket::Sockets;

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

fn groupchat(n: usize) -> String {
    format!(
        "<message type='groupchat' to='room@conference.localhost' id='m{n}'>\
         <body>{n}</body></message>"
    )
}

/// The numbers of the messages among these.
fn numbers(elements: &[tercet::xml::Element]) -> Vec<usize> {
    let ids = elements.iter().filter_map(|e| e.attr("id")?.strip_prefix('m')?.parse().ok());
    ids.collect()
}

/// Three users in two rooms; everything up to now is taken.
fn gathering(with_tls: bool) -> (Party<Sockets>, [usize; 3]) {
    let mut party = over_sockets("", &["romeo", "juliet", "nurse"]);
    party.with_tls = with_tls;
    party.mechanism = Mechanism::ScramSha256;
    let romeo = party.join("romeo", "room");
    party.enter(romeo, "attic", "romeo");
    let (juliet, nurse) = (party.join("juliet", "room"), party.login("nurse"));
    for who in [nurse, juliet, romeo] {
        party.fence(who);
        party.take(who);
    }
    (party, [romeo, juliet, nurse])
}

fn everybody_is_told(with_tls: bool, signal: Signal) {
    let (mut party, [romeo, juliet, nurse]) = gathering(with_tls);
    party.driver.process.signal(signal);
    let before = [
        check_farewell(&mut party, romeo, &["attic", "room"]),
        check_farewell(&mut party, juliet, &["room"]),
        check_farewell(&mut party, nurse, &[]),
    ];
    // Nobody hears of the others' end: the rooms end as a whole (§8, phase 3).
    assert!(before.iter().all(Vec::is_empty), "{before:?}");
    let (code, summary) = exit(&mut party);
    assert_eq!(code, 0, "{summary}");
    assert!(
        summary.ends_with(
            "3 clients closed (0 cut), 0 servers, 0 stanzas sent to them, 0 stanzas dropped"
        ),
        "{summary}"
    );
}

#[test]
fn everybody_is_told_over_tcp() {
    everybody_is_told(false, Signal::TERM);
}

#[test]
fn everybody_is_told_over_tls() {
    everybody_is_told(true, Signal::TERM);
}

#[test]
fn an_interrupt_is_the_same() {
    everybody_is_told(false, Signal::INT);
}

fn what_was_accepted_arrives(with_tls: bool) {
    let (mut party, [romeo, juliet, _]) = gathering(with_tls);
    let count = 2_000;
    for n in 0..count {
        party.send(romeo, &groupchat(n));
    }
    // The first ones have come through: the signal comes in the middle of the rest.
    party.receive(romeo, "<message id='m0'/>");
    party.driver.process.terminate();
    let of_romeo = check_farewell(&mut party, romeo, &["attic", "room"]);
    let of_juliet = check_farewell(&mut party, juliet, &["room"]);
    let (of_romeo, of_juliet) = (numbers(&of_romeo), numbers(&of_juliet));
    assert_eq!(of_juliet, (0..of_juliet.len()).collect::<Vec<_>>());
    assert_eq!(of_romeo, of_juliet[1..], "each has what the other has");
    let (code, summary) = exit(&mut party);
    assert_eq!(code, 0, "{summary}");
}

#[test]
fn what_was_accepted_arrives_over_tcp() {
    what_was_accepted_arrives(false);
}

#[test]
fn what_was_accepted_arrives_over_tls() {
    what_was_accepted_arrives(true);
}

#[test]
fn what_was_echoed_arrives_at_those_who_read_late() {
    let (mut party, [romeo, juliet, _]) = gathering(false);
    let link = party.guests[juliet].link;
    party.driver.stop_reading(link);
    for n in 0..500 {
        party.send(romeo, &groupchat(n));
    }
    party.receive(romeo, "<message id='m499'/>");
    party.driver.process.terminate();
    check_farewell(&mut party, romeo, &["attic", "room"]);
    party.driver.read_again(link);
    let heard = check_farewell(&mut party, juliet, &["room"]);
    assert_eq!(numbers(&heard), (0..500).collect::<Vec<_>>());
    assert_eq!(exit(&mut party).0, 0);
}

#[test]
fn what_was_read_is_handled_before_the_end() {
    let mut party = in_process("", &["romeo", "juliet"]);
    let (romeo, juliet) = (party.join("romeo", "room"), party.join("juliet", "room"));
    party.fence(juliet);
    party.take(juliet);
    // One read takes all of it, one turn handles less.
    let burst: String = (0..130).map(groupchat).collect();
    assert!(burst.len() < 16 * 1024);
    party.post(romeo, &burst);
    party.driver.world.turn();
    let now = party.driver.world.now;
    party.server().handle_shutdown(now, "TERM");
    let items = party.end(juliet);
    let elements: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            Item::Element(element) => Some(element),
            _ => None,
        })
        .collect();
    assert_eq!(numbers(&elements), (0..130).collect::<Vec<_>>());
    party.end_with(romeo, "system-shutdown");
    party.settle();
    assert_eq!(party.driver.world.exit, Some(0));
}

#[test]
fn half_a_stanza_holds_nobody_up() {
    let (mut party, [romeo, juliet, nurse]) = gathering(true);
    party.send(romeo, "<message type='groupchat' to='room@conference.localhost'><body>ha");
    party.fence(nurse);
    party.driver.process.terminate();
    assert!(check_farewell(&mut party, romeo, &["attic", "room"]).is_empty());
    assert!(check_farewell(&mut party, juliet, &["room"]).is_empty());
    let (code, summary) = exit(&mut party);
    assert_eq!(code, 0, "{summary}");
}

#[test]
fn who_never_answers_holds_nobody_up() {
    let (mut party, [romeo, juliet, nurse]) = gathering(true);
    party.is_polite = false;
    let began = Instant::now();
    party.driver.process.terminate();
    check_farewell(&mut party, romeo, &["attic", "room"]);
    check_farewell(&mut party, juliet, &["room"]);
    check_farewell(&mut party, nurse, &[]);
    let (code, summary) = exit(&mut party);
    // Everything was written: nothing was dropped, though nobody has said that it came.
    assert_eq!(code, 0, "{summary}");
    assert!(began.elapsed() < Duration::from_secs(8), "{summary}");
}

/// A gathering of which one reads nothing, and has more to read than the kernel takes.
fn gathering_with_a_deaf_one(toml: &str) -> (Party<Sockets>, [usize; 2]) {
    let mut party = over_sockets(toml, &["romeo", "deaf"]);
    let romeo = party.join("romeo", "room");
    let deaf = party.join("deaf", "room");
    party.fence(deaf);
    party.driver.stop_reading(party.guests[deaf].link);
    let body = "x".repeat(100_000);
    for n in 0..150 {
        party.send(
            romeo,
            &format!(
                "<message type='groupchat' to='room@conference.localhost' id='m{n}'>\
                 <body>{body}</body></message>"
            ),
        );
        party.receive(romeo, &format!("<message id='m{n}'/>"));
    }
    party.fence(romeo);
    party.take(romeo);
    (party, [romeo, deaf])
}

#[test]
fn who_never_reads_is_cut_and_counted() {
    let toml = "shutdown.clients_ms = 700\n\
                [limits]\noutbox_bytes = 30000000\noutbox_bytes_total = 60000000";
    let (mut party, [romeo, _]) = gathering_with_a_deaf_one(toml);
    let began = Instant::now();
    party.driver.process.terminate();
    check_farewell(&mut party, romeo, &["room"]);
    assert!(began.elapsed() < Duration::from_secs(5), "the others do not wait");
    let (code, summary) = exit(&mut party);
    assert!(began.elapsed() < Duration::from_secs(8), "{summary}");
    assert_eq!(code, 3, "{summary}");
    assert!(summary.contains("2 clients closed (1 cut)"), "{summary}");
    assert!(!summary.ends_with(" 0 stanzas dropped"), "{summary}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let toml = "[shutdown]\ntotal_ms = 60000\nclients_ms = 50000\n\
                [limits]\noutbox_bytes = 30000000\noutbox_bytes_total = 60000000";
    let (mut party, [romeo, _]) = gathering_with_a_deaf_one(toml);
    let began = Instant::now();
    party.driver.process.terminate();
    check_farewell(&mut party, romeo, &["room"]);
    party.driver.process.terminate();
    let (code, summary) = exit(&mut party);
    assert!(began.elapsed() < Duration::from_secs(15), "{summary}");
    assert_eq!(code, 3, "{summary}");
    assert!(summary.contains("2 clients closed (1 cut)"), "{summary}");
}

#[test]
fn streams_in_negotiation_end_too() {
    let mut party = over_sockets("", &["romeo"]);
    let silent = party.open();
    let opened = party.open_stream();
    // In the middle of SCRAM: the server waits for the proof.
    let in_login = party.open_stream();
    let first = crate::sasl::base64(b"n,,n=romeo,r=nonce");
    let sasl = tercet::xmpp::ns::SASL;
    let auth = format!("<auth xmlns='{sasl}' mechanism='SCRAM-SHA-256'>{first}</auth>");
    party.send(in_login, &auth);
    party.receive(in_login, &format!("<challenge xmlns='{sasl}'>{{any}}</challenge>"));
    // Before its ClientHello: there is no stream to end.
    let in_handshake = party.open_stream();
    party.send(in_handshake, STARTTLS);
    party.receive(in_handshake, PROCEED);
    // Half a header.
    let half = party.open();
    party.send(half, &HEADER[..HEADER.len() / 2]);
    // Logged in, not bound.
    let unbound = party.open_stream();
    party.send(unbound, &crate::party::plain("romeo", "secret"));
    party.receive(unbound, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    let fence = party.login("romeo");
    party.fence(fence);
    party.driver.process.terminate();
    for who in [silent, half] {
        // Our header comes first (RFC 6120 §4.9.1.2).
        let items = party.end(who);
        let is_header = matches!(items.first(), Some(Item::Element(e)) if &*e.name == "stream");
        assert!(is_header && items.len() == 3, "{items:?}");
        assert!(matches!(items[2], Item::Close), "{items:?}");
    }
    party.end_with(opened, "system-shutdown");
    party.end_with(in_login, "system-shutdown");
    party.end_with(unbound, "system-shutdown");
    assert!(party.end(in_handshake).is_empty(), "clear bytes in the middle of a handshake");
    let (code, summary) = exit(&mut party);
    assert_eq!(code, 0, "{summary}");
    assert!(summary.contains("7 clients closed (0 cut)"), "{summary}");
}

/// Seed 104074: it counted as a client that had lost something.
#[test]
fn a_switch_to_tls_that_has_not_come_to_pass_loses_nothing() {
    let mut party = in_process("", &[]);
    let in_switch = party.open_stream();
    let link = party.guests[in_switch].link;
    party.driver.world.pace.shut.insert(link);
    party.send(in_switch, STARTTLS);
    let now = party.driver.world.now;
    party.server().handle_shutdown(now, "TERM");
    assert!(party.end(in_switch).is_empty(), "clear bytes behind <proceed/>");
    party.settle();
    let summary = party.server().summary();
    assert!(summary.contains("1 clients closed (0 cut)"), "{summary}");
    assert_eq!(party.driver.world.exit, Some(0));
}

#[test]
fn nobody_new_is_let_in() {
    let (mut party, [romeo, ..]) = gathering(false);
    // Somebody who does not answer keeps the process alive for a while.
    party.is_polite = false;
    party.driver.process.terminate();
    check_farewell(&mut party, romeo, &["attic", "room"]);
    let error = TcpStream::connect(party.driver.process.address).expect_err("it has ended");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let (code, summary) = exit(&mut party);
    assert_eq!(code, 0, "{summary}");
}

#[test]
fn unread_input_does_not_destroy_the_farewell() {
    // A client that has sent more than the server wants to read, and only then looks.
    let toml = "[limits]\nbytes_per_second = 1000\nburst_bytes = 1000";
    let setup = setup_on_disk(toml, &[]);
    let mut process = Process::start(&setup).expect("it starts");
    let mut stream = TcpStream::connect(process.address).expect("it accepts");
    stream.write_all(HEADER.as_bytes()).expect("written");
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains("</stream:features>") {
        let count = stream.read(&mut buffer).expect("features");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    stream.set_nonblocking(true).expect("a socket");
    let spaces = [b' '; 65_536];
    let mut unread = 0;
    loop {
        match stream.write(&spaces) {
            Ok(count) => unread += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(unread > 100_000, "the kernel took {unread} bytes");
    process.terminate();
    stream.set_nonblocking(false).expect("a socket");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("an orderly end, no reset");
    assert!(rest.contains("<system-shutdown "), "{rest}");
    assert!(rest.ends_with("</stream:stream>"), "{rest}");
    // The server has ended its direction and still reads ours, until our end.
    for _ in 0..3 {
        stream.write_all(b"<late/>").expect("no reset");
    }
    drop(stream);
    assert_eq!(process.exit_code(), Ok(0));
}

#[test]
fn a_client_that_resets_its_connection_is_no_loss() {
    let (mut party, [romeo, juliet, nurse]) = gathering(false);
    party.driver.cut(party.guests[juliet].link);
    party.driver.process.terminate();
    party.end_with(nurse, "system-shutdown");
    party.end_with(romeo, "system-shutdown");
    let (_, summary) = exit(&mut party);
    assert!(summary.contains("clients closed"), "{summary}");
}

#[test]
fn without_clients_it_ends_at_once() {
    let setup = setup_on_disk("", &[]);
    let mut process = Process::start(&setup).expect("it starts");
    let began = Instant::now();
    process.terminate();
    assert_eq!(process.exit_code(), Ok(0));
    assert!(began.elapsed() < Duration::from_secs(5));
    // And starts again on what it left.
    let mut process = Process::start(&setup).expect("it starts again");
    process.terminate();
    assert_eq!(process.exit_code(), Ok(0));
}

#[test]
fn an_account_that_waits_for_its_password_check_is_no_hindrance() {
    let mut party = over_sockets("", &["romeo"]);
    let crowd: Vec<_> = (0..50).map(|_| party.open_stream()).collect();
    for &who in &crowd {
        party.send(who, &crate::party::plain("romeo", "secret"));
    }
    party.driver.process.terminate();
    for who in crowd {
        party.end(who);
        // A stream header may stand between the success and the error.
        let text = String::from_utf8_lossy(&party.guests[who].transcript).into_owned();
        assert!(text.contains("<system-shutdown "), "{text}");
        assert!(text.ends_with("</stream:stream>"), "{text}");
    }
    let client = Client::raw(party.identity("romeo"));
    assert!(party.connect(client).is_none(), "nobody new");
    assert_eq!(exit(&mut party).0, 0);
}
