//! A write of a room fails, whichever of a request's writes it is: who asked gets an error, nobody
//! hears of anything, and the room is as it was, in memory and on the disk.

use tercet::storage::Fault;
use tercet::xml::Element;
use tercet::xmpp::ns;

use crate::inproc::InProcess;
use crate::matcher::to_text;
use crate::party::{Party, Who, Windows, in_process};

type Local = Party<InProcess<Windows>>;

const ROOM: &str = "room@conference.localhost";
/// More writes than any request makes.
const WRITES_MAX: u32 = 40;
const MUC: &str = ns::MUC;

fn form(form_type: &str, fields: &[(&str, &str)]) -> String {
    let field =
        |(var, value): &(&str, &str)| format!("<field var='{var}'><value>{value}</value></field>");
    let fields: String = fields.iter().map(field).collect();
    format!(
        "<x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>{form_type}</value></field>{fields}</x>"
    )
}

fn iq(kind: &str, payload: &str) -> String {
    format!("<iq type='{kind}' id='deed' to='{ROOM}'>{payload}</iq>")
}

fn message(payload: &str) -> String {
    format!("<message type='groupchat' id='deed' to='{ROOM}'>{payload}</message>")
}

fn hat(command: &str, fields: &[(&str, &str)]) -> String {
    let form = form("urn:xmpp:hats:commands", fields);
    let form = if fields.is_empty() { String::new() } else { form };
    format!(
        "<command xmlns='http://jabber.org/protocol/commands' \
         node='urn:xmpp:hats:commands:{command}'>{form}</command>"
    )
}

fn admin(item: &str) -> String {
    format!("<query xmlns='{MUC}#admin'>{item}</query>")
}

fn config(fields: &[(&str, &str)]) -> String {
    format!("<query xmlns='{MUC}#owner'>{}</query>", form(&format!("{MUC}#roomconfig"), fields))
}

fn register(nick: &str) -> String {
    let form = form(&format!("{MUC}#register"), &[("muc#register_roomnick", nick)]);
    format!("<query xmlns='jabber:iq:register'>{form}</query>")
}

/// Sends a request and returns what came of it: an answer, or the reflection of a message.
fn ask(party: &mut Local, who: Who, text: &str) -> Element {
    party.send(who, text);
    let name = if text.starts_with("<iq") { "iq" } else { "message" };
    party.receive(who, &format!("<{name} id='deed'/>"))
}

#[track_caller]
fn done(party: &mut Local, who: Who, text: &str) -> Element {
    let answer = ask(party, who, text);
    assert_ne!(answer.attr("type"), Some("error"), "{}", to_text(&answer));
    answer
}

/// All that the owner can find out about the room.
fn state(party: &mut Local, owner: Who) -> Vec<String> {
    let mut texts = Vec::new();
    let list = |affiliation: &str| admin(&format!("<item affiliation='{affiliation}'/>"));
    let gets = ["owner", "admin", "member", "outcast"].map(list).into_iter().chain([
        format!("<query xmlns='{MUC}#owner'/>"),
        "<vCard xmlns='vcard-temp'/>".to_owned(),
        "<query xmlns='http://jabber.org/protocol/disco#info'/>".to_owned(),
    ]);
    for payload in gets {
        texts.push(to_text(&ask(party, owner, &iq("get", &payload))));
    }
    for command in ["list", "list-assigned"] {
        let answer = ask(party, owner, &iq("set", &hat(command, &[])));
        let command = answer.elements().next().expect("a command");
        texts.push(command.elements().map(to_text).collect());
    }
    party.fence(owner);
    party.take(owner);
    party.send(owner, &iq("set", "<query xmlns='urn:xmpp:mam:2'/>"));
    party.fence(owner);
    for element in party.take_elements(owner) {
        let result = element.child("result", ns::MAM);
        texts.extend(result.map(|result| format!("{:?}{:?}", result.attr("id"), result.children)));
    }
    texts
}

struct Scene {
    party: Local,
    owner: Who,
    juliet: Who,
    /// What juliet said, as the room knows it.
    said: String,
}

/// A stored room with something of everything, and two people in it.
fn scene() -> Scene {
    let mut party = in_process("", &["owner", "juliet", "nurse", "benvolio"]);
    let owner = party.join("owner/a", "room");
    let persistent = ("muc#roomconfig_persistentroom", "1");
    let whois = ("muc#roomconfig_whois", "anyone");
    let subject = ("muc#roomconfig_changesubject", "1");
    done(&mut party, owner, &iq("set", &config(&[persistent, whois, subject])));
    let juliet = party.join("juliet/a", "room");
    for payload in [
        hat("create", &[("hats#title", "T"), ("hats#uri", "u:1")]),
        hat("create", &[("hats#title", "T"), ("hats#uri", "u:2")]),
        hat("assign", &[("hats#jid", "juliet@localhost"), ("hats#uri", "u:1")]),
        "<vCard xmlns='vcard-temp'><FN>Room</FN></vCard>".to_owned(),
        admin("<item affiliation='member' jid='nurse@localhost' nick='Nurse'/>"),
        admin("<item affiliation='admin' jid='benvolio@localhost'/>"),
    ] {
        done(&mut party, owner, &iq("set", &payload));
    }
    done(&mut party, juliet, &message("<subject>Before</subject>"));
    let said = done(&mut party, juliet, &message("<body>Before</body>"));
    let id = said.child("stanza-id", ns::SID).and_then(|id| id.attr("id"));
    let said = id.expect("a stanza id").to_owned();
    party.fence(owner);
    Scene { party, owner, juliet, said }
}

