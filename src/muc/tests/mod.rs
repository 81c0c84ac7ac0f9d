//! Dialogues with the room service alone: stanzas in, bytes of outboxes out. What can be said over
//! a stream is in tests/scenarios; here is what needs a look inside, a failing database or a clock.

mod admin;
mod archive;
mod backlog;
mod cards;
mod joining;
mod leaks;
mod lifecycle;
mod people;
mod privileges;
mod seats;
mod service;
mod versions;

use std::io::IoSlice;
use std::rc::Rc;

use super::Muc;
use crate::config::Config;
use crate::cx::{Cx, Entropy, Now};
use crate::ids::{SessionId, Target};
use crate::storage::Storage;
use crate::xml::{Element, Node, StreamEvent, StreamParser, XmlLimits};
use crate::xmpp::{
    Condition, IqType, Jid, MessageType, PresenceType, Stanza, StanzaError, StanzaKind, ns,
};

const ROOM: &str = "room@conference.localhost";

struct Counter(u64);

impl Entropy for Counter {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = self.0.to_be_bytes()[0];
        }
    }
}

/// Somebody with a session.
#[derive(Clone)]
struct User {
    jid: Jid,
    session: SessionId,
}

/// A service with nobody in it.
struct World {
    cx: Cx,
    muc: Muc,
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).expect("an address")
}

/// Reads one element.
fn xml(text: &str) -> Element {
    elements(text).pop().expect("an element")
}

