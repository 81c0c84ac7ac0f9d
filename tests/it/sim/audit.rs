//! Questions in a quiet moment: the observer asks the rooms for their lists and their
//! configuration, and everything must agree: the lists, what the clients have seen, and what was
//! acknowledged. And once more after the end, on a new server with the same storage.

use std::collections::BTreeSet;

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::archive::ARCHIVE;
use super::deeds::{BROADCAST, PERSISTENT, SECRET};
use super::ledger::{Book, Key};
use super::novelties::{PUBLIC, SLOW_MODE};
use super::oracle::outcome_of;
use super::paces::{MESSAGE_BYTES, MESSAGES_PER_MINUTE};
use super::privileges::ALLOW_INVITES;
use super::requests::MAX_USERS;
use super::rules::AFFILIATIONS;
use super::{OBSERVER, ROOMS, Sim};
use crate::matcher::to_text;

const ROLES: [&str; 3] = ["visitor", "participant", "moderator"];

/// The options that the crowd changes, and the one of the rooms' making.
const OPTIONS: [&str; 16] = [
    PERSISTENT,
    SECRET,
    "muc#roomconfig_membersonly",
    "muc#roomconfig_moderatedroom",
    "muc#roomconfig_whois",
    "muc#roomconfig_changesubject",
    "muc#roomconfig_allowpm",
    "muc#maxhistoryfetch",
    MAX_USERS,
    ALLOW_INVITES,
    PUBLIC,
    SLOW_MODE,
    BROADCAST,
    ARCHIVE,
    MESSAGES_PER_MINUTE,
    MESSAGE_BYTES,
];

/// A seat as a list of roles names it: nick, role, full address.
type SeatLine = (String, String, String);

impl Sim {
    /// Asks something as the observer, all being quiet before and after. `None`: no answer, since
    /// its stream has ended.
    pub(super) fn question(
        &mut self,
        who: usize,
        to: &str,
        payload: &str,
    ) -> Result<Option<Element>, String> {
        let id = format!("audit-{}", self.next_number());
        let to = if to.is_empty() { String::new() } else { format!(" to='{to}'") };
        self.send(who, &format!("<iq type='get' id='{id}'{to}>{payload}</iq>"));
        self.settle()?;
        let answer = self.answers.remove(&id);
        match answer {
            None if self.people[who].is_ready() => Err(format!("no answer to {payload}")),
            answer => Ok(answer),
        }
    }

    /// Everything agrees, in every room where the observer is.
    pub(super) fn audit(&mut self) -> Result<(), String> {
        self.settle()?;
        if !self.people[OBSERVER].is_ready() {
            return Ok(());
        }
        for (room, jid) in ROOMS.iter().enumerate() {
            if self.is_observed(room) && self.is_owner(jid) {
                self.speak_for_all(room)?;
                let audited = self.audit_room(jid).and_then(|()| self.check_hats(jid));
                let audited = audited.and_then(|()| self.audit_activity(jid));
                let audited = audited.and_then(|()| self.audit_archive(room));
                audited.map_err(|why| format!("{jid}: {why}"))?;
            } else {
                let is_in = self.people[OBSERVER].stays.contains_key(*jid);
                self.ledger.room(jid).is_abandoned |= is_in;
                // Nobody has said anything that all must have got.
                self.oracle.leave_off(&mut self.ledger, jid);
            }
        }
        self.oracle.check_quiet(&self.people, &self.world.pace.slow)?;
        self.check_subjects()?;
        self.oracle.count("audits");
        Ok(())
    }

    /// The observer says something that all must have got. Where storage fails it may be refused:
    /// then nothing is the last that all have got.
    fn speak_for_all(&mut self, room: usize) -> Result<(), String> {
        self.speak(OBSERVER, room);
        let text = format!("m{}", self.count);
        self.settle()?;
        let order = self.oracle.orders.entry(ROOMS[room].to_owned()).or_default();
        if order.last() == Some(text.as_str()) || !self.people[OBSERVER].is_ready() {
            return Ok(());
        }
        order.leave_off();
        if self.is_faulty { Ok(()) } else { Err(format!("{}: {text} is lost", ROOMS[room])) }
    }

    fn is_owner(&mut self, jid: &str) -> bool {
        let book = self.ledger.room(jid);
        book.occupants.get("Observer").is_some_and(|seen| seen.affiliation == "owner")
    }

    fn audit_room(&mut self, jid: &str) -> Result<(), String> {
        let Some(seats) = self.seats_listed(jid)? else { return Ok(()) };
        self.check_seats(jid, &seats)?;
        if self.check_stored(jid, None)? {
            let book = self.ledger.room(jid);
            if book.versions.check(&book.affiliations)? {
                self.oracle.count("versions of affiliations");
            }
            book.asked.clear();
            book.is_certain = true;
            book.may_be_gone = false;
        }
        Ok(())
    }

