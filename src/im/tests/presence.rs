//! RFC 6121 §4.

use super::*;
use crate::ids::SessionId;

const ORCHARD: &str = "romeo@localhost/orchard";
const GARDEN: &str = "romeo@localhost/garden";
const BALCONY: &str = "juliet@localhost/balcony";

fn status(text: &str) -> Element {
    Element::new("status", ns::CLIENT).with_text(text)
}

/// §4.2.2: to all available resources of the user, the new one included; §4.3: the new one learns
/// of the others.
#[test]
fn initial_presence_goes_both_ways() {
    let mut world = World::new();
    let (orchard, garden) = (world.bind(ORCHARD), world.bind(GARDEN));
    let connected = world.bind("romeo@localhost/mute");
    let juliet = world.available(BALCONY, 0);
    world.broadcast(orchard, &available(ORCHARD).with_child(status("here"))).expect("valid");
    let echo =
        format!("<presence from='{ORCHARD}' to='{ORCHARD}'><status>here</status></presence>");
    assert_eq!(world.read(orchard), echo);
    assert_eq!(world.read(garden), "", "connected, but not available");
    world.broadcast(garden, &available(GARDEN)).expect("valid");
    let to = |to: &str| format!("<presence from='{GARDEN}' to='{to}'/>");
    assert_eq!(world.read(orchard), to(ORCHARD));
    let others = echo.replace(&format!("to='{ORCHARD}'"), &format!("to='{GARDEN}'"));
    assert_eq!(world.read(garden), to(GARDEN) + &others);
    assert_eq!(world.read(connected) + &world.read(juliet), "");
}

/// §4.4.2: an update is broadcast; who is there already is not sent the others again.
#[test]
fn updates_are_broadcast_once() {
    let mut world = World::new();
    let (orchard, garden) = (world.available(ORCHARD, 0), world.available(GARDEN, 0));
    world.broadcast(orchard, &available(ORCHARD).with_child(status("away"))).expect("valid");
    for (session, to) in [(orchard, ORCHARD), (garden, GARDEN)] {
        let want = format!("<presence from='{ORCHARD}' to='{to}'><status>away</status></presence>");
        assert_eq!(world.read(session), want);
    }
}

#[test]
fn malformed_priority_changes_nothing() {
    let mut world = World::new();
    let orchard = world.bind(ORCHARD);
    let priority = Element::new("priority", ns::CLIENT).with_text("128");
    let error = world.broadcast(orchard, &available(ORCHARD).with_child(priority));
    assert_eq!(error, Err(Condition::BadRequest.into()));
    assert_eq!(world.read(orchard), "");
    let refused = world.deliver(&message("romeo@localhost", MessageType::Chat));
    assert_eq!(refused, Err(Condition::ServiceUnavailable), "still not available");
}

/// What is kept of a session is bounded.
#[test]
fn a_huge_presence_is_refused() {
    let mut world = World::new();
    let (orchard, garden) = (world.bind(ORCHARD), world.available(GARDEN, 0));
    let huge = available(ORCHARD).with_child(status(&"x".repeat(16 * 1024)));
    let error = world.broadcast(orchard, &huge).expect_err("too large");
    assert_eq!(error.condition, Condition::PolicyViolation);
    assert_eq!(world.read(garden), "");
}

/// §4.5.2: the sending resource hears it as well; afterwards it is available to nobody.
#[test]
fn unavailable_is_broadcast() {
    let mut world = World::new();
    let (orchard, garden) = (world.available(ORCHARD, 0), world.available(GARDEN, 0));
    let gone = presence(ORCHARD, PresenceType::Unavailable).with_child(status("bye"));
    world.broadcast(orchard, &gone).expect("valid");
    for (session, to) in [(orchard, ORCHARD), (garden, GARDEN)] {
        let want = format!(
            "<presence from='{ORCHARD}' type='unavailable' to='{to}'>\
             <status>bye</status></presence>"
        );
        assert_eq!(world.read(session), want);
    }
    // Said once: neither a second time nor the end of the session repeats it.
    world.broadcast(orchard, &gone).expect("valid");
    world.end(orchard);
    assert_eq!(world.read(garden), "");
}

#[test]
fn the_end_of_a_session_is_its_unavailable_presence() {
    let mut world = World::new();
    let (orchard, garden) = (world.available(ORCHARD, 0), world.available(GARDEN, 0));
    world.end(orchard);
    let want = format!("<presence from='{ORCHARD}' type='unavailable' to='{GARDEN}'/>");
    assert_eq!(world.read(garden), want);
    // A session that never was available has nothing to say.
    let mute = world.bind("romeo@localhost/mute");
    world.end(mute);
    assert_eq!(world.read(garden), "");
}

#[test]
fn subscriptions_need_an_address_and_probes_are_ignored() {
    use PresenceType as P;
    let mut world = World::new();
    let orchard = world.available(ORCHARD, 0);
    for kind in [P::Subscribe, P::Subscribed, P::Unsubscribe, P::Unsubscribed] {
        let error = world.broadcast(orchard, &presence(ORCHARD, kind));
        assert_eq!(error, Err(Condition::BadRequest.into()), "{kind:?}");
    }
    for kind in [P::Probe, P::Error] {
        assert_eq!(world.broadcast(orchard, &presence(ORCHARD, kind)), Ok(()), "{kind:?}");
    }
    assert_eq!(world.read(orchard), "");
}

