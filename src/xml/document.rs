//! A document that is read from a file, element by element: the portable format of accounts
//! (XEP-0227) is one, larger than memory. What stands above a depth is told as it opens and ends;
//! what stands below comes as whole elements, each of a bounded size, with the line it began on.
//!
//! The file is somebody else's: a DTD is refused, and so are entities of its own.

use std::io::Read;

use xml_rs::common::Position;
use xml_rs::reader::{EventReader, ParserConfig, XmlEvent};

use super::element::{Element, Node};

/// Bytes of names and texts of one element that comes whole.
const ELEMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How deep an element may be.
const DEPTH_MAX: usize = 128;

/// What a document says next.
#[derive(Debug, PartialEq, Eq)]
pub enum DocumentEvent {
    /// An element that holds others opens; without its children.
    Open(Element),
    /// A whole element.
    Element(Element),
    /// The element that was opened last ends.
    Close,
    /// The end.
    End,
}

/// A reader of documents.
pub struct Document<R: Read> {
    reader: EventReader<R>,
    /// Elements above this depth are told as they open.
    open_depth: usize,
    /// Elements that have opened and not ended.
    opened: usize,
    /// The elements under construction, outermost first.
    stack: Vec<Element>,
    bytes: usize,
    /// The line on which the event that came last began.
    line: u64,
}

impl<R: Read> Document<R> {
    /// A document whose outermost `open_depth` levels are told as they open.
    pub fn new(source: R, open_depth: usize) -> Self {
        let config = ParserConfig::new()
            .ignore_comments(true)
            .coalesce_characters(true)
            .cdata_to_characters(true)
            .whitespace_to_characters(true)
            .trim_whitespace(false)
            .replace_unknown_entity_references(false)
            .max_entity_expansion_length(0)
            .max_entity_expansion_depth(0)
            .max_attribute_length(ELEMENT_BYTES_MAX)
            .max_data_length(ELEMENT_BYTES_MAX);
        let reader = EventReader::new_with_config(source, config);
        Self { reader, open_depth, opened: 0, stack: Vec::new(), bytes: 0, line: 1 }
    }

    /// The line on which the event that came last began.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next event; `Err` says what is wrong, [`Self::line`] where.
    pub fn next_event(&mut self) -> Result<DocumentEvent, String> {
        loop {
            let event = self.reader.next();
            if self.stack.is_empty() {
                self.line = self.reader.position().row + 1;
            }
            match event.map_err(|error| error.to_string())? {
                XmlEvent::StartElement { name, attributes, .. } => {
                    let mut element =
                        Element::new(name.local_name, name.namespace.unwrap_or_default());
                    for attribute in attributes {
                        self.bytes += attribute.value.len();
                        element.attributes.push(super::Attribute {
                            ns: attribute.name.namespace.unwrap_or_default().into(),
                            name: attribute.name.local_name.into(),
                            value: attribute.value,
                        });
                    }
                    if self.stack.is_empty() && self.opened < self.open_depth {
                        self.opened += 1;
                        self.bytes = 0;
                        return Ok(DocumentEvent::Open(element));
                    }
                    self.charge(size_of::<Element>())?;
                    if self.stack.len() >= DEPTH_MAX {
                        return Err("elements are nested too deep".to_owned());
                    }
                    self.stack.push(element);
                }
                XmlEvent::EndElement { .. } => match self.stack.pop() {
                    None => {
                        self.opened -= 1;
                        return Ok(DocumentEvent::Close);
                    }
                    Some(element) => match self.stack.last_mut() {
                        Some(parent) => parent.children.push(Node::Element(element)),
                        None => {
                            self.bytes = 0;
                            return Ok(DocumentEvent::Element(element));
                        }
                    },
                },
                XmlEvent::Characters(text) | XmlEvent::CData(text) | XmlEvent::Whitespace(text) => {
                    self.charge(text.len())?;
                    match self.stack.last_mut() {
                        Some(parent) => parent.push_text(&text),
                        None if text.trim().is_empty() => self.bytes = 0,
                        None => return Err("text between elements".to_owned()),
                    }
                }
                XmlEvent::Doctype { .. } => return Err("a DTD is not accepted".to_owned()),
                XmlEvent::EndDocument => return Ok(DocumentEvent::End),
                XmlEvent::StartDocument { .. }
                | XmlEvent::ProcessingInstruction { .. }
                | XmlEvent::Comment(_) => {}
            }
        }
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

    /// What a document says, and on which line.
    fn events(xml: &str) -> Vec<String> {
        let mut document = Document::new(xml.as_bytes(), 2);
        let mut told = Vec::new();
        loop {
            let event = document.next_event();
            let line = document.line();
            match event {
                Ok(DocumentEvent::Open(element)) => told.push(format!("{line} <{}", element.name)),
                Ok(DocumentEvent::Element(element)) => {
                    told.push(format!("{line} {} {}", element.name, element.text()));
                }
                Ok(DocumentEvent::Close) => told.push(">".to_owned()),
                Ok(DocumentEvent::End) => return told,
                Err(_) => {
                    told.push(format!("{line} wrong"));
                    return told;
                }
            }
        }
    }

    #[test]
    fn levels_and_lines() {
        let xml = "<?xml version='1.0'?>\n<a xmlns='u'>\n <b>\n  <c>x<d/>y</c>\n </b>\n <b/></a>";
        let want = ["2 <a", "3 <b", "4 c xy", ">", "6 <b", ">", ">"];
        assert_eq!(events(xml), want);
    }

    #[test]
    fn what_is_refused() {
        for (xml, want) in [
            ("<a>\n<b", "2 wrong"),
            ("<a>text</a>", "1 wrong"),
            ("<!DOCTYPE a [<!ENTITY e 'x'>]><a><b><c>&e;</c></b></a>", "1 wrong"),
            ("<a><b></a>", "1 wrong"),
        ] {
            assert_eq!(events(xml).last().map(String::as_str), Some(want), "{xml}");
        }
        let deep = format!("<a><b>{}", "<c>".repeat(DEPTH_MAX + 1));
        assert_eq!(events(&deep).last().map(String::as_str), Some("1 wrong"));
    }
}
