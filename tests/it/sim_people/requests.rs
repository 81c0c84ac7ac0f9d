//! Iqs between people (RFC 6121 §8.5): each is answered or refused, once. Who has got one answers
//! it sooner or later, or never; but what never came to be its, or was not acknowledged when its
//! session ended, the server refuses in its place.

use super::Sim;
use super::truth::{To, Truth};

/// What is asked for: nothing that anybody knows, or something that the server answers for each
/// account (XEP-0030).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Unknown,
    Items,
}

impl Truth {
    fn ask(&mut self, who: usize, to: To, jid: &str, id: &str, what: What) {
        if self.blocks(self.seats[who].account, jid) {
            self.count("iqs to who is blocked by the sender");
            return self.owe(who, format!("error {id} not-acceptable"));
        }
        let other = match to {
            To::Account(other) | To::Absent(other) => Some(other),
            To::Seat(seat) => Some(self.seats[seat].account),
            To::Ghost => None,
            To::Elsewhere => {
                return self.owe(who, format!("error {id} remote-server-not-found"));
            }
        };
        if other.is_some_and(|other| self.has_blocked_seat(other, who)) {
            self.count("iqs from who is blocked");
            return self.owe(who, format!("error {id} service-unavailable"));
        }
        match to {
            To::Seat(seat) if self.seats[seat].is_bound => {
                self.count("iqs given");
                self.askers.insert(id.to_owned(), who);
                self.owe(seat, format!("iq {id}"));
            }
            To::Account(_) | To::Ghost if what == What::Items => {
                self.count("iqs answered by the server");
                self.owe(who, format!("result {id}"));
            }
            _ => {
                self.count("iqs refused");
                self.owe(who, format!("error {id} service-unavailable"));
            }
        }
    }

    /// A session has ended, `who`, and has not got this, or has not said so.
    pub fn refuse_request(&mut self, who: usize, id: &str) {
        let asker = self.askers[id];
        if !self.has_blocked_seat(self.seats[asker].account, who) {
            self.count("iqs refused when their session ended");
            self.owe(asker, format!("error {id} service-unavailable"));
        }
    }
}

impl Sim {
    pub(super) fn ask(&mut self, who: usize) {
        let (to, jid) = self.somebody(who);
        let id = self.id("i");
        let what = if self.rng.one_in(4) { What::Items } else { What::Unknown };
        let (kind, payload) = match what {
            What::Items => ("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
            What::Unknown => (["get", "set"][self.rng.below(2)], "<what xmlns='urn:x:what'/>"),
        };
        self.send(who, &format!("<iq type='{kind}' to='{jid}' id='{id}'>{payload}</iq>"));
        self.truth.ask(who, to, &jid, &id, what);
    }

    /// Whoever was asked something answers, at last.
    pub(super) fn answer(&mut self, who: usize) {
        let questions = &mut self.people[who].questions;
        if questions.is_empty() {
            return self.ask(who);
        }
        let at = self.rng.below(questions.len());
        let (jid, id) = questions.swap_remove(at);
        let is_error = self.rng.one_in(3);
        let error = "<error type='cancel'><feature-not-implemented \
                     xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        let answer = match is_error {
            true => format!("<iq type='error' to='{jid}' id='{id}'>{error}</iq>"),
            false => format!("<iq type='result' to='{jid}' id='{id}'/>"),
        };
        self.send(who, &answer);
        let asker = self.truth.askers[&id];
        if self.truth.are_apart(who, asker) {
            self.truth.count("answers to who is blocked");
            return;
        }
        self.truth.count("iqs answered");
        self.truth.owe(
            asker,
            match is_error {
                true => format!("error {id} feature-not-implemented"),
                false => format!("result {id}"),
            },
        );
    }
}
