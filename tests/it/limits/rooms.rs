//! What rooms may be: how many, how full, how long their lists, histories and texts.

use tercet::xmpp::ns;

use crate::inproc::InProcess;
use crate::party::{Party, Who, Windows, in_process};

type Local = Party<InProcess<Windows>>;

const CONSTRAINT: &str = "<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";

fn presence_error(room: &str, nick: &str, condition: &str) -> String {
    format!(
        "<presence type='error' from='{room}@conference.localhost/{nick}'><error>{{etc}}\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    )
}

fn leave(party: &mut Local, who: Who, room: &str, nick: &str) {
    let address = format!("{room}@conference.localhost/{nick}");
    party.send(who, &format!("<presence type='unavailable' to='{address}'/>"));
    party.receive(who, &format!("<presence type='unavailable' from='{address}'/>"));
}

fn persistent(value: bool) -> String {
    let value = u8::from(value);
    format!("<field var='muc#roomconfig_persistentroom'><value>{value}</value></field>")
}

#[test]
fn rooms_live_or_stored() {
    let mut party = in_process("[limits]\nrooms = 2", &["romeo"]);
    let romeo = party.join("romeo", "a");
    party.configure(romeo, "a", &persistent(true));
    party.enter(romeo, "b", "romeo");
    party.send_join(romeo, "c", "romeo");
    party.receive(romeo, &presence_error("c", "romeo", "resource-constraint"));
    // A stored room counts when nobody is in it, too.
    leave(&mut party, romeo, "a", "romeo");
    party.send_join(romeo, "c", "romeo");
    party.receive(romeo, &presence_error("c", "romeo", "resource-constraint"));
    // One that is there may be entered.
    party.enter(romeo, "a", "romeo");
    leave(&mut party, romeo, "b", "romeo");
    party.enter(romeo, "c", "romeo");
    party.check_residue();
}

#[test]
fn zero_switches_the_limits_of_rooms_off() {
    let toml = "[limits]\nrooms = 0\nrooms_per_session = 0\nroom_occupants = 0\n\
                room_text_bytes = 0\nroom_history_bytes = 0";
    let mut party = in_process(toml, &["romeo"]);
    let romeo = party.login("romeo");
    for n in 0..300 {
        party.enter(romeo, &format!("room{n}"), "romeo");
    }
    let body = "x".repeat(100_000);
    for _ in 0..4 {
        party.send(romeo, &groupchat("room0", &body));
    }
    party.send(romeo, &subject("room0", &"s".repeat(10_000)));
    party.fence(romeo);
    party.take(romeo);
    let second = party.login("romeo/second");
    party.send_join(second, "room0", "romeo");
    party.fence(second);
    let bodies = party.take_elements(second).into_iter();
    let bodies = bodies.filter(|element| element.child("body", ns::CLIENT).is_some());
    assert_eq!(bodies.count(), 4);
}

#[test]
fn rooms_of_one_session() {
    let mut party = in_process("[limits]\nrooms_per_session = 2", &["romeo", "juliet"]);
    let juliet = party.join("juliet", "c");
    let romeo = party.join("romeo", "a");
    party.enter(romeo, "b", "romeo");
    for room in ["c", "d"] {
        party.send_join(romeo, room, "romeo");
        party.receive(romeo, &presence_error(room, "romeo", "resource-constraint"));
    }
    let second = party.join("romeo/second", "c");
    leave(&mut party, romeo, "a", "romeo");
    party.enter(romeo, "c", "romeo");
    party.fence(juliet);
    party.fence(second);
    party.check_residue();
}

#[test]
fn occupants_of_one_room() {
    let users = ["owner", "a", "b", "c", "admin"];
    let mut party = in_process("[limits]\nroom_occupants = 3", &users);
    let owner = party.join("owner", "room");
    let a = party.join("a", "room");
    party.join("b", "room");
    let c = party.login("c");
    party.send_join(c, "room", "c");
    let full = presence_error("room", "c", "service-unavailable");
    party.receive(c, &full.replace("<error>", "<error type='wait'>"));
    // The second session of an occupant takes no place; an admin gets in (XEP-0045 §7.2.9).
    party.join("b/second", "room");
    party.send(
        owner,
        "<iq type='set' id='1' to='room@conference.localhost'>\
         <query xmlns='http://jabber.org/protocol/muc#admin'>\
         <item affiliation='admin' jid='admin@localhost'/></query></iq>",
    );
    party.receive(owner, "<iq type='result' id='1'/>");
    let admin = party.join("admin", "room");
    leave(&mut party, admin, "room", "admin");
    leave(&mut party, a, "room", "a");
    party.enter(c, "room", "c");
    party.check_residue();
}

fn affiliate(party: &mut Local, who: Who, id: &str, items: &str) {
    party.send(
        who,
        &format!(
            "<iq type='set' id='{id}' to='room@conference.localhost'>\
             <query xmlns='http://jabber.org/protocol/muc#admin'>{items}</query></iq>"
        ),
    );
}

#[test]
fn entries_in_the_lists_of_one_room() {
    let mut party = in_process("[limits]\nroom_affiliations = 3", &["romeo"]);
    let romeo = party.join("romeo", "room");
    let item = |user: &str, affiliation: &str| {
        format!("<item affiliation='{affiliation}' jid='{user}@localhost'/>")
    };
    let (a, b, c) = (item("a", "member"), item("b", "outcast"), item("c", "member"));
    affiliate(&mut party, romeo, "1", &format!("{a}{b}"));
    party.receive(romeo, "<iq type='result' id='1'/>");
    affiliate(&mut party, romeo, "2", &c);
    party.receive(romeo, &format!("<iq type='error' id='2'><error>{CONSTRAINT}</error></iq>"));
    // A change of an entry is none more; one that goes makes room.
    affiliate(&mut party, romeo, "3", &item("a", "outcast"));
    party.receive(romeo, "<iq type='result' id='3'/>");
    affiliate(&mut party, romeo, "4", &format!("{c}{}", item("b", "none")));
    party.receive(romeo, "<iq type='result' id='4'/>");
}

fn groupchat(room: &str, body: &str) -> String {
    let to = format!("{room}@conference.localhost");
    format!("<message type='groupchat' to='{to}'><body>{body}</body></message>")
}

fn subject(room: &str, text: &str) -> String {
    let to = format!("{room}@conference.localhost");
    format!("<message type='groupchat' to='{to}' id='s'><subject>{text}</subject></message>")
}

#[test]
fn bytes_of_history() {
    let mut party = in_process("[limits]\nroom_history_bytes = 10000", &["romeo", "juliet"]);
    let romeo = party.join("romeo", "room");
    for n in 0..10 {
        party.send(romeo, &groupchat("room", &format!("{n}{}", "x".repeat(2_800))));
    }
    party.fence(romeo);
    let juliet = party.login("juliet");
    party.send_join(juliet, "room", "juliet");
    party.receive(juliet, "<presence from='room@conference.localhost/juliet'/>");
    party.fence(juliet);
    let history = party.take_elements(juliet).into_iter();
    let bodies = history.filter_map(|element| Some(element.child("body", ns::CLIENT)?.text()));
    let numbers: String = bodies.filter_map(|body| body.chars().next()).collect();
    assert_eq!(numbers, "789", "the last ones that fit");
}

#[test]
fn texts_of_rooms() {
    let mut party = in_process("[limits]\nroom_text_bytes = 100", &["romeo", "juliet"]);
    let (romeo, juliet) = (party.join("romeo", "room"), party.join("juliet", "room"));
    let (fits, long) = ("x".repeat(100), "x".repeat(101));
    let not_acceptable =
        "<error>{etc}<not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";

    party.send(romeo, &subject("room", &long));
    party.receive(romeo, &format!("<message type='error' id='s'>{not_acceptable}</message>"));
    // The language counts as well: a subject may have several, and all of them are kept.
    let in_english = &fits["en".len()..];
    party.send(romeo, &subject("room", in_english));
    party.receive(romeo, &format!("<message id='s'><subject>{in_english}</subject></message>"));

    for name in ["roomname", "roomdesc", "roomsecret"] {
        let field = |text: &str| {
            format!("<field var='muc#roomconfig_{name}'><value>{text}</value></field>")
        };
        let id = party.send_configuration(romeo, "room", &field(&long));
        party.receive(romeo, &format!("<iq type='error' id='{id}'/>"));
        party.configure(romeo, "room", &field(&fits));
    }

    let kick = |reason: &str| {
        format!("<item nick='juliet' role='visitor'><reason>{reason}</reason></item>")
    };
    affiliate(&mut party, romeo, "k1", &kick(&long));
    party.receive(romeo, &format!("<iq type='error' id='k1'>{not_acceptable}</iq>"));
    affiliate(&mut party, romeo, "k2", &kick(&fits));
    party.receive(romeo, "<iq type='result' id='k2'/>");

    party.send(juliet, &format!("<presence to='room@conference.localhost/{long}'/>"));
    party.receive(juliet, &format!("<presence type='error'>{not_acceptable}</presence>"));
    party.send(juliet, &format!("<presence to='room@conference.localhost/{fits}'/>"));
    party.receive(juliet, &format!("<presence from='room@conference.localhost/{fits}'/>"));
}
