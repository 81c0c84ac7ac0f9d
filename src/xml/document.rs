//! A document that is read from a file, element by element: the portable format of accounts
//! (XEP-0227) is one, larger than memory. Whoever reads says of each element as it begins whether
//! it is told as it opens and ends, comes whole, or is passed over; what comes whole has a bounded
//! size, what is passed over any, and with each comes the line it began on.
//!
//! The file is somebody else's: a DTD is refused, and so are entities of its own.

use std::io::Read;

use xml_rs::attribute::OwnedAttribute;
use xml_rs::common::Position;
use xml_rs::name::OwnedName;
use xml_rs::reader::{EventReader, ParserConfig, XmlEvent};

use super::element::{Element, Node};

/// Bytes of memory that one element which comes whole may take.
pub const ELEMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How deep elements may be.
const DEPTH_MAX: usize = 128;
/// Attributes of one element.
const ATTRIBUTES_MAX: usize = 256;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 1_024;

/// What is to be done with an element that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Tell that it opens, what is in it, and that it ends.
    Open,
    /// Give it whole.
    Whole,
    /// Pass it over.
    Skip,
}

/// What a document says next.
#[derive(Debug, PartialEq, Eq)]
pub enum DocumentEvent {
    /// An element that holds others opens; without its children.
    Open(Element),
    /// A whole element.
    Element(Element),
    /// An element is passed over; without its children.
    Skipped(Element),
    /// The element that was opened last ends.
    Close,
    /// The end.
    End,
}

/// A reader of documents.
pub struct Document<R: Read> {
    reader: EventReader<R>,
    /// Elements that were told as they opened and have not ended.
    opened: usize,
    /// The same of those that are passed over: the outermost, and what is in it.
    skipped: usize,
    /// The elements under construction, outermost first.
    stack: Vec<Element>,
    /// What the element under construction takes.
    bytes: usize,
    /// The line on which the event that came last began.
    line: u64,
}

impl<R: Read> Document<R> {
    /// A document.
    pub fn new(source: R) -> Self {
        let config = ParserConfig::new()
            .ignore_comments(true)
            .coalesce_characters(true)
            .cdata_to_characters(true)
            .whitespace_to_characters(true)
            .trim_whitespace(false)
            .replace_unknown_entity_references(false)
            .allow_multiple_root_elements(false)
            .max_entity_expansion_length(0)
            .max_entity_expansion_depth(0)
            .max_name_length(NAME_BYTES_MAX)
            .max_attributes(ATTRIBUTES_MAX)
            .max_attribute_length(ELEMENT_BYTES_MAX)
            .max_data_length(ELEMENT_BYTES_MAX);
        let reader = EventReader::new_with_config(source, config);
        Self { reader, opened: 0, skipped: 0, stack: Vec::new(), bytes: 0, line: 1 }
    }

    /// The line on which the event that came last began.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next event; `Err` says what is wrong, [`Self::line`] where. `take` is asked of each
    /// element that begins where none is under construction or passed over.
    pub fn next_event(&mut self, take: impl Fn(&Element) -> Take) -> Result<DocumentEvent, String> {
        loop {
            let event = self.reader.next().map_err(|error| {
                self.line = error.position().row + 1;
                let (text, place) = (error.to_string(), format!("{} ", error.position()));
                text.strip_prefix(&place).unwrap_or(&text).to_owned()
            })?;
            if self.stack.is_empty() && self.skipped == 0 {
                self.line = self.reader.position().row + 1;
            }
            let told = match event {
                XmlEvent::StartElement { name, attributes, .. } => {
                    self.start(name, attributes, &take)?
                }
                XmlEvent::EndElement { .. } => self.end(),
                XmlEvent::Characters(text) | XmlEvent::CData(text) | XmlEvent::Whitespace(text) => {
                    self.text(&text)?;
                    None
                }
                XmlEvent::Doctype { .. } => return Err("a DTD is not accepted".to_owned()),
                XmlEvent::EndDocument => Some(DocumentEvent::End),
                XmlEvent::StartDocument { .. }
                | XmlEvent::ProcessingInstruction { .. }
                | XmlEvent::Comment(_) => None,
            };
            if let Some(told) = told {
                return Ok(told);
            }
        }
    }

    fn start(
        &mut self,
        name: OwnedName,
        attributes: Vec<OwnedAttribute>,
        take: &impl Fn(&Element) -> Take,
    ) -> Result<Option<DocumentEvent>, String> {
        if self.opened + self.skipped + self.stack.len() >= DEPTH_MAX {
            return Err("elements are nested too deep".to_owned());
        }
        if self.skipped > 0 {
            self.skipped += 1;
            return Ok(None);
        }
        let mut element = Element::new(name.local_name, name.namespace.unwrap_or_default());
        let mut bytes = size_of::<Element>() + element.name.len() + element.ns.len();
        for attribute in attributes {
            let attribute = super::Attribute {
                ns: attribute.name.namespace.unwrap_or_default().into(),
                name: attribute.name.local_name.into(),
                value: attribute.value,
            };
            bytes += size_of::<super::Attribute>()
                + attribute.ns.len()
                + attribute.name.len()
                + attribute.value.len();
            element.attributes.push(attribute);
        }
        if self.stack.is_empty() {
            self.bytes = 0;
            match take(&element) {
                Take::Whole => {}
                Take::Open => {
                    self.opened += 1;
                    return Ok(Some(DocumentEvent::Open(element)));
                }
                Take::Skip => {
                    self.skipped = 1;
                    return Ok(Some(DocumentEvent::Skipped(element)));
                }
            }
        }
        self.charge(bytes)?;
        self.stack.push(element);
        Ok(None)
    }