/// Does a deed with each of its writes failing, then with none.
fn check(name: &str, by_owner: bool, deed: impl Fn(&Scene) -> String) {
    for nth in 1..WRITES_MAX {
        let mut scene = scene();
        let text = deed(&scene);
        let (owner, juliet) = (scene.owner, scene.juliet);
        let (who, other) = if by_owner { (owner, juliet) } else { (juliet, owner) };
        let party = &mut scene.party;
        let before = state(party, owner);
        party.fence(other);
        party.take(other);
        party.server().storage().inject(Fault::FailWrite(nth));
        let answer = ask(party, who, &text);
        if answer.attr("type") != Some("error") {
            assert!(nth > 1, "{name} writes nothing");
            return;
        }
        let condition = "<internal-server-error";
        assert!(to_text(&answer).contains(condition), "{name}, {nth}: {}", to_text(&answer));
        party.fence(other);
        let heard: Vec<_> = party.take_elements(other).iter().map(to_text).collect();
        assert!(heard.is_empty(), "{name}, {nth}: {heard:?}");
        assert_eq!(state(party, owner), before, "{name}, {nth}: memory");
        // From the disk: everybody goes, and the same people come back.
        for who in [owner, juliet] {
            party.cut(who);
        }
        let owner = party.join("owner/a", "room");
        party.join("juliet/a", "room");
        assert_eq!(state(party, owner), before, "{name}, {nth}: disk");
    }
    panic!("{name}: there is no end of its writes");
}

#[test]
fn what_is_said() {
    check("a message", false, |_| message("<body>After</body>"));
    check("a subject", false, |_| message("<subject>After</subject>"));
    check("a retraction", false, |scene| {
        message(&format!("<retract xmlns='urn:xmpp:message-retract:1' id='{}'/>", scene.said))
    });
    check("moderation", true, |scene| {
        let retract = "<retract xmlns='urn:xmpp:message-retract:1'/>";
        let ns = "urn:xmpp:message-moderate:1";
        iq("set", &format!("<moderate xmlns='{ns}' id='{}'>{retract}</moderate>", scene.said))
    });
}

#[test]
fn hats_and_the_card() {
    let (first, second) = (("hats#uri", "u:1"), ("hats#uri", "u:2"));
    let juliet = ("hats#jid", "juliet@localhost");
    let title = ("hats#title", "Other");
    for (command, fields) in [
        ("create", &[title, ("hats#uri", "u:3")][..]),
        ("create", &[title, first]),
        ("destroy", &[first]),
        ("assign", &[juliet, second]),
        ("unassign", &[juliet, first]),
    ] {
        check(command, true, |_| iq("set", &hat(command, fields)));
    }
    for card in ["<FN>Other</FN>", ""] {
        check("a card", true, |_| iq("set", &format!("<vCard xmlns='vcard-temp'>{card}</vCard>")));
    }
}

#[test]
fn registration_and_lists() {
    check("registration", false, |_| iq("set", &register("July")));
    let item = |jid: &str, rest: &str| format!("<item jid='{jid}@localhost' {rest}/>");
    check("items", true, |_| {
        let items = [
            item("juliet", "affiliation='member' nick='July'"),
            item("nurse", "affiliation='outcast'"),
            item("benvolio", "affiliation='none'"),
        ];
        iq("set", &admin(&items.concat()))
    });
    check("a nick", true, |_| {
        iq("set", &admin(&item("nurse", "affiliation='member' nick='Angelica'")))
    });
}

#[test]
fn configuration_and_the_end() {
    check("a name", true, |_| iq("set", &config(&[("muc#roomconfig_roomname", "After")])));
    check("no archive", true, |_| iq("set", &config(&[("muc#roomconfig_enablearchiving", "0")])));
    check("temporary", true, |_| iq("set", &config(&[("muc#roomconfig_persistentroom", "0")])));
    check("admins", true, |_| {
        iq("set", &config(&[("muc#roomconfig_roomadmins", "nurse@localhost")]))
    });
    check("the end", true, |_| {
        let destroy = "<destroy jid='other@conference.localhost'><reason>r</reason></destroy>";
        iq("set", &format!("<query xmlns='{MUC}#owner'>{destroy}</query>"))
    });
}
