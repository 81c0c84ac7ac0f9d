//! No crowd makes a turn of the loop long: what one turn does is bounded in stanzas, in bytes of
//! output and in password checks, and whoever wants something small gets it in between.

use crate::driver::Event;
use crate::inproc::InProcess;
use crate::party::{Party, Windows, in_process, plain};

type Local = Party<InProcess<Windows>>;

/// Output of one turn, at most: the reactor's bound, and what one handler may add to it.
const TURN_BYTES_MAX: usize = 5 * 1024 * 1024;

/// One turn: what was sent to whom.
fn turn(party: &mut Local) -> Vec<(usize, Vec<u8>)> {
    party.driver.world.turn();
    let events = party.driver.world.events.drain(..);
    let sent = events.filter_map(|event| match event {
        Event::Bytes(link, bytes) => Some((link, bytes)),
        Event::End(_) => None,
    });
    sent.collect()
}

fn count(sent: &[(usize, Vec<u8>)], needle: &str) -> usize {
    let texts = sent.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes));
    texts.map(|text| text.matches(needle).count()).sum()
}

const PING: &str = "<iq type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>";

#[test]
fn one_password_check_a_turn() {
    let mut party = in_process("", &["romeo", "juliet"]);
    let juliet = party.login("juliet");
    let crowd: Vec<_> = (0..40).map(|_| party.open_stream()).collect();
    for &who in &crowd {
        party.post(who, &plain("romeo", "secret"));
    }
    let (mut successes, mut pings) = (0, 0);
    for round in 0..60 {
        // Somebody who is logged in waits for nobody.
        party.post(juliet, PING);
        let sent = turn(&mut party);
        pings += count(&sent, "id='ping'");
        assert_eq!(pings, round + 1);
        let checked = count(&sent, "<success");
        assert!(checked <= 1, "{checked} checks in one turn");
        successes += checked;
    }
    assert_eq!(successes, crowd.len());
}

#[test]
fn a_wrong_password_costs_a_turn_as_well() {
    let mut party = in_process("sasl.failure_delay_ms = 0", &["romeo"]);
    let crowd: Vec<_> = (0..20).map(|_| party.open_stream()).collect();
    for &who in &crowd {
        party.post(who, &plain(if who % 2 == 0 { "romeo" } else { "nobody" }, "wrong"));
    }
    let mut failures = 0;
    for _ in 0..60 {
        let failed = count(&turn(&mut party), "<failure");
        assert!(failed <= 1, "{failed} checks in one turn");
        failures += failed;
    }
    assert_eq!(failures, crowd.len());
}

#[test]
fn a_flood_of_one_client_is_cut_into_turns() {
    let mut party = in_process("", &["romeo", "juliet"]);
    let (romeo, juliet) = (party.login("romeo"), party.login("juliet"));
    let ping = "<iq type='get' id='x'><ping xmlns='urn:xmpp:ping'/></iq>";
    party.post(romeo, &ping.repeat(1_000));
    let (mut replies, mut turns) = (0, 0);
    while replies < 1_000 {
        party.post(juliet, PING);
        let sent = turn(&mut party);
        let handled = count(&sent, "id='x'");
        assert!(handled <= 64, "{handled} stanzas of one client in one turn");
        assert_eq!(count(&sent, "id='ping'"), 1, "the other one waits");
        replies += handled;
        turns += 1;
        assert!(turns < 100);
    }
}

#[test]
fn a_join_storm_is_cut_into_turns() {
    let users: Vec<String> = (0..150).map(|n| format!("user{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    // Statuses make a presence large: all together 150 * 150 / 2 * 2 KB, some 22 MB.
    let status = format!("<status>{}</status>", "x".repeat(2_000));
    let mut party = in_process("limits.outbox_bytes_total = 0\nlimits.outbox_bytes = 0", &users);
    party.keeps_transcripts = false;
    let first = party.join("user0", "room");
    let crowd: Vec<_> = users[1..].iter().map(|user| party.login(user)).collect();
    for (&who, user) in crowd.iter().zip(&users[1..]) {
        let to = format!("room@conference.localhost/{user}");
        let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
        party.post(who, &format!("<presence to='{to}'>{x}{status}</presence>"));
    }
    let (mut turns, mut bytes, mut joined) = (0, 0, 0);
    while joined < crowd.len() {
        let sent = turn(&mut party);
        let of_turn: usize = sent.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(of_turn <= TURN_BYTES_MAX, "{of_turn} bytes in one turn");
        bytes += of_turn;
        joined += count(&sent, "<subject");
        turns += 1;
        assert!(turns < 1_000, "{joined} joined");
    }
    assert!(bytes > 3 * TURN_BYTES_MAX, "too small a storm: {bytes} bytes");
    assert!(turns > 3);
    assert!(!party.has_ended(first));
    party.check_residue();
}

#[test]
fn one_new_password_a_turn() {
    let toml = "registration.in_band = 'anyone'\nlimits.registrations_per_address_per_minute = 0";
    let mut party = in_process(toml, &["juliet"]);
    let juliet = party.login("juliet");
    let crowd: Vec<_> = (0..20).map(|_| party.open_stream()).collect();
    for &who in &crowd {
        party.post(
            who,
            &format!(
                "<iq type='set' id='new'><query xmlns='jabber:iq:register'>\
                 <username>user{who}</username><password>secret</password></query></iq>"
            ),
        );
    }
    let (mut made, mut pings) = (0, 0);
    for _ in 0..100 {
        party.post(juliet, PING);
        let sent = turn(&mut party);
        pings += count(&sent, "id='ping'");
        let of_turn = count(&sent, "id='new'");
        assert!(of_turn <= 1, "{of_turn} keys derived in one turn");
        made += of_turn;
    }
    assert_eq!(made, crowd.len());
    assert!(pings >= 90, "{pings} answers in 100 turns");
}
