//! Archives as they must be: what XEP-0313 and the preferences of XEP-0441 keep of each message,
//! stated once more; and reading them page by page. Each message must come once, in order, by the
//! id that it was heard with (XEP-0359).

use std::collections::BTreeMap;

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::Sim;
use super::blocks::bare;
use super::truth::{Kind, Letter, Truth, account_jid};

/// A message in somebody's archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub id: String,
    pub from: String,
    pub to: String,
}

/// What an account wants kept.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    default: Wish,
    /// Whether it is wanted, by the address of the other side.
    listed: BTreeMap<String, bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wish {
    #[default]
    Always,
    Roster,
    Never,
}

/// A `<result/>` of a query, as a client has got it.
pub struct Found {
    query_id: String,
    uid: String,
    kept: Kept,
}

/// Reads the one in a message, if it is that.
pub fn found(message: &Element) -> Option<Found> {
    let result = message.child("result", ns::MAM)?;
    let inner = result.child("forwarded", ns::FORWARD)?.child("message", ns::CLIENT)?;
    let text = |element: &Element, name| element.attr(name).unwrap_or_default().to_owned();
    Some(Found {
        query_id: text(result, "queryid"),
        uid: text(result, "id"),
        kept: Kept { id: text(inner, "id"), from: text(inner, "from"), to: text(inner, "to") },
    })
}

impl Truth {
    /// A message was accepted: those who archive it do.
    pub fn archive(&mut self, letter: &Letter, other: Option<usize>) {
        if !matches!(letter.kind, Kind::Normal | Kind::Chat) || !letter.is_storable {
            return;
        }
        let account = self.seats[letter.from].account;
        let from = self.seats[letter.from].jid();
        let kept = Kept { id: letter.id.clone(), from: from.clone(), to: letter.jid.clone() };
        // What somebody says to itself is kept once.
        if other != Some(account) {
            self.archive_for(account, &letter.jid, kept.clone());
        }
        if let Some(other) = other {
            self.archive_for(other, &from, kept);
        }
    }

    fn archive_for(&mut self, account: usize, with: &str, kept: Kept) {
        let whom = (0..self.accounts.len()).find(|&other| account_jid(other) == bare(with));
        let is_contact = whom.is_some_and(|whom| self.bond(account, whom).is_in_roster);
        let wishes = &self.accounts[account].wishes;
        let listed = wishes.listed.get(with).or_else(|| wishes.listed.get(bare(with)));
        let is_wanted = match (listed, wishes.default) {
            (Some(&is_wanted), _) => is_wanted,
            (None, Wish::Always) => true,
            (None, Wish::Roster) => is_contact,
            (None, Wish::Never) => false,
        };
        if is_wanted {
            self.count("messages archived");
            self.accounts[account].archive.push(kept);
        } else {
            self.count("messages not to be archived");
        }
    }

    /// What was exchanged with an address, in order.
    fn kept_with(&self, account: usize, with: Option<&str>) -> Vec<Kept> {
        let own = account_jid(account);
        let is_meant = |kept: &&Kept| {
            let other = if bare(&kept.from) == own { &kept.to } else { &kept.from };
            with.is_none_or(|with| other == with || bare(other) == with)
        };
        self.accounts[account].archive.iter().filter(is_meant).cloned().collect()
    }
}

impl Sim {
    pub(super) fn prefer(&mut self, who: usize) {
        let own = self.truth.seats[who].account;
        let default = [Wish::Always, Wish::Roster, Wish::Never][self.rng.below(3)];
        let mut listed = BTreeMap::new();
        for _ in 0..self.rng.below(4) {
            let seat = self.rng.below(self.truth.seats.len());
            let whole = account_jid(self.truth.seats[seat].account);
            let jid = if self.rng.one_in(2) { whole } else { self.truth.seats[seat].jid() };
            listed.insert(jid, self.rng.one_in(2));
        }
        let list = |is_wanted| -> String {
            let jids = listed.iter().filter(|(_, is)| **is == is_wanted);
            jids.map(|(jid, _)| format!("<jid>{jid}</jid>")).collect()
        };
        let (id, name) = (self.id("f"), format!("{default:?}").to_lowercase());
        let lists = format!("<always>{}</always><never>{}</never>", list(true), list(false));
        let prefs = format!("<prefs xmlns='{}' default='{name}'>{lists}</prefs>", ns::MAM);
        self.send(who, &format!("<iq type='set' id='{id}'>{prefs}</iq>"));
        self.truth.owe(who, format!("result {id}"));
        self.truth.accounts[own].wishes = Wishes { default, listed };
        self.truth.count("preferences");
    }

