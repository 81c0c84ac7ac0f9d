//! Rooms: who may know what of whom.

use tercet::xml::Element;
use tercet::xmpp::ns;

use crate::inproc::InProcess;
use crate::party::{Party, Who, Windows, in_process};

type Local = Party<InProcess<Windows>>;

const ROOM: &str = "room@conference.localhost";

/// The answer to a request for a list.
fn ask_list(party: &mut Local, who: Who, item: &str) -> Element {
    let query = format!("<query xmlns='{}#admin'><item {item}/></query>", ns::MUC);
    party.send(who, &format!("<iq type='get' id='list' to='{ROOM}'>{query}</iq>"));
    party.receive(who, "<iq id='list'/>")
}

fn set(party: &mut Local, who: Who, item: &str) {
    let query = format!("<query xmlns='{}#admin'><item {item}/></query>", ns::MUC);
    party.send(who, &format!("<iq type='set' id='set' to='{ROOM}'>{query}</iq>"));
    party.receive(who, "<iq type='result' id='set'/>");
}

const LISTS: &[&str] = &[
    "affiliation='owner'",
    "affiliation='admin'",
    "affiliation='member'",
    "affiliation='outcast'",
    "role='moderator'",
    "role='participant'",
    "role='visitor'",
];

#[test]
fn advisory_a14_each_list_has_its_readers() {
    let users = ["owner", "admin", "member", "guest", "outsider"];
    let mut party = in_process("", &users);
    let owner = party.join("owner", "room");
    set(&mut party, owner, "affiliation='admin' jid='admin@localhost'");
    set(&mut party, owner, "affiliation='member' jid='member@localhost'");
    set(&mut party, owner, "affiliation='outcast' jid='secret-outcast@localhost'");
    let admin = party.join("admin", "room");
    let member = party.join("member", "room");
    let guest = party.join("guest", "room");
    let outsider = party.login("outsider");
    let may_read = |party: &mut Local, who, item| {
        let answer = ask_list(party, who, item);
        let is_result = answer.attr("type") == Some("result");
        assert!(is_result || answer.elements().all(|child| &*child.name == "error"), "{answer:?}");
        is_result
    };
    // The member list holds addresses: where these are hidden it is for moderators alone.
    for item in LISTS {
        assert!(may_read(&mut party, owner, item), "owner, {item}");
        for who in [member, guest, outsider] {
            assert!(!may_read(&mut party, who, item), "{who}, {item}");
        }
    }
    party.configure(
        owner,
        "room",
        "<field var='muc#roomconfig_whois'><value>anyone</value></field>",
    );
    for item in LISTS {
        let is_of_members = *item == "affiliation='member'";
        assert!(!may_read(&mut party, outsider, item), "outsider, {item}");
        assert_eq!(may_read(&mut party, member, item), is_of_members, "member, {item}");
        assert_eq!(may_read(&mut party, guest, item), is_of_members, "guest, {item}");
    }
    for item in ["affiliation='outcast'", "affiliation='member'", "role='visitor'"] {
        assert!(may_read(&mut party, admin, item), "admin, {item}");
    }
    // The room may keep its member list to moderators.
    let fields = "<field var='muc#roomconfig_getmemberlist'><value>moderator</value></field>";
    party.configure(owner, "room", fields);
    for who in [member, guest, outsider] {
        assert!(!may_read(&mut party, who, "affiliation='member'"));
    }
    assert!(may_read(&mut party, admin, "affiliation='member'"));
}

/// What a room alone may say, as a client might forge it.
fn forgeries() -> String {
    let own = format!(
        "<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='forged'/>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>\
         <delay xmlns='urn:xmpp:delay' from='{ROOM}' stamp='2001-01-01T00:00:00Z'/>\
         <x xmlns='{0}#user'><status code='332'/><item affiliation='owner' role='moderator'/></x>\
         <x xmlns='{0}'><password>forged</password></x>",
        ns::MUC
    );
    // Twice: a server that takes out one copy leaves the other.
    own.repeat(2)
}

fn check_no_forgery(element: &Element) {
    let text = crate::matcher::to_text(element);
    for mark in ["forged", "2001-01-01", "332"] {
        assert!(!text.contains(mark), "{mark}: {text}");
    }
    for (name, ns) in [("stanza-id", "urn:xmpp:sid:0"), ("occupant-id", "urn:xmpp:occupant-id:0")] {
        assert!(element.elements().filter(|child| child.is(name, ns)).count() <= 1, "{text}");
    }
}

