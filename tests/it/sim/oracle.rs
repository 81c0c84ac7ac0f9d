//! What must hold, whatever happens: looked at stanza by stanza, and once more at the end.
//!
//! - Every occupant sees a room's messages in one order, none twice, none left out.
//! - Nothing of a room reaches who is not in it.
//! - In a semi-anonymous room no real address reaches who is no moderator (ADVISORIES a17).
//! - A request is answered once.

use std::collections::BTreeMap;

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::ROOMS;
use super::person::{Person, Stay, account};
use crate::driver::Link;
use crate::matcher::to_text;

pub struct Oracle {
    /// What the observer saw, by room: the order of its messages.
    order: BTreeMap<String, Vec<String>>,
    /// Rooms where the observer has missed something.
    unobserved: Vec<String>,
    /// Storage fails: streams may end at any moment.
    is_faulty: bool,
    /// The server shuts down.
    pub is_ending: bool,
}

impl Oracle {
    pub fn new(is_faulty: bool) -> Self {
        Self { order: BTreeMap::new(), unobserved: Vec::new(), is_faulty, is_ending: false }
    }

    /// A first-level element came to somebody.
    pub fn observe(&mut self, person: &mut Person, element: &Element) -> Result<(), String> {
        let text = to_text(element);
        if element.is("iq", ns::CLIENT) && matches!(element.attr("type"), Some("result" | "error"))
        {
            let id = element.attr("id").unwrap_or_default();
            if id.starts_with("once-") && !person.awaited.remove(id) {
                return Err(format!("{}: answered twice: {text}", person.jid()));
            }
        }
        let from = element.attr("from").unwrap_or_default();
        let (room, nick) = from.split_once('/').unwrap_or((from, ""));
        if !ROOMS.contains(&room) {
            return Ok(());
        }
        let is_error = element.attr("type") == Some("error");
        // Who was a moderator until this very stanza may still see what it says.
        let role = person.stays.get(room).map_or(String::new(), |stay| stay.role.clone());
        match element.name.as_ref() {
            "presence" if is_error => {
                let id = element.attr("id").unwrap_or_default();
                person.joins.retain(|(_, join)| join != id);
                person.suspicions.remove(room);
            }
            "presence" => self.presence(person, room, nick, element, &text)?,
            "message" if !is_error => self.message(person, room, element, &text)?,
            _ => {}
        }
        if role == "moderator" {
            return Ok(());
        }
        self.check_addresses(person, room, element, &text)
    }

