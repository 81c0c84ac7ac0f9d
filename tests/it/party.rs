//! A party of test clients at one server, through any driver: they log in, send, and wait for what
//! is to come, with a deadline. For the tests of risks, where a script would not do: numbers of
//! clients, floods, clients that do not read. What goes wrong panics and says what was seen.

use std::collections::{BTreeMap, BTreeSet};

use tercet::ids::Door;
use tercet::server::{Residue, Server};
use tercet::xml::Element;
use tercet::xmpp::ns;

use crate::client::{Client, Identity, Item};
use crate::driver::{Driver, Event, Link};
use crate::inproc::{InProcess, Pace};
use crate::matcher::{self, Captures, to_text};
use crate::sasl::Mechanism;
use crate::setup::{Folder, Setup};
use crate::socket::Sockets;

/// A place in [`Party::guests`].
pub type Who = usize;

/// The password of all accounts.
pub const PASSWORD: &str = "secret";

pub struct Guest {
    pub client: Client,
    pub link: Link,
    /// Everything that the server sent.
    pub transcript: Vec<u8>,
}

pub struct Party<D> {
    pub driver: D,
    pub guests: Vec<Guest>,
    by_link: BTreeMap<Link, Who>,
    fences: usize,
    /// How everybody logs in.
    pub mechanism: Mechanism,
    pub with_tls: bool,
    /// Answers the end of a stream with the end of the connection, as clients do.
    pub is_polite: bool,
    /// Keeps what the server sent.
    pub keeps_transcripts: bool,
}

/// Reads of the reactor's size, and clients whose windows can be shut.
#[derive(Default)]
pub struct Windows {
    /// Clients that take nothing.
    pub shut: BTreeSet<Link>,
    /// What the others take in one turn, each.
    pub bytes_max: Option<usize>,
}

impl Pace for Windows {
    fn read(&mut self, _: Link, waiting: usize) -> usize {
        waiting.min(16 * 1024)
    }

    fn write(&mut self, link: Link, waiting: usize) -> usize {
        if self.shut.contains(&link) { 0 } else { self.bytes_max.unwrap_or(waiting) }
    }
}

/// `romeo`, `juliet` and so on, at localhost.
fn accounts(users: &[&str]) -> Vec<(String, String)> {
    users.iter().map(|user| (format!("{user}@localhost"), PASSWORD.to_owned())).collect()
}

/// A server in this process, in memory.
pub fn in_process(toml: &str, users: &[&str]) -> Party<InProcess<Windows>> {
    let setup = Setup::new(toml, accounts(users), None).expect("a valid setup");
    Party::new(InProcess::new(setup, Windows::default()).expect("a server"))
}

/// A setup of the built binary, in a folder of its own.
pub fn setup_on_disk(toml: &str, users: &[&str]) -> Setup {
    let folder = Folder::new().expect("a folder");
    Setup::new(toml, accounts(users), Some(folder)).expect("a valid setup")
}

/// The built binary over sockets.
pub fn over_sockets(toml: &str, users: &[&str]) -> Party<Sockets> {
    Party::new(Sockets::new(setup_on_disk(toml, users)).unwrap_or_else(|why| panic!("{why}")))
}

impl<D: Driver> Party<D> {
    pub fn new(driver: D) -> Self {
        Self {
            driver,
            guests: Vec::new(),
            by_link: BTreeMap::new(),
            fences: 0,
            mechanism: Mechanism::Plain,
            with_tls: false,
            is_polite: true,
            keeps_transcripts: true,
        }
    }

    pub fn identity(&self, user: &str) -> Identity {
        let (user, resource) = match user.split_once('/') {
            Some((user, resource)) => (user, Some(resource.to_owned())),
            None => (user, None),
        };
        Identity {
            user: user.to_owned(),
            domain: "localhost".to_owned(),
            resource,
            password: PASSWORD.to_owned(),
            mechanism: self.mechanism,
            with_tls: self.with_tls,
        }
    }

