//! What clients do until their accounts hold something of each kind, and what then waits for one.

use tercet::xmpp::ns;

use crate::command::done;
use crate::matcher::to_text;
use crate::party::{Party, Who};
use crate::socket::Sockets;

/// Sets something, which must work.
#[track_caller]
fn set(party: &mut Party<Sockets>, who: Who, payload: &str) {
    party.send(who, &format!("<iq type='set' id='set'>{payload}</iq>"));
    party.receive(who, "<iq type='result' id='set'/>");
}

/// Accounts `juliet`, `romeo`, `nurse`, `paris` and `tybalt` hold something of each kind; nobody is
/// there any more.
pub fn fill(party: &mut Party<Sockets>) {
    let juliet = party.login("juliet/phone");
    let romeo = party.login("romeo/orchard");
    let nurse = party.login("nurse/hall");
    for who in [juliet, romeo, nurse] {
        party.send(who, "<presence/>");
        party.fence(who);
    }
    contacts(party, juliet, romeo);
    kept(party, juliet);
    nodes(party, juliet, romeo);
    messages(party, juliet, romeo);
    party.send(juliet, "<presence type='unavailable'><status>Wed &amp; dead</status></presence>");
    party.fence(juliet);
    leave(party, juliet);
    for (who, body) in [(romeo, "O <i>wilt</i>"), (romeo, "thou"), (nurse, "Madam!")] {
        let body = body.replace('<', "&lt;");
        party.send(
            who,
            &format!(
                "<message to='juliet@localhost' type='chat' id='o' xml:lang='en'>\
                 <body>{body}</body><x xmlns='u:x' xmlns:p='u:p' p:a='1'><y xmlns=''/></x>\
                 </message>"
            ),
        );
        party.fence(who);
    }
    for who in [romeo, nurse] {
        leave(party, who);
    }
    let setup = &party.driver.setup;
    assert_eq!(
        done(setup, &["user", "disable", "tybalt@localhost"]),
        "disabled tybalt@localhost\n"
    );
}

fn leave(party: &mut Party<Sockets>, who: Who) {
    party.send(who, "</stream:stream>");
    party.end(who);
}

/// Contacts in every state, a request without an answer, and whom she blocks.
fn contacts(party: &mut Party<Sockets>, juliet: Who, romeo: Who) {
    let item = |attributes: &str, groups: &str| {
        format!("<query xmlns='jabber:iq:roster'><item {attributes}>{groups}</item></query>")
    };
    let groups = "<group>Friends &amp; foes</group><group>Verona</group>";
    set(party, juliet, &item("jid='romeo@localhost' name='Romeo &lt;&apos;\u{1f339}&gt;'", groups));
    set(party, juliet, &item("jid='gone@localhost'", ""));
    set(party, juliet, &item("jid='gone@localhost' subscription='remove'", ""));
    let presence = |to: &str, kind: &str| format!("<presence to='{to}@localhost' type='{kind}'/>");
    party.send(romeo, &presence("juliet", "subscribe"));
    party.receive(juliet, "<presence type='subscribe' from='romeo@localhost'/>");
    party.send(juliet, &presence("romeo", "subscribed"));
    party.receive(romeo, "<presence from='juliet@localhost/phone'/>");
    party.send(juliet, &presence("nurse", "subscribe"));
    party.send(juliet, &presence("tybalt", "subscribed"));
    let paris = party.login("paris");
    let status = "<status>Please &amp; thanks</status>";
    party.send(
        paris,
        &format!("<presence to='juliet@localhost' type='subscribe' id='p1'>{status}</presence>"),
    );
    party.fence(paris);
    leave(party, paris);
    set(
        party,
        juliet,
        "<block xmlns='urn:xmpp:blocking'><item jid='mercutio@localhost'/>\
         <item jid='mantua.example'/><item jid='room@c.example/some nick'/></block>",
    );
}

/// A card with a picture, private XML, bookmarks of the old kind.
fn kept(party: &mut Party<Sockets>, juliet: Who) {
    set(
        party,
        juliet,
        "<vCard xmlns='vcard-temp'><FN>Juliet &amp; co</FN><PHOTO><TYPE>image/png</TYPE>\
         <BINVAL>iVBORw0KGgo=</BINVAL></PHOTO><NOTE>two\nlines</NOTE></vCard>",
    );
    let private = |inner: &str| format!("<query xmlns='jabber:iq:private'>{inner}</query>");
    let prefs = "<prefs xmlns='u:client' a='1'><b/></prefs><prefs xmlns='u:client'>2</prefs>";
    set(party, juliet, &private(prefs));
    set(party, juliet, &private("<other xmlns='u:client'>  spaces  </other>"));
    set(
        party,
        juliet,
        &private(
            "<storage xmlns='storage:bookmarks'><url url='http://x.example/?a=1&amp;b=2'/>\
             <conference jid='tea@c.example' name='Tea' autojoin='true'><nick>J</nick>\
             </conference></storage>",
        ),
    );
}

