//! What the server wants to know of a certificate: the names in it, until when it is valid, and by
//! which hash it is signed (tls-server-end-point). A small reader of DER, for certificates of our
//! own operator; it is no verifier: chains are verified elsewhere.

pub mod trust;

use crate::xmpp::datetime;

/// The hash that tls-server-end-point takes of a certificate (RFC 5929 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndPointHash {
    /// SHA-256; also where the certificate is signed by MD5 or SHA-1.
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// What is read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertFacts {
    /// DNS names of subjectAltName, lower case; `*.example.org` is possible.
    pub dns_names: Vec<String>,
    /// Valid until, in milliseconds since 1970.
    pub not_after_ms: i64,
    /// For tls-server-end-point; `None` where it is undefined (Ed25519).
    pub end_point_hash: Option<EndPointHash>,
}

impl CertFacts {
    /// Reads a certificate (DER); `None` when it is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (certificate, _) = element(der, SEQUENCE)?;
        let (tbs, rest) = element(certificate, SEQUENCE)?;
        let (algorithm, _) = element(rest, SEQUENCE)?;
        let tbs = element(tbs, CONTEXT_0).map_or(tbs, |(_version, rest)| rest);
        let (_serial, tbs) = element(tbs, INTEGER)?;
        let (_algorithm, tbs) = element(tbs, SEQUENCE)?;
        let (_issuer, tbs) = element(tbs, SEQUENCE)?;
        let (validity, tbs) = element(tbs, SEQUENCE)?;
        let (_subject, tbs) = element(tbs, SEQUENCE)?;
        let (_key, tbs) = element(tbs, SEQUENCE)?;
        let (_, _, validity) = any(validity)?;
        let (tag, not_after, _) = any(validity)?;
        Some(Self {
            dns_names: dns_names(tbs),
            not_after_ms: time(tag, not_after)?,
            end_point_hash: end_point_hash(algorithm),
        })
    }

    /// True when the certificate is for `name` (RFC 6125 §6.4: a wildcard is the whole first
    /// label and stands for exactly one).
    pub fn names(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.dns_names.iter().any(|own| match own.strip_prefix("*.") {
            Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => *own == name,
        })
    }
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;
/// Extensions in a certificate.
const CONTEXT_3: u8 = 0xa3;
/// dNSName in a GeneralName.
const DNS_NAME: u8 = 0x82;
/// iPAddress in a GeneralName.
const IP_ADDRESS: u8 = 0x87;
/// otherName in a GeneralName.
const OTHER_NAME: u8 = 0xa0;

