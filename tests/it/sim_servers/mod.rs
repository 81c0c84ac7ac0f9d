//! The simulation of servers (DESIGN.md §10): two or three whole servers in this process which
//! federate, on one clock, over a network from a seed (net.rs). Their people write to each other,
//! sit in one room, ask and answer, while connections between the servers are refused, never
//! answered, or cut anywhere. A seed that fails is printed; the variables are those of `sim`.
//!
//! - Where stanzas are acknowledged and streams resumed (XEP-0198), each message arrives once or
//!   comes back once, and between two people none overtakes another. Where they are not, that holds
//!   but for what was on its way when a connection broke, which may be gone.
//! - All who sit in a room hear the same in the same order.
//! - When all have gone, nothing is left in any server.
//! - A server that is told to stop says so to everybody who can be reached, once, in time
//!   (stops.rs).

mod certificates;
mod ends;
mod must_happen;
mod net;
mod people;
mod roads;
mod stops;
mod world;

use std::collections::BTreeSet;

use tercet::server::Residue;

use crate::seeds::{self, Tally};
use crate::setup::Seeded;

use must_happen::MUST_HAPPEN;
use world::{Manners, ROOM, World};

/// Seeds that `cargo test` plays.
const SEEDS_COUNT: u64 = 40;
const ACTS_PER_SEED: usize = 150;
const AN_HOUR_MS: u64 = 3_600_000;

/// A message from one person to another.
struct Sent {
    from: usize,
    to: usize,
    number: u64,
}

struct Sim {
    world: World,
    rng: Seeded,
    sent: Vec<Sent>,
    /// Requests, and who has asked.
    asked: Vec<(usize, u64)>,
    count: u64,
    /// Connections cannot always be made.
    has_failures: bool,
}

impl Sim {
    fn new(seed: u64) -> Result<Self, String> {
        let mut rng = Seeded(seed ^ 0x5E2F_E250_0000_0000);
        let manners = Manners::of(&mut rng);
        let hosts_count = if rng.one_in(3) { 3 } else { 2 };
        let people_count = 2 + rng.below(2);
        let world = World::new(rng.next(), manners, hosts_count, people_count)?;
        Ok(Self { world, rng, sent: Vec::new(), asked: Vec::new(), count: 0, has_failures: false })
    }

    fn play(&mut self) -> Result<(), String> {
        self.world.begin()?;
        self.world.net.weather.failures = [0, 4, 10][self.rng.below(3)];
        self.has_failures = self.world.net.weather.failures > 0;
        for _ in 0..ACTS_PER_SEED {
            self.act()?;
            for _ in 0..self.rng.below(4) {
                self.world.turn()?;
            }
            let pause_ms = [0, 5, 50, 500, 5_000][self.rng.below(5)];
            self.world.pass_time(pause_ms)?;
        }
        if self.rng.one_in(4) {
            return self.stop_amid();
        }
        self.world.net.weather.failures = 0;
        self.world.pass_time(AN_HOUR_MS)?;
        self.check_messages(true)?;
        self.check_room()?;
        self.leave_nothing()
    }

