//! Stream headers (RFC 6120 §4.7, §4.8): what a client's header must say, and ours.
//!
//! Choices where the RFC leaves one: no `to` means the default domain (§4.9.1.2 leaves the answer
//! to the server); a higher version than 1.0 is answered with 1.0 (§4.7.5); the language of what
//! the server says is always `en` (§4.7.4).

use crate::config::Config;
use crate::xml::StreamHeader;
use crate::xml::writer::write_attr;
use crate::xmpp::{BareJid, Jid, StreamCondition, StreamError, ns};

/// A language tag of the stream that is longer is not remembered (BCP 47 §4.4.1 asks for 35).
const LANG_BYTES_MAX: usize = 35;

/// Checks namespaces; `content_ns` is that of stanzas (RFC 6120 §4.8.1, §4.8.2).
pub fn check_form(header: &StreamHeader, content_ns: &str) -> Result<(), StreamError> {
    if header.ns != ns::STREAMS {
        return Err(StreamCondition::InvalidNamespace.into());
    }
    if header.name != "stream" {
        return Err(StreamCondition::BadFormat.into());
    }
    if header.content_ns != content_ns {
        return Err(StreamCondition::InvalidNamespace.into());
    }
    Ok(())
}

/// Checks the version (RFC 6120 §4.7.5): clients before XMPP 1.0 are not served.
pub fn check_version(header: &StreamHeader) -> Result<(), StreamError> {
    if !header.version.as_deref().is_some_and(is_version_supported) {
        return Err(StreamCondition::UnsupportedVersion.into());
    }
    Ok(())
}

/// Two numbers with a dot between, compared as numbers: at least 1.0 (RFC 6120 §4.7.5).
pub fn is_version_supported(version: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match version.split_once('.') {
        Some((major, minor)) if is_number(major) && is_number(minor) => {
            major.bytes().any(|digit| digit != b'0')
        }
        _ => false,
    }
}

/// The domain that `to` names; the stream's own, or the default, where there is none.
/// `current` is the domain of the stream before its restart, which is kept (advisory a06).
pub fn host(
    config: &Config,
    to: Option<&str>,
    current: Option<&BareJid>,
) -> Result<BareJid, StreamError> {
    let Some(to) = to else {
        return Ok(current.unwrap_or_else(|| default_host(config)).clone());
    };
    let to = Jid::parse(to).map_err(|_| StreamCondition::ImproperAddressing)?;
    let is_domain = to.local().is_none() && to.is_bare();
    let host = config.domains.iter().find(|own| is_domain && own.as_str() == to.as_str());
    let host = host.ok_or(StreamCondition::HostUnknown)?;
    match current {
        Some(current) if current != host => Err(StreamError::new(StreamCondition::NotAuthorized)
            .with_text("the domain of a stream cannot change")),
        _ => Ok(host.clone()),
    }
}

/// The domain that is meant when a client names none.
pub fn default_host(config: &Config) -> &BareJid {
    config.domains.first().expect("a configuration has at least one domain")
}

/// Checks `from` (RFC 6120 §4.7.1): any address before authentication, the account's own after it.
pub fn check_from(
    from: Option<&str>,
    account: Option<&BareJid>,
) -> Result<Option<BareJid>, StreamError> {
    let Some(from) = from else { return Ok(None) };
    let from = Jid::parse(from).map_err(|_| StreamCondition::ImproperAddressing)?.to_bare();
    if account.is_some_and(|account| *account != from) {
        return Err(StreamCondition::InvalidFrom.into());
    }
    Ok(Some(from))
}

/// XEP-0388 §2.1: who connects to a domain is at home there.
pub fn check_domain(from: Option<&BareJid>, host: &BareJid) -> Result<(), StreamError> {
    match from {
        Some(from) if from.domain() != host.domain() => Err(StreamCondition::InvalidFrom.into()),
        _ => Ok(()),
    }
}

/// The language of the stream, when it has the form of one.
pub fn lang(header: &StreamHeader) -> Option<&str> {
    let lang = header.lang.as_deref()?;
    let is_tag = (1..=LANG_BYTES_MAX).contains(&lang.len())
        && lang
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    is_tag.then_some(lang)
}

