//! The incremental stream parser: bytes in any chunks in, a stream header, whole stanzas and the
//! end of the stream out.
//!
//! xml-rs does the parsing; what it must not see, or must not decide, is kept from it. White space
//! between stanzas never reaches it (it would pile up there); the XML declaration is read by
//! [`super::declaration`]; every other byte passes the guard in [`super::source`], which refuses
//! what XMPP forbids and counts bytes and attributes before they are stored. Depth, nodes and the
//! cost of namespaces are counted here, per event. Nothing recurses on the depth of the input.
//!
//! The first error is final: memory is freed, later bytes are ignored. So is the end of the stream.
//! It is not the place where a stream restarts: that takes a new parser (RFC 6120 §4.3.3), which
//! gets the bytes that this one has not read.
//!
//! An idle stream holds about 4.5 KB, nearly all of it inside xml-rs, and 100 bytes more for each
//! level of the deepest stanza it has seen (the bench `parse` prints it).

use xml_rs::attribute::OwnedAttribute;
use xml_rs::name::OwnedName;
use xml_rs::namespace::Namespace;
use xml_rs::reader::{EventReader, XmlEvent};

use super::declaration::{DECLARATION_BYTES_MAX, check_declaration};
use super::element::{Attribute, Element, Node};
use super::limits::XmlLimits;
use super::names::{intern_name, intern_namespace};
use super::reader::{
    CLIENT_NS, check_bindings, check_names, foreign_content, is_starved, new_reader, stream_header,
    translate,
};
use super::source::Source;

/// Bytes of namespace bindings in scope that an element may have for free. The rest is charged,
/// because xml-rs copies all bindings in scope for every element. Charged as well is what the
/// element will need when it is written: a namespace that is not its parent's. Otherwise a long
/// namespace, bound once and used often, would make a small stanza a large one.
const NAMESPACE_BYTES_FREE: usize = 512;
/// The attributes of a stream header that the server looks at, as sent (RFC 6120 §4.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamHeader {
    /// Namespace of the root element.
    pub ns: String,
    /// Local name of the root element.
    pub name: String,
    /// The default namespace that the header declares (`jabber:client`); empty for none.
    pub content_ns: String,
    /// `to`.
    pub to: Option<String>,
    /// `from`.
    pub from: Option<String>,
    /// `id`.
    pub id: Option<String>,
    /// `version`.
    pub version: Option<String>,
    /// `xml:lang`.
    pub lang: Option<String>,
    /// All prefixes that the header binds (`stream`, `db` → `jabber:server:dialback`), sorted.
    pub prefixes: Vec<(String, String)>,
}

/// What the parser saw, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The stream header.
    Open(Box<StreamHeader>),
    /// A complete first-level element.
    Stanza(Element),
    /// `</stream:stream>`; nothing follows it.
    Close,
}

/// Why the bytes cannot be part of a stream; the first one is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XmlError {
    /// Not well-formed (RFC 6120 §4.9.3.13).
    NotWellFormed,
    /// DTD, processing instruction, comment, entity reference (RFC 6120 §4.9.3.18, §11.1).
    Restricted,
    /// Declared as something else than UTF-8, or not UTF-8: "improperly encoded … by violating the
    /// rules of the UTF-8 encoding" is the same condition (RFC 6120 §4.9.3.22, §11.6).
    UnsupportedEncoding,
    /// A prefix that is not bound (§4.9.3.2 bad-namespace-prefix is for stream prefixes).
    UnboundPrefix,
    /// Larger than [`XmlLimits::stanza_bytes_max`] (policy-violation).
    TooLarge,
    /// Deeper, or with more attributes, nodes or namespaces, or longer names, than the limits
    /// allow (policy-violation).
    TooComplex,
    /// Text between stanzas that is not white space (invalid-xml / bad-format).
    StrayText,
}

/// What the next byte can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between two streams: white space of the one before may come.
    Restart,
    /// Nothing has been read: an XML declaration may come.
    Start,
    /// Before the stream header.
    Prolog,
    /// Inside the stream header, a stanza or the end tag of the stream.
    Unit,
    /// Between stanzas.
    Between,
    /// After the end of the stream.
    Closed,
}

