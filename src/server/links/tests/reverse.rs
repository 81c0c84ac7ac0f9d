//! Streams both ways, questions about keys, and links of others that carry what is ours.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use crate::ids::{ConnId, Door, SessionId, Target};
use crate::peers::Pair;
use crate::xml::Element;
use crate::xmpp::{MessageType, Stanza, StanzaKind, ns};

use super::peer::{Manners, Peer};
use super::world::{World, jid};

const ALICE: &str = "alice@localhost/a";
const BOB: &str = "bob@remote.example";

fn pair(ours: &str, theirs: &str) -> Pair {
    Pair { ours: ours.into(), theirs: theirs.into() }
}

/// A stream of ours that carries a message, and perhaps the other way too.
fn joined(manners: Manners) -> (World, ConnId) {
    let mut world = World::new(Peer::new(manners));
    world.send("1", ALICE, BOB);
    world.run();
    assert_eq!(world.peer.got, ["1"]);
    let conn = world.conn();
    (world, conn)
}

fn message(from: &str, to: &str) -> String {
    format!("<message from='{from}' to='{to}' type='chat' id='back'><body>hi</body></message>")
}

#[test]
fn stanzas_come_back_from_what_is_proved() {
    let bidi = Manners { bidi: true, ..Manners::plain() };
    let check = |manners, from: &str, to: &str, is_taken| {
        let (mut world, conn) = joined(manners);
        world.feed(conn, message(from, to).as_bytes());
        world.run();
        assert_eq!(world.told().contains("id='back'"), is_taken, "{from} {to}");
        assert_eq!(world.conns.is_empty(), !is_taken, "{from} {to}");
    };
    check(bidi, "bob@remote.example/x", ALICE, true);
    check(bidi, "bob@REMOTE.example/x", ALICE, true);
    check(bidi, "bob@other.example/x", ALICE, false);
    check(bidi, "bob@remote.example/x", "room@conference.localhost", false);
    check(bidi, "bob@remote.example", "", false);
    check(Manners::plain(), "bob@remote.example/x", ALICE, false);
}

#[test]
fn the_other_side_proves_more() {
    let bidi = Manners { bidi: true, ..Manners::plain() };
    for (verdict, is_taken) in [("valid", true), ("invalid", false), ("item-not-found", false)] {
        let (mut world, conn) = joined(Manners { verdict, ..bidi });
        let key = "<db:result from='other.example' to='localhost'>k</db:result>";
        world.feed(conn, key.as_bytes());
        world.run();
        // Asked over another connection, which was closed at once.
        assert_eq!(world.tried.len(), 2);
        assert_eq!(world.peer.asked.last().unwrap().1, "other.example");
        assert_eq!(world.conns.len(), 1, "{verdict}");
        let answer = world.peer.answers.last().cloned();
        let wants = if is_taken { "valid" } else { "error" };
        assert_eq!(answer.as_deref(), Some(wants), "{verdict}");
        world.feed(conn, message("carol@other.example", ALICE).as_bytes());
        world.run();
        assert_eq!(world.told().contains("id='back'"), is_taken, "{verdict}");
    }
    let refused = |manners, from: &str, to: &str| {
        let (mut world, conn) = joined(manners);
        world.feed(conn, format!("<db:result from='{from}' to='{to}'>k</db:result>").as_bytes());
        world.run();
        assert_eq!(world.peer.answers.last().map(String::as_str), Some("error"), "{from} {to}");
        assert_eq!((world.tried.len(), world.conns.len()), (1, 1));
    };
    refused(bidi, "other.example", "nowhere.example");
    refused(bidi, "localhost", "localhost");
    refused(Manners::plain(), "other.example", "localhost");
}

#[test]
fn a_key_is_never_verified_where_it_came_from() {
    let (mut world, conn) = joined(Manners { bidi: true, ..Manners::plain() });
    world.feed(conn, b"<db:result from='remote.example' to='conference.localhost'>k</db:result>");
    world.run();
    assert_eq!(world.peer.heard, ["bidi", "result", "verify", "result"]);
    assert_eq!(world.tried.len(), 2, "the server that is asked is the same, the stream is not");
    assert_eq!(world.peer.answers, ["valid"]);
    assert_eq!(world.conns.len(), 1);
}

/// A link of another server that has come to us.
fn incoming(world: &mut World) -> (ConnId, SessionId) {
    let conn = ConnId { index: 1_000, generation: 1 };
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert!(world.server.handle_accept_link(world.now, conn, Door::Servers, address, false));
    let id = world.server.links.at(conn).unwrap();
    world.peer.accept(conn);
    (conn, id)
}

/// A key has come over this link.
fn ask(world: &mut World, asker: SessionId) {
    world.server.begin_chain();
    world.server.verify_key(asker, &pair("localhost", "remote.example"), "id", "k");
    world.server.finish_chain();
    world.turn();
}

#[test]
fn questions_without_an_answer_end() {
    for (is_dead, is_mute, verdict) in
        [(true, false, "valid"), (false, true, "valid"), (false, false, "")]
    {
        let mut world = World::new(Peer::new(Manners { is_mute, verdict, ..Manners::plain() }));
        world.is_dead = is_dead;
        let (_, asker) = incoming(&mut world);
        ask(&mut world, asker);
        world.run();
        let is_over = |world: &World| world.server.questions_count() == 0;
        assert_eq!(is_over(&world), is_dead);
        world.wait(20_000);
        assert!(is_over(&world));
        world.wait(20_000);
        assert!(world.conns.is_empty());
        let residue = world.server.residue();
        assert_eq!((residue.queues, residue.attempts), (0, 0));
    }
}

