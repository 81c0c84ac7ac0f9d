//! TERM at every single step of a negotiation between two servers, whichever of them has begun it,
//! with a peer that answers, is slow, stands still, has gone and refuses, or has vanished.
//!
//! Bob, at the other server, sees ann's presence because he is subscribed to it, and because she
//! has shown herself to him; and he has a seat in a room of her server. When no connection is left,
//! one of them writes to the other, and some steps later ann's server is told to stop.

use super::people::Person;
use super::world::{Manners, ROOM, World};

/// Steps of a negotiation, at most.
const STEPS_MAX: usize = 400;
/// Longer than any stream stays without use.
const SILENCE_MS: u64 = 1_300_000;
/// Between two stops that the test tries, where it does not try all.
const ANN: usize = 0;
const BOB: usize = 1;

/// What the peer does from the signal on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Answers,
    /// Each piece takes 100 ms.
    IsSlow,
    /// Each takes two seconds: there is no time for a negotiation.
    IsTooSlow,
    /// Its kernel takes everything, and nothing is ever said.
    StandsStill,
    /// Connections break; nobody listens.
    Refuses,
    /// Connections break, and new ones are never answered.
    Vanishes,
    /// Connections break; it is there again.
    Restarts,
}

/// What is negotiated.
#[derive(Clone, Copy, Debug)]
struct Case {
    seed: u64,
    manners: Manners,
    /// Who writes: the server of the writer connects.
    writer: usize,
    peer: Peer,
}

/// Both see each other, and no connection is left.
fn prepare(case: Case) -> Result<World, String> {
    let mut world = World::new(case.seed, case.manners, 2, 1)?;
    world.net.weather.is_chunked = false;
    world.net.weather.latency_ms = 1;
    world.begin()?;
    world.pass_time(SILENCE_MS)?;
    match world.net.wires().len() {
        0 => Ok(world),
        count => Err(format!("{count} ends are there before the beginning")),
    }
}

/// Stops ann's server after so many steps. False: there was nothing left to happen.
fn stop_after(case: Case, steps: usize) -> Result<bool, String> {
    let mut world = prepare(case)?;
    let to = world.people[1 - case.writer].jid.clone();
    world.send(case.writer, &format!("<message to='{to}' id='m1'><body>m1</body></message>"));
    let mut is_busy = true;
    for _ in 0..steps {
        is_busy = step(&mut world)?;
    }
    turn_bad(&mut world, case.peer);
    let code = world.stop(ANN)?;
    judge(&world, case, code)?;
    Ok(is_busy)
}

/// One turn, or the clock goes on to the next. False: there is nothing to happen soon.
fn step(world: &mut World) -> Result<bool, String> {
    if world.turn()? {
        return Ok(true);
    }
    match world.net.next_deadline() {
        Some(due_ms) if due_ms <= world.net.now.mono_ms + 100 => {
            world.net.advance_to(due_ms);
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn turn_bad(world: &mut World, peer: Peer) {
    let net = &mut world.net;
    match peer {
        Peer::Answers => {}
        Peer::IsSlow => net.weather.latency_ms = 100,
        Peer::IsTooSlow => net.weather.latency_ms = 2_000,
        Peer::StandsStill => net.hosts[1].is_stuck = true,
        Peer::Refuses => net.hosts[1].road = super::net::Road::Refused,
        Peer::Vanishes => net.hosts[1].road = super::net::Road::Silent,
        Peer::Restarts => {}
    }
    if matches!(peer, Peer::Refuses | Peer::Vanishes | Peer::Restarts) {
        net.break_all();
    }
}

fn judge(world: &World, case: Case, code: u8) -> Result<(), String> {
    let bob: &Person = &world.people[BOB];
    let ann = &world.people[ANN].jid;
    let knows = bob.seen.get(ann) == Some(&false);
    let is_out = bob.farewells_count == 1 && !bob.is_seated;
    let told = format!("exit code {code}, knows {knows}, farewells {}", bob.farewells_count);
    if bob.farewells_count > 1 {
        return Err(format!("more than one farewell: {told}"));
    }
    let is_right = match case.peer {
        Peer::Answers | Peer::IsSlow => code == 0 && knows && is_out,
        // What was written when the connection broke may be gone.
        Peer::Restarts if case.manners != Manners::Managed => code == 3 || code == 0,
        Peer::Restarts => code == 0 && knows && is_out,
        // Nothing that says that it was sent, and was not even written.
        Peer::IsTooSlow => code == 3 || knows && is_out,
        Peer::StandsStill | Peer::Refuses | Peer::Vanishes => code == 3 || code == 0,
    };
    if is_right { Ok(()) } else { Err(told) }
}

/// Every step, and every peer; what they came to.
fn try_all(seed: u64, manners: Manners, writer: usize) {
    let peers = [
        Peer::Answers,
        Peer::IsSlow,
        Peer::IsTooSlow,
        Peer::StandsStill,
        Peer::Refuses,
        Peer::Vanishes,
        Peer::Restarts,
    ];
    for peer in peers {
        let case = Case { seed, manners, writer, peer };
        let mut steps = 0;
        while stop_after(case, steps).unwrap_or_else(|why| panic!("{case:?}, {steps}: {why}")) {
            steps += 1;
            assert!(steps < STEPS_MAX, "{case:?} goes on for ever");
        }
        println!("{case:?}: {steps} steps");
        assert!(steps > 10, "{case:?}: {ROOM} has met in {steps} steps");
    }
}

#[test]
fn a_stop_at_every_step() {
    for (seed, manners) in [(1, Manners::Managed), (2, Manners::BothWays), (3, Manners::Plain)] {
        for writer in [ANN, BOB] {
            try_all(seed, manners, writer);
        }
    }
}
