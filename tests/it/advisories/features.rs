//! Rooms: the advisories again, over what rooms offer beyond talk: registration, hats, the card,
//! the archive, moderation, versions of the lists, server admins.

use tercet::xml::Element;
use tercet::xmpp::ns;

use crate::inproc::InProcess;
use crate::matcher::to_text;
use crate::party::{Party, Who, Windows, in_process};

type Local = Party<InProcess<Windows>>;

const ROOM: &str = "room@conference.localhost";
const PERSISTENT: &str = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>";

fn set(party: &mut Local, who: Who, payload: &str) -> Element {
    ask(party, who, "set", payload)
}

fn ask(party: &mut Local, who: Who, kind: &str, payload: &str) -> Element {
    party.send(who, &format!("<iq type='{kind}' id='asked' to='{ROOM}'>{payload}</iq>"));
    party.receive(who, "<iq id='asked'/>")
}

#[track_caller]
fn done(party: &mut Local, who: Who, payload: &str) {
    let answer = set(party, who, payload);
    assert_eq!(answer.attr("type"), Some("result"), "{}", to_text(&answer));
}

fn admin(item: &str) -> String {
    format!("<query xmlns='{}#admin'><item {item}/></query>", ns::MUC)
}

fn form(form_type: &str, fields: &[(&str, &str)]) -> String {
    let field =
        |(var, value): &(&str, &str)| format!("<field var='{var}'><value>{value}</value></field>");
    let fields: String = fields.iter().map(field).collect();
    format!(
        "<x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>{form_type}</value></field>{fields}</x>"
    )
}

fn hat(command: &str, fields: &[(&str, &str)]) -> String {
    let form = form("urn:xmpp:hats:commands", fields);
    format!(
        "<command xmlns='http://jabber.org/protocol/commands' \
         node='urn:xmpp:hats:commands:{command}'>{form}</command>"
    )
}

const HAT: (&str, &str) = ("hats#uri", "urn:hat");

/// What rooms alone may say, in words that nothing else has.
fn forgeries() -> String {
    let own = format!(
        "<hats xmlns='urn:xmpp:hats:0'><hat title='forged' uri='urn:forged'/></hats>\
         <hats xmlns='http://prosody.im/protocol/hats:1'><hat title='forged'/></hats>\
         <moderated xmlns='urn:xmpp:message-moderate:1' by='{ROOM}/forged'/>\
         <retracted xmlns='urn:xmpp:message-retract:1' id='forged' stamp='forged'/>\
         <apply-to xmlns='urn:xmpp:fasten:0' id='forged'>\
         <moderated xmlns='urn:xmpp:message-moderate:0' by='{ROOM}/forged'/></apply-to>\
         <mav xmlns='urn:xmpp:muc:affiliations:1' until='forged'/>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='forged'/>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>\
         <delay xmlns='urn:xmpp:delay' from='{ROOM}' stamp='2001-01-01T00:00:00Z'>forged</delay>\
         <result xmlns='urn:xmpp:mam:2' id='forged'><forwarded xmlns='urn:xmpp:forward:0'>\
         <message xmlns='jabber:client' from='{ROOM}/forged'/></forwarded></result>\
         <fin xmlns='urn:xmpp:mam:2' complete='forged'/>\
         <x xmlns='{0}#user'><invite from='forged@localhost'/><status code='100'/>\
         <mav xmlns='urn:xmpp:muc:affiliations:1' until='forged'/></x>\
         <x xmlns='{0}#user'><decline from='forged@localhost'/></x>\
         <query xmlns='{0}#admin'><item jid='forged@localhost'/></query>",
        ns::MUC
    );
    own.repeat(2)
}