fn see(world: &mut World, session: SessionId, from: &str, to: &str) {
    let presence = presence_to(from, to, PresenceType::Available);
    world.direct(session, &presence).expect("within the limit");
}

/// §4.6.3: who was sent presence directly is told of the end, each once.
#[test]
fn directed_presence_is_taken_back_at_the_end() {
    let mut world = World::new();
    let (orchard, balcony) = (world.bind(ORCHARD), world.available(BALCONY, 0));
    let chamber = world.available("juliet@localhost/chamber", -5);
    see(&mut world, orchard, ORCHARD, "juliet@localhost");
    see(&mut world, orchard, ORCHARD, "juliet@localhost");
    let arrival = format!("<presence from='{ORCHARD}' to='juliet@localhost'/>");
    assert_eq!(world.read(balcony), arrival.repeat(2));
    assert_eq!(world.read(chamber), arrival.repeat(2));
    world.end(orchard);
    let farewell = format!("<presence from='{ORCHARD}' type='unavailable' to='juliet@localhost'/>");
    assert_eq!(world.read(balcony), farewell);
    assert_eq!(world.read(chamber), farewell);
}

#[test]
fn broadcast_unavailable_takes_directed_presence_back() {
    let mut world = World::new();
    let (orchard, balcony) = (world.available(ORCHARD, 0), world.bind(BALCONY));
    see(&mut world, orchard, ORCHARD, BALCONY);
    world.forget();
    let gone = presence(ORCHARD, PresenceType::Unavailable).with_child(status("bye"));
    world.broadcast(orchard, &gone).expect("valid");
    let want = format!(
        "<presence from='{ORCHARD}' type='unavailable' to='{BALCONY}'>\
         <status>bye</status></presence>"
    );
    assert_eq!(world.read(balcony), want);
    world.end(orchard);
    assert_eq!(world.read(balcony), "", "once is enough");
}

#[test]
fn directed_unavailable_ends_the_tracking() {
    let mut world = World::new();
    let (orchard, balcony) = (world.available(ORCHARD, 0), world.available(BALCONY, 0));
    see(&mut world, orchard, ORCHARD, BALCONY);
    let gone = presence_to(ORCHARD, BALCONY, PresenceType::Unavailable);
    world.direct(orchard, &gone).expect("valid");
    world.forget();
    world.end(orchard);
    assert_eq!(world.read(balcony), "");
}

/// A target that is no account of ours is told through the router.
#[test]
fn other_targets_are_told_through_the_router() {
    let mut world = World::new();
    let orchard = world.bind(ORCHARD);
    let to_server = presence_to(ORCHARD, "localhost", PresenceType::Available);
    world.im.track_directed(&mut world.cx, orchard, &to_server).expect("within the limit");
    world.end(orchard);
    let routed = world.cx.poll_routed().expect("a farewell");
    assert_eq!(routed, presence_to(ORCHARD, "localhost", PresenceType::Unavailable));
    assert!(world.cx.poll_routed().is_none());
}

/// The user's own resources hear of the end once, by the broadcast.
#[test]
fn own_resources_are_told_once() {
    let mut world = World::new();
    let (orchard, garden) = (world.available(ORCHARD, 0), world.available(GARDEN, 0));
    let mute = world.bind("romeo@localhost/mute");
    for to in ["romeo@localhost", GARDEN, ORCHARD, "romeo@localhost/mute"] {
        see(&mut world, orchard, ORCHARD, to);
    }
    world.forget();
    world.broadcast(orchard, &presence(ORCHARD, PresenceType::Unavailable)).expect("valid");
    let want = |to: &str| format!("<presence from='{ORCHARD}' type='unavailable' to='{to}'/>");
    assert_eq!(world.read(garden), want(GARDEN));
    assert_eq!(world.read(orchard), want(ORCHARD));
    // It is not available, so the broadcast did not reach it.
    assert_eq!(world.read(mute), want("romeo@localhost/mute"));
}

#[test]
fn directed_presence_is_limited() {
    let mut config = Config::default();
    config.limits.directed_presences = 2;
    let mut world = World::with(config);
    let orchard = world.bind(ORCHARD);
    see(&mut world, orchard, ORCHARD, "a@localhost");
    see(&mut world, orchard, ORCHARD, "b@localhost");
    see(&mut world, orchard, ORCHARD, "a@localhost");
    let third = presence_to(ORCHARD, "c@localhost", PresenceType::Available);
    let error = world.direct(orchard, &third).expect_err("over the limit");
    assert_eq!(error.condition, Condition::PolicyViolation);
    // Room again once one of them is taken back.
    let gone = presence_to(ORCHARD, "a@localhost", PresenceType::Unavailable);
    world.direct(orchard, &gone).expect("always allowed");
    assert_eq!(world.direct(orchard, &third), Ok(()));
}

#[test]
fn a_stale_session_is_nobody() {
    let mut world = World::new();
    let orchard = world.available(ORCHARD, 0);
    world.end(orchard);
    assert_eq!(world.broadcast(orchard, &available(ORCHARD)), Ok(()));
    let directed = presence_to(ORCHARD, BALCONY, PresenceType::Available);
    assert_eq!(world.direct(orchard, &directed), Ok(()));
    world.end(orchard);
    assert_eq!(world.im.sessions_count(), 0);
    assert!(world.im.accounts.is_empty() && world.im.addresses.is_empty());
}