    fn presence(
        &mut self,
        person: &mut Person,
        room: &str,
        nick: &str,
        element: &Element,
        text: &str,
    ) -> Result<(), String> {
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
        if !has("110") {
            return Ok(());
        }
        if is_unavailable {
            if !has("303")
                && let Some(mut stay) = person.stays.remove(room)
            {
                stay.had_332 = has("332");
                let is_destroyed = x.is_some_and(|x| x.child("destroy", ns::MUC_USER).is_some());
                if person.account_number == 0 && !is_destroyed && !stay.had_332 {
                    self.unobserved.push(room.to_owned());
                }
                person.past.push((room.to_owned(), stay));
            }
            return Ok(());
        }
        // Joins are answered in order; one while it is in the room stays open a little longer.
        if !person.stays.contains_key(room)
            && let Some(oldest) = person.joins.iter().position(|(other, _)| other == room)
        {
            person.joins.remove(oldest);
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

    fn message(
        &mut self,
        person: &mut Person,
        room: &str,
        element: &Element,
        text: &str,
    ) -> Result<(), String> {
        let Some(body) = element.child("body", ns::CLIENT) else {
            if let Some(stay) = person.stays.get_mut(room) {
                stay.has_subject |= element.child("subject", ns::CLIENT).is_some();
            }
            return Ok(());
        };
        let jid = person.jid();
        let Some(stay) = person.stays.get_mut(room) else {
            return Err(format!("{jid}: is not in the room: {text}"));
        };
        if element.attr("type") != Some("groupchat") {
            return Ok(());
        }
        let body = body.text();
        let is_history = element.child("delay", ns::DELAY).is_some();
        if !is_history && !stay.has_subject {
            return Err(format!("{jid}: before the subject came {text}"));
        }
        if is_history && stay.has_subject {
            // A second join: everything comes again (WIRE 33).
            let again = Stay { messages: Vec::new(), has_subject: false, ..stay.clone() };
            let before = std::mem::replace(stay, again);
            person.past.push((room.to_owned(), before));
        }
        let Some(stay) = person.stays.get_mut(room) else { return Ok(()) };
        stay.messages.push(body.clone());
        if person.account_number == 0 {
            let order = self.order.entry(room.to_owned()).or_default();
            match (order.contains(&body), is_history) {
                (false, _) => order.push(body),
                // Its stream ended with the storage, and it joined again.
                (true, true) => {}
                (true, false) => return Err(format!("{jid}: came twice: {text}")),
            }
        }
        Ok(())
    }

    /// ADVISORIES a17.
    fn check_addresses(
        &self,
        person: &mut Person,
        room: &str,
        element: &Element,
        text: &str,
    ) -> Result<(), String> {
        let is_invitation = element.child("x", ns::MUC_USER).is_some_and(|x| {
            x.child("invite", ns::MUC_USER).is_some() || x.child("decline", ns::MUC_USER).is_some()
        });
        let role = person.stays.get(room).map_or("", |stay| &stay.role);
        if room == ROOMS[0] || role == "moderator" || is_invitation {
            return Ok(());
        }
        let is_foreign = |number: &usize| *number != person.account_number;
        let numbers = (0..100).filter(is_foreign);
        let Some(shown) = numbers.map(account).find(|jid| text.contains(jid.as_str())) else {
            return Ok(());
        };
        if person.is_joining(room) && role.is_empty() {
            person.suspicions.insert(room.to_owned(), text.to_owned());
            return Ok(());
        }
        Err(format!("{} ({role}): shown {shown}: {text}", person.jid()))
    }

    /// How much there was to look at: a simulation in which nothing happens proves nothing.
    pub fn summary(&self, people: &[Person]) -> String {
        let stays: usize = people.iter().map(|p| p.past.len() + p.stays.len()).sum();
        let past = people.iter().flat_map(|p| &p.past).map(|(_, stay)| stay.messages.len());
        let present = people.iter().flat_map(|p| p.stays.values()).map(|stay| stay.messages.len());
        let delivered: usize = past.chain(present).sum();
        let messages: usize = self.order.values().map(Vec::len).sum();
        let (unobserved, faulty) = (self.unobserved.len(), self.is_faulty);
        let count = people.len();
        format!(
            "{count} clients, {stays} stays, {messages} messages, {delivered} delivered, \
             {unobserved} rooms unobserved, faulty storage: {faulty}"
        )
    }

    /// When all is quiet.
    pub fn check_end(&self, people: &[Person]) -> Result<(), String> {
        self.check_order(people, true)?;
        for person in people.iter().filter(|person| person.is_ready()) {
            if let Some(id) = person.awaited.first() {
                return Err(format!("{}: no answer to {id}", person.jid()));
            }
        }
        Ok(())
    }

    /// After a shutdown: everybody who was in a room and reads was told.
    pub fn check_shutdown(&self, people: &[Person], slow: &[Link]) -> Result<(), String> {
        self.check_order(people, false)?;
        if slow.is_empty() && !self.is_faulty {
            for person in people {
                if let Some((room, stay)) = person.past.iter().find(|(_, stay)| stay.had_332) {
                    let order = self.order.get(room);
                    let end = order.and_then(|order| order.last());
                    let is_complete = stay.messages.is_empty() || stay.messages.last() == end;
                    if !is_complete && !self.unobserved.contains(room) {
                        return Err(format!("{}: lost the end of {room}", person.jid()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Each stay saw a piece of the room's order without gaps; who is still there saw its end.
    fn check_order(&self, people: &[Person], is_quiet: bool) -> Result<(), String> {
        for person in people {
            let past = person.past.iter().map(|(room, stay)| (room, stay, false));
            let present = person.stays.iter().map(|(room, stay)| (room, stay, is_quiet));
            for (room, stay, is_present) in past.chain(present) {
                let why = self.check_stay(room, stay, is_present && person.is_ready());
                why.map_err(|why| format!("{} in {room}: {why}: {stay:?}", person.jid()))?;
            }
        }
        Ok(())
    }

    fn check_stay(&self, room: &str, stay: &Stay, is_present: bool) -> Result<(), String> {
        let nothing = Vec::new();
        let order = self.order.get(room).unwrap_or(&nothing);
        for (index, body) in stay.messages.iter().enumerate() {
            if stay.messages[..index].contains(body) {
                return Err(format!("{body} came twice"));
            }
        }
        if self.is_faulty || self.unobserved.iter().any(|other| other == room) {
            return Ok(());
        }
        let Some(first) = stay.messages.first() else { return Ok(()) };
        let Some(start) = order.iter().position(|body| body == first) else {
            return Err(format!("the observer has not seen {first}"));
        };
        if !order[start..].starts_with(&stay.messages) {
            let end = order.len().min(start + stay.messages.len());
            return Err(format!("the order is {:?}", &order[start..end]));
        }
        if is_present && stay.messages.last() != order.last() {
            return Err(format!("the last message is {:?}", order.last()));
        }
        Ok(())
    }
}
