//! The clients of the simulation: they log in, accept every subscription, answer every request, and
//! write down what they get.

use std::collections::{BTreeMap, BTreeSet};

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::net::Net;
use crate::client::{Client, Identity, Item};
use crate::driver::{Event, Link};
use crate::matcher::to_text;
use crate::sasl::Mechanism;

/// A client.
pub struct Person {
    pub host: usize,
    pub jid: String,
    client: Client,
    link: Option<Link>,
    /// Bodies that came, by who sent them, in their order.
    pub got: BTreeMap<String, Vec<u64>>,
    /// Messages that came back.
    pub errors: Vec<u64>,
    /// Messages of the room, in their order.
    pub heard: Vec<u64>,
    /// Answers to requests.
    pub answers: Vec<u64>,
    /// It has a seat in the room.
    pub is_seated: bool,
    /// Farewells of a room that shuts down.
    pub farewells_count: usize,
    /// Who is there, as far as it knows.
    pub seen: BTreeMap<String, bool>,
    /// Those that it has seen go, ever.
    pub missed: BTreeSet<String>,
}

/// The number in `m7`.
fn number(text: &str) -> Option<u64> {
    text.get(1..)?.parse().ok()
}

fn bare(jid: &str) -> &str {
    jid.split('/').next().unwrap_or_default()
}

impl Person {
    /// Logs in to a server.
    pub fn enter(net: &mut Net, host: usize, name: &str) -> Result<Self, String> {
        let domain = net.hosts[host].domain.clone();
        let identity = Identity {
            user: name.to_owned(),
            domain: domain.clone(),
            resource: Some("r".to_owned()),
            password: "secret".to_owned(),
            mechanism: Mechanism::Plain,
            with_tls: false,
        };
        let link = net.open(host).ok_or("a client is refused")?;
        Ok(Self {
            host,
            jid: format!("{name}@{domain}/r"),
            client: Client::login(identity),
            link: Some(link),
            got: BTreeMap::new(),
            errors: Vec::new(),
            heard: Vec::new(),
            answers: Vec::new(),
            is_seated: false,
            farewells_count: 0,
            seen: BTreeMap::new(),
            missed: BTreeSet::new(),
        })
    }

    pub fn bare(&self) -> &str {
        bare(&self.jid)
    }

    pub fn is_ready(&self) -> bool {
        self.link.is_some() && self.client.is_ready()
    }

    pub fn send(&mut self, text: &str) {
        self.client.out.extend_from_slice(text.as_bytes());
    }

    pub fn close(&mut self) {
        self.client.close();
    }

    /// What it wants to say goes out.
    pub fn flush(&mut self, net: &mut Net) -> bool {
        let bytes = std::mem::take(&mut self.client.out);
        if let Some(link) = self.link.filter(|_| !bytes.is_empty()) {
            net.write(link, &bytes);
            return true;
        }
        false
    }

    fn receive(&mut self, stanza: &Element) {
        let from = stanza.attr("from").unwrap_or_default().to_owned();
        let id = stanza.attr("id").unwrap_or_default().to_owned();
        let kind = stanza.attr("type").unwrap_or_default();
        match (&*stanza.name, kind) {
            ("message", "error") => self.errors.extend(number(&id)),
            ("message", "groupchat") => {
                let body = stanza.child("body", ns::CLIENT).map(Element::text);
                self.heard.extend(body.as_deref().and_then(number));
            }
            ("message", _) => {
                let body = stanza.child("body", ns::CLIENT).map(Element::text);
                if let Some(number) = body.as_deref().and_then(number) {
                    self.got.entry(from).or_default().push(number);
                }
            }
            ("presence", "subscribe") => {
                self.send(&format!("<presence to='{from}' type='subscribed'/>"));
            }
            ("presence", _) => self.receive_presence(stanza, from, kind),
            ("iq", "get") => {
                self.send(&format!("<iq type='result' to='{from}' id='{id}'/>"));
            }
            ("iq", "result" | "error") if id.starts_with('i') => self.answers.extend(number(&id)),
            _ => {}
        }
    }

    fn receive_presence(&mut self, presence: &Element, from: String, kind: &str) {
        let user = presence.child("x", ns::MUC_USER);
        let code = |wanted| {
            user.is_some_and(|x| {
                x.elements().any(|s| s.name == "status" && s.attr("code") == Some(wanted))
            })
        };
        match kind {
            "" if code("110") => self.is_seated = true,
            "unavailable" if code("110") => {
                self.is_seated = false;
                self.farewells_count += usize::from(code("332"));
            }
            "error" if from.contains("@conference.") => {
                self.is_seated = false;
            }
            _ => {}
        }
        if kind == "unavailable" {
            self.missed.insert(from.clone());
        }
        if matches!(kind, "" | "unavailable") {
            self.seen.insert(from, kind.is_empty());
        }
    }
}

/// Gives the clients what has come for them.
pub fn take_events(net: &mut Net, people: &mut [Person], is_traced: bool) -> Result<bool, String> {
    let mut worked = false;
    while let Some(event) = net.events.pop_front() {
        worked = true;
        let (Event::Bytes(link, _) | Event::End(link)) = &event;
        let person = people.iter_mut().find(|person| person.link == Some(*link));
        let Some(person) = person else { continue };
        match event {
            Event::Bytes(_, bytes) => person.client.feed(&bytes),
            Event::End(_) => {
                person.link = None;
                person.client.end();
            }
        }
        if let Some(trouble) = &person.client.trouble {
            return Err(format!("{}: {trouble}", person.jid));
        }
        while let Some(item) = person.client.inbox.pop_front() {
            if let Item::Element(element) = item {
                if is_traced {
                    eprintln!("{} {} <- {}", net.now.mono_ms, person.jid, to_text(&element));
                }
                person.receive(&element);
            }
        }
    }
    for person in people {
        worked |= person.flush(net);
    }
    Ok(worked)
}
