//! What must hold, whatever happens: looked at stanza by stanza, and once more at the end.
//!
//! - Every occupant sees a room's messages in one order, none twice, none left out (order.rs).
//! - Nothing of a room reaches who is not in it.
//! - In a semi-anonymous room no real address reaches who is no moderator (ADVISORIES a17); an
//!   invitation goes to the invited and names the inviter by its seat, a refusal goes to the
//!   inviter and names who refuses: by the seat, or by the bare address that was invited
//!   (XEP-0045 §7.8.2).
//! - A request is answered once, and a set of `muc#admin` as rules.rs says.
//! - Streams end for a reason.

use std::collections::BTreeMap;

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::ROOMS;
use super::archive::{ARCHIVE, Log};
use super::deeds::PERSISTENT;
use super::identity::Identities;
use super::ledger::Ledger;
use super::order::Order;
use super::person::{Person, Stay};
use crate::driver::Link;
use crate::matcher::to_text;
use crate::seeds::Tally;

/// An invitation or a refusal on its way.
pub struct Invitation {
    /// The account that may get it.
    pub to: String,
    /// What it may name as its origin.
    pub from: Vec<String>,
}

/// What any request may come to while storage fails.
pub const FAULTS: [&str; 3] =
    ["internal-server-error", "internal-server-error wait", "resource-constraint"];

pub struct Oracle {
    pub orders: BTreeMap<String, Order>,
    pub invitations: BTreeMap<String, Invitation>,
    pub tally: Tally,
    /// Who is who, and who said what.
    pub identities: Identities,
    /// What must be in the archives.
    pub logs: BTreeMap<String, Log>,
    /// Storage fails: streams may end with `internal-server-error`.
    is_faulty: bool,
    /// The server shuts down.
    pub is_ending: bool,
}

