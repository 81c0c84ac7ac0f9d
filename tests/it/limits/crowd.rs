//! A crowd in one room: it joins, each speaks, everybody is changed at once, nearly all are taken
//! out, the network is lost. Nobody who reads is cut, what waits stays within its bound, and every
//! client ends with the view of what is there.
//!
//! `TERCET_CROWD=5000 cargo test --release --test it crowd` plays it with as many clients.

use memchr::memmem;

use crate::driver::Event;
use crate::inproc::InProcess;
use crate::party::{Party, Who, Windows, in_process};

type Local = Party<InProcess<Windows>>;

/// `limits.outbox_bytes_total` as it is configured without a word.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Turns in a row in which nothing is sent, after which all is said to be told.
const TURNS_MAX: usize = 1_000_000;

/// A client that keeps the presences it was sent. It sees but the heads of stanzas: what a stanza
/// holds is checked elsewhere.
struct Believer {
    /// By the number of the nick.
    sees: Vec<bool>,
    seen_count: usize,
    messages: usize,
    presences: usize,
    is_gone: bool,
    has_ended: bool,
    rest: Vec<u8>,
}

impl Believer {
    fn new(count: usize) -> Self {
        Self {
            sees: vec![false; count],
            seen_count: 0,
            messages: 0,
            presences: 0,
            is_gone: false,
            has_ended: false,
            rest: Vec::new(),
        }
    }

    fn hear(&mut self, who: usize, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.rest);
        let mut at = 0;
        while let Some(start) = memchr::memchr(b'<', &rest[at..]).map(|start| at + start) {
            let Some(end) = memchr::memchr(b'>', &rest[start..]).map(|end| start + end) else {
                self.rest.extend_from_slice(&rest[start..]);
                return;
            };
            at = end;
            let head = &rest[start..end];
            if head.starts_with(b"<presence") {
                self.presence(who, head);
                // Past the item, which holds nothing that counts here.
                at = memmem::find(&rest[end..], b"</presence").map_or(end, |skip| end + skip);
                if at == end {
                    self.rest.extend_from_slice(b"<x>");
                    self.rest.extend_from_slice(&rest[end..]);
                    return;
                }
            } else if head.starts_with(b"<body") {
                self.messages += 1;
            }
        }
    }

    fn presence(&mut self, who: usize, head: &[u8]) {
        self.presences += 1;
        let start = memmem::find(head, b"from='room@conference.localhost/n").expect("a seat") + 33;
        let end = start + memchr::memchr(b'\'', &head[start..]).expect("a quote");
        let nick = std::str::from_utf8(&head[start..end]).expect("digits");
        let nick: usize = nick.parse().expect("a number");
        let is_gone = memmem::find(head, b"type='unavailable'").is_some();
        if is_gone {
            assert!(self.sees[nick], "{who} hears of the going of {nick}, who was not there");
            self.seen_count -= 1;
            self.is_gone |= nick == who;
        } else if !self.sees[nick] {
            self.seen_count += 1;
        }
        self.sees[nick] = !is_gone;
    }
}

struct Crowd {
    party: Local,
    clients: Vec<Believer>,
    turns: usize,
    /// What may wait after a turn.
    waiting_bytes_max: usize,
    /// What was sent in the turn that sent most.
    turn_bytes_max: usize,
}

impl Crowd {
    fn new(count: usize, toml: &str) -> Self {
        let users: Vec<String> = (0..count).map(|number| format!("u{number}")).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        let mut party = in_process(toml, &users);
        party.keeps_transcripts = false;
        for (number, user) in users.iter().enumerate() {
            party.move_to(&format!("10.0.{}.{}", number / 250, number % 250));
            party.login(user);
        }
        let clients = (0..count).map(|_| Believer::new(count)).collect();
        let waiting_bytes_max = WAITING_BYTES_MAX;
        Self { party, clients, turns: 0, waiting_bytes_max, turn_bytes_max: 0 }
    }

    fn post(&mut self, who: Who, text: &str) {
        self.party.post(who, text);
    }

    fn join(&mut self, who: Who, payload: &str) {
        let x = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>";
        let to = format!("room@conference.localhost/n{who}");
        self.post(who, &format!("<presence to='{to}'>{x}{payload}</presence>"));
    }

