//! The scenarios: who logs in, who sends what, what is measured.

use std::time::Duration;

use crate::bare;
use crate::client::{Client, Ignore, Opening};
use crate::joins::Joins;
use crate::leaves::Leaves;
use crate::login::{Account, Mechanism};
use crate::messages::{Group, Messages, Pace, frame_bytes};
use crate::process::{PASSWORD, Process, progress, user};
use crate::scram::SaltCache;

/// Senders in a room.
const SENDERS_MAX: usize = 10;
/// Logins under way at once, outside of the scenario `login`.
const LOGINS_AT_ONCE: usize = 64;

/// Names of the scenarios, in the order they run; memory comes first, while the heap is fresh.
pub const NAMES: &[&str] = &["idle", "login", "muc", "chat", "join", "big"];

/// Who speaks in a big room.
const BIG_SENDERS_MAX: usize = 100;

fn big_size(quick: bool) -> usize {
    if quick { 300 } else { 5000 }
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Sessions that do nothing.
    Idle,
    /// Logins with a mechanism.
    Login(Mechanism),
    /// Rooms × occupants.
    Muc(usize, usize, Pace),
    /// Pairs.
    Chat(usize),
    /// Occupants of one room, all at once.
    Join(usize),
    /// Occupants of one room of a server with its default limits: they come, some speak, all go.
    Big(usize),
    /// The same, but in the end all connections are lost at once.
    BigCut(usize),
}

impl Scenario {
    /// The server has its default limits, but for those on one address.
    pub fn has_limits(self) -> bool {
        matches!(self, Self::Big(_) | Self::BigCut(_))
    }
}

/// The scenarios that `name` stands for.
pub fn scenarios(name: &str, quick: bool) -> Vec<Scenario> {
    match name {
        "idle" => vec![Scenario::Idle],
        "login" => {
            vec![Scenario::Login(Mechanism::ScramSha1), Scenario::Login(Mechanism::Plain)]
        }
        "muc" if quick => vec![
            Scenario::Muc(1, 50, Pace::OneInFlight),
            Scenario::Muc(1, 50, Pace::Window(4)),
            Scenario::Muc(20, 10, Pace::Window(2)),
        ],
        "muc" => vec![
            Scenario::Muc(1, 100, Pace::OneInFlight),
            Scenario::Muc(1, 100, Pace::Window(4)),
            Scenario::Muc(1, 1000, Pace::Window(2)),
            Scenario::Muc(200, 10, Pace::Window(2)),
        ],
        "chat" => vec![Scenario::Chat(if quick { 20 } else { 200 })],
        "join" => vec![Scenario::Join(if quick { 100 } else { 500 })],
        "big" => vec![Scenario::Big(big_size(quick)), Scenario::BigCut(big_size(quick))],
        _ => Vec::new(),
    }
}

/// How scenarios are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The accounts' domain.
    pub domain: String,
    /// The room service.
    pub rooms: String,
    /// TLS.
    pub tls: bool,
    /// The server is the bare loop.
    pub bare: bool,
    /// Short and small.
    pub quick: bool,
    /// Different in each run against one server, so that rooms and resources are new.
    pub run: usize,
}

impl Options {
    fn login_count(&self) -> usize {
        if self.quick { 40 } else { 300 }
    }

    /// Accounts needed.
    pub fn accounts_count(&self, names: &[&str]) -> usize {
        let big = if names.contains(&"big") { big_size(self.quick) } else { 0 };
        self.idle_count().max(big)
    }

    /// Sessions of the scenario `idle`.
    pub fn idle_count(&self) -> usize {
        if self.quick { 300 } else { 2000 }
    }

    fn send_time(&self) -> Duration {
        Duration::from_millis(if self.quick { 250 } else { 3000 })
    }
}

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which server.
    pub server: String,
    /// Which scenario.
    pub scenario: String,
    /// Over TLS.
    pub tls: bool,
    /// Stanzas delivered, or logins.
    pub per_second: Option<f64>,
    /// Latencies in ms.
    pub latency_ms: Option<(f64, f64)>,
    /// Server CPU for each delivered stanza, or login, in µs.
    pub cpu_us: Option<f64>,
    /// Memory of a connection.
    pub bytes_per_connection: Option<f64>,
    /// The part of the time that the load client computed: near 1, it was the limit.
    pub client_busy: f64,
}

