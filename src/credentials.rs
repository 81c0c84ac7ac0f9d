//! What is kept of a password: SCRAM keys (RFC 5802 §3), never the password. Deriving them and
//! checking a password against them (PLAIN) is here; the SCRAM exchange is in `stream/sasl`.
//!
//! A password is prepared with SASLprep (RFC 4013) as a stored string, so code points that Unicode
//! 3.2 does not know are refused when it is set, and can never match later. Nothing here prints or
//! logs a password or a key: `Debug` says only that there is one.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};

use crate::cx::Entropy;

/// A longer password is refused before any work is done for it.
const PASSWORD_BYTES_MAX: usize = 1024;
/// Bytes of a salt; what unknown users are shown must have the same length.
pub const SALT_BYTES: usize = 16;

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
        let password = prepare_password(password)?;
        let mut derive = |hash| {
            let mut salt = vec![0; SALT_BYTES];
            entropy.fill(&mut salt);
            ScramKeys::derive(hash, &password, salt, iterations)
        };
        Ok(Self { sha1: derive(ScramHash::Sha1), sha256: derive(ScramHash::Sha256) })
    }

    /// Checks a password in constant time. Costs milliseconds.
    pub fn verify(&self, password: &str) -> bool {
        let Ok(password) = prepare_password(password) else { return false };
        let keys = &self.sha256;
        let given =
            ScramKeys::derive(ScramHash::Sha256, &password, keys.salt.clone(), keys.iterations);
        is_same_secret(&given.stored_key, &keys.stored_key)
    }

    /// The keys of one hash.
    pub fn keys(&self, hash: ScramHash) -> &ScramKeys {
        match hash {
            ScramHash::Sha1 => &self.sha1,
            ScramHash::Sha256 => &self.sha256,
        }
    }
}

impl ScramKeys {
    /// Derives the keys of a prepared password (RFC 5802 §3). Costs milliseconds. Fewer iterations
    /// than one count as one.
    fn derive(hash: ScramHash, prepared: &str, salt: Vec<u8>, iterations: u32) -> Self {
        let count = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let mut salted = vec![0; hash.output_bytes()];
        pbkdf2::derive(hash.pbkdf2(), count, &salt, prepared.as_bytes(), &mut salted);
        let client_key = hash.hmac(&salted, b"Client Key");
        let server_key = hash.hmac(&salted, b"Server Key");
        Self { salt, iterations: count.get(), stored_key: hash.digest(&client_key), server_key }
    }
}

impl ScramHash {
    /// Bytes of a key or a proof.
    pub fn output_bytes(self) -> usize {
        match self {
            Self::Sha1 => digest::SHA1_OUTPUT_LEN,
            Self::Sha256 => digest::SHA256_OUTPUT_LEN,
        }
    }

    /// `H(data)` of RFC 5802 §2.2.
    pub fn digest(self, data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, data).as_ref().to_vec()
    }

    /// `HMAC(key, data)` of RFC 5802 §2.2.
    pub fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), data).as_ref().to_vec()
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }
}

/// Compares in a time that does not depend on where the two differ: tags of both are compared,
/// which `ring` does in constant time (its bare comparison is deprecated).
pub fn is_same_secret(left: &[u8], right: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"tercet: comparison");
    hmac::verify(&key, left, hmac::sign(&key, right).as_ref()).is_ok()
}

