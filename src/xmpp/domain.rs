//! The domain of an address: labels, dots, A-labels and U-labels (IDNA, RFC 3490), IP literals
//! (RFC 7622 §3.2). Whatever form it came in, it is kept as U-labels, lower case, without the
//! trailing dot; so one domain is one text. Whether there is such a host is not asked here.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use super::jid::JidError;
use super::prep::{INPUT_BYTES_MAX, Profile, bounded, prepare};
use super::punycode;

/// Bytes of a domain in its ASCII form (RFC 1035 §2.3.4), and of one label of it.
const DOMAIN_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
/// What an A-label begins with.
const ACE_PREFIX: &str = "xn--";

pub(super) fn domain(text: &str) -> Result<Cow<'_, str>, JidError> {
    let text = text.strip_suffix(is_dot).unwrap_or(text);
    if text.is_empty() {
        return Err(JidError::EmptyDomain);
    }
    if let Some(literal) = text.strip_prefix('[') {
        return ip_literal(text, literal);
    }
    let is_plain =
        |text: &str| text.len() <= DOMAIN_BYTES_MAX && text.split('.').all(is_plain_label);
    if is_plain(text) {
        return Ok(Cow::Borrowed(text));
    }
    if text.is_ascii() {
        let lower = text.to_ascii_lowercase();
        if is_plain(&lower) {
            return Ok(Cow::Owned(lower));
        }
    }
    if text.len() > INPUT_BYTES_MAX {
        return Err(JidError::TooLong);
    }
    let mut prepared = String::with_capacity(text.len());
    let mut ascii_bytes = 0;
    for label in text.split(is_dot) {
        if !prepared.is_empty() {
            prepared.push('.');
            ascii_bytes += 1;
        }
        let (label, ascii_label_bytes) = prepare_label(label)?;
        ascii_bytes += ascii_label_bytes;
        prepared.push_str(&label);
    }
    if ascii_bytes > DOMAIN_BYTES_MAX {
        return Err(JidError::TooLong);
    }
    bounded(Cow::Owned(prepared))
}

/// The ASCII form of a domain as addresses hold it, which is what DNS and TLS know (RFC 3490 §4.1);
/// `None` when it has none. An IP literal is its own.
pub fn to_ascii(domain: &str) -> Option<Cow<'_, str>> {
    if domain.is_ascii() {
        return Some(Cow::Borrowed(domain));
    }
    let label = |label: &str| match label.is_ascii() {
        true => Some(label.to_owned()),
        false => Some(format!("{ACE_PREFIX}{}", punycode::encode(label)?)),
    };
    let labels: Option<Vec<String>> = domain.split('.').map(label).collect();
    Some(Cow::Owned(labels?.join(".")))
}

/// The address that a domain is, if it is one (RFC 7622 §3.2).
pub fn to_ip(domain: &str) -> Option<IpAddr> {
    let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match literal {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => domain.parse().ok().map(IpAddr::V4),
    }
}

/// The four characters that separate labels (RFC 3490 §3.1). A dot that comes of normalisation
/// (U+2488 is `1.`) separates none, and no label may hold it.
fn is_dot(c: char) -> bool {
    matches!(c, '.' | '\u{3002}' | '\u{FF0E}' | '\u{FF61}')
}

/// An IPv6 address in brackets; other literals have no use here.
fn ip_literal<'a>(text: &'a str, literal: &str) -> Result<Cow<'a, str>, JidError> {
    let address = literal.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
    let address = address.ok_or(JidError::Forbidden)?;
    let canonical = format!("[{address}]");
    Ok(if canonical == text { Cow::Borrowed(text) } else { Cow::Owned(canonical) })
}

/// One label as a U-label, and how long it is in ASCII (RFC 3490 §4).
fn prepare_label(label: &str) -> Result<(String, usize), JidError> {
    let prepared = prepare(label, Profile::Name, JidError::Forbidden)?;
    let ascii_bytes = ascii_form_bytes(&prepared)?;
    let Some(coded) = prepared.strip_prefix(ACE_PREFIX) else {
        return Ok((prepared, ascii_bytes));
    };
    // RFC 3490 §4.2: an A-label that does not lead back to itself stays what it is. Else `xn--a-`
    // would be the same as `a`, which it is not in the DNS.
    let unicode = punycode::decode(coded).filter(|unicode| {
        let stable = prepare(unicode, Profile::Name, JidError::Forbidden);
        !unicode.is_ascii()
            && stable.as_ref() == Ok(unicode)
            && ascii_form_bytes(unicode).is_ok()
            && punycode::encode(unicode).as_deref() == Some(coded)
    });
    Ok((unicode.unwrap_or(prepared), ascii_bytes))
}

