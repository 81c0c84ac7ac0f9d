//! The shutdown, as other servers meet it.

use super::peer::{Manners, Peer};
use super::world::World;

const ALICE: &str = "alice@localhost/a";
const BOB: &str = "bob@remote.example";

/// What does not go out in a shutdown never will: the pause after a failure is over.
#[test]
fn a_shutdown_does_not_wait_for_the_end_of_a_pause() {
    let mut world = World::new(Peer::new(Manners::plain()));
    world.is_dead = true;
    world.send("1", ALICE, BOB);
    world.run();
    world.is_dead = false;
    world.send("2", ALICE, BOB);
    world.run();
    assert_eq!(world.bounced().len(), 2, "the second one meets the pause");
    world.server.handle_shutdown(world.now, "TERM");
    world.send("3", ALICE, BOB);
    world.wait(10_000);
    assert_eq!(world.peer.got, ["3"]);
    assert!(world.server.summary().contains(" 0 stanzas dropped"), "{}", world.server.summary());
}

/// The stream of an attempt breaks after the signal: there is one more.
#[test]
fn a_shutdown_tries_once_more() {
    let mut world = World::new(Peer::new(Manners::plain()));
    world.send("1", ALICE, BOB);
    (0..3).for_each(|_| assert!(world.step()));
    world.server.handle_shutdown(world.now, "TERM");
    world.send("2", ALICE, BOB);
    world.cut();
    world.wait(10_000);
    assert_eq!(world.peer.got, ["1", "2"]);
}

/// What the other side does not acknowledge until the end is dropped, and counted once.
#[test]
fn what_is_not_acknowledged_is_counted() {
    let mut world = World::new(Peer::new(Manners { acks: true, ..Manners::plain() }));
    world.send("1", ALICE, BOB);
    world.run();
    world.server.handle_shutdown(world.now, "TERM");
    world.send("2", ALICE, BOB);
    world.drop_output();
    world.wait(10_000);
    assert!(world.server.summary().contains(" 1 stanzas dropped"), "{}", world.server.summary());
}
