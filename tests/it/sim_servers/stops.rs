//! TERM at every single step of a negotiation between two servers, whichever of them has begun it,
//! with a peer that answers, is slow, stands still, has gone and refuses, or has vanished.
//!
//! Bob, at the other server, sees ann's presence because he is subscribed to it, and because she
//! has shown herself to him; and he has a seat in a room of her server. When no connection is left,
//! one of them writes to the other, and some steps later ann's server is told to stop.

use super::people::Person;
use super::roads::Road;
use super::world::{Manners, World};

/// Steps of a negotiation, at most.
const STEPS_MAX: usize = 400;
/// Longer than any stream stays without use.
const SILENCE_MS: u64 = 1_300_000;
/// By chance one has certificates, one has TLS without, one has none.
const SEED_OF_EXTERNAL: u64 = 2;
const SEED_OF_DIALBACK: u64 = 7;
const SEED_IN_THE_CLEAR: u64 = 1;
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
    assert_eq!(world.has_certificates, case.seed == SEED_OF_EXTERNAL);
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
        Peer::Refuses => net.hosts[1].road = Road::Refused,
        Peer::Vanishes => net.hosts[1].road = Road::Silent,
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
    let is_told = knows && is_out;
    let is_right = match case.peer {
        Peer::Answers | Peer::IsSlow | Peer::Restarts => code == 0 && is_told,
        // What is not acknowledged has not arrived; without that its kernel has taken it.
        Peer::StandsStill => code == 3 || case.manners != Manners::Managed,
        // What cannot be sent is counted; a connection of the other's may have been good for it.
        Peer::IsTooSlow | Peer::Refuses | Peer::Vanishes => code == 3 || is_told,
    };
    if is_right { Ok(()) } else { Err(told) }
}

const PEERS: [Peer; 7] = [
    Peer::Answers,
    Peer::Restarts,
    Peer::IsSlow,
    Peer::IsTooSlow,
    Peer::StandsStill,
    Peer::Refuses,
    Peer::Vanishes,
];

/// With a peer that answers every step; with the others one in so many, unless seeds are asked for
/// (`TERCET_SIM_SEEDS`): then all.
fn stride(at: usize) -> usize {
    match std::env::var_os("TERCET_SIM_SEEDS") {
        None if at == 1 => 3,
        None if at > 1 => 10,
        _ => 1,
    }
}

fn try_all(seed: u64, manners: Manners, writer: usize) {
    for (at, peer) in PEERS.into_iter().enumerate() {
        let case = Case { seed, manners, writer, peer };
        let mut steps = at % stride(at);
        while stop_after(case, steps).unwrap_or_else(|why| panic!("{case:?}, {steps}: {why}")) {
            steps += stride(at);
            assert!(steps < STEPS_MAX, "{case:?} goes on for ever");
        }
        println!("{case:?}: {steps} steps");
        assert!(steps > 20, "{case:?}: {steps} steps are no negotiation");
    }
}

/// The seeds differ in what proves who a server is: EXTERNAL, dialback over TLS, or without.
#[test]
fn a_stop_at_every_step() {
    let cases = [
        (SEED_OF_EXTERNAL, Manners::Managed, ANN),
        (SEED_OF_DIALBACK, Manners::Managed, BOB),
        (SEED_OF_DIALBACK, Manners::BothWays, ANN),
        (SEED_IN_THE_CLEAR, Manners::Plain, BOB),
    ];
    for (seed, manners, writer) in cases {
        try_all(seed, manners, writer);
    }
}