    /// Connects a client; `None`: refused.
    pub fn connect(&mut self, client: Client) -> Option<Who> {
        let link = self.driver.open(Door::Clients).ok()?;
        let who = self.guests.len();
        self.guests.push(Guest { client, link, transcript: Vec::new() });
        self.by_link.insert(link, who);
        self.flush(who);
        Some(who)
    }

    /// A client that only does what it is told.
    pub fn open(&mut self) -> Who {
        let client = Client::raw(self.identity("nobody"));
        self.connect(client).expect("the server accepts")
    }

    /// A stream of a client that speaks for itself, up to the features.
    pub fn open_stream(&mut self) -> Who {
        let who = self.open();
        self.send(who, HEADER);
        self.receive(who, "<stream:features/>");
        who
    }

    /// A client that begins to log in, as `user` or `user/resource`.
    pub fn begin_login(&mut self, user: &str) -> Who {
        let client = Client::login(self.identity(user));
        self.connect(client).expect("the server accepts")
    }

    /// A client that is logged in.
    pub fn login(&mut self, user: &str) -> Who {
        let who = self.begin_login(user);
        self.wait_until("a login", |party| party.is_decided(who));
        let client = &self.guests[who].client;
        if let Some(failure) = &client.failure {
            panic!("{user}: {}", to_text(failure));
        }
        assert!(client.is_ready(), "{user}: {}", self.seen(who));
        who
    }

    /// A client that is in a room.
    pub fn join(&mut self, user: &str, room: &str) -> Who {
        let who = self.login(user);
        self.enter(who, room, user.split('/').next().unwrap_or(user));
        who
    }

    /// Joins a room; a new one is unlocked.
    #[track_caller]
    pub fn enter(&mut self, who: Who, room: &str, nick: &str) {
        self.send_join(who, room, nick);
        let seat = format!("{room}@conference.localhost/{nick}");
        let presence = self.receive(who, &format!("<presence from='{seat}'/>"));
        let text = to_text(&presence);
        assert!(text.contains("110"), "{text}");
        self.receive(who, "<message type='groupchat'><subject/></message>");
        if text.contains("code='201'") {
            self.unlock(who, room);
        }
    }

    pub fn send_join(&mut self, who: Who, room: &str, nick: &str) {
        let x = format!("<x xmlns='{}'/>", ns::MUC);
        self.send(
            who,
            &format!("<presence to='{room}@conference.localhost/{nick}'>{x}</presence>"),
        );
    }

    /// Accepts the defaults of a new room.
    pub fn unlock(&mut self, who: Who, room: &str) {
        self.configure(who, room, "");
    }

    /// Submits fields of the configuration form.
    pub fn configure(&mut self, who: Who, room: &str, fields: &str) {
        let id = self.send_configuration(who, room, fields);
        self.receive(who, &format!("<iq type='result' id='{id}'/>"));
    }

    /// Submits fields, and does not wait for the answer, which carries the id that is returned.
    pub fn send_configuration(&mut self, who: Who, room: &str, fields: &str) -> String {
        self.fences += 1;
        let id = format!("configure-{}", self.fences);
        let form_type = "http://jabber.org/protocol/muc#roomconfig";
        let form = match fields {
            "" => "<x xmlns='jabber:x:data' type='submit'/>".to_owned(),
            _ => format!(
                "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
                 <value>{form_type}</value></field>{fields}</x>"
            ),
        };
        self.send(
            who,
            &format!(
                "<iq type='set' id='{id}' to='{room}@conference.localhost'>\
                 <query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query></iq>"
            ),
        );
        id
    }

    pub fn send(&mut self, who: Who, text: &str) {
        self.send_bytes(who, text.as_bytes());
    }

    pub fn send_bytes(&mut self, who: Who, bytes: &[u8]) {
        self.driver.write(self.guests[who].link, bytes);
    }

