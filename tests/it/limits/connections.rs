//! How many connections, how fast, how long.

use crate::party::{HEADER, in_process, plain};

#[test]
fn connections_in_all() {
    let mut party = in_process("[limits]\nconnections = 2", &[]);
    let first = party.open();
    party.move_to("192.0.2.1");
    party.open();
    party.move_to("192.0.2.2");
    assert!(!party.is_admitted(), "the third");
    party.cut(first);
    assert!(party.is_admitted(), "one is gone");
    party.check_residue();
}

#[test]
fn connections_of_one_address() {
    let mut party = in_process("[limits]\nconnections_per_address = 2", &[]);
    let first = party.open();
    party.open();
    assert!(!party.is_admitted(), "the third of this address");
    party.move_to("192.0.2.1");
    assert!(party.is_admitted(), "the first of another");
    party.move_to("127.0.0.1");
    assert!(!party.is_admitted(), "still two of this address");
    party.cut(first);
    assert!(party.is_admitted(), "one is gone");
    party.check_residue();
}

#[test]
fn connections_of_one_ipv6_network_count_as_one_address() {
    let mut party = in_process("[limits]\nconnections_per_address = 2", &[]);
    party.move_to("2001:db8::1");
    party.open();
    party.move_to("2001:db8::ffff:2");
    party.open();
    party.move_to("2001:db8::3");
    assert!(!party.is_admitted(), "a third of the same /64");
    party.move_to("2001:db8:0:1::3");
    assert!(party.is_admitted(), "another /64");
}

#[test]
fn connections_that_have_not_logged_in() {
    let toml = "[limits]\nconnections_unauthenticated = 2";
    let mut party = in_process(toml, &["romeo"]);
    party.open();
    let romeo = party.login("romeo");
    let second = party.open();
    party.move_to("192.0.2.1");
    assert!(!party.is_admitted(), "a third that has not logged in, wherever it comes from");
    party.fence(romeo);
    party.cut(second);
    assert!(party.is_admitted(), "one is gone");
    party.check_residue();
}

#[test]
fn zero_switches_the_limits_of_connections_off() {
    let toml = "[limits]\nconnections = 0\nconnections_per_address = 0\n\
                connections_unauthenticated = 0\nunauthenticated_seconds = 0";
    let mut party = in_process(toml, &[]);
    for _ in 0..2_000 {
        party.open();
    }
    let who = party.open();
    party.pass(3_600_000);
    assert!(!party.has_ended(who));
    party.check_residue();
}

#[test]
fn who_does_not_log_in_is_closed() {
    let mut party = in_process("[limits]\nunauthenticated_seconds = 30", &["romeo"]);
    let silent = party.open();
    let opened = party.open_stream();
    let in_login = party.open_stream();
    party.send(in_login, &plain("romeo", "secret"));
    party.receive(in_login, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    let romeo = party.login("romeo");
    // Bytes now and then are no login.
    for _ in 0..29 {
        party.pass(1_000);
        party.send(opened, " ");
    }
    party.pass(999);
    for who in [silent, opened, in_login] {
        assert!(!party.has_ended(who), "{who} has its time");
    }
    party.pass(1);
    for who in [silent, opened, in_login] {
        party.end_with(who, "connection-timeout");
    }
    party.fence(romeo);
    party.check_residue();
}

#[test]
fn a_silent_client_is_asked_and_then_closed() {
    let mut party = in_process("[limits]\nidle_seconds = 60", &["romeo", "juliet"]);
    let (romeo, juliet) = (party.login("romeo"), party.login("juliet"));
    party.pass(59_999);
    assert!(party.take(romeo).is_empty(), "it has been silent for less than a minute");
    party.pass(1);
    let ping = "<iq type='get' from='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
    let ping_id = party.receive(romeo, ping).attr("id").expect("an id").to_owned();
    party.receive(juliet, ping);
    party.send(romeo, &format!("<iq type='result' to='localhost' id='{ping_id}'/>"));
    party.pass(59_000);
    assert!(!party.has_ended(juliet));
    party.pass(1_000);
    party.end_with(juliet, "connection-timeout");
    party.receive(romeo, ping);
    // White space is a sign of life too (RFC 6120 §4.6.1).
    party.send(romeo, " ");
    party.pass(59_999);
    party.fence(romeo);
    party.check_residue();
}

#[test]
fn zero_switches_the_idle_limit_off() {
    let mut party = in_process("[limits]\nidle_seconds = 0", &["romeo"]);
    let romeo = party.login("romeo");
    party.pass(86_400_000);
    assert!(party.take(romeo).is_empty());
    party.fence(romeo);
}

#[test]
fn who_sends_too_fast_is_read_more_slowly_and_loses_nothing() {
    let toml = "[limits]\nbytes_per_second = 1000\nburst_bytes = 10000\nidle_seconds = 0";
    let mut party = in_process(toml, &["romeo", "juliet"]);
    let (romeo, juliet) = (party.login("romeo"), party.login("juliet"));
    let message =
        |n| format!("<message to='juliet@localhost'><body>number {n:0>900}</body></message>");
    party.send(juliet, "<presence/>");
    party.fence(juliet);
    party.take(juliet);
    let count = 60;
    for n in 0..count {
        party.send(romeo, &message(n));
    }
    let bytes = count * message(0).len();
    party.settle();
    let at_once = party.take_elements(juliet);
    assert!(!at_once.is_empty() && at_once.len() * message(0).len() < 10_000 + 16_384 + 1_000);
    // The others are served meanwhile.
    party.fence(juliet);
    assert!(party.take(juliet).is_empty(), "time stands still: nothing more is read");
    let mut got = at_once;
    let began_ms = party.now_ms();
    while got.len() < count {
        party.pass(1_000);
        assert!(party.now_ms() - began_ms < 120_000, "{} came", got.len());
        got.extend(party.take_elements(juliet));
    }
    let took_ms = (party.now_ms() - began_ms) as usize;
    assert!(took_ms >= bytes - 10_000 - 16_384 - 2_000, "{bytes} bytes within {took_ms} ms");
    for (n, element) in got.iter().enumerate() {
        let body = element.child("body", "jabber:client").expect("a body").text();
        assert_eq!(body, format!("number {n:0>900}"));
    }
    party.check_residue();
}

#[test]
fn a_burst_within_its_bounds_is_not_held_up() {
    let toml = "[limits]\nbytes_per_second = 1000\nburst_bytes = 100000";
    let mut party = in_process(toml, &["romeo"]);
    let who = party.login("romeo");
    for n in 0..500 {
        party.send(who, &format!("<iq type='get' id='{n}'><ping xmlns='urn:xmpp:ping'/></iq>"));
    }
    party.settle();
    assert_eq!(party.take_elements(who).len(), 500);
}

#[test]
fn the_rate_counts_before_login_too() {
    let toml = "[limits]\nbytes_per_second = 1000\nburst_bytes = 1000\n\
                unauthenticated_seconds = 60";
    let mut party = in_process(toml, &[]);
    let who = party.open();
    party.send(who, HEADER);
    // White space costs nothing to keep, but it costs reading.
    party.send_bytes(who, &vec![b' '; 200_000]);
    party.settle();
    assert!(party.driver.world.next_deadline().is_some(), "it is to be read on");
    party.pass(59_999);
    assert!(!party.has_ended(who));
    party.pass(1);
    party.end_with(who, "connection-timeout");
}
