//! Who sees whose presence: RFC 6121 §4, XEP-0191 §3.3 and §3.4, stated once more.

use super::truth::{Seat, Truth, account_jid};

impl Truth {
    /// Whether `reader` is told what `seen` broadcasts.
    pub fn is_told(&mut self, reader: usize, seen: usize) -> bool {
        let (to, from) = (self.seats[reader].account, self.seats[seen].account);
        let is_there =
            |seat: usize| self.seats[seat].is_bound && self.seats[seat].priority.is_some();
        is_there(reader)
            && is_there(seen)
            && (to == from || self.bond(from, to).from && !self.are_apart(reader, seen))
    }

    /// Presence without `to`.
    pub fn announce(&mut self, seat: usize, priority: i8, tag: &str) {
        let account = self.seats[seat].account;
        let old = self.seats[seat].priority.replace(priority);
        self.seats[seat].stint += usize::from(old.is_none_or(|old| (old < 0) != (priority < 0)));
        self.seats[seat].tag = tag.to_owned();
        for reader in 0..self.seats.len() {
            if self.is_told(reader, seat) {
                self.shown.insert((reader, seat), tag.to_owned());
            }
        }
        if old.is_none() {
            self.count("initial presences");
            for seen in 0..self.seats.len() {
                let other = self.seats[seen].account;
                let may_ask = other == account || self.bond(account, other).to;
                if may_ask && self.is_told(seat, seen) {
                    self.shown.insert((seat, seen), self.seats[seen].tag.clone());
                }
            }
            for other in 0..self.accounts.len() {
                if self.bond(account, other).is_asked && !self.has_blocked(account, other) {
                    self.count("requests told again");
                    self.owe(seat, format!("subscribe {}", account_jid(other)));
                }
            }
        }
        if priority >= 0 && old.is_none_or(|old| old < 0) {
            self.give_kept(seat);
        }
    }

    /// Unavailable presence without `to`, or the end of the session.
    pub fn retire(&mut self, seat: usize) {
        self.shown.retain(|(_, seen), _| *seen != seat);
        self.seats[seat].priority = None;
        self.seats[seat].stint += 1;
        self.seats[seat].directed.clear();
    }

    /// Directed presence, available with a tag or not.
    pub fn direct(&mut self, seat: usize, target: &str, tag: Option<&str>) {
        let mut readers: Vec<usize> = Vec::new();
        for other in 0..self.accounts.len() {
            if target == account_jid(other) {
                readers = self.available(other);
            }
        }
        readers.extend(self.bound_at(target));
        match tag {
            Some(_) => self.seats[seat].directed.insert(target.to_owned()),
            None => self.seats[seat].directed.remove(target),
        };
        for reader in readers {
            // To a bare address, of which a resource is blocked by who sends it, as well.
            let is_apart = match tag {
                Some(_) => self.are_apart(reader, seat),
                None => self.has_blocked_seat(self.seats[reader].account, seat),
            };
            if is_apart {
                self.count("presence of who is blocked");
                continue;
            }
            self.count("directed presences");
            match tag {
                Some(tag) => self.shown.insert((reader, seat), tag.to_owned()),
                None => self.shown.remove(&(reader, seat)),
            };
        }
    }

    fn bound_at(&self, jid: &str) -> Option<usize> {
        self.seats.iter().position(|seat| seat.is_bound && seat.jid() == jid)
    }

    /// All of `account` become visible to the available ones of `contact`.
    pub fn show_all(&mut self, account: usize, contact: usize) {
        for seen in self.available(account) {
            for reader in self.available(contact) {
                if self.is_told(reader, seen) {
                    self.count("presences shown anew");
                    self.shown.insert((reader, seen), self.seats[seen].tag.clone());
                }
            }
        }
    }

    /// The available ones of `account` are gone for those of `contact`.
    pub fn hide_all(&mut self, account: usize, contact: usize) {
        for seen in self.available(account) {
            for reader in self.available(contact) {
                if self.shown.remove(&(reader, seen)).is_some() {
                    self.count("presences hidden");
                }
            }
        }
    }

    /// A seat is bound. What comes back of what a session there had not got may come to it.
    pub fn bind(&mut self, seat: usize) {
        let lost = self.end(seat);
        let fresh = Seat::new(self.seats[seat].account, self.seats[seat].resource.clone());
        let stint = self.seats[seat].stint + 1;
        self.seats[seat] = Seat { is_bound: true, stint, ..fresh };
        self.redeliver(seat, lost);
    }

    /// All sessions are over at once.
    pub fn unbind_all(&mut self) {
        let all: Vec<usize> = (0..self.seats.len()).collect();
        self.unbind_some(&all);
    }

    /// These are: none of them gets what another had not got.
    pub fn unbind_some(&mut self, seats: &[usize]) {
        let lost: Vec<_> = seats.iter().map(|&seat| (seat, self.end(seat))).collect();
        lost.into_iter().for_each(|(seat, labels)| self.redeliver(seat, labels));
    }

    /// A session is over; returns what it had not got.
    fn end(&mut self, seat: usize) -> Vec<String> {
        if !std::mem::take(&mut self.seats[seat].is_bound) {
            return Vec::new();
        }
        self.retire(seat);
        self.shown.retain(|(reader, _), _| *reader != seat);
        let mut labels = std::mem::take(&mut self.seats[seat].unacknowledged);
        labels.append(&mut self.seats[seat].due);
        labels
    }

    /// All are gone, and what was on its way to them.
    pub fn crash(&mut self) {
        for seat in &mut self.seats {
            *seat =
                Seat { stint: seat.stint + 1, ..Seat::new(seat.account, seat.resource.clone()) };
        }
        self.shown.clear();
    }

    /// Its session is over.
    pub fn unbind(&mut self, seat: usize) {
        self.unbind_some(&[seat]);
    }
}