    pub(super) fn read_some_archive(&mut self, who: usize) -> Result<(), String> {
        let seat = self.rng.below(self.truth.seats.len());
        let account = self.truth.seats[seat].account;
        let with = match self.rng.below(4) {
            0 => Some(account_jid(account)),
            1 if account != self.truth.seats[who].account => Some(self.truth.seats[seat].jid()),
            _ => None,
        };
        let most = [1, 3, 10, 100][self.rng.below(4)];
        let is_backwards = self.rng.one_in(3);
        self.truth.count(match (with.is_some(), is_backwards) {
            (true, _) => "archives searched",
            (false, true) => "archives read backwards",
            (false, false) => "archives read",
        });
        self.read_archive(who, with.as_deref(), most, is_backwards)
    }

    /// All pages, one after the other.
    pub(super) fn read_archive(
        &mut self,
        who: usize,
        with: Option<&str>,
        most: usize,
        is_backwards: bool,
    ) -> Result<(), String> {
        let wanted = self.truth.kept_with(self.truth.seats[who].account, with);
        let mut all: Vec<Found> = Vec::new();
        let mut place = if is_backwards { "<before/>".to_owned() } else { String::new() };
        loop {
            let (page, fin) = self.read_page(who, with, most, &place)?;
            let set = fin.child("set", ns::RSM).ok_or("a page without a set")?;
            let text = |name| set.child(name, ns::RSM).map(Element::text);
            let ends = [page.first(), page.last()].map(|found| found.map(|f| f.uid.clone()));
            if [text("first"), text("last")] != ends || page.len() > most {
                return Err(format!("a page of {}, and its set is {set:?}", page.len()));
            }
            if text("count").is_some_and(|count| count != wanted.len().to_string()) {
                return Err(format!("{:?} archived messages, not {}", text("count"), wanted.len()));
            }
            let is_complete = fin.attr("complete") == Some("true");
            if is_complete == (all.len() + page.len() < wanted.len()) {
                return Err(format!("complete: {is_complete}, too early or too late"));
            }
            let [first, last] = ends;
            if is_backwards {
                place = format!("<before>{}</before>", first.unwrap_or_default());
                all.splice(0..0, page);
            } else {
                place = format!("<after>{}</after>", last.unwrap_or_default());
                all.extend(page);
            }
            if is_complete {
                break;
            }
            self.truth.count("archives in pages");
        }
        self.compare(who, &wanted, &all)
    }

    fn read_page(
        &mut self,
        who: usize,
        with: Option<&str>,
        most: usize,
        place: &str,
    ) -> Result<(Vec<Found>, Element), String> {
        let id = self.id("q");
        let with = with.map_or(String::new(), |with| {
            let kind = format!("<field var='FORM_TYPE'><value>{}</value></field>", ns::MAM);
            let with = format!("<field var='with'><value>{with}</value></field>");
            format!("<x xmlns='{}' type='submit'>{kind}{with}</x>", ns::DATA)
        });
        let set = format!("<set xmlns='{}'><max>{most}</max>{place}</set>", ns::RSM);
        let query = format!("<query xmlns='{}' queryid='{id}'>{with}{set}</query>", ns::MAM);
        self.send(who, &format!("<iq type='set' id='{id}'>{query}</iq>"));
        self.truth.owe(who, format!("result {id}"));
        self.settle()?;
        let person = &mut self.people[who];
        let page = std::mem::take(&mut person.found);
        let fin = person.fin.take().ok_or_else(|| format!("{id} brings no page"))?;
        match page.iter().find(|found| found.query_id != id) {
            None => Ok((page, fin)),
            Some(found) => Err(format!("{id} brings what {} asked for", found.query_id)),
        }
    }

    fn compare(&self, who: usize, wanted: &[Kept], all: &[Found]) -> Result<(), String> {
        let kept: Vec<&Kept> = all.iter().map(|found| &found.kept).collect();
        if kept != wanted.iter().collect::<Vec<_>>() {
            let jid = self.truth.seats[who].jid();
            return Err(format!("{jid} finds {kept:?} in its archive, which has {wanted:?}"));
        }
        let own = account_jid(self.truth.seats[who].account);
        for Found { uid, kept, .. } in all {
            let heard = self.people[who].uids.get(&kept.id).filter(|_| bare(&kept.to) == own);
            if heard.is_some_and(|heard| heard != uid) {
                return Err(format!("{} is {uid} in the archive, and was {heard:?}", kept.id));
            }
        }
        Ok(())
    }
}
