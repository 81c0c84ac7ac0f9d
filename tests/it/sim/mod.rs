//! The simulation (DESIGN.md §10): a whole server, its network, its clock and the failures of its
//! storage from one seed. A crowd does at random what clients do, and what they should not
//! (acts.rs, deeds.rs). Oracles look at every stanza that the server sends (oracle.rs, order.rs),
//! at what it answers in quiet moments and after a restart (audit.rs, ledger.rs), and at who may
//! do what (rules.rs). A seed that fails is printed: `TERCET_SIM_SEED=n` plays it again,
//! `TERCET_SIM_SEEDS=n` plays so many, `TERCET_SIM_FIRST=n` begins there, and with
//! `TERCET_SIM_TRACE` every stanza is printed.

mod activity;
mod acts;
mod addresses;
mod approvals;
mod archive;
mod aside;
mod audit;
mod deeds;
mod domains;
mod graves;
mod heirs;
mod identity;
mod ledger;
mod links;
mod lost;
mod must_happen;
mod novelties;
mod oracle;
mod order;
mod paces;
mod person;
mod privileges;
mod reign;
mod requests;
mod retractions;
mod rules;
mod table;
mod versions;
mod voices;

use std::collections::{BTreeMap, BTreeSet};

use tercet::cx::Now;
use tercet::server::Residue;
use tercet::storage::Fault;
use tercet::xml::Element;
use tercet::xmpp::ns;

use crate::driver::Link;
use crate::inproc::{Pace, World};
use crate::seeds::{self, Tally};
use crate::setup::{Folder, Seeded, Setup};

use ledger::{Cell, Key, Ledger};
use must_happen::{MUST_HAPPEN, MUST_HAPPEN_WITH};
use oracle::Oracle;
use person::Person;

/// Rooms that the crowd meets in; the first is non-anonymous.
pub const ROOMS: [&str; 3] =
    ["r0@conference.localhost", "r1@conference.localhost", "r2@conference.localhost"];
/// Who owns the rooms, reads at once and never leaves: what it sees is the order of a room.
const OBSERVER: usize = 0;
/// The account of an admin of the whole server (reign.rs), and one that is removed again and again
/// (heirs.rs). Their clients come for what is told there, and belong to no crowd.
pub const ADMIN_ACCOUNT: usize = 20;
pub const MORTAL_ACCOUNT: usize = 21;
/// Seeds that `cargo test` plays.
const SEEDS_COUNT: u64 = 100;
const ACTS_PER_SEED: usize = 600;
const AN_HOUR_MS: u64 = 3_600_000;
/// Turns without rest after which a server is said to spin.
const TURNS_MAX: usize = 1_000_000;

/// How the network behaves.
pub struct Weather {
    rng: Seeded,
    /// Reads come in pieces.
    is_chunked: bool,
    /// Writes go out in pieces.
    is_partial: bool,
    /// Links whose client does not read.
    slow: Vec<Link>,
    /// The observer's: it gets at once what was committed.
    prompt: Option<Link>,
}

impl Pace for Weather {
    fn read(&mut self, _: Link, waiting: usize) -> usize {
        if self.is_chunked { 1 + self.rng.below(waiting.min(300)) } else { waiting }
    }

    fn write(&mut self, link: Link, waiting: usize) -> usize {
        if self.slow.contains(&link) {
            0
        } else if self.is_partial && self.prompt != Some(link) && waiting > 0 && self.rng.one_in(3)
        {
            1 + self.rng.below(waiting)
        } else {
            waiting
        }
    }
}

/// How a simulation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// TERM, in the middle.
    Shutdown,
    /// The process is gone, in the middle.
    Crash,
    /// Everybody goes, and time passes.
    Quiet,
}

pub struct Sim {
    setup: Setup,
    world: World<Weather>,
    rng: Seeded,
    /// The crowd, and after it those who come for one purpose.
    people: Vec<Person>,
    crowd_count: usize,
    oracle: Oracle,
    ledger: Ledger,
    /// Answers to the questions of audit.rs.
    answers: BTreeMap<String, Element>,
    /// What rooms advertise, what their service does, and what can be configured.
    features: BTreeSet<String>,
    service_features: BTreeSet<String>,
    fields: BTreeSet<String>,
    /// Accounts by room and nick (folded) that they have reserved, as far as is known.
    reserved: BTreeMap<(String, String), String>,
    /// Rooms that are gone for good.
    graves: Vec<String>,
    /// Rooms to which a removed account was something, and what is left of that.
    bequests: Vec<(String, &'static str)>,
    /// Numbers bodies and ids.
    count: usize,
    is_faulty: bool,
    /// `TERCET_SIM_TRACE`: every stanza is printed.
    is_traced: bool,
}

impl Sim {
    fn new(seed: u64) -> Result<Self, String> {
        let mut rng = Seeded(seed);
        let accounts_count = 3 + rng.below(10);
        let people: Vec<Person> = (0..1 + 4 + rng.below(20))
            .map(|index| {
                Person::new(if index == OBSERVER { 0 } else { 1 + index % accounts_count }, index)
            })
            .collect();
        let weather = Weather {
            rng: Seeded(rng.next()),
            is_chunked: rng.one_in(2),
            is_partial: true,
            slow: Vec::new(),
            prompt: None,
        };
        let is_faulty = rng.one_in(3);
        let guests = [ADMIN_ACCOUNT, MORTAL_ACCOUNT].map(|number| Person::new(number, number));
        Self::with(rng, people, guests.into(), weather, is_faulty)
    }

