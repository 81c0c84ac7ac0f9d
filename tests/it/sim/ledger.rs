//! What the server has acknowledged, as its clients know it: results that came, changes that the
//! observer was told. A server on the same storage must say the same later, in memory or after a
//! restart. It is written from stanzas alone.

use std::collections::{BTreeMap, BTreeSet};

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::deeds::{BROADCAST, EVERYBODY, MEMBERS_ONLY, MODERATED};
use super::versions::Versions;
use super::voices::{Kind, Voices};

/// A value that requests change, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    acknowledged: Option<String>,
    /// Asked for and not answered: it may be so, or not.
    asked: Vec<(usize, String)>,
}

impl Cell {
    pub fn new(value: &str) -> Self {
        Self { acknowledged: Some(value.to_owned()), asked: Vec::new() }
    }

    /// A request is sent; `number` grows from one to the next.
    pub fn ask(&mut self, number: usize, value: &str) {
        self.asked.push((number, value.to_owned()));
    }

    /// It was answered.
    fn answer(&mut self, number: usize, is_result: bool) {
        let asked = self.asked.iter().position(|(other, _)| *other == number);
        let Some((_, value)) = asked.map(|index| self.asked.remove(index)) else { return };
        if is_result {
            self.acknowledged = Some(value);
            self.asked.retain(|(other, _)| *other > number);
        }
    }

    pub fn allows(&self, value: &str) -> bool {
        let is_asked = self.asked.iter().any(|(_, asked)| asked == value);
        is_asked || self.acknowledged.as_ref().is_none_or(|known| known == value)
    }

    /// The one value that it can have.
    pub fn known(&self) -> Option<&str> {
        self.acknowledged.as_deref().filter(|_| self.asked.is_empty())
    }

    /// All values that it may have, the acknowledged one first.
    pub fn values(&self) -> Vec<String> {
        let asked = self.asked.iter().rev().map(|(_, value)| value.clone());
        self.acknowledged.iter().cloned().chain(asked).collect()
    }

    /// The server was asked, and says this.
    pub fn learn(&mut self, value: &str) {
        *self = Self::new(value);
    }
}

/// What a request would change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Option(String, &'static str),
    Password(usize),
    /// An account, and a contact that one of its clients alone writes.
    Roster(usize, String),
}

/// An occupant as the observer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub role: String,
    pub affiliation: String,
    /// Full addresses, one for each seat.
    pub jids: Vec<String>,
    /// What it wears (XEP-0317).
    pub hats: BTreeSet<String>,
}

impl Seen {
    pub fn account(&self) -> &str {
        bare(self.jids.first().map_or("", String::as_str))
    }
}

/// A room as the observer knows it.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub occupants: BTreeMap<String, Seen>,
    /// All but `none`.
    pub affiliations: BTreeMap<String, String>,
    /// Affiliations that somebody asked for while the observer may not have looked.
    pub asked: Vec<(String, String)>,
    /// Accounts that wear a hat, by its address.
    pub hats: BTreeMap<String, BTreeSet<String>>,
    /// The affiliations as they are told by versions.
    pub versions: Versions,
    /// Who comes back with another voice than others.
    pub voices: Voices,
    /// Text, and the seat that set it.
    pub subject: Option<(String, String)>,
    /// The observer has missed nothing since it last asked.
    pub is_certain: bool,
    /// The observer does not own it: nothing is known of it any more.
    pub is_abandoned: bool,
    /// A configuration was accepted: it is not locked (XEP-0045 §10.1.1).
    pub is_configured: bool,
    /// The room may have gone: a destruction was asked for, or nobody may have been in.
    pub may_be_gone: bool,
}

impl Book {
    pub fn affiliation(&self, account: &str) -> &str {
        self.affiliations.get(account).map_or("none", String::as_str)
    }

    pub fn set_affiliation(&mut self, account: &str, affiliation: &str) {
        if self.affiliation(account) != affiliation {
            self.voices.forget(account);
        }
        if affiliation == "none" {
            self.affiliations.remove(account);
        } else {
            self.affiliations.insert(account.to_owned(), affiliation.to_owned());
        }
    }

    pub fn allows_affiliation(&self, account: &str, affiliation: &str) -> bool {
        let is_asked = || self.asked.iter().any(|(a, b)| a == account && b == affiliation);
        self.affiliation(account) == affiliation || !self.is_certain && is_asked()
    }

    /// The nick that a session has.
    pub fn nick_of(&self, jid: &str) -> Option<&str> {
        let mut occupants = self.occupants.iter();
        let found = occupants.find(|(_, seen)| seen.jids.iter().any(|other| other == jid));
        found.map(|(nick, _)| nick.as_str())
    }

    /// The highest role of an account (§8: "one of the moderators").
    pub fn role_of(&self, account: &str) -> &str {
        let own = self.occupants.values().filter(|seen| seen.account() == account);
        let order = ["none", "visitor", "participant", "moderator"];
        let height = |role: &str| order.iter().position(|other| *other == role).unwrap_or(0);
        own.map(|seen| seen.role.as_str()).max_by_key(|role| height(role)).unwrap_or("none")
    }

