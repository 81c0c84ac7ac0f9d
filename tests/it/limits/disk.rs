//! The disk is full: what a client was told is true, reading goes on, and so does writing when
//! there is room again. Every failure is injected where SQLite would report it.

use tercet::storage::Fault;

use crate::inproc::InProcess;
use crate::party::{Party, Who, Windows, in_process};

type Local = Party<InProcess<Windows>>;

/// Asks for a contact, without giving the server a turn.
fn put(party: &mut Local, who: Who, contact: &str) {
    party.post(
        who,
        &format!(
            "<iq type='set' id='{contact}'><query xmlns='jabber:iq:roster'>\
             <item jid='{contact}@localhost'/></query></iq>"
        ),
    );
}

/// The contacts of `who`, as the server says.
fn roster(party: &mut Local, who: Who) -> Vec<String> {
    party.send(who, "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
    let result = party.receive(who, "<iq type='result' id='roster'/>");
    let query = result.child("query", "jabber:iq:roster").expect("a roster");
    query.elements().filter_map(|item| Some(item.attr("jid")?.to_owned())).collect()
}

const PERSISTENT: &str = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>";

fn named(name: &str) -> String {
    format!("<field var='muc#roomconfig_roomname'><value>{name}</value></field>")
}

/// The name of the room, as the server says.
fn room_name(party: &mut Local, who: Who) -> String {
    let query = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    party.send(who, &format!("<iq type='get' id='d' to='room@conference.localhost'>{query}</iq>"));
    let result = party.receive(who, "<iq type='result' id='d'/>");
    let info = result.child("query", "http://jabber.org/protocol/disco#info").expect("an answer");
    let identity = info.elements().find(|child| &*child.name == "identity").expect("an identity");
    identity.attr("name").unwrap_or_default().to_owned()
}

#[test]
fn one_statement_fails_and_so_does_its_request_alone() {
    let mut party = in_process("", &["romeo", "juliet"]);
    let (romeo, juliet) = (party.login("romeo"), party.login("juliet"));
    party.server().storage().inject(Fault::FailWrite(1));
    put(&mut party, romeo, "a");
    put(&mut party, juliet, "b");
    party.receive(romeo, "<iq type='error' id='a'/>");
    party.receive(juliet, "<iq type='result' id='b'/>");
    assert_eq!(roster(&mut party, romeo), [""; 0]);
    assert_eq!(roster(&mut party, juliet), ["b@localhost"]);
    put(&mut party, romeo, "a");
    party.receive(romeo, "<iq type='result' id='a'/>");
}

#[test]
fn a_lost_commit_is_never_answered() {
    let mut party = in_process("", &["romeo", "juliet", "nurse"]);
    let (romeo, juliet) = (party.login("romeo"), party.login("juliet"));
    let nurse = party.login("nurse");
    put(&mut party, juliet, "before");
    party.receive(juliet, "<iq type='result' id='before'/>");
    party.server().storage().inject(Fault::LoseCommit(1));
    // All three within one turn; the nurse only reads.
    put(&mut party, romeo, "a");
    put(&mut party, juliet, "b");
    party.send(nurse, "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    party.receive(nurse, "<iq type='result' id='p'/>");
    for who in [romeo, juliet] {
        let text = String::from_utf8_lossy(&party.guests[who].transcript).into_owned();
        party.end_with(who, "internal-server-error");
        assert!(!text.contains("id='a'") && !text.contains("id='b'"), "a false result: {text}");
    }
    // Reading goes on; writing does not.
    assert_eq!(roster(&mut party, nurse), [""; 0]);
    let juliet = party.login("juliet");
    assert_eq!(roster(&mut party, juliet), ["before@localhost"]);
    put(&mut party, juliet, "c");
    let refused = "<iq type='error' id='c'><error type='wait'>{etc}\
                   <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
    party.receive(juliet, refused);
    // A probe finds that there is room again.
    party.pass(5_000);
    put(&mut party, juliet, "c");
    party.receive(juliet, "<iq type='result' id='c'/>");
    assert_eq!(roster(&mut party, juliet), ["before@localhost", "c@localhost"]);
    party.check_residue();
}

#[test]
fn a_lost_transaction_is_never_answered() {
    // Whichever write takes the transaction with it: each request is two.
    for nth in 1..=4 {
        let mut party = in_process("", &["romeo", "juliet"]);
        let (romeo, juliet) = (party.login("romeo"), party.login("juliet"));
        party.server().storage().inject(Fault::LoseWrite(nth));
        put(&mut party, romeo, "a");
        put(&mut party, juliet, "b");
        party.settle();
        let mut failures = 0;
        for (who, user, contact) in [(romeo, "romeo", "a"), (juliet, "juliet", "b")] {
            let text = String::from_utf8_lossy(&party.guests[who].transcript).into_owned();
            let is_done = text.contains(&format!("type='result' id='{contact}'"));
            let is_refused = text.contains(&format!("type='error' id='{contact}'"));
            if party.has_ended(who) {
                assert!(!is_done && !is_refused, "{text}");
                party.end_with(who, "internal-server-error");
            } else {
                assert!(is_done != is_refused, "{text}");
            }
            failures += usize::from(!is_done);
            let reader = party.login(user);
            assert_eq!(roster(&mut party, reader).len(), usize::from(is_done), "write {nth}");
        }
        assert_eq!(failures, 2, "write {nth}: what came before and after it is lost with it");
        party.pass(5_000);
        let romeo = party.login("romeo");
        put(&mut party, romeo, "c");
        party.receive(romeo, "<iq type='result' id='c'/>");
    }
}

#[test]
fn probes_go_on_until_one_works() {
    let mut party = in_process("", &["romeo", "juliet"]);
    let (romeo, juliet) = (party.login("romeo"), party.login("juliet"));
    party.server().storage().inject(Fault::LoseCommit(1));
    party.server().storage().inject(Fault::FailProbes(3));
    put(&mut party, romeo, "a");
    party.end_with(romeo, "internal-server-error");
    for round in 0..3 {
        put(&mut party, juliet, &format!("x{round}"));
        party.receive(juliet, &format!("<iq type='error' id='x{round}'/>"));
        party.pass(5_000);
    }
    put(&mut party, juliet, "x3");
    party.receive(juliet, "<iq type='error' id='x3'/>");
    party.pass(5_000);
    put(&mut party, juliet, "y");
    party.receive(juliet, "<iq type='result' id='y'/>");
}

#[test]
fn a_room_whose_change_is_lost_is_as_it_was() {
    let mut party = in_process("", &["romeo", "juliet", "nurse"]);
    let romeo = party.join("romeo", "room");
    party.configure(romeo, "room", &format!("{PERSISTENT}{}", named("before")));
    let (juliet, nurse) = (party.join("juliet", "room"), party.login("nurse"));
    party.server().storage().inject(Fault::LoseCommit(1));
    party.send_configuration(romeo, "room", &named("after"));
    party.end_with(romeo, "internal-server-error");
    party.settle();
    // Whoever heard of the change has heard nothing, or does not count any more.
    if party.has_ended(juliet) {
        party.end_with(juliet, "internal-server-error");
    }
    let heard = String::from_utf8_lossy(&party.guests[juliet].transcript).into_owned();
    assert_eq!(heard.matches("code='104'").count(), 0, "{heard}");
    assert_eq!(room_name(&mut party, nurse), "before");
    party.pass(5_000);
    let romeo = party.join("romeo", "room");
    party.configure(romeo, "room", &named("after"));
    assert_eq!(room_name(&mut party, nurse), "after");
    party.check_residue();
}

#[test]
fn talk_goes_on_while_nothing_can_be_written() {
    let mut party = in_process("", &["romeo", "juliet", "tybalt"]);
    let (romeo, juliet) = (party.join("romeo", "room"), party.join("juliet", "room"));
    let tybalt = party.login("tybalt");
    party.server().storage().inject(Fault::LoseCommit(1));
    party.server().storage().inject(Fault::FailProbes(1_000));
    put(&mut party, tybalt, "a");
    party.end_with(tybalt, "internal-server-error");
    party.send(
        romeo,
        "<message type='groupchat' to='room@conference.localhost'><body>hi</body></message>",
    );
    party.receive(juliet, "<message><body>hi</body></message>");
    let tybalt = party.join("tybalt", "room");
    party.receive(juliet, "<presence from='room@conference.localhost/tybalt'/>");
    party.fence(tybalt);
    party.check_residue();
}

#[test]
fn an_account_whose_making_is_lost_is_not_there() {
    let mut party = in_process("", &["romeo"]);
    let who = party.open_stream();
    let register = |name: &str| {
        format!(
            "<iq type='set' id='{name}'><query xmlns='jabber:iq:register'>\
             <username>{name}</username><password>secret</password></query></iq>"
        )
    };
    party.server().storage().inject(Fault::LoseCommit(1));
    party.send(who, &register("new"));
    party.end_with(who, "internal-server-error");
    let late = party.open_stream();
    party.send(late, &register("late"));
    party.receive(late, "<iq type='error' id='late'/>");
    for user in ["new", "late"] {
        let who = party.begin_login(user);
        party.wait_until("a failure", |party| party.is_decided(who));
        assert!(party.guests[who].client.failure.is_some(), "{user} can log in");
    }
    party.pass(5_000);
    let again = party.open_stream();
    party.send(again, &register("new"));
    party.receive(again, "<iq type='result' id='new'/>");
    party.login("new");
    party.check_residue();
}

#[test]
fn a_session_that_ended_with_a_lost_commit_still_gets_its_end() {
    let mut party = in_process("", &["romeo"]);
    let (first, second) = (party.login("romeo/a"), party.login("romeo/b"));
    party.server().storage().inject(Fault::LoseCommit(1));
    // The removal ends both sessions, and is then lost.
    party.send(
        first,
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>",
    );
    for who in [first, second] {
        let text = String::from_utf8_lossy(&party.guests[who].transcript).into_owned();
        assert!(!text.contains("not-authorized"), "{text}");
        party.end_with(who, "internal-server-error");
    }
    party.login("romeo");
    party.check_residue();
}

#[test]
fn the_control_socket_tells_a_lost_commit() {
    let mut party = in_process("", &["romeo"]);
    party.server().storage().inject(Fault::LoseCommit(1));
    let now = party.driver.world.now;
    let answer = party.server().handle_control(now, "user add new@localhost\nsecret\n");
    assert!(answer.starts_with("error "), "{answer}");
    let answer = party.server().handle_control(now, "user list");
    assert_eq!(answer, "ok romeo@localhost\n");
    party.pass(5_000);
    let now = party.driver.world.now;
    let answer = party.server().handle_control(now, "user add new@localhost\nsecret\n");
    assert!(answer.starts_with("ok "), "{answer}");
    party.login("new");
}

#[test]
fn what_is_kept_in_memory_is_read_again_after_a_loss() {
    let mut party = in_process("", &["romeo", "juliet"]);
    let romeo = party.join("romeo", "room");
    party.configure(romeo, "room", PERSISTENT);
    // Neither of these hears of the changes: they stay, and with them the roster and the room.
    let (other, juliet) = (party.login("romeo/other"), party.join("juliet", "room"));
    party.fence(juliet);
    put(&mut party, romeo, "kept");
    party.receive(romeo, "<iq type='result' id='kept'/>");
    let list = |party: &mut Local, who: Who, kind: &str, item: &str| {
        let query = format!("<query xmlns='http://jabber.org/protocol/muc#admin'>{item}</query>");
        let to = "room@conference.localhost";
        party.post(who, &format!("<iq type='{kind}' id='list' to='{to}'>{query}</iq>"));
    };
    party.server().storage().inject(Fault::LoseCommit(1));
    put(&mut party, romeo, "lost");
    let member = "<item affiliation='member' jid='lost@localhost'/>";
    list(&mut party, romeo, "set", member);
    party.end_with(romeo, "internal-server-error");
    party.fence(juliet);
    assert_eq!(roster(&mut party, other), ["kept@localhost"]);
    party.enter(other, "room", "romeo");
    list(&mut party, other, "get", "<item affiliation='member'/>");
    let members = party.receive(other, "<iq type='result' id='list'/>");
    assert!(!crate::matcher::to_text(&members).contains("lost@"), "{members:?}");
    party.check_residue();
}

#[test]
fn a_message_that_was_not_archived_was_not_said() {
    let mut party = in_process("", &["romeo", "juliet", "nurse"]);
    let romeo = party.join("romeo", "room");
    party.configure(romeo, "room", PERSISTENT);
    let juliet = party.join("juliet", "room");
    let say = |party: &mut Local, who: Who, text: &str| {
        let to = "room@conference.localhost";
        let message = format!("<message type='groupchat' to='{to}'><body>{text}</body></message>");
        party.post(who, &message);
    };
    say(&mut party, romeo, "kept");
    party.receive(juliet, "<message><body>kept</body></message>");
    party.server().storage().inject(Fault::LoseCommit(1));
    say(&mut party, romeo, "lost");
    for who in [romeo, juliet] {
        party.end_with(who, "internal-server-error");
        let heard = String::from_utf8_lossy(&party.guests[who].transcript).into_owned();
        assert!(!heard.contains("lost"), "{heard}");
    }
    let nurse = party.join("nurse", "room");
    let to = "room@conference.localhost";
    party.send(
        nurse,
        &format!("<iq type='set' id='a' to='{to}'><query xmlns='urn:xmpp:mam:2'/></iq>"),
    );
    party.receive(nurse, "<iq type='result' id='a'/>");
    let heard = String::from_utf8_lossy(&party.guests[nurse].transcript).into_owned();
    // Once in the history, once in the archive.
    assert_eq!((heard.matches(">kept<").count(), heard.matches("lost").count()), (2, 0), "{heard}");
    party.pass(5_000);
    say(&mut party, nurse, "again");
    party.receive(nurse, "<message><body>again</body></message>");
    party.check_residue();
}