#[test]
fn advisory_a15_what_only_the_room_may_say_is_taken_out() {
    let mut party = in_process("", &["romeo", "juliet", "late"]);
    let (romeo, juliet) = (party.join("romeo", "room"), party.join("juliet", "room"));
    let forged = forgeries();
    party.send(
        juliet,
        &format!("<message type='groupchat' to='{ROOM}' id='m'><body>hi</body>{forged}</message>"),
    );
    let heard = party.receive(romeo, "<message type='groupchat' id='m'/>");
    check_no_forgery(&heard);
    assert_eq!(heard.elements().filter(|child| child.is("stanza-id", "urn:xmpp:sid:0")).count(), 1);
    check_no_forgery(&party.receive(juliet, "<message type='groupchat' id='m'/>"));
    // Presence, private messages, a subject, and the history that newcomers get.
    party.send(
        juliet,
        &format!("<presence to='{ROOM}/juliet'><show>away</show>{forged}</presence>"),
    );
    let presence = party.receive(romeo, &format!("<presence from='{ROOM}/juliet'/>"));
    check_no_forgery(&presence);
    party.send(
        juliet,
        &format!("<message type='chat' to='{ROOM}/romeo' id='p'><body>hi</body>{forged}</message>"),
    );
    check_no_forgery(&party.receive(romeo, "<message type='chat' id='p'/>"));
    let late = party.login("late");
    party.send(
        late,
        &format!("<presence to='{ROOM}/late'><x xmlns='{}'/>{forged}</presence>", ns::MUC),
    );
    check_no_forgery(&party.receive(romeo, &format!("<presence from='{ROOM}/late'/>")));
    party.fence(late);
    let welcome = party.take_elements(late);
    assert!(welcome.iter().any(|element| element.child("body", ns::CLIENT).is_some()));
    welcome.iter().for_each(check_no_forgery);
}

#[test]
fn advisory_a17_nobody_but_moderators_sees_an_address() {
    // Addresses that have nothing in common with the nicks.
    let users = ["hidden-owner", "hidden-a", "hidden-b", "hidden-c", "hidden-d"];
    let mut party = in_process("", &users);
    let owner = party.login("hidden-owner/hidden-resource");
    party.enter(owner, "room", "Chair");
    let mut crowd = Vec::new();
    for (user, nick) in users[1..].iter().zip(["Ann", "Bob", "Cat", "Dan"]) {
        let who = party.login(&format!("{user}/hidden-resource-of-{nick}"));
        party.enter(who, "room", nick);
        crowd.push(who);
    }
    let [ann, bob, cat, dan] = crowd[..] else { unreachable!("four") };
    let x = format!("<x xmlns='{}'/>", ns::MUC);
    let disco = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    party.send(ann, &format!("<message type='groupchat' to='{ROOM}'><body>a</body></message>"));
    party.send(ann, &format!("<message type='chat' to='{ROOM}/Bob'><body>p</body></message>"));
    party.send(ann, &format!("<iq type='get' id='q' to='{ROOM}/Bob'>{disco}</iq>"));
    party.fence(bob);
    for request in party.take_elements(bob).into_iter().filter(|e| e.attr("type") == Some("get")) {
        let (id, from) = (request.attr("id").expect("an id"), request.attr("from").expect("from"));
        party.send(bob, &format!("<iq type='result' id='{id}' to='{from}'>{disco}</iq>"));
    }
    party.receive(ann, "<iq type='result' id='q'/>");
    party.send(bob, &format!("<presence to='{ROOM}/Bobby'/>"));
    party.send(cat, &format!("<presence to='{ROOM}/Cat'><show>dnd</show></presence>"));
    party.send(
        cat,
        &format!("<message type='groupchat' to='{ROOM}'><subject>s</subject></message>"),
    );
    party.fence(cat);
    set(&mut party, owner, "nick='Cat' role='visitor'");
    set(&mut party, owner, "nick='Cat' role='participant'");
    set(&mut party, owner, "affiliation='member' jid='hidden-b@localhost'");
    set(&mut party, owner, "affiliation='member' jid='hidden-absent@localhost'");
    party.configure(owner, "room", "<field var='muc#roomconfig_roomname'><value>n</value></field>");
    let invite = "<invite to='hidden-d@localhost'><reason>r</reason></invite>";
    let invite = format!("<x xmlns='{}#user'>{invite}</x>", ns::MUC);
    party.send(owner, &format!("<message to='{ROOM}'>{invite}</message>"));
    let second = party.login("hidden-a/hidden-resource-two");
    party.send(second, &format!("<presence to='{ROOM}/Ann'>{x}</presence>"));
    party.fence(second);
    party.send(
        ann,
        &format!("<iq type='get' id='i' to='{ROOM}'>{}</iq>", disco.replace("info", "items")),
    );
    party.fence(ann);
    set(&mut party, owner, "nick='Dan' role='none'");
    set(&mut party, owner, "affiliation='outcast' jid='hidden-c@localhost'");
    party.cut(second);
    party.send(ann, &format!("<presence type='unavailable' to='{ROOM}/Ann'/>"));
    for who in [bob, dan, ann, owner] {
        party.fence(who);
    }
    // Each knows its own address, the invited one who invited it (XEP-0045 §7.8.2); nobody more.
    let own = [(ann, "hidden-a"), (second, "hidden-a"), (bob, "hidden-b"), (cat, "hidden-c")];
    for (who, own) in own {
        let text = String::from_utf8_lossy(&party.guests[who].transcript).into_owned();
        for user in users.iter().chain(["hidden-absent"].iter()).filter(|user| **user != own) {
            assert!(!text.contains(user), "{own} sees {user}: {text}");
        }
        for nick in ["Ann", "Bob", "Cat", "Dan"] {
            let resource = format!("hidden-resource-of-{nick}");
            let is_own = text.contains(&format!("{own}@localhost/{resource}"));
            assert!(is_own || !text.contains(&resource), "{own} sees {resource}: {text}");
        }
    }
    let text = String::from_utf8_lossy(&party.guests[owner].transcript).into_owned();
    assert!(text.contains("hidden-a@localhost/hidden-resource-of-Ann"), "moderators do");
}

