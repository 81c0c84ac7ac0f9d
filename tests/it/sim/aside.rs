//! Rooms besides the three, each made for one purpose and by few people, in a quiet moment: what
//! there must come of everything is known from what was done there, and needs no ledger. Where
//! storage fails what was begun is given up.

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::deeds::FORM_TYPE;
use super::graves::{Tried, asking, is_done};
use super::person::Person;
use super::{OBSERVER, ROOMS, Sim};

const SERVICE: &str = "conference.localhost";

impl Person {
    /// Something came from a room that is none of the three, or from somebody in it.
    pub(super) fn hear_aside(&mut self, room: &str, element: &Element) {
        if element.name != "iq" && room.ends_with(SERVICE) && !ROOMS.contains(&room) {
            self.aside.push(element.clone());
        }
    }

    /// Presences of a seat that came.
    pub(super) fn presences(&self, seat: &str) -> Vec<&Element> {
        let from_seat = |e: &&Element| e.name == "presence" && e.attr("from") == Some(seat);
        self.aside.iter().filter(from_seat).collect()
    }

    /// Messages that a room itself sent to this one alone.
    pub(super) fn messages_of(&self, jid: &str) -> Vec<&Element> {
        let is_own = |e: &&Element| e.name == "message" && e.attr("type") != Some("groupchat");
        self.aside.iter().filter(is_own).filter(|e| e.attr("from") == Some(jid)).collect()
    }
}

/// An attribute of the item of a presence.
pub fn item_of<'a>(presence: &'a Element, name: &str) -> &'a str {
    let item = presence.child("x", ns::MUC_USER).and_then(|x| x.child("item", ns::MUC_USER));
    item.and_then(|item| item.attr(name)).unwrap_or_default()
}

pub fn has_status(stanza: &Element, code: &str) -> bool {
    let x = stanza.child("x", ns::MUC_USER);
    let mut statuses = x.iter().flat_map(|x| x.elements());
    statuses.any(|e| e.name == "status" && e.attr("code") == Some(code))
}

pub fn is_unavailable(presence: &Element) -> bool {
    presence.attr("type") == Some("unavailable")
}

/// A query of `muc#admin` with these items.
pub fn admin_query(items: &str) -> String {
    format!("<query xmlns='{}'>{items}</query>", ns::MUC_ADMIN)
}

/// The form that configures a room.
pub fn options(fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    let (owner, data) = (ns::MUC_OWNER, ns::DATA);
    format!(
        "<query xmlns='{owner}'><x xmlns='{data}' type='submit'>{FORM_TYPE}{fields}</x></query>"
    )
}

impl Sim {
    /// One of those rooms.
    pub(super) fn try_aside(&mut self) -> Result<(), String> {
        self.settle()?;
        if !self.people[OBSERVER].is_ready() {
            return Ok(());
        }
        match self.rng.below(9) {
            0..2 => self.reign(),
            2..4 => self.rule_by_domains(),
            4..6 => self.approve_registrations(),
            6..8 => self.inherit(),
            _ => self.watch_activity(),
        }
    }

    /// What was heard so far is done with.
    pub(super) fn stop_hearing(&mut self) {
        self.people.iter_mut().for_each(|person| person.aside.clear());
    }

    /// Some of the crowd who listen and are no observers, of different accounts, `count` at most.
    pub(super) fn choose(&mut self, count: usize) -> Vec<usize> {
        let first = self.rng.below(self.crowd_count);
        let mut chosen: Vec<usize> = Vec::new();
        for who in (first..self.crowd_count).chain(0..first) {
            let person = &self.people[who];
            let number = person.account_number;
            let is_new = chosen.iter().all(|other| self.people[*other].account_number != number);
            let is_apt = who != OBSERVER && person.is_ready() && !self.is_slow(who);
            if is_apt && is_new && chosen.len() < count {
                chosen.push(who);
            }
        }
        chosen
    }

    /// Asks a room for something that must come to one of `due`.
    pub(super) fn ask_aside(
        &mut self,
        who: usize,
        kind: &str,
        jid: &str,
        payload: &str,
        due: &[&str],
    ) -> Result<Tried, String> {
        let tried = self.attempt_expecting(who, asking(kind, jid, payload), due);
        tried.map_err(|why| format!("{jid}: {why}"))
    }

    /// Asks for it; true when it was granted, as it must be.
    pub(super) fn is_granted(
        &mut self,
        who: usize,
        kind: &str,
        jid: &str,
        payload: &str,
    ) -> Result<bool, String> {
        Ok(is_done(&self.ask_aside(who, kind, jid, payload, &["result"])?))
    }

    /// Somebody would enter; the outcome is one of `due`. True when it is in.
    pub(super) fn enter_aside(
        &mut self,
        who: usize,
        seat: &str,
        password: &str,
        due: &[&str],
    ) -> Result<bool, String> {
        let make = |id: &str| {
            let x = format!("<x xmlns='{}'><password>{password}</password></x>", ns::MUC);
            format!("<presence id='{id}' to='{seat}'>{x}</presence>")
        };
        let tried = self.attempt_expecting(who, make, due);
        Ok(is_done(&tried.map_err(|why| format!("{seat}: {why}"))?))
    }

    /// Somebody makes a room with these options. False when storage fails.
    pub(super) fn make_aside(
        &mut self,
        owner: usize,
        jid: &str,
        fields: &[(&str, &str)],
    ) -> Result<bool, String> {
        let is_in = self.enter_aside(owner, &format!("{jid}/Owner"), "", &["result"])?;
        Ok(is_in && self.is_granted(owner, "set", jid, &options(fields))?)
    }

    /// Everybody goes who may be in.
    pub(super) fn leave_aside(&mut self, jid: &str) -> Result<(), String> {
        for who in 0..self.people.len() {
            if self.people[who].is_ready() {
                self.send(who, &format!("<presence type='unavailable' to='{jid}'/>"));
            }
        }
        self.settle()?;
        self.stop_hearing();
        Ok(())
    }

    /// The entries of a room's lists: address and affiliation. `None`: there was no answer.
    pub(super) fn entries(
        &mut self,
        reader: usize,
        jid: &str,
    ) -> Result<Option<Vec<(String, &'static str)>>, String> {
        let mut entries = Vec::new();
        for affiliation in ["outcast", "member", "admin", "owner"] {
            let query = admin_query(&format!("<item affiliation='{affiliation}'/>"));
            let tried = self.ask_aside(reader, "get", jid, &query, &["result"])?;
            let Some((_, Some(answer))) = tried.filter(|(outcome, _)| outcome == "result") else {
                return Ok(None);
            };
            let list = answer.child("query", ns::MUC_ADMIN).into_iter();
            let items = list.flat_map(|list| list.elements()).filter_map(|item| item.attr("jid"));
            entries.extend(items.map(|jid| (jid.to_owned(), affiliation)));
        }
        Ok(Some(entries))
    }

    /// Somebody who does not belong to the crowd logs in. False when that does not work now.
    pub(super) fn log_in_guest(&mut self, account_number: usize) -> Result<Option<usize>, String> {
        let guest = self.people.iter().position(|p| p.account_number == account_number);
        let Some(guest) = guest else { return Ok(None) };
        self.connect(guest);
        self.settle()?;
        Ok(Some(guest).filter(|guest| self.people[*guest].is_ready()))
    }
}