/// The length of the ASCII form of a prepared label; checks what a label may be.
fn ascii_form_bytes(label: &str) -> Result<usize, JidError> {
    // STD 3: letters, digits, hyphens inside; an underscore too, because hosts have it.
    let allowed = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !label.chars().all(allowed) || label.starts_with('-') || label.ends_with('-') {
        return Err(JidError::Forbidden);
    }
    let bytes = if label.is_ascii() {
        label.len()
    } else if label.starts_with(ACE_PREFIX) {
        // RFC 3490 §4.1 step 5: it would be encoded twice.
        return Err(JidError::Forbidden);
    } else {
        ACE_PREFIX.len() + punycode::encode(label).ok_or(JidError::TooLong)?.len()
    };
    if bytes > LABEL_BYTES_MAX { Err(JidError::TooLong) } else { Ok(bytes) }
}

/// A label that needs no preparation.
fn is_plain_label(label: &str) -> bool {
    let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
        && !label.starts_with(ACE_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::super::prep::prepare_domain;
    use super::super::prep::tests::check;
    use super::*;

    #[test]
    fn forms_for_dns_and_tls() {
        for (domain, want) in [
            ("example.org", "example.org"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("a.中.b", "a.xn--fiq.b"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(to_ascii(domain).as_deref(), Some(want));
        }
        assert_eq!(to_ip("127.0.0.1"), Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(to_ip("[::1]"), Some(IpAddr::from(Ipv6Addr::LOCALHOST)));
        for name in ["example.org", "::1", "[127.0.0.1]", "1.2.3", "[::1"] {
            assert_eq!(to_ip(name), None, "{name}");
        }
    }

    #[test]
    fn domains() {
        use JidError::{EmptyDomain, Forbidden, TooLong};
        let label = "a".repeat(63);
        let (longest, long) = (format!("{label}.b"), format!("{label}a.b"));
        let full = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        let over = format!("{full}a");
        let wide = "中".repeat(60);
        check(
            prepare_domain,
            &[
                ("example.com", Ok("example.com")),
                ("Example.COM", Ok("example.com")),
                ("example.com.", Ok("example.com")),
                ("Example.com.", Ok("example.com")),
                ("example.com..", Err(Forbidden)),
                ("example.com。.", Err(Forbidden)),
                ("example。com．", Ok("example.com")),
                ("exam｡ple", Ok("exam.ple")),
                ("", Err(EmptyDomain)),
                (".", Err(EmptyDomain)),
                ("..", Err(Forbidden)),
                (".a", Err(Forbidden)),
                ("a..b", Err(Forbidden)),
                ("a.\u{AD}.b", Err(Forbidden)),
                ("a b", Err(Forbidden)),
                ("a\tb", Err(Forbidden)),
                ("a@b", Err(Forbidden)),
                ("a:5222", Err(Forbidden)),
                ("a/b", Err(Forbidden)),
                ("a%b", Err(Forbidden)),
                ("-a.b", Err(Forbidden)),
                ("a-.b", Err(Forbidden)),
                ("my_host", Ok("my_host")),
                ("127.0.0.1", Ok("127.0.0.1")),
                ("[::1]", Ok("[::1]")),
                ("[0:0:0:0:0:0:0:1]", Ok("[::1]")),
                ("[2001:DB8::A]", Ok("[2001:db8::a]")),
                ("[::1", Err(Forbidden)),
                ("[::1%eth0]", Err(Forbidden)),
                ("[127.0.0.1]", Err(Forbidden)),
                ("[v1.x]", Err(Forbidden)),
                ("[]", Err(Forbidden)),
                ("bücher.example", Ok("bücher.example")),
                ("BÜCHER.example", Ok("bücher.example")),
                ("xn--bcher-kva.example", Ok("bücher.example")),
                ("XN--Bcher-KVA.Example.", Ok("bücher.example")),
                ("xn--e28h.example", Ok("😀.example")),
                // Not what an encoder makes: ASCII only, not Punycode, not prepared, not minimal.
                ("xn--abc-.example", Err(Forbidden)),
                ("xn--abc.example", Ok("xn--abc.example")),
                ("xn--99999999.a", Ok("xn--99999999.a")),
                ("xn--strae-oqa.de", Ok("xn--strae-oqa.de")),
                ("straße.de", Ok("strasse.de")),
                ("xn--a", Ok("xn--a")),
                ("xn--é", Err(Forbidden)),
                ("xn--xn--bcher-kva", Ok("xn--xn--bcher-kva")),
                ("xn--xn--bcherbcher-kvy", Ok("xn--xn--bcherbcher-kvy")),
                ("a\u{2488}b", Err(Forbidden)),
                ("a\u{2100}b", Err(Forbidden)),
                ("a\u{FF0F}b", Err(Forbidden)),
                ("a\u{200B}b", Ok("ab")),
                ("אב.example", Ok("אב.example")),
                ("אaב.example", Err(Forbidden)),
                (&longest, Ok(&longest)),
                (&long, Err(TooLong)),
                (&full, Ok(&full)),
                (&over, Err(TooLong)),
                (&wide, Err(TooLong)),
            ],
        );
    }
}
