//! The rules of `[s2s]`, `[component]` and `[[components]]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use super::{BYTES_MAX, Checker, SECONDS_MAX};
use crate::config::error::ConfigError;
use crate::config::federation::{Attached, Component, S2s};
use crate::config::file;
use crate::xmpp::BareJid;

/// Stanzas that may wait for one domain.
const QUEUE_STANZAS_MAX: u64 = 1_000_000;

impl Checker<'_> {
    pub(super) fn s2s(
        &self,
        file: file::S2s,
        listen: Vec<SocketAddr>,
        listen_tls: Vec<SocketAddr>,
        folder: &Path,
    ) -> Result<S2s, ConfigError> {
        self.within("s2s.idle_seconds", file.idle_seconds, 0, SECONDS_MAX)?;
        self.within("s2s.queue_bytes", file.queue_bytes as u64, 1, BYTES_MAX)?;
        self.within("s2s.queue_stanzas", file.queue_stanzas as u64, 1, QUEUE_STANZAS_MAX)?;
        let mut hosts = BTreeMap::new();
        for (domain, address) in &file.hosts {
            let key = format!("s2s.hosts.{domain}");
            let domain = self.domain(&key, domain)?;
            let address = address.parse().map_err(|_| {
                let message = format!(
                    "expected an IP address and a port, such as 192.0.2.1:5269, found {address:?}"
                );
                self.wrong(&[&key], message)
            })?;
            hosts.insert(domain.as_str().to_owned(), address);
        }
        let authorities = (!file.authorities.is_empty()).then(|| folder.join(&file.authorities));
        Ok(S2s {
            listen,
            listen_tls,
            require_tls: file.require_tls,
            verify: file.verify,
            authorities,
            idle_seconds: file.idle_seconds,
            queue_bytes: file.queue_bytes,
            queue_stanzas: file.queue_stanzas,
            hosts,
        })
    }

    /// `None`: there is no such section, or it is empty.
    pub(super) fn component(
        &self,
        file: &file::Component,
    ) -> Result<Option<Component>, ConfigError> {
        let values = [
            ("component.server", &file.server),
            ("component.domain", &file.domain),
            ("component.secret", &file.secret),
        ];
        if values.iter().all(|(_, value)| value.is_empty()) {
            return Ok(None);
        }
        if let Some((key, _)) = values.iter().find(|(_, value)| value.is_empty()) {
            let message = "a component needs its server, its domain and its secret";
            return Err(self.wrong(&[key], message));
        }
        let is_place = file.server.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !is_place {
            let found = &file.server;
            let message =
                format!("expected a host and a port, such as 127.0.0.1:5347, found {found:?}");
            return Err(self.wrong(&["component.server"], message));
        }
        let domain = self.domain("component.domain", &file.domain)?;
        Ok(Some(Component { server: file.server.clone(), domain, secret: file.secret.clone() }))
    }

    pub(super) fn components(
        &self,
        files: &[file::Attached],
        domains: &[BareJid],
        room_domains: &[BareJid],
    ) -> Result<Vec<Attached>, ConfigError> {
        let mut components: Vec<Attached> = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let key = |name: &str| format!("components[{index}].{name}");
            let domain = self.domain(&key("domain"), &file.domain)?;
            let taken = components.iter().map(|component| &component.domain);
            if domains.iter().chain(room_domains).chain(taken).any(|taken| *taken == domain) {
                let message = format!("{domain} is there already: a component needs its own");
                return Err(self.wrong(&[&key("domain")], message));
            }
            if file.secret.is_empty() {
                return Err(self.wrong(&[&key("secret")], "expected a secret, found an empty text"));
            }
            let listen = file.listen.parse().map_err(|_| {
                let found = &file.listen;
                let message = format!(
                    "expected an IP address and a port, such as 127.0.0.1:5347, found {found:?}"
                );
                self.wrong(&[&key("listen")], message)
            })?;
            components.push(Attached { domain, secret: file.secret.clone(), listen });
        }
        Ok(components)
    }

    fn domain(&self, key: &str, text: &str) -> Result<BareJid, ConfigError> {
        BareJid::parse(text).ok().filter(|jid| jid.local().is_none()).ok_or_else(|| {
            let message = format!("expected a domain such as chat.example, found {text:?}");
            self.wrong(&[key], message)
        })
    }
}
