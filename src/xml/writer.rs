//! Elements to bytes.
//!
//! Nothing is copied from the input: names come from the parser or from the server, values are
//! escaped, every namespace that differs from the one in force is declared on the spot. So what
//! leaves is XML whatever came in, and reading it again gives the same element (tested). Text
//! passes in runs: only the bytes that need something are looked at one by one.
//!
//! Characters that XML 1.0 has no form for (most controls, U+FFFE, U+FFFF; XML §2.2) cannot come
//! from the parser; should the server have them from elsewhere, they leave as U+FFFD.
//!
//! It recurses on the depth of the element, which the parser bounds (`DEPTH_CEILING`).

use super::element::{Element, Node, XML_NS};

const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();

/// What a byte needs; `Plain` passes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    /// Markup everywhere, or a carriage return, which readers would turn into a newline.
    Markup,
    /// Markup or white space that only attribute values must not hold as it is.
    Value,
    /// A control character.
    Illegal,
    /// May begin U+FFFE or U+FFFF.
    Suspect,
}

const CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut table = [Class::Plain; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = Class::Illegal;
        byte += 1;
    }
    table[b'<' as usize] = Class::Markup;
    table[b'>' as usize] = Class::Markup;
    table[b'&' as usize] = Class::Markup;
    table[b'\r' as usize] = Class::Markup;
    table[b'\'' as usize] = Class::Value;
    table[b'"' as usize] = Class::Value;
    table[b'\t' as usize] = Class::Value;
    table[b'\n' as usize] = Class::Value;
    table[0xEF] = Class::Suspect;
    table
}

/// Appends `text` as character data: `<`, `>` (because of `]]>`), `&` and carriage returns escaped.
pub fn escape_text(out: &mut Vec<u8>, text: &str) {
    escape(out, text.as_bytes(), false);
}

/// Appends `value` escaped for an attribute in single or double quotes; white space other than a
/// space is escaped too, because readers turn it into spaces (XML §3.3.3).
pub fn escape_attr(out: &mut Vec<u8>, value: &str) {
    escape(out, value.as_bytes(), true);
}

fn escape(out: &mut Vec<u8>, bytes: &[u8], in_value: bool) {
    let mut start = 0;
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let (width, form): (usize, &[u8]) = match CLASSES[byte as usize] {
            Class::Plain => {
                index += 1;
                continue;
            }
            Class::Value if !in_value => {
                index += 1;
                continue;
            }
            Class::Markup | Class::Value => (1, entity(byte)),
            Class::Illegal => (1, REPLACEMENT),
            Class::Suspect => match bytes.get(index + 1..index + 3) {
                Some([0xBF, 0xBE | 0xBF]) => (3, REPLACEMENT),
                _ => {
                    index += 1;
                    continue;
                }
            },
        };
        out.extend_from_slice(&bytes[start..index]);
        out.extend_from_slice(form);
        index += width;
        start = index;
    }
    out.extend_from_slice(&bytes[start..]);
}

fn entity(byte: u8) -> &'static [u8] {
    match byte {
        b'<' => b"&lt;",
        b'>' => b"&gt;",
        b'&' => b"&amp;",
        b'\'' => b"&apos;",
        b'"' => b"&quot;",
        b'\t' => b"&#x9;",
        b'\n' => b"&#xA;",
        _ => b"&#xD;",
    }
}

/// Appends ` name='value'`.
pub fn write_attr(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    escape_attr(out, value);
    out.push(b'\'');
}

/// Appends `element`; `parent_ns` is the default namespace in force where it is written.
pub fn write_element(out: &mut Vec<u8>, element: &Element, parent_ns: &str) {
    out.push(b'<');
    out.extend_from_slice(element.name.as_bytes());
    if element.ns != parent_ns {
        write_attr(out, "xmlns", &element.ns);
    }
    for (index, attribute) in element.attributes.iter().enumerate() {
        if attribute.ns.is_empty() {
            write_attr(out, &attribute.name, &attribute.value);
        } else if attribute.ns == XML_NS {
            write_attr(out, &format!("xml:{}", attribute.name), &attribute.value);
        } else {
            // An attribute has no default namespace. The prefix holds for this tag alone: names
            // of elements never use one, and `index` keeps it apart from others of this tag.
            write_attr(out, &format!("xmlns:a{index}"), &attribute.ns);
            write_attr(out, &format!("a{index}:{}", attribute.name), &attribute.value);
        }
    }
    if element.children.is_empty() {
        out.extend_from_slice(b"/>");
        return;
    }
    out.push(b'>');
    write_nodes(out, &element.children, &element.ns);
    out.extend_from_slice(b"</");
    out.extend_from_slice(element.name.as_bytes());
    out.push(b'>');
}