    /// Waits for a stanza that matches `expected`; what comes before it is thrown away.
    #[track_caller]
    pub fn receive(&mut self, who: Who, expected: &str) -> Element {
        let pattern = one(expected);
        self.driver.begin_wait();
        let mut passed = Vec::new();
        loop {
            while let Some(item) = self.guests[who].client.inbox.pop_front() {
                match item {
                    Item::Element(element)
                        if matcher::matches(&pattern, &element, &mut Captures::new()) =>
                    {
                        return element;
                    }
                    item => passed.push(describe(&item)),
                }
            }
            if !self.turn() {
                panic!("expected {expected}\nseen {}", passed.join("\n     "));
            }
        }
    }

    /// Waits until everything that `who` sent is handled, and its effects on `who` have arrived.
    #[track_caller]
    pub fn fence(&mut self, who: Who) {
        self.fences += 1;
        let id = format!("fence-{}", self.fences);
        let ping = "<ping xmlns='urn:xmpp:ping'/>";
        self.send(who, &format!("<iq type='get' id='{id}' to='localhost'>{ping}</iq>"));
        let is_reply = |item: &Item| matches!(item, Item::Element(e) if e.attr("id") == Some(&id));
        self.wait_until("the reply to a ping", |party| {
            let client = &party.guests[who].client;
            client.inbox.iter().any(is_reply) || !client.is_open()
        });
        self.guests[who].client.inbox.retain(|item| !is_reply(item));
    }

    /// Takes everything that has come.
    pub fn take(&mut self, who: Who) -> Vec<Item> {
        self.guests[who].client.inbox.drain(..).collect()
    }

    /// Takes the stanzas that have come.
    pub fn take_elements(&mut self, who: Who) -> Vec<Element> {
        let elements = self.take(who).into_iter().filter_map(|item| match item {
            Item::Element(element) => Some(element),
            Item::Close | Item::End => None,
        });
        elements.collect()
    }

    /// Waits for the end of the connection; returns what came before, in the order it came.
    #[track_caller]
    pub fn end(&mut self, who: Who) -> Vec<Item> {
        self.wait_until("the end of a connection", |party| party.has_ended(who));
        let mut items = self.take(who);
        items.pop();
        items
    }

    /// Waits for an orderly end with this stream error.
    #[track_caller]
    pub fn end_with(&mut self, who: Who, condition: &str) {
        let items = self.end(who);
        let text = items.iter().map(describe).collect::<Vec<_>>().join("\n");
        let mut last = items.iter().rev();
        assert!(matches!(last.next(), Some(Item::Close)), "no stream end: {text}");
        let is_right = match last.next() {
            Some(Item::Element(error)) => {
                error.is("error", ns::STREAMS)
                    && error.child(condition, ns::STREAM_ERRORS).is_some()
            }
            _ => false,
        };
        assert!(is_right, "not {condition}: {text}");
    }

    pub fn has_ended(&self, who: Who) -> bool {
        matches!(self.guests[who].client.inbox.back(), Some(Item::End))
    }

    /// Logged in, or failed to.
    pub fn is_decided(&self, who: Who) -> bool {
        let client = &self.guests[who].client;
        client.is_ready() || !client.is_open() || client.trouble.is_some()
    }

