//! Where the server of a domain is (RFC 6120 §3.2, XEP-0368): questions to name servers, what they
//! answer, and the order in which the places found are to be tried. Sans-IO: no socket, no clock;
//! `net/resolver` carries the packets.

use std::net::SocketAddr;

use crate::cx::{Entropy, Now};

/// A packet for a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The name server.
    pub server: SocketAddr,
    /// The question; over TCP without the length before it.
    pub packet: Vec<u8>,
    /// Over TCP: the answer was too long for UDP.
    pub is_tcp: bool,
}

/// A place where the server of a domain may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its address.
    pub address: SocketAddr,
    /// TLS from the first byte (`_xmpps-server`).
    pub is_direct_tls: bool,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nowhere {
    /// The domain says that it has no XMPP server, or there is no such domain.
    NoServer,
    /// The name servers did not answer in time, or not usefully.
    NoAnswer,
}

/// What finds places.
#[derive(Default)]
pub struct Resolver {}

impl Resolver {
    /// The text of `/etc/resolv.conf` and of `/etc/hosts`.
    pub fn configure(&mut self, resolv_conf: &str, hosts: &str) {
        let _ = (resolv_conf, hosts);
    }

    /// Looks for the places of a domain; the answer comes by [`Self::poll_found`], maybe at once.
    pub fn look_up(&mut self, now: Now, entropy: &mut dyn Entropy, domain: &str) {
        let _ = (now, entropy, domain);
    }

    /// A name server has answered (`Err`: it cannot be reached, or the connection to it is gone).
    pub fn handle_packet(
        &mut self,
        now: Now,
        entropy: &mut dyn Entropy,
        server: SocketAddr,
        packet: Result<&[u8], ()>,
    ) {
        let _ = (now, entropy, server, packet);
    }

    /// Asks again, or gives up, what is due.
    pub fn handle_timeout(&mut self, now: Now, entropy: &mut dyn Entropy) {
        let _ = (now, entropy);
    }

    /// Monotonic milliseconds of the next deadline.
    pub fn poll_timeout(&self) -> Option<u64> {
        None
    }

    /// The next packet to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }

    /// The next domain that was found, or was not: the places in the order to be tried.
    pub fn poll_found(&mut self) -> Option<(String, Result<Vec<Place>, Nowhere>)> {
        None
    }
}