    fn configure(&mut self, fields: &[(&str, &str)]) {
        let field = |(name, value): &(&str, &str)| {
            format!("<field var='muc#roomconfig_{name}'><value>{value}</value></field>")
        };
        let fields: String = fields.iter().map(field).collect();
        self.post(
            0,
            &format!(
                "<iq type='set' id='c' to='room@conference.localhost'>\
                 <query xmlns='http://jabber.org/protocol/muc#owner'>\
                 <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
                 <value>http://jabber.org/protocol/muc#roomconfig</value></field>\
                 {fields}</x></query></iq>"
            ),
        );
    }

    /// One turn; false when nothing was done in it.
    fn turn(&mut self) -> bool {
        let worked = self.party.driver.world.turn();
        let mut bytes = 0;
        for event in self.party.driver.world.events.drain(..) {
            match event {
                Event::Bytes(who, sent) => {
                    bytes += sent.len();
                    self.clients[who].hear(who, &sent);
                }
                Event::End(who) => self.clients[who].has_ended = true,
            }
        }
        self.turns += 1;
        self.turn_bytes_max = self.turn_bytes_max.max(bytes);
        let waiting = self.party.server().residue().outbox_bytes;
        assert!(waiting <= self.waiting_bytes_max, "{waiting} bytes wait");
        assert!(bytes <= WAITING_BYTES_MAX, "{bytes} bytes in one turn");
        worked
    }

    /// Turns until nothing is left to be done; time stands still.
    fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            if !self.turn() {
                return;
            }
        }
        panic!("there is no end of it");
    }

    /// What everybody sees: `count` of them, and each is still connected.
    #[track_caller]
    fn check_views(&self, members: impl Iterator<Item = Who> + Clone) {
        let count = members.clone().count();
        for who in members.clone() {
            let client = &self.clients[who];
            assert!(!client.has_ended && !client.is_gone, "{who} was cut");
            assert_eq!(client.seen_count, count, "{who}");
            assert!(members.clone().all(|other| client.sees[other]), "{who}");
        }
    }
}

fn count_of_crowd() -> usize {
    let wanted = std::env::var("TERCET_CROWD").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(if cfg!(debug_assertions) { 300 } else { 2_000 })
}

#[test]
fn a_crowd_comes_speaks_is_changed_and_goes() {
    let count = count_of_crowd();
    let mut crowd = Crowd::new(count, "limits.room_messages_per_second = 0");
    crowd.join(0, "");
    crowd.settle();
    crowd.configure(&[("moderatedroom", "1")]);
    crowd.settle();
    (1..count).for_each(|who| crowd.join(who, ""));
    crowd.settle();
    crowd.check_views(0..count);

    // All get a voice at once, and hear of each other's.
    let before: Vec<_> = crowd.clients.iter().map(|client| client.presences).collect();
    crowd.configure(&[("moderatedroom", "0")]);
    crowd.settle();
    for (client, before) in crowd.clients.iter().zip(before) {
        assert!(client.presences >= before + count - 1);
    }

    for who in 0..count {
        let body = "<body>here</body>";
        let to = "room@conference.localhost";
        crowd.post(who, &format!("<message type='groupchat' to='{to}'>{body}</message>"));
    }
    crowd.settle();
    assert!(crowd.clients.iter().all(|client| client.messages == count));

    // Nobody was known by address; now all are, to all. Somebody else is served in between.
    let before: Vec<_> = crowd.clients.iter().map(|client| client.presences).collect();
    crowd.configure(&[("whois", "anyone")]);
    crowd.settle();
    for (client, before) in crowd.clients.iter().zip(before).skip(1) {
        assert_eq!(client.presences, before + count - 1, "each is shown once more");
    }

    // Ten may stay.
    let items: String =
        (1..10).map(|who| format!("<item affiliation='member' jid='u{who}@localhost'/>")).collect();
    crowd.post(
        0,
        &format!(
            "<iq type='set' id='m' to='room@conference.localhost'>\
             <query xmlns='http://jabber.org/protocol/muc#admin'>{items}</query></iq>"
        ),
    );
    crowd.configure(&[("membersonly", "1")]);
    crowd.settle();
    crowd.check_views(0..10);
    assert!(crowd.clients[10..].iter().all(|client| client.is_gone && !client.has_ended));
    eprintln!("{count}: {} turns, {} bytes in the largest", crowd.turns, crowd.turn_bytes_max);
    crowd.party.check_residue();
}