    /// Waits for events until `is_done`.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, mut is_done: impl FnMut(&Self) -> bool) {
        self.driver.begin_wait();
        while !is_done(self) {
            assert!(self.turn(), "waited in vain for {what}");
        }
    }

    /// Handles one event; false when there will be none.
    pub fn turn(&mut self) -> bool {
        let event = self.driver.wait().unwrap_or_else(|why| panic!("{why}"));
        let Some(event) = event else { return false };
        let (Event::Bytes(link, _) | Event::End(link)) = &event;
        let Some(&who) = self.by_link.get(link) else { return true };
        let guest = &mut self.guests[who];
        match event {
            Event::Bytes(link, bytes) => {
                if self.keeps_transcripts {
                    guest.transcript.extend_from_slice(&bytes);
                }
                guest.client.feed(&bytes);
                if guest.client.wants_tls {
                    self.driver.start_tls(link).unwrap_or_else(|why| panic!("{why}"));
                    self.guests[who].client.tls_is_up();
                }
                self.flush(who);
            }
            Event::End(link) => {
                guest.client.end();
                if self.is_polite {
                    self.driver.close(link);
                }
            }
        }
        true
    }

    pub fn seen(&self, who: Who) -> String {
        let client = &self.guests[who].client;
        let items: Vec<_> = client.inbox.iter().map(describe).collect();
        format!("{:?} {}", client.trouble, items.join("\n"))
    }

    fn flush(&mut self, who: Who) {
        let guest = &mut self.guests[who];
        let bytes = std::mem::take(&mut guest.client.out);
        if !bytes.is_empty() {
            self.driver.write(guest.link, &bytes);
        }
    }
}

impl Party<InProcess<Windows>> {
    pub fn server(&mut self) -> &mut Server {
        &mut self.driver.world.server
    }

    /// Sends without giving the server a turn: what others send may come in the same one.
    pub fn post(&mut self, who: Who, text: &str) {
        self.driver.world.write(self.guests[who].link, text.as_bytes());
    }

    pub fn now_ms(&self) -> u64 {
        self.driver.world.now.mono_ms
    }

    /// Connects from another address from now on.
    pub fn move_to(&mut self, address: &str) {
        self.driver.world.address = address.parse().expect("an address");
    }

    /// True when the server accepts one more connection, which is left open.
    pub fn is_admitted(&mut self) -> bool {
        let client = Client::raw(self.identity("nobody"));
        self.connect(client).is_some()
    }

    /// The client reads no more.
    pub fn shut_window(&mut self, who: Who) {
        self.driver.world.pace.shut.insert(self.guests[who].link);
    }

    /// The client reads again.
    pub fn open_window(&mut self, who: Who) {
        self.driver.world.pace.shut.remove(&self.guests[who].link);
    }

    /// The client cuts its connection.
    pub fn cut(&mut self, who: Who) {
        self.driver.cut(self.guests[who].link);
        self.settle();
        self.guests[who].client.end();
    }

    /// Does everything that is to be done at this moment; time stands still.
    pub fn settle(&mut self) {
        loop {
            self.driver.settle().unwrap_or_else(|why| panic!("{why}"));
            if self.driver.world.events.is_empty() {
                return;
            }
            while !self.driver.world.events.is_empty() {
                self.turn();
            }
        }
    }

    /// Time passes, and clients do what they do.
    pub fn pass(&mut self, ms: u64) {
        let end_ms = self.now_ms() + ms;
        loop {
            self.settle();
            let due_ms = self.driver.world.next_deadline().filter(|due_ms| *due_ms <= end_ms);
            match due_ms {
                Some(due_ms) => self.driver.world.advance_to(due_ms),
                None => break,
            }
        }
        self.driver.world.advance_to(end_ms);
        self.settle();
    }

    /// Cuts everybody; nothing may be left of them.
    #[track_caller]
    pub fn check_residue(&mut self) {
        self.driver.world.cut_all();
        self.settle();
        assert_eq!(self.server().residue(), Residue::default());
    }
}

/// A stream header to localhost.
pub const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

/// `<auth/>` with PLAIN.
pub fn plain(user: &str, password: &str) -> String {
    let message = crate::sasl::base64(format!("\0{user}\0{password}").as_bytes());
    format!("<auth xmlns='{}' mechanism='PLAIN'>{message}</auth>", ns::SASL)
}

pub fn describe(item: &Item) -> String {
    match item {
        Item::Element(element) => to_text(element),
        Item::Close => "</stream:stream>".to_owned(),
        Item::End => "the end of the connection".to_owned(),
    }
}

fn one(text: &str) -> Element {
    let mut elements = matcher::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
    assert_eq!(elements.len(), 1, "exactly one stanza is to be expected");
    elements.remove(0)
}
