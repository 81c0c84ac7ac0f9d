//! Connections that break, at every step of every negotiation.

use super::negotiation::all_manners;
use super::peer::{Manners, Peer};
use super::world::World;

const ALICE: &str = "alice@localhost/a";
const BOB: &str = "bob@remote.example";

/// A cut after so many steps; false: there were not so many.
fn play_cut(name: &str, manners: Manners, steps: usize, stays_dead: bool) -> bool {
    let mut world = World::new(Peer::new(manners));
    let mut is_cut = false;
    for id in ["1", "2"] {
        world.send(id, ALICE, BOB);
    }
    for step in 0..steps {
        if step == 4 {
            world.send("3", ALICE, BOB);
        }
        is_cut = world.step();
    }
    world.cut();
    world.is_dead = stays_dead;
    world.wait(100_000);
    let bounced = world.bounced();
    for id in ["1", "2", "3"].into_iter().take(if steps > 4 { 3 } else { 2 }) {
        let got = world.peer.got.iter().filter(|got| *got == id).count();
        let back = bounced.iter().filter(|(back, _)| back == id).count();
        let says = format!("{name}: cut after {steps}: {id} arrived {got}, came back {back}");
        let is_right = if manners.acks && stays_dead {
            // What has arrived and was not acknowledged comes back too.
            got.max(back) == 1
        } else {
            got + back == 1
        };
        assert!(is_right, "{says}");
    }
    let sorted = world.peer.got.is_sorted();
    assert!(sorted, "{name}: cut after {steps}: {:?}", world.peer.got);
    world.is_dead = false;
    world.wait(1_000_000);
    world.assert_idle();
    is_cut
}

#[test]
fn cut_at_every_step() {
    for (name, manners) in all_manners() {
        for stays_dead in [false, true] {
            let mut steps = 0;
            while play_cut(name, manners, steps, stays_dead) || steps < 5 {
                steps += 1;
            }
            assert!(steps > 6, "{name}: {steps} steps");
        }
    }
}

#[test]
fn a_stream_goes_on() {
    for (is_forgotten, wants) in
        [(false, "starttls result resume r"), (true, "result resume enable")]
    {
        let manners = Manners { starttls: true, acks: true, ..Manners::plain() };
        let mut world = World::new(Peer::new(manners));
        world.send("1", ALICE, BOB);
        world.run();
        world.send("2", ALICE, BOB);
        world.send("3", ALICE, BOB);
        world.cut();
        if is_forgotten {
            world.peer.forget();
        }
        world.peer.heard.clear();
        world.run();
        world.send("4", ALICE, BOB);
        world.run();
        assert_eq!(world.peer.got, ["1", "2", "3", "4"]);
        let heard = world.peer.heard.join(" ");
        assert!(heard.contains(wants), "{heard}");
        assert_eq!(world.told(), "");
    }
}
