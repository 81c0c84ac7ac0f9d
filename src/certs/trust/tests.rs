//! Chains made for the purpose, right and wrong.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    OtherNameValue, SanType, date_time_ymd,
};

use super::*;
use crate::xmpp::datetime;

/// An authority, or one between it and the leaves.
struct Authority {
    pem: String,
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str, above: Option<&Authority>) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = match above {
        Some(above) => params.signed_by(&key, &above.issuer),
        None => params.self_signed(&key),
    }
    .expect("a certificate");
    let (pem, der) = (certificate.pem(), certificate.der().to_vec());
    Authority { pem, der, issuer: Issuer::new(params, key) }
}

/// A leaf with these names, good from 2026 to 2030.
fn leaf(names: Vec<SanType>, usages: Vec<ExtendedKeyUsagePurpose>, issuer: &Authority) -> Vec<u8> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.subject_alt_names = names;
    params.extended_key_usages = usages;
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    let key = KeyPair::generate().expect("a key");
    params.signed_by(&key, &issuer.issuer).expect("a certificate").der().to_vec()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(name).expect("ASCII"))
}

fn other(last: u64, text: &str) -> SanType {
    let oid = vec![1, 3, 6, 1, 5, 5, 7, 8, last];
    SanType::OtherName((oid, OtherNameValue::Utf8String(text.to_owned())))
}

fn at(date: &str) -> i64 {
    datetime::parse_utc(&format!("{date}T00:00:00Z")).expect("a date")
}

#[track_caller]
fn check(trust: &Trust, chain: &[Vec<u8>], domain: &str, is_good: bool) {
    let got = trust.check(chain, domain, Side::Client, at("2027-01-01"));
    assert_eq!(got.is_ok(), is_good, "{domain}: {got:?}");
}

#[test]
fn names() {
    let root = authority("root", None);
    let trust = Trust::from_pem(&root.pem).expect("an authority");
    let is_named = |name: SanType, domain: &str, is_good| {
        check(&trust, &[leaf(vec![name], Vec::new(), &root)], domain, is_good);
    };
    is_named(dns("example.org"), "example.org", true);
    is_named(dns("EXAMPLE.org"), "example.org", true);
    is_named(dns("example.org"), "example.net", false);
    is_named(dns("example.org"), "conference.example.org", false);
    is_named(dns("*.example.org"), "conference.example.org", true);
    is_named(dns("*.example.org"), "example.org", false);
    is_named(dns("*.example.org"), "a.b.example.org", false);
    is_named(dns("c*.example.org"), "conference.example.org", false);
    is_named(dns("xn--bcher-kva.example"), "bücher.example", true);
    is_named(dns("*.0.0.1"), "127.0.0.1", false);
    is_named(dns("127.0.0.1"), "127.0.0.1", false);
    is_named(SanType::IpAddress([127, 0, 0, 2].into()), "127.0.0.2", true);
    is_named(SanType::IpAddress([127, 0, 0, 3].into()), "127.0.0.2", false);
    is_named(SanType::IpAddress("::1".parse().expect("an address")), "[::1]", true);
    is_named(other(7, "_xmpp-server.example.org"), "example.org", true);
    is_named(other(7, "_xmpp-client.example.org"), "example.org", false);
    is_named(other(7, "_xmpp-server.example.org"), "a.example.org", false);
    is_named(other(7, "_xmpp-server.xn--bcher-kva.example"), "bücher.example", true);
    is_named(other(5, "example.org"), "example.org", true);
    is_named(other(5, "bücher.example"), "bücher.example", true);
    is_named(other(5, "romeo@example.org"), "example.org", false);
    is_named(other(6, "example.org"), "example.org", false);
    // A wildcard has no meaning there (RFC 4985), nor in an address.
    is_named(other(7, "_xmpp-server.*.example.org"), "a.example.org", false);
    is_named(other(5, "*.example.org"), "a.example.org", false);
}

#[test]
fn a_common_name_is_no_name() {
    let root = authority("root", None);
    let trust = Trust::from_pem(&root.pem).expect("an authority");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(rcgen::DnType::CommonName, "example.org");
    let key = KeyPair::generate().expect("a key");
    let own = params.signed_by(&key, &root.issuer).expect("a certificate").der().to_vec();
    check(&trust, &[own], "example.org", false);
}

