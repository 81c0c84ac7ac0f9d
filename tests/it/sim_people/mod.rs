//! The simulation of people (DESIGN.md §10), beside that of rooms (`sim`): a few accounts with some
//! resources each, which write to each other, come and go, subscribe, block, lose connections and
//! resume sessions, all from one seed. Every act is followed to its end, so that the oracles know
//! what must have come of it: who must receive each message (truth.rs), who is subscribed to whom
//! (bonds.rs), who sees whose presence (sights.rs). They are told what clients do and state the
//! rules once more; nothing of the server is in them. judge.rs compares.
//!
//! A seed that fails is printed; the variables are those of `sim`.

mod acts;
mod archive;
mod blocks;
mod bonds;
mod items;
mod judge;
mod lines;
mod losses;
mod must_happen;
mod person;
mod requests;
mod sights;
mod truth;

use tercet::cx::Now;
use tercet::server::Residue;

use crate::driver::Link;
use crate::inproc::{Pace, World};
use crate::seeds::{self, Tally};
use crate::setup::{Folder, Seeded, Setup};

use judge::Before;
use losses::Doom;
use must_happen::MUST_HAPPEN;
use person::Person;
use truth::{Account, Seat, Truth, account_jid};

/// Seeds that `cargo test` plays.
const SEEDS_COUNT: u64 = 50;
const ACTS_PER_SEED: usize = 400;
const CONFIG: &str = "domains = ['localhost', 'other.example']";
const AN_HOUR_MS: u64 = 3_600_000;
/// Turns without rest after which a server is said to spin.
const TURNS_MAX: usize = 100_000;

/// How the network behaves.
struct Weather {
    rng: Seeded,
    is_chunked: bool,
    /// Links whose client does not read.
    shut: Vec<Link>,
}

impl Pace for Weather {
    fn read(&mut self, _: Link, waiting: usize) -> usize {
        if self.is_chunked { 1 + self.rng.below(waiting.min(200)) } else { waiting }
    }

    fn write(&mut self, link: Link, waiting: usize) -> usize {
        if self.shut.contains(&link) {
            0
        } else if self.is_chunked && waiting > 0 {
            1 + self.rng.below(waiting)
        } else {
            waiting
        }
    }
}

struct Sim {
    setup: Setup,
    world: World<Weather>,
    rng: Seeded,
    /// The client of each seat of `truth`.
    people: Vec<Person>,
    truth: Truth,
    /// Links to be cut after this act.
    cuts: Vec<Link>,
    /// Those whose session waits to be resumed, the first lost first.
    waiting: Vec<usize>,
    /// Numbers ids.
    count: usize,
    is_ending: bool,
    /// A commit is to be lost.
    doom: Option<Doom>,
    /// Messages come one by one.
    is_terse: bool,
    is_traced: bool,
}

impl Sim {
    fn new(seed: u64) -> Result<Self, String> {
        let mut rng = Seeded(seed ^ 0x5EED_0F9E_0971_E000);
        let mut truth = Truth::default();
        for account in 0..3 + rng.below(4) {
            truth.accounts.push(Account::default());
            for resource in 0..1 + rng.below(5) {
                truth.seats.push(Seat::new(account, format!("r{resource}")));
            }
        }
        let accounts = (0..truth.accounts.len()).map(|at| (account_jid(at), "secret".to_owned()));
        let setup = Setup::new(CONFIG, accounts.collect(), Some(Folder::new()?))?;
        let now = Now { mono_ms: 1_000, unix_ms: 1_767_225_600_000 };
        let is_chunked = rng.one_in(2);
        let weather = Weather { rng: Seeded(rng.next()), is_chunked, shut: Vec::new() };
        Ok(Self {
            world: World::new(setup.server(now)?, now, weather),
            setup,
            rng,
            people: truth.seats.iter().map(|_| Person::default()).collect(),
            truth,
            cuts: Vec::new(),
            waiting: Vec::new(),
            count: 0,
            is_ending: false,
            doom: None,
            is_terse: false,
            is_traced: std::env::var_os("TERCET_SIM_TRACE").is_some(),
        })
    }

    fn play(&mut self) -> Result<(), String> {
        for _ in 0..ACTS_PER_SEED {
            let who = self.rng.below(self.people.len());
            let before = Before::new(&self.truth);
            self.act(who)?;
            self.settle()?;
            self.judge(&before)?;
            for link in std::mem::take(&mut self.cuts) {
                self.cut(link);
            }
            // Whoever was cut off is missed, and its messages go elsewhere.
            self.quiet()?;
            let pause_ms = 1 + self.rng.below(20) as u64;
            self.world.advance_to(self.world.now.mono_ms + pause_ms);
            match self.rng.below(800) {
                0..2 => self.restart()?,
                2..4 => self.crash()?,
                4..14 => self.lose_a_commit()?,
                _ => {}
            }
        }
        if self.rng.one_in(2) {
            self.crash()?;
        }
        self.leave_nothing()?;
        self.restart()?;
        self.look_into_storage()
    }

    /// Whatever happens by itself, judged.
    fn quiet(&mut self) -> Result<(), String> {
        let before = Before::new(&self.truth);
        self.settle()?;
        self.judge(&before)
    }

    /// TERM, and another server on the same data.
    fn restart(&mut self) -> Result<(), String> {
        self.quiet()?;
        self.world.server.handle_shutdown(self.world.now, "TERM");
        self.is_ending = true;
        while self.world.exit.is_none() {
            self.settle()?;
            let Some(due) = self.world.next_deadline() else { break };
            self.world.advance_to(due);
        }
        if self.world.exit.is_none() {
            return Err("the server does not exit".to_owned());
        }
        self.truth.unbind_all();
        self.world.server.storage().commit().map_err(|e| format!("{e:?}"))?;
        self.truth.count("restarts");
        self.begin_again()
    }

    /// Another server on the same data.
    fn begin_again(&mut self) -> Result<(), String> {
        self.people.iter_mut().for_each(|person| *person = Person::default());
        self.waiting.clear();
        self.is_ending = false;
        let weather = Weather {
            rng: Seeded(self.rng.next()),
            is_chunked: self.rng.one_in(2),
            shut: Vec::new(),
        };
        let now = self.world.now;
        self.world = World::new(self.setup.server(now)?, now, weather);
        Ok(())
    }

    /// All connections break, and nobody comes back: nothing may be left.
    fn leave_nothing(&mut self) -> Result<(), String> {
        let links: Vec<Link> = self.people.iter().filter_map(|person| person.link).collect();
        for link in links {
            self.quiet()?;
            self.cut(link);
            self.world.advance_to(self.world.now.mono_ms + 1);
        }
        self.quiet()?;
        self.expire()?;
        self.world.cut_all();
        self.pass_time(AN_HOUR_MS)?;
        let residue = self.world.server.residue();
        let pipes = self.world.pipes_count();
        if residue != Residue::default() || pipes > 0 {
            return Err(format!("left over: {residue:?}, {pipes} pipes"));
        }
        match self.world.server.timers_count() {
            0 => Ok(()),
            count => Err(format!("{count} timers are left over")),
        }
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
        self.settle()
    }
}

/// Plays a seed; returns how often what happened.
fn play(seed: u64) -> Tally {
    let played = Sim::new(seed).and_then(|mut sim| sim.play().map(|()| sim.truth.tally));
    match played {
        Ok(tally) => tally,
        Err(why) => panic!("TERCET_SIM_SEED={seed}: {why}"),
    }
}

#[test]
fn simulation_of_people() {
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
