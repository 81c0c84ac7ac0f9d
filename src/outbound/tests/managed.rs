//! What a client has acknowledged is forgotten, the rest is written again, once and in order;
//! bounds hold, and a lost commit takes back what it should.

use super::*;
use crate::outbound::{TooHigh, Undelivered};
use crate::xmpp::PresenceType;

/// Pushes a chat message with this body.
fn push(out: &mut Outboxes, id: SessionId, body: &str) {
    let from = Jid::parse("a@c.example/r").unwrap();
    let body = Element::new("body", ns::CLIENT).with_text(body);
    let kind = StanzaKind::Message(MessageType::Chat);
    out.push_stanza(id, &Stanza::new(kind, from, None).with_child(body));
}

/// Writes everything; returns the bodies of messages and what else stands between them.
fn write(out: &mut Outboxes, id: SessionId) -> String {
    let outbox = out.get_mut(id).unwrap();
    let text = waiting(outbox);
    outbox.consume(outbox.len());
    short(&text)
}

fn short(text: &str) -> String {
    let text = text.replace("<message from='a@c.example/r' type='chat'><body>", "[");
    text.replace("</body></message>", "]")
}

fn bodies(undelivered: &[Undelivered]) -> Vec<String> {
    undelivered.iter().map(|u| short(&String::from_utf8_lossy(&u.xml))).collect()
}

fn managed(bytes_max: usize) -> (Outboxes, SessionId) {
    let mut out = Outboxes::new(0);
    let id = out.open();
    push(&mut out, id, "before");
    out.manage(id, bytes_max);
    (out, id)
}

#[test]
fn what_is_not_acknowledged_is_written_again_after_what_waits_for_the_new_connection() {
    let (mut out, id) = managed(0);
    for body in ["1", "2", "3"] {
        push(&mut out, id, body);
        out.push_raw(id, b"<r/>");
    }
    assert_eq!(write(&mut out, id), "[before][1]<r/>[2]<r/>[3]<r/>");
    push(&mut out, id, "4");
    assert_eq!(out.get_mut(id).unwrap().acknowledge(1), Ok(1));
    assert!(out.detach(id));
    push(&mut out, id, "5");
    out.commit_turn();
    let new = out.open();
    out.push_raw(new, b"<success/>");
    assert_eq!(out.get(id).unwrap().reaches_back_to(2), Ok(true));
    out.get_mut(id).unwrap().acknowledge(2).unwrap();
    out.move_to(id, new);
    out.push_raw(id, b"<resumed/>");
    out.write_again(id);
    push(&mut out, id, "6");
    assert_eq!(write(&mut out, id), "<success/><resumed/>[3][4][5][6]");
    assert!(out.get(new).unwrap().is_empty());
    assert_eq!(out.get_mut(id).unwrap().acknowledge(6), Ok(4));
    assert_eq!((out.bytes_kept(), out.get(id).unwrap().stanzas_unacknowledged()), (0, 0));
}

#[test]
fn a_half_written_stanza_is_written_again_whole() {
    for cut in 0..=70 {
        let (mut out, id) = managed(0);
        assert_eq!(write(&mut out, id), "[before]");
        push(&mut out, id, "1");
        out.push_raw(id, b"<r/>");
        push(&mut out, id, "2");
        let outbox = out.get_mut(id).unwrap();
        outbox.consume(cut.min(outbox.len()));
        assert!(out.detach(id));
        let new = out.open();
        out.move_to(id, new);
        out.write_again(id);
        assert_eq!(write(&mut out, id), "[1][2]", "cut after {cut} bytes");
        let left = out.take_undelivered(id);
        assert_eq!(bodies(&left), ["[1]", "[2]"]);
    }
}

#[test]
fn counts_wrap_and_too_high_ones_are_found() {
    let (mut out, id) = managed(0);
    write(&mut out, id);
    out.get_mut(id).unwrap().ledger.as_mut().unwrap().begin_at((1 << 32) - 2);
    for body in ["1", "2", "3"] {
        push(&mut out, id, body);
    }
    let mut acknowledge = |h| out.get_mut(id).unwrap().acknowledge(h);
    // Nothing is written yet.
    assert_eq!(acknowledge(u32::MAX), Err(TooHigh { sent: u32::MAX - 1 }));
    out.get_mut(id).unwrap().consume(70);
    let mut acknowledge = |h| out.get_mut(id).unwrap().acknowledge(h);
    assert_eq!(acknowledge(u32::MAX), Ok(1));
    let rest = out.get(id).unwrap().len();
    out.get_mut(id).unwrap().consume(rest);
    let mut acknowledge = |h| out.get_mut(id).unwrap().acknowledge(h);
    assert_eq!(acknowledge(2), Err(TooHigh { sent: 1 }));
    assert_eq!(acknowledge(0), Ok(1));
    // Old news.
    assert_eq!(acknowledge(u32::MAX), Ok(0));
    assert_eq!(acknowledge(1), Ok(1));
}