    /// So many clients, each with an account of its own, and good weather.
    fn calm(people_count: usize, is_faulty: bool) -> Result<Self, String> {
        let people = (0..people_count).map(|index| Person::new(index, index)).collect();
        let (rng, slow) = (Seeded(1), Vec::new());
        let weather = Weather { rng, is_chunked: false, is_partial: false, slow, prompt: None };
        Self::with(Seeded(0), people, Vec::new(), weather, is_faulty)
    }

    fn with(
        rng: Seeded,
        mut people: Vec<Person>,
        guests: Vec<Person>,
        weather: Weather,
        is_faulty: bool,
    ) -> Result<Self, String> {
        let crowd_count = people.len();
        people.extend(guests);
        let numbers: BTreeSet<usize> = people.iter().map(|p| p.account_number).collect();
        let accounts = numbers.iter().map(|n| (person::account(*n), "secret".to_owned()));
        // Small enough that slow readers are cut now and then.
        let limits = "limits.outbox_bytes = 90000\nlimits.stanza_bytes = 20000";
        let admin = person::account(ADMIN_ACCOUNT);
        let rest = format!("registration.in_band = 'anyone'\nadmin.jids = ['{admin}']");
        let config = format!("{limits}\n{rest}");
        let setup = Setup::new(&config, accounts.collect(), Some(Folder::new()?))?;
        let now = Now { mono_ms: 1_000, unix_ms: 1_767_225_600_000 };
        let world = World::new(setup.server(now)?, now, weather);
        let oracle = Oracle::new(is_faulty);
        let mut ledger = Ledger::default();
        for number in numbers {
            ledger.cells.insert(Key::Password(number), Cell::new("secret"));
        }
        let is_traced = std::env::var_os("TERCET_SIM_TRACE").is_some();
        Ok(Self {
            setup,
            world,
            rng,
            people,
            crowd_count,
            oracle,
            ledger,
            answers: BTreeMap::new(),
            features: BTreeSet::new(),
            service_features: BTreeSet::new(),
            fields: BTreeSet::new(),
            reserved: BTreeMap::new(),
            graves: Vec::new(),
            bequests: Vec::new(),
            count: 0,
            is_faulty,
            is_traced,
        })
    }

    /// Plays it. `Err` says which oracle was hurt.
    fn play(&mut self) -> Result<(), String> {
        self.begin()?;
        let (end, acts) = match self.rng.below(5) {
            0 => (End::Shutdown, self.rng.below(ACTS_PER_SEED)),
            1..3 => (End::Crash, self.rng.below(ACTS_PER_SEED)),
            _ => (End::Quiet, ACTS_PER_SEED),
        };
        for _ in 0..acts {
            let observer_is_away = self.people[OBSERVER].link.is_none();
            let is_missed = observer_is_away && self.rng.one_in(2);
            let who = if is_missed { OBSERVER } else { self.rng.below(self.crowd_count) };
            self.act(who)?;
            if self.rng.one_in(2) {
                let turns = self.rng.below(6);
                self.run(turns)?;
            }
            if self.is_faulty && self.rng.one_in(60) {
                self.inject_fault();
            }
            if self.rng.one_in(50) {
                self.pass_time(20_000)?;
            }
            if self.rng.one_in(100) {
                self.audit()?;
            }
        }
        match end {
            End::Shutdown => self.shut_down()?,
            End::Crash => {
                self.oracle.count("crashes");
                self.oracle.check_order(&self.people)?;
            }
            End::Quiet => {
                self.world.pace.slow.clear();
                self.audit()?;
            }
        }
        if end == End::Quiet {
            self.leave_nothing()?;
        }
        self.check_durable()
    }

    /// The observer makes the rooms.
    fn begin(&mut self) -> Result<(), String> {
        self.connect(OBSERVER);
        self.settle()?;
        for room in 0..ROOMS.len() {
            self.make_room(room);
        }
        self.settle()?;
        self.discover()?;
        if self.has_all(Some(ns::MUC_AFFILIATIONS)) {
            // In again, to get the lists.
            (0..ROOMS.len()).for_each(|room| self.leave(OBSERVER, room));
            self.settle()?;
            (0..ROOMS.len()).for_each(|room| self.make_room(room));
            self.settle()?;
        }
        // Nobody has been here yet.
        ROOMS.into_iter().for_each(|room| self.ledger.room(room).voices.begin());
        self.audit()?;
        let stays = self.people[OBSERVER].stays.len();
        if stays == ROOMS.len() { Ok(()) } else { Err(format!("only {stays} rooms were made")) }
    }