#[test]
fn advisory_a15_nothing_forged_is_passed_on_kept_or_shown_later() {
    let mut party = in_process("", &["owner", "juliet", "late"]);
    let owner = party.join("owner", "room");
    party.configure(owner, "room", PERSISTENT);
    let juliet = party.join("juliet", "room");
    let forged = forgeries();
    let photo = "<x xmlns='vcard-temp:x:update'><photo>01b87fcd</photo></x>";
    for text in [
        format!("<message type='groupchat' to='{ROOM}' id='m'><body>b</body>{forged}</message>"),
        format!("<message type='groupchat' to='{ROOM}'><subject>s</subject>{forged}</message>"),
        format!("<message type='chat' to='{ROOM}/owner' id='p'><body>p</body>{forged}</message>"),
        format!("<presence to='{ROOM}/juliet'>{photo}{forged}</presence>"),
    ] {
        party.send(juliet, &text);
    }
    party.fence(juliet);
    // A retraction of one's own that says that a moderator has made it.
    let said = party.receive(owner, "<message type='groupchat' id='m'/>");
    let id = said.child("stanza-id", "urn:xmpp:sid:0").and_then(|sid| sid.attr("id"));
    let id = id.expect("a stanza id").to_owned();
    party.send(
        juliet,
        &format!(
            "<message type='groupchat' to='{ROOM}' id='r'>\
             <retract xmlns='urn:xmpp:message-retract:1' id='{id}'>\
             <moderated xmlns='urn:xmpp:message-moderate:1' by='{ROOM}/forged'/></retract>{forged}\
             </message>"
        ),
    );
    party.receive(owner, "<message type='groupchat' id='r'/>");
    // Who comes later, from memory and from the disk; and the archive.
    let late = party.join("late", "room");
    done(&mut party, late, "<query xmlns='urn:xmpp:mam:2'/>");
    for who in [owner, juliet] {
        party.send(who, &format!("<presence type='unavailable' to='{ROOM}'/>"));
        party.fence(who);
    }
    party.cut(late);
    let late = party.join("late", "room");
    party.fence(late);
    for guest in 0..party.guests.len() {
        let text = String::from_utf8_lossy(&party.guests[guest].transcript).into_owned();
        assert!(!text.contains("forged"), "{guest}: {text}");
    }
    let text = String::from_utf8_lossy(&party.guests[owner].transcript).into_owned();
    assert!(text.contains("01b87fcd"), "the hash of a picture is the client's to tell (XEP-0153)");
}

/// Those who make a room and its lists what they are.
fn owners_at_work(party: &mut Local, owner: usize, bob: usize) {
    // Hats, of those who are here and of those who are not.
    done(party, owner, &hat("create", &[("hats#title", "Hat"), HAT]));
    for jid in ["hidden-b@localhost", "hidden-absent@localhost"] {
        done(party, owner, &hat("assign", &[("hats#jid", jid), HAT]));
    }
    // Bans, members, nicks.
    for item in [
        "affiliation='outcast' jid='hidden-absent@localhost'",
        "affiliation='outcast' jid='hidden-domain.example'",
        "affiliation='member' jid='hidden-b@localhost' nick='Bobby'",
        "affiliation='member' jid='hidden-other@localhost' nick='Other'",
        "affiliation='none' jid='hidden-other@localhost'",
    ] {
        done(party, owner, &admin(item));
    }
    // Registration.
    let nick = form(&format!("{}#register", ns::MUC), &[("muc#register_roomnick", "Bobo")]);
    let query = format!("<query xmlns='jabber:iq:register'>{nick}</query>");
    done(party, bob, &query);
}

/// What is said, by whom, and what becomes of it; and who is invited.
fn talk_is_moderated(party: &mut Local, owner: usize, admin_seat: usize, ann: usize, bob: usize) {
    // What is said, taken back, and read again.
    party.send(
        bob,
        &format!("<message type='groupchat' to='{ROOM}' id='b'><body>b</body></message>"),
    );
    let said = party.receive(owner, "<message type='groupchat' id='b'/>");
    let id = said.child("stanza-id", "urn:xmpp:sid:0").and_then(|sid| sid.attr("id"));
    let retract = "<retract xmlns='urn:xmpp:message-retract:1'/><reason>r</reason>";
    let id = id.expect("a stanza id");
    let moderate =
        format!("<moderate xmlns='urn:xmpp:message-moderate:1' id='{id}'>{retract}</moderate>");
    done(party, admin_seat, &moderate);
    party.send(bob, &format!("<message type='groupchat' to='{ROOM}'><body>c</body></message>"));
    party.send(
        owner,
        &format!("<message type='groupchat' to='{ROOM}'><subject>s</subject></message>"),
    );
    party.fence(owner);
    done(party, ann, "<query xmlns='urn:xmpp:mam:2'/>");
    let with = form("urn:xmpp:mam:2", &[("with", "hidden-b@localhost")]);
    let refused = set(party, ann, &format!("<query xmlns='urn:xmpp:mam:2'>{with}</query>"));
    assert_eq!(refused.attr("type"), Some("error"));
    // The card, the configuration, invitations that are declined or come back.
    done(party, owner, "<vCard xmlns='vcard-temp'><FN>Room</FN></vCard>");
    let moderated = "<field var='muc#roomconfig_moderatedroom'><value>1</value></field>";
    party.configure(owner, "room", moderated);
    for invitee in ["hidden-root@localhost", "nobody@example.org"] {
        let invite = format!("<x xmlns='{}#user'><invite to='{invitee}'/></x>", ns::MUC);
        party.send(admin_seat, &format!("<message to='{ROOM}'>{invite}</message>"));
    }
    party.fence(admin_seat);
}

