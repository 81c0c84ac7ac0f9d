//! The built server under real load, over loopback: `cargo bench --bench throughput`.
//!
//! Starts Tercet with all limits off, on core 0, and loads it from core 1 in the scenarios login,
//! idle, muc, chat and join, in the clear and over TLS; beside it, in the same run, a bare fan-out
//! loop that does no XMPP work: the limit. The scenario big is a room of 5,000 on a server with its
//! default limits, in the clear alone: nobody who reads may be cut. With `--target` it loads any
//! other XMPP server on this machine instead, which must have accounts `b00000`, `b00001`, …
//! (2,000 of them, 5,000 for big; 300 with `--quick`) with the password `bench` and no rate limits.
//! `benches/throughput/prosody` does that for Prosody.
//!
//! It prints one Markdown table. Each delivery is checked: at each receiver, in order, once; a
//! wrong count, a stream error or a bad end of the server fails the run. It prints figures and
//! asserts no times.

#![forbid(unsafe_code)]

mod bare;
mod client;
mod joins;
mod leaves;
mod login;
mod messages;
mod process;
mod report;
mod scan;
mod scenarios;
mod scram;
mod tls;

use std::net::SocketAddr;
use std::process::ExitCode;

use process::{Process, progress};
use scenarios::{Bench, NAMES, Options, Row, scenarios};
use scram::SaltCache;

const USAGE: &str = "Usage: cargo bench --bench throughput -- [SCENARIO...] [options]
SCENARIO: idle, login, muc, chat, join, big; all without one";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, mode, transport] = arguments.as_slice()
        && flag == "--bare"
    {
        return match bare::serve(mode == "each", transport == "tls") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                progress(&format!("bare loop: {error}"));
                ExitCode::FAILURE
            }
        };
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&format!("throughput: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// What to run.
struct Plan {
    names: Vec<&'static str>,
    quick: bool,
    options: Options,
    /// Tercet archives what is said.
    archive: bool,
}

fn run(arguments: &[String]) -> Result<(), String> {
    let mut flags = getopts::Options::new();
    flags.optopt("", "target", "another server instead of Tercet, on loopback", "HOST:PORT");
    flags.optopt("", "pid", "the process of that server", "N");
    flags.optopt("", "label", "what the table calls it", "NAME");
    flags.optopt("", "domain", "the domain of the accounts [localhost]", "D");
    flags.optopt("", "rooms", "the domain of the rooms [conference.localhost]", "D");
    flags.optflag("", "tls", "over TLS, not in the clear (for --target; Tercet has both)");
    flags.optflag("", "archive", "what is said is archived; rooms are persistent (Tercet)");
    flags.optflag("", "no-bare", "without the bare loop");
    flags.optflag("", "quick", "small and short: does it work at all");
    flags.optflag("", "bench", "(given by cargo)");
    flags.optflag("h", "help", "this");
    let matches = flags.parse(arguments).map_err(|error| format!("{error}\n{USAGE}"))?;
    if matches.opt_present("help") {
        println!("{}", flags.usage(USAGE));
        return Ok(());
    }
    let mut names = Vec::new();
    for name in &matches.free {
        let known = NAMES.iter().find(|known| *known == name);
        names.push(*known.ok_or_else(|| format!("no scenario {name}\n{USAGE}"))?);
    }
    if names.is_empty() {
        names = NAMES.to_vec();
    }
    let text = |name: &str, default: &str| matches.opt_str(name).unwrap_or(default.to_owned());
    let quick = matches.opt_present("quick");
    let options = Options {
        domain: text("domain", "localhost"),
        rooms: text("rooms", "conference.localhost"),
        tls: false,
        bare: false,
        quick,
        run: 0,
    };
    let archive = matches.opt_present("archive");
    let mut plan = Plan { names, quick, options, archive };
    process::raise_open_files()?;
    process::pin(0, 1)?;
    let rows = match matches.opt_str("target") {
        Some(target) => {
            let address =
                target.parse::<SocketAddr>().map_err(|error| format!("{target}: {error}"))?;
            if !address.ip().is_loopback() {
                return Err(format!("{target} is not on this machine's loopback"));
            }
            let pid = text("pid", "").parse::<u32>().map_err(|_| "--target needs --pid")?;
            let server = Process::foreign(&text("label", "target"), address, pid)?;
            plan.foreign(&server, matches.opt_present("tls"))?
        }
        None => plan.own(!matches.opt_present("no-bare"))?,
    };
    report::print(&rows);
    Ok(())
}

impl Plan {
    /// Loads a server that runs already.
    fn foreign(&mut self, server: &Process, tls: bool) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        let mut cache = SaltCache::default();
        self.options.tls = tls;
        for name in self.names.clone() {
            for scenario in scenarios(name, self.quick) {
                let (more, used) = self.bench(server, scenario, cache)?;
                cache = used;
                rows.extend(more);
            }
        }
        Ok(rows)
    }

    /// Loads Tercet, and the bare loop, each started anew for each scenario.
    fn own(&mut self, with_bare: bool) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        let mut cache = SaltCache::default();
        let data = process::make_data(self.options.accounts_count(&self.names))?;
        for tls in [false, true] {
            self.options.tls = tls;
            for name in self.names.clone() {
                for scenario in scenarios(name, self.quick) {
                    let mut servers = vec![None];
                    if tls && scenario.has_limits() {
                        continue;
                    }
                    let has_limit = with_bare && !matches!(name, "login" | "join" | "big");
                    if has_limit && !self.quick {
                        servers.push(Some(true));
                    }
                    if has_limit {
                        servers.push(Some(false));
                    }
                    for bare in servers {
                        let server = match bare {
                            None => {
                                Process::tercet(&data.path, self.archive, scenario.has_limits())?
                            }
                            Some(write_each) => Process::bare(write_each, tls)?,
                        };
                        self.options.bare = bare.is_some();
                        let (more, used) = self.bench(&server, scenario, cache)?;
                        cache = used;
                        rows.extend(more);
                        server.end()?;
                    }
                }
            }
        }
        Ok(rows)
    }

    fn bench(
        &mut self,
        server: &Process,
        scenario: scenarios::Scenario,
        cache: SaltCache,
    ) -> Result<(Vec<Row>, SaltCache), String> {
        self.options.run += 1;
        let own = Process::myself();
        let options = &self.options;
        let bench = Bench { server, own: &own, options };
        let context = format!("{} {scenario:?} tls={}", server.label, options.tls);
        let (rows, cache) =
            bench.run(scenario, cache).map_err(|error| format!("{context}: {error}"))?;
        for row in &rows {
            progress(&report::line(row));
        }
        Ok((rows, cache))
    }
}