/// SASLprep (RFC 4013), with the bounds that a password must keep.
fn prepare_password(password: &str) -> Result<Cow<'_, str>, PasswordError> {
    // Both before and after: normalisation may lengthen a text many times.
    let check_length = |text: &str| match text.len() {
        0 => Err(PasswordError::Empty),
        1..=PASSWORD_BYTES_MAX => Ok(()),
        _ => Err(PasswordError::TooLong),
    };
    check_length(password)?;
    let prepared = stringprep::saslprep(password).map_err(|_| PasswordError::Forbidden)?;
    check_length(&prepared)?;
    Ok(prepared)
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramKeys(secret)")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::{base64, hex};

    struct Counting(u8);

    impl Entropy for Counting {
        fn fill(&mut self, bytes: &mut [u8]) {
            for byte in bytes {
                self.0 = self.0.wrapping_add(1);
                *byte = self.0;
            }
        }
    }

    fn pbkdf2(hash: ScramHash, password: &str, salt: &str, iterations: u32) -> String {
        let mut out = vec![0; hash.output_bytes()];
        let count = NonZeroU32::new(iterations).unwrap();
        pbkdf2::derive(hash.pbkdf2(), count, salt.as_bytes(), password.as_bytes(), &mut out);
        hex::encode(&out)
    }

    #[test]
    fn pbkdf2_vectors() {
        // RFC 6070 §2.
        for (iterations, want) in [
            (1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
            (2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
            (4096, "4b007901b765489abead49d926f721d065a429c1"),
        ] {
            assert_eq!(pbkdf2(ScramHash::Sha1, "password", "salt", iterations), want);
        }
        // RFC 7914 §11, first half of the output.
        assert_eq!(
            pbkdf2(ScramHash::Sha256, "passwd", "salt", 1),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
        );
        assert_eq!(
            pbkdf2(ScramHash::Sha256, "Password", "NaCl", 80_000),
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
        );
    }

    #[test]
    fn keys_of_the_rfc_examples() {
        let salt = base64::decode("QSXCR+Q6sek8bf92").unwrap();
        let keys = ScramKeys::derive(ScramHash::Sha1, "pencil", salt, 4096);
        assert_eq!(base64::encode(&keys.stored_key), "6dlGYMOdZcOPutkcNY8U2g7vK9Y=");
        assert_eq!(base64::encode(&keys.server_key), "D+CSWLOshSulAsxiupA+qs2/fTE=");
        let salt = base64::decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = ScramKeys::derive(ScramHash::Sha256, "pencil", salt, 4096);
        assert_eq!(
            base64::encode(&keys.stored_key),
            "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        );
        assert_eq!(
            base64::encode(&keys.server_key),
            "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn verify_takes_the_password_and_nothing_else() {
        let credentials = Credentials::derive("pencil", 10, &mut Counting(0)).unwrap();
        assert!(credentials.verify("pencil"));
        for wrong in ["", "pencil ", "Pencil", "penci", "pencill", "\u{7}", &"x".repeat(5000)] {
            assert!(!credentials.verify(wrong), "{wrong:?}");
        }
        // SASLprep (RFC 4013 §3): the soft hyphen vanishes, the roman numeral nine is two letters.
        assert!(Credentials::derive("I\u{ad}X", 1, &mut Counting(0)).unwrap().verify("\u{2168}"));
        // Different salts, and each hash has its own.
        let other = Credentials::derive("pencil", 10, &mut Counting(9)).unwrap();
        assert_ne!(credentials.sha256.stored_key, other.sha256.stored_key);
        assert_ne!(credentials.sha1.salt, credentials.sha256.salt);
        assert_eq!(credentials.sha1.salt.len(), SALT_BYTES);
    }

    #[test]
    fn bad_passwords() {
        let cases = [
            ("", PasswordError::Empty),
            ("\u{ad}", PasswordError::Empty),
            ("\u{7}", PasswordError::Forbidden),
            ("a\u{0}b", PasswordError::Forbidden),
            ("\u{627}1", PasswordError::Forbidden),
            ("\u{e000}", PasswordError::Forbidden),
            (&"x".repeat(1025), PasswordError::TooLong),
            (&"\u{fdfa}".repeat(300), PasswordError::TooLong),
        ];
        for (password, want) in cases {
            let got = Credentials::derive(password, 1, &mut Counting(0));
            assert_eq!(got, Err(want), "{password:?}");
        }
        assert!(Credentials::derive(&"x".repeat(1024), 1, &mut Counting(0)).is_ok());
    }

    #[test]
    fn debug_prints_no_key() {
        let credentials = Credentials::derive("pencil", 1, &mut Counting(0)).unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials(secret)");
        assert_eq!(format!("{:?}", credentials.sha1), "ScramKeys(secret)");
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(is_same_secret(b"abc", b"abc"));
        assert!(!is_same_secret(b"abc", b"abd"));
        assert!(!is_same_secret(b"abc", b"ab"));
        assert!(is_same_secret(b"", b""));
    }
}
