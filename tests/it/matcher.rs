//! Whether a stanza is what a script expects (tests/scenarios/README.md). Elements of the stream's
//! own namespaces match loosely, all others strictly; braces hold the exceptions: `{any}`,
//! `{empty}`, `{capture x}`, `{absent}`, `{etc}`.

use std::collections::BTreeMap;

use tercet::xml::writer::write_element;
use tercet::xml::{Element, Node, StreamEvent, StreamParser, XmlLimits};
use tercet::xmpp::ns;

/// What `{capture name}` has caught.
pub type Captures = BTreeMap<String, String>;

/// True when `actual` is what `expected` says; captures are kept only then.
pub fn matches(expected: &Element, actual: &Element, captures: &mut Captures) -> bool {
    let mut attempt = captures.clone();
    let is_match = element(expected, actual, &mut attempt);
    if is_match {
        *captures = attempt;
    }
    is_match
}

fn element(expected: &Element, actual: &Element, captures: &mut Captures) -> bool {
    if expected.name != actual.name || expected.ns != actual.ns {
        return false;
    }
    let is_own = expected.ns == ns::CLIENT || expected.ns == ns::STREAMS;
    let is_loose = is_own || has_text(expected, "{etc}");
    if !is_loose && expected.attributes.len() != actual.attributes.len() {
        return false;
    }
    for attribute in &expected.attributes {
        let found = actual.attr_ns(&attribute.name, &attribute.ns);
        if !value(&attribute.value, found, captures) {
            return false;
        }
    }
    if is_loose {
        loose_content(expected, actual, captures)
    } else {
        strict(expected, actual, captures)
    }
}

fn loose_content(expected: &Element, actual: &Element, captures: &mut Captures) -> bool {
    let mut free: Vec<&Element> = actual.elements().collect();
    for child in expected.elements() {
        if has_text(child, "{absent}") {
            let is_such = |other: &&Element| {
                let mut attributes = child.attributes.iter();
                other.is(&child.name, &child.ns)
                    && attributes.all(|a| other.attr_ns(&a.name, &a.ns) == Some(&*a.value))
            };
            if free.iter().any(is_such) {
                return false;
            }
            continue;
        }
        let mut attempt = captures.clone();
        let found = free.iter().position(|other| {
            attempt = captures.clone();
            element(child, other, &mut attempt)
        });
        let Some(index) = found else { return false };
        *captures = attempt;
        free.remove(index);
    }
    let text = expected.text();
    let text = text.trim();
    text.is_empty() || text == "{etc}" || value(text, Some(actual.text().trim()), captures)
}

fn strict(expected: &Element, actual: &Element, captures: &mut Captures) -> bool {
    let (wanted, found) = (expected.elements().count(), actual.elements().count());
    if wanted != found {
        return false;
    }
    if !value(expected.text().trim(), Some(actual.text().trim()), captures) {
        return false;
    }
    expected.elements().zip(actual.elements()).all(|(e, a)| element(e, a, captures))
}

fn has_text(element: &Element, text: &str) -> bool {
    element.children.iter().any(|node| matches!(node, Node::Text(t) if t.trim() == text))
}

fn value(expected: &str, actual: Option<&str>, captures: &mut Captures) -> bool {
    let braced = expected.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match (braced, actual) {
        (Some("absent"), actual) => actual.is_none(),
        (_, None) => false,
        (Some("any"), Some(_)) => true,
        (Some("empty"), Some(actual)) => actual.is_empty(),
        (Some(other), Some(actual)) if other.starts_with("capture ") => {
            let name = other["capture ".len()..].trim();
            captures.insert(name.to_owned(), actual.to_owned());
            true
        }
        (_, Some(actual)) => expected == actual || around(expected, actual, captures).is_some(),
    }
}

/// One `{capture x}` with fixed text before or behind it.
fn around(expected: &str, actual: &str, captures: &mut Captures) -> Option<()> {
    let (before, rest) = expected.split_once("{capture ")?;
    let (name, behind) = rest.split_once('}')?;
    let caught = actual.strip_prefix(before)?.strip_suffix(behind)?;
    captures.insert(name.trim().to_owned(), caught.to_owned());
    Some(())
}

