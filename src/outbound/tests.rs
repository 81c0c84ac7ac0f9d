//! What is pushed comes out, once and in order, or is taken back; bounds and marks hold.

mod managed;

use std::io::IoSlice;

use super::*;
use crate::xml::Element;
use crate::xmpp::{MessageType, StanzaKind, ns};

/// What waits, as text, with nothing taken.
fn waiting(outbox: &Outbox) -> String {
    let mut slices = [IoSlice::new(b""); 64];
    let used = outbox.slices(&mut slices);
    slices[..used].iter().map(|slice| String::from_utf8_lossy(slice).into_owned()).collect()
}

fn message(body_bytes: usize) -> Envelope {
    let from = Jid::parse("room@c.example/nick").unwrap();
    let body = Element::new("body", ns::CLIENT).with_text("x".repeat(body_bytes));
    Envelope::new(
        &Stanza::new(StanzaKind::Message(MessageType::Groupchat), from, None).with_child(body),
    )
}

#[test]
fn small_and_large_stanzas_come_out_in_order() {
    let mut out = Outboxes::new(0);
    let id = out.open();
    let to = to_attribute(&Jid::parse("a@c.example/r's").unwrap());
    assert_eq!(&to[..], b" to='a@c.example/r&apos;s'");
    for bytes in [1, 5000, 2] {
        out.push_envelope(id, &message(bytes), &to);
    }
    let outbox = out.get_mut(id).unwrap();
    let head = "<message from='room@c.example/nick' type='groupchat' to='a@c.example/r&apos;s'>";
    let expected: String = [1, 5000, 2]
        .map(|bytes| format!("{head}<body>{}</body></message>", "x".repeat(bytes)))
        .concat();
    assert_eq!(waiting(outbox), expected);
    assert_eq!((outbox.len(), outbox.stanzas_waiting()), (expected.len(), 3));
    // Taken in odd pieces, nothing is lost and stanzas are counted out.
    let mut taken = String::new();
    while !outbox.is_empty() {
        let step = outbox.len().min(997);
        taken.push_str(&waiting(outbox)[..step]);
        outbox.consume(step);
    }
    assert_eq!(taken, expected);
    assert_eq!(outbox.stanzas_waiting(), 0);
}

#[test]
fn a_lost_commit_takes_back_what_depended_on_it_and_nothing_else() {
    let mut out = Outboxes::new(0);
    let (writer, other) = (out.open(), out.open());
    out.push_raw(writer, b"before");
    out.commit_turn();
    out.begin_handler();
    out.push_raw(writer, b"-this turn");
    out.begin_handler();
    out.push_raw(writer, b"-ack");
    out.push_envelope(writer, &message(3000), b"");
    out.taint_handler(None, true);
    out.begin_handler();
    out.push_end(writer, b"</stream:stream>");
    out.begin_handler();
    out.push_raw(other, b"chat");
    assert_eq!(out.roll_back_turn(), vec![writer]);
    assert_eq!(waiting(out.get(writer).unwrap()), "before-this turn");
    assert_eq!(out.get(writer).unwrap().stanzas_waiting(), 0);
    assert_eq!(waiting(out.get(other).unwrap()), "chat");
    // The next turn starts afresh, and a stream whose end was taken back can end once more.
    out.push_raw(writer, b"!");
    assert!(out.roll_back_turn().is_empty());
    assert_eq!(waiting(out.get(writer).unwrap()), "before-this turn!");
}

#[test]
fn who_reads_too_slowly_is_cut_and_takes_nothing_more() {
    let mut out = Outboxes::new(100);
    let (slow, fine) = (out.open(), out.open());
    out.push_raw(slow, &[b'x'; 90]);
    out.push_raw(fine, &[b'x'; 90]);
    out.push_envelope(slow, &message(1), b"");
    out.push_envelope(slow, &message(1), b"");
    assert_eq!(out.take_cut(), vec![slow]);
    assert_eq!(out.get(slow).unwrap().len(), 90);
    assert_eq!(out.stanzas_dropped, 2);
    assert!(out.take_cut().is_empty());
}

#[test]
fn over_the_total_the_largest_is_cut_first() {
    let mut out = Outboxes::new(0);
    let ids = [10, 300, 200].map(|bytes| {
        let id = out.open();
        out.push_raw(id, &vec![b'x'; bytes]);
        id
    });
    out.enforce_total(0);
    assert!(out.take_cut().is_empty());
    out.enforce_total(250);
    assert_eq!(out.take_cut(), vec![ids[1]]);
    assert_eq!(out.bytes_waiting(), 210);
    // What was written in the meantime does not count.
    out.get_mut(ids[2]).unwrap().consume(200);
    out.push_raw(ids[0], &[b'x'; 240]);
    out.enforce_total(250);
    assert!(out.take_cut().is_empty());
    out.push_raw(ids[0], b"x");
    out.enforce_total(250);
    assert_eq!(out.take_cut(), vec![ids[0]]);
}

#[test]
fn who_has_not_read_what_waited_at_the_last_look_is_cut_before_others() {
    let mut out = Outboxes::new(0);
    let [late, reader, newcomer] = [100, 200, 0].map(|bytes| {
        let id = out.open();
        out.push_raw(id, &vec![b'x'; bytes]);
        id
    });
    assert!(out.exceeds(299) && !out.exceeds(300));
    out.cut_laggards(10);
    assert!(out.take_cut().is_empty(), "nobody was late before");
    // One reads what waited, and has as much again; one reads a little.
    out.get_mut(reader).unwrap().consume(200);
    out.push_raw(reader, &[b'x'; 200]);
    out.get_mut(late).unwrap().consume(10);
    out.push_raw(newcomer, &[b'x'; 300]);
    out.enforce_total(500);
    assert_eq!(out.take_cut(), vec![late]);
    out.cut_laggards(10);
    assert!(out.take_cut().is_empty(), "the others have read what waited then");
    out.enforce_total(499);
    assert_eq!(out.take_cut(), vec![newcomer], "nobody is late: the largest");
}

#[test]
fn the_switch_to_tls_is_due_after_the_last_clear_byte() {
    let mut out = Outboxes::new(0);
    let id = out.open();
    out.push_raw(id, b"<proceed/>");
    out.mark_starttls(id);
    let outbox = out.get_mut(id).unwrap();
    assert!(outbox.starttls_is_marked() && !outbox.starttls_is_due());
    outbox.consume(9);
    assert!(!outbox.starttls_is_due());
    outbox.consume(1);
    assert!(outbox.starttls_is_due());
    outbox.starttls_done();
    assert!(!outbox.starttls_is_marked());
}

#[test]
fn stale_handles_and_ended_streams_take_nothing() {
    let mut out = Outboxes::new(0);
    let old = out.open();
    out.close(old);
    let new = out.open();
    out.push_raw(old, b"lost");
    out.close(old);
    assert_eq!((old.index, out.len()), (new.index, 1));
    out.push_end(new, b"</stream:stream>");
    out.push_raw(new, b"late");
    assert_eq!(waiting(out.get(new).unwrap()), "</stream:stream>");
    assert_eq!(out.poll_dirty(), Some(new));
    assert_eq!(out.poll_dirty(), None);
}
