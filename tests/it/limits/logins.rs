//! Guessing passwords, making accounts, beginning handshakes.

use crate::client::Client;
use crate::inproc::InProcess;
use crate::party::{Party, Who, Windows, in_process, plain};
use crate::sasl::Mechanism;

type Local = Party<InProcess<Windows>>;

const NOT_AUTHORIZED: &str =
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{etc}<not-authorized/></failure>";
const TEMPORARY: &str =
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{etc}<temporary-auth-failure/></failure>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

/// A new stream that tries a password.
fn try_plain(party: &mut Local, password: &str) -> Who {
    let who = party.open_stream();
    party.send(who, &plain("romeo", password));
    who
}

#[test]
fn failed_logins_of_one_address() {
    let toml = "[limits]\nlogin_failures_per_address_per_minute = 3\n\
                unauthenticated_seconds = 0";
    let mut party = in_process(toml, &["romeo"]);
    // The minute of the limit is one of the clock.
    party.pass(60_000 - party.now_ms());
    for _ in 0..3 {
        let who = try_plain(&mut party, "wrong");
        party.receive(who, NOT_AUTHORIZED);
    }
    let right = try_plain(&mut party, "secret");
    party.receive(right, TEMPORARY);
    party.mechanism = Mechanism::ScramSha256;
    let scram = party.begin_login("romeo");
    party.wait_until("a failure", |party| party.guests[scram].client.failure.is_some());
    party.mechanism = Mechanism::Plain;
    party.move_to("192.0.2.1");
    party.login("romeo");
    party.move_to("127.0.0.1");
    party.pass(60_000);
    party.login("romeo");
    // The stream that was refused may try again as well.
    party.send(right, &plain("romeo", "secret"));
    party.receive(right, SUCCESS);
}

#[test]
fn failures_of_one_stream_end_it() {
    let mut party = in_process("", &["romeo"]);
    let who = party.open_stream();
    for _ in 0..5 {
        party.send(who, &plain("romeo", "wrong"));
        party.receive(who, NOT_AUTHORIZED);
    }
    party.end_with(who, "policy-violation");
}

#[test]
fn zero_switches_the_limit_of_failed_logins_off() {
    let mut party = in_process("[limits]\nlogin_failures_per_address_per_minute = 0", &["romeo"]);
    for _ in 0..20 {
        let who = try_plain(&mut party, "wrong");
        party.receive(who, NOT_AUTHORIZED);
    }
    party.login("romeo");
}

#[test]
fn a_failed_login_is_answered_late() {
    let mut party = in_process("[sasl]\nfailure_delay_ms = 1000", &["romeo", "juliet"]);
    let juliet = party.login("juliet");
    let wrong = try_plain(&mut party, "wrong");
    let unknown = party.open_stream();
    party.send(unknown, &plain("nobody", "secret"));
    // What follows meanwhile is not looked at before.
    party.send(wrong, &plain("romeo", "secret"));
    party.settle();
    party.pass(999);
    assert!(party.take(wrong).is_empty() && party.take(unknown).is_empty());
    party.fence(juliet);
    let began_ms = party.now_ms();
    party.pass(1);
    party.receive(wrong, NOT_AUTHORIZED);
    party.receive(unknown, NOT_AUTHORIZED);
    party.receive(wrong, SUCCESS);
    assert_eq!(party.now_ms(), began_ms + 1, "a right password does not wait");
    let scram = {
        let mut identity = party.identity("romeo");
        identity.mechanism = Mechanism::ScramSha1;
        identity.password = "wrong".to_owned();
        party.connect(Client::login(identity)).expect("accepted")
    };
    party.settle();
    party.pass(999);
    assert!(party.guests[scram].client.failure.is_none());
    party.pass(1);
    assert!(party.guests[scram].client.failure.is_some());
}

fn register(party: &mut Local, who: Who, name: &str) {
    party.send(
        who,
        &format!(
            "<iq type='set' id='{name}'><query xmlns='jabber:iq:register'>\
             <username>{name}</username><password>secret</password></query></iq>"
        ),
    );
}

#[test]
fn registrations_of_one_address() {
    let toml = "registration.in_band = 'anyone'\n\
                [limits]\nregistrations_per_address_per_minute = 2";
    let mut party = in_process(toml, &[]);
    party.pass(60_000 - party.now_ms());
    let who = party.open_stream();
    register(&mut party, who, "a");
    party.receive(who, "<iq type='result' id='a'/>");
    register(&mut party, who, "b");
    party.receive(who, "<iq type='result' id='b'/>");
    let other = party.open_stream();
    register(&mut party, other, "c");
    let refused = "<iq type='error' id='c'><error type='wait'>\
                   <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
    party.receive(other, refused);
    party.move_to("192.0.2.1");
    let elsewhere = party.open_stream();
    register(&mut party, elsewhere, "d");
    party.receive(elsewhere, "<iq type='result' id='d'/>");
    party.pass(60_000);
    let later = party.open_stream();
    register(&mut party, later, "c");
    party.receive(later, "<iq type='result' id='c'/>");
    party.move_to("192.0.2.2");
    for user in ["a", "b", "c", "d"] {
        party.login(user);
    }
}

#[test]
fn handshakes_of_one_address() {
    let mut party = in_process("[limits]\nhandshakes_per_address_per_minute = 2", &[]);
    party.pass(60_000 - party.now_ms());
    let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    let proceed = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    for _ in 0..2 {
        let who = party.open_stream();
        party.send(who, starttls);
        party.receive(who, proceed);
    }
    let third = party.open_stream();
    party.send(third, starttls);
    party.end_with(third, "policy-violation");
    party.move_to("192.0.2.1");
    let elsewhere = party.open_stream();
    party.send(elsewhere, starttls);
    party.receive(elsewhere, proceed);
    party.move_to("127.0.0.1");
    party.pass(60_000);
    let later = party.open_stream();
    party.send(later, starttls);
    party.receive(later, proceed);
    party.check_residue();
}

#[test]
fn sessions_of_one_account() {
    let mut party = in_process("[limits]\nsessions_per_account = 2", &["romeo", "juliet"]);
    let first = party.login("romeo/a");
    party.login("romeo/b");
    let third = party.begin_login("romeo/c");
    party.wait_until("an answer", |party| party.is_decided(third));
    let trouble = party.guests[third].client.trouble.clone().expect("the third is refused");
    assert!(trouble.contains("resource-constraint"), "{trouble}");
    party.login("juliet");
    // The place of a session that the new one replaces is free.
    party.login("romeo/a");
    party.end_with(first, "conflict");
    let fourth = party.begin_login("romeo/d");
    party.wait_until("an answer", |party| party.is_decided(fourth));
    assert!(party.guests[fourth].client.trouble.is_some());
    party.check_residue();
}

#[test]
fn who_is_logged_in_but_not_bound_ends_with_the_account() {
    for request in ["user del romeo@localhost\n", "user passwd romeo@localhost\nother\n"] {
        let mut party = in_process("", &["romeo"]);
        let unbound = party.open_stream();
        party.send(unbound, &plain("romeo", "secret"));
        party.receive(unbound, SUCCESS);
        party.send(unbound, crate::party::HEADER);
        party.receive(unbound, "<stream:features/>");
        let now = party.driver.world.now;
        let answer = party.server().handle_control(now, request);
        assert!(answer.starts_with("ok "), "{answer}");
        party.end_with(unbound, "not-authorized");
        party.check_residue();
    }
}
