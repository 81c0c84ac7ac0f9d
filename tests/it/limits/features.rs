//! What one hostile account can make a room keep, do or say by all that rooms offer beyond talk:
//! registration, requests through seats, lists, hats, cards, the archive. Counted are stanzas and
//! bytes, and that somebody else is served all the while.

use memchr::memmem;
use tercet::xml::Element;
use tercet::xmpp::ns;

use crate::driver::Event;
use crate::inproc::InProcess;
use crate::matcher::to_text;
use crate::party::{Party, Who, Windows, in_process};

type Local = Party<InProcess<Windows>>;

const ROOM: &str = "room@conference.localhost";
const PERSISTENT: &str = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>";

fn ask(party: &mut Local, who: Who, kind: &str, id: &str, payload: &str) {
    party.send(who, &format!("<iq type='{kind}' id='{id}' to='{ROOM}'>{payload}</iq>"));
}

/// The answer to one request: `result`, or the condition of the error.
fn answer(party: &mut Local, who: Who, kind: &str, payload: &str) -> String {
    ask(party, who, kind, "asked", payload);
    let answer = party.receive(who, "<iq id='asked'/>");
    condition(&answer).unwrap_or_else(|| "result".to_owned())
}

fn condition(stanza: &Element) -> Option<String> {
    let error = stanza.child("error", ns::CLIENT)?;
    let condition = error.elements().find(|child| child.ns == ns::STANZA_ERRORS)?;
    Some(condition.name.to_string())
}

/// How many stanzas that have come pass a test.
fn count(party: &mut Local, who: Who, is_it: impl Fn(&Element) -> bool) -> usize {
    party.fence(who);
    party.take_elements(who).iter().filter(|element| is_it(element)).count()
}

fn form(form_type: &str, fields: &str) -> String {
    format!(
        "<x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>{form_type}</value></field>{fields}</x>"
    )
}

fn field(var: &str, value: &str) -> String {
    format!("<field var='{var}'><value>{value}</value></field>")
}

const RATE: &str = "limits.room_messages_per_second = 20";
/// Five seconds' worth.
const BURST: usize = 100;

#[test]
fn registrations_that_come_and_go() {
    let mut party = in_process(RATE, &["owner", "mallory"]);
    let owner = party.join("owner", "room");
    let mallory = party.login("mallory");
    let nick = field("muc#register_roomnick", "m");
    let register = form(&format!("{}#register", ns::MUC), &nick);
    let mut refused = 0;
    for _ in 0..100 {
        for payload in [register.as_str(), "<remove/>"] {
            let query = format!("<query xmlns='jabber:iq:register'>{payload}</query>");
            refused += usize::from(answer(&mut party, mallory, "set", &query) != "result");
        }
    }
    assert_eq!(refused, 200 - BURST);
    let heard = count(&mut party, owner, |stanza| to_text(stanza).contains("mallory@localhost"));
    assert_eq!(heard, BURST);
}

#[test]
fn requests_and_errors_through_seats() {
    let mut party = in_process(RATE, &["owner", "romeo", "mallory"]);
    let owner = party.join("owner", "room");
    let (romeo, mallory) = (party.join("romeo", "room"), party.join("mallory", "room"));
    let seat = format!("{ROOM}/romeo");
    party.fence(romeo);
    party.take(romeo);
    let version = "<query xmlns='jabber:iq:version'/>";
    for n in 0..300 {
        party.send(mallory, &format!("<iq type='get' id='v{n}' to='{seat}'>{version}</iq>"));
    }
    let refused = count(&mut party, mallory, |stanza| {
        condition(stanza).as_deref() == Some("policy-violation")
    });
    let asked = count(&mut party, romeo, |stanza| stanza.attr("type") == Some("get"));
    // The join was one of the burst.
    assert_eq!((asked, refused), (BURST - 1, 300 - (BURST - 1)));
    // To oneself it is free: XEP-0410.
    let own = format!("{ROOM}/mallory");
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    party.send(mallory, &format!("<iq type='get' id='self' to='{own}'>{ping}</iq>"));
    party.receive(mallory, "<iq type='result' id='self'/>");

    party.pass(60_000);
    let error = "<error type='cancel'><policy-violation \
                 xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let spam = format!("<message type='error' to='{seat}'><body>spam</body>{error}</message>");
    for _ in 0..300 {
        party.send(mallory, &spam);
    }
    party.fence(mallory);
    party.fence(romeo);
    let heard = party.take_elements(romeo);
    assert_eq!(heard.len(), BURST);
    assert!(heard.iter().all(|stanza| !to_text(stanza).contains("spam")));
    // Where nobody may send private messages there is nothing to bounce.
    party.configure(owner, "room", &field("muc#roomconfig_allowpm", "none"));
    party.pass(60_000);
    party.fence(romeo);
    party.take(romeo);
    party.send(mallory, &spam);
    party.fence(mallory);
    assert_eq!(count(&mut party, romeo, |_| true), 0);
    party.check_residue();
}

