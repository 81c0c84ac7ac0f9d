//! Subscriptions and rosters as they must be: RFC 6121 §2 and Appendix A, stated once more.

use super::truth::{Truth, account_jid};

/// What an account has with a contact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bond {
    pub is_in_roster: bool,
    pub to: bool,
    pub from: bool,
    /// It has asked for `to`.
    pub asks: bool,
    /// The contact has asked for `from`.
    pub is_asked: bool,
    pub is_approved: bool,
    pub name: String,
}

pub const WORDS: [&str; 4] = ["subscribe", "subscribed", "unsubscribe", "unsubscribed"];

impl Bond {
    /// As a roster item is compared.
    pub fn text(&self) -> String {
        let subscription = match (self.to, self.from) {
            (false, false) => "none",
            (true, false) => "to",
            (false, true) => "from",
            (true, true) => "both",
        };
        let ask = if self.asks { "ask" } else { "" };
        let approved = if self.is_approved { "approved" } else { "" };
        format!("{subscription}/{ask}/{approved}/{}", self.name)
    }
}

impl Truth {
    pub fn bond(&mut self, account: usize, contact: usize) -> &mut Bond {
        self.accounts[account].bonds.entry(contact).or_default()
    }

    /// A client of `account` sends one of the four words (A.2).
    pub fn say(&mut self, account: usize, contact: usize, word: &'static str) {
        let old = self.bond(account, contact).clone();
        let bond = self.bond(account, contact);
        let is_heard = match word {
            "subscribe" => {
                bond.asks = !bond.to;
                bond.is_in_roster |= bond.asks;
                true
            }
            "unsubscribe" => {
                (bond.to, bond.asks) = (false, false);
                true
            }
            "subscribed" if bond.is_asked => {
                (bond.is_asked, bond.from, bond.is_in_roster) = (false, true, true);
                true
            }
            "subscribed" => {
                // §3.4
                bond.is_approved |= !bond.from;
                bond.is_in_roster |= bond.is_approved;
                false
            }
            _ => {
                let is_heard = bond.from || bond.is_asked;
                (bond.from, bond.is_asked, bond.is_approved) = (false, false, false);
                is_heard
            }
        };
        if is_heard {
            self.hear(contact, account, word);
        }
        self.follow(account, contact, old.from);
    }

    /// `account` hears one of the four words of a contact (A.3).
    pub fn hear(&mut self, account: usize, contact: usize, word: &'static str) {
        if self.has_blocked(account, contact) {
            self.count("words of who is blocked");
            return;
        }
        let old = self.bond(account, contact).clone();
        let bond = self.bond(account, contact);
        let is_told = match word {
            "subscribe" if bond.from || bond.is_approved => {
                (bond.from, bond.is_approved) = (true, false);
                self.count("requests approved by the server");
                self.hear(contact, account, "subscribed");
                self.show_all(account, contact);
                return;
            }
            "subscribe" => !std::mem::replace(&mut bond.is_asked, true),
            "subscribed" => {
                let is_told = std::mem::take(&mut bond.asks);
                bond.to |= is_told;
                is_told
            }
            "unsubscribe" => {
                let is_told = bond.from || bond.is_asked;
                (bond.from, bond.is_asked) = (false, false);
                is_told
            }
            _ => {
                let is_told = bond.to || bond.asks;
                (bond.to, bond.asks) = (false, false);
                is_told
            }
        };
        if is_told {
            self.count(word);
            for seat in self.bound(account) {
                let is_for = match word {
                    "subscribe" => self.seats[seat].priority.is_some(),
                    _ => self.seats[seat].wants_roster,
                };
                if is_for {
                    self.owe(seat, format!("{word} {}", account_jid(contact)));
                }
            }
        }
        self.follow(account, contact, old.from);
    }

    /// §3.1.5, §3.2.2, §3.3.3: presence follows what has become of `from`.
    fn follow(&mut self, account: usize, contact: usize, was_from: bool) {
        match (was_from, self.bond(account, contact).from) {
            (false, true) => self.show_all(account, contact),
            (true, false) => self.hide_all(account, contact),
            _ => {}
        }
    }

    /// Roster set of a contact's name.
    pub fn name(&mut self, account: usize, contact: usize, name: &str) {
        let bond = self.bond(account, contact);
        bond.is_in_roster = true;
        bond.name = name.to_owned();
    }

    /// Roster remove; false: there is no such contact.
    pub fn remove(&mut self, account: usize, contact: usize) -> bool {
        let old = self.bond(account, contact).clone();
        if !old.is_in_roster {
            return false;
        }
        *self.bond(account, contact) = Bond::default();
        if old.to || old.asks {
            self.hear(contact, account, "unsubscribe");
        }
        if old.from || old.is_asked {
            self.hear(contact, account, "unsubscribed");
        }
        self.follow(account, contact, old.from);
        true
    }

    /// The roster as its owner's clients must have it.
    pub fn roster(&self, account: usize) -> std::collections::BTreeMap<String, String> {
        let bonds = self.accounts[account].bonds.iter().filter(|(_, bond)| bond.is_in_roster);
        bonds.map(|(contact, bond)| (account_jid(*contact), bond.text())).collect()
    }
}
