//! Lives of a server: everything of one kind that it keeps is made in a random order, each thing up
//! to its acknowledgement on the wire, and then it is killed: whichever acknowledgement came last,
//! all of it is there in the next life.

use std::collections::BTreeMap;

use tercet::xml::Element;

use super::{check_database, data_of, number_of};
use crate::driver::Driver as _;
use crate::matcher::to_text;
use crate::party::{Party, Who};
use crate::setup::Seeded;
use crate::socket::Sockets;

/// How often the server lives and dies.
pub const ROUNDS: usize = 3;

/// A life of the server.
pub struct Life<'a> {
    pub party: &'a mut Party<Sockets>,
    /// Owns everything.
    pub romeo: Who,
    pub juliet: Who,
    pub round: usize,
    /// What was told and has to be told again, by what it is.
    told: &'a mut BTreeMap<String, String>,
}

/// Something that is kept: how it comes to be, up to its acknowledgement, and how it is found.
pub struct Kept {
    pub make: fn(&mut Life<'_>),
    pub check: fn(&mut Life<'_>),
}

/// Lives, dies and looks, round by round. `enter` brings Romeo and Juliet to where they are to be.
pub fn live(
    party: &mut Party<Sockets>,
    kept: &[Kept],
    enter: fn(&mut Party<Sockets>, usize) -> (Who, Who),
) {
    let seed = number_of("TERCET_SEED", u64::from(std::process::id()));
    println!("TERCET_SEED={seed}");
    let mut dice = Seeded(seed);
    let mut told = BTreeMap::new();
    for round in 0..ROUNDS {
        let (romeo, juliet) = enter(party, round);
        let mut life = Life { party, romeo, juliet, round, told: &mut told };
        let mut order: Vec<&Kept> = kept.iter().collect();
        for last in (1..order.len()).rev() {
            order.swap(last, dice.below(last + 1));
        }
        order.iter().for_each(|kept| (kept.make)(&mut life));
        party.driver.process.kill().unwrap_or_else(|why| panic!("{why}"));
        check_database(&data_of(party));
        party.driver.restart().unwrap_or_else(|why| panic!("{why}"));
        let (romeo, juliet) = enter(party, round + 1);
        let mut life = Life { party, romeo, juliet, round, told: &mut told };
        kept.iter().for_each(|kept| (kept.check)(&mut life));
        if round + 1 < ROUNDS {
            party.driver.process.kill().unwrap_or_else(|why| panic!("{why}"));
            party.driver.restart().unwrap_or_else(|why| panic!("{why}"));
        }
    }
}

impl Life<'_> {
    /// An iq, up to its result; with an empty `to` it is for the sender's own account.
    #[track_caller]
    pub fn ask(&mut self, who: Who, kind: &str, to: &str, payload: &str) -> Element {
        let to = if to.is_empty() { String::new() } else { format!(" to='{to}'") };
        self.party.send(who, &format!("<iq type='{kind}' id='asked'{to}>{payload}</iq>"));
        let answer = self.party.receive(who, "<iq id='asked'/>");
        assert_eq!(answer.attr("type"), Some("result"), "{payload}: {}", to_text(&answer));
        answer
    }

    /// Remembers something of this round.
    pub fn note(&mut self, what: &str, value: String) {
        self.told.insert(format!("{what} {}", self.round), value);
    }

    /// What was noted in this round and in those before it.
    pub fn noted(&self, what: &str) -> Vec<String> {
        let rounds = 0..=self.round;
        rounds.map(|round| self.told[&format!("{what} {round}")].clone()).collect()
    }

    /// What was noted in this round.
    pub fn noted_now(&self, what: &str) -> String {
        self.told[&format!("{what} {}", self.round)].clone()
    }
}