#[test]
fn an_id_that_would_end_the_stream_of_whoever_answers() {
    let mut party = in_process("", &["romeo", "mallory"]);
    let (romeo, mallory) = (party.join("romeo", "room"), party.join("mallory", "room"));
    // Six times as long when it is escaped.
    let id = "'".repeat(100_000);
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    party.send(mallory, &format!("<iq type='get' id=\"{id}\" to='{ROOM}/romeo'>{ping}</iq>"));
    let refused = party.receive(mallory, "<iq type='error'/>");
    assert_eq!(condition(&refused).as_deref(), Some("policy-violation"));
    assert_eq!(count(&mut party, romeo, |stanza| stanza.attr("type") == Some("get")), 0);
}

fn items(range: std::ops::Range<usize>, affiliation: &str, reason: &str) -> String {
    let item = |n| {
        format!("<item affiliation='{affiliation}' jid='u{n}@h'><reason>{reason}</reason></item>")
    };
    let items: String = range.map(item).collect();
    format!("<query xmlns='{}#admin'>{items}</query>", ns::MUC)
}

#[test]
fn texts_in_the_lists_of_one_room() {
    let mut party = in_process("", &["owner"]);
    let owner = party.join("owner", "room");
    let reason = "x".repeat(4_000);
    let mut done = 0;
    for round in 0..20 {
        let query = items(round * 50..round * 50 + 50, "outcast", &reason);
        match answer(&mut party, owner, "set", &query).as_str() {
            "result" => done += 50,
            other => assert_eq!(other, "resource-constraint"),
        }
        party.pass(10_000);
    }
    // Two megabytes, and no more; the list that is read fits the outbox.
    assert_eq!(done, 500);
    let list = format!("<query xmlns='{}#admin'><item affiliation='outcast'/></query>", ns::MUC);
    assert_eq!(answer(&mut party, owner, "get", &list), "result");
    // What makes it shorter is always done.
    assert_eq!(answer(&mut party, owner, "set", &items(0..50, "outcast", "")), "result");
    assert_eq!(answer(&mut party, owner, "set", &items(50..60, "none", "")), "result");
    assert_eq!(answer(&mut party, owner, "set", &items(900..910, "outcast", &reason)), "result");
    party.check_residue();
}

#[test]
fn sets_of_a_thousand_items_again_and_again() {
    let mut party = in_process("limits.bytes_per_second = 0", &["owner", "romeo"]);
    let owner = party.join("owner", "room");
    let romeo = party.login("romeo");
    let mut refused = 0;
    for round in 0..16 {
        let affiliation = if round % 2 == 0 { "member" } else { "outcast" };
        let query = items(0..800, affiliation, "").replace("<reason></reason>", "");
        match answer(&mut party, owner, "set", &query).as_str() {
            "result" => {}
            other => {
                assert_eq!(other, "resource-constraint");
                refused += 1;
            }
        }
        party.fence(romeo);
    }
    assert_eq!(refused, 3);
    party.pass(60_000);
    assert_eq!(answer(&mut party, owner, "set", &items(0..1, "none", "")), "result");
    // A form with as many addresses costs as much.
    let values: String = (0..2_000).map(|n| format!("<value>a{n}@h</value>")).collect();
    let admins = format!("<field var='muc#roomconfig_roomadmins'>{values}</field>");
    let form = form(&format!("{}#roomconfig", ns::MUC), &admins);
    let query = format!("<query xmlns='{}#owner'>{form}</query>", ns::MUC);
    let answers: Vec<_> = (0..10).map(|_| answer(&mut party, owner, "set", &query)).collect();
    assert_eq!(answers[0], "result");
    assert_eq!(answers[9], "resource-constraint");
}

fn command(node: &str, attributes: &str, fields: &str) -> String {
    let form = match fields {
        "" => String::new(),
        _ => form("urn:xmpp:hats:commands", fields),
    };
    format!(
        "<command xmlns='http://jabber.org/protocol/commands' \
         node='urn:xmpp:hats:commands:{node}' {attributes}>{form}</command>"
    )
}

