//! What XML and addresses cost: time and allocations per stanza, bytes per idle stream.
//!
//! `cargo bench --bench parse` prints figures and asserts none; the best of several rounds is
//! shown, because a busy machine only ever adds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use tercet::xml::writer::write_element;
use tercet::xml::{Element, StreamEvent, StreamParser, XmlLimits};
use tercet::xmpp::Jid;
use tercet::xmpp::prep::nick_key;

/// Counts what is allocated, and how much of it is held.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to `System` as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        HELD_BYTES.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD_BYTES.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        HELD_BYTES.fetch_add(size, Relaxed);
        HELD_BYTES.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LIMITS: XmlLimits =
    XmlLimits { stanza_bytes_max: 262_144, depth_max: 64, attributes_max: 128, nodes_max: 10_000 };
const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";
const MESSAGE: &str = "<message to='lunch@conference.localhost' type='groupchat' \
    id='8f1c2d3e-4a5b-6c7d-8e9f-0a1b2c3d4e5f'><body>When shall we three meet again, thunder, \
    lightning or in rain?</body><origin-id xmlns='urn:xmpp:sid:0' \
    id='8f1c2d3e-4a5b-6c7d-8e9f'/></message>";
const PRESENCE: &str = "<presence to='lunch@conference.localhost/first'>\
    <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://example.org/client' \
    ver='QgayPKawpkPSDYmwT/WM94uAlu0='/><x xmlns='http://jabber.org/protocol/muc'>\
    <history maxstanzas='20'/></x></presence>";
const IQ: &str = "<iq type='get' to='localhost' id='a1'><ping xmlns='urn:xmpp:ping'/></iq>";

const ROUNDS: usize = 15;

/// Prints time and allocations of one `work`, done `count` times a round.
fn measure(label: &str, bytes: usize, count: usize, mut work: impl FnMut()) {
    let mut best = f64::MAX;
    let mut allocations = 0;
    for _ in 0..ROUNDS {
        let before = ALLOCATIONS.load(Relaxed);
        let start = Instant::now();
        for _ in 0..count {
            work();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / count as f64);
        allocations = (ALLOCATIONS.load(Relaxed) - before) / count;
    }
    println!("{label:<34} {bytes:>6} B {best:>9.0} ns {allocations:>5} allocations");
}

fn opened() -> StreamParser {
    let mut parser = StreamParser::new(LIMITS);
    parser.feed(HEADER.as_bytes());
    while let Some(event) = parser.next_event().expect("the header is fine") {
        black_box(event);
    }
    parser
}

fn parse_one(parser: &mut StreamParser, stanza: &str, chunk_bytes: usize) -> Element {
    for chunk in stanza.as_bytes().chunks(chunk_bytes) {
        parser.feed(chunk);
        while let Some(event) = parser.next_event().expect("the stanza is fine") {
            if let StreamEvent::Stanza(element) = event {
                assert!(parser.next_event().expect("nothing follows").is_none());
                return element;
            }
        }
    }
    unreachable!("the stanza is complete");
}

fn parsing() {
    for (name, stanza) in [("message", MESSAGE), ("presence", PRESENCE), ("iq", IQ)] {
        for chunk_bytes in [usize::MAX, 32, 1] {
            let chunks = match chunk_bytes {
                usize::MAX => "whole".to_owned(),
                bytes => format!("chunks of {bytes}"),
            };
            let mut parser = opened();
            measure(&format!("parse {name}, {chunks}"), stanza.len(), 2000, || {
                black_box(parse_one(&mut parser, black_box(stanza), chunk_bytes));
            });
        }
    }
    measure("parse header, new stream", HEADER.len(), 2000, || {
        black_box(opened());
    });
}

fn writing() {
    for (name, stanza) in [("message", MESSAGE), ("presence", PRESENCE), ("iq", IQ)] {
        let element = parse_one(&mut opened(), stanza, usize::MAX);
        let mut out = Vec::with_capacity(4096);
        measure(&format!("write {name}, buffer reused"), stanza.len(), 10_000, || {
            out.clear();
            write_element(&mut out, black_box(&element), "jabber:client");
            black_box(&out);
        });
        measure(&format!("clone {name}"), stanza.len(), 10_000, || {
            black_box(black_box(&element).clone());
        });
    }
}

fn addresses() {
    let table = [
        ("full, ASCII, prepared", "lunch@conference.localhost/first"),
        ("bare, ASCII, upper case", "Lunch@Conference.LocalHost"),
        ("full, emoji in the resource", "lunch@conference.localhost/🧙 first"),
        ("domain with an A-label", "a@xn--bcher-kva.example/x"),
    ];
    for (name, text) in table {
        measure(&format!("jid {name}"), text.len(), 10_000, || {
            black_box(Jid::parse(black_box(text)).expect("the address is fine"));
        });
    }
    for (name, nick) in [("ASCII", "Thirdwitch"), ("other", "Ďábel 🧙")] {
        measure(&format!("nick key, {name}"), nick.len(), 10_000, || {
            black_box(nick_key(black_box(nick)));
        });
    }
}

fn idle() {
    const STREAMS: usize = 1000;
    let before = HELD_BYTES.load(Relaxed);
    let mut parsers: Vec<StreamParser> = (0..STREAMS).map(|_| StreamParser::new(LIMITS)).collect();
    let held = |at: &str| {
        let bytes = (HELD_BYTES.load(Relaxed) - before) / STREAMS;
        println!("idle stream, {at:<21} {bytes:>6} B");
    };
    held("before its header");
    parsers.iter_mut().for_each(|parser| *parser = opened());
    held("after its header");
    for parser in &mut parsers {
        parse_one(parser, MESSAGE, usize::MAX);
    }
    held("after a message");
    let deep = format!("{}{}", "<a b='c'>".repeat(60), "</a>".repeat(60));
    for parser in &mut parsers {
        parse_one(parser, &deep, usize::MAX);
    }
    held("after a deep stanza");
}

fn main() {
    parsing();
    writing();
    addresses();
    idle();
}
