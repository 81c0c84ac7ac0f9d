//! What stands between the bytes of a peer and xml-rs: a small machine that sees each byte first.
//!
//! xml-rs accepts more than XMPP allows (DTDs, processing instructions, comments: RFC 6120 §11.1)
//! and in some corners more than XML does (`<!--` and `</` inside attribute values, a namespace
//! prefix declared twice in one tag), and it stores attributes before anybody could count them.
//! Two parsers that read the same bytes differently are how stanzas are smuggled, so whatever is
//! in doubt is refused here, before xml-rs has seen the byte.
//!
//! It is not a second parser: it knows only where tags, values, references and CDATA sections
//! begin and end. On input that is not well-formed it may fall out of step with xml-rs, but only
//! behind a byte that xml-rs refuses, and the first error ends the stream.

use std::collections::BTreeSet;

use super::parser::XmlError;

/// Bytes of the name of an element or attribute, its prefix included.
pub(super) const NAME_BYTES_MAX: usize = 1024;
/// The longest of the five predefined references: `quot`, `apos`.
const REFERENCE_BYTES_MAX: usize = 4;

/// Where in the markup the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Character data.
    Text,
    /// After `<`.
    Open,
    /// After `<!` and this many bytes of `[CDATA[`.
    Bang(usize),
    /// After `<?` and this many bytes of `xml`.
    Instruction(usize),
    /// In `</name >`.
    EndTag,
    /// In the name of a start tag.
    TagName,
    /// In a start tag, outside names and values.
    Tag,
    /// In the name of an attribute.
    AttributeName,
    /// After the name of an attribute, before the quote.
    AttributeEquals,
    /// In a value that this quote ends.
    Value(u8),
    /// After `&`; `quote` is that of the value around it, 0 in text.
    Reference { quote: u8 },
    /// After `&#`.
    CharacterReference { quote: u8 },
    /// In a CDATA section, after this many `]`.
    Cdata(u8),
}

/// The machine; one per stream.
#[derive(Debug)]
pub(super) struct Guard {
    state: State,
    /// No tag has come since the unit began under the root: CDATA would be text between stanzas.
    under_root: bool,
    /// Attributes that one start tag may have, namespace declarations included.
    attributes_max: usize,
    /// Attributes of the start tag that was read last, namespace declarations included.
    attributes: usize,
    /// Bytes of the name that is being read.
    name_bytes: usize,
    /// The attribute name that is being read.
    attribute: Vec<u8>,
    /// `xmlns` and `xmlns:…` as declared by the start tag that was read last.
    declared: BTreeSet<Vec<u8>>,
    /// The byte before this one.
    previous: u8,
    /// The start tag that was read last was `<…/>`.
    empty_tag: bool,
    /// The name of the reference that is being read, in its first `reference_len` bytes.
    reference: [u8; REFERENCE_BYTES_MAX],
    reference_len: usize,
}

impl Guard {
    pub(super) fn new() -> Self {
        Self {
            state: State::Text,
            under_root: false,
            attributes_max: 0,
            attributes: 0,
            name_bytes: 0,
            attribute: Vec::new(),
            declared: BTreeSet::new(),
            previous: 0,
            empty_tag: false,
            reference: [0; REFERENCE_BYTES_MAX],
            reference_len: 0,
        }
    }

    /// To be called before the `<` of a stream header, a stanza or the end of the stream.
    pub(super) fn begin(&mut self, under_root: bool, attributes_max: usize) {
        self.state = State::Text;
        self.under_root = under_root;
        self.attributes_max = attributes_max;
    }

    /// Gives back the memory of an unusual stanza.
    pub(super) fn shrink(&mut self) {
        self.attribute.shrink_to(64);
        self.declared.clear();
    }

    /// Attributes of the last start tag, namespace declarations included.
    pub(super) fn attributes(&self) -> usize {
        self.attributes
    }

    /// The last start tag declared a namespace.
    pub(super) fn declares(&self) -> bool {
        !self.declared.is_empty()
    }

    /// The last start tag was `<…/>`.
    pub(super) fn is_empty_tag(&self) -> bool {
        self.empty_tag
    }

    /// Judges the next byte.
    pub(super) fn step(&mut self, byte: u8) -> Result<(), XmlError> {
        self.state = match self.state {
            State::Text => match byte {
                b'<' => State::Open,
                b'&' => self.reference_start(0),
                _ => State::Text,
            },
            State::Open => self.open(byte),
            State::Bang(seen) => self.bang(seen, byte)?,
            State::Instruction(seen) => instruction(seen, byte)?,
            State::EndTag => match byte {
                b'>' => State::Text,
                _ => self.name_byte(byte, State::EndTag)?,
            },
            State::TagName | State::Tag => self.tag(byte)?,
            State::AttributeName => self.attribute_name(byte)?,
            State::AttributeEquals => match byte {
                b'\'' | b'"' => State::Value(byte),
                b'<' => return Err(XmlError::NotWellFormed),
                _ => State::AttributeEquals,
            },
            State::Value(quote) => match byte {
                b'<' => return Err(XmlError::NotWellFormed),
                b'&' => self.reference_start(quote),
                _ if byte == quote => State::Tag,
                _ => State::Value(quote),
            },
            State::Reference { quote } => self.reference(quote, byte)?,
            State::CharacterReference { quote } => match byte {
                b';' => after_reference(quote),
                b'<' | b'&' => return Err(XmlError::NotWellFormed),
                _ => State::CharacterReference { quote },
            },
            State::Cdata(brackets) => match (brackets, byte) {
                (2, b'>') => State::Text,
                (2, b']') => State::Cdata(2),
                (_, b']') => State::Cdata(brackets + 1),
                _ => State::Cdata(0),
            },
        };
        self.previous = byte;
        Ok(())
    }

