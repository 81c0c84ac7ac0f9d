//! Block lists as they must be: XEP-0191, stated once more. A list has bare addresses, full ones
//! and domains (§6); what it covers neither comes nor goes.

use std::collections::BTreeSet;

use super::Sim;
use super::truth::{Truth, account_jid};

/// Domains that somebody may block: those of the accounts, and one that is elsewhere.
const DOMAINS: [&str; 3] = ["localhost", "other.example", "remote.example"];

/// What one account blocks.
pub type BlockList = BTreeSet<String>;

/// Whether the list of `account` covers an address (§6), which is not the account itself (§5).
pub fn covers(list: &BlockList, account: usize, jid: &str) -> bool {
    let bare = bare(jid);
    let domain = bare.split_once('@').map_or(bare, |(_, domain)| domain);
    !list.is_empty()
        && bare != account_jid(account)
        && [jid, bare, domain].iter().any(|&form| list.contains(form))
}

pub fn bare(jid: &str) -> &str {
    jid.split('/').next().unwrap_or(jid)
}

impl Truth {
    pub fn blocks(&self, account: usize, jid: &str) -> bool {
        covers(&self.accounts[account].blocks, account, jid)
    }

    /// The whole of it.
    pub fn has_blocked(&self, who: usize, whom: usize) -> bool {
        self.blocks(who, &account_jid(whom))
    }

    /// This resource of somebody.
    pub fn has_blocked_seat(&self, who: usize, seat: usize) -> bool {
        self.blocks(who, &self.seats[seat].jid())
    }

    /// One of two seats, or both.
    pub fn are_apart(&self, one: usize, other: usize) -> bool {
        self.has_blocked_seat(self.seats[one].account, other)
            || self.has_blocked_seat(self.seats[other].account, one)
    }

    /// §3.3, §3.4, §3.5: an account blocks these addresses, or ceases to; all of them when none is
    /// named.
    pub fn change_blocks(&mut self, account: usize, jids: &[String], is_blocked: bool) {
        let before = self.accounts[account].blocks.clone();
        let list = &mut self.accounts[account].blocks;
        match (is_blocked, jids) {
            (true, _) => list.extend(jids.iter().cloned()),
            (false, []) => list.clear(),
            (false, _) => list.retain(|jid| !jids.contains(jid)),
        }
        let after = list.clone();
        let label = if is_blocked { "block" } else { "unblock" };
        for jid in jids {
            self.count(match (is_blocked, jid.contains('/'), jid.contains('@')) {
                (true, true, _) => "resources blocked",
                (true, _, false) => "domains blocked",
                (true, ..) => "people blocked",
                (false, ..) => "addresses unblocked",
            });
        }
        for seat in self.bound(account) {
            if self.seats[seat].wants_blocks {
                if jids.is_empty() {
                    self.owe(seat, format!("{label} all"));
                }
                jids.iter().for_each(|jid| self.owe(seat, format!("{label} {jid}")));
            }
        }
        for other in 0..self.seats.len() {
            let jid = self.seats[other].jid();
            match (covers(&before, account, &jid), covers(&after, account, &jid)) {
                (false, true) => self.part(account, other),
                (true, false) => self.meet_again(account, other),
                _ => {}
            }
        }
    }

    /// §3.3: a resource of somebody sees the account's go, and what is known of it there is worth
    /// nothing any more.
    fn part(&mut self, account: usize, other: usize) {
        let seats = &mut self.seats;
        self.shown.retain(|(reader, seen), _| {
            !(*reader == other && seats[*seen].account == account
                || *seen == other && seats[*reader].account == account)
        });
        let jid = seats[other].jid();
        let whom = seats[other].account;
        for seat in self.bound(account) {
            self.seats[seat].directed.remove(&jid);
            if self.has_blocked(account, whom) {
                self.seats[seat].directed.remove(bare(&jid));
            }
        }
    }

