//! Whether a chain of certificates shows that a server is who it says it is: signed by an authority
//! that we trust, in force, and for the domain (RFC 6120 §13.7, RFC 6125).
//!
//! The chain is verified by `webpki`, which rustls has in it; the names are read here, because it
//! does not know all of them. A name of the certificate is for a domain when it is a DNS name or a
//! pattern for one (RFC 6125 §6.4), the service `_xmpp-server` there (RFC 4985), or the old
//! id-on-xmppAddr (RFC 6120 §13.7.1.4); for a domain that is an address, that address alone. The
//! subject's common name says nothing.
//!
//! Who connects to us may have a certificate for servers only: public authorities make no others
//! any more. Who we connect to must have one for servers.

use std::net::IpAddr;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::xmpp::{Jid, domain};

use super::{
    CONTEXT_0, DNS_NAME, IP_ADDRESS, OID, OTHER_NAME, SRV_NAME, XMPP_ADDR, any, element, names_of,
};

/// Certificates of a chain that are looked at beside the first.
const CHAIN_CERTIFICATES_MAX: usize = 10;
/// The service that a server is, in an SRVName.
const SRV_PREFIX: &str = "_xmpp-server.";

/// The authorities that we trust.
#[derive(Default)]
pub struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
}

/// Which side of the connection the certificate is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It connected to us.
    Client,
    /// We connected to it.
    Server,
}

impl Trust {
    /// The authorities of PEM text. Those that cannot be read are left out. `Err` says what is
    /// wrong with the text, or that there is none in it.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let mut anchors = Vec::new();
        for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let der = der.map_err(|error| format!("not PEM: {error}"))?;
            match anchor_from_trusted_cert(&der) {
                Ok(anchor) => anchors.push(anchor.to_owned()),
                Err(error) => log::debug!("an authority is left out: {error}"),
            }
        }
        if anchors.is_empty() {
            return Err("no certificate of an authority in it".to_owned());
        }
        Ok(Self { anchors })
    }

    /// Checks a chain (DER, the server's own certificate first) for a domain. `Err`: why it does
    /// not show that, in words for the log.
    pub fn check(
        &self,
        chain: &[Vec<u8>],
        domain: &str,
        side: Side,
        now_unix_ms: i64,
    ) -> Result<(), String> {
        let (own, others) = chain.split_first().ok_or("no certificate")?;
        // The names first: they cost less than signatures.
        if !is_for(own, domain) {
            return Err("it is for another name".to_owned());
        }
        let own = CertificateDer::from(own.as_slice());
        let own = EndEntityCert::try_from(&own).map_err(|error| error.to_string())?;
        let others = others.iter().take(CHAIN_CERTIFICATES_MAX);
        let others: Vec<_> = others.map(|der| CertificateDer::from(der.as_slice())).collect();
        let now_ms = u64::try_from(now_unix_ms).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_millis(now_ms));
        let verify = |usage| {
            let algorithms = ALL_VERIFICATION_ALGS;
            own.verify_for_usage(algorithms, &self.anchors, &others, now, usage, None, None)
                .map(|_| ())
        };
        let mut verified = verify(KeyUsage::server_auth());
        if let (Side::Client, Err(webpki::Error::RequiredEkuNotFoundContext(_))) = (side, &verified)
        {
            verified = verify(KeyUsage::client_auth());
        }
        verified.map_err(|error| error.to_string())
    }
}

/// Whether a certificate names a domain.
fn is_for(der: &[u8], domain: &str) -> bool {
    let names = names_of(der);
    if let Some(address) = address_of(domain) {
        let mut addresses = names.iter().filter(|(tag, _)| *tag == IP_ADDRESS);
        return addresses.any(|(_, own)| match address {
            IpAddr::V4(v4) => *own == v4.octets(),
            IpAddr::V6(v6) => *own == v6.octets(),
        });
    }
    let Some(ascii) = domain::to_ascii(domain) else { return false };
    names.iter().any(|(tag, name)| match *tag {
        DNS_NAME => text(name).is_some_and(|name| is_dns_name_for(name, &ascii)),
        OTHER_NAME => is_other_name_for(name, domain, &ascii).unwrap_or_default(),
        _ => false,
    })
}

/// The address that a domain is.
fn address_of(domain: &str) -> Option<IpAddr> {
    let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    literal.unwrap_or(domain).parse().ok()
}

/// RFC 6125 §6.4: a wildcard is the whole first label, and stands for exactly one.
fn is_dns_name_for(name: &str, domain: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => domain
            .split_once('.')
            .is_some_and(|(first, rest)| !first.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(domain),
    }
}

/// `_xmpp-server.` and the domain (RFC 4985 §2), or an XMPP address that is the domain.
fn is_other_name_for(name: &[u8], domain: &str, ascii: &str) -> Option<bool> {
    let (kind, rest) = element(name, OID)?;
    let (value, _) = element(rest, CONTEXT_0)?;
    let (_, value, _) = any(value)?;
    let value = text(value)?;
    if kind == SRV_NAME {
        let (service, host) = value.split_at_checked(SRV_PREFIX.len())?;
        return Some(service.eq_ignore_ascii_case(SRV_PREFIX) && host.eq_ignore_ascii_case(ascii));
    }
    if kind == XMPP_ADDR {
        return Some(Jid::parse(value).ok()?.as_str() == domain);
    }
    None
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
