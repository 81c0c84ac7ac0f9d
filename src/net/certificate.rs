//! The server's certificate: read from the configured PEM files, or a self-signed one that is made
//! in the data folder at the first start, for every domain. Certificates are never replaced
//! without being asked: clients may have pinned the self-signed one.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, OtherNameValue, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::tls::{Identities, Identity};
use crate::config::Config;
use crate::cx::Now;
use crate::xmpp::datetime;

/// The self-signed certificate in the data folder.
const CERTIFICATE_FILE: &str = "certificate.pem";
/// Its key.
const KEY_FILE: &str = "key.pem";
/// How long a self-signed certificate is valid.
const SELF_SIGNED_YEARS: i32 = 10;
/// A certificate that ends sooner than this is warned about.
const EXPIRY_WARNING_MS: i64 = 14 * DAY_MS;
const DAY_MS: i64 = 86_400_000;
/// id-on-xmppAddr (RFC 6120 §13.7.1.4): for domains that are no DNS names as they stand.
const XMPP_ADDR: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 8, 5];

/// Reads the certificate, after making it when none is configured and none is there. `Err` says
/// which file and what about it.
pub fn load(config: &Config, now: Now) -> Result<Identities, String> {
    let (chain, key) = match (&config.tls.certificate, &config.tls.key) {
        (Some(chain), Some(key)) => (chain.clone(), key.clone()),
        (None, None) => self_signed(config, now)?,
        _ => return Err("set both tls.certificate and tls.key, or neither".to_owned()),
    };
    let identity = read(&chain, &key)?;
    tell(config, &chain, &identity, now);
    Ok(Identities::new(identity))
}

fn read(chain_file: &Path, key_file: &Path) -> Result<Identity, String> {
    let at = |file: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let chain = CertificateDer::pem_file_iter(chain_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| at(chain_file, &error))?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| at(key_file, &error))?;
    let mode = fs::metadata(key_file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o007 != 0 {
        let file = key_file.display();
        log::warn!("everybody on this machine can read the private key {file}: chmod 600 it");
    }
    Identity::new(chain, key).map_err(|error| {
        format!("{} with the key {}: {error}", chain_file.display(), key_file.display())
    })
}

/// Says in the log what is served, and what is doubtful about it.
fn tell(config: &Config, chain_file: &Path, identity: &Identity, now: Now) {
    let (file, facts) = (chain_file.display(), &identity.facts);
    let until = datetime::format_utc(facts.not_after_ms);
    log::info!("certificate {file} for {}, valid until {until}", facts.dns_names.join(", "));
    if facts.not_after_ms <= now.unix_ms {
        log::warn!("the certificate {file} has expired: clients will refuse it");
    } else if facts.not_after_ms - now.unix_ms < EXPIRY_WARNING_MS {
        log::warn!("the certificate {file} expires in less than 14 days");
    }
    if config.component.is_some() {
        return; // Clients connect to the other server.
    }
    for domain in &config.domains {
        if domain.as_str().is_ascii() && !facts.names(domain.as_str()) {
            let domain = domain.as_str();
            log::warn!("the certificate {file} is not for {domain}: clients will complain");
        }
    }
}

/// The files of the self-signed certificate; made when they are not there.
fn self_signed(config: &Config, now: Now) -> Result<(PathBuf, PathBuf), String> {
    let chain_file = config.data.join(CERTIFICATE_FILE);
    let key_file = config.data.join(KEY_FILE);
    if chain_file.exists() && key_file.exists() {
        return Ok((chain_file, key_file));
    }
    let (chain, key) =
        make(config, now).map_err(|error| format!("a self-signed certificate: {error}"))?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data)
        .map_err(|error| format!("{}: {error}", config.data.display()))?;
    for (file, text) in [(&key_file, &key), (&chain_file, &chain)] {
        write_private(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    log::info!("made the self-signed certificate {}", chain_file.display());
    Ok((chain_file, key_file))
}

/// A new key and certificate (ECDSA P-256, PEM) for all domains.
fn make(config: &Config, now: Now) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    for domain in config.domains.iter().chain(&config.rooms.domains) {
        params.subject_alt_names.push(alt_name(domain.as_str())?);
    }
    params.distinguished_name = DistinguishedName::new();
    let name = config.domains.first().map_or("tercet", |domain| domain.as_str());
    // A common name holds 64 characters at most (RFC 5280, appendix A.1).
    let name: String = name.chars().take(64).collect();
    params.distinguished_name.push(DnType::CommonName, name);
    let start = Duration::from_secs((now.unix_ms / 1000).max(0) as u64);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // A day back: clocks differ.
    params.not_before = epoch + start.saturating_sub(Duration::from_secs(86_400));
    params.not_after =
        epoch + start + Duration::from_secs(86_400 * (365 * SELF_SIGNED_YEARS as u64 + 2));
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn alt_name(domain: &str) -> Result<SanType, rcgen::Error> {
    let bare = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(domain);
    if let Ok(address) = bare.parse() {
        return Ok(SanType::IpAddress(address));
    }
    if domain.is_ascii() {
        return Ok(SanType::DnsName(domain.try_into()?));
    }
    Ok(SanType::OtherName((XMPP_ADDR.to_vec(), OtherNameValue::Utf8String(domain.to_owned()))))
}

/// Writes a new file that nobody but the owner can read, whole or not at all.
fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    let unfinished = file.with_extension("pem.new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&unfinished, file)
}
