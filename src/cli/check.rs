//! `tercet --check`: the configuration, and the certificates that it names. It changes nothing, and
//! asks nothing of the network or the data folder.

use std::path::Path;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::args::Files;

/// Checks; the text says what was checked.
pub(super) fn run(files: &Files) -> Result<String, String> {
    let config = super::load(files)?;
    if let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key) {
        check_pair(certificate, key)?;
    }
    if let Some(authorities) = &config.s2s.authorities {
        crate::net::check_authorities(authorities)?;
    }
    Ok(match &files.config {
        Some(path) => format!("{}: fine", path.display()),
        None => "the built-in defaults are fine".to_owned(),
    })
}

/// Both files are readable PEM, and the key is that of the certificate.
fn check_pair(certificate: &Path, key: &Path) -> Result<(), String> {
    let wrong = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(certificate, &error))?;
    if chain.is_empty() {
        return Err(wrong(certificate, &"no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    let signing = any_supported_type(&private).map_err(|error| wrong(key, &error))?;
    match CertifiedKey::new(chain, signing).keys_match() {
        // Unknown: a kind of key that cannot be compared. The handshake will tell.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(wrong(key, &format!("not the key of {}", certificate.display())))
        }
        Err(error) => Err(wrong(certificate, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::TempFolder;

    #[test]
    fn certificate_and_key_belong_together() {
        let folder = TempFolder::new("check");
        let path = |name: &str| folder.path().join(name);
        let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let (one, other) = (make(), make());
        std::fs::write(path("cert.pem"), one.cert.pem()).expect("written");
        std::fs::write(path("key.pem"), one.signing_key.serialize_pem()).expect("written");
        std::fs::write(path("other.pem"), other.signing_key.serialize_pem()).expect("written");
        std::fs::write(path("empty.pem"), "").expect("written");
        let check = |certificate: &str, key: &str| check_pair(&path(certificate), &path(key));
        assert_eq!(check("cert.pem", "key.pem"), Ok(()));
        for (certificate, key, want) in [
            ("cert.pem", "other.pem", "other.pem: not the key of "),
            ("empty.pem", "key.pem", "empty.pem: no certificate in it"),
            ("cert.pem", "empty.pem", "empty.pem: "),
            ("none.pem", "key.pem", "none.pem: "),
            ("cert.pem", "none.pem", "none.pem: "),
            ("cert.pem", "cert.pem", "cert.pem: "),
        ] {
            let error = check(certificate, key).expect_err("wrong");
            assert!(error.contains(want), "{certificate} {key}: {error}");
        }
    }
}