#[test]
fn times() {
    let root = authority("root", None);
    let trust = Trust::from_pem(&root.pem).expect("an authority");
    let chain = [leaf(vec![dns("example.org")], Vec::new(), &root)];
    for (date, is_good) in [
        ("2025-12-31", false),
        ("2026-01-01", true),
        ("2029-12-31", true),
        ("2030-01-02", false),
        ("1969-01-01", false),
    ] {
        let got = trust.check(&chain, "example.org", Side::Server, at(date));
        assert_eq!(got.is_ok(), is_good, "{date}: {got:?}");
    }
}

#[test]
fn chains() {
    let (root, stranger) = (authority("root", None), authority("stranger", None));
    let between = authority("between", Some(&root));
    let trust = Trust::from_pem(&root.pem).expect("an authority");
    let names = || vec![dns("example.org")];
    let (own, forged) = (leaf(names(), Vec::new(), &between), leaf(names(), Vec::new(), &stranger));
    check(&trust, &[own.clone(), between.der.clone()], "example.org", true);
    check(&trust, &[own.clone(), between.der.clone(), root.der.clone()], "example.org", true);
    check(&trust, &[own.clone(), root.der, between.der.clone()], "example.org", true);
    check(&trust, std::slice::from_ref(&own), "example.org", false);
    check(&trust, std::slice::from_ref(&forged), "example.org", false);
    check(&trust, &[forged, stranger.der], "example.org", false);
    check(&trust, &[], "example.org", false);
    check(&trust, &[b"no certificate".to_vec()], "example.org", false);
    check(&Trust::default(), &[own.clone(), between.der], "example.org", false);
    // A leaf is no authority.
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.subject_alt_names = names();
    let key = KeyPair::generate().expect("a key");
    let alone = params.self_signed(&key).expect("a certificate");
    check(&trust, &[alone.der().to_vec()], "example.org", false);
    let below = params.signed_by(&key, &Issuer::new(params.clone(), KeyPair::generate().unwrap()));
    check(&trust, &[below.expect("a certificate").der().to_vec(), own], "example.org", false);
}

#[test]
fn usages() {
    use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
    let root = authority("root", None);
    let trust = Trust::from_pem(&root.pem).expect("an authority");
    for (usages, as_client, as_server) in [
        (vec![], true, true),
        (vec![ServerAuth], true, true),
        (vec![ClientAuth], true, false),
        (vec![ClientAuth, ServerAuth], true, true),
        (vec![CodeSigning], false, false),
    ] {
        let chain = [leaf(vec![dns("example.org")], usages.clone(), &root)];
        let is_good = |side| trust.check(&chain, "example.org", side, at("2027-01-01")).is_ok();
        assert_eq!(is_good(Side::Client), as_client, "{usages:?}");
        assert_eq!(is_good(Side::Server), as_server, "{usages:?}");
    }
}

#[test]
fn authorities() {
    let (one, other) = (authority("one", None), authority("other", None));
    let trust = Trust::from_pem(&format!("words\n{}\n{}", one.pem, other.pem)).expect("two");
    for issuer in [&one, &other] {
        check(&trust, &[leaf(vec![dns("example.org")], Vec::new(), issuer)], "example.org", true);
    }
    assert!(Trust::from_pem("").is_err());
    assert!(Trust::from_pem("no PEM").is_err());
    assert!(Trust::from_pem("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----").is_err());
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(Trust::from_pem(junk).is_err());
    assert!(Trust::from_pem(&format!("{junk}{}", one.pem)).is_ok(), "the rest counts");
}

/// Whatever is cut off or changed, the reader of names never panics.
#[test]
fn broken_certificates() {
    let root = authority("root", None);
    let trust = Trust::from_pem(&root.pem).expect("an authority");
    let names = vec![dns("example.org"), other(5, "example.net"), other(7, "_xmpp-server.a.b")];
    let own = leaf(names, Vec::new(), &root);
    for len in 0..own.len() {
        check(&trust, &[own[..len].to_vec()], "example.org", false);
        let mut changed = own.clone();
        changed[len] ^= 0x41;
        check(&trust, &[changed], "example.org", false);
    }
}