    fn act(&mut self) -> Result<(), String> {
        let who = self.rng.below(self.world.people.len());
        match self.rng.below(40) {
            0..18 => self.write(who),
            18..20 => {
                for _ in 0..self.rng.below(40) {
                    self.write(who);
                }
                self.world.net.count("bursts");
            }
            20..27 => {
                self.count += 1;
                let body = format!("<body>m{}</body>", self.count);
                if self.world.people[who].is_seated {
                    self.world.net.count("messages in the room");
                    self.world.send(
                        who,
                        &format!("<message to='{ROOM}' type='groupchat'>{body}</message>"),
                    );
                } else {
                    self.world.net.count("joins again");
                    self.world.join(who);
                }
            }
            27..30 => self.ask(who),
            30 => {
                let to = self.rng.below(self.world.people.len());
                let to = self.world.people[to].jid.clone();
                self.world.net.count("directed presences");
                self.world.send(who, &format!("<presence to='{to}'/>"));
            }
            31 => {
                self.count += 1;
                let id = format!("m{}", self.count);
                let body = format!("<body>{id}</body>");
                self.world.net.count("messages to nowhere");
                self.sent.push(Sent { from: who, to: usize::MAX, number: self.count });
                let to = "nobody@nowhere.example";
                self.world.send(who, &format!("<message to='{to}' id='{id}'>{body}</message>"));
            }
            32..38 => {
                let wires = self.world.net.wires();
                if !wires.is_empty() {
                    self.world.net.cut_wire(wires[self.rng.below(wires.len())]);
                }
            }
            38 => self.world.pass_time(30_000)?,
            _ if self.rng.one_in(4) => {
                self.world.net.count("long silences");
                self.world.pass_time(700_000)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn write(&mut self, who: usize) {
        let to = self.rng.below(self.world.people.len());
        self.count += 1;
        let number = self.count;
        let jid = self.world.people[to].jid.clone();
        self.sent.push(Sent { from: who, to, number });
        let body = format!("<body>m{number}</body>");
        let text = format!("<message to='{jid}' id='m{number}' type='chat'>{body}</message>");
        self.world.net.count("messages");
        self.world.send(who, &text);
    }

    fn ask(&mut self, who: usize) {
        let to = self.rng.below(self.world.people.len());
        self.count += 1;
        let jid = self.world.people[to].jid.clone();
        let text = format!(
            "<iq to='{jid}' id='i{}' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
            self.count
        );
        self.asked.push((who, self.count));
        self.world.net.count("requests");
        self.world.send(who, &text);
    }

    /// `is_over`: all that can arrive has.
    fn check_messages(&mut self, is_over: bool) -> Result<(), String> {
        let (people, ends) = (&self.world.people, &self.world.net.ends);
        let is_counted = self.world.manners == Manners::Managed;
        let may_be_twice = self.world.manners == Manners::Own;
        // A stream that cannot go on leaves it open what has arrived: that comes back.
        let may_not_go_on = is_counted && self.has_failures;
        let mut tally = Vec::new();
        for Sent { from, to, number } in &self.sent {
            let came = people.get(*to).map_or(0, |to| {
                let got = to.got.get(&people[*from].jid);
                got.map_or(0, |got| got.iter().filter(|n| *n == number).count())
            });
            let back = people[*from].errors.iter().filter(|n| *n == number).count();
            tally.push(if back > 0 { "messages back" } else { "messages arrived" });
            let id = format!("'m{number}'");
            let may_be_gone = !is_counted && ends.has_lost(&id);
            match (came, back) {
                (1, 0) | (0, 1) => {}
                (0, 0) if !is_over => {}
                (1, 1) if may_not_go_on && ends.has_risked(&id) => {
                    tally.push("messages arrived and back");
                }
                (2.., 0) | (1.., 1) if may_be_twice && ends.has_risked(&id) => {
                    tally.push("messages sent once more");
                }
                (0, 0) if may_be_gone => tally.push("messages lost on their way"),
                _ => {
                    let names = (&people[*from].jid, people.get(*to).map(|to| &to.jid));
                    return Err(format!(
                        "m{number} of {names:?} arrived {came} times and came back {back} times"
                    ));
                }
            }
        }
        for person in people {
            for (from, got) in &person.got {
                let got = if may_be_twice { first_ones(got) } else { got.clone() };
                if let Some(pair) = got.windows(2).find(|pair| pair[0] >= pair[1]) {
                    return Err(format!("{} has {pair:?} of {from} in this order", person.jid));
                }
            }
        }
        for (who, number) in &self.asked {
            let answers = people[*who].answers.iter().filter(|n| *n == number).count();
            let is_open = may_not_go_on && ends.has_risked(&format!("'i{number}'"));
            if answers > 1 + usize::from(is_open) && !may_be_twice {
                return Err(format!("i{number} is answered {answers} times"));
            }
            if answers == 1 {
                tally.push("requests answered");
            }
        }
        tally.into_iter().for_each(|what| self.world.net.count(what));
        Ok(())
    }

    /// The first one is where the room is, and never leaves it.
    fn check_room(&mut self) -> Result<(), String> {
        let (first, others) = self.world.people.split_first().ok_or("nobody is there")?;
        for (at, other) in others.iter().enumerate() {
            let mut rest = first.heard.iter();
            let is_own = self.world.manners == Manners::Own;
            let heard = if is_own { first_ones(&other.heard) } else { other.heard.clone() };
            if let Some(number) = heard.iter().find(|number| !rest.any(|n| n == *number)) {
                return Err(format!("m{number} is out of order in the room for {}", other.jid));
            }
            let has_all = other.heard.len() == first.heard.len();
            // Whom a stanza could not reach may have lost its seat, and not know it yet.
            let is_constant = !first.missed.contains(&format!("{ROOM}/n{}", at + 1));
            if self.world.manners == Manners::Managed && is_constant && !has_all {
                return Err(format!("{} has not heard all in the room", other.jid));
            }
        }
        self.world.net.count("rooms in order");
        Ok(())
    }

    /// All go, and time passes.
    fn leave_nothing(&mut self) -> Result<(), String> {
        self.world.people.iter_mut().for_each(people::Person::close);
        self.world.pass_time(AN_HOUR_MS)?;
        for host in &self.world.net.hosts {
            let residue = host.server.residue();
            if residue != Residue::default() {
                return Err(format!("left over in {}: {residue:?}", host.domain));
            }
        }
        match self.world.net.ends.all().count() {
            0 => Ok(()),
            count => Err(format!("{count} ends of connections are left over")),
        }
    }

    /// TERM, in the middle of anything.
    fn stop_amid(&mut self) -> Result<(), String> {
        let host = self.rng.below(self.world.net.hosts.len());
        let code = self.world.stop(host)?;
        self.world.net.count("stops");
        if code == 0 && self.world.manners == Manners::Managed {
            self.world.net.count("stops without loss");
            self.check_farewells(host)?;
        }
        self.check_messages(false)?;
        self.check_room()?;
        if self.world.people.iter().any(|person| person.farewells_count > 1) {
            return Err("more than one farewell of a room".to_owned());
        }
        Ok(())
    }
}

impl Sim {
    /// A server that says it has lost nothing has told all others that its people are gone, and
    /// those who sat in its room that they do not any more.
    fn check_farewells(&self, stopped: usize) -> Result<(), String> {
        let people = &self.world.people;
        for (at, person) in people.iter().enumerate().filter(|(_, p)| p.host != stopped) {
            let gone = people.iter().filter(|other| other.host == stopped);
            if let Some(other) = gone.clone().find(|o| person.seen.get(&o.jid) != Some(&false)) {
                return Err(format!("{} does not know that {} is gone", person.jid, other.jid));
            }
            let was_seated = !people[0].missed.contains(&format!("{ROOM}/n{at}"));
            if stopped == 0 && was_seated && person.farewells_count != 1 {
                return Err(format!("{} has no farewell of the room", person.jid));
            }
        }
        Ok(())
    }
}

/// Without what has come before.
fn first_ones(numbers: &[u64]) -> Vec<u64> {
    let mut known = BTreeSet::new();
    numbers.iter().copied().filter(|number| known.insert(*number)).collect()
}

/// Plays a seed; returns how often what happened.
fn play(seed: u64) -> Tally {
    let played = Sim::new(seed).and_then(|mut sim| {
        let played = sim.play();
        played.map(|()| sim.world.net.tally)
    });
    match played {
        Ok(tally) => tally,
        Err(why) => panic!("TERCET_SIM_SEED={seed}: {why}"),
    }
}

#[test]
fn simulation_of_servers() {
    let seeds = match seeds::chosen(SEEDS_COUNT) {
        Ok(seeds) => seeds,
        Err(seed) => {
            play(seed);
            return;
        }
    };
    let total = seeds::play_all(seeds, play, seeds::add);
    println!("all: {total:?}");
    for what in MUST_HAPPEN {
        assert!(total.contains_key(what), "no {what}: nothing is proved about that");
    }
}
