//! The fan-out in process: one stanza into the outboxes of 1,000 sessions, and out again, without
//! a socket: `cargo bench --bench fanout`.
//!
//! For each size of stanza, nanoseconds and allocations per recipient: as the server does it
//! (small stanzas copied into the recipient's open chunk, large ones shared), and, to show where
//! the one becomes cheaper than the other, always copied and always shared. What the bench calls
//! the crossover is what `SHARED_BYTES_MIN` in `src/outbound.rs` ought to be near. It prints
//! figures and asserts none. The counting allocator is why this file has `unsafe`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::io::IoSlice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tercet::ids::SessionId;
use tercet::outbound::{Envelope, Outboxes, to_attribute};
use tercet::xml::Element;
use tercet::xmpp::{Jid, MessageType, Stanza, StanzaKind};

const RECIPIENTS: usize = 1000;
const SIZES: &[usize] = &[200, 300, 500, 750, 1000, 1500, 2000, 3000, 4000, 8000, 16_000];
/// Stanzas of one turn: what arrives together is written together.
const TURNS: &[usize] = &[1, 4];

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Nanoseconds and allocations per recipient and stanza.
fn measure(stanzas: usize, mut turn: impl FnMut()) -> (f64, f64) {
    for _ in 0..3 {
        turn();
    }
    let (mut best_ns, mut allocations) = (f64::MAX, 0.0);
    let began = Instant::now();
    let mut turns = 0;
    while turns < 5 || (turns < 300 && began.elapsed().as_millis() < 150) {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let start = Instant::now();
        turn();
        let ns = start.elapsed().as_nanos() as f64;
        let count = (stanzas * RECIPIENTS) as f64;
        allocations = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / count;
        best_ns = best_ns.min(ns / count);
        turns += 1;
    }
    (best_ns, allocations)
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).expect("an address of this bench is valid")
}

fn message(bytes: usize) -> Stanza {
    let from = jid("room@conference.localhost/nick");
    let make = |body: usize| {
        let body = Element::new("body", "jabber:client").with_text("x".repeat(body));
        let kind = StanzaKind::Message(MessageType::Groupchat);
        Stanza::new(kind, from.clone(), None).with_id(Some("id-0001".to_owned())).with_child(body)
    };
    let frame = Envelope::new(&make(0)).len();
    make(bytes.saturating_sub(frame).max(1))
}

/// As the server does it: push, commit, take the slices, as one write would.
fn outboxes(stanza: &Stanza, stanzas: usize) -> (f64, f64) {
    let mut out = Outboxes::new(0);
    let seats: Vec<(SessionId, Bytes)> = (0..RECIPIENTS)
        .map(|number| {
            (out.open(), to_attribute(&jid(&format!("user{number:04}@localhost/resource"))))
        })
        .collect();
    measure(stanzas, || {
        for _ in 0..stanzas {
            let envelope = Envelope::new(stanza);
            out.begin_handler();
            for (session, to) in &seats {
                out.push_envelope(*session, &envelope, to);
            }
        }
        out.commit_turn();
        while let Some(session) = out.poll_dirty() {
            let Some(outbox) = out.get_mut(session) else { continue };
            while !outbox.is_empty() {
                let mut slices = [IoSlice::new(&[]); 16];
                let used = outbox.slices(&mut slices);
                let count = slices[..used].iter().map(|slice| slice.len()).sum();
                black_box(&slices[..used]);
                outbox.consume(count);
            }
        }
    })
}

/// The tail of each stanza copied into a buffer per recipient.
fn copied(tail: &Bytes, stanzas: usize) -> (f64, f64) {
    let mut queues: Vec<BytesMut> = (0..RECIPIENTS).map(|_| BytesMut::new()).collect();
    measure(stanzas, || {
        for _ in 0..stanzas {
            for queue in &mut queues {
                queue.extend_from_slice(tail);
            }
        }
        for queue in &mut queues {
            black_box(&queue[..]);
            *queue = BytesMut::new(); // an idle session keeps no buffer
        }
    })
}

/// The tail of each stanza shared: a head of its own per recipient, then a reference.
fn shared(tail: &Bytes, stanzas: usize) -> (f64, f64) {
    let mut queues: Vec<Vec<Bytes>> = (0..RECIPIENTS).map(|_| Vec::new()).collect();
    let head = [b'h'; 100];
    measure(stanzas, || {
        for _ in 0..stanzas {
            for queue in &mut queues {
                queue.push(Bytes::copy_from_slice(&head));
                queue.push(tail.clone());
            }
        }
        for queue in &mut queues {
            black_box(&queue[..]);
            *queue = Vec::new();
        }
    })
}

fn main() {
    for &stanzas in TURNS {
        println!(
            "\n1×{RECIPIENTS}, {stanzas} stanza(s) per turn: ns (allocations) per recipient\n"
        );
        println!("| bytes | outboxes | tail copied | tail shared |");
        println!("|--:|--:|--:|--:|");
        let mut crossover = None;
        for &bytes in SIZES {
            let stanza = message(bytes);
            let tail = Bytes::from(vec![b'x'; bytes.saturating_sub(80)]);
            let served = outboxes(&stanza, stanzas);
            let (copied, shared) = (copied(&tail, stanzas), shared(&tail, stanzas));
            if copied.0 > shared.0 {
                crossover = crossover.or(Some(bytes));
            }
            let cell = |(ns, allocations): (f64, f64)| format!("{ns:.0} ({allocations:.2})");
            println!("| {bytes} | {} | {} | {} |", cell(served), cell(copied), cell(shared));
        }
        match crossover {
            Some(bytes) => println!("\nSharing is cheaper from about {bytes} bytes on."),
            None => println!("\nCopying is cheaper at all sizes."),
        }
    }
}
