//! Elements to bytes. (Owned by the xml work package; this is the minimum that compiles.)

use super::element::{Element, Node, XML_NS};

/// Appends `text` with `<`, `>`, `&` escaped.
pub fn escape_text(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'\r' => out.extend_from_slice(b"&#xD;"),
            _ => out.push(byte),
        }
    }
}

/// Appends `value` escaped for an attribute in single or double quotes.
pub fn escape_attr(out: &mut Vec<u8>, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'\'' => out.extend_from_slice(b"&apos;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\t' => out.extend_from_slice(b"&#x9;"),
            b'\n' => out.extend_from_slice(b"&#xA;"),
            b'\r' => out.extend_from_slice(b"&#xD;"),
            _ => out.push(byte),
        }
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
