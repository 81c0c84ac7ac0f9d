//! Plays every script of tests/scenarios, and of the folder that `TERCET_SCENARIOS` names, with
//! each of the four drivers.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::inproc::{ByteWise, InProcess, Pace, Whole};
use crate::player::{Manner, Player};
use crate::sasl::Mechanism;
use crate::scenario::Scenario;
use crate::setup::Setup;
use crate::socket::Sockets;

/// Scripts that are played at once.
const THREADS: usize = 2;

fn scripts() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let others = std::env::var_os("TERCET_SCENARIOS").map(PathBuf::from);
    let only = std::env::var("TERCET_SCENARIO").ok();
    let mut paths = Vec::new();
    for folder in [own].into_iter().chain(others) {
        let entries = std::fs::read_dir(&folder);
        let entries = entries.unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let found = entries.map(|entry| entry.expect("a readable folder").path());
        paths.extend(found.filter(|path| path.extension().is_some_and(|end| end == "scs")));
    }
    paths.retain(|path| only.as_ref().is_none_or(|name| path.to_string_lossy().contains(name)));
    paths.sort();
    assert!(!paths.is_empty(), "there are no scripts");
    paths
}

/// Plays all scripts that are meant for `driver`; fails with all that went wrong.
fn run_all(driver: &str, play: impl Fn(&Scenario) -> Result<(), String> + Sync) {
    let paths = scripts();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let played = AtomicUsize::new(0);
    let work = || {
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = Scenario::read(path).and_then(|scenario| {
                if is_meant_for(&scenario, driver) {
                    played.fetch_add(1, Ordering::Relaxed);
                    play(&scenario)
                } else {
                    Ok(())
                }
            });
            if let Err(why) = result {
                let why = format!("{}\n{why}", path.display());
                failures.lock().expect("no thread has panicked").push(why);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let mut failures = failures.into_inner().expect("no thread has panicked");
    failures.sort();
    let (played, failed) = (played.into_inner(), failures.len());
    println!("{driver}: {played} scripts played, {failed} failed");
    assert!(failures.is_empty(), "{failed} of {played} failed\n\n{}", failures.join("\n"));
}

fn is_meant_for(scenario: &Scenario, driver: &str) -> bool {
    let is_in_process = driver == "whole" || driver == "bytes";
    let is_named = scenario.drivers.is_empty() || scenario.drivers.iter().any(|d| d == driver);
    is_named && (is_in_process || !scenario.needs_fake_clock())
}

const PLAIN: Manner = Manner { mechanism: Mechanism::Plain, with_tls: false };

/// Plays in process; returns what each client was sent.
fn in_process(scenario: &Scenario, pace: impl Pace) -> Result<Vec<(String, String)>, String> {
    let driver = InProcess::new(Setup::of(scenario, false)?, pace)?;
    let mut player = Player::new(scenario, PLAIN, driver);
    player.play()?;
    let transcripts = player.transcripts();
    player.driver.check_residue()?;
    Ok(transcripts)
}

/// The two texts from shortly before where they differ.
fn difference<'a>(one: &'a str, other: &'a str) -> (&'a str, &'a str) {
    let pairs = one.char_indices().zip(other.chars());
    let same = pairs.take_while(|((_, a), b)| a == b).last().map_or(0, |((at, _), _)| at);
    let start = one[..same].rfind("><").unwrap_or(0);
    (&one[start..], &other[start..])
}

#[test]
fn scenarios_in_process() {
    run_all("whole", |scenario| in_process(scenario, Whole).map(|_| ()));
}

#[test]
fn scenarios_byte_by_byte_are_the_same() {
    run_all("bytes", |scenario| {
        let whole = in_process(scenario, Whole)?;
        let bytes = in_process(scenario, ByteWise)?;
        for ((name, whole), (_, bytes)) in whole.iter().zip(&bytes) {
            if whole != bytes {
                let (whole, bytes) = difference(whole, bytes);
                return Err(format!("{name} was sent, whole:\n{whole}\nbyte by byte:\n{bytes}"));
            }
        }
        Ok(())
    });
}

#[test]
fn scenarios_over_tcp() {
    run_all("tcp", |scenario| {
        let manner = Manner { mechanism: Mechanism::ScramSha1, with_tls: false };
        Player::new(scenario, manner, Sockets::new(Setup::of(scenario, true)?)?).play()
    });
}

#[test]
fn scenarios_over_tls() {
    run_all("tls", |scenario| {
        let manner = Manner { mechanism: Mechanism::ScramSha256, with_tls: true };
        Player::new(scenario, manner, Sockets::new(Setup::of(scenario, true)?)?).play()
    });
}

#[test]
fn every_script_says_what_it_proves() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    for path in scripts().iter().filter(|path| path.starts_with(&own)) {
        let scenario = Scenario::read(path).unwrap_or_else(|why| panic!("{why}"));
        assert!(!scenario.proves.is_empty(), "{}: no `# Proves:` line", path.display());
        assert!(!scenario.steps.is_empty(), "{}: no steps", path.display());
    }
}
