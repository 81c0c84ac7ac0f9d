//! TLS: identities (a certificate chain with its configurations), which of them somebody gets by
//! the name it asks for, and what the core learns of a finished handshake.
//!
//! A connection keeps the identity it was made with: the channel binding needs the certificate
//! that was sent, and a reload replaces only what later connections get. Tickets belong to their
//! identity too, so no session is resumed across a reload. Clients are never asked for a
//! certificate. Servers are, whoever of the two connected: what they show is judged by the core
//! when the handshake is done (`verify`). Reading files and making certificates is done in
//! `certificate`.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use ring::digest;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring as provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, Connection, ProtocolVersion, ServerConfig};

use super::verify::AnyServer;
use crate::certs::{CertFacts, EndPointHash};
use crate::ids::Door;
use crate::stream::c2s::TlsInfo;
use crate::xmpp::domain;

/// The protocol names of streams (XEP-0368 §3).
const ALPN_CLIENT: &[u8] = b"xmpp-client";
const ALPN_SERVER: &[u8] = b"xmpp-server";
/// Label of tls-exporter (RFC 9266 §3).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";
/// Bytes of tls-exporter (RFC 9266 §3).
const EXPORTER_BYTES: usize = 32;
/// Tickets sent to a client after a handshake: it has one stream to resume, not two.
const TICKETS_SENT: usize = 1;

/// A certificate, and what goes with it.
pub struct Identity {
    /// Names and expiry of the certificate.
    pub facts: CertFacts,
    /// The data of tls-server-end-point (RFC 5929 §4.1).
    end_point: Option<Vec<u8>>,
    /// For clients that connect.
    to_clients: Arc<ServerConfig>,
    /// For servers that connect.
    to_servers: Arc<ServerConfig>,
    /// For servers that we have connected to, STARTTLS.
    connecting: Arc<ClientConfig>,
    /// The same with TLS from the first byte.
    connecting_direct: Arc<ClientConfig>,
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
        let provider = Arc::new(provider::default_provider());
        let configs = CertifiedKey::from_der(chain, key, &provider).and_then(|certified| {
            let own = Arc::new(SingleCertAndKey::from(certified));
            let connecting = connecting(&provider, &own)?;
            let mut direct = connecting.clone();
            direct.alpn_protocols = vec![ALPN_SERVER.to_vec()];
            Ok((to_clients(&provider, &own)?, to_servers(&provider, &own)?, connecting, direct))
        });
        let (to_clients, to_servers, connecting, direct) =
            configs.map_err(|error| error.to_string())?;
        Ok(Self {
            facts,
            end_point,
            to_clients: Arc::new(to_clients),
            to_servers: Arc::new(to_servers),
            connecting: Arc::new(connecting),
            connecting_direct: Arc::new(direct),
        })
    }

    /// The configuration for somebody who came through a door.
    pub fn accepting(&self, door: Door) -> Arc<ServerConfig> {
        Arc::clone(match door {
            Door::Servers => &self.to_servers,
            Door::Clients | Door::Components => &self.to_clients,
        })
    }

    /// TLS with the server of `domain` at `address`, which we have connected to. The name is asked
    /// for unless it is an address, or none that DNS could hold.
    pub fn connect(
        &self,
        domain: &str,
        address: IpAddr,
        is_direct: bool,
    ) -> Result<ClientConnection, String> {
        let config = if is_direct { &self.connecting_direct } else { &self.connecting };
        let name = server_name(domain).unwrap_or_else(|| ServerName::from(address));
        ClientConnection::new(Arc::clone(config), name).map_err(|error| format!("TLS: {error}"))
    }

    /// What the core learns of a finished handshake.
    pub fn tls_info(&self, tls: &Connection) -> TlsInfo {
        let is_tls13 = tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        // Before TLS 1.3 the exporter is no safe binding without more conditions (RFC 9266 §4.2).
        let exporter = is_tls13.then(|| {
            let output = [0; EXPORTER_BYTES];
            tls.export_keying_material(output, EXPORTER_LABEL, Some(b""))
                .expect("the handshake is done, and the length is fine")
                .to_vec()
        });
        let (sni, end_point) = match tls {
            Connection::Server(tls) => (tls.server_name(), self.end_point.clone()),
            // It is of the other side's certificate then, and nobody binds anything to it.
            Connection::Client(_) => (None, None),
        };
        let peer_chain = tls.peer_certificates().unwrap_or_default();
        TlsInfo {
            exporter,
            end_point,
            sni: sni.map(str::to_owned),
            alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
            is_tls13,
            peer_chain: peer_chain.iter().map(|certificate| certificate.to_vec()).collect(),
        }
    }
}

type Own = Arc<SingleCertAndKey>;
type Provider = Arc<CryptoProvider>;

fn to_clients(provider: &Provider, own: &Own) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(own.clone());
    config.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
    config.send_tls13_tickets = TICKETS_SENT;
    config.ticketer = provider::Ticketer::new()?;
    Ok(config)
}

/// Without tickets: streams of servers are long and few, and what one has shown is looked at anew.
fn to_servers(provider: &Provider, own: &Own) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)?;
    let any = Arc::new(AnyServer::new(provider));
    let mut config = builder.with_client_cert_verifier(any).with_cert_resolver(own.clone());
    config.alpn_protocols = vec![ALPN_SERVER.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

fn connecting(provider: &Provider, own: &Own) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)?;
    let any = Arc::new(AnyServer::new(provider));
    let builder = builder.dangerous().with_custom_certificate_verifier(any);
    let mut config = builder.with_client_cert_resolver(own.clone());
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The name of a domain in a ClientHello.
fn server_name(domain: &str) -> Option<ServerName<'static>> {
    match domain::to_ip(domain) {
        Some(address) => Some(ServerName::from(address)),
        None => ServerName::try_from(domain::to_ascii(domain)?.into_owned()).ok(),
    }
}

/// The identities in force. A reload makes new ones.
pub struct Identities {
    /// Never empty; the first is for who asks for no name, or for one that is nobody's.
    all: Vec<Rc<Identity>>,
}

impl Identities {
    /// Identities of which `first` is the default.
    pub fn new(first: Identity) -> Self {
        Self { all: vec![Rc::new(first)] }
    }

    /// The identity for somebody who asks for `name`, or to connect as it with.
    pub fn pick(&self, name: Option<&str>) -> &Rc<Identity> {
        let name = name.and_then(domain::to_ascii);
        let named = name.and_then(|name| self.all.iter().find(|own| own.facts.names(&name)));
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
