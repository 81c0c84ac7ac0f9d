//! Files of the system that say where other servers are and whom to believe: the authorities that
//! sign certificates, the name servers, the hosts. Read at the start and at a reload, and only
//! where other servers matter.

use std::fs;
use std::path::Path;
use std::rc::Rc;

use super::core::Core;
use crate::certs::trust::Trust;
use crate::config::Config;
use crate::cx::Now;

/// Where systems keep the authorities that they trust.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
/// Bytes of a file that is read; the largest bundle has a quarter of a megabyte.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The authorities that certificates of servers are checked against. `Err`: those that the
/// configuration names cannot be read.
pub fn authorities(config: &Config) -> Result<Rc<Trust>, String> {
    if let Some(path) = &config.s2s.authorities {
        return configured(path).map(Rc::new);
    }
    if !config.s2s.is_on() || config.component.is_some() {
        return Ok(Rc::default());
    }
    let Some(bundle) = BUNDLES.iter().map(Path::new).find(|path| path.exists()) else {
        log::info!(
            "this system has no list of certificate authorities, and s2s.authorities names none: \
             other servers show who they are by dialback alone"
        );
        return Ok(Rc::default());
    };
    Ok(read(bundle).map(Rc::new).unwrap_or_else(|error| {
        log::warn!("the system's certificate authorities: {}: {error}", bundle.display());
        Rc::default()
    }))
}

/// The authorities that `s2s.authorities` names.
pub fn configured(path: &Path) -> Result<Trust, String> {
    read(path).map_err(|error| format!("s2s.authorities: {}: {error}", path.display()))
}

fn read(path: &Path) -> Result<Trust, String> {
    Trust::from_pem(&text_of(path).map_err(|error| error.to_string())?)
}

/// Tells the core which name servers there are, and which hosts need none.
pub fn tell_resolver<C: Core>(core: &mut C, now: Now, config: &Config) {
    if !config.s2s.is_on() && config.component.is_none() {
        return;
    }
    let text = |path: &str| {
        text_of(Path::new(path)).unwrap_or_else(|error| {
            log::info!("{path}: {error}");
            String::new()
        })
    };
    core.handle_resolver(now, &text("/etc/resolv.conf"), &text("/etc/hosts"));
}

/// The text of a file; what is no UTF-8 in it is no part of any name.
fn text_of(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