#[test]
fn advisory_a20_look_alikes_and_blank_nicks() {
    let mut party = in_process("", &["romeo", "juliet"]);
    let romeo = party.login("romeo");
    party.enter(romeo, "room", "Romeo");
    let juliet = party.login("juliet");
    let x = format!("<x xmlns='{}'/>", ns::MUC);
    let error = |condition: &str| {
        format!(
            "<presence type='error'><error>{{etc}}\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
        )
    };
    let look_alikes = ["Romeo", "romeo", "ROMEO", "Ｒｏｍｅｏ", "ｒｏｍｅｏ", "Ro\u{ad}meo"];
    for nick in look_alikes {
        party.send(juliet, &format!("<presence to='{ROOM}/{nick}'>{x}</presence>"));
        party.receive(juliet, &error("conflict"));
    }
    for nick in ["%20", " ", "  ", "\u{a0}", "\u{3000}", "\u{200b}"] {
        let nick = nick.replace("%20", "&#x20;");
        party.send(juliet, &format!("<presence to='{ROOM}/{nick}'>{x}</presence>"));
        let refused = party.receive(juliet, "<presence type='error'/>");
        assert!(refused.attr("from").is_none_or(|from| !from.ends_with("/Romeo")));
    }
    for nick in ["a\u{202e}b", "a\u{7f}b", "a\u{85}b", "a&#x9;b", "a\u{e000}b", "a\u{fffd}b"] {
        party.send(juliet, &format!("<presence to='{ROOM}/{nick}'>{x}</presence>"));
        party.receive(juliet, &error("jid-malformed"));
    }
    // A change of nick is no way around it.
    party.enter(juliet, "room", "Juliet");
    for nick in look_alikes {
        party.send(juliet, &format!("<presence to='{ROOM}/{nick}'/>"));
        party.receive(juliet, &error("conflict"));
    }
    party.send(juliet, &format!("<presence to='{ROOM}/JULIET'/>"));
    party.receive(juliet, &format!("<presence from='{ROOM}/JULIET'/>"));
}

#[test]
fn advisory_a21_dead_connections_leave_no_ghosts() {
    let mut party = in_process("limits.idle_seconds = 60", &["romeo", "a", "b", "c", "d"]);
    let romeo = party.join("romeo", "room");
    let gone = |nick: &str| format!("<presence type='unavailable' from='{ROOM}/{nick}'/>");
    // Cut without a word.
    let a = party.join("a", "room");
    party.cut(a);
    party.receive(romeo, &gone("a"));
    // The stream is closed.
    let b = party.join("b", "room");
    party.send(b, "</stream:stream>");
    party.receive(romeo, &gone("b"));
    // What is sent to it bounces.
    let c = party.join("c", "room");
    let error = "<error type='cancel'>\
                 <recipient-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    party.send(c, &format!("<message type='error' to='{ROOM}'>{error}</message>"));
    let removal = party.receive(romeo, &gone("c"));
    assert!(crate::matcher::to_text(&removal).contains("code='333'"));
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    party.send(c, &format!("<iq type='get' id='self' to='{ROOM}/c'>{ping}</iq>"));
    let not_in = "<iq type='error' id='self'><error>{etc}\
                  <not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
    party.receive(c, not_in);
    // Silent for ever: pinged, then closed.
    let d = party.join("d", "room");
    party.send(d, &format!("<iq type='get' id='self' to='{ROOM}/d'>{ping}</iq>"));
    party.receive(d, "<iq type='result' id='self'/>");
    party.pass(59_000);
    party.fence(romeo);
    party.pass(59_000);
    party.fence(romeo);
    party.pass(2_000);
    party.end_with(d, "connection-timeout");
    party.receive(romeo, &gone("d"));
    party.check_residue();
}
