//! The archive of a room (XEP-0313): what the observer saw while the room was stored and archived
//! is there, in that order, each message once, under the id that it had live; and nothing else of
//! what was said is: no private message, nothing that was moderated away (XEP-0425), nothing of an
//! earlier room of the name. Paging in pieces of any size, from either end, yields the same.

use std::collections::BTreeSet;

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::identity::archived;
use super::{OBSERVER, ROOMS, Sim};
use crate::matcher::to_text;

/// No registered field: the name that clients know.
pub const ARCHIVE: &str = "muc#roomconfig_enablearchiving";

/// More pages than any archive of a simulation has.
const PAGES_MAX: usize = 2_000;

/// A text, and whether it must be there.
#[derive(Clone, Debug)]
struct Entry {
    text: String,
    is_due: bool,
}

/// What must be in the archive of a room, and what must not.
#[derive(Clone, Debug, Default)]
pub struct Log {
    entries: Vec<Entry>,
    /// Of a room by that name that is no more.
    gone: BTreeSet<String>,
    /// Taken back, and when: the count of the simulation.
    pub retracted: Vec<(String, usize)>,
    /// Ids of tombstones that must be there.
    tombstones: BTreeSet<String>,
}

impl Log {
    /// The observer sees a message live.
    pub fn push(&mut self, text: &str, is_due: bool) {
        self.entries.push(Entry { text: text.to_owned(), is_due });
    }

    /// The room was made anew.
    pub fn begin(&mut self) {
        self.gone.extend(self.entries.drain(..).map(|entry| entry.text));
        self.tombstones.clear();
    }

    /// What was there need not be any more: nothing was kept for a while.
    pub fn loosen(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.is_due = false);
        self.tombstones.clear();
    }

    /// The texts, the latest first.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().rev().map(|entry| entry.text.as_str())
    }

    pub fn is_due(&self, text: &str) -> bool {
        self.entries.iter().any(|entry| entry.text == text && entry.is_due)
    }

    /// It may have been taken back.
    pub fn doubt(&mut self, text: &str) {
        let meant = self.entries.iter_mut().filter(|entry| entry.text == text);
        meant.for_each(|entry| entry.is_due = false);
    }

    /// A tombstone is left of the message with this id.
    pub fn bury(&mut self, stanza_id: &str) {
        self.tombstones.insert(stanza_id.to_owned());
    }

    pub fn retract(&mut self, text: &str, count: usize) {
        self.retracted.push((text.to_owned(), count));
        self.entries.retain(|entry| entry.text != text);
    }

    pub fn is_retracted(&self, text: &str) -> bool {
        self.retracted.iter().any(|(other, _)| other == text)
    }

    pub fn latest(&self, back: usize) -> Option<&str> {
        let entry = self.entries.iter().rev().nth(back)?;
        Some(&entry.text)
    }

    /// The texts of an archive, oldest first.
    fn check(&self, texts: &[String]) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for text in texts {
            if !seen.insert(text) {
                return Err(format!("{text} is there twice"));
            }
            if self.gone.contains(text) {
                return Err(format!("{text} was said in a room that is no more"));
            }
            if self.is_retracted(text) {
                return Err(format!("{text} was taken back"));
            }
        }
        let missing = self.entries.iter().find(|e| e.is_due && !seen.contains(&e.text));
        if let Some(entry) = missing {
            return Err(format!("{} is missing: {texts:?}", entry.text));
        }
        let place = |text: &String| self.entries.iter().position(|entry| entry.text == *text);
        let places: Vec<usize> = texts.iter().filter_map(place).collect();
        if places.is_sorted() { Ok(()) } else { Err(format!("out of order: {texts:?}")) }
    }
}

/// A page: results and `<fin/>`.
struct Page {
    messages: Vec<Element>,
    fin: Element,
}

impl Page {
    fn is_complete(&self) -> bool {
        self.fin.attr("complete") == Some("true")
    }

    fn mark(&self, name: &str) -> Option<String> {
        self.fin.child("set", ns::RSM)?.child(name, ns::RSM).map(Element::text)
    }
}

impl Sim {
    /// One query. `None`: refused, or no answer.
    fn page(
        &mut self,
        who: usize,
        room: usize,
        form: &str,
        set: &str,
    ) -> Result<Option<Page>, String> {
        self.people[who].found.clear();
        let (mam, rsm) = (ns::MAM, ns::RSM);
        let payload = format!(
            "<query xmlns='{mam}' queryid='q{}'>{form}<set xmlns='{rsm}'>{set}</set></query>",
            self.count
        );
        let to = ROOMS[room];
        let make = |id: &str| format!("<iq type='set' id='{id}' to='{to}'>{payload}</iq>");
        let Some((_, Some(answer))) = self.attempt(who, make)? else { return Ok(None) };
        let messages = std::mem::take(&mut self.people[who].found);
        let Some(fin) = answer.child("fin", ns::MAM).cloned() else { return Ok(None) };
        Ok(Some(Page { messages, fin }))
    }

