//! The incremental stream parser. (Owned by the xml work package; this is its interface.)

use super::element::Element;

/// What a stream parser refuses to exceed. Zero switches a byte limit off.
#[derive(Clone, Copy, Debug)]
pub struct XmlLimits {
    /// Bytes of one stanza, or of the stream header.
    pub stanza_bytes_max: usize,
    /// Depth of elements inside a stanza, the stanza itself counted.
    pub depth_max: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes_max: usize,
    /// Nodes (elements, texts, attributes) of one stanza.
    pub nodes_max: usize,
}

/// The attributes of a stream header that the server looks at, as sent.
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
    /// Further namespaces that the header binds to prefixes (`db` → `jabber:server:dialback`).
    pub prefixes: Vec<(String, String)>,
}

/// What the parser saw, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The stream header.
    Open(Box<StreamHeader>),
    /// A complete first-level element.
    Stanza(Element),
    /// `</stream:stream>`.
    Close,
}

/// Why the bytes cannot be part of a stream; the first one is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XmlError {
    /// Not well-formed (RFC 6120 §4.9.3.13).
    NotWellFormed,
    /// DTD, processing instruction, comment, entity reference (§4.9.3.18).
    Restricted,
    /// Not UTF-8, or declared as something else (§4.9.3.22).
    UnsupportedEncoding,
    /// A prefix that is not bound (§4.9.3.2 bad-namespace-prefix is for stream prefixes).
    UnboundPrefix,
    /// Larger than [`XmlLimits::stanza_bytes_max`] (policy-violation).
    TooLarge,
    /// Deeper, or with more attributes or nodes, than the limits allow (policy-violation).
    TooComplex,
    /// Text between stanzas that is not white space (invalid-xml / bad-format).
    StrayText,
}

/// An incremental parser of one XML stream.
pub struct StreamParser {}

impl StreamParser {
    /// A parser at the start of a stream.
    pub fn new(limits: XmlLimits) -> Self {
        let _ = limits;
        Self {}
    }

    /// Hands over bytes as they came; then call [`Self::next_event`] until it yields `None`.
    pub fn feed(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }

    /// The next event, or `None` when more bytes are needed.
    pub fn next_event(&mut self) -> Result<Option<StreamEvent>, XmlError> {
        Ok(None)
    }

    /// Changes the limits from the next stanza on (after authentication).
    pub fn set_limits(&mut self, limits: XmlLimits) {
        let _ = limits;
    }

    /// True when bytes have been fed that no event covers yet, white space included.
    pub fn holds_bytes(&self) -> bool {
        false
    }

    /// True between stanzas: nothing of a stanza has been read.
    pub fn is_between_stanzas(&self) -> bool {
        true
    }
}