fn elements(text: &str) -> Vec<Element> {
    let limits =
        XmlLimits { stanza_bytes_max: 0, depth_max: 64, attributes_max: 64, nodes_max: 100_000 };
    let mut parser = StreamParser::new(limits);
    parser.feed(format!("<s xmlns='{}'>{text}</s>", ns::CLIENT).as_bytes());
    let mut elements = Vec::new();
    while let Some(event) = parser.next_event().expect("well-formed") {
        if let StreamEvent::Stanza(element) = event {
            elements.push(element);
        }
    }
    elements
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        // There is no time in these tests: who speaks often is not slowed down.
        config.limits.room_messages_per_second = 0;
        change(&mut config);
        let now = Now { mono_ms: 1_000, unix_ms: 1_700_000_000_000 };
        let cx = Cx::new(Rc::new(config), Storage::memory(), Box::new(Counter(1)), now);
        Self { cx, muc: Muc::new() }
    }

    fn user(&mut self, address: &str) -> User {
        User { jid: jid(address), session: self.cx.out.open() }
    }

    fn handle(&mut self, user: &User, stanza: Stanza) -> Result<(), StanzaError> {
        self.cx.storage.begin_handler();
        let result = self.muc.handle(&mut self.cx, Target::Local(user.session), stanza);
        if result.is_err() {
            self.cx.storage.roll_back_handler();
        }
        result
    }

    /// Sends a stanza with the children that `text` has.
    fn send(
        &mut self,
        user: &User,
        kind: StanzaKind,
        to: &str,
        text: &str,
    ) -> Result<(), StanzaError> {
        let mut stanza = Stanza::new(kind, user.jid.clone(), Some(jid(to)));
        stanza.id = Some("id".to_owned());
        stanza.children = elements(text).into_iter().map(Node::Element).collect();
        self.handle(user, stanza)
    }

    fn presence(&mut self, user: &User, to: &str, text: &str) -> Result<(), StanzaError> {
        self.send(user, StanzaKind::Presence(PresenceType::Available), to, text)
    }

    fn join(&mut self, user: &User, nick: &str) -> Result<(), StanzaError> {
        let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
        self.presence(user, &format!("{ROOM}/{nick}"), x)
    }

    fn leave(&mut self, user: &User) {
        let kind = StanzaKind::Presence(PresenceType::Unavailable);
        self.send(user, kind, ROOM, "").expect("leaving is never refused");
    }

    fn say(&mut self, user: &User, text: &str) -> Result<(), StanzaError> {
        let kind = StanzaKind::Message(MessageType::Groupchat);
        self.send(user, kind, ROOM, text)
    }

    fn set(&mut self, user: &User, query: &str) -> Result<(), StanzaError> {
        self.send(user, StanzaKind::Iq(IqType::Set), ROOM, query)
    }

    fn get(&mut self, user: &User, query: &str) -> Result<(), StanzaError> {
        self.send(user, StanzaKind::Iq(IqType::Get), ROOM, query)
    }

    /// Submits a configuration: `fields` are (name after `muc#`, values).
    fn configure(&mut self, user: &User, fields: &[(&str, &[&str])]) -> Result<(), StanzaError> {
        let mut form = String::new();
        for (name, values) in fields {
            let values: String = values.iter().map(|v| format!("<value>{v}</value>")).collect();
            form.push_str(&format!("<field var='muc#{name}'>{values}</field>"));
        }
        if !fields.is_empty() {
            let form_type = "http://jabber.org/protocol/muc#roomconfig";
            form.push_str(&format!("<field var='FORM_TYPE'><value>{form_type}</value></field>"));
        }
        self.set(
            user,
            &format!(
                "<query xmlns='http://jabber.org/protocol/muc#owner'>\
                 <x xmlns='jabber:x:data' type='submit'>{form}</x></query>"
            ),
        )
    }

    /// A set of `muc#admin` with these items.
    fn admin(&mut self, user: &User, items: &str) -> Result<(), StanzaError> {
        let query = format!("<query xmlns='http://jabber.org/protocol/muc#admin'>{items}</query>");
        self.set(user, &query)
    }

    /// Takes the bytes that wait for somebody.
    fn bytes(&mut self, user: &User) -> String {
        let outbox = self.cx.out.get_mut(user.session).expect("the session is there");
        let mut slices = [IoSlice::new(&[]); 64];
        let mut bytes = Vec::new();
        let used = outbox.slices(&mut slices);
        for slice in &slices[..used] {
            bytes.extend_from_slice(slice);
        }
        outbox.consume(bytes.len());
        String::from_utf8(bytes).expect("XML is UTF-8")
    }

    /// Takes the stanzas that wait for somebody.
    fn received(&mut self, user: &User) -> Vec<Element> {
        let bytes = self.bytes(user);
        elements(&bytes)
    }

    /// The same in short: see [`short`].
    fn heard(&mut self, user: &User) -> Vec<String> {
        self.received(user).iter().map(short).collect()
    }

    /// A configured room with these occupants, the first of whom owns it; nothing waits.
    fn room(&mut self, users: &[(&User, &str)]) {
        for (index, (user, nick)) in users.iter().enumerate() {
            self.join(user, nick).expect("the room is open");
            if index == 0 {
                self.configure(user, &[]).expect("the defaults are sound");
            }
        }
        for (user, _) in users {
            self.bytes(user);
        }
    }
}

/// A stanza in one line: name, type, nick, codes, affiliation/role, body or subject, error.
fn short(stanza: &Element) -> String {
    let from = stanza.attr("from").unwrap_or_default();
    let nick = from.split_once('/').map_or("", |(_, nick)| nick);
    let mut parts = vec![stanza.name.to_string()];
    parts.extend(stanza.attr("type").map(str::to_owned));
    parts.push(nick.to_owned());
    if let Some(x) = stanza.child("x", ns::MUC_USER) {
        for child in x.elements() {
            match &*child.name {
                "status" => parts.extend(child.attr("code").map(str::to_owned)),
                "item" => {
                    let value = |name| child.attr(name).unwrap_or("-").to_owned();
                    parts.push(format!("{}/{}", value("affiliation"), value("role")));
                    parts.extend(child.attr("jid").map(str::to_owned));
                    parts.extend(child.attr("nick").map(|nick| format!("->{nick}")));
                }
                name => parts.push(name.to_owned()),
            }
        }
    }
    for name in ["body", "subject"] {
        parts.extend(stanza.child(name, ns::CLIENT).map(|e| format!("{name}={}", e.text())));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

#[track_caller]
fn refused(result: Result<(), StanzaError>, condition: Condition) {
    let error = result.expect_err("it is to be refused");
    assert_eq!(error.condition, condition);
}
