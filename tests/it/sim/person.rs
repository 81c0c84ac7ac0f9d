//! One of the crowd: a client, and what it knows of the rooms that it is in.

use std::collections::{BTreeMap, BTreeSet};

use tercet::xml::Element;

use crate::client::Client;
use crate::driver::Link;

/// The bare address of an account.
pub fn account(number: usize) -> String {
    format!("u{number:02}@localhost")
}

/// From a join to its end, as the client sees it.
#[derive(Clone, Debug, Default)]
pub struct Stay {
    pub nick: String,
    pub role: String,
    /// Bodies, in the order they came; the history first.
    pub messages: Vec<String>,
    /// Text and sender of the latest subject. From the first on everything is live.
    pub subject: Option<(String, String)>,
    /// The number of the join that it began with; 0: not known.
    pub join_number: usize,
    /// Told that the service shuts down.
    pub had_332: bool,
}

pub struct Person {
    pub account_number: usize,
    pub resource: String,
    pub client: Option<Client>,
    pub link: Option<Link>,
    /// What it logged in with.
    pub password: String,
    /// That was its password, for certain, when it began to.
    pub is_sure: bool,
    /// Rooms it is in.
    pub stays: BTreeMap<String, Stay>,
    /// What is over: room and stay.
    pub past: Vec<(String, Stay)>,
    /// Joins without an answer so far, oldest first: room and id.
    pub joins: Vec<(String, String)>,
    /// Addresses that it was shown before it knew its own role.
    pub suspicions: BTreeMap<String, String>,
    /// Ids of requests that must be answered once, and what the answer may be (empty: anything).
    pub awaited: BTreeMap<String, Vec<&'static str>>,
    /// Ids of requests to seats: answered at most once.
    pub seats_asked: BTreeSet<String>,
    /// The latest answer: id and outcome.
    pub answered: (String, String),
    /// The id of an attempt (requests.rs), and what came back to it.
    pub tried: Option<(String, Vec<Element>)>,
    /// Rooms whose addresses it might see when it attempted something without reading, and the ids:
    /// the answer is from then.
    pub asked_by_right: BTreeSet<(String, String)>,
    /// What came out of an archive.
    pub found: Vec<Element>,
    /// What came from rooms besides the three (aside.rs).
    pub aside: Vec<Element>,
    /// Requests for voice that it may decide.
    pub forms: Vec<Element>,
    /// Stanza ids of what was taken back, as it was told.
    pub retracted: Vec<String>,
    /// Somebody's presence was asked for: nobody may be there.
    pub is_probing: bool,
    /// It is available, and may be sent messages by its account.
    pub is_available: bool,
    /// It has sent something that ends its stream.
    pub has_sinned: bool,
}

impl Person {
    pub fn new(account_number: usize, index: usize) -> Self {
        Self {
            account_number,
            resource: format!("c{index}"),
            client: None,
            link: None,
            password: String::new(),
            is_sure: false,
            stays: BTreeMap::new(),
            past: Vec::new(),
            joins: Vec::new(),
            suspicions: BTreeMap::new(),
            awaited: BTreeMap::new(),
            seats_asked: BTreeSet::new(),
            answered: (String::new(), String::new()),
            tried: None,
            asked_by_right: BTreeSet::new(),
            found: Vec::new(),
            aside: Vec::new(),
            forms: Vec::new(),
            retracted: Vec::new(),
            is_probing: false,
            is_available: false,
            has_sinned: false,
        }
    }

    pub fn is_observer(&self) -> bool {
        self.account_number == 0
    }

    pub fn user(&self) -> String {
        format!("u{:02}", self.account_number)
    }

    pub fn account(&self) -> String {
        account(self.account_number)
    }

    pub fn jid(&self) -> String {
        format!("{}/{}", self.account(), self.resource)
    }

    pub fn is_ready(&self) -> bool {
        let is_open = |client: &Client| client.is_ready() && client.is_open();
        self.link.is_some() && !self.has_sinned && self.client.as_ref().is_some_and(is_open)
    }

    pub fn is_joining(&self, room: &str) -> bool {
        self.joins.iter().any(|(other, _)| other == room)
    }

    pub fn begin(&mut self, client: Client, link: Link, is_sure: bool) {
        self.password.clone_from(&client.identity.password);
        self.is_sure = is_sure;
        self.client = Some(client);
        self.link = Some(link);
        self.has_sinned = false;
    }

    /// The connection is over, and with it everything that hung on it.
    pub fn end(&mut self) {
        self.link = None;
        self.client = None;
        self.is_available = false;
        self.joins.clear();
        self.suspicions.clear();
        self.awaited.clear();
        self.seats_asked.clear();
        self.asked_by_right.clear();
        self.past.extend(std::mem::take(&mut self.stays));
    }
}
