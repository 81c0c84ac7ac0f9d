//! `[s2s]`, `[component]` and `[[components]]`: other servers, and what attaches to a server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::xmpp::BareJid;

/// How another server shows that it is who it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// By a certificate that is good for its domain, or by dialback (XEP-0220).
    Dialback,
    /// By a certificate alone.
    Certificate,
    /// By a certificate and by dialback.
    Both,
}

/// `[s2s]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S2s {
    /// Addresses for servers, STARTTLS. Without any, here and in `listen_tls`, there is no
    /// federation.
    pub listen: Vec<SocketAddr>,
    /// Addresses for servers, direct TLS (XEP-0368).
    pub listen_tls: Vec<SocketAddr>,
    /// No stanza without TLS.
    pub require_tls: bool,
    /// How other servers show who they are.
    pub verify: Verify,
    /// PEM file of the authorities that certificates of servers are checked against; `None`: those
    /// of the system.
    pub authorities: Option<PathBuf>,
    /// A stream on which nothing has passed for so long is closed; 0: never.
    pub idle_seconds: u64,
    /// Bytes that may wait for one domain while its server is being reached.
    pub queue_bytes: usize,
    /// Stanzas that may.
    pub queue_stanzas: usize,
    /// Where the servers of domains are: instead of what DNS says.
    pub hosts: BTreeMap<String, SocketAddr>,
}

impl S2s {
    /// Whether there are other servers.
    pub fn is_on(&self) -> bool {
        !self.listen.is_empty() || !self.listen_tls.is_empty()
    }
}

impl Default for S2s {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 5269))],
            listen_tls: Vec::new(),
            require_tls: true,
            verify: Verify::Dialback,
            authorities: None,
            idle_seconds: 600,
            queue_bytes: 4 * 1024 * 1024,
            queue_stanzas: 20_000,
            hosts: BTreeMap::new(),
        }
    }
}

/// `[component]` (XEP-0114): this server as a component of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The host and port where the other server takes components.
    pub server: String,
    /// The domain of our rooms.
    pub domain: BareJid,
    /// What both know.
    pub secret: String,
}

/// `[[components]]` (XEP-0114): a component that may attach to this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its domain.
    pub domain: BareJid,
    /// What both know.
    pub secret: String,
    /// The address where it connects; several may share one.
    pub listen: SocketAddr,
}