/// Our header; `to` only where the client told who it is.
pub fn response(host: &BareJid, id: &str, to: Option<&BareJid>) -> Vec<u8> {
    let mut bytes = b"<?xml version='1.0'?><stream:stream".to_vec();
    write_attr(&mut bytes, "xmlns", ns::CLIENT);
    write_attr(&mut bytes, "xmlns:stream", ns::STREAMS);
    write_attr(&mut bytes, "from", host.as_str());
    if let Some(to) = to {
        write_attr(&mut bytes, "to", to.as_str());
    }
    write_attr(&mut bytes, "id", id);
    write_attr(&mut bytes, "version", "1.0");
    write_attr(&mut bytes, "xml:lang", "en");
    bytes.push(b'>');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> StreamHeader {
        StreamHeader {
            ns: ns::STREAMS.to_owned(),
            name: "stream".to_owned(),
            content_ns: ns::CLIENT.to_owned(),
            version: Some("1.0".to_owned()),
            ..StreamHeader::default()
        }
    }

    #[test]
    fn form() {
        use StreamCondition as S;
        let check = |change: fn(&mut StreamHeader), want: Option<S>| {
            let mut header = header();
            change(&mut header);
            let checked = check_form(&header, ns::CLIENT).and_then(|()| check_version(&header));
            assert_eq!(checked.err().map(|e| e.condition), want, "{header:?}");
        };
        check(|_| {}, None);
        check(|h| h.ns = String::new(), Some(S::InvalidNamespace));
        check(|h| h.ns = "http://etherx.jabber.org/stream".into(), Some(S::InvalidNamespace));
        check(|h| h.name = "streams".into(), Some(S::BadFormat));
        check(|h| h.content_ns = String::new(), Some(S::InvalidNamespace));
        check(|h| h.content_ns = ns::SERVER.into(), Some(S::InvalidNamespace));
        check(|h| h.version = None, Some(S::UnsupportedVersion));
        for good in ["1.0", "1.1", "01.0", "1.00", "2.0", "10.3"] {
            assert!(is_version_supported(good), "{good}");
        }
        for bad in ["", "0.9", "0.10", "1", "1.", ".0", "1.0.0", "-1.0", "+1.0", "a.b", "00.9"] {
            assert!(!is_version_supported(bad), "{bad}");
        }
        assert!(is_version_supported(&format!("{}.0", "9".repeat(4000))));
    }

    #[test]
    fn hosts() {
        use StreamCondition as S;
        let domain = |text: &str| BareJid::parse(text).unwrap();
        let config = Config {
            domains: vec![domain("localhost"), domain("example.org")],
            ..Config::default()
        };
        let check = |to: Option<&str>, current: Option<&str>, want: Result<&str, S>| {
            let current = current.map(domain);
            let got = host(&config, to, current.as_ref());
            let got = got.as_ref().map(BareJid::as_str).map_err(|e| e.condition);
            assert_eq!(got, want, "{to:?}");
        };
        check(None, None, Ok("localhost"));
        check(None, Some("example.org"), Ok("example.org"));
        check(Some("example.org"), None, Ok("example.org"));
        check(Some("EXAMPLE.org"), Some("example.org"), Ok("example.org"));
        check(Some("localhost"), Some("example.org"), Err(S::NotAuthorized));
        check(Some("nowhere"), Some("example.org"), Err(S::HostUnknown));
        check(Some("conference.localhost"), None, Err(S::HostUnknown));
        check(Some("alice@localhost"), None, Err(S::HostUnknown));
        check(Some("localhost/x"), None, Err(S::HostUnknown));
        check(Some(""), None, Err(S::ImproperAddressing));
        check(Some("@localhost"), None, Err(S::ImproperAddressing));
    }

    #[test]
    fn senders() {
        use StreamCondition as S;
        let alice = BareJid::parse("alice@localhost").unwrap();
        let check = |from, account, want: Result<Option<&str>, S>| {
            let got = check_from(from, account);
            let got = got.as_ref().map(|jid| jid.as_ref().map(BareJid::as_str));
            assert_eq!(got.map_err(|e| e.condition), want, "{from:?}");
        };
        check(None, Some(&alice), Ok(None));
        check(Some("bob@example.org/x"), None, Ok(Some("bob@example.org")));
        check(Some("alice@localhost/x"), Some(&alice), Ok(Some("alice@localhost")));
        check(Some("bob@localhost"), Some(&alice), Err(S::InvalidFrom));
        check(Some("@"), None, Err(S::ImproperAddressing));
        check(Some("@"), Some(&alice), Err(S::ImproperAddressing));
    }

    #[test]
    fn senders_are_at_home() {
        let jid = |text: &str| BareJid::parse(text).unwrap();
        let is_right = |from: &str| check_domain(Some(&jid(from)), &jid("localhost")).is_ok();
        assert!(is_right("alice@localhost") && is_right("localhost"));
        assert!(!is_right("alice@example.org") && !is_right("example.org"));
        assert!(check_domain(None, &jid("localhost")).is_ok());
    }

    #[test]
    fn languages() {
        for (text, is_kept) in
            [("de", true), ("zh-Hant-TW", true), ("", false), ("de_DE", false), ("-", false)]
        {
            let header = StreamHeader { lang: Some(text.to_owned()), ..header() };
            assert_eq!(lang(&header), is_kept.then_some(text));
        }
        let header = StreamHeader { lang: Some("x".repeat(36)), ..header() };
        assert_eq!(lang(&header), None);
    }
}
