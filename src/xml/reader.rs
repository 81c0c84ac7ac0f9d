//! xml-rs, set up for streams, and its names and errors turned into ours.
//!
//! What it accepts beyond Namespaces in XML is refused here, where its events come out; what it
//! must not even see is refused in [`super::guard`].

use xml_rs::Encoding;
use xml_rs::attribute::OwnedAttribute;
use xml_rs::common::is_name_start_char;
use xml_rs::name::OwnedName;
use xml_rs::namespace::Namespace;
use xml_rs::reader::{Error, ErrorKind, EventReader, ParserConfig};

use super::element::XML_NS;
use super::guard::NAME_BYTES_MAX;
use super::limits::ATTRIBUTES_CEILING;
use super::parser::{StreamHeader, XmlError};
use super::source::Source;

/// The namespace of stanzas, as everything behind the parser knows them.
pub(super) const CLIENT_NS: &str = "jabber:client";
/// The namespace that the prefix `xmlns` is bound to.
const XMLNS_NS: &str = "http://www.w3.org/2000/xmlns/";

/// xml-rs with every limit of its own set. The byte limit of the stanza bounds all lengths, and
/// may change while this lives, so the lengths of data have none here. Entities never get here.
pub(super) fn new_reader() -> Box<EventReader<Source>> {
    let config = ParserConfig::new()
        .override_encoding(Some(Encoding::Utf8))
        .ignore_end_of_stream(true)
        .ignore_comments(false)
        .coalesce_characters(true)
        .cdata_to_characters(true)
        .whitespace_to_characters(true)
        .trim_whitespace(false)
        .replace_unknown_entity_references(false)
        .allow_multiple_root_elements(false)
        .ignore_invalid_encoding_declarations(false)
        .max_entity_expansion_length(0)
        .max_entity_expansion_depth(0)
        .max_name_length(NAME_BYTES_MAX)
        .max_attributes(ATTRIBUTES_CEILING)
        .max_attribute_length(usize::MAX)
        .max_data_length(usize::MAX);
    Box::new(EventReader::new_with_config(Source::new(), config))
}

/// The source had no more bytes.
pub(super) fn is_starved(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io(io) if io.kind() == std::io::ErrorKind::WouldBlock)
}

/// xml-rs names its errors only in text. This suffix is its own, never a peer's: what it quotes
/// of the input is a name, and a name has no space.
pub(super) fn translate(error: &Error) -> XmlError {
    match error.kind() {
        ErrorKind::Syntax(text) if text.ends_with(" prefix is unbound") => XmlError::UnboundPrefix,
        ErrorKind::Utf8(_) => XmlError::UnsupportedEncoding,
        _ => XmlError::NotWellFormed,
    }
}

/// Namespaces in XML §3: no other prefix may be bound to the two reserved namespaces, nor may they
/// be the default one. xml-rs lets a prefix be bound to them, and to the words `xml` and `xmlns`,
/// which it refuses as default namespaces.
pub(super) fn check_bindings(scope: &Namespace) -> Result<(), XmlError> {
    for (prefix, uri) in &scope.0 {
        let reserved = matches!(uri.as_str(), XML_NS | XMLNS_NS | "xml" | "xmlns");
        if reserved && !matches!(prefix.as_str(), "xml" | "xmlns") {
            return Err(XmlError::NotWellFormed);
        }
    }
    Ok(())
}

/// Namespaces in XML §4: what follows a prefix begins like a name. xml-rs takes `a:1`, and an
/// element that is written again without its prefix would not be XML.
pub(super) fn check_names(name: &OwnedName, attributes: &[OwnedAttribute]) -> Result<(), XmlError> {
    let names = std::iter::once(name).chain(attributes.iter().map(|attribute| &attribute.name));
    for name in names {
        if !name.local_name.starts_with(is_name_start_char) {
            return Err(XmlError::NotWellFormed);
        }
    }
    Ok(())
}

pub(super) fn stream_header(
    name: OwnedName,
    attributes: Vec<OwnedAttribute>,
    namespace: Namespace,
) -> StreamHeader {
    let mut header = StreamHeader {
        ns: name.namespace.unwrap_or_default(),
        name: name.local_name,
        ..StreamHeader::default()
    };
    for (prefix, uri) in namespace.0 {
        match prefix.as_str() {
            "" => header.content_ns = uri,
            "xml" | "xmlns" => {}
            _ => header.prefixes.push((prefix, uri)),
        }
    }
    for attribute in attributes {
        let value = Some(attribute.value);
        match (attribute.name.namespace.as_deref(), attribute.name.local_name.as_str()) {
            (None, "to") => header.to = value,
            (None, "from") => header.from = value,
            (None, "id") => header.id = value,
            (None, "version") => header.version = value,
            (Some(XML_NS), "lang") => header.lang = value,
            _ => {}
        }
    }
    header
}

/// The namespaces of stanzas between servers, and between a server and its component.
pub(super) fn foreign_content(content_ns: &str) -> Option<&'static str> {
    ["jabber:server", "jabber:component:accept"].into_iter().find(|ns| *ns == content_ns)
}