    fn seats_listed(&mut self, jid: &str) -> Result<Option<BTreeSet<SeatLine>>, String> {
        let mut seats = BTreeSet::new();
        for role in ROLES {
            let query = format!("<query xmlns='{}'><item role='{role}'/></query>", ns::MUC_ADMIN);
            let Some(answer) = self.question(OBSERVER, jid, &query)? else { return Ok(None) };
            let Some(list) = answer.child("query", ns::MUC_ADMIN) else {
                return Err(format!("no list: {}", to_text(&answer)));
            };
            for item in list.elements() {
                let text = |name| item.attr(name).unwrap_or_default().to_owned();
                seats.insert((text("nick"), text("role"), text("jid")));
            }
        }
        Ok(Some(seats))
    }

    /// The lists, what the observer was told, and what everybody believes are one.
    fn check_seats(&mut self, jid: &str, seats: &BTreeSet<SeatLine>) -> Result<(), String> {
        let shown = self.ledger.option(jid, BROADCAST).map(str::to_owned);
        let book = self.ledger.room(jid);
        if book.occupants.values().any(|seen| seen.jids.len() > 1) {
            self.oracle.count("nicks seen shared");
        }
        let told: BTreeSet<SeatLine> = book
            .occupants
            .iter()
            .flat_map(|(nick, seen)| {
                let line = |full: &String| (nick.clone(), seen.role.clone(), full.clone());
                seen.jids.iter().map(line).collect::<Vec<_>>()
            })
            .collect();
        let Some(shown) = shown else { return Ok(()) };
        let is_shown = |(nick, role, _): &&SeatLine| {
            nick == "Observer" || shown.split(' ').any(|other| other == role)
        };
        let visible: BTreeSet<SeatLine> = seats.iter().filter(is_shown).cloned().collect();
        if visible.len() < seats.len() {
            self.oracle.count("occupants not shown");
        }
        if told != visible {
            let wrong: Vec<_> = told.symmetric_difference(&visible).collect();
            return Err(format!("the observer was told otherwise: {wrong:?}"));
        }
        for person in &self.people {
            let full = person.jid();
            let line = seats.iter().find(|(.., other)| *other == full);
            let stay = person.stays.get(jid);
            let is_slow = person.link.is_some_and(|link| self.world.pace.slow.contains(&link));
            match (line, stay) {
                (Some(line), _) if person.link.is_none() => {
                    return Err(format!("a ghost: {line:?}"));
                }
                _ if is_slow || !person.is_ready() => {}
                (None, None) => {}
                (Some((nick, role, _)), Some(stay)) if *nick == stay.nick && *role == stay.role => {
                }
                (line, stay) => return Err(format!("{full}: {line:?}, but knows {stay:?}")),
            }
        }
        Ok(())
    }

    /// All see the subject that the observer sees.
    fn check_subjects(&mut self) -> Result<(), String> {
        for jid in ROOMS {
            let subject = match self.people[OBSERVER].stays.get(jid) {
                Some(stay) => stay.subject.clone(),
                None => continue,
            };
            for person in self.people.iter().filter(|person| person.is_ready()) {
                let is_slow = person.link.is_some_and(|link| self.world.pace.slow.contains(&link));
                let Some(stay) = person.stays.get(jid).filter(|_| !is_slow) else { continue };
                if stay.subject != subject {
                    let seen = &stay.subject;
                    return Err(format!("{}: {seen:?}, not {subject:?}", person.jid()));
                }
            }
        }
        Ok(())
    }

    /// Configuration and affiliations are what was acknowledged; `past`: before the restart.
    /// False when there was no answer. What is learnt is known from then on.
    fn check_stored(&mut self, jid: &str, past: Option<&Book>) -> Result<bool, String> {
        let query = format!("<query xmlns='{}'/>", ns::MUC_OWNER);
        let Some(answer) = self.question(OBSERVER, jid, &query)? else { return Ok(false) };
        let form = answer.child("query", ns::MUC_OWNER).and_then(|q| q.child("x", ns::DATA));
        let Some(form) = form else { return Err(format!("no form: {}", to_text(&answer))) };
        for var in OPTIONS.into_iter().filter(|var| self.fields.contains(*var)) {
            let field = form.elements().find(|field| field.attr("var") == Some(var));
            let values = field.into_iter().flat_map(|field| field.elements());
            let values = values.filter(|child| child.is("value", ns::DATA)).map(Element::text);
            let mut values: Vec<String> = values.collect();
            values.sort();
            let value = values.join(" ");
            let cell = self.ledger.cells.entry(Key::Option(jid.to_owned(), var)).or_default();
            if !cell.allows(&value) {
                return Err(format!("{var} is {value:?}, but {cell:?} was acknowledged"));
            }
            cell.learn(&value);
        }
        let mut listed = BTreeSet::new();
        for affiliation in AFFILIATIONS.into_iter().filter(|name| *name != "none") {
            let item = format!("<item affiliation='{affiliation}'/>");
            let query = format!("<query xmlns='{}'>{item}</query>", ns::MUC_ADMIN);
            let Some(answer) = self.question(OBSERVER, jid, &query)? else { return Ok(false) };
            let list = answer.child("query", ns::MUC_ADMIN).into_iter();
            for item in list.flat_map(|list| list.elements()) {
                let account = item.attr("jid").unwrap_or_default().to_owned();
                listed.insert((account, affiliation.to_owned()));
            }
        }
        let book = past.unwrap_or_else(|| &self.ledger.rooms[jid]);
        let absent = book
            .affiliations
            .keys()
            .filter(|account| !listed.iter().any(|(other, _)| other == *account));
        let absent = absent.map(|account| (account.clone(), "none".to_owned()));
        let all: Vec<_> = listed.iter().cloned().chain(absent).collect();
        for (account, affiliation) in &all {
            if !book.allows_affiliation(account, affiliation) {
                let known = book.affiliation(account);
                return Err(format!("{account} is {affiliation}, acknowledged was {known}"));
            }
        }
        let book = self.ledger.room(jid);
        all.iter().for_each(|(account, name)| book.set_affiliation(account, name));
        Ok(true)
    }

