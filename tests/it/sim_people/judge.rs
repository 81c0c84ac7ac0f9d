//! Compares what the clients have been told with what they must have been.

use std::collections::BTreeMap;

use super::Sim;
use super::blocks::{BlockList, covers};
use super::truth::Truth;

/// What was true before an act.
pub struct Before {
    blocks: Vec<BlockList>,
    shown: BTreeMap<(usize, usize), String>,
}

impl Before {
    pub fn new(truth: &Truth) -> Self {
        let blocks = truth.accounts.iter().map(|account| account.blocks.clone()).collect();
        Self { blocks, shown: truth.shown.clone() }
    }

    fn were_apart(&self, truth: &Truth, one: usize, other: usize) -> bool {
        let has = |who: usize, whom: usize| {
            let account = truth.seats[who].account;
            covers(&self.blocks[account], account, &truth.seats[whom].jid())
        };
        has(one, other) || has(other, one)
    }
}

impl Sim {
    /// After an act that has come to its end.
    pub(super) fn judge(&mut self, before: &Before) -> Result<(), String> {
        for who in 0..self.people.len() {
            if self.people[who].is_open() && !self.is_shut(who) {
                self.judge_one(who, before)
                    .map_err(|why| format!("{} {why}", self.truth.seats[who].jid()))?;
            }
        }
        Ok(())
    }

    fn judge_one(&mut self, who: usize, before: &Before) -> Result<(), String> {
        self.judge_stanzas(who)?;
        self.judge_glimpses(who, before)?;
        self.judge_sights(who)?;
        self.people[who].is_lagging = false;
        let roster = self.truth.roster(self.truth.seats[who].account);
        match &self.people[who].roster {
            Some(known) if *known != roster => {
                Err(format!("has the roster {known:?}, which is {roster:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Each of those that were due, and nothing else.
    fn judge_stanzas(&mut self, who: usize) -> Result<(), String> {
        let mut got = std::mem::take(&mut self.people[who].got);
        let seat = &mut self.truth.seats[who];
        let mut due = std::mem::take(&mut seat.due);
        if self.people[who].is_mute {
            seat.unacknowledged.extend(got.iter().cloned());
        }
        for id in std::mem::take(&mut seat.repeatable) {
            let label = format!("late {id}");
            let count = |labels: &[String]| labels.iter().filter(|one| **one == label).count();
            if count(&got) == count(&due) + 1 {
                let at = got.iter().position(|one| *one == label).expect("it was counted");
                got.remove(at);
            }
        }
        let late = |labels: &[String]| -> Vec<String> {
            labels.iter().filter(|label| label.starts_with("late ")).cloned().collect()
        };
        let (got_late, due_late) = (late(&got), late(&due));
        got.sort_unstable();
        due.sort_unstable();
        // What comes twice has come from two places.
        let is_once = due.windows(2).all(|pair| pair[0] != pair[1]);
        if got == due && is_once && got_late != due_late {
            return Err(format!("got in this order {got_late:?}, and not {due_late:?}"));
        }
        if got == due { Ok(()) } else { Err(format!("got {got:?}, and was to get {due:?}")) }
    }

    /// Nobody sees, not even for a moment, whom it may not see.
    fn judge_glimpses(&mut self, who: usize, before: &Before) -> Result<(), String> {
        let is_lagging = self.people[who].is_lagging;
        for (from, is_available) in std::mem::take(&mut self.people[who].heard) {
            let seen = self.truth.seats.iter().position(|seat| seat.jid() == from);
            let Some(seen) = seen else { return Err(format!("hears presence of {from}")) };
            if is_lagging || !is_available {
                continue;
            }
            if before.were_apart(&self.truth, who, seen) && self.truth.are_apart(who, seen) {
                return Err(format!("sees {from}, and one has blocked the other"));
            }
            let pair = (who, seen);
            if !before.shown.contains_key(&pair) && !self.truth.shown.contains_key(&pair) {
                return Err(format!("sees {from}, and may not"));
            }
        }
        Ok(())
    }

    /// What it was told last of each is what is true.
    fn judge_sights(&mut self, who: usize) -> Result<(), String> {
        if self.truth.seats[who].priority.is_none() {
            return Ok(());
        }
        let account = self.truth.seats[who].account;
        for seen in 0..self.truth.seats.len() {
            let jid = self.truth.seats[seen].jid();
            if self.truth.has_blocked_seat(account, seen) {
                self.people[who].seen.remove(&jid);
                continue;
            }
            let (got, true_one) =
                (self.people[who].seen.get(&jid), self.truth.shown.get(&(who, seen)));
            if got != true_one {
                return Err(format!("sees {got:?} of {jid}, which shows it {true_one:?}"));
            }
        }
        Ok(())
    }

    /// After a restart: all that is stored is what it must be.
    pub(super) fn look_into_storage(&mut self) -> Result<(), String> {
        for account in 0..self.truth.accounts.len() {
            let seat = self.truth.seats.iter().position(|seat| seat.account == account);
            let who = seat.expect("every account has a seat");
            self.connect(who)?;
            self.ask_for_roster(who);
            self.ask_for_blocks(who);
            self.read_items(who);
            self.announce_with(who, 1);
            self.settle()?;
            self.read_archive(who, None, 20, false)?;
            self.judge(&Before::new(&self.truth))?;
        }
        Ok(())
    }
}