struct Meter {
    server_ns: u64,
    client_ns: u64,
    start: u64,
}

/// A scenario against a server.
pub struct Bench<'a> {
    /// The server.
    pub server: &'a Process,
    /// This process.
    pub own: &'a Process,
    /// How.
    pub options: &'a Options,
}

impl Bench<'_> {
    /// Runs it; `login`, `join` and `big` make no sense with the bare loop.
    pub fn run(
        &self,
        scenario: Scenario,
        cache: SaltCache,
    ) -> Result<(Vec<Row>, SaltCache), String> {
        let mut client = Client::new(self.server.address, cache)?;
        let row = match scenario {
            Scenario::Idle => self.idle(&mut client)?,
            Scenario::Login(mechanism) => self.login(&mut client, mechanism)?,
            Scenario::Muc(rooms, size, pace) => self.muc(&mut client, rooms, size, pace)?,
            Scenario::Chat(pairs) => self.chat(&mut client, pairs)?,
            Scenario::Join(size) => self.join(&mut client, size)?,
            Scenario::Big(size) => return self.big(client, size),
            Scenario::BigCut(size) => return self.big_cut(client, size),
        };
        Ok((vec![row], client.close()))
    }

    fn login_openings(
        &self,
        count: usize,
        mechanism: Mechanism,
    ) -> impl ExactSizeIterator<Item = Opening> + use<'_> {
        let options = self.options;
        (0..count).map(move |index| {
            Opening::Login(Account {
                user: user(index),
                domain: options.domain.clone(),
                password: PASSWORD.to_owned(),
                resource: format!("bench{}", options.run),
                mechanism,
                tls: options.tls,
            })
        })
    }

    /// Logs in, or greets the bare loop with groups of `size`.
    fn open(
        &self,
        client: &mut Client,
        count: usize,
        size: usize,
        echo: bool,
    ) -> Result<(), String> {
        if !self.options.bare {
            let openings = self.login_openings(count, Mechanism::ScramSha1);
            return client.open_all(openings, LOGINS_AT_ONCE);
        }
        let (tls, bytes) = (self.options.tls, frame_bytes());
        let opening =
            |index: usize| Opening::Bare { hello: bare::hello(index / size, bytes, echo), tls };
        client.open_all((0..count).map(opening), LOGINS_AT_ONCE)
    }

    fn start(&self, client: &Client) -> Result<Meter, String> {
        Ok(Meter {
            server_ns: self.server.cpu_ns()?,
            client_ns: self.own.cpu_ns()?,
            start: client.now(),
        })
    }

    fn row(
        &self,
        scenario: &str,
        meter: &Meter,
        end: u64,
        count: u64,
        latencies: &mut [u32],
    ) -> Result<Row, String> {
        let elapsed_ns = (end - meter.start).max(1) as f64;
        let server_ns = (self.server.cpu_ns()? - meter.server_ns) as f64;
        let client_ns = (self.own.cpu_ns()? - meter.client_ns) as f64;
        Ok(Row {
            server: self.server.label.clone(),
            scenario: scenario.to_owned(),
            tls: self.options.tls,
            per_second: Some(count as f64 * 1e9 / elapsed_ns),
            latency_ms: percentiles(latencies),
            cpu_us: Some(server_ns / 1e3 / count as f64),
            bytes_per_connection: None,
            client_busy: client_ns / elapsed_ns,
        })
    }

    fn idle(&self, client: &mut Client) -> Result<Row, String> {
        let count = self.options.idle_count();
        self.server.settle()?;
        let before = self.server.memory_bytes()?;
        self.open(client, count, count, true)?;
        let meter = self.start(client)?;
        client.run(self.options.send_time(), &mut Ignore, |_| false)?;
        self.server.settle()?;
        let after = self.server.memory_bytes()?;
        let name = format!("idle, {count} sessions");
        let mut row = self.row(&name, &meter, client.now(), 1, &mut [])?;
        row.per_second = None;
        row.cpu_us = None;
        row.bytes_per_connection = Some(after.saturating_sub(before) as f64 / count as f64);
        Ok(row)
    }

    fn login(&self, client: &mut Client, mechanism: Mechanism) -> Result<Row, String> {
        // One login outside of the measurement fills the cache of salted passwords.
        client.open_all(self.login_openings(1, Mechanism::ScramSha1), 1)?;
        client.login_ns.clear();
        let count = self.options.login_count();
        let openings = self.login_openings(count + 1, mechanism).skip(1);
        let openings = openings.collect::<Vec<_>>();
        self.server.settle()?;
        let meter = self.start(client)?;
        client.open_all(openings.into_iter(), 16)?;
        let end = client.now();
        let mut latencies = std::mem::take(&mut client.login_ns);
        let mut latencies: Vec<u32> = latencies.drain(..).map(|ns| (ns / 100) as u32).collect();
        let name = match mechanism {
            Mechanism::Plain => "login, PLAIN",
            Mechanism::ScramSha1 => "login, SCRAM-SHA-1",
        };
        self.row(name, &meter, end, count as u64, &mut latencies)
    }

    fn room_names(&self, rooms: usize) -> Vec<String> {
        let (run, service) = (self.options.run, &self.options.rooms);
        (0..rooms).map(|room| format!("r{room:04}x{run}@{service}")).collect()
    }

    fn muc(
        &self,
        client: &mut Client,
        rooms: usize,
        size: usize,
        pace: Pace,
    ) -> Result<Row, String> {
        self.open(client, rooms * size, size, true)?;
        let names = self.room_names(rooms);
        if !self.options.bare {
            let mut joins = Joins::new(names.clone(), size);
            joins.create(client)?;
            joins.join_all(client, None)?;
        }
        let senders = match pace {
            Pace::OneInFlight => 1,
            Pace::Window(_) if rooms > 1 => 1,
            Pace::Window(_) => SENDERS_MAX.min(size),
        };
        let group = |(room, to): (usize, String)| Group {
            receivers: (room * size..(room + 1) * size).collect(),
            senders: (room * size..room * size + senders).collect(),
            to,
            kind: "groupchat",
        };
        let groups = names.into_iter().enumerate().map(group).collect();
        let pace_name = match pace {
            Pace::OneInFlight => ", one in flight",
            Pace::Window(_) => "",
        };
        let name = format!("muc {rooms}×{size}{pace_name}");
        self.messages(client, Messages::new(groups, rooms * size, pace, self.options.bare), &name)
    }

    fn chat(&self, client: &mut Client, pairs: usize) -> Result<Row, String> {
        self.open(client, pairs * 2, 2, false)?;
        let options = self.options;
        let group = |pair: usize| Group {
            receivers: vec![pair * 2 + 1],
            senders: vec![pair * 2],
            to: format!("{}@{}/bench{}", user(pair * 2 + 1), options.domain, options.run),
            kind: "chat",
        };
        let groups = (0..pairs).map(group).collect();
        let load = Messages::new(groups, pairs * 2, Pace::Window(4), options.bare);
        self.messages(client, load, &format!("chat, {pairs} pairs"))
    }

    fn messages(&self, client: &mut Client, mut load: Messages, name: &str) -> Result<Row, String> {
        self.server.settle()?;
        let meter = self.start(client)?;
        client.push(|now, sends| load.start(now, sends));
        client.run(self.options.send_time(), &mut load, |_| false)?;
        load.stop();
        client.run(Duration::from_secs(20), &mut load, |load| load.is_complete())?;
        let end = load.last_arrival.max(meter.start);
        let mut latencies = std::mem::take(&mut load.latencies);
        let row = self.row(name, &meter, end, load.delivered(), &mut latencies)?;
        // Nothing may come after what was expected.
        client.run(Duration::from_millis(100), &mut load, |_| false)?;
        load.check()?;
        Ok(row)
    }

    fn join(&self, client: &mut Client, size: usize) -> Result<Row, String> {
        self.open(client, size, size, true)?;
        let mut joins = Joins::new(self.room_names(1), size);
        joins.create(client)?;
        joins.latencies.clear();
        self.server.settle()?;
        let meter = self.start(client)?;
        joins.join_all(client, Some(size))?;
        let end = client.now();
        let mut latencies = std::mem::take(&mut joins.latencies);
        let count = joins.delivered - 1;
        self.row(&format!("join 1×{size}"), &meter, end, count, &mut latencies)
    }

    /// [`Self::join`], with the memory that it took at most.
    fn big_join(&self, client: &mut Client, size: usize) -> Result<Row, String> {
        self.server.reset_peak();
        let mut row = self.join(client, size)?;
        row.scenario = format!("big room 1×{size}: all join");
        self.with_peak(row, size)
    }

    fn with_peak(&self, row: Row, size: usize) -> Result<Row, String> {
        let peak_bytes = self.server.peak_bytes()?;
        progress(&format!("{}: {} MB at most", row.scenario, peak_bytes / 1_000_000));
        Ok(Row { bytes_per_connection: Some(peak_bytes as f64 / size as f64), ..row })
    }

    fn big(&self, mut client: Client, size: usize) -> Result<(Vec<Row>, SaltCache), String> {
        let mut rows = vec![self.big_join(&mut client, size)?];
        let room = self.room_names(1).remove(0);
        let (receivers, senders) = ((0..size).collect(), (0..BIG_SENDERS_MAX.min(size)).collect());
        let group = Group { receivers, senders, to: room.clone(), kind: "groupchat" };
        let mut load = Messages::new(vec![group], size, Pace::Window(1), false);
        load.stop(); // After the first of each.
        self.server.settle()?;
        self.server.reset_peak();
        let meter = self.start(&client)?;
        client.push(|now, sends| load.start(now, sends));
        client.run(Duration::from_secs(60), &mut load, |load| load.is_complete())?;
        load.check()?;
        let mut latencies = std::mem::take(&mut load.latencies);
        let name = format!("big room 1×{size}: {} speak", BIG_SENDERS_MAX.min(size));
        let row = self.row(&name, &meter, client.now(), load.delivered(), &mut latencies)?;
        rows.push(self.with_peak(row, size)?);

        self.server.settle()?;
        self.server.reset_peak();
        let meter = self.start(&client)?;
        let mut leaves = Leaves::new(room, size);
        leaves.leave_all(&mut client)?;
        let mut latencies = std::mem::take(&mut leaves.latencies);
        let name = format!("big room 1×{size}: all leave");
        let row = self.row(&name, &meter, client.now(), leaves.delivered, &mut latencies)?;
        rows.push(self.with_peak(row, size)?);
        Ok((rows, client.close()))
    }

    /// The figures of the cut are those of a connection lost.
    fn big_cut(&self, mut client: Client, size: usize) -> Result<(Vec<Row>, SaltCache), String> {
        self.big_join(&mut client, size)?;
        self.server.settle()?;
        self.server.reset_peak();
        let meter = self.start(&client)?;
        let name = format!("big room 1×{size}: all are cut, per connection");
        let clock = std::time::Instant::now();
        let start = client.now();
        let cache = client.into_cache();
        self.server.settle()?;
        let end = start + clock.elapsed().as_nanos() as u64;
        let row = self.row(&name, &meter, end, size as u64, &mut [])?;
        Ok((vec![self.with_peak(row, size)?], cache))
    }
}

/// The median and the 99th percentile in ms, of units of 100 ns.
fn percentiles(latencies: &mut [u32]) -> Option<(f64, f64)> {
    if latencies.is_empty() {
        return None;
    }
    latencies.sort_unstable();
    let at = |percent: usize| {
        let index = (latencies.len() * percent / 100).min(latencies.len() - 1);
        f64::from(latencies[index]) / 1e4
    };
    Some((at(50), at(99)))
}