    /// A presence that the observer got from a seat.
    pub fn note_presence(&mut self, nick: &str, element: &Element) {
        let Some(x) = element.child("x", ns::MUC_USER) else { return };
        let items: Vec<_> = x.elements().filter(|e| e.is("item", ns::MUC_USER)).collect();
        self.note_items(&items);
        if element.attr("type") == Some("unavailable") {
            self.occupants.remove(nick);
            return;
        }
        let Some(first) = items.first() else { return };
        let text = |name| first.attr(name).unwrap_or_default().to_owned();
        let jids = items.iter().filter_map(|item| item.attr("jid")).map(str::to_owned).collect();
        let hats = element.child("hats", ns::HATS).into_iter().flat_map(|hats| hats.elements());
        let hats = hats.filter_map(|hat| hat.attr("uri").map(str::to_owned)).collect();
        let seen = Seen { role: text("role"), affiliation: text("affiliation"), jids, hats };
        self.occupants.insert(nick.to_owned(), seen);
    }

    /// A message of the room about somebody who is not there.
    pub fn note_absent(&mut self, element: &Element) {
        let Some(x) = element.child("x", ns::MUC_USER) else { return };
        let items: Vec<_> = x.elements().filter(|e| e.is("item", ns::MUC_USER)).collect();
        self.note_items(&items);
    }

    fn note_items(&mut self, items: &[&Element]) {
        for item in items {
            if let (Some(jid), Some(affiliation)) = (item.attr("jid"), item.attr("affiliation")) {
                self.set_affiliation(bare(jid), affiliation);
            }
        }
    }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Ledger {
    pub rooms: BTreeMap<String, Book>,
    pub cells: BTreeMap<Key, Cell>,
    /// Requests on their way, by number.
    claims: BTreeMap<usize, Vec<Key>>,
}

impl Ledger {
    /// The book of a room.
    pub fn room(&mut self, room: &str) -> &mut Book {
        self.rooms.entry(room.to_owned()).or_default()
    }

    /// A request is sent that would give `key` this value.
    pub fn ask(&mut self, number: usize, key: Key, value: &str) {
        self.cells.entry(key.clone()).or_default().ask(number, value);
        self.claims.entry(number).or_default().push(key);
    }

    /// A request was answered.
    pub fn answer(&mut self, number: usize, is_result: bool) {
        for key in self.claims.remove(&number).unwrap_or_default() {
            if let Some(cell) = self.cells.get_mut(&key) {
                cell.answer(number, is_result);
            }
            if let Key::Option(room, var) = &key {
                let is_plain = *var == MODERATED && self.option(room, var) == Some("0");
                let book = self.room(room);
                book.is_configured |= is_result;
                if is_result && is_plain && book.is_certain {
                    book.voices.begin();
                }
            }
        }
    }

    /// The one value of an option that it can have.
    pub fn option(&self, room: &str, var: &'static str) -> Option<&str> {
        self.cells.get(&Key::Option(room.to_owned(), var))?.known()
    }

    /// A presence that the observer got from a seat.
    pub fn note_presence(&mut self, room: &str, nick: &str, element: &Element) {
        let before = self.room(room).occupants.get(nick).cloned();
        self.room(room).note_presence(nick, element);
        let Some(before) = before.filter(|_| element.attr("type") == Some("unavailable")) else {
            return;
        };
        let Some(x) = element.child("x", ns::MUC_USER) else { return };
        let is_renamed = x.elements().any(|e| e.name == "status" && e.attr("code") == Some("303"));
        let item = x.child("item", ns::MUC_USER);
        let Some(affiliation) = item.and_then(|item| item.attr("affiliation")) else { return };
        if is_renamed {
            return;
        }
        let option = |var| self.option(room, var).map(str::to_owned);
        let (moderated, members_only) = (option(MODERATED), option(MEMBERS_ONLY));
        let is_open = self.option(room, BROADCAST) == Some(EVERYBODY);
        let kind = Kind {
            moderated: moderated.as_deref(),
            members_only: members_only.as_deref(),
            is_open,
        };
        self.room(room).voices.note(before.account(), affiliation, &before.role, kind);
    }

    /// A room was made anew, by the join with this number: what was known of one by that name is
    /// over. What was asked before was asked of that one, even where its answer is read only now.
    pub fn begin_room(&mut self, room: &str, owner: &str, number: usize) {
        let is_own = |key: &Key| matches!(key, Key::Option(other, _) if other == room);
        for (key, cell) in &mut self.cells {
            if is_own(key) {
                cell.acknowledged = None;
            }
        }
        for (_, keys) in self.claims.range_mut(..number) {
            keys.retain(|key| !is_own(key));
        }
        let book = self.room(room);
        let occupants = std::mem::take(&mut book.occupants);
        let versions = std::mem::take(&mut book.versions);
        *book = Book { occupants, versions, is_certain: true, ..Book::default() };
        book.set_affiliation(owner, "owner");
        book.voices.begin();
    }
}

/// The bare address.
pub fn bare(jid: &str) -> &str {
    jid.split('/').next().unwrap_or(jid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_an_earlier_room_say_nothing() {
        let (room, var) = ("r@conference.localhost", MODERATED);
        let key = Key::Option(room.to_owned(), var);
        let mut ledger = Ledger::default();
        ledger.ask(1, key.clone(), "1");
        ledger.begin_room(room, "u00@localhost", 2);
        ledger.answer(1, true);
        assert_eq!(ledger.option(room, var), None);
        // What is asked together with the join is asked of the new one.
        ledger.ask(4, key.clone(), "0");
        ledger.begin_room(room, "u00@localhost", 3);
        ledger.answer(4, true);
        assert_eq!(ledger.option(room, var), Some("0"));
        assert!(!ledger.cells[&key].allows("1"));
    }
}
