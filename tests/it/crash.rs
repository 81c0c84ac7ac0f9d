//! `kill -9` at random moments under load, then a restart on the same data: nothing that was
//! acknowledged is lost, the database is whole, and what the dead server left in its folder (the
//! control socket, the lock) hinders nobody. The seed is printed when it fails; `TERCET_SEED` sets
//! it, `TERCET_ROUNDS` how many times the server dies.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tercet::xml::Element;
use tercet::xmpp::ns;

use crate::client::Item;
use crate::driver::Driver as _;
use crate::party::{PASSWORD, Party, Who, over_sockets};
use crate::setup::Seeded;
use crate::socket::Sockets;

/// Deaths of the server.
const ROUNDS: usize = 6;
/// Requests of each life, at most: it dies somewhere among their answers.
const REQUESTS: usize = 60;
const PERSISTENT: &str = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>";

/// What the server may have stored: the value of the last acknowledgement, or a later one.
#[derive(Default)]
struct Counter {
    acknowledged: usize,
    sent: usize,
}

impl Counter {
    #[track_caller]
    fn check(&self, what: &str, stored: usize) {
        let (least, most) = (self.acknowledged, self.sent);
        assert!((least..=most).contains(&stored), "{what}: {stored}, not {least} to {most}");
    }
}

/// What the clients were told.
#[derive(Default)]
struct Truth {
    accounts: BTreeSet<String>,
    members: BTreeSet<String>,
    contacts: BTreeSet<String>,
    subject: Counter,
    title: Counter,
    /// Requests without an answer, by id.
    pending: BTreeMap<String, Request>,
    made: usize,
}

enum Request {
    Account(String),
    Member(String),
    Contact(String),
    Subject(usize),
    Title(usize),
}

impl Truth {
    /// The next request: its text, under an id of its own. Accounts are registered on streams of
    /// their own, by `register`.
    fn next(&mut self, dice: &mut Seeded) -> String {
        self.made += 1;
        let n = self.made;
        let id = format!("r{n}");
        let to = "room@conference.localhost";
        let (request, text) = match dice.below(4) {
            0 => {
                let jid = format!("member{n}@localhost");
                let item = format!("<item affiliation='member' jid='{jid}'/>");
                let query = format!("<query xmlns='{}#admin'>{item}</query>", ns::MUC);
                let text = format!("<iq type='set' id='{id}' to='{to}'>{query}</iq>");
                (Request::Member(jid), text)
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
                    format!("<message type='groupchat' id='{id}' to='{to}'>{text}</message>");
                (Request::Subject(n), text)
            }
            _ => {
                self.title.sent = n;
                let value = format!("<value>{n}</value>");
                let field = format!("<field var='muc#roomconfig_roomname'>{value}</field>");
                let form_type = format!("<value>{}#roomconfig</value>", ns::MUC);
                let form = format!(
                    "<x xmlns='jabber:x:data' type='submit'>\
                     <field var='FORM_TYPE'>{form_type}</field>{field}</x>"
                );
                let query = format!("<query xmlns='{}#owner'>{form}</query>", ns::MUC);
                let text = format!("<iq type='set' id='{id}' to='{to}'>{query}</iq>");
                (Request::Title(n), text)
            }
        };
        self.pending.insert(id, request);
        text
    }

    /// What the server said counts from now on; returns how much of it was an acknowledgement.
    fn hear(&mut self, items: &[Item]) -> usize {
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
            }
        }
        heard
    }
}