    /// A new server on the same storage: what was acknowledged is there.
    pub(super) fn check_durable(&mut self) -> Result<(), String> {
        let books = self.ledger.rooms.clone();
        self.restart()?;
        self.oracle.count("restarts");
        self.log_in(OBSERVER)?;
        for jid in ROOMS {
            let Some(book) = books.get(jid).filter(|book| !book.is_abandoned) else { continue };
            self.check_room(jid, book).map_err(|why| format!("after the end, {jid}: {why}"))?;
        }
        for who in 1..self.crowd_count {
            let own = self.people[who].account_number;
            let is_first = self.people.iter().position(|p| p.account_number == own) == Some(who);
            if is_first {
                self.log_in(who)?;
                self.check_roster(who)?;
            }
        }
        self.check_bequests()?;
        self.check_graves()
    }

    fn check_room(&mut self, jid: &str, book: &Book) -> Result<(), String> {
        let query = format!("<query xmlns='{}'/>", ns::MUC_OWNER);
        let Some(answer) = self.question(OBSERVER, jid, &query)? else {
            return Err("no answer".to_owned());
        };
        let is_there = match outcome_of(&answer).as_str() {
            "result" => true,
            // Never there, or destroyed and not made again: what was meant to make it was lost.
            "item-not-found" | "gone" => false,
            // Somebody else may have made it when it was gone.
            "forbidden" if book.may_be_gone => return Ok(()),
            other => return Err(format!("the form is refused: {other}")),
        };
        let key = Key::Option(jid.to_owned(), PERSISTENT);
        let cell = self.ledger.cells.get(&key).cloned().unwrap_or_default();
        let may_be_so = cell.allows(if is_there { "1" } else { "0" });
        let is_excused = book.may_be_gone && !is_there;
        if !may_be_so && !is_excused {
            return Err(format!("there: {is_there}, but persistence was {cell:?}"));
        }
        if !is_there {
            return Ok(());
        }
        self.oracle.count("rooms found again");
        self.check_stored(jid, Some(book))?;
        let room = ROOMS.iter().position(|other| *other == jid).unwrap_or_default();
        self.make_room(room);
        self.settle()?;
        let Some(stay) = self.people[OBSERVER].stays.get(jid) else {
            return Err("the observer does not get in".to_owned());
        };
        let nothing = (String::new(), String::new());
        let (was, is) = (book.subject.as_ref(), stay.subject.as_ref());
        if book.is_certain && was.unwrap_or(&nothing) != is.unwrap_or(&nothing) {
            return Err(format!("the subject is {is:?}, was {was:?}"));
        }
        self.audit_archive(room)
    }

    /// Logs in with what was acknowledged.
    fn log_in(&mut self, who: usize) -> Result<(), String> {
        let key = Key::Password(self.people[who].account_number);
        let passwords = self.ledger.cells[&key].values();
        for password in &passwords {
            self.connect_with(who, password.clone());
            self.pass_time(1_000)?;
            if self.people[who].is_ready() {
                return Ok(());
            }
            self.end(who);
        }
        Err(format!("{}: cannot log in with {passwords:?}", self.people[who].jid()))
    }

    fn check_roster(&mut self, who: usize) -> Result<(), String> {
        let query = format!("<query xmlns='{}'/>", ns::ROSTER);
        let Some(answer) = self.question(who, "", &query)? else {
            return Err("no roster".to_owned());
        };
        let roster = answer.child("query", ns::ROSTER).into_iter().flat_map(|q| q.elements());
        let items: Vec<_> = roster.collect();
        for (key, cell) in &self.ledger.cells {
            let Key::Roster(account_number, contact) = key else { continue };
            if *account_number != self.people[who].account_number {
                continue;
            }
            let item = items.iter().find(|item| item.attr("jid") == Some(contact));
            let name = item.and_then(|item| item.attr("name")).unwrap_or_default();
            if !cell.allows(name) {
                let account = self.people[who].account();
                return Err(format!("roster of {account}: {contact} is {name:?}, not {cell:?}"));
            }
        }
        Ok(())
    }
}