/// A node whose every option is another than the default, with people and items.
fn nodes(party: &mut Party<Sockets>, juliet: Who, romeo: Who) {
    let field = |(var, value): &(&str, &str)| {
        format!("<field var='pubsub#{var}'><value>{value}</value></field>")
    };
    let options: String = [
        ("title", "Notes &lt;1&gt;"),
        ("description", "What I think"),
        ("type", "u:note"),
        ("access_model", "open"),
        ("publish_model", "open"),
        ("max_items", "7"),
        ("item_expire", "600000"),
        ("send_last_published_item", "on_sub"),
        ("deliver_notifications", "0"),
        ("deliver_payloads", "0"),
        ("notify_config", "1"),
        ("notify_delete", "0"),
        ("notify_retract", "0"),
        ("notification_type", "normal"),
    ]
    .iter()
    .map(field)
    .collect();
    let groups = "<field var='pubsub#roster_groups_allowed'><value>Verona</value></field>";
    let (pubsub, owner) = (ns::PUBSUB, ns::PUBSUB_OWNER);
    set(
        party,
        juliet,
        &format!(
            "<pubsub xmlns='{pubsub}'><create node='urn:x:notes'/><configure>\
             <x xmlns='jabber:x:data' type='submit'>{options}{groups}</x></configure></pubsub>"
        ),
    );
    let publish = |id: &str, payload: &str| {
        format!(
            "<pubsub xmlns='{pubsub}'><publish node='urn:x:notes'><item id='{id}'>{payload}\
             </item></publish></pubsub>"
        )
    };
    for (id, text) in [("c", "first"), ("a", "&lt;second&gt;"), ("b", "third"), ("c", "again")] {
        let payload = format!("<note xmlns='u:note' xml:lang='it'>{text}<x xmlns=''/></note>");
        set(party, juliet, &publish(id, &payload));
    }
    set(
        party,
        juliet,
        &format!(
            "<pubsub xmlns='{owner}'><affiliations node='urn:x:notes'>\
             <affiliation jid='nurse@localhost' affiliation='publisher'/>\
             <affiliation jid='paris@localhost' affiliation='outcast'/>\
             <affiliation jid='romeo@localhost' affiliation='member'/></affiliations></pubsub>"
        ),
    );
    for payload in [
        format!(
            "<pubsub xmlns='{pubsub}'><subscribe node='urn:x:notes' jid='romeo@localhost/orchard'/>\
             </pubsub>"
        ),
        publish("his", "<note xmlns='u:note'/>"),
    ] {
        party.send(romeo, &format!("<iq type='set' id='r' to='juliet@localhost'>{payload}</iq>"));
        party.receive(romeo, "<iq type='result' id='r'/>");
    }
}

/// What is in the archive, and what is wanted there.
fn messages(party: &mut Party<Sockets>, juliet: Who, romeo: Who) {
    let message =
        |to: &str, inner: &str| format!("<message to='{to}' type='chat' id='m'>{inner}</message>");
    let body = "<body>Wherefore &lt;art&gt; thou\n'Romeo'?</body>";
    for (who, to) in [
        (juliet, "romeo@localhost"),
        (juliet, "romeo@localhost/orchard"),
        (romeo, "juliet@localhost/phone"),
        (romeo, "juliet@localhost"),
        (juliet, "juliet@localhost"),
        (juliet, "juliet@localhost/phone"),
    ] {
        party.send(who, &message(to, body));
        party.fence(who);
    }
    party.fence(juliet);
    set(
        party,
        juliet,
        "<prefs xmlns='urn:xmpp:mam:2' default='roster'><always><jid>paris@localhost</jid>\
         <jid>romeo@localhost/orchard</jid></always><never><jid>nurse@localhost</jid></never>\
         </prefs>",
    );
}

/// A client that becomes ready is given the request and the messages that have waited.
pub fn check_waiting(party: &mut Party<Sockets>, juliet: Who) {
    party.send(juliet, "<presence/>");
    let request = party.receive(juliet, "<presence type='subscribe' from='paris@localhost'/>");
    assert!(to_text(&request).contains("Please &amp; thanks"), "{}", to_text(&request));
    for (from, body, is_archived) in [
        ("romeo@localhost/orchard", "O <i>wilt</i>", true),
        ("romeo@localhost/orchard", "thou", true),
        ("nurse@localhost/hall", "Madam!", false),
    ] {
        let message = party.receive(juliet, "<message/>");
        let found = message.child("body", ns::CLIENT).map(|body| body.text());
        assert_eq!((message.attr("from"), found.as_deref()), (Some(from), Some(body)));
        assert!(message.child("delay", ns::DELAY).is_some());
        assert_eq!(message.child("stanza-id", ns::SID).is_some(), is_archived);
    }
}
