//! Who must receive which message: RFC 6121 §8.5, XEP-0160, XEP-0191, XEP-0280 and what XEP-0198 §4
//! asks for, stated once more and from nothing but what clients have sent so far. `bonds.rs` and
//! `sights.rs` say the same of subscriptions and presence.
//!
//! What must come to a seat stands in its `due` as a label, which `person.rs` makes of a stanza.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::{Kept, Wishes};
use super::blocks::BlockList;
use super::bonds::Bond;

/// Address of an account: some live at another domain of the same server.
pub fn account_jid(account: usize) -> String {
    format!("u{account}@{}", if account % 3 == 2 { "other.example" } else { "localhost" })
}

/// What a message is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Account(usize),
    Seat(usize),
    /// A resource that is never bound.
    Absent(usize),
    /// An account that is not there.
    Ghost,
    /// Another server: there is no way there.
    Elsewhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Normal,
    Chat,
    Headline,
    Groupchat,
    Error,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Letter {
    pub id: String,
    pub from: usize,
    pub to: To,
    /// What that is written as.
    pub jid: String,
    pub kind: Kind,
    /// `no-copy` (XEP-0334) or `private` (XEP-0280).
    pub is_private: bool,
    /// Not `no-store`.
    pub is_storable: bool,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub struct Account {
    pub bonds: BTreeMap<usize, Bond>,
    pub blocks: BlockList,
    /// Ids of messages that are kept, in order.
    pub offline: Vec<String>,
    pub archive: Vec<Kept>,
    pub wishes: Wishes,
    /// What was published last, by node.
    pub items: BTreeMap<&'static str, String>,
}

/// A resource, bound or not.
#[derive(Clone)]
pub struct Seat {
    pub account: usize,
    pub resource: String,
    pub is_bound: bool,
    /// Counts how often it was bound, and how often it began or ceased to be ready for messages.
    pub stint: usize,
    /// While it is available.
    pub priority: Option<i8>,
    /// Its latest broadcast presence.
    pub tag: String,
    pub wants_roster: bool,
    pub wants_blocks: bool,
    pub has_carbons: bool,
    pub directed: BTreeSet<String>,
    /// What must come.
    pub due: Vec<String>,
    /// Messages that may come once more: of an outbox it is known only since when something waits
    /// in it, not since when each. So it may seem that this seat was not ready yet.
    pub repeatable: BTreeSet<String>,
    /// What has come, and was not acknowledged though it should be (XEP-0198).
    pub unacknowledged: Vec<String>,
}

impl Seat {
    pub fn new(account: usize, resource: String) -> Self {
        Self {
            account,
            resource,
            is_bound: false,
            stint: 0,
            priority: None,
            tag: String::new(),
            wants_roster: false,
            wants_blocks: false,
            has_carbons: false,
            directed: BTreeSet::new(),
            due: Vec::new(),
            repeatable: BTreeSet::new(),
            unacknowledged: Vec::new(),
        }
    }

    pub fn jid(&self) -> String {
        format!("{}/{}", account_jid(self.account), self.resource)
    }

    pub fn is_ready(&self) -> bool {
        self.is_bound && self.priority.is_some_and(|priority| priority >= 0)
    }
}

#[derive(Clone, Default)]
pub struct Truth {
    pub accounts: Vec<Account>,
    pub seats: Vec<Seat>,
    /// What a seat was last shown of another: reader, then who is seen.
    pub shown: BTreeMap<(usize, usize), String>,
    letters: BTreeMap<String, Letter>,
    /// Who has been given which message while it was ready, as its own or as a copy: seat, stint,
    /// whether it is a copy.
    given: BTreeMap<String, BTreeSet<(usize, usize, bool)>>,
    /// Who has sent which iq that was given to somebody.
    pub askers: BTreeMap<String, usize>,
    /// Nothing can be written.
    pub is_storage_lost: bool,
    pub tally: BTreeMap<&'static str, u64>,
}

impl Truth {
    pub fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// What there is in storage.
    pub fn stored(&self) -> Vec<Account> {
        let mut accounts = self.accounts.clone();
        let bonds = accounts.iter_mut().map(|account| &mut account.bonds);
        bonds.for_each(|bonds| bonds.retain(|_, bond| *bond != Bond::default()));
        accounts
    }

    /// Bound seats of an account.
    pub fn bound(&self, account: usize) -> Vec<usize> {
        let seats = self.seats.iter().enumerate();
        seats.filter(|(_, s)| s.account == account && s.is_bound).map(|(at, _)| at).collect()
    }

    pub fn available(&self, account: usize) -> Vec<usize> {
        let mut seats = self.bound(account);
        seats.retain(|&seat| self.seats[seat].priority.is_some());
        seats
    }

    fn ready(&self, account: usize) -> Vec<usize> {
        let mut seats = self.bound(account);
        seats.retain(|&seat| self.seats[seat].is_ready());
        seats
    }

    pub fn owe(&mut self, seat: usize, label: String) {
        if self.seats[seat].is_bound {
            self.seats[seat].due.push(label);
        }
    }

    fn give(&mut self, seat: usize, label: &str, id: &str) {
        self.owe(seat, format!("{label} {id}"));
        if self.seats[seat].is_ready() {
            let stint = self.seats[seat].stint;
            self.given.entry(id.to_owned()).or_default().insert((
                seat,
                stint,
                label.starts_with("copy"),
            ));
        }
    }

    /// A seat sends a message.
    pub fn send(&mut self, letter: Letter) {
        let (from, id) = (letter.from, letter.id.clone());
        let account = self.seats[from].account;
        self.letters.insert(id.clone(), letter.clone());
        let other = match letter.to {
            To::Account(other) | To::Absent(other) => Some(other),
            To::Seat(seat) => Some(self.seats[seat].account),
            To::Ghost | To::Elsewhere => None,
        };
        // XEP-0191 §3.3
        if self.blocks(account, &letter.jid) {
            self.count("sent to who is blocked by the sender");
            if letter.kind != Kind::Error {
                self.owe(from, format!("error {id} not-acceptable"));
            }
            return;
        }
        // XEP-0280 §8
        if other != Some(account) && is_copied(&letter) {
            for seat in self.bound(account) {
                if seat != from && self.seats[seat].has_carbons {
                    self.count("copies of what was sent");
                    self.give(seat, "copy-sent", &id);
                }
            }
        }
        let is_accepted = match (letter.to, letter.kind) {
            (To::Ghost, Kind::Headline | Kind::Error) | (To::Elsewhere, Kind::Error) => false,
            (To::Ghost, _) => self.refuse(&letter),
            (To::Elsewhere, _) => {
                self.owe(from, format!("error {id} remote-server-not-found"));
                false
            }
            _ => self.receive(other.expect("an account of this server"), &letter),
        };
        if is_accepted {
            self.archive(&letter, other);
        }
    }

    /// False, since it was not accepted.
    fn refuse(&mut self, letter: &Letter) -> bool {
        if letter.kind != Kind::Error {
            self.count("messages refused");
            self.owe(letter.from, format!("error {} service-unavailable", letter.id));
        }
        false
    }

    /// It was accepted, and nobody can have it any more: an error on its way like any stanza.
    fn send_back(&mut self, letter: &Letter, why: &str) {
        if !self.blocks(self.seats[letter.from].account, &letter.jid) {
            self.count("messages sent back");
            self.owe(letter.from, format!("error {} {why}", letter.id));
        }
    }

    /// RFC 6121 §8.5; false when it was not accepted.
    fn receive(&mut self, account: usize, letter: &Letter) -> bool {
        if self.has_blocked_seat(account, letter.from) {
            self.count("messages from who is blocked");
            let is_heeded = match letter.kind {
                Kind::Normal | Kind::Chat => true,
                Kind::Headline => !self.bound(account).is_empty(),
                Kind::Groupchat | Kind::Error => false,
            };
            if is_heeded {
                self.refuse(letter);
            }
            return false;
        }
        let addressed = match letter.to {
            To::Seat(seat) if self.seats[seat].is_bound => vec![seat],
            _ => Vec::new(),
        };
        let is_bare = matches!(letter.to, To::Account(_));
        let mut given = addressed;
        let mut is_kept = false;
        if given.is_empty() {
            match (letter.kind, is_bare) {
                (Kind::Chat, _) | (Kind::Normal, true) => {
                    given = self.ready(account);
                    is_kept = given.is_empty();
                }
                (Kind::Headline, true) => given = self.ready(account),
                (Kind::Normal, false) | (Kind::Groupchat, _) => return self.refuse(letter),
                (Kind::Headline, false) | (Kind::Error, _) => {}
            }
        }
        if is_kept && !self.keep(account, letter) {
            return self.refuse(letter);
        }
        for &seat in &given {
            self.give(seat, "message", &letter.id);
        }
        self.count(match given.len() {
            0 => "messages for nobody",
            1 => "messages for one",
            _ => "messages for many",
        });
        if is_copied(letter) {
            for seat in self.bound(account) {
                let is_new = seat != letter.from && !given.contains(&seat);
                if is_new && self.seats[seat].has_carbons {
                    self.count("copies of what was received");
                    self.give(seat, "copy-received", &letter.id);
                }
            }
        }
        true
    }

    /// A seat whose output waits is about to go: see [`Seat::repeatable`].
    pub fn note_repeatable(&mut self, gone: usize) {
        let due = self.seats[gone].due.iter();
        let ids = due.filter_map(|label| label.split_once(' ')).map(|(_, id)| id.to_owned());
        let ids: Vec<String> = ids.collect();
        for seat in self.bound(self.seats[gone].account) {
            let holder = (seat, self.seats[seat].stint, false);
            let has = |id: &&String| self.given.get(*id).is_some_and(|all| all.contains(&holder));
            let held: Vec<String> = ids.iter().filter(has).cloned().collect();
            self.seats[seat].repeatable.extend(held);
        }
    }

    /// XEP-0160: false when it cannot be.
    fn keep(&mut self, account: usize, letter: &Letter) -> bool {
        if letter.is_storable {
            self.count("messages kept");
            self.accounts[account].offline.push(letter.id.clone());
        }
        letter.is_storable
    }

    /// A seat is ready for messages: what was kept is given to it, and to nobody else.
    pub fn give_kept(&mut self, seat: usize) {
        let account = self.seats[seat].account;
        let mut kept = std::mem::take(&mut self.accounts[account].offline);
        // By the time when they were accepted.
        kept.sort_by_key(|id| number(id));
        for id in kept {
            if !self.has_blocked_seat(account, self.letters[&id].from) {
                self.count("kept messages given");
                self.give(seat, "late", &id);
            } else {
                self.count("kept messages of who is blocked since");
            }
        }
    }

    /// A seat is no more: what it was owed, or has not acknowledged, goes to others of its user, is
    /// kept, or goes back (XEP-0198 §4, RFC 6121 §8.5). When a resource that has been ready all the
    /// time has it, that is enough; else it may come twice. Copies count while they are wanted.
    pub fn redeliver(&mut self, seat: usize, labels: Vec<String>) {
        let account = self.seats[seat].account;
        for label in labels {
            let Some((kind, id)) = label.split_once(' ') else { continue };
            if kind == "iq" {
                self.refuse_request(seat, id);
            }
            if !matches!(kind, "message" | "late") {
                continue;
            }
            let letter = self.letters[id].clone();
            if !matches!(letter.kind, Kind::Normal | Kind::Chat) {
                continue;
            }
            if self.has_blocked_seat(account, letter.from) {
                self.send_back(&letter, "service-unavailable");
                continue;
            }
            let ready = self.ready(account);
            let has_it = |&seat: &usize| {
                let (stint, has_carbons) = (self.seats[seat].stint, self.seats[seat].has_carbons);
                self.given.get(id).is_some_and(|holders| {
                    holders.contains(&(seat, stint, false))
                        || has_carbons && holders.contains(&(seat, stint, true))
                })
            };
            if ready.iter().any(has_it) {
                self.count("undelivered messages that others have");
            } else if ready.is_empty() {
                self.count("undelivered messages kept");
                if letter.is_storable && self.is_storage_lost {
                    self.send_back(&letter, "resource-constraint");
                    continue;
                }
                if !self.keep(account, &letter) {
                    self.send_back(&letter, "service-unavailable");
                }
            } else {
                self.count("undelivered messages given to others");
                ready.iter().for_each(|&seat| self.give(seat, "late", id));
            }
        }
    }
}

/// Ids are numbered in the order that messages are sent.
pub fn number(id: &str) -> u64 {
    id.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or_default()
}

/// XEP-0280 §6.1; every message here has a body.
fn is_copied(letter: &Letter) -> bool {
    matches!(letter.kind, Kind::Normal | Kind::Chat) && !letter.is_private
}