/// An incremental parser of one XML stream.
pub struct StreamParser {
    /// For the next unit (header, stanza, end of stream).
    limits: XmlLimits,
    /// For this unit. Both are effective: no zeros.
    unit_limits: XmlLimits,
    phase: Phase,
    /// The stream header has been read.
    opened: bool,
    /// The namespace of stanzas where it is not `jabber:client` (RFC 6120 §4.8.3): taken for it.
    content_ns: Option<&'static str>,
    error: Option<XmlError>,
    /// Bytes have been fed since the last event, or were left over behind it.
    holds_bytes: bool,
    source: Source,
    /// xml-rs; made when the stream header begins, dropped at the end and at an error. It owns a
    /// source that is never used: [`Self::read_unit`] lends it ours.
    reader: Option<Box<EventReader<Source>>>,
    /// Open elements of the stanza that is being read, the outermost first.
    stack: Vec<Element>,
    /// Nodes of the unit so far.
    nodes: usize,
    /// Charged namespace bytes of the unit so far.
    namespace_bytes: usize,
}

impl StreamParser {
    /// A parser at the start of a stream.
    pub fn new(limits: XmlLimits) -> Self {
        let limits = limits.effective();
        Self {
            limits,
            unit_limits: limits,
            phase: Phase::Start,
            opened: false,
            content_ns: None,
            error: None,
            holds_bytes: false,
            source: Source::new(),
            reader: None,
            stack: Vec::new(),
            nodes: 0,
            namespace_bytes: 0,
        }
    }

    /// Hands over bytes as they came; then call [`Self::next_event`] until it yields `None`.
    pub fn feed(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.error.is_some() || self.phase == Phase::Closed {
            return;
        }
        self.source.feed(bytes);
        self.holds_bytes = true;
    }

