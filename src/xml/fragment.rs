//! XML that the server has written and kept: elements one after the other, as a stanza held them.

use super::element::Element;
use super::limits::XmlLimits;
use super::parser::{StreamEvent, StreamParser};

/// Reads the elements of a fragment that stood where `ns` is the default namespace; what cannot
/// be read, and all behind it, is left out.
pub fn read_fragment(xml: &[u8], ns: &str) -> Vec<Element> {
    let limits = XmlLimits { stanza_bytes_max: 0, depth_max: 0, attributes_max: 0, nodes_max: 0 };
    let mut parser = StreamParser::new(limits);
    parser.feed(format!("<fragment xmlns='{ns}'>").as_bytes());
    parser.feed(xml);
    parser.feed(b"</fragment>");
    let mut elements = Vec::new();
    while let Ok(Some(event)) = parser.next_event() {
        match event {
            StreamEvent::Open(_) => {}
            StreamEvent::Stanza(element) => elements.push(element),
            StreamEvent::Close => break,
        }
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let names = |xml: &str| -> Vec<_> {
            let elements = read_fragment(xml.as_bytes(), "u:default");
            elements.iter().map(|e| format!("{{{}}}{} {}", e.ns, e.name, e.text())).collect()
        };
        assert_eq!(names(""), [""; 0]);
        assert_eq!(names("<a>1</a><b xmlns='u:b'>2</b>"), ["{u:default}a 1", "{u:b}b 2"]);
        assert_eq!(names("<a/><b"), ["{u:default}a "]);
    }
}
