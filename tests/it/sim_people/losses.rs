//! What may be lost: a commit (XEP-0160 and all that is stored), and the whole server.
//!
//! A stanza whose commit is lost was never said: nobody may have heard of it, nothing of it may be
//! stored, and its sender, who would take it for said, loses its stream. So may whoever would have
//! been told. After a crash everybody is gone, and what was stored is all that there is.

use tercet::storage::Fault;

use super::Sim;
use super::judge::Before;
use super::person::Person;
use super::truth::Truth;

/// Longer than it takes the server to find out that storage works again.
const STORAGE_PROBE_MS: u64 = 6_000;

/// A commit that is to be lost.
pub struct Doom {
    /// What is true as long as nothing more is stored.
    before: Truth,
    /// Who speaks.
    who: usize,
    /// Whose stream the server has ended.
    pub ended: Vec<usize>,
}

impl Sim {
    /// Whoever is away comes back, and says what it has got: then all can be told what is lost.
    fn gather(&mut self) -> Result<(), String> {
        self.world.pace.shut.clear();
        for who in 0..self.people.len() {
            if self.truth.seats[who].is_bound && !self.people[who].is_open() {
                self.resume(who)?;
            }
            // Which of several sessions of somebody would be the last to end, nobody can tell.
            let account = self.truth.seats[who].account;
            if self.people[who].is_mute && self.truth.bound(account).len() > 1 {
                self.say_all_handled(who);
            }
            self.quiet()?;
        }
        Ok(())
    }

    /// The commit of the next stanza that writes is lost, whoever says it.
    pub(super) fn lose_a_commit(&mut self) -> Result<(), String> {
        self.gather()?;
        self.world.server.storage().inject(Fault::LoseCommit(1));
        // Most write something; the fault waits for one that does.
        loop {
            let who = self.rng.below(self.people.len());
            if !self.people[who].is_open() {
                self.connect(who)?;
                self.quiet()?;
                continue;
            }
            let before = Before::new(&self.truth);
            self.doom = Some(Doom { before: self.truth.clone(), who, ended: Vec::new() });
            self.is_terse = true;
            self.say_something(who);
            self.is_terse = false;
            self.settle()?;
            let doom = self.doom.take().expect("it was put there");
            if self.world.server.storage().is_read_only() {
                // Or it was refused: then a commit without anything in it was lost.
                if self.truth.stored() != doom.before.stored() || !doom.ended.is_empty() {
                    self.take_back(doom)?;
                    self.settle()?;
                }
                self.truth.is_storage_lost = true;
                self.judge(&before)?;
                break;
            }
            if !doom.ended.is_empty() {
                return Err("a stream has ended, and nothing was lost".to_owned());
            }
            self.judge(&before)?;
        }
        self.pass_time(STORAGE_PROBE_MS)?;
        self.truth.is_storage_lost = false;
        if self.world.server.storage().is_read_only() {
            return Err("storage does not come back".to_owned());
        }
        Ok(())
    }

    /// One stanza that perhaps writes.
    fn say_something(&mut self, who: usize) {
        match self.rng.below(16) {
            0..5 => self.send_message(who),
            5..7 => self.announce(who),
            7..11 => self.say_word(who),
            11..13 => self.change_roster(who),
            13 => self.change_blocks(who),
            14 => self.prefer(who),
            _ => self.publish(who),
        }
    }

    /// It was never said.
    fn take_back(&mut self, doom: Doom) -> Result<(), String> {
        let tally = std::mem::take(&mut self.truth.tally);
        self.truth = doom.before;
        (self.truth.tally, self.truth.is_storage_lost) = (tally, true);
        self.truth.count("commits lost");
        if !doom.ended.contains(&doom.who) {
            let jid = self.truth.seats[doom.who].jid();
            return Err(format!("what {jid} said is lost, and it does not know"));
        }
        for &who in &doom.ended {
            self.truth.count("streams ended by a lost commit");
            self.people[who] = Person::default();
        }
        self.truth.unbind_some(&doom.ended);
        Ok(())
    }

    /// The process is gone in a quiet moment, and another begins with what is stored.
    pub(super) fn crash(&mut self) -> Result<(), String> {
        self.quiet()?;
        self.truth.crash();
        self.truth.count("crashes");
        self.begin_again()
    }
}