/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 1.3.6.1.5.5.7.8.7: id-on-dnsSRV (RFC 4985)
const SRV_NAME: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 7];
/// 1.3.6.1.5.5.7.8.5: id-on-xmppAddr (RFC 6120 §13.7.1.4)
const XMPP_ADDR: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 5];
/// 1.2.840.113549.1.1: PKCS #1
const PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// 1.2.840.10045.4: signatures with ECDSA
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
/// 2.16.840.1.101.3.4.2: hashes of NIST
const NIST_HASH: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// Tag, content, and what follows.
fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (len.iter().fold(0, |len, &byte| len << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// Content of an element that must have `tag`, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = any(der)?;
    (found == tag).then_some((content, rest))
}

/// The names of a certificate, each with the tag that says what it is; none when it is none.
fn names_of(der: &[u8]) -> Vec<(u8, &[u8])> {
    let tbs = element(der, SEQUENCE).and_then(|(certificate, _)| element(certificate, SEQUENCE));
    tbs.map_or_else(Vec::new, |(tbs, _)| general_names(tbs))
}

/// The DNS names.
fn dns_names(tbs: &[u8]) -> Vec<String> {
    let names = general_names(tbs).into_iter().filter(|(tag, _)| *tag == DNS_NAME);
    names.map(|(_, name)| String::from_utf8_lossy(name).to_ascii_lowercase()).collect()
}

/// The names in the extensions, which are somewhere in `tbs`.
fn general_names(mut tbs: &[u8]) -> Vec<(u8, &[u8])> {
    while let Some((tag, content, rest)) = any(tbs) {
        if tag == CONTEXT_3 {
            return alt_names(content).unwrap_or_default();
        }
        tbs = rest;
    }
    Vec::new()
}

fn alt_names(extensions: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let (mut list, _) = element(extensions, SEQUENCE)?;
    while let Some((extension, rest)) = element(list, SEQUENCE) {
        list = rest;
        let (oid, value) = element(extension, OID)?;
        if oid != SUBJECT_ALT_NAME {
            continue;
        }
        let value = match any(value)? {
            (OCTET_STRING, value, _) => value,
            (_critical, _, rest) => element(rest, OCTET_STRING)?.0,
        };
        let (mut names, _) = element(value, SEQUENCE)?;
        let mut found = Vec::new();
        while let Some((tag, name, rest)) = any(names) {
            names = rest;
            found.push((tag, name));
        }
        return Some(found);
    }
    None
}

/// UTCTime (`YYMMDDHHMMSSZ`) or GeneralizedTime (`YYYYMMDDHHMMSSZ`), RFC 5280 §4.1.2.5.
fn time(tag: u8, content: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(content).ok()?;
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = if tag == UTC_TIME {
        let (year, rest) = digits.split_at_checked(2)?;
        let century = if year < "50" { "20" } else { "19" };
        (format!("{century}{year}"), rest)
    } else {
        let (year, rest) = digits.split_at_checked(4)?;
        (year.to_owned(), rest)
    };
    if rest.len() != 10 {
        return None;
    }
    let part = |at: usize| &rest[at..at + 2];
    let [month, day, h, m, s] = [part(0), part(2), part(4), part(6), part(8)];
    datetime::parse_utc(&format!("{year}-{month}-{day}T{h}:{m}:{s}Z"))
}

/// The hash by signature algorithm (RFC 5929 §4.1).
fn end_point_hash(algorithm: &[u8]) -> Option<EndPointHash> {
    use EndPointHash::{Sha256, Sha384, Sha512};
    let (oid, parameters) = element(algorithm, OID)?;
    match (oid.strip_prefix(PKCS1), oid.strip_prefix(ECDSA)) {
        // MD5, SHA-1, SHA-256, SHA-384, SHA-512 with RSA
        (Some([4 | 5 | 11]), _) => Some(Sha256),
        (Some([12]), _) => Some(Sha384),
        (Some([13]), _) => Some(Sha512),
        // RSASSA-PSS names its hash in the parameters; SHA-1 when it does not (RFC 4055 §3.1).
        (Some([10]), _) => {
            let (parameters, _) = element(parameters, SEQUENCE)?;
            let Some((hash, _)) = element(parameters, CONTEXT_0) else { return Some(Sha256) };
            let (hash, _) = element(hash, SEQUENCE)?;
            match element(hash, OID)?.0.strip_prefix(NIST_HASH) {
                Some([1]) | None => Some(Sha256),
                Some([2]) => Some(Sha384),
                Some([3]) => Some(Sha512),
                Some(_) => None,
            }
        }
        // SHA-1, and the SHA-2 family, with ECDSA
        (_, Some([1] | [3, 2])) => Some(Sha256),
        (_, Some([3, 3])) => Some(Sha384),
        (_, Some([3, 4])) => Some(Sha512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An AlgorithmIdentifier's content: the OID, then raw parameters.
    #[track_caller]
    fn check_hash(oid: &[&[u8]], parameters: &[u8], want: Option<EndPointHash>) {
        let oid = oid.concat();
        let mut der = vec![OID, oid.len() as u8];
        der.extend(oid);
        der.extend(parameters);
        assert_eq!(end_point_hash(&der), want);
    }

    #[test]
    fn end_point_hashes() {
        use EndPointHash::{Sha256, Sha384, Sha512};
        check_hash(&[PKCS1, &[4]], &[5, 0], Some(Sha256));
        check_hash(&[PKCS1, &[5]], &[5, 0], Some(Sha256));
        check_hash(&[PKCS1, &[11]], &[5, 0], Some(Sha256));
        check_hash(&[PKCS1, &[12]], &[5, 0], Some(Sha384));
        check_hash(&[PKCS1, &[13]], &[5, 0], Some(Sha512));
        check_hash(&[PKCS1, &[14]], &[5, 0], None); // SHA-224: not offered
        check_hash(&[PKCS1, &[10]], &[0x30, 0], Some(Sha256)); // PSS with SHA-1
        let mut pss = vec![0x30, 15, CONTEXT_0, 13, 0x30, 11, OID, 9];
        pss.extend(NIST_HASH);
        pss.push(3);
        check_hash(&[PKCS1, &[10]], &pss, Some(Sha512));
        check_hash(&[ECDSA, &[1]], &[], Some(Sha256));
        check_hash(&[ECDSA, &[3, 2]], &[], Some(Sha256));
        check_hash(&[ECDSA, &[3, 3]], &[], Some(Sha384));
        check_hash(&[ECDSA, &[3, 4]], &[], Some(Sha512));
        check_hash(&[&[0x2b, 0x65, 0x70]], &[], None); // Ed25519: undefined
    }

    #[track_caller]
    fn check_time(tag: u8, text: &str, want: Option<&str>) {
        assert_eq!(time(tag, text.as_bytes()).map(datetime::format_utc).as_deref(), want);
    }

    #[test]
    fn times() {
        check_time(UTC_TIME, "261122130133Z", Some("2026-11-22T13:01:33Z"));
        check_time(UTC_TIME, "500101000000Z", Some("1950-01-01T00:00:00Z"));
        check_time(0x18, "20510101000000Z", Some("2051-01-01T00:00:00Z"));
        check_time(UTC_TIME, "261122130133", None);
        check_time(UTC_TIME, "2611221301Z", None);
        check_time(UTC_TIME, "26112213013éZ", None);
    }

    #[test]
    fn names_with_wildcards() {
        let dns_names = vec!["example.org".to_owned(), "*.example.net".to_owned()];
        let facts = CertFacts { dns_names, not_after_ms: 0, end_point_hash: None };
        for (name, want) in [
            ("example.org", true),
            ("EXAMPLE.org", true),
            ("a.example.org", false),
            ("a.example.net", true),
            ("example.net", false),
            ("a.b.example.net", false),
        ] {
            assert_eq!(facts.names(name), want, "{name}");
        }
    }

    /// Whatever is cut off, the reader says `None` or reads less; it never panics.
    #[test]
    fn a_made_certificate_and_its_prefixes() {
        let names = vec!["example.org".to_owned(), "conference.example.org".to_owned()];
        let mut params = rcgen::CertificateParams::new(names.clone()).expect("valid names");
        params.not_after = rcgen::date_time_ymd(2036, 11, 22);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let want = CertFacts {
            dns_names: names,
            not_after_ms: datetime::parse_utc("2036-11-22T00:00:00Z").expect("a date"),
            end_point_hash: Some(EndPointHash::Sha256),
        };
        let der: &[u8] = certificate.der();
        assert_eq!(CertFacts::read(der), Some(want));
        for len in 0..der.len() {
            assert_eq!(CertFacts::read(&der[..len]), None, "{len} bytes");
        }
    }
}
