//! What is kept of a password: SCRAM keys (RFC 5802 §3), never the password. Deriving them and
//! checking a password against them (PLAIN) is here; the SCRAM exchange is in `stream/sasl`.
//! (Owned by the stream work package; this is the interface.)

use crate::cx::Entropy;

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramHash {
    /// SCRAM-SHA-1
    Sha1,
    /// SCRAM-SHA-256
    Sha256,
}

/// The keys of one hash.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Salt.
    pub salt: Vec<u8>,
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// StoredKey.
    pub stored_key: Vec<u8>,
    /// ServerKey.
    pub server_key: Vec<u8>,
}

/// What is stored for an account.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Keys for SCRAM-SHA-1.
    pub sha1: ScramKeys,
    /// Keys for SCRAM-SHA-256.
    pub sha256: ScramKeys,
}

/// Why a password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// Empty after preparation.
    Empty,
    /// SASLprep (RFC 4013) forbids a character.
    Forbidden,
    /// Longer than 1,024 bytes.
    TooLong,
}

impl Credentials {
    /// Derives the keys of both hashes with a fresh salt. Costs milliseconds.
    pub fn derive(
        password: &str,
        iterations: u32,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, PasswordError> {
        let _ = (password, iterations, entropy);
        Err(PasswordError::Forbidden)
    }

    /// Checks a password in constant time. Costs milliseconds.
    pub fn verify(&self, password: &str) -> bool {
        let _ = password;
        false
    }
}
