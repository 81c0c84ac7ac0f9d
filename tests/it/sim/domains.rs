//! Affiliations of whole domains (XEP-0045 §9.2, §9.5): an account is what its own entry says, and
//! without one what the entry of its domain says. Whoever loses the right to be there by either is
//! out at once; of others nobody hears anything.

use std::collections::BTreeMap;

use super::aside::{admin_query, has_status, is_unavailable, item_of, options};
use super::deeds::{MEMBERS_ONLY, PERSISTENT};
use super::{OBSERVER, Sim};

const DOMAIN: &str = "localhost";

/// A room, as its owner has ordered it.
struct Country {
    jid: String,
    /// The lists.
    entries: BTreeMap<String, &'static str>,
    is_closed: bool,
    /// Who is in, and with what affiliation it was seen last.
    present: BTreeMap<usize, &'static str>,
}

impl Country {
    fn affiliation(&self, account: &str) -> &'static str {
        let own = self.entries.get(account);
        own.or_else(|| self.entries.get(DOMAIN)).copied().unwrap_or("none")
    }

    /// What comes of it when somebody would enter.
    fn outcome(&self, account: &str) -> &'static str {
        match self.affiliation(account) {
            "outcast" => "forbidden",                            // §7.2.7
            "none" if self.is_closed => "registration-required", // §7.2.6
            _ => "result",
        }
    }

    fn seat(&self, who: usize) -> String {
        format!("{}/N{who}", self.jid)
    }
}

impl Sim {
    /// The observer makes a room and orders it by domains and accounts; others come and go.
    pub(super) fn rule_by_domains(&mut self) -> Result<(), String> {
        let people = self.choose(3);
        if people.is_empty() {
            return Ok(());
        }
        let jid = format!("land{}@conference.localhost", self.next_number());
        let is_closed = self.rng.one_in(2);
        let closed = if is_closed { "1" } else { "0" };
        if self.make_aside(OBSERVER, &jid, &[(PERSISTENT, "0"), (MEMBERS_ONLY, closed)])? {
            let entries = BTreeMap::from([(self.people[OBSERVER].account(), "owner")]);
            let mut country =
                Country { jid: jid.clone(), entries, is_closed, present: BTreeMap::new() };
            for step in 0..12 {
                let is_going_on = match step {
                    // Then there is somebody to look at.
                    0 if is_closed => self.order(&mut country, DOMAIN.to_owned(), "member"),
                    _ => self.change_country(&mut country, &people),
                };
                if !is_going_on.map_err(|why| format!("{why}, {:?}", country.entries))? {
                    break;
                }
            }
        }
        self.leave_aside(&jid)
    }

    /// One step. False when storage fails.
    fn change_country(&mut self, country: &mut Country, people: &[usize]) -> Result<bool, String> {
        let who = people[self.rng.below(people.len())];
        self.stop_hearing();
        match self.rng.below(8) {
            0..3 => self.come_into(country, who),
            3 => {
                country.is_closed = !country.is_closed;
                let value = if country.is_closed { "1" } else { "0" };
                let form = options(&[(MEMBERS_ONLY, value)]);
                let is_done = self.is_granted(OBSERVER, "set", &country.jid, &form)?;
                Ok(is_done && self.check_country(country, "322")?)
            }
            4..7 => {
                let name = ["outcast", "none", "member"][self.rng.below(3)];
                self.order(country, DOMAIN.to_owned(), name)
            }
            _ if self.rng.one_in(5) => {
                // §9.2: domains are banned, and WIRE 26: or members, and nothing else.
                let name = ["admin", "owner"][self.rng.below(2)];
                let query = admin_query(&format!("<item jid='{DOMAIN}' affiliation='{name}'/>"));
                let due = ["not-allowed"];
                self.ask_aside(OBSERVER, "set", &country.jid, &query, &due)?;
                self.check_country(country, "none")
            }
            _ => {
                let name = ["outcast", "none", "member", "admin"][self.rng.below(4)];
                self.order(country, self.people[who].account(), name)
            }
        }
    }