#[test]
fn a_crowd_that_comes_at_once_is_let_in_as_it_reads() {
    // All that they are to be told is more than ten times what may wait.
    let (count, waiting_bytes_max) = (200, 8_000_000);
    let toml = format!("limits.outbox_bytes_total = {waiting_bytes_max}");
    let status = format!("<status>{}</status>", "x".repeat(1_000));
    let mut crowd = Crowd::new(count, &toml);
    crowd.join(0, &status);
    crowd.settle();
    crowd.configure(&[("whois", "moderators")]);
    crowd.settle();
    crowd.waiting_bytes_max = waiting_bytes_max;
    crowd.party.driver.world.pace.bytes_max = Some(4_000);
    // What they say in the room comes after the join, or it would be refused.
    for who in 1..count {
        crowd.join(who, &status);
        let to = "room@conference.localhost";
        crowd.post(who, &format!("<message type='groupchat' to='{to}'><body>.</body></message>"));
    }
    crowd.settle();
    crowd.check_views(0..count);
    assert_eq!(crowd.clients[0].messages, count - 1);
    // They go at once, and the first hears of all of them.
    for who in 1..count {
        let to = format!("room@conference.localhost/n{who}");
        crowd.post(who, &format!("<presence type='unavailable' to='{to}'/>"));
    }
    crowd.settle();
    crowd.check_views(0..1);
    assert!(crowd.clients.iter().all(|client| !client.has_ended));
    crowd.party.check_residue();
}

#[test]
fn a_network_that_is_lost_takes_a_crowd_along() {
    let count = count_of_crowd();
    let mut crowd = Crowd::new(count, "");
    crowd.join(0, "");
    crowd.settle();
    crowd.configure(&[("whois", "moderators")]);
    crowd.settle();
    (1..count).for_each(|who| crowd.join(who, ""));
    crowd.settle();
    // All but ten are gone at once, and all within one turn.
    (10..count).for_each(|who| crowd.party.driver.world.cut(who));
    let waiting = crowd.party.server().residue().outbox_bytes;
    assert!(waiting <= WAITING_BYTES_MAX, "{waiting} bytes wait");
    // Who takes the nick of one that is gone hears and is heard in the right order.
    crowd.turn();
    crowd.settle();
    crowd.check_views(0..10);
    crowd.party.check_residue();
}

#[test]
fn a_slow_reader_holds_nobody_up_for_long() {
    let count = 60;
    let mut crowd = Crowd::new(count, "limits.outbox_bytes = 1500000");
    // 60 presences of 10 KB: 600 KB whenever all are shown again.
    let status = format!("<status>{}</status>", "x".repeat(10_000));
    crowd.join(0, &status);
    crowd.settle();
    crowd.configure(&[("whois", "moderators")]);
    crowd.settle();
    (1..count).for_each(|who| crowd.join(who, &status));
    crowd.settle();
    let (patient, dead) = (1, 2);
    crowd.party.shut_window(patient);
    crowd.party.shut_window(dead);
    let shows = |crowd: &Crowd, who: usize| crowd.clients[who].presences;
    for round in 0..2 {
        let before: Vec<_> = (0..count).map(|who| shows(&crowd, who)).collect();
        crowd.configure(&[("whois", if round == 0 { "anyone" } else { "moderators" })]);
        crowd.settle();
        for (who, before) in before.iter().enumerate().skip(3) {
            assert_eq!(shows(&crowd, who), before + count - 1, "{who} in round {round}");
        }
    }
    // The second time they had too much waiting already: they are told when patience ends, or cut
    // when that is too much for them.
    let deadline = crowd.party.driver.world.next_deadline().expect("patience ends");
    crowd.party.open_window(patient);
    crowd.settle();
    crowd.party.driver.world.advance_to(deadline);
    crowd.settle();
    crowd.configure(&[("whois", "anyone")]);
    crowd.settle();
    crowd.party.driver.world.advance_to(deadline + 10_000);
    crowd.settle();
    assert!(crowd.clients[dead].has_ended, "it never read");
    crowd.check_views((0..count).filter(|who| *who != dead));
    crowd.party.check_residue();
}
