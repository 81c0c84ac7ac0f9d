//! The simulation (DESIGN.md §10): a whole server, its network, its clock and the failures of its
//! storage from one seed. A crowd does at random what clients do, and what they should not; the
//! oracles (`oracle.rs`) look at every stanza that the server sends. A seed that fails is printed:
//! `TERCET_SIM_SEED=n` plays it again, `TERCET_SIM_SEEDS=n` plays so many.

mod acts;
mod oracle;
mod person;

use tercet::cx::Now;
use tercet::server::Residue;
use tercet::storage::Fault;

use crate::client::{Client, Identity, Item};
use crate::driver::{Event, Link};
use crate::inproc::{Pace, World};
use crate::sasl::Mechanism;
use crate::setup::{Seeded, Setup};

use oracle::Oracle;
use person::Person;

/// Rooms that the crowd meets in; the first is non-anonymous.
pub const ROOMS: [&str; 3] =
    ["r0@conference.localhost", "r1@conference.localhost", "r2@conference.localhost"];
/// Who owns the rooms, reads at once and never leaves: what it sees is the order of a room.
const OBSERVER: usize = 0;
/// Seeds that `cargo test` plays.
const SEEDS_COUNT: u64 = 10;
const ACTS_PER_SEED: usize = 600;
/// Turns without rest after which a server is said to spin.
const TURNS_MAX: usize = 1_000_000;

/// How the network behaves.
pub struct Weather {
    rng: Seeded,
    /// Reads come in pieces.
    is_chunked: bool,
    /// Links whose client does not read.
    slow: Vec<Link>,
}

impl Pace for Weather {
    fn read(&mut self, _: Link, waiting: usize) -> usize {
        if self.is_chunked { 1 + self.rng.below(waiting.min(300)) } else { waiting }
    }

    fn write(&mut self, link: Link, waiting: usize) -> usize {
        if self.slow.contains(&link) {
            0
        } else if link > 0 && waiting > 0 && self.rng.one_in(3) {
            1 + self.rng.below(waiting)
        } else {
            waiting
        }
    }
}

pub struct Sim {
    world: World<Weather>,
    rng: Seeded,
    people: Vec<Person>,
    oracle: Oracle,
    /// Numbers bodies and ids.
    count: usize,
    is_faulty: bool,
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
        let accounts = (0..=accounts_count).map(|n| (person::account(n), "secret".to_owned()));
        // Small enough that slow readers are cut now and then.
        let config = "limits.outbox_bytes = 90000\nlimits.stanza_bytes = 20000";
        let setup = Setup::new(config, accounts.collect(), None)?;
        let now = Now { mono_ms: 1_000, unix_ms: 1_767_225_600_000 };
        let weather =
            Weather { rng: Seeded(rng.next()), is_chunked: rng.one_in(2), slow: Vec::new() };
        let is_faulty = rng.one_in(3);
        let world = World::new(setup.server(now)?, now, weather);
        let oracle = Oracle::new(is_faulty);
        Ok(Self { world, rng, people, oracle, count: 0, is_faulty })
    }

    /// Plays it. `Err` says which oracle was hurt.
    fn play(&mut self) -> Result<(), String> {
        self.begin()?;
        let shutdown_at =
            if self.rng.one_in(3) { self.rng.below(ACTS_PER_SEED) } else { usize::MAX };
        for act in 0..ACTS_PER_SEED {
            if act == shutdown_at {
                return self.shut_down();
            }
            let who = self.rng.below(self.people.len());
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
        }
        self.world.pace.slow.clear();
        self.settle()?;
        self.oracle.check_end(&self.people)?;
        self.leave_nothing()
    }

    /// The observer makes the rooms.
    fn begin(&mut self) -> Result<(), String> {
        self.connect(OBSERVER);
        self.settle()?;
        for room in 0..ROOMS.len() {
            self.make_room(room);
        }
        self.settle()?;
        let stays = self.people[OBSERVER].stays.len();
        if stays == ROOMS.len() { Ok(()) } else { Err(format!("only {stays} rooms were made")) }
    }

    /// All connections break: nothing may be left.
    fn leave_nothing(&mut self) -> Result<(), String> {
        self.world.cut_all();
        self.settle()?;
        let residue = self.world.server.residue();
        let pipes = self.world.pipes_count();
        match residue == Residue::default() && pipes == 0 {
            true => Ok(()),
            false => Err(format!("left over: {residue:?}, {pipes} pipes")),
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
        self.world.server.storage().inject(fault);
    }

    fn connect(&mut self, who: usize) {
        let Some(link) = self.world.open() else { return };
        let person = &mut self.people[who];
        let client = Client::login(Identity {
            user: person.user(),
            domain: "localhost".to_owned(),
            resource: Some(person.resource.clone()),
            password: "secret".to_owned(),
            mechanism: [Mechanism::Plain, Mechanism::ScramSha1][self.rng.below(2)],
            with_tls: self.rng.one_in(4),
        });
        person.begin(client, link);
        self.flush(who);
    }

    fn send(&mut self, who: usize, text: &str) {
        if let Some(link) = self.people[who].link {
            self.world.write(link, text.as_bytes());
        }
    }

    fn flush(&mut self, who: usize) {
        let person = &mut self.people[who];
        if let (Some(client), Some(link)) = (&mut person.client, person.link) {
            let bytes = std::mem::take(&mut client.out);
            self.world.write(link, &bytes);
        }
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

    fn take_events(&mut self) -> Result<(), String> {
        while let Some(event) = self.world.events.pop_front() {
            let (Event::Bytes(link, _) | Event::End(link)) = &event;
            let Some(who) = self.people.iter().position(|p| p.link == Some(*link)) else {
                continue;
            };
            match event {
                Event::Bytes(link, bytes) => self.receive(who, link, &bytes)?,
                Event::End(link) => {
                    self.world.end(link);
                    self.people[who].end();
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, who: usize, link: Link, bytes: &[u8]) -> Result<(), String> {
        let Some(client) = &mut self.people[who].client else { return Ok(()) };
        client.feed(bytes);
        if client.wants_tls {
            self.world.start_tls(link)?;
            client.tls_is_up();
        }
        if let Some(trouble) = client.trouble.take() {
            // At a shutdown, or when storage fails, a login may end in the middle.
            let is_excused = self.is_faulty || self.oracle.is_ending;
            if !(is_excused && trouble.contains("during the login")) {
                return Err(format!("{}: {trouble}", self.people[who].jid()));
            }
            client.close();
        }
        let items: Vec<Item> = client.inbox.drain(..).collect();
        for item in items {
            if let Item::Element(element) = item {
                self.oracle.observe(&mut self.people[who], &element)?;
                self.answer(who, &element);
            }
        }
        self.flush(who);
        Ok(())
    }
}

fn play(seed: u64) {
    let result = Sim::new(seed).and_then(|mut sim| {
        let played = sim.play();
        println!("seed {seed}: {}", sim.oracle.summary(&sim.people));
        played
    });
    if let Err(why) = result {
        panic!("TERCET_SIM_SEED={seed}: {why}");
    }
}

#[test]
fn simulation() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("TERCET_SIM_SEED") {
        return play(seed);
    }
    for seed in 0..number("TERCET_SIM_SEEDS").unwrap_or(SEEDS_COUNT) {
        play(seed);
    }
}
