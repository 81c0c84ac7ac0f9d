//! Tests of parser and writer together, with elements and damage from a seeded generator: what is
//! written reads as the same element, and damage is judged the same in every chunking.

use super::tests::{HEADER, LIMITS, parse_chunks};
use super::writer::write_element;
use super::*;

fn written(element: &Element) -> String {
    let mut out = Vec::new();
    write_element(&mut out, element, "jabber:client");
    String::from_utf8(out).expect("the writer writes UTF-8")
}

/// A seeded generator (xorshift64*): the tests must be the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    fn text(&mut self) -> String {
        const PARTS: &[&str] = &[
            "a",
            "<",
            ">",
            "&",
            "'",
            "\"",
            "]]>",
            "\t",
            "\n",
            "\r",
            "\r\n",
            " ",
            "é",
            "😀",
            "&amp;",
            "\u{FEFF}",
            "\u{7F}",
            "\u{85}",
            "\u{2028}",
            "\u{FFFD}",
            "<!--",
            "<![CDATA[",
            "/>",
            "?>",
        ];
        (0..self.below(6)).map(|_| self.pick(PARTS)).collect()
    }

    fn element(&mut self, depth: usize) -> Element {
        const NAMES: &[&str] = &["message", "body", "x", "é", "_a-b.c", "xmlns", "a0"];
        const SPACES: &[&str] = &["jabber:client", "", "u:x", "u:'\"<&>", "http://é/", "xml:x"];
        let mut element = Element::new(self.pick(NAMES), self.pick(SPACES));
        for _ in 0..self.below(4) {
            let ns = self.pick(&["", "", "u:x", "u:'\"<&>", XML_NS]);
            let name = self.pick(&["id", "to", "é", "lang", "x.y", "a1"]);
            if element.attr_ns(name, ns).is_none() {
                let (ns, name) = (ns.into(), name.into());
                element.attributes.push(Attribute { ns, name, value: self.text() });
            }
        }
        for _ in 0..self.below(if depth < 6 { 4 } else { 1 }) {
            if self.below(2) == 0 {
                element.push_text(&self.text());
            } else {
                element.push(self.element(depth + 1));
            }
        }
        element
    }
}

#[test]
fn advisory_a18_what_is_written_reads_as_the_same_element() {
    let mut chance = Chance(0x7E4C_E700_0000_0001);
    let limits = XmlLimits { stanza_bytes_max: 0, depth_max: 0, attributes_max: 0, nodes_max: 0 };
    for round in 0..3000 {
        let element = chance.element(0);
        let text = written(&element);
        let mut bytes = HEADER.as_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        let size = 1 + chance.below(40);
        let (mut events, error) = parse_chunks(limits, bytes.chunks(size));
        assert_eq!(error, None, "round {round}: {text}");
        assert_eq!(events.pop(), Some(StreamEvent::Stanza(element)), "round {round}: {text}");
    }
}

#[test]
fn damaged_streams_are_read_the_same_in_every_chunking() {
    let mut chance = Chance(0x7E4C_E700_0000_0002);
    const NOISE: &[u8] = b"<>&;'\"/=! ?[]-:xml#\xC3\xA9\0D\n\r";
    for _ in 0..1500 {
        let mut bytes = HEADER.as_bytes().to_vec();
        for _ in 0..2 {
            bytes.extend_from_slice(written(&chance.element(3)).as_bytes());
        }
        for _ in 0..=chance.below(3) {
            let at = chance.below(bytes.len());
            let noise = NOISE[chance.below(NOISE.len())];
            match chance.below(3) {
                0 => bytes[at] = noise,
                1 => bytes.insert(at, noise),
                _ => drop(bytes.remove(at)),
            }
        }
        let whole = parse_chunks(LIMITS, [bytes.as_slice()]);
        assert_eq!(parse_chunks(LIMITS, bytes.chunks(1)), whole);
        assert_eq!(parse_chunks(LIMITS, bytes.chunks(1 + chance.below(30))), whole);
        for event in whole.0 {
            let StreamEvent::Stanza(element) = event else { continue };
            let text = format!("{HEADER}{}", written(&element));
            let again =
                parse_chunks(XmlLimits { stanza_bytes_max: 0, ..LIMITS }, [text.as_bytes()]);
            assert_eq!(again.0.last(), Some(&StreamEvent::Stanza(element)));
        }
    }
}
