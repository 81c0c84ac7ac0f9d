//! What streams between servers are made of: headers, and the elements of Server Dialback
//! (XEP-0220) with their keys (XEP-0185). Who says what when is decided in `server/links`.

use ring::{digest, hmac};

use super::header::is_version_supported;
use crate::xml::StreamHeader;
use crate::xml::writer::{escape_text, write_attr, write_element};
use crate::xmpp::{Condition, StanzaError, StreamCondition, StreamError, ns};

/// Name of the secret that keys are made of, in storage.
pub const DIALBACK_SECRET: &str = "dialback";

/// A stream header; `id` when it answers one (RFC 6120 §4.7, XEP-0220 §2.1).
pub fn header(from: &str, to: Option<&str>, id: Option<&str>) -> Vec<u8> {
    write_header(from, to, id, Some("1.0"))
}

/// The answer to a header without a version: it has none either (RFC 6120 §4.7.5).
pub fn header_of_09(from: &str, to: Option<&str>, id: Option<&str>) -> Vec<u8> {
    write_header(from, to, id, None)
}

fn write_header(from: &str, to: Option<&str>, id: Option<&str>, version: Option<&str>) -> Vec<u8> {
    let mut bytes = b"<?xml version='1.0'?><stream:stream".to_vec();
    write_attr(&mut bytes, "xmlns", ns::SERVER);
    write_attr(&mut bytes, "xmlns:stream", ns::STREAMS);
    write_attr(&mut bytes, "xmlns:db", ns::DIALBACK);
    write_attr(&mut bytes, "from", from);
    if let Some(to) = to {
        write_attr(&mut bytes, "to", to);
    }
    if let Some(id) = id {
        write_attr(&mut bytes, "id", id);
    }
    if let Some(version) = version {
        write_attr(&mut bytes, "version", version);
    }
    write_attr(&mut bytes, "xml:lang", "en");
    bytes.push(b'>');
    bytes
}

/// Checks the form of another server's header (RFC 6120 §4.8); false: it is of a time before
/// versions, and knows no features (§4.7.5).
pub fn check_form(header: &StreamHeader) -> Result<bool, StreamError> {
    if header.ns != ns::STREAMS || header.content_ns != ns::SERVER {
        return Err(StreamCondition::InvalidNamespace.into());
    }
    if header.name != "stream" {
        return Err(StreamCondition::BadFormat.into());
    }
    match header.version.as_deref() {
        None => Ok(false),
        Some(version) if is_version_supported(version) => Ok(true),
        Some(_) => Err(StreamCondition::UnsupportedVersion.into()),
    }
}

/// The key by which `originating` shows to `receiving` that it opened the stream `stream_id`
/// (XEP-0185 §3).
pub fn dialback_key(secret: &[u8], receiving: &str, originating: &str, stream_id: &str) -> String {
    let hashed = hex(digest::digest(&digest::SHA256, secret).as_ref());
    let key = hmac::Key::new(hmac::HMAC_SHA256, hashed.as_bytes());
    let text = format!("{receiving} {originating} {stream_id}");
    hex(hmac::sign(&key, text.as_bytes()).as_ref())
}

/// `<db:result/>` or `<db:verify/>` with these attributes, and a key where it asks.
pub fn dialback(name: &str, attributes: &[(&str, &str)], key: Option<&str>) -> Vec<u8> {
    let mut bytes = format!("<db:{name}").into_bytes();
    for (name, value) in attributes {
        write_attr(&mut bytes, name, value);
    }
    match key {
        None => bytes.extend_from_slice(b"/>"),
        Some(key) => {
            bytes.push(b'>');
            escape_text(&mut bytes, key);
            bytes.extend_from_slice(format!("</db:{name}>").as_bytes());
        }
    }
    bytes
}

/// The same of type error (XEP-0220 §2.5).
pub fn dialback_error(name: &str, attributes: &[(&str, &str)], condition: Condition) -> Vec<u8> {
    let mut bytes = format!("<db:{name}").into_bytes();
    for (name, value) in attributes {
        write_attr(&mut bytes, name, value);
    }
    bytes.extend_from_slice(b" type='error'>");
    write_element(&mut bytes, &StanzaError::new(condition).to_element(), ns::CLIENT);
    bytes.extend_from_slice(format!("</db:{name}>").as_bytes());
    bytes
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_example() {
        // XEP-0185 §3
        let key =
            dialback_key(b"s3cr3tf0rd14lb4ck", "xmpp.example.com", "example.org", "D60000229F");
        assert_eq!(key, "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643");
    }

    #[test]
    fn what_is_written() {
        let asked = dialback("result", &[("from", "a'b"), ("to", "c")], Some("k<"));
        assert_eq!(asked, b"<db:result from='a&apos;b' to='c'>k&lt;</db:result>");
        let answered = dialback("verify", &[("type", "valid")], None);
        assert_eq!(answered, b"<db:verify type='valid'/>");
        let refused = dialback_error("result", &[("to", "c")], Condition::ItemNotFound);
        let error = "<db:result to='c' type='error'><error type='cancel'><item-not-found \
                     xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>";
        assert_eq!(refused, error.as_bytes());
    }
}
