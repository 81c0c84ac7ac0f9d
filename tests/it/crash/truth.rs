//! What the clients of a server that dies were told, and what they ask of it before.

use std::collections::{BTreeMap, BTreeSet};

use tercet::xmpp::ns;

use super::rooms;
use crate::client::Item;
use crate::setup::Seeded;

const ROOM: &str = "room@conference.localhost";

/// What the server may have stored: the value of the last acknowledgement, or a later one.
#[derive(Default)]
pub struct Counter {
    acknowledged: usize,
    sent: usize,
}

impl Counter {
    #[track_caller]
    pub fn check(&self, what: &str, stored: usize) {
        let (least, most) = (self.acknowledged, self.sent);
        assert!((least..=most).contains(&stored), "{what}: {stored}, not {least} to {most}");
    }
}

/// What the clients were told.
#[derive(Default)]
pub struct Truth {
    pub accounts: BTreeSet<String>,
    pub members: BTreeSet<String>,
    pub contacts: BTreeSet<String>,
    pub subject: Counter,
    pub title: Counter,
    /// What was said, by stanza id.
    pub said: BTreeMap<String, String>,
    /// Stanza ids of what a moderator took back.
    pub moderated: BTreeSet<String>,
    /// Who wears the hat.
    pub hats: BTreeSet<String>,
    pub card: Counter,
    pub pace: Counter,
    pub nick: Counter,
    /// Requests without an answer, by id.
    pending: BTreeMap<String, Request>,
    pub made: usize,
}

enum Request {
    Account(String),
    Member(String),
    Contact(String),
    Subject(usize),
    Title(usize),
    Said(String),
    Moderated(String),
    Hat(String),
    Card(usize),
    Pace(usize),
    Nick(usize),
}

fn iq(id: &str, payload: &str) -> String {
    format!("<iq type='set' id='{id}' to='{ROOM}'>{payload}</iq>")
}

fn options(var: &str, value: usize) -> String {
    let form = rooms::form_of("muc#roomconfig", &[(var, &value.to_string())]);
    format!("<query xmlns='{}'>{form}</query>", ns::MUC_OWNER)
}

impl Truth {
    /// The next request: its text, under an id of its own. Accounts are registered on streams of
    /// their own.
    pub fn next(&mut self, dice: &mut Seeded) -> String {
        self.made += 1;
        let n = self.made;
        let id = format!("r{n}");
        let (request, text) = match dice.below(10) {
            0 => {
                let jid = format!("member{n}@localhost");
                let item = format!("<item affiliation='member' jid='{jid}'/>");
                let query = format!("<query xmlns='{}'>{item}</query>", ns::MUC_ADMIN);
                (Request::Member(jid), iq(&id, &query))
            }
            1 => {
                let jid = format!("contact{n}@localhost");
                let query = format!("<query xmlns='jabber:iq:roster'><item jid='{jid}'/></query>");
                (Request::Contact(jid), format!("<iq type='set' id='{id}'>{query}</iq>"))
            }
            2 => {
                self.subject.sent = n;
                let text = format!("<subject>{n}</subject>");
                let text =
                    format!("<message type='groupchat' id='{id}' to='{ROOM}'>{text}</message>");
                (Request::Subject(n), text)
            }
            3 => {
                self.title.sent = n;
                (Request::Title(n), iq(&id, &options("muc#roomconfig_roomname", n)))
            }
            4 => self.take_back_or_say(&id),
            chance => self.keep_in_room(&id, chance),
        };
        self.pending.insert(id, request);
        text
    }

    /// A moderator takes back what was said last and acknowledged; if nothing was, more is said.
    fn take_back_or_say(&mut self, id: &str) -> (Request, String) {
        let mut said = self.said.keys().filter(|said| !self.moderated.contains(*said));
        let Some(said) = said.next().cloned() else { return self.keep_in_room(id, 9) };
        let retract = format!("<retract xmlns='{}'/>", ns::RETRACT);
        let payload =
            format!("<moderate xmlns='{}' id='{said}'>{retract}</moderate>", ns::MODERATE);
        let text = iq(id, &payload);
        (Request::Moderated(said), text)
    }

    fn keep_in_room(&mut self, id: &str, chance: usize) -> (Request, String) {
        let n = self.made;
        match chance {
            5 => {
                let (hat, wearer) = ("urn:example:hat", format!("wearer{n}@localhost"));
                let create = iq("hat", &rooms::hat_command("create", "", hat));
                let assign = iq(id, &rooms::hat_command("assign", &wearer, hat));
                (Request::Hat(wearer), create + &assign)
            }
            6 => {
                self.card.sent = n;
                let card = format!("<vCard xmlns='vcard-temp'><NOTE>{n}</NOTE></vCard>");
                (Request::Card(n), iq(id, &card))
            }
            7 => {
                self.pace.sent = n;
                (Request::Pace(n), iq(id, &options("muc#roomconfig_slow_mode_duration", n)))
            }
            8 => {
                self.nick.sent = n;
                (Request::Nick(n), iq(id, &rooms::registration(&format!("nick{n}"))))
            }
            _ => {
                let body = format!("body{n}");
                let inner = format!("<body>{body}</body>");
                let text =
                    format!("<message type='groupchat' id='{id}' to='{ROOM}'>{inner}</message>");
                (Request::Said(body), text)
            }
        }
    }

    /// An account is registered by a request with this id.
    pub fn expect_account(&mut self, id: String, account: String) {
        self.pending.insert(id, Request::Account(account));
    }

    /// What has no answer may or may not have happened.
    pub fn give_up(&mut self) {
        self.pending.clear();
    }

    /// What the server said counts from now on; returns how much of it was an acknowledgement.
    pub fn hear(&mut self, items: &[Item]) -> usize {
        let mut heard = 0;
        for item in items {
            let Item::Element(element) = item else { continue };
            let Some(request) = element.attr("id").and_then(|id| self.pending.remove(id)) else {
                continue;
            };
            assert_ne!(element.attr("type"), Some("error"), "{element:?}");
            heard += 1;
            match request {
                Request::Account(name) => drop(self.accounts.insert(name)),
                Request::Member(jid) => drop(self.members.insert(jid)),
                Request::Contact(jid) => drop(self.contacts.insert(jid)),
                Request::Subject(n) => self.subject.acknowledged = n,
                Request::Title(n) => self.title.acknowledged = n,
                Request::Said(body) => drop(self.said.insert(rooms::stanza_id(element), body)),
                Request::Moderated(id) => drop(self.moderated.insert(id)),
                Request::Hat(wearer) => drop(self.hats.insert(wearer)),
                Request::Card(n) => self.card.acknowledged = n,
                Request::Pace(n) => self.pace.acknowledged = n,
                Request::Nick(n) => self.nick.acknowledged = n,
            }
        }
        heard
    }
}
