//! TLS of client streams: identities (a certificate chain with its configuration), which of them
//! a client gets by the name it asks for, and what the core learns of a finished handshake.
//!
//! A connection keeps the identity it was accepted with: the channel binding needs the certificate
//! that was sent, and a reload replaces only what later connections get. Tickets belong to their
//! identity too, so no session is resumed across a reload. Clients are never asked for a
//! certificate. Reading files and making certificates is done in `certificate`.

use std::rc::Rc;
use std::sync::Arc;

use ring::digest;
use rustls::crypto::ring as provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};

use crate::certs::{CertFacts, EndPointHash};
use crate::stream::c2s::TlsInfo;

/// The protocol name of client streams (XEP-0368 §3).
const ALPN_CLIENT: &[u8] = b"xmpp-client";
/// Label of tls-exporter (RFC 9266 §3).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";
/// Bytes of tls-exporter (RFC 9266 §3).
const EXPORTER_BYTES: usize = 32;
/// Tickets sent after a handshake: a client has one stream to resume, not two.
const TICKETS_SENT: usize = 1;

/// A certificate, and what goes with it.
pub struct Identity {
    /// For new connections.
    pub config: Arc<ServerConfig>,
    /// Names and expiry of the certificate.
    pub facts: CertFacts,
    /// The data of tls-server-end-point (RFC 5929 §4.1).
    end_point: Option<Vec<u8>>,
}

impl Identity {
    /// An identity of a chain and its key. `Err` says what is wrong with them.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, String> {
        let leaf = chain.first().ok_or("it holds no certificate")?;
        let facts = CertFacts::read(leaf).ok_or("its first certificate cannot be read")?;
        let end_point = facts.end_point_hash.map(|hash| end_point(hash, leaf));
        let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
        config.send_tls13_tickets = TICKETS_SENT;
        config.ticketer = provider::Ticketer::new().map_err(|error| error.to_string())?;
        Ok(Self { config: Arc::new(config), facts, end_point })
    }

    /// What the core learns of a finished handshake.
    pub fn tls_info(&self, tls: &ServerConnection) -> TlsInfo {
        let is_tls13 = tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        // Before TLS 1.3 the exporter is no safe binding without more conditions (RFC 9266 §4.2).
        let exporter = is_tls13.then(|| {
            let output = [0; EXPORTER_BYTES];
            tls.export_keying_material(output, EXPORTER_LABEL, Some(b""))
                .expect("the handshake is done, and the length is fine")
                .to_vec()
        });
        TlsInfo {
            exporter,
            end_point: self.end_point.clone(),
            sni: tls.server_name().map(str::to_owned),
            alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
            is_tls13,
            peer_chain: Vec::new(),
        }
    }
}

/// The identities in force. A reload makes new ones.
pub struct Identities {
    /// Never empty; the first is for clients that ask for no name, or for one that is nobody's.
    all: Vec<Rc<Identity>>,
}

impl Identities {
    /// Identities of which `first` is the default.
    pub fn new(first: Identity) -> Self {
        Self { all: vec![Rc::new(first)] }
    }

    /// The identity for a client that asks for `sni`.
    pub fn pick(&self, sni: Option<&str>) -> &Rc<Identity> {
        let named = sni.and_then(|sni| self.all.iter().find(|own| own.facts.names(sni)));
        named.unwrap_or(&self.all[0])
    }
}

fn end_point(hash: EndPointHash, certificate: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        EndPointHash::Sha256 => &digest::SHA256,
        EndPointHash::Sha384 => &digest::SHA384,
        EndPointHash::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, certificate).as_ref().to_vec()
}