/// Parses what a script says: elements in the context of a client stream.
pub fn parse(text: &str) -> Result<Vec<Element>, String> {
    let mut parser = StreamParser::new(XmlLimits {
        stanza_bytes_max: 1 << 20,
        depth_max: 1000,
        attributes_max: 1000,
        nodes_max: 100_000,
    });
    parser.feed(b"<stream:stream xmlns='jabber:client' ");
    parser.feed(b"xmlns:stream='http://etherx.jabber.org/streams'>");
    parser.feed(text.as_bytes());
    parser.feed(b"</stream:stream>");
    let mut elements = Vec::new();
    loop {
        match parser.next_event() {
            Ok(Some(StreamEvent::Open(_))) => {}
            Ok(Some(StreamEvent::Stanza(element))) => elements.push(element),
            Ok(Some(StreamEvent::Close)) => return Ok(elements),
            Ok(None) => return Err(format!("unfinished XML in the script: {text}")),
            Err(error) => return Err(format!("bad XML in the script ({error:?}): {text}")),
        }
    }
}

/// An element as text.
pub fn to_text(element: &Element) -> String {
    let mut bytes = Vec::new();
    write_element(&mut bytes, element, ns::CLIENT);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expected: &str, actual: &str, want: bool) {
        let one = |text| parse(text).expect("XML").remove(0);
        let mut captures = Captures::new();
        assert_eq!(matches(&one(expected), &one(actual), &mut captures), want);
    }

    #[test]
    fn own_namespace_is_loose() {
        check("<presence/>", "<presence from='a'><x xmlns='y'/></presence>", true);
        check("<presence from='a'/>", "<presence from='b'/>", false);
        check("<presence from='a'/>", "<presence/>", false);
        check("<presence/>", "<message/>", false);
        check("<message><body>x</body></message>", "<message><body>x</body><a/></message>", true);
        check("<message><body>x</body></message>", "<message><body>y</body></message>", false);
        check("<message><body/></message>", "<message><body>y</body></message>", true);
        check("<message><body/></message>", "<message/>", false);
        check("<message><a/><a/></message>", "<message><a/></message>", false);
    }

    #[test]
    fn other_namespaces_are_strict() {
        let whole = "<iq><q xmlns='n' a='1'><b/><c/></q></iq>";
        check(whole, whole, true);
        check(whole, "<iq><q xmlns='n' a='1'><c/><b/></q></iq>", false);
        check(whole, "<iq><q xmlns='n' a='1'><b/><c/><d/></q></iq>", false);
        check(whole, "<iq><q xmlns='n' a='1' d='2'><b/><c/></q></iq>", false);
        check(whole, "<iq><q xmlns='n'><b/><c/></q></iq>", false);
        check("<iq><q xmlns='n'/></iq>", "<iq><q xmlns='n'>text</q></iq>", false);
        check("<iq><q xmlns='n'/></iq>", "<iq><q xmlns='m'/></iq>", false);
        check("<iq>\n <q xmlns='n'>\n <b/>\n </q></iq>", "<iq><q xmlns='n'><b/></q></iq>", true);
    }

    #[test]
    fn braces() {
        check("<iq id='{any}'/>", "<iq id='1'/>", true);
        check("<iq id='{any}'/>", "<iq/>", false);
        check("<iq id='{absent}'/>", "<iq/>", true);
        check("<iq id='{absent}'/>", "<iq id=''/>", false);
        check(
            "<iq><q xmlns='n'>{etc}<b/></q></iq>",
            "<iq><q xmlns='n' a='1'><a/><b/></q></iq>",
            true,
        );
        check("<iq><q xmlns='n'>{etc}<b/></q></iq>", "<iq><q xmlns='n'><a/></q></iq>", false);
        check("<iq><b>{absent}</b></iq>", "<iq><b/></iq>", false);
        check("<iq><b>{absent}</b></iq>", "<iq><c/></iq>", true);
        check("<iq><b a='1'>{absent}</b></iq>", "<iq><b a='1' c='2'/></iq>", false);
        check("<iq><b a='1'>{absent}</b></iq>", "<iq><b a='2'/><b/></iq>", true);
        check("<iq><b>{any}</b></iq>", "<iq><b>text</b></iq>", true);
        check("<iq><b>{empty}</b></iq>", "<iq><b>text</b></iq>", false);
        check("<iq><b>{empty}</b></iq>", "<iq><b/></iq>", true);
    }

    #[test]
    fn captures_are_kept_on_a_match_only() {
        let one = |text| parse(text).expect("XML").remove(0);
        let mut captures = Captures::new();
        let expected = one("<iq id='{capture id}' type='result'/>");
        assert!(!matches(&expected, &one("<iq id='1' type='error'/>"), &mut captures));
        assert!(captures.is_empty());
        assert!(matches(&expected, &one("<iq id='1' type='result'/>"), &mut captures));
        assert_eq!(captures["id"], "1");
        let expected = one("<iq id='a-{capture id}-z'/>");
        assert!(!matches(&expected, &one("<iq id='a-2-y'/>"), &mut captures));
        assert!(matches(&expected, &one("<iq id='a-2-z'/>"), &mut captures));
        assert_eq!(captures["id"], "2");
    }
}
