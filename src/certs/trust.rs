//! Whether a chain of certificates shows that a server is who it says it is: signed by an authority
//! that we trust, in force, and for the domain (RFC 6120 §13.7, RFC 6125).

/// The authorities that we trust.
#[derive(Default)]
pub struct Trust {}

/// Which side of the connection the certificate is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It connected to us.
    Client,
    /// We connected to it.
    Server,
}

impl Trust {
    /// The authorities of PEM text. `Err` says what is wrong with it.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let _ = pem;
        Ok(Self::default())
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
        let _ = (chain, domain, side, now_unix_ms);
        Err("certificates of servers are not checked yet".to_owned())
    }
}
