//! The stream parser: the same events whatever the chunks, no panic, and what is written again
//! reads as the same element. The first byte is the size of the chunks; the second says whether a
//! stream header comes first.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tercet::xml::writer::write_element;
use tercet::xml::{StreamEvent, StreamParser, XmlError, XmlLimits};

const LIMITS: XmlLimits =
    XmlLimits { stanza_bytes_max: 4096, depth_max: 30, attributes_max: 30, nodes_max: 400 };
const UNLIMITED: XmlLimits =
    XmlLimits { stanza_bytes_max: 0, depth_max: 0, attributes_max: 0, nodes_max: 0 };
const HEADER: &[u8] = b"<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

fn parse(
    limits: XmlLimits,
    bytes: &[u8],
    chunk_bytes: usize,
) -> (Vec<StreamEvent>, Option<XmlError>) {
    let mut parser = StreamParser::new(limits);
    let mut events = Vec::new();
    for chunk in bytes.chunks(chunk_bytes) {
        parser.feed(chunk);
        loop {
            match parser.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

fuzz_target!(|data: &[u8]| {
    let [chunk_bytes, with_header, rest @ ..] = data else { return };
    let mut bytes = Vec::new();
    if with_header % 4 != 0 {
        bytes.extend_from_slice(HEADER);
    }
    bytes.extend_from_slice(rest);
    let whole = parse(LIMITS, &bytes, usize::MAX);
    let chunked = parse(LIMITS, &bytes, 1 + usize::from(*chunk_bytes));
    assert_eq!(whole, chunked);
    assert_eq!(whole, parse(LIMITS, &bytes, 1));
    for event in whole.0 {
        let StreamEvent::Stanza(element) = event else { continue };
        let mut again = HEADER.to_vec();
        write_element(&mut again, &element, "jabber:client");
        let (mut events, error) = parse(UNLIMITED, &again, usize::MAX);
        assert_eq!((events.pop(), error), (Some(StreamEvent::Stanza(element)), None));
    }
});