/// Appends the nodes one after the other; `parent_ns` is the default namespace in force.
pub fn write_nodes(out: &mut Vec<u8>, nodes: &[Node], parent_ns: &str) {
    for node in nodes {
        match node {
            Node::Element(element) => write_element(out, element, parent_ns),
            Node::Text(text) => escape_text(out, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_escape(text: &str, as_text: &str, as_value: &str) {
        let mut out = b"x".to_vec();
        escape_text(&mut out, text);
        assert_eq!(String::from_utf8_lossy(&out), format!("x{as_text}"));
        let mut out = b"x".to_vec();
        escape_attr(&mut out, text);
        assert_eq!(String::from_utf8_lossy(&out), format!("x{as_value}"));
    }

    #[test]
    fn escapes() {
        check_escape("", "", "");
        check_escape("plain é 😀", "plain é 😀", "plain é 😀");
        check_escape("a<b>&c", "a&lt;b&gt;&amp;c", "a&lt;b&gt;&amp;c");
        check_escape("]]>", "]]&gt;", "]]&gt;");
        check_escape("'\"", "'\"", "&apos;&quot;");
        check_escape("\t\n\r", "\t\n&#xD;", "&#x9;&#xA;&#xD;");
        check_escape("\0a\u{1F}\u{B}", "\u{FFFD}a\u{FFFD}\u{FFFD}", "\u{FFFD}a\u{FFFD}\u{FFFD}");
        check_escape("\u{FFFE}\u{FFFF}", "\u{FFFD}\u{FFFD}", "\u{FFFD}\u{FFFD}");
        check_escape(
            "\u{FEFF}\u{FFFD}\u{F000}",
            "\u{FEFF}\u{FFFD}\u{F000}",
            "\u{FEFF}\u{FFFD}\u{F000}",
        );
        check_escape("\u{7F}\u{85}", "\u{7F}\u{85}", "\u{7F}\u{85}");
    }

    #[track_caller]
    fn check(element: &Element, want: &str) {
        let mut out = Vec::new();
        write_element(&mut out, element, "jabber:client");
        assert_eq!(String::from_utf8_lossy(&out), want);
    }

    #[test]
    fn namespaces_are_declared_where_they_change() {
        let message = |child| Element::new("message", "jabber:client").with_child(child);
        check(
            &message(Element::new("body", "jabber:client").with_text("hi")),
            "<message><body>hi</body></message>",
        );
        check(
            &message(Element::new("x", "u:x").with_child(Element::new("y", "u:x"))),
            "<message><x xmlns='u:x'><y/></x></message>",
        );
        check(
            &message(Element::new("x", "u:x").with_child(Element::new("body", "jabber:client"))),
            "<message><x xmlns='u:x'><body xmlns='jabber:client'/></x></message>",
        );
        check(
            &message(Element::new("x", "u:x").with_child(Element::new("y", ""))),
            "<message><x xmlns='u:x'><y xmlns=''/></x></message>",
        );
        check(&message(Element::new("x", "u:'&")), "<message><x xmlns='u:&apos;&amp;'/></message>");
    }

    #[test]
    fn attributes_in_namespaces_get_prefixes() {
        let mut element = Element::new("a", "jabber:client").with_attr("b", "1");
        for (ns, name) in [(XML_NS, "lang"), ("u:x", "c"), ("u:x", "b"), ("u:y", "b")] {
            element.attributes.push(super::super::Attribute {
                ns: ns.into(),
                name: name.into(),
                value: "v".into(),
            });
        }
        check(
            &element,
            "<a b='1' xml:lang='v' xmlns:a2='u:x' a2:c='v' xmlns:a3='u:x' a3:b='v' \
            xmlns:a4='u:y' a4:b='v'/>",
        );
    }
}