#[test]
fn hats_and_their_commands() {
    let mut party = in_process("", &["owner", "romeo"]);
    let owner = party.join("owner", "room");
    party.configure(owner, "room", PERSISTENT);
    let romeo = party.join("romeo", "room");
    let mut made = 0;
    for n in 0..100 {
        let title = "t".repeat(900);
        let fields = field("hats#title", &title) + &field("hats#uri", &format!("urn:{n}"));
        let done = answer(&mut party, owner, "set", &command("create", "", &fields)) == "result";
        made += usize::from(done);
    }
    assert_eq!(made, 50);
    let mut worn = 0;
    for n in 0..200 {
        let jid = if n < 50 { "romeo@localhost".to_owned() } else { format!("u{n}@h") };
        let fields = field("hats#uri", &format!("urn:{}", n % 50)) + &field("hats#jid", &jid);
        worn += usize::from(
            answer(&mut party, owner, "set", &command("assign", "", &fields)) == "result",
        );
    }
    assert_eq!(worn, 200 - 50 + 16, "one account wears so many");
    // Unknown sessions are refused, and leave nothing; those that are begun are not kept.
    for n in 0..100 {
        let unknown = command("create", &format!("sessionid='{n}' action='cancel'"), "");
        assert_eq!(answer(&mut party, owner, "set", &unknown), "bad-request");
        let begun = answer(&mut party, owner, "set", &command("create", "", ""));
        assert_eq!(begun, "result");
    }
    assert_eq!(answer(&mut party, romeo, "set", &command("create", "", "")), "forbidden");
    // The lists are short enough to be read.
    party.pass(60_000);
    for list in ["list", "list-assigned"] {
        assert_eq!(answer(&mut party, owner, "set", &command(list, "", "")), "result");
    }
    party.check_residue();
}

#[test]
fn cards_again_and_again() {
    let mut party = in_process("", &["owner", "romeo"]);
    let owner = party.join("owner", "room");
    party.configure(owner, "room", PERSISTENT);
    let romeo = party.join("romeo", "room");
    let card = |bytes: usize, n: usize| {
        let image = "AAAA".repeat(bytes / 4);
        format!(
            "<vCard xmlns='vcard-temp'><FN>{n}</FN><PHOTO><BINVAL>{image}</BINVAL></PHOTO></vCard>"
        )
    };
    assert_eq!(answer(&mut party, owner, "set", &card(66_000, 0)), "policy-violation");
    for n in 0..5 {
        assert_eq!(answer(&mut party, owner, "set", &card(60_000, n)), "result");
    }
    assert_eq!(answer(&mut party, owner, "set", &card(60, 9)), "result");
    party.keeps_transcripts = false;
    // Who asks again and again gets so much at once, and loses nobody else's time.
    let get = "<vCard xmlns='vcard-temp'/>";
    let (mut given, mut refused) = (0, 0);
    for _ in 0..1_200 {
        match answer(&mut party, romeo, "get", get).as_str() {
            "result" => given += 1,
            other => {
                assert_eq!(other, "resource-constraint");
                refused += 1;
            }
        }
    }
    assert!(given <= 1_001 && refused >= 199, "{given} given");
    assert_eq!(answer(&mut party, owner, "get", get), "result");
    party.check_residue();
}

#[test]
fn a_room_told_of_again_and_again() {
    let users: Vec<String> = (0..50).map(|n| format!("u{n}")).collect();
    let mut users: Vec<&str> = users.iter().map(String::as_str).collect();
    users.push("mallory");
    let mut party = in_process("limits.bytes_per_second = 0", &users);
    party.keeps_transcripts = false;
    for (n, user) in users[..50].iter().enumerate() {
        party.move_to(&format!("10.0.0.{n}"));
        party.join(user, "room");
    }
    let mallory = party.join("mallory", "room");
    party.take(mallory);
    let x = format!("<x xmlns='{}'><history seconds='{}'/></x>", ns::MUC, u64::MAX);
    let join = format!("<presence to='{ROOM}/mallory'>{x}</presence>");
    party.post(mallory, &join.repeat(2_500));
    let (mut told, mut refused) = (0, 0);
    while told + refused < 2_500 {
        assert!(party.driver.world.turn(), "{told} and {refused}");
        for event in party.driver.world.events.drain(..) {
            let Event::Bytes(_, bytes) = event else { panic!("somebody was cut") };
            told += memmem::find_iter(&bytes, b"<subject").count();
            refused += memmem::find_iter(&bytes, b"<resource-constraint").count();
        }
    }
    // 51 rows each, of 100,000.
    assert_eq!(told, 1_961);
    party.pass(60_000);
    party.send(mallory, &join);
    party.receive(mallory, "<message type='groupchat'><subject/></message>");
    party.check_residue();
}

fn archive_query(fields: &str, rest: &str) -> String {
    format!("<query xmlns='urn:xmpp:mam:2'>{}{rest}</query>", form("urn:xmpp:mam:2", fields))
}