impl Oracle {
    pub fn new(is_faulty: bool) -> Self {
        Self {
            orders: BTreeMap::new(),
            invitations: BTreeMap::new(),
            tally: Tally::new(),
            identities: Identities::default(),
            logs: BTreeMap::new(),
            is_faulty,
            is_ending: false,
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// Somebody is about to say something: a text of its own.
    pub fn spoken(&mut self, text: &str, room: &str, account: String) {
        self.identities.say(text, room, account);
    }

    /// A first-level element came to somebody.
    pub fn observe(
        &mut self,
        person: &mut Person,
        ledger: &mut Ledger,
        element: &Element,
    ) -> Result<(), String> {
        let text = to_text(element);
        if element.is("error", ns::STREAMS) {
            return self.stream_error(person, element, &text);
        }
        if element.is("iq", ns::CLIENT) && matches!(element.attr("type"), Some("result" | "error"))
        {
            self.answer(person, ledger, element, &text)?;
        }
        if let Some((id, replies)) = &mut person.tried
            && element.attr("id") == Some(id.as_str())
        {
            replies.push(element.clone());
        }
        let from = element.attr("from").unwrap_or_default();
        let (room, nick) = from.split_once('/').unwrap_or((from, ""));
        if !ROOMS.contains(&room) {
            person.hear_aside(room, element);
            return Ok(());
        }
        let is_error = element.attr("type") == Some("error");
        if !is_error {
            self.note_new_room(person, ledger, room, element);
            let observed = self.identities.observe(person, (room, nick), element);
            let observed = observed.and_then(|()| match person.is_observer() {
                true => ledger.room(room).versions.observe(element),
                false => Ok(()),
            });
            observed.map_err(|why| format!("{}: {why}: {text}", person.jid()))?;
        }
        // Who was a moderator until this very stanza may still see what it says.
        let role = person.stays.get(room).map_or(String::new(), |stay| stay.role.clone());
        match element.name.as_ref() {
            "presence" if is_error => {
                let id = element.attr("id").unwrap_or_default();
                person.joins.retain(|(_, join)| join != id);
                person.suspicions.remove(room);
                if outcome_of(element) == "conflict" {
                    self.count("nicks refused");
                }
            }
            "presence" => self.presence(person, ledger, (room, nick), element, &text)?,
            "message" if !is_error => self.message(person, ledger, (room, nick), element, &text)?,
            _ => {}
        }
        // Lists hold addresses: who may read them is looked at by itself (deeds.rs).
        let is_list = element.is("iq", ns::CLIENT)
            && element.elements().any(|e| matches!(&*e.ns, ns::MUC_ADMIN | ns::MUC_OWNER));
        if self.is_for_admin(person, ledger, room, element) || role == "moderator" || is_list {
            return Ok(());
        }
        self.check_addresses(person, room, element, &text)
    }

    fn stream_error(
        &mut self,
        person: &Person,
        element: &Element,
        text: &str,
    ) -> Result<(), String> {
        let condition = element.elements().next().map_or("", |child| child.name.as_ref());
        let is_due = match condition {
            "internal-server-error" => {
                self.count("streams ended by a lost commit");
                self.is_faulty
            }
            "system-shutdown" => self.is_ending,
            // The password was changed.
            "not-authorized" => true,
            _ => person.has_sinned,
        };
        if is_due { Ok(()) } else { Err(format!("{}: the stream ends: {text}", person.jid())) }
    }

    fn answer(
        &mut self,
        person: &mut Person,
        ledger: &mut Ledger,
        element: &Element,
        text: &str,
    ) -> Result<(), String> {
        let id = element.attr("id").unwrap_or_default();
        let outcome = outcome_of(element);
        if id.starts_with("seat-") {
            if outcome == "result" {
                self.count("requests answered through a seat");
            }
            let is_open = person.seats_asked.remove(id);
            return is_open.then_some(()).ok_or(format!("{}: not asked: {text}", person.jid()));
        }
        let Some(number) = id.strip_prefix("once-") else { return Ok(()) };
        let Some(mut expected) = person.awaited.remove(id) else {
            return Err(format!("{}: answered twice: {text}", person.jid()));
        };
        ledger.answer(number.parse().unwrap_or(0), outcome == "result");
        person.answered = (id.to_owned(), outcome.clone());
        if expected.is_empty() {
            return Ok(());
        }
        if self.is_faulty {
            expected.extend(FAULTS);
        }
        self.count(if outcome == "result" { "predicted results" } else { "predicted refusals" });
        if expected.contains(&outcome.as_str()) {
            return Ok(());
        }
        Err(format!("{}: {outcome} where {expected:?} is due: {text}", person.jid()))
    }

    fn presence(
        &mut self,
        person: &mut Person,
        ledger: &mut Ledger,
        (room, nick): (&str, &str),
        element: &Element,
        text: &str,
    ) -> Result<(), String> {
        if nick.is_empty() {
            // The picture of the room itself (XEP-0486 §4).
            let is_due = element.child("x", ns::VCARD_UPDATE).is_some() || person.is_probing;
            return if is_due { Ok(()) } else { Err(format!("{}: {text}", person.jid())) };
        }
        let is_unavailable = element.attr("type") == Some("unavailable");
        let x = element.child("x", ns::MUC_USER);
        let has = |code: &str| {
            let mut statuses = x.iter().flat_map(|x| x.elements());
            statuses.any(|e| e.name == "status" && e.attr("code") == Some(code))
        };
        let item = x.and_then(|x| x.child("item", ns::MUC_USER));
        let role = item.and_then(|item| item.attr("role")).unwrap_or_default();
        let is_known = person.stays.contains_key(room) || person.is_joining(room);
        if !is_known && !is_unavailable {
            return Err(format!("{}: is not in the room: {text}", person.jid()));
        }
        if person.is_observer() {
            if has("201") {
                let id = element.attr("id").unwrap_or_default();
                ledger.begin_room(room, &person.account(), number_of(id));
            }
            ledger.note_presence(room, nick, element);
            if item.is_some_and(|_| has("307")) {
                self.count("kicks");
            }
        }
        if !has("110") {
            return Ok(());
        }
        if is_unavailable {
            let is_destroyed = x.is_some_and(|x| x.child("destroy", ns::MUC_USER).is_some());
            if !has("303") {
                self.end_stay(person, ledger, room, (has("332"), is_destroyed));
            }
            return Ok(());
        }
        // Joins are answered in order; one while it is in the room stays open a little longer.
        if !person.stays.contains_key(room)
            && let Some(oldest) = person.joins.iter().position(|(other, _)| other == room)
        {
            let (_, id) = person.joins.remove(oldest);
            person.stays.entry(room.to_owned()).or_default().join_number = number_of(&id);
            self.count("joins");
        }
        let stay = person.stays.entry(room.to_owned()).or_default();
        stay.nick = nick.to_owned();
        stay.role = role.to_owned();
        match person.suspicions.remove(room) {
            Some(seen) if role != "moderator" => {
                Err(format!("{}: shown addresses as {role}: {seen}", person.jid()))
            }
            _ => Ok(()),
        }
    }

    fn end_stay(
        &mut self,
        person: &mut Person,
        ledger: &mut Ledger,
        room: &str,
        (had_332, is_destroyed): (bool, bool),
    ) {
        let Some(mut stay) = person.stays.remove(room) else { return };
        stay.had_332 = had_332;
        person.past.push((room.to_owned(), stay));
        if person.is_observer() {
            // At a shutdown nothing is missed.
            if !had_332 {
                self.leave_off(ledger, room);
            }
            ledger.room(room).may_be_gone |= is_destroyed;
        }
    }

    /// The observer is not in the room any more.
    pub fn leave_off(&mut self, ledger: &mut Ledger, room: &str) {
        self.orders.entry(room.to_owned()).or_default().leave_off();
        let book = ledger.room(room);
        book.occupants.clear();
        book.is_certain = false;
        book.voices.doubt();
    }

    fn message(
        &mut self,
        person: &mut Person,
        ledger: &mut Ledger,
        (room, nick): (&str, &str),
        element: &Element,
        text: &str,
    ) -> Result<(), String> {
        let jid = person.jid();
        note_special(person, element);
        let Some(body) = element.child("body", ns::CLIENT) else {
            let subject = element.child("subject", ns::CLIENT).map(Element::text);
            let subject = subject.map(|text| (text, nick.to_owned()));
            if person.is_observer() {
                let book = ledger.room(room);
                book.subject = subject.clone().or(book.subject.take());
                book.note_absent(element);
                let is_new = element.child("delay", ns::DELAY).is_none();
                let text = element.child("subject", ns::CLIENT).map(Element::text);
                if let Some(text) = text.filter(|text| is_new && !text.is_empty()) {
                    self.note_said(ledger, room, &text);
                }
            }
            if let Some(stay) = person.stays.get_mut(room) {
                stay.subject = subject.or(stay.subject.take());
            }
            return Ok(());
        };
        let Some(stay) = person.stays.get_mut(room) else {
            return Err(format!("{jid}: is not in the room: {text}"));
        };
        if element.attr("type") != Some("groupchat") {
            return Ok(());
        }
        let body = body.text();
        let is_history = element.child("delay", ns::DELAY).is_some();
        if !is_history && stay.subject.is_none() {
            return Err(format!("{jid}: before the subject came {text}"));
        }
        if is_history && stay.subject.is_some() {
            // A second join: everything comes again (WIRE 33).
            let again = Stay { messages: Vec::new(), subject: None, ..stay.clone() };
            let before = std::mem::replace(stay, again);
            person.past.push((room.to_owned(), before));
        }
        let Some(stay) = person.stays.get_mut(room) else { return Ok(()) };
        let log = self.logs.entry(room.to_owned()).or_default();
        let mut retracted = log.retracted.iter();
        if is_history && retracted.any(|(text, at)| *text == body && stay.join_number > *at) {
            return Err(format!("{jid}: was taken back: {text}"));
        }
        stay.messages.push(body.clone());
        self.count("messages delivered");
        if person.is_observer() {
            if !is_history {
                self.note_said(ledger, room, &body);
            }
            let order = self.orders.entry(room.to_owned()).or_default();
            return order.push(&body, is_history).map_err(|why| format!("{jid}: {why}: {text}"));
        }
        Ok(())
    }

    /// The observer enters a room that was made anew, or that may have been.
    fn note_new_room(
        &mut self,
        person: &Person,
        ledger: &mut Ledger,
        room: &str,
        element: &Element,
    ) {
        if !person.is_observer() || element.name != "presence" {
            return;
        }
        let x = element.child("x", ns::MUC_USER);
        let mut statuses = x.iter().flat_map(|x| x.elements());
        if statuses.any(|e| e.name == "status" && e.attr("code") == Some("201")) {
            self.identities.begin_room(room);
            self.logs.entry(room.to_owned()).or_default().begin();
        } else if !person.stays.contains_key(room) {
            let is_stored = ledger.option(room, PERSISTENT) == Some("1");
            if !is_stored || ledger.room(room).may_be_gone {
                self.identities.forget(room);
            }
        }
    }

    /// The observer sees that something is said to all.
    fn note_said(&mut self, ledger: &Ledger, room: &str, text: &str) {
        let is_stored = [PERSISTENT, ARCHIVE].iter().all(|v| ledger.option(room, v) == Some("1"));
        self.logs.entry(room.to_owned()).or_default().push(text, is_stored);
    }

    /// How much there was to look at.
    pub fn summary(&self, people: &[Person]) -> String {
        let stays: usize = people.iter().map(|p| p.past.len() + p.stays.len()).sum();
        let messages: usize = self.orders.values().map(Order::len).sum();
        let count = people.len();
        let tally: Vec<_> = self.tally.iter().map(|(what, n)| format!("{n} {what}")).collect();
        format!("{count} clients, {stays} stays, {messages} messages: {}", tally.join(", "))
    }

    /// When all is quiet: everything has come, in order, and every request was answered.
    pub fn check_quiet(&self, people: &[Person], slow: &[Link]) -> Result<(), String> {
        self.check_order(people)?;
        let reads = |person: &&Person| person.link.is_some_and(|link| !slow.contains(&link));
        for person in people.iter().filter(|person| person.is_ready()).filter(reads) {
            if let Some(id) = person.awaited.keys().next() {
                return Err(format!("{}: no answer to {id}", person.jid()));
            }
            for (room, stay) in &person.stays {
                let last = self.orders.get(room).and_then(Order::last);
                if last.is_some() && stay.messages.last().map(String::as_str) != last {
                    return Err(format!("{} in {room}: {last:?} is missing", person.jid()));
                }
            }
        }
        Ok(())
    }

    /// After a shutdown: everybody who was in a room and reads was told, and got everything.
    pub fn check_shutdown(&self, people: &[Person], slow: &[Link]) -> Result<(), String> {
        self.check_order(people)?;
        let stays = people
            .iter()
            .flat_map(|person| person.past.iter().map(move |(room, stay)| (person, room, stay)));
        for (person, room, stay) in stays.filter(|(.., stay)| stay.had_332 && slow.is_empty()) {
            let last = self.orders.get(room).and_then(Order::last);
            let is_complete = stay.messages.last().map(String::as_str) == last;
            if !stay.messages.is_empty() && !is_complete && last.is_some() {
                return Err(format!("{}: lost the end of {room}", person.jid()));
            }
        }
        Ok(())
    }

    /// Each stay saw a piece of the room's order without gaps.
    pub fn check_order(&self, people: &[Person]) -> Result<(), String> {
        let nothing = Order::default();
        for person in people {
            let past = person.past.iter().map(|(room, stay)| (room, stay));
            for (room, stay) in past.chain(&person.stays) {
                let order = self.orders.get(room).unwrap_or(&nothing);
                let why = order.check(&stay.messages);
                why.map_err(|why| format!("{} in {room}: {why}: {stay:?}", person.jid()))?;
            }
        }
        Ok(())
    }
}

/// Keeps what novelties.rs and archive.rs look at: results of an archive, requests for voice,
/// retractions.
fn note_special(person: &mut Person, element: &Element) {
    if element.child("result", ns::MAM).is_some() {
        person.found.push(element.clone());
    }
    if element.child("x", ns::DATA).is_some() {
        person.forms.push(element.clone());
    }
    let retract = element.child("retract", ns::RETRACT).and_then(|retract| retract.attr("id"));
    person.retracted.extend(retract.map(str::to_owned));
}

/// The number in an id of the simulation; 0 when there is none.
fn number_of(id: &str) -> usize {
    id.split_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

/// `result`, or the condition of an error; its type as well where that is not the one that RFC 6120
/// §8.3.3 recommends: `not-acceptable cancel`.
pub fn outcome_of(element: &Element) -> String {
    if element.attr("type") != Some("error") {
        return "result".to_owned();
    }
    let Some(error) = element.child("error", ns::CLIENT) else { return "no error".to_owned() };
    let mut conditions = error.elements();
    let condition = conditions.find(|e| e.ns == ns::STANZA_ERRORS && e.name != "text");
    let condition = condition.map_or("no-condition", |condition| condition.name.as_ref());
    let kind = error.attr("type").unwrap_or("no type");
    if kind == usual_type(condition) { condition.to_owned() } else { format!("{condition} {kind}") }
}

/// RFC 6120 §8.3.3.
fn usual_type(condition: &str) -> &'static str {
    match condition {
        "bad-request" | "jid-malformed" | "not-acceptable" | "policy-violation" | "redirect" => {
            "modify"
        }
        "forbidden" | "not-authorized" | "registration-required" | "subscription-required" => {
            "auth"
        }
        "recipient-unavailable"
        | "remote-server-timeout"
        | "resource-constraint"
        | "unexpected-request" => "wait",
        _ => "cancel",
    }
}