    /// The next event, or `None` when more bytes are needed.
    pub fn next_event(&mut self) -> Result<Option<StreamEvent>, XmlError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let result = match self.advance() {
            Ok(None) if self.source.is_broken() => Err(XmlError::UnsupportedEncoding),
            result => result,
        };
        match &result {
            Ok(None) => self.rest(),
            Ok(Some(_)) => self.holds_bytes = !self.source.is_empty(),
            Err(error) => self.error = Some(*error),
        }
        if result.is_err() || self.phase == Phase::Closed {
            self.holds_bytes = false;
            self.source = Source::new();
            self.reader = None;
            self.stack = Vec::new();
        }
        result
    }

    /// Changes the limits from the next stanza on (after authentication).
    pub fn set_limits(&mut self, limits: XmlLimits) {
        self.limits = limits.effective();
    }

    /// True when bytes have been fed that no event covers yet, white space included: after
    /// `<starttls/>` or `<success/>` this must be false, else somebody put clear text where the
    /// secure stream begins (RFC 6120 §5.4.3.3, advisory a07). White space that was dropped
    /// between stanzas counts, though it takes no memory.
    pub fn holds_bytes(&self) -> bool {
        self.holds_bytes
    }

    /// The parser of the next stream of the same connection (RFC 6120 §6.4.6). It begins with the
    /// bytes that this one has not read; white space before the new stream belongs to the old one.
    pub fn restart(self, limits: XmlLimits) -> Self {
        let mut next = Self { phase: Phase::Restart, ..Self::new(limits) };
        next.feed(&self.source.into_rest());
        next
    }

    /// True between stanzas: nothing of a stanza has been read.
    pub fn is_between_stanzas(&self) -> bool {
        self.phase != Phase::Unit
    }

    /// Gives back what is not needed while no bytes come.
    fn rest(&mut self) {
        if self.source.is_empty() {
            self.source.clear();
        }
        if self.phase == Phase::Between {
            self.source.guard.shrink();
            self.stack.shrink_to(4);
        }
    }

    fn advance(&mut self) -> Result<Option<StreamEvent>, XmlError> {
        loop {
            match self.phase {
                Phase::Restart => match self.source.skip_whitespace() {
                    Some(_) => self.phase = Phase::Start,
                    None => return Ok(None),
                },
                Phase::Start => {
                    if !self.read_declaration()? {
                        return Ok(None);
                    }
                }
                Phase::Prolog => match self.source.skip_whitespace() {
                    Some(b'<') => self.begin_unit(),
                    Some(_) => return Err(XmlError::NotWellFormed),
                    None => return Ok(None),
                },
                Phase::Between => match self.source.skip_whitespace() {
                    Some(b'<') => self.begin_unit(),
                    Some(_) => return Err(XmlError::StrayText),
                    None => return Ok(None),
                },
                Phase::Unit => return self.read_unit(),
                Phase::Closed => return Ok(None),
            }
        }
    }

    /// Reads the XML declaration if there is one; false when it is not complete.
    fn read_declaration(&mut self) -> Result<bool, XmlError> {
        const OPEN: &[u8] = b"<?xml";
        let ready = self.source.ready();
        if ready.len() <= OPEN.len() && OPEN.starts_with(ready) {
            return Ok(false);
        }
        let after = ready.get(OPEN.len());
        if !ready.starts_with(OPEN) || !after.is_some_and(|b| b" \t\r\n".contains(b)) {
            self.phase = Phase::Prolog;
            return Ok(true);
        }
        let seen = &ready[..ready.len().min(DECLARATION_BYTES_MAX)];
        let Some(end) = memchr::memmem::find(seen, b"?>") else {
            let complete = seen.len() < DECLARATION_BYTES_MAX;
            return if complete { Ok(false) } else { Err(XmlError::NotWellFormed) };
        };
        let text = std::str::from_utf8(&seen[OPEN.len()..end]).expect("ASCII ends a valid prefix");
        check_declaration(text)?;
        self.source.skip(end + 2);
        self.phase = Phase::Prolog;
        Ok(true)
    }

    /// The next byte is the `<` of the header, of a stanza, or of the end of the stream.
    fn begin_unit(&mut self) {
        self.unit_limits = self.limits;
        self.source.begin(self.limits.stanza_bytes_max);
        self.source.guard.begin(self.opened, self.limits.attributes_max);
        self.nodes = 0;
        self.namespace_bytes = 0;
        self.phase = Phase::Unit;
    }

    fn read_unit(&mut self) -> Result<Option<StreamEvent>, XmlError> {
        let mut reader = self.reader.take().unwrap_or_else(new_reader);
        std::mem::swap(&mut self.source, reader.source_mut());
        let result = self.read_events(&mut reader);
        std::mem::swap(&mut self.source, reader.source_mut());
        self.reader = Some(reader);
        result
    }

    fn read_events(
        &mut self,
        reader: &mut EventReader<Source>,
    ) -> Result<Option<StreamEvent>, XmlError> {
        loop {
            match reader.next() {
                Ok(XmlEvent::StartElement { name, attributes, namespace }) => {
                    let guard = &reader.source().guard;
                    self.count_nodes(1 + guard.attributes())?;
                    check_names(&name, &attributes)?;
                    if guard.declares() {
                        check_bindings(&namespace)?;
                    }
                    self.charge_namespaces(&namespace, &name, &attributes)?;
                    if self.opened {
                        self.open_element(name, attributes)?;
                        continue;
                    }
                    self.opened = true;
                    // `<stream:stream/>` opens and closes: its end needs no further bytes.
                    self.phase = if guard.is_empty_tag() { Phase::Unit } else { Phase::Between };
                    let header = stream_header(name, attributes, namespace);
                    self.content_ns = foreign_content(&header.content_ns);
                    return Ok(Some(StreamEvent::Open(Box::new(header))));
                }
                Ok(XmlEvent::EndElement { .. }) => {
                    if let Some(event) = self.close_element() {
                        return Ok(Some(event));
                    }
                }
                Ok(
                    XmlEvent::Characters(text) | XmlEvent::CData(text) | XmlEvent::Whitespace(text),
                ) => {
                    self.count_nodes(1)?;
                    let parent = self.stack.last_mut().ok_or(XmlError::StrayText)?;
                    match parent.children.last_mut() {
                        Some(Node::Text(last)) => last.push_str(&text),
                        _ if text.is_empty() => {}
                        _ => parent.children.push(Node::Text(text)),
                    }
                }
                Ok(XmlEvent::StartDocument { .. }) => {}
                // The guard lets none of these through.
                Ok(
                    XmlEvent::Comment(_)
                    | XmlEvent::ProcessingInstruction { .. }
                    | XmlEvent::Doctype { .. }
                    | XmlEvent::EndDocument,
                ) => return Err(XmlError::Restricted),
                Err(error) => {
                    return match reader.source_mut().refused.take() {
                        Some(refused) => Err(refused),
                        None if is_starved(&error) => Ok(None),
                        None => Err(translate(&error)),
                    };
                }
            }
        }
    }

    fn count_nodes(&mut self, count: usize) -> Result<(), XmlError> {
        self.nodes += count;
        if self.nodes > self.unit_limits.nodes_max { Err(XmlError::TooComplex) } else { Ok(()) }
    }

    /// Bounds what namespaces cost, in memory here and in bytes on the way out.
    fn charge_namespaces(
        &mut self,
        scope: &Namespace,
        name: &OwnedName,
        attributes: &[OwnedAttribute],
    ) -> Result<(), XmlError> {
        let in_scope: usize = scope.0.iter().map(|(prefix, uri)| prefix.len() + uri.len()).sum();
        self.namespace_bytes += in_scope.saturating_sub(NAMESPACE_BYTES_FREE);
        let parent_ns = self.stack.last().map_or("", |parent| &parent.ns);
        let ns = name.namespace.as_deref().unwrap_or_default();
        if ns != parent_ns {
            self.namespace_bytes += ns.len();
        }
        for attribute in attributes {
            self.namespace_bytes += attribute.name.namespace.as_ref().map_or(0, String::len);
        }
        let charge_max = self.unit_limits.namespace_bytes_max();
        if self.namespace_bytes > charge_max { Err(XmlError::TooComplex) } else { Ok(()) }
    }

    fn open_element(
        &mut self,
        name: OwnedName,
        attributes: Vec<OwnedAttribute>,
    ) -> Result<(), XmlError> {
        if self.stack.len() >= self.unit_limits.depth_max {
            return Err(XmlError::TooComplex);
        }
        let attributes = attributes.into_iter().map(|attribute| Attribute {
            ns: intern_namespace(attribute.name.namespace.unwrap_or_default()),
            name: intern_name(attribute.name.local_name),
            value: attribute.value,
        });
        let ns = name.namespace.unwrap_or_default();
        let is_content = self.content_ns.is_some_and(|content_ns| content_ns == ns);
        self.stack.push(Element {
            ns: if is_content { CLIENT_NS.into() } else { intern_namespace(ns) },
            name: intern_name(name.local_name),
            attributes: attributes.collect(),
            children: Vec::new(),
        });
        Ok(())
    }

    fn close_element(&mut self) -> Option<StreamEvent> {
        let Some(element) = self.stack.pop() else {
            self.phase = Phase::Closed;
            return Some(StreamEvent::Close);
        };
        if let Some(parent) = self.stack.last_mut() {
            parent.children.push(Node::Element(element));
            return None;
        }
        self.phase = Phase::Between;
        Some(StreamEvent::Stanza(element))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A parser behind its header, under a limit of 300 bytes.
    fn opened() -> StreamParser {
        let limits =
            XmlLimits { stanza_bytes_max: 300, depth_max: 9, attributes_max: 9, nodes_max: 99 };
        let mut parser = StreamParser::new(limits);
        parser.feed(b"<s xmlns='u'>");
        assert!(matches!(parser.next_event(), Ok(Some(StreamEvent::Open(_)))));
        parser
    }

    #[test]
    fn advisory_a04_no_bytes_are_kept_that_were_read() {
        let mut parser = opened();
        for chunk in [&b" "[..], &[b'\n'; 10_000], b"<a>", b"text &am", b"p;<b c='"] {
            parser.feed(chunk);
            assert_eq!(parser.next_event(), Ok(None));
            assert_eq!(parser.source.capacity(), 0);
        }
        // An incomplete sequence is all that is held back.
        parser.feed(b"\xF0\x9F");
        assert_eq!(parser.next_event(), Ok(None));
        assert!(!parser.source.is_empty() && parser.source.ready().is_empty());
    }

    #[test]
    fn advisory_a04_an_endless_stanza_ends_at_the_limit_and_its_memory_is_freed() {
        let mut parser = opened();
        parser.feed(b"<a>");
        for fed in 3..300 {
            assert_eq!(parser.next_event(), Ok(None), "{fed} bytes");
            parser.feed(b"x");
        }
        assert_eq!(parser.next_event(), Ok(None));
        parser.feed(b"x");
        assert_eq!(parser.next_event(), Err(XmlError::TooLarge));
        assert!(parser.reader.is_none() && parser.stack.is_empty());
        parser.feed(&[b'x'; 10_000]);
        assert_eq!(parser.source.capacity(), 0);
    }
}
