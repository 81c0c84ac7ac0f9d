//! Further files (§5, XInclude): an `<include/>` that is a child of the document, of a host or of a
//! user stands for the document that it names. Deeper ones are the user's data (§6).

use std::io::Read;
use std::path::Path;

use crate::xml::Element;

/// The namespace.
pub(super) const XINCLUDE: &str = "http://www.w3.org/2001/XInclude";
/// How deep documents may stand in each other: the format needs four.
pub(super) const DOCUMENTS_MAX: usize = 8;

/// Where documents come from.
pub trait Files {
    /// The document of this name, a path: first that which is to be imported, then those that it
    /// includes.
    fn open(&mut self, name: &str) -> Result<Box<dyn Read>, String>;
}

/// The path that an `<include/>` of the document `base` names; `None` for what need not be
/// understood: texts, and parts of documents. `Err`: not a relative URI.
pub(super) fn path(base: &str, include: &Element) -> Result<Option<String>, String> {
    let is_whole = include.attr("xpointer").is_none();
    let is_xml = matches!(include.attr("parse"), None | Some("xml"));
    let Some(href) = include.attr("href").filter(|_| is_whole && is_xml) else {
        return Ok(None);
    };
    let first = href.split('/').next().unwrap_or_default();
    let is_relative = !href.is_empty() && !href.starts_with('/') && !first.contains(':');
    let decoded = decode(href).filter(|_| is_relative && !href.contains(['?', '#']));
    let decoded = decoded.ok_or_else(|| format!("not a relative URI of a file: {href:?}"))?;
    let folder = Path::new(base).parent().unwrap_or(Path::new(""));
    Ok(folder.join(decoded).to_str().map(str::to_owned))
}

/// Undoes percent-encoding (RFC 3986 §2.1).
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = u8::try_from(digit()? * 16 + digit()?).ok()?;
        bytes.push(value);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named() {
        for (base, href, want) in [
            ("a.xml", "b.xml", Some("b.xml")),
            ("-", "b.xml", Some("b.xml")),
            ("/d/a.xml", "capulet.com/juliet.xml", Some("/d/capulet.com/juliet.xml")),
            ("d/a.xml", "./%62%20c.xml", Some("d/./b c.xml")),
            ("d/a.xml", "../b.xml", Some("d/../b.xml")),
            ("d/a.xml", "/etc/passwd", None),
            ("d/a.xml", "//host/b.xml", None),
            ("d/a.xml", "file:///b.xml", None),
            ("d/a.xml", "b.xml#part", None),
            ("d/a.xml", "b.xml?q", None),
            ("d/a.xml", "b%2.xml", None),
            ("d/a.xml", "b%00.xml", None),
            ("d/a.xml", "b%ff.xml", None),
            ("d/a.xml", "", None),
        ] {
            let include = Element::new("include", XINCLUDE).with_attr("href", href);
            let found = path(base, &include).ok().flatten();
            assert_eq!(found.as_deref(), want, "{href}");
        }
        for (attribute, value) in [("parse", "text"), ("xpointer", "x")] {
            let include = Element::new("include", XINCLUDE).with_attr("href", "b.xml");
            assert_eq!(path("a.xml", &include.with_attr(attribute, value)), Ok(None));
        }
        assert_eq!(path("a.xml", &Element::new("include", XINCLUDE)), Ok(None));
    }
}
