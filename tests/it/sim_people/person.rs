//! A client of the simulation: its connection, and what it has been told.

use std::collections::BTreeMap;

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::archive::{self, Found};
use super::blocks::bare;
use super::items::item_of;
use super::truth::number;
use crate::client::Client;
use crate::driver::Link;

/// One resource of an account.
#[derive(Default)]
pub struct Person {
    pub client: Option<Client>,
    pub link: Option<Link>,
    /// Labels of what came since the last look.
    pub got: Vec<String>,
    /// The last presence of each address.
    pub seen: BTreeMap<String, String>,
    /// From whom presence came since the last look.
    pub heard: Vec<(String, bool)>,
    /// Its copy of the roster, once it has asked for it.
    pub roster: Option<BTreeMap<String, String>>,
    /// The id that its session can be resumed by (XEP-0198).
    pub resumption: Option<String>,
    /// Stanzas of this session that it has handled.
    pub handled: u32,
    pub is_counting: bool,
    /// It does not say what it has handled.
    pub is_mute: bool,
    /// It gets now what was meant for it earlier.
    pub is_lagging: bool,
    /// Iqs that it has not answered: who asks, and the id.
    pub questions: Vec<(String, String)>,
    /// What a query of its archive has brought.
    pub found: Vec<Found>,
    pub fin: Option<Element>,
    /// Under which ids its archive keeps the messages it has got.
    pub uids: BTreeMap<String, String>,
    /// The server has ended its stream by a fault of its own.
    pub has_stream_error: bool,
    /// Numbers of the latest messages by sender.
    latest: BTreeMap<String, u64>,
    /// What is out of order.
    pub trouble: Option<String>,
}

impl Person {
    /// A new session.
    pub fn begin(&mut self, client: Client, link: Link) {
        *self = Self { client: Some(client), link: Some(link), ..Self::default() };
    }

    pub fn is_open(&self) -> bool {
        self.link.is_some() && self.client.as_ref().is_some_and(Client::is_ready)
    }

    /// Returns what it answers at once.
    pub fn receive(&mut self, element: &Element) -> Option<String> {
        if element.ns == ns::SM {
            return self.manage(element);
        }
        if element.is("error", ns::STREAMS) {
            self.has_stream_error =
                element.child("internal-server-error", ns::STREAM_ERRORS).is_some();
        }
        if element.ns != ns::CLIENT {
            return None;
        }
        self.handled += u32::from(self.is_counting);
        match &*element.name {
            "message" => self.read_message(element),
            "presence" => self.read_presence(element),
            _ => self.read_iq(element),
        }
        None
    }

    fn manage(&mut self, element: &Element) -> Option<String> {
        match &*element.name {
            "enabled" => {
                self.resumption = element.attr("id").map(str::to_owned);
                (self.is_counting, self.handled) = (true, 0);
            }
            "resumed" => self.got.push("resumed".to_owned()),
            "failed" => self.got.push("failed".to_owned()),
            "r" if !self.is_mute => {
                return Some(format!("<a xmlns='{}' h='{}'/>", ns::SM, self.handled));
            }
            _ => {}
        }
        None
    }

    fn read_message(&mut self, message: &Element) {
        let id = message.attr("id").unwrap_or_default();
        if let Some(found) = archive::found(message) {
            return self.found.push(found);
        }
        let own = bare(message.attr("to").unwrap_or_default());
        let uid = message.child("stanza-id", ns::SID).filter(|id| id.attr("by") == Some(own));
        if let Some(uid) = uid.and_then(|uid| uid.attr("id")) {
            self.uids.insert(id.to_owned(), uid.to_owned());
        }
        for (way, label) in [("sent", "copy-sent"), ("received", "copy-received")] {
            if let Some(copy) = message.child(way, ns::CARBONS) {
                let inner = copy.child("forwarded", ns::FORWARD);
                let inner = inner.and_then(|forwarded| forwarded.child("message", ns::CLIENT));
                let inner = inner.filter(|inner| inner.attr("type") != Some("error"));
                // An error is copied when what it answers was; how long that is known is open.
                if let Some(inner) = inner {
                    self.got.push(format!("{label} {}", inner.attr("id").unwrap_or_default()));
                }
                return;
            }
        }
        if message.attr("type") == Some("error") && !id.starts_with('e') {
            return self.got.push(error_label(message));
        }
        if message.child("delay", ns::DELAY).is_some() {
            return self.got.push(format!("late {id}"));
        }
        self.got.push(format!("message {id}"));
        let from = message.attr("from").unwrap_or_default().to_owned();
        let number = number(id);
        let latest = self.latest.insert(from.clone(), number);
        if latest.is_some_and(|latest| latest >= number) {
            self.trouble = Some(format!("{id} of {from} comes after {latest:?}"));
        }
    }

