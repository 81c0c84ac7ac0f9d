//! `kill -9` at random moments under load, and right after the last of many acknowledgements
//! (crash/life.rs: of rooms and of accounts), then a restart on the same data: nothing that was
//! acknowledged is lost, the database is whole, and what the dead server left in its folder (the
//! control socket, the lock) hinders nobody. The seed is printed when it fails; `TERCET_SEED` sets
//! it, `TERCET_ROUNDS` how many times the server dies under load.

mod belongings;
mod life;
mod people;
mod rooms;
mod truth;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tercet::xml::Element;
use tercet::xmpp::ns;

use crate::driver::Driver as _;
use crate::matcher::to_text;
use crate::party::{PASSWORD, Party, Who, over_sockets};
use crate::setup::Seeded;
use crate::socket::Sockets;

use truth::Truth;

/// Deaths of the server.
const ROUNDS: usize = 6;
/// Requests of each life, at most: it dies somewhere among their answers.
const REQUESTS: usize = 60;
const PERSISTENT: &str = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>";

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
    assert!(truth.said.len() > 1 && truth.hats.len() > 1 && !truth.moderated.is_empty());
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
    truth.give_up();
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
    truth.expect_account(id, format!("{name}@localhost"));
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
    check_room(party, romeo, truth);

    // The subject is what a newcomer hears last.
    party.send_join(romeo, "room", "romeo");
    let heard = party.receive(romeo, "<message type='groupchat'><subject/></message>");
    let subject = heard.child("subject", ns::CLIENT).expect("just matched").text();
    truth.subject.check("the subject", subject.parse().unwrap_or(0));
}

/// What only rooms keep: what was said and taken back, hats, cards, options, reserved nicks.
#[track_caller]
fn check_room(party: &mut Party<Sockets>, romeo: Who, truth: &Truth) {
    let archive = rooms::archive(party, romeo, "room@conference.localhost");
    for (id, body) in &truth.said {
        let found = archive.get(id).unwrap_or_else(|| panic!("{body} is not in the archive"));
        let is_moderated = to_text(found).contains("<moderated");
        assert!(is_moderated || to_text(found).contains(&format!("<body>{body}</body>")), "{id}");
        assert!(is_moderated || !truth.moderated.contains(id), "{body} is back");
    }
    let hats = rooms::assigned_hats(party, romeo, "room");
    for wearer in &truth.hats {
        assert!(hats.contains(wearer), "{wearer} is not in {hats}");
    }
    let to = "to='room@conference.localhost'";
    party.send(romeo, &format!("<iq type='get' id='card' {to}><vCard xmlns='vcard-temp'/></iq>"));
    let card = to_text(&party.receive(romeo, "<iq id='card'/>"));
    truth.card.check("the card", rooms::number_in(&card, "<NOTE>"));
    let form = rooms::form(party, romeo, "room");
    let pace = form.get("muc#roomconfig_slow_mode_duration").map_or("", String::as_str);
    truth.pace.check("slow mode", pace.parse().unwrap_or(0));
    party.send(
        romeo,
        &format!("<iq type='get' id='nick' {to}><query xmlns='{}'/></iq>", ns::REGISTER),
    );
    let nick = to_text(&party.receive(romeo, "<iq type='result' id='nick'/>"));
    truth.nick.check("the nick", rooms::number_in(&nick, "<username>nick"));
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
