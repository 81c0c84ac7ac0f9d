//! Clients that read slowly, or not at all.

use crate::inproc::InProcess;
use crate::party::{Party, Windows, in_process};

type Local = Party<InProcess<Windows>>;

fn groupchat(n: usize, bytes: usize) -> String {
    let body = format!("{n} {}", "x".repeat(bytes));
    format!(
        "<message type='groupchat' to='room@conference.localhost' id='m{n}'>\
         <body>{body}</body></message>"
    )
}

/// The numbers of the messages that `who` got.
fn numbers(party: &mut Local, who: usize) -> Vec<usize> {
    let elements = party.take_elements(who).into_iter();
    let ids = elements.filter_map(|element| element.attr("id")?.strip_prefix('m')?.parse().ok());
    ids.collect()
}

#[test]
fn a_slow_reader_is_cut_and_nobody_else_suffers() {
    let toml = "[limits]\nstanza_bytes = 20000\noutbox_bytes = 100000";
    let mut party = in_process(toml, &["romeo", "juliet", "slow"]);
    let romeo = party.join("romeo", "room");
    let (juliet, slow) = (party.join("juliet", "room"), party.join("slow", "room"));
    party.fence(juliet);
    party.take(juliet);
    party.shut_window(slow);
    let mut sent = 0;
    while !party.has_ended(slow) {
        assert!(sent < 100, "{sent} messages of 10 KB wait for somebody who does not read");
        party.send(romeo, &groupchat(sent, 10_000));
        sent += 1;
        party.settle();
        let waiting = party.server().residue().outbox_bytes;
        assert!(waiting <= 100_000, "{waiting} bytes wait");
    }
    assert!(sent > 8, "cut before the limit: after {sent} messages of 10 KB");
    assert_eq!(party.server().residue().outbox_bytes, 0);
    let leaves =
        "<presence type='unavailable' from='room@conference.localhost/slow'>{etc}</presence>";
    party.receive(romeo, leaves);
    assert_eq!(numbers(&mut party, juliet), (0..sent).collect::<Vec<_>>());
    party.send(romeo, &groupchat(sent, 10));
    party.receive(juliet, &format!("<message id='m{sent}'/>"));
    party.check_residue();
}

#[test]
fn a_reader_that_pauses_gets_everything() {
    let toml = "[limits]\nstanza_bytes = 20000\noutbox_bytes = 100000";
    let mut party = in_process(toml, &["romeo", "slow"]);
    let (romeo, slow) = (party.join("romeo", "room"), party.join("slow", "room"));
    party.fence(slow);
    party.take(slow);
    party.shut_window(slow);
    for n in 0..8 {
        party.send(romeo, &groupchat(n, 10_000));
    }
    party.fence(romeo);
    assert!(party.take(slow).is_empty());
    party.open_window(slow);
    party.fence(slow);
    assert_eq!(numbers(&mut party, slow), (0..8).collect::<Vec<_>>());
}

#[test]
fn of_all_together_the_largest_is_cut_first() {
    let toml = "[limits]\nstanza_bytes = 20000\noutbox_bytes = 150000\n\
                outbox_bytes_total = 150000";
    let mut party = in_process(toml, &["romeo", "small", "large"]);
    let romeo = party.join("romeo", "room");
    let (small, large) = (party.join("small", "room"), party.join("large", "room"));
    for who in [small, large] {
        party.fence(who);
        party.take(who);
    }
    party.shut_window(large);
    for n in 0..3 {
        party.send(romeo, &groupchat(n, 10_000));
    }
    party.settle();
    party.shut_window(small);
    let mut sent = 3;
    while !party.has_ended(large) {
        assert!(sent < 20);
        party.send(romeo, &groupchat(sent, 10_000));
        sent += 1;
        party.settle();
        assert!(party.server().residue().outbox_bytes <= 150_000);
    }
    assert!(sent >= 8, "cut too early: after {sent}");
    assert!(!party.has_ended(small));
    party.open_window(small);
    party.fence(small);
    assert_eq!(numbers(&mut party, small), (0..sent).collect::<Vec<_>>());
    party.fence(romeo);
    party.check_residue();
}

#[test]
fn zero_switches_the_limits_of_output_off() {
    let toml = "[limits]\noutbox_bytes = 0\noutbox_bytes_total = 0";
    let mut party = in_process(toml, &["romeo", "slow"]);
    let romeo = party.join("romeo", "room");
    let slow: Vec<_> = (0..8).map(|n| party.join(&format!("slow/{n}"), "room")).collect();
    for &who in &slow {
        party.fence(who);
        party.take(who);
        party.shut_window(who);
    }
    for n in 0..25 {
        party.send(romeo, &groupchat(n, 200_000));
    }
    party.fence(romeo);
    // More than the defaults allow, for each and for all.
    assert!(party.server().residue().outbox_bytes > 8 * 5_000_000);
    party.open_window(slow[0]);
    party.fence(slow[0]);
    assert_eq!(numbers(&mut party, slow[0]).len(), 25);
    party.check_residue();
}