    fn read_presence(&mut self, presence: &Element) {
        let from = presence.attr("from").unwrap_or_default().to_owned();
        match presence.attr("type") {
            None => {
                let tag = presence.child("status", ns::CLIENT).map(Element::text);
                self.seen.insert(from.clone(), tag.unwrap_or_default());
                self.heard.push((from, true));
            }
            // The answer to a probe may be that nobody is there (RFC 6121 §4.3.2).
            Some("unavailable") if bare(&from) == from => {
                self.seen.retain(|jid, _| bare(jid) != from);
            }
            Some("unavailable") => {
                self.seen.remove(&from);
                self.heard.push((from, false));
            }
            Some("error") => self.got.push(error_label(presence)),
            Some(word) => self.got.push(format!("{word} {from}")),
        }
    }

    fn read_iq(&mut self, iq: &Element) {
        let id = iq.attr("id").unwrap_or_default();
        let query = iq.child("query", ns::ROSTER);
        match (iq.attr("type"), query) {
            (Some("set"), Some(query)) => {
                if let Some(roster) = &mut self.roster {
                    query.elements().for_each(|item| change(roster, item));
                } else {
                    self.trouble = Some("a roster push that was not asked for".to_owned());
                }
            }
            (Some("result"), Some(query)) => {
                let mut roster = BTreeMap::new();
                query.elements().for_each(|item| change(&mut roster, item));
                self.roster = Some(roster);
                self.got.push(format!("result {id}"));
            }
            (Some("get" | "set"), None) if id.starts_with('i') => {
                self.got.push(format!("iq {id}"));
                // Who does not acknowledge does not answer either: it may be refused meanwhile.
                if !self.is_mute {
                    let from = iq.attr("from").unwrap_or_default();
                    self.questions.push((from.to_owned(), id.to_owned()));
                }
            }
            (Some("set"), None) => {
                for what in ["block", "unblock"] {
                    let Some(change) = iq.child(what, ns::BLOCKING) else { continue };
                    self.got.extend(jids(change).map(|jid| format!("{what} {jid}")));
                    if change.elements().next().is_none() {
                        self.got.push(format!("{what} all"));
                    }
                }
            }
            (Some("error"), _) => self.got.push(error_label(iq)),
            _ if iq.child("blocklist", ns::BLOCKING).is_some() => {
                let list = iq.child("blocklist", ns::BLOCKING).into_iter();
                let list: Vec<&str> = list.flat_map(jids).collect();
                self.got.push(format!("blocks {id} {}", list.join(",")));
            }
            _ => {
                if let Some(fin) = iq.child("fin", ns::MAM) {
                    self.fin = Some(fin.clone());
                }
                self.got.push(match item_of(iq) {
                    Some(text) => format!("item {id} {text}"),
                    None => format!("result {id}"),
                });
            }
        }
    }
}

/// The addresses of items.
fn jids(list: &Element) -> impl Iterator<Item = &str> {
    list.elements().map(|item| item.attr("jid").unwrap_or_default())
}

fn change(roster: &mut BTreeMap<String, String>, item: &Element) {
    let value = |name| item.attr(name).unwrap_or_default();
    let jid = value("jid").to_owned();
    if value("subscription") == "remove" {
        roster.remove(&jid);
        return;
    }
    let ask = if value("ask") == "subscribe" { "ask" } else { "" };
    let approved = if value("approved") == "true" { "approved" } else { "" };
    let text = format!("{}/{ask}/{approved}/{}", value("subscription"), value("name"));
    roster.insert(jid, text);
}

fn error_label(stanza: &Element) -> String {
    let error = stanza.child("error", ns::CLIENT);
    let condition = error.into_iter().flat_map(Element::elements);
    let condition = condition.map(|e| e.name.to_string()).next().unwrap_or_default();
    format!("error {} {condition}", stanza.attr("id").unwrap_or_default())
}