    /// §3.4: it sees them again; and since it has not been heard meanwhile, it is asked (RFC 6121
    /// §4.3). What it has become of a subscription is found out with that.
    fn meet_again(&mut self, account: usize, other: usize) {
        let whom = self.seats[other].account;
        for seen in self.available(account) {
            if self.bond(account, whom).from && self.is_told(other, seen) {
                self.count("presences shown anew");
                self.shown.insert((other, seen), self.seats[seen].tag.clone());
            }
        }
        if !self.bond(account, whom).to {
            return;
        }
        for reader in self.available(account) {
            if self.has_blocked_seat(whom, reader) {
                continue;
            }
            if !self.bond(whom, account).from {
                self.count("subscriptions found to be over");
                self.hear(account, whom, "unsubscribed");
            } else if self.is_told(reader, other) {
                self.shown.insert((reader, other), self.seats[other].tag.clone());
            }
        }
    }
}

impl Sim {
    pub(super) fn change_blocks(&mut self, who: usize) {
        let own = self.truth.seats[who].account;
        // What somebody who is behind will hear of before and after, nobody can tell apart.
        if self.truth.bound(own).into_iter().any(|seat| self.people[seat].is_lagging) {
            return;
        }
        let known: Vec<String> = self.truth.accounts[own].blocks.iter().cloned().collect();
        let is_blocked = known.is_empty() || self.rng.one_in(4);
        let jids = match is_blocked {
            true => self.some_to_block(who),
            false if self.rng.one_in(6) => Vec::new(),
            false => vec![known[self.rng.below(known.len())].clone()],
        };
        let id = self.id("b");
        let name = if is_blocked { "block" } else { "unblock" };
        let items: String = jids.iter().map(|jid| format!("<item jid='{jid}'/>")).collect();
        let change = format!("<{name} xmlns='urn:xmpp:blocking'>{items}</{name}>");
        self.send(who, &format!("<iq type='set' id='{id}'>{change}</iq>"));
        if jids.is_empty() {
            self.truth.count("all unblocked");
        }
        self.truth.change_blocks(own, &jids, is_blocked);
        self.truth.owe(who, format!("result {id}"));
    }

    fn some_to_block(&mut self, who: usize) -> Vec<String> {
        // Who waits for an answer.
        let asker = self.people[who].questions.last().map(|(jid, _)| jid.clone());
        if let Some(jid) = asker
            && bare(&jid) != account_jid(self.truth.seats[who].account)
            && self.rng.one_in(2)
        {
            return vec![jid];
        }
        // One of those that it sees, or that see it.
        let own = self.truth.seats[who].account;
        let pairs = self.truth.shown.keys().filter(|(one, other)| *one == who || *other == who);
        let known = pairs.map(|(one, other)| if *one == who { *other } else { *one });
        let known: Vec<usize> = known.filter(|at| self.truth.seats[*at].account != own).collect();
        if !known.is_empty() && self.rng.one_in(2) {
            return vec![self.truth.seats[known[self.rng.below(known.len())]].jid()];
        }
        let other = self.other_account(who);
        let seats: Vec<usize> = (0..self.truth.seats.len())
            .filter(|&seat| self.truth.seats[seat].account == other)
            .collect();
        let seat = seats[self.rng.below(seats.len())];
        let mut jids = vec![match self.rng.below(10) {
            0..5 => account_jid(other),
            5..9 => self.truth.seats[seat].jid(),
            _ => DOMAINS[self.rng.below(DOMAINS.len())].to_owned(),
        }];
        if self.rng.one_in(5) {
            jids.push(account_jid(self.other_account(who)));
        }
        jids.sort();
        jids.dedup();
        jids
    }

    pub(super) fn ask_for_blocks(&mut self, who: usize) {
        let id = self.id("l");
        let list = "<blocklist xmlns='urn:xmpp:blocking'/>";
        self.send(who, &format!("<iq type='get' id='{id}'>{list}</iq>"));
        let blocks = &self.truth.accounts[self.truth.seats[who].account].blocks;
        let jids: Vec<&str> = blocks.iter().map(String::as_str).collect();
        let label = format!("blocks {id} {}", jids.join(","));
        self.truth.owe(who, label);
        self.truth.seats[who].wants_blocks = true;
        self.truth.count("block lists");
    }
}