/// An admin of the server, and voice.
fn a_server_admin_visits(party: &mut Local, owner: usize, bob: usize) {
    // A server admin comes, speaks, moderates and goes.
    let root = party.login("hidden-root/secret-5");
    let decline = format!("<x xmlns='{}#user'><decline to='{ROOM}/Deputy'/></x>", ns::MUC);
    party.send(root, &format!("<message to='{ROOM}'>{decline}</message>"));
    party.enter(root, "room", "Root");
    party.send(root, &format!("<message type='groupchat' to='{ROOM}'><body>d</body></message>"));
    done(party, root, &admin("nick='Bob' role='visitor'"));
    // Voice.
    let voice = form(&format!("{}#request", ns::MUC), &[("muc#role", "participant")]);
    party.send(bob, &format!("<message to='{ROOM}'>{voice}</message>"));
    party.fence(bob);
    done(party, root, &admin("nick='Bob' role='participant'"));
    party.cut(root);
    done(party, owner, &hat("unassign", &[("hats#jid", "hidden-b@localhost"), HAT]));
}

/// What a participant asks for: the answers are refusals, or for everybody.
fn a_participant_asks(party: &mut Local, ann: usize) {
    // What Ann may ask for herself.
    for payload in [
        "<query xmlns='http://jabber.org/protocol/disco#info'/>".to_owned(),
        "<query xmlns='http://jabber.org/protocol/disco#items'/>".to_owned(),
        "<vCard xmlns='vcard-temp'/>".to_owned(),
        "<query xmlns='jabber:iq:register'/>".to_owned(),
        "<metadata xmlns='urn:xmpp:mam:2'/>".to_owned(),
    ] {
        ask(party, ann, "get", &payload);
    }
    let owner_get = format!("<query xmlns='{}#owner'/>", ns::MUC);
    let lists: Vec<_> = ["owner", "admin", "member", "outcast"]
        .map(|list| admin(&format!("affiliation='{list}'")))
        .into_iter()
        .chain(["moderator", "participant"].map(|role| admin(&format!("role='{role}'"))))
        .chain([owner_get])
        .collect();
    for payload in &lists {
        assert_eq!(ask(party, ann, "get", payload).attr("type"), Some("error"), "{payload}");
    }
    let refused = set(party, ann, &hat("list-assigned", &[]));
    assert_eq!(refused.attr("type"), Some("error"));
}

#[test]
fn advisory_a14_a17_moderators_at_work_tell_participants_no_address() {
    let users = ["hidden-owner", "hidden-admin", "hidden-root", "hidden-a", "hidden-b"];
    let toml = "admin.jids = ['hidden-root@localhost']";
    let mut party = in_process(toml, &users);
    let owner = party.login("hidden-owner/secret-1");
    party.enter(owner, "room", "Chair");
    party.configure(owner, "room", PERSISTENT);
    let ann = party.login("hidden-a/secret-2");
    party.send(
        ann,
        &format!(
            "<presence to='{ROOM}/Ann'><x xmlns='{}'>\
             <mav xmlns='urn:xmpp:muc:affiliations:1'/></x></presence>",
            ns::MUC
        ),
    );
    party.receive(ann, "<message type='groupchat'><subject/></message>");
    let bob = party.login("hidden-b/secret-3");
    party.enter(bob, "room", "Bob");
    let admin_seat = party.login("hidden-admin/secret-4");
    party.enter(admin_seat, "room", "Deputy");
    done(&mut party, owner, &admin("affiliation='admin' jid='hidden-admin@localhost'"));
    owners_at_work(&mut party, owner, bob);
    talk_is_moderated(&mut party, owner, admin_seat, ann, bob);
    a_server_admin_visits(&mut party, owner, bob);
    a_participant_asks(&mut party, ann);
    done(&mut party, owner, &admin("affiliation='outcast' jid='hidden-b@localhost'"));
    party.send(ann, &format!("<presence to='{ROOM}/Anna'/>"));
    party.send(
        owner,
        &format!(
            "<iq type='set' id='end' to='{ROOM}'><query xmlns='{}#owner'><destroy/></query></iq>",
            ns::MUC
        ),
    );
    party.receive(owner, "<iq type='result' id='end'/>");
    party.fence(ann);
    let text = String::from_utf8_lossy(&party.guests[ann].transcript).into_owned();
    for other in ["owner", "admin", "root", "b@", "b/", "absent", "domain", "other"] {
        assert!(!text.contains(&format!("hidden-{other}")), "{other}: {text}");
    }
    for resource in ["secret-1", "secret-3", "secret-4", "secret-5"] {
        assert!(!text.contains(resource), "{resource}: {text}");
    }
    assert!(text.contains("<destroy"), "{text}");
    party.check_residue();
}