#[test]
fn a_question_does_not_wait_for_a_pause() {
    let mut world = World::new(Peer::new(Manners::plain()));
    world.is_dead = true;
    world.send("1", ALICE, BOB);
    world.run();
    world.is_dead = false;
    let (_, asker) = incoming(&mut world);
    ask(&mut world, asker);
    world.run();
    assert_eq!(world.peer.heard, ["verify"]);
    assert_eq!(world.server.questions_count(), 0);
    assert!(world.conns.is_empty(), "a stream for a question alone is closed");
}

#[test]
fn a_question_uses_the_stream_that_is_there() {
    let (mut world, _) = joined(Manners::plain());
    let (_, asker) = incoming(&mut world);
    ask(&mut world, asker);
    world.run();
    assert_eq!(world.tried.len(), 1);
    assert_eq!(world.peer.heard, ["result", "verify"]);
    assert_eq!(world.conns.len(), 1);
}

#[test]
fn links_of_others_carry_what_is_ours() {
    let mut world = World::new(Peer::new(Manners::plain()));
    let (conn, link) = incoming(&mut world);
    world.server.begin_chain();
    world.server.link_takes(link, &pair("localhost", "remote.example"));
    world.server.finish_chain();
    world.send("1", ALICE, BOB);
    world.run();
    assert!(world.tried.is_empty());
    let outbox = world.server.outbox(conn).unwrap();
    assert_eq!(outbox.stanzas_waiting(), 1);
    // It is gone before that was written: another way is found.
    world.server.handle_closed(world.now, conn, "cut");
    world.send("2", ALICE, BOB);
    world.run();
    assert_eq!(world.peer.got, ["1", "2"]);
    assert_eq!(world.tried.len(), 1);
}

#[test]
fn what_is_lost_twice_comes_back() {
    let mut world = World::new(Peer::new(Manners::plain()));
    let (conn, link) = incoming(&mut world);
    world.server.begin_chain();
    world.server.link_takes(link, &pair("localhost", "remote.example"));
    world.server.finish_chain();
    world.send("1", ALICE, BOB);
    world.server.handle_closed(world.now, conn, "cut");
    world.send("2", ALICE, BOB);
    let is_moved = |world: &mut World| {
        let conn = world.conns.keys().next().copied();
        let outbox = conn.and_then(|conn| world.server.outbox(conn));
        outbox.is_some_and(|outbox| outbox.stanzas_waiting() == 2)
    };
    while !is_moved(&mut world) {
        assert!(world.step());
    }
    world.cut();
    world.run();
    assert!(world.peer.got.is_empty());
    let wants = ["1", "2"].map(|id| (id.to_owned(), "remote-server-timeout".to_owned()));
    assert_eq!(world.bounced(), wants);
    world.assert_idle();
}

#[test]
fn attempts_stand_in_line() {
    let mut world = World::new(Peer::new(Manners::plain()));
    for n in 0..100 {
        world.send("1", ALICE, &format!("bob@sought{n}.example"));
    }
    assert_eq!(world.server.residue().attempts, 100);
    assert_eq!(world.server.queues.attempts_count, 64);
    for n in 0..100 {
        world.server.places_found(&format!("sought{n}.example"), Ok(Vec::new()));
        world.run();
    }
    assert_eq!(world.bounced().len(), 100);
    world.assert_idle();
}

#[test]
fn a_queue_that_is_cut_comes_back() {
    let mut world = World::new(Peer::new(Manners { is_mute: true, ..Manners::plain() }));
    for id in ["1", "2"] {
        world.send(id, ALICE, BOB);
    }
    world.run();
    let queues = world.server.cx.peers.queues_of("remote.example");
    let (ours, queue) = queues.first().cloned().unwrap();
    assert_eq!(ours, Rc::from("localhost"));
    world.server.begin_chain();
    world.server.handle_queue_cut(queue);
    world.server.finish_chain();
    world.turn();
    world.run();
    let wants = ["1", "2"].map(|id| (id.to_owned(), "resource-constraint".to_owned()));
    assert_eq!(world.bounced(), wants);
    world.wait(100_000);
    world.assert_idle();
}

#[test]
fn no_more_is_moved_than_a_window() {
    let (mut world, conn) = joined(Manners::plain());
    let kind = StanzaKind::Message(MessageType::Chat);
    let body = Element::new("body", ns::CLIENT).with_text("x".repeat(99));
    let message = Stanza::new(kind, jid(ALICE), Some(jid(BOB))).with_child(body);
    for n in 0..2_000 {
        world.server.begin_chain();
        let message = message.clone().with_id(Some(format!("m{n}")));
        world.server.handle_one(Target::Routed, message);
        world.server.finish_chain();
    }
    world.turn();
    let moved = world.server.outbox(conn).unwrap().len();
    assert!((65_536..70_000).contains(&moved), "{moved}");
    world.run();
    assert_eq!(world.peer.got.len(), 2_001);
    assert!(world.peer.got[1..].iter().enumerate().all(|(n, got)| *got == format!("m{n}")));
}