    fn end(&mut self) -> Option<DocumentEvent> {
        if self.skipped > 0 {
            self.skipped -= 1;
            return None;
        }
        let Some(element) = self.stack.pop() else {
            self.opened -= 1;
            return Some(DocumentEvent::Close);
        };
        match self.stack.last_mut() {
            Some(parent) => {
                parent.children.push(Node::Element(element));
                None
            }
            None => Some(DocumentEvent::Element(element)),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        if self.skipped > 0 {
            return Ok(());
        }
        if self.stack.is_empty() {
            let is_space = text.trim_ascii().is_empty();
            return if is_space { Ok(()) } else { Err("text between elements".to_owned()) };
        }
        self.charge(size_of::<Node>() + text.len())?;
        if let Some(parent) = self.stack.last_mut() {
            parent.push_text(text);
        }
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes += bytes;
        if self.bytes > ELEMENT_BYTES_MAX {
            return Err(format!("an element is larger than {ELEMENT_BYTES_MAX} bytes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` and `b` are opened, `s` is passed over, all else comes whole.
    fn take(element: &Element) -> Take {
        match &*element.name {
            "a" | "b" => Take::Open,
            "s" => Take::Skip,
            _ => Take::Whole,
        }
    }

    /// What a document says, and on which line.
    fn events(xml: &str) -> Vec<String> {
        let mut document = Document::new(xml.as_bytes());
        let mut told = Vec::new();
        loop {
            let event = document.next_event(take);
            let line = document.line();
            told.push(match event {
                Ok(DocumentEvent::Open(element)) => format!("{line} <{}", element.name),
                Ok(DocumentEvent::Element(element)) => {
                    format!("{line} {} {}", element.name, element.text())
                }
                Ok(DocumentEvent::Skipped(element)) => format!("{line} -{}", element.name),
                Ok(DocumentEvent::Close) => ">".to_owned(),
                Ok(DocumentEvent::End) => return told,
                Err(_) => {
                    told.push(format!("{line} wrong"));
                    return told;
                }
            });
        }
    }

    fn last(xml: &str) -> String {
        events(xml).pop().unwrap_or_default()
    }

    #[test]
    fn levels_and_lines() {
        let xml = "<?xml version='1.0'?>\n<a xmlns='u'>\n <b>\n  <c>x<d/>y</c>\n </b>\n <b/></a>";
        let want = ["2 <a", "3 <b", "4 c xy", ">", "6 <b", ">", ">"];
        assert_eq!(events(xml), want);
    }

    #[test]
    fn what_is_passed_over_may_have_any_size() {
        let xml = format!(
            "<a>\n<s>text<b>{}</b></s>\n<c/></a>",
            format!("<c>{}</c>", "x".repeat(1_000_000)).repeat(17)
        );
        assert_eq!(events(&xml), ["1 <a", "2 -s", "3 c ", ">"]);
    }

    #[test]
    fn what_is_refused() {
        for (xml, want) in [
            ("<a>\n<b", "2 wrong"),
            ("<a>text</a>", "1 wrong"),
            ("<!DOCTYPE a [<!ENTITY e 'x'>]><a><b><c>&e;</c></b></a>", "1 wrong"),
            ("<a><b></a>", "1 wrong"),
            ("<a><c>\n<d>\n</c></a>", "3 wrong"),
            ("<a/>\n<a/>", "2 wrong"),
            ("", "1 wrong"),
        ] {
            assert_eq!(last(xml), want, "{xml}");
        }
        for name in ["c", "s"] {
            let deep = format!("<a><b><{name}>{}", "<c>".repeat(DEPTH_MAX));
            assert_eq!(last(&deep), "1 wrong");
        }
    }

    /// However it is made up: of texts, of many small elements, of names.
    #[test]
    fn one_element_is_bounded() {
        let times = ELEMENT_BYTES_MAX / 1_000;
        let long = "x".repeat(1_000);
        for inner in [
            long.repeat(times + 1),
            format!("<d>{long}</d>").repeat(times),
            "<d/>".repeat(ELEMENT_BYTES_MAX / size_of::<Element>()),
            format!("<d {long}='1'/>").repeat(times),
        ] {
            assert_eq!(last(&format!("<a>\n<c>{inner}</c></a>")), "2 wrong");
        }
        let namespaced = format!("<a><c xmlns='{long}'>{}</c></a>", "<d/>".repeat(times));
        assert_eq!(last(&namespaced), "1 wrong");
    }
}