#[test]
fn queries_of_the_archive_that_ask_for_too_much() {
    let mut party = in_process("limits.bytes_per_second = 0", &["owner"]);
    let owner = party.join("owner", "room");
    party.configure(owner, "room", PERSISTENT);
    let ids: String = (0..1_500).map(|n| format!("<value>{n}</value>")).collect();
    let ids = format!("<field var='ids'>{ids}</field>");
    assert_eq!(answer(&mut party, owner, "set", &archive_query(&ids, "")), "not-acceptable");
    let fields: String = (0..500).map(|n| field(&format!("f{n}"), "v")).collect();
    let unknown = answer(&mut party, owner, "set", &archive_query(&fields, ""));
    assert_eq!(unknown, "feature-not-implemented");
    let twice = field("start", "2001-01-01T00:00:00Z").repeat(500);
    assert_eq!(answer(&mut party, owner, "set", &archive_query(&twice, "")), "bad-request");
    let max = format!("<set xmlns='{}'><max>{}</max></set>", ns::RSM, "9".repeat(1_000));
    let huge = answer(&mut party, owner, "set", &archive_query("", &max));
    assert!(["result", "bad-request"].contains(&huge.as_str()), "{huge}");
    // Each id costs a look, each page its messages: in the end it is enough for now.
    let ids: String = (0..500).map(|n| format!("<value>{n}</value>")).collect();
    let ids = archive_query(&format!("<field var='ids'>{ids}</field>"), "");
    assert_eq!(answer(&mut party, owner, "set", &ids), "item-not-found");
    party.check_residue();
}

#[test]
fn pages_for_somebody_who_does_not_read() {
    let toml = "limits.bytes_per_second = 0\nlimits.room_messages_per_second = 0";
    let mut party = in_process(toml, &["owner", "mallory", "romeo"]);
    party.keeps_transcripts = false;
    let owner = party.join("owner", "room");
    party.configure(owner, "room", PERSISTENT);
    let body = "x".repeat(250_000);
    for _ in 0..8 {
        party.send(
            owner,
            &format!("<message type='groupchat' to='{ROOM}'><body>{body}</body></message>"),
        );
        party.fence(owner);
        party.take(owner);
    }
    let (mallory, romeo) = (party.login("mallory"), party.login("romeo"));
    // A page ends where it has its bytes: one message each.
    ask(&mut party, mallory, "set", "page", "<query xmlns='urn:xmpp:mam:2'/>");
    party.receive(mallory, "<iq type='result' id='page'/>");
    party.shut_window(mallory);
    for n in 0..40 {
        ask(&mut party, mallory, "set", &format!("q{n}"), "<query xmlns='urn:xmpp:mam:2'/>");
        let waiting = party.server().residue().outbox_bytes;
        assert!(waiting <= 4_194_304 + 262_144, "{waiting} bytes wait");
    }
    party.fence(romeo);
    party.settle();
    assert_eq!(party.server().residue().outbox_bytes, 0, "it was cut");
    party.check_residue();
}

#[test]
fn requests_for_voice_by_many() {
    let users: Vec<String> = (0..150).map(|n| format!("u{n}")).collect();
    let mut users: Vec<&str> = users.iter().map(String::as_str).collect();
    users.push("owner");
    let mut party = in_process("", &users);
    let owner = party.join("owner", "room");
    party.configure(owner, "room", &field("muc#roomconfig_moderatedroom", "1"));
    let crowd: Vec<_> = users[..150]
        .iter()
        .enumerate()
        .map(|(n, user)| {
            party.move_to(&format!("10.0.0.{n}"));
            party.join(user, "room")
        })
        .collect();
    party.fence(owner);
    party.take(owner);
    let request = form(&format!("{}#request", ns::MUC), &field("muc#role", "participant"));
    for _ in 0..5 {
        for &who in &crowd {
            party.send(who, &format!("<message to='{ROOM}'>{request}</message>"));
        }
    }
    let asked = count(&mut party, owner, |stanza| stanza.child("x", ns::DATA).is_some());
    assert_eq!(asked, 100, "750 requests");
    party.check_residue();
}

#[test]
fn invitations_and_their_refusals() {
    let mut party = in_process(RATE, &["owner", "mallory", "romeo"]);
    party.join("owner", "room");
    let (mallory, romeo) = (party.join("mallory", "room"), party.login("romeo"));
    party.send(romeo, "<presence/>");
    let wrap = |inner: &str| {
        format!("<message to='{ROOM}'><x xmlns='{}#user'>{inner}</x></message>", ns::MUC)
    };
    let invite = wrap("<invite to='romeo@localhost'/>");
    for _ in 0..300 {
        party.send(mallory, &invite);
    }
    party.fence(mallory);
    party.take(mallory);
    let invited = count(&mut party, romeo, |stanza| to_text(stanza).contains("<invite"));
    assert_eq!(invited, BURST - 1);
    // Of all of them one is open, and one refusal of all is heard.
    for _ in 0..300 {
        party.send(romeo, &wrap(&format!("<decline to='{ROOM}/mallory'/>")));
    }
    party.fence(romeo);
    let declined = count(&mut party, mallory, |stanza| to_text(stanza).contains("<decline"));
    assert_eq!(declined, 1);
    party.check_residue();
}