fn number_of(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn nothing_acknowledged_is_lost() {
    let seed = number_of("TERCET_SEED", u64::from(std::process::id()));
    let rounds = number_of("TERCET_ROUNDS", ROUNDS as u64);
    println!("TERCET_SEED={seed}");
    let mut dice = Seeded(seed);
    let mut truth = Truth::default();
    let mut party = over_sockets("registration.in_band = 'anyone'", &["romeo"]);
    let romeo = party.join("romeo", "room");
    party.configure(romeo, "room", PERSISTENT);
    party.driver.process.terminate();
    assert_eq!(party.driver.process.exit_code(), Ok(0));
    for _ in 0..rounds {
        party.driver.restart().unwrap_or_else(|why| panic!("{why}"));
        let romeo = party.join("romeo", "room");
        check(&mut party, romeo, &truth);
        live_and_die(&mut party, romeo, &mut truth, &mut dice);
        check_database(&data_of(&party));
    }
    party.driver.restart().unwrap_or_else(|why| panic!("{why}"));
    let romeo = party.join("romeo", "room");
    check(&mut party, romeo, &truth);
    assert!(truth.accounts.len() > 1 && truth.members.len() > 1 && truth.contacts.len() > 1);
}

/// A life of the server, from its first request to its death among the answers.
fn live_and_die(party: &mut Party<Sockets>, romeo: Who, truth: &mut Truth, dice: &mut Seeded) {
    let moment = dice.below(REQUESTS);
    let mut askers = vec![romeo];
    for _ in 0..REQUESTS {
        if dice.one_in(10) {
            askers.push(register(party, truth));
        }
        if dice.one_in(10) {
            truth.made += 1;
            let name = format!("command{}@localhost", truth.made);
            assert_eq!(control(&data_of(party), &format!("user add {name}\n{PASSWORD}\n")), {
                format!("ok added {name}")
            });
            truth.accounts.insert(name);
        }
        let text = truth.next(dice);
        party.send(romeo, &text);
    }
    party.driver.begin_wait();
    let mut heard = 0;
    while heard < moment && party.turn() {
        for &who in &askers {
            heard += truth.hear(&party.take(who));
        }
    }
    let left = data_of(party);
    assert!(left.join("control.sock").exists() && left.join("tercet.lock").exists());
    party.driver.process.kill().unwrap_or_else(|why| panic!("{why}"));
    assert!(left.join("control.sock").exists(), "a dead server cannot have removed it");
    // What was on its way at that moment was said all the same.
    party.wait_until("the ends of all", |party| askers.iter().all(|&who| party.has_ended(who)));
    for &who in &askers {
        truth.hear(&party.take(who));
    }
    // What has no answer may or may not have happened.
    truth.pending.clear();
}

/// Asks for an account on a stream of its own, without waiting for the answer.
fn register(party: &mut Party<Sockets>, truth: &mut Truth) -> Who {
    truth.made += 1;
    let (id, name) = (format!("r{}", truth.made), format!("registered{}", truth.made));
    let who = party.open_stream();
    party.send(
        who,
        &format!(
            "<iq type='set' id='{id}'><query xmlns='jabber:iq:register'>\
             <username>{name}</username><password>{PASSWORD}</password></query></iq>"
        ),
    );
    truth.pending.insert(id, Request::Account(format!("{name}@localhost")));
    who
}

/// Compares what the server knows with what it acknowledged.
#[track_caller]
fn check(party: &mut Party<Sockets>, romeo: Who, truth: &Truth) {
    let listed = control(&data_of(party), "user list");
    for account in &truth.accounts {
        assert!(listed.lines().any(|line| line.trim_start_matches("ok ") == account), "{account}");
    }
    if let Some(account) = truth.accounts.last() {
        party.login(account.trim_end_matches("@localhost"));
    }
    let to = "room@conference.localhost";
    let query = format!("<query xmlns='{}#admin'><item affiliation='member'/></query>", ns::MUC);
    party.send(romeo, &format!("<iq type='get' id='members' to='{to}'>{query}</iq>"));
    let members = listed_jids(&party.receive(romeo, "<iq type='result' id='members'/>"));
    assert!(truth.members.is_subset(&members), "{:?}", truth.members.difference(&members));
    party.send(romeo, "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
    let contacts = listed_jids(&party.receive(romeo, "<iq type='result' id='roster'/>"));
    assert!(truth.contacts.is_subset(&contacts), "{:?}", truth.contacts.difference(&contacts));

    let query = format!("<query xmlns='{}'/>", ns::DISCO_INFO);
    party.send(romeo, &format!("<iq type='get' id='info' to='{to}'>{query}</iq>"));
    let info = party.receive(romeo, "<iq type='result' id='info'/>");
    let identity = info.elements().flat_map(Element::elements).find(|e| &*e.name == "identity");
    let title = identity.and_then(|identity| identity.attr("name")).expect("an identity");
    truth.title.check("the title", title.parse().unwrap_or(0));

    // The subject is what a newcomer hears last.
    party.send_join(romeo, "room", "romeo");
    let heard = party.receive(romeo, "<message type='groupchat'><subject/></message>");
    let subject = heard.child("subject", ns::CLIENT).expect("just matched").text();
    truth.subject.check("the subject", subject.parse().unwrap_or(0));
}

fn listed_jids(result: &Element) -> BTreeSet<String> {
    let items = result.elements().flat_map(Element::elements);
    items.filter_map(|item| Some(item.attr("jid")?.to_owned())).collect()
}

fn data_of(party: &Party<Sockets>) -> PathBuf {
    party.driver.setup.config.data.clone()
}

/// One request over the control socket.
fn control(data: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(data.join("control.sock")).expect("the server runs");
    stream.write_all(request.as_bytes()).expect("it reads");
    stream.shutdown(Shutdown::Write).expect("open");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    reply
}

/// The database as the dead server left it opens, and is whole. Looked at in a copy, so that the
/// next server finds exactly what was left.
fn check_database(data: &Path) {
    let copy = data.with_extension("copy");
    std::fs::create_dir_all(&copy).expect("a folder");
    for entry in std::fs::read_dir(data).expect("the data folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("tercet.db") {
            std::fs::copy(entry.path(), copy.join(name)).expect("space");
        }
    }
    let connection = rusqlite::Connection::open(copy.join("tercet.db")).expect("a database");
    let verdict: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer");
    assert_eq!(verdict, "ok");
    let lost: i64 = connection
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .expect("an answer");
    assert_eq!(lost, 0, "rows without their parents");
    drop(connection);
    std::fs::remove_dir_all(copy).expect("our own copy");
}