    fn order(
        &mut self,
        country: &mut Country,
        target: String,
        name: &'static str,
    ) -> Result<bool, String> {
        let query = admin_query(&format!("<item jid='{target}' affiliation='{name}'/>"));
        if !self.is_granted(OBSERVER, "set", &country.jid, &query)? {
            return Ok(false);
        }
        let is_domain = target == DOMAIN;
        let present = country.present.keys().map(|who| self.people[*who].account());
        let is_own = |account: String| country.entries.contains_key(&account);
        if is_domain && name == "outcast" && present.into_iter().any(is_own) {
            self.oracle.count("own entries before those of domains");
        }
        country.entries.insert(target, name);
        country.entries.retain(|_, name| *name != "none");
        self.check_country(country, "321")
    }

    fn come_into(&mut self, country: &mut Country, who: usize) -> Result<bool, String> {
        let (seat, account) = (country.seat(who), self.people[who].account());
        if country.present.remove(&who).is_some() {
            self.send(who, &format!("<presence type='unavailable' to='{seat}'/>"));
            self.settle()?;
            return Ok(self.people[who].is_ready());
        }
        let due = country.outcome(&account);
        let is_in = self.enter_aside(who, &seat, "", &[due])?;
        if due != "result" {
            return Ok(true);
        }
        if !is_in {
            return Ok(false);
        }
        let affiliation = country.affiliation(&account);
        let seen = self.people[OBSERVER].presences(&seat);
        if !matches!(seen.as_slice(), [one] if item_of(one, "affiliation") == affiliation) {
            return Err(format!("{account} should be {affiliation}: {seen:?}"));
        }
        if country.is_closed && !country.entries.contains_key(&account) {
            self.oracle.count("members by their domain");
        }
        country.present.insert(who, affiliation);
        Ok(true)
    }

    /// Everybody is what the lists say, and heard of it once; `code` is for those who are out
    /// because the room is closed to them (§9.4, §10.2).
    fn check_country(&mut self, country: &mut Country, code: &str) -> Result<bool, String> {
        for (who, before) in country.present.clone() {
            let (seat, account) = (country.seat(who), self.people[who].account());
            let affiliation = country.affiliation(&account);
            let due = country.outcome(&account);
            let is_by_domain = !country.entries.contains_key(&account);
            let code = if affiliation == "outcast" { "301" } else { code };
            for viewer in [OBSERVER, who] {
                if !self.people[viewer].is_ready() {
                    return Ok(false);
                }
                let mut seen = self.people[viewer].presences(&seat);
                if viewer == who {
                    seen.retain(|one| has_status(one, "110"));
                }
                let is_right = match seen.as_slice() {
                    [] => due == "result" && affiliation == before,
                    [one] if due == "result" => {
                        let is_told = !is_unavailable(one) && affiliation != before;
                        is_told && item_of(one, "affiliation") == affiliation
                    }
                    [one] => {
                        let is_told = is_unavailable(one) && has_status(one, code);
                        is_told && item_of(one, "affiliation") == affiliation
                    }
                    _ => false,
                };
                if !is_right {
                    let viewer = self.people[viewer].jid();
                    return Err(format!(
                        "{viewer}: {seat} was {before}, is {affiliation}: {seen:?}"
                    ));
                }
            }
            if due == "result" {
                country.present.insert(who, affiliation);
                continue;
            }
            country.present.remove(&who);
            match (due, is_by_domain) {
                ("forbidden", true) => self.oracle.count("domains banned"),
                (_, true) if before == "member" => self.oracle.count("domains no more members"),
                _ => {}
            }
        }
        let Some(mut listed) = self.entries(OBSERVER, &country.jid)? else { return Ok(false) };
        listed.sort_unstable();
        let known = country.entries.iter().map(|(jid, name)| (jid.clone(), *name));
        if listed != known.collect::<Vec<_>>() {
            return Err(format!("the lists are {listed:?}"));
        }
        Ok(true)
    }
}