    fn open(&mut self, byte: u8) -> State {
        if byte == b'!' {
            return State::Bang(0);
        }
        self.under_root = false;
        self.name_bytes = 0;
        match byte {
            b'?' => State::Instruction(0),
            b'/' => State::EndTag,
            _ => {
                self.attributes = 0;
                self.declared.clear();
                State::TagName
            }
        }
    }

    /// `<![CDATA[` goes on; a comment or a DTD does not (RFC 6120 §11.1).
    fn bang(&self, seen: usize, byte: u8) -> Result<State, XmlError> {
        const CDATA: &[u8] = b"[CDATA[";
        match (seen, byte) {
            (0, b'-' | b'D') => Err(XmlError::Restricted),
            (0, b'[') if self.under_root => Err(XmlError::StrayText),
            _ if CDATA[seen] != byte => Err(XmlError::NotWellFormed),
            _ if seen + 1 == CDATA.len() => Ok(State::Cdata(0)),
            _ => Ok(State::Bang(seen + 1)),
        }
    }

    fn tag(&mut self, byte: u8) -> Result<State, XmlError> {
        match byte {
            b'>' => {
                self.empty_tag = self.previous == b'/';
                Ok(State::Text)
            }
            b' ' | b'\t' | b'\r' | b'\n' | b'/' => Ok(State::Tag),
            b'<' => Err(XmlError::NotWellFormed),
            _ if self.state == State::TagName => self.name_byte(byte, State::TagName),
            _ => {
                self.attributes += 1;
                if self.attributes > self.attributes_max {
                    return Err(XmlError::TooComplex);
                }
                self.name_bytes = 0;
                self.attribute.clear();
                self.attribute.push(byte);
                Ok(State::AttributeName)
            }
        }
    }

    fn attribute_name(&mut self, byte: u8) -> Result<State, XmlError> {
        match byte {
            b'=' | b' ' | b'\t' | b'\r' | b'\n' => {
                let name = &self.attribute;
                if name == b"xmlns" || name.starts_with(b"xmlns:") {
                    // Namespaces in XML §6.3: xml-rs would silently take the first of the two.
                    if !self.declared.insert(name.clone()) {
                        return Err(XmlError::NotWellFormed);
                    }
                }
                Ok(State::AttributeEquals)
            }
            b'>' => Err(XmlError::NotWellFormed),
            _ => {
                self.attribute.push(byte);
                self.name_byte(byte, State::AttributeName)
            }
        }
    }

    fn name_byte(&mut self, byte: u8, state: State) -> Result<State, XmlError> {
        self.name_bytes += 1;
        if byte == b'<' {
            return Err(XmlError::NotWellFormed);
        }
        if self.name_bytes > NAME_BYTES_MAX { Err(XmlError::TooComplex) } else { Ok(state) }
    }

    fn reference_start(&mut self, quote: u8) -> State {
        self.reference_len = 0;
        State::Reference { quote }
    }

    /// Only the predefined entities; any other is refused before it could be expanded.
    fn reference(&mut self, quote: u8, byte: u8) -> Result<State, XmlError> {
        let name = &self.reference[..self.reference_len];
        match byte {
            b'#' if name.is_empty() => Ok(State::CharacterReference { quote }),
            b';' => match name {
                b"lt" | b"gt" | b"amp" | b"apos" | b"quot" => Ok(after_reference(quote)),
                b"" => Err(XmlError::NotWellFormed),
                _ => Err(XmlError::Restricted),
            },
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b':' | b'-' | b'.' | 0x80.. => {
                if self.reference_len == REFERENCE_BYTES_MAX {
                    return Err(XmlError::Restricted);
                }
                self.reference[self.reference_len] = byte;
                self.reference_len += 1;
                Ok(State::Reference { quote })
            }
            _ => Err(XmlError::NotWellFormed),
        }
    }
}

/// A second XML declaration is not well-formed (XML §2.6), any other instruction is restricted.
fn instruction(seen: usize, byte: u8) -> Result<State, XmlError> {
    const TARGET: &[u8] = b"xml";
    match TARGET.get(seen) {
        Some(expected) if expected.eq_ignore_ascii_case(&byte) => Ok(State::Instruction(seen + 1)),
        None if matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'?') => Err(XmlError::NotWellFormed),
        _ => Err(XmlError::Restricted),
    }
}

fn after_reference(quote: u8) -> State {
    if quote == 0 { State::Text } else { State::Value(quote) }
}