#[test]
fn from_the_start_only_what_was_written_can_be_acknowledged() {
    let (mut out, id) = managed(0);
    write(&mut out, id);
    for h in [1, u32::MAX, 1 << 31] {
        assert_eq!(out.get_mut(id).unwrap().acknowledge(h), Err(TooHigh { sent: 0 }), "{h}");
    }
    assert_eq!(out.get_mut(id).unwrap().acknowledge(0), Ok(0));
}

#[test]
fn a_client_that_acknowledges_nothing_costs_a_bounded_number_of_bytes() {
    let (mut out, id) = managed(1000);
    for _ in 0..100 {
        push(&mut out, id, "0123456789");
        out.push_raw(id, b"<a/>");
        write(&mut out, id);
        assert!(out.bytes_kept() <= 1000);
    }
    // The beginning is gone, and whoever asks for it is told so; the end is there.
    let outbox = out.get_mut(id).unwrap();
    assert_eq!(outbox.reaches_back_to(10), Ok(false));
    assert_eq!(outbox.reaches_back_to(95), Ok(true));
    assert_eq!(outbox.acknowledge(10), Ok(0));
    assert_eq!(outbox.acknowledge(100).map(|news| news > 5), Ok(true));
    // What is no stanza is not kept for long.
    for _ in 0..100 {
        out.push_raw(id, b"<a/>");
        write(&mut out, id);
    }
    assert_eq!(out.bytes_kept(), 0);
}

#[test]
fn without_a_connection_too_much_is_told() {
    let (mut out, id) = managed(300);
    write(&mut out, id);
    assert!(out.detach(id));
    let mut pushed = 0;
    while out.take_overflowed().is_empty() {
        push(&mut out, id, "0123456789");
        pushed += 1;
    }
    assert_eq!(pushed, 300 / 75 + 1);
    // Nothing of it is lost, nor what is pushed before the server ends the session.
    push(&mut out, id, "last");
    assert_eq!(out.take_undelivered(id).len(), pushed + 1);
    // Too much is waiting already when the connection goes.
    let (mut out, id) = managed(300);
    (0..10).for_each(|_| push(&mut out, id, "0123456789"));
    assert!(!out.detach(id));
}

#[test]
fn what_an_unmanaged_session_was_not_written_is_there() {
    let mut out = Outboxes::new(0);
    let id = out.open();
    out.push_raw(id, b"<features/>");
    for body in ["1", "2", "3"] {
        push(&mut out, id, body);
    }
    out.push_end(id, b"</stream:stream>");
    out.get_mut(id).unwrap().consume(11 + 70);
    assert!(out.get(id).unwrap().is_amid_stanza());
    assert_eq!(bodies(&out.take_undelivered(id)), ["[3]"]);
    assert!(out.take_undelivered(id).is_empty());
    // What is queued is written all the same.
    assert!(waiting(out.get(id).unwrap()).ends_with("</stream:stream>"));
}

#[test]
fn a_lost_commit_leaves_what_was_queued_before_and_writes_nothing_of_a_resumption() {
    let (mut out, id) = managed(0);
    write(&mut out, id);
    out.commit_turn();
    push(&mut out, id, "1");
    assert!(out.detach(id));
    out.commit_turn();
    // In one turn: a message that depends on the commit, then the resumption.
    out.begin_handler();
    push(&mut out, id, "2");
    out.taint_handler(None, true);
    let new = out.open();
    out.begin_handler();
    out.push_raw(new, b"<success/>");
    out.taint_handler(None, true);
    out.move_to(id, new);
    out.push_raw(id, b"<resumed/>");
    out.write_again(id);
    assert_eq!(short(&waiting(out.get(id).unwrap())), "<success/><resumed/>[1][2]");
    assert!(out.roll_back_turn().contains(&id));
    assert!(out.get(id).unwrap().is_empty());
    assert_eq!(bodies(&out.take_undelivered(id)), ["[1]"]);
}

#[test]
fn what_is_not_urgent_waits_for_what_is() {
    let mut out = Outboxes::new(0);
    let id = out.open();
    let presence = |out: &mut Outboxes| {
        let from = Jid::parse("a@c.example/r").unwrap();
        let kind = StanzaKind::Presence(PresenceType::Available);
        out.push_envelope(id, &Envelope::new(&Stanza::new(kind, from, None)), b"");
    };
    out.set_active(id, false);
    presence(&mut out);
    assert_eq!(out.poll_dirty(), None);
    push(&mut out, id, "1");
    assert_eq!(out.poll_dirty(), Some(id));
    assert_eq!(write(&mut out, id), "<presence from='a@c.example/r'/>[1]");
    presence(&mut out);
    assert_eq!(out.poll_dirty(), None);
    out.set_active(id, true);
    assert_eq!(out.poll_dirty(), Some(id));
    write(&mut out, id);
    // There is a bound to it.
    out.set_active(id, false);
    for count in 0.. {
        presence(&mut out);
        if out.poll_dirty().is_some() {
            assert_eq!(count, 200);
            break;
        }
    }
}