    /// The server is gone; another begins with what it has stored.
    fn restart(&mut self) -> Result<(), String> {
        (0..self.people.len()).for_each(|who| self.end(who));
        let rng = Seeded(self.rng.next());
        let (is_chunked, is_partial) = (false, false);
        let weather = Weather { rng, is_chunked, is_partial, slow: Vec::new(), prompt: None };
        let now = self.world.now;
        self.world = World::new(self.setup.server(now)?, now, weather);
        self.oracle.is_ending = false;
        Ok(())
    }

    /// All connections break: nothing may be left.
    fn leave_nothing(&mut self) -> Result<(), String> {
        self.world.cut_all();
        self.settle()?;
        (0..self.people.len()).for_each(|who| self.end(who));
        let residue = self.world.server.residue();
        let pipes = self.world.pipes_count();
        if residue != Residue::default() || pipes > 0 {
            return Err(format!("left over: {residue:?}, {pipes} pipes"));
        }
        // Longer than any deadline; a storage that does not work is tried for ever.
        for _ in 0..10 {
            self.pass_time(AN_HOUR_MS)?;
        }
        match self.world.server.timers_count() {
            0 => Ok(()),
            count => Err(format!("{count} timers are left over")),
        }
    }

    /// TERM, in whatever state everything is.
    fn shut_down(&mut self) -> Result<(), String> {
        self.world.server.handle_shutdown(self.world.now, "TERM");
        self.oracle.is_ending = true;
        let began_ms = self.world.now.mono_ms;
        while self.world.exit.is_none() {
            self.settle()?;
            let Some(due) = self.world.next_deadline() else { break };
            self.world.advance_to(due);
        }
        let Some(code) = self.world.exit else { return Err("the server does not exit".into()) };
        let took_ms = self.world.now.mono_ms - began_ms;
        if took_ms > 15_000 {
            return Err(format!("the shutdown took {took_ms} ms"));
        }
        if code != 0 && self.world.pace.slow.is_empty() && !self.is_faulty {
            return Err(format!("exit code {code}: {}", self.world.server.summary()));
        }
        self.oracle.check_shutdown(&self.people, &self.world.pace.slow)
    }

    fn inject_fault(&mut self) {
        let n = 1 + self.rng.below(4) as u32;
        let fault = match self.rng.below(4) {
            0 => Fault::FailWrite(n),
            1 => Fault::LoseWrite(n),
            2 => Fault::LoseCommit(n),
            _ => Fault::FailProbes(n),
        };
        if self.is_traced {
            println!("!! {fault:?}");
        }
        self.world.server.storage().inject(fault);
    }

    /// So many turns of the server.
    fn run(&mut self, turns: usize) -> Result<(), String> {
        for _ in 0..turns {
            self.world.turn();
            self.take_events()?;
        }
        Ok(())
    }

    /// Turns until nothing is left to do at this moment.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..TURNS_MAX {
            let worked = self.world.turn();
            self.take_events()?;
            if self.world.exit.is_some() || !worked {
                return Ok(());
            }
        }
        Err("the server spins".to_owned())
    }

    fn pass_time(&mut self, ms: u64) -> Result<(), String> {
        let end_ms = self.world.now.mono_ms + ms;
        loop {
            self.settle()?;
            match self.world.next_deadline() {
                Some(due) if due <= end_ms => self.world.advance_to(due),
                _ => break,
            }
        }
        self.world.advance_to(end_ms);
        Ok(())
    }
}

/// Plays a seed; returns how often what happened, and what the server can do.
fn play(seed: u64) -> (Tally, BTreeSet<String>) {
    let played = Sim::new(seed).and_then(|mut sim| {
        let played = sim.play();
        println!("seed {seed}: {}", sim.oracle.summary(&sim.people));
        let abilities = [&sim.features, &sim.service_features, &sim.fields];
        let abilities = abilities.into_iter().flatten().cloned().collect();
        played.map(|()| (sim.oracle.tally, abilities))
    });
    match played {
        Ok(played) => played,
        Err(why) => panic!("TERCET_SIM_SEED={seed}: {why}"),
    }
}

#[test]
fn simulation() {
    let seeds = match seeds::chosen(SEEDS_COUNT) {
        Ok(seeds) => seeds,
        Err(seed) => {
            play(seed);
            return;
        }
    };
    let (total, abilities) = seeds::play_all(seeds, play, |all: &mut (_, BTreeSet<_>), one| {
        seeds::add(&mut all.0, one.0);
        all.1.extend(one.1);
    });
    println!("all: {total:?}");
    for what in MUST_HAPPEN {
        assert!(total.contains_key(what), "no {what}: nothing is proved about that");
    }
    for (ability, what) in MUST_HAPPEN_WITH {
        let is_proved = !abilities.contains(ability) || total.contains_key(what);
        assert!(is_proved, "{ability} is there, but no {what}: nothing is proved about that");
    }
}