    /// The whole archive, in pages from one end to the other.
    fn read_archive(
        &mut self,
        room: usize,
        is_forward: bool,
    ) -> Result<Option<Vec<Element>>, String> {
        let mut all: Vec<Element> = Vec::new();
        let mut mark: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let max = 1 + self.rng.below(40);
            let place = match (&mark, is_forward) {
                (Some(id), true) => format!("<after>{id}</after>"),
                (Some(id), false) => format!("<before>{id}</before>"),
                (None, true) => String::new(),
                (None, false) => "<before/>".to_owned(),
            };
            let set = format!("<max>{max}</max>{place}");
            let Some(page) = self.page(OBSERVER, room, "", &set)? else { return Ok(None) };
            if page.messages.len() > max {
                return Err(format!("{} messages where {max} were asked", page.messages.len()));
            }
            let ids = |e: &Element| archived(e).map(|(id, _)| id.to_owned());
            let ends = [page.messages.first(), page.messages.last()].map(|e| e.and_then(ids));
            if ends != [page.mark("first"), page.mark("last")] {
                return Err(format!("{ends:?}: the marks are of others: {}", to_text(&page.fin)));
            }
            mark = if is_forward { page.mark("last") } else { page.mark("first") };
            let is_over = page.is_complete() || page.messages.is_empty();
            if is_forward {
                all.extend(page.messages);
            } else {
                all.splice(0..0, page.messages);
            }
            if is_over {
                return Ok(Some(all));
            }
        }
        Err("the archive has no end".to_owned())
    }

    /// The observer reads the archive of a room.
    pub(super) fn audit_archive(&mut self, room: usize) -> Result<(), String> {
        if !self.has_all(Some(ns::MAM)) || !self.people[OBSERVER].is_ready() {
            return Ok(());
        }
        let is_forward = self.rng.one_in(2);
        let Some(all) = self.read_archive(room, is_forward)? else { return Ok(()) };
        let (mut texts, mut tombstones) = (Vec::new(), BTreeSet::new());
        for element in &all {
            let Some((id, message)) = archived(element) else {
                return Err(format!("no message: {}", to_text(element)));
            };
            self.check_archived(room, message)?;
            if message.child("retracted", ns::RETRACT).is_some() {
                tombstones.insert(id.to_owned());
            }
            let text = |name| message.child(name, ns::CLIENT).map(Element::text);
            texts.extend(text("body").or_else(|| text("subject")));
        }
        let log = self.oracle.logs.entry(ROOMS[room].to_owned()).or_default();
        log.check(&texts).map_err(|why| format!("the archive: {why}"))?;
        if let Some(id) = log.tombstones.difference(&tombstones).next() {
            return Err(format!("the archive: no tombstone of {id}"));
        }
        self.oracle.count("archives read");
        if self.rng.one_in(2) {
            let Some(again) = self.read_archive(room, !is_forward)? else { return Ok(()) };
            let ids = |all: &[Element]| -> Vec<String> {
                all.iter().filter_map(|e| archived(e).map(|(id, _)| id.to_owned())).collect()
            };
            if ids(&all) != ids(&again) {
                return Err("the archive is another when read from its other end".to_owned());
            }
        }
        Ok(())
    }

    fn check_archived(&self, room: usize, message: &Element) -> Result<(), String> {
        let wrong = |why: &str| Err(format!("the archive: {why}: {}", to_text(message)));
        let from = message.attr("from").unwrap_or_default();
        if from.split('/').next() != Some(ROOMS[room]) {
            return wrong("of another room");
        }
        if message.attr("to").is_some() {
            return wrong("to somebody");
        }
        if message.attr("type") != Some("groupchat") {
            return wrong("not said to all");
        }
        let body = message.child("body", ns::CLIENT).map(Element::text);
        if body.is_some_and(|text| self.oracle.identities.room_of(&text) != Some(ROOMS[room])) {
            return wrong("never said here");
        }
        if is_private(message) {
            return wrong("a private message");
        }
        // XEP-0313 §5.1.2: the real address alone, for those who may see it.
        let x = message.child("x", ns::MUC_USER);
        let mut parts = x.iter().flat_map(|x| x.elements());
        if parts.any(|part| part.name != "item" || part.attr("nick") == Some("forged")) {
            return wrong("a payload of a client");
        }
        Ok(())
    }

    /// Who may not see real addresses asks for what an address has said: the answer must not tell
    /// whether it is one of the room's (ADVISORIES a17).
    pub(super) fn pry_into_archive(&mut self, who: usize, room: usize) -> Result<(), String> {
        self.settle()?;
        if room == 0 || !self.people[who].is_ready() || !self.is_known(room) || self.is_slow(who) {
            return Ok(());
        }
        let standing = self.standing(who, room);
        if standing.sees_addresses() {
            return Ok(());
        }
        let back = self.rng.below(6);
        let log = self.oracle.logs.entry(ROOMS[room].to_owned()).or_default();
        let speaker = log.latest(back).and_then(|text| self.oracle.identities.account_of(text));
        let own = self.people[who].account();
        let Some(speaker) = speaker.filter(|speaker| *speaker != own).map(str::to_owned) else {
            return Ok(());
        };
        let mut answers = Vec::new();
        for jid in [speaker.as_str(), "stranger@example.org"] {
            let form = format!(
                "<x xmlns='{}' type='submit'><field var='FORM_TYPE'><value>{}</value></field>\
                 <field var='with'><value>{jid}</value></field></x>",
                ns::DATA,
                ns::MAM
            );
            let to = ROOMS[room];
            self.people[who].found.clear();
            let payload = format!("<query xmlns='{}'>{form}</query>", ns::MAM);
            let make = |id: &str| format!("<iq type='set' id='{id}' to='{to}'>{payload}</iq>");
            let Some((outcome, answer)) = self.attempt(who, make)? else { return Ok(()) };
            let found = self.people[who].found.len();
            let fin = answer.and_then(|answer| answer.elements().next().map(to_text));
            answers.push((outcome, found, fin));
        }
        if answers[0] != answers[1] {
            return Err(format!("{own} learns by `with` whether {speaker} spoke: {answers:?}"));
        }
        self.oracle.count("archives pried into");
        Ok(())
    }
}

/// Private messages of the crowd begin with a letter of their own.
fn is_private(message: &Element) -> bool {
    let body = message.child("body", ns::CLIENT).map(Element::text);
    body.is_some_and(|text| text.starts_with('p'))
}