#[test]
fn advisory_a21_error_bounces_of_all_kinds_leave_no_ghost() {
    let mut party = in_process("", &["owner", "juliet"]);
    let owner = party.join("owner", "room");
    let gone = "<error type='cancel'>\
                <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    for text in [
        format!("<message type='error' to='{ROOM}'>{gone}</message>"),
        format!("<message type='error' to='{ROOM}/owner'>{gone}</message>"),
        format!("<presence type='error' to='{ROOM}/owner'>{gone}</presence>"),
    ] {
        let juliet = party.join("juliet", "room");
        party.receive(owner, &format!("<presence from='{ROOM}/juliet'/>"));
        party.send(juliet, &text);
        party.receive(owner, &format!("<presence type='unavailable' from='{ROOM}/juliet'/>"));
        let ping = "<ping xmlns='urn:xmpp:ping'/>";
        party.send(juliet, &format!("<iq type='get' id='self' to='{ROOM}/juliet'>{ping}</iq>"));
        party.receive(juliet, "<iq type='error' id='self'/>");
        party.cut(juliet);
    }
    party.check_residue();
}

#[test]
fn advisory_a23_parameters_are_no_sql() {
    let mut party = in_process("", &["owner"]);
    let owner = party.join("owner", "room");
    party.configure(owner, "room", PERSISTENT);
    party.send(owner, &format!("<message type='groupchat' to='{ROOM}'><body>b</body></message>"));
    party.fence(owner);
    let evil = "' OR 1=1; DROP TABLE room; --";
    let escaped = evil.replace('\'', "&apos;");
    for (field, ok) in [("with", false), ("start", false), ("before-id", false), ("ids", false)] {
        let form = form("urn:xmpp:mam:2", &[(field, &escaped)]);
        let answer =
            set(&mut party, owner, &format!("<query xmlns='urn:xmpp:mam:2'>{form}</query>"));
        assert_eq!(answer.attr("type") == Some("result"), ok, "{field}");
    }
    for rsm in ["before", "after", "index", "max"] {
        let page = format!("<set xmlns='{}'><{rsm}>{escaped}</{rsm}></set>", ns::RSM);
        for (kind, to, name) in [
            ("set", ROOM, "urn:xmpp:mam:2"),
            ("get", ROOM, "http://jabber.org/protocol/disco#items"),
            ("get", "conference.localhost", "http://jabber.org/protocol/disco#items"),
        ] {
            let query = format!("<query xmlns='{name}'>{page}</query>");
            party.send(owner, &format!("<iq type='{kind}' id='e' to='{to}'>{query}</iq>"));
            let answer = party.receive(owner, "<iq id='e'/>");
            assert!(answer.attr("type").is_some(), "{rsm} {name}");
        }
    }
    let fields = [("hats#title", escaped.as_str()), ("hats#uri", "urn:&apos;x")];
    done(&mut party, owner, &hat("create", &fields));
    let nick = "O&apos;Hara&quot;); --";
    done(&mut party, owner, &admin(&format!("affiliation='member' jid='u@h' nick='{nick}'")));
    let card = format!("<vCard xmlns='vcard-temp'><FN>{escaped}</FN></vCard>");
    done(&mut party, owner, &card);
    let answer = ask(&mut party, owner, "get", "<vCard xmlns='vcard-temp'/>");
    assert!(answer.elements().flat_map(Element::elements).any(|name| name.text() == evil));
    let list = set(&mut party, owner, "<query xmlns='urn:xmpp:mam:2'/>");
    assert_eq!(list.attr("type"), Some("result"));
    party.check_residue();
}
