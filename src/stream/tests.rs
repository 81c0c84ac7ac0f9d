//! What the tests of this folder share: the client's side of SCRAM, which can be told to lie, and
//! a generator for fuzz loops.

use crate::credentials::ScramHash;
use crate::xmpp::base64;
use ring::pbkdf2;
use std::num::NonZeroU32;

/// A client with its password.
pub struct Client {
    pub hash: ScramHash,
    pub gs2: String,
    pub binding: Vec<u8>,
    pub username: String,
    pub password: String,
    pub nonce: String,
    /// Put instead of the nonce into the last message, which is signed all the same.
    pub last_nonce: Option<String>,
}

impl Client {
    pub fn new(hash: ScramHash, username: &str, password: &str) -> Self {
        Self {
            hash,
            gs2: "n,,".to_owned(),
            binding: Vec::new(),
            username: username.to_owned(),
            password: password.to_owned(),
            nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(),
            last_nonce: None,
        }
    }

    /// The same with channel binding.
    pub fn bound(mut self, gs2: &str, binding: &[u8]) -> Self {
        self.gs2 = gs2.to_owned();
        self.binding = binding.to_vec();
        self
    }

    fn bare(&self) -> String {
        format!("n={},r={}", self.username, self.nonce)
    }

    /// `client-first-message`
    pub fn first(&self) -> String {
        format!("{}{}", self.gs2, self.bare())
    }

    /// `client-final-message`, and the `server-final-message` to expect.
    pub fn last(&self, server_first: &str) -> (String, String) {
        let mut parts = server_first.split(',');
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).expect("nonce");
        let salt = parts.next().and_then(|part| part.strip_prefix("s=")).expect("salt");
        let count = parts.next().and_then(|part| part.strip_prefix("i=")).expect("count");
        assert!(nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len());
        let (salt, count) = (base64::decode(salt).unwrap(), count.parse::<NonZeroU32>().unwrap());
        let algorithm = match self.hash {
            ScramHash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            ScramHash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut salted = vec![0; self.hash.output_bytes()];
        pbkdf2::derive(algorithm, count, &salt, self.password.as_bytes(), &mut salted);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        let stored_key = self.hash.digest(&client_key);
        let nonce = self.last_nonce.as_deref().unwrap_or(nonce);
        let binding = [self.gs2.as_bytes(), &self.binding].concat();
        let unproved = format!("c={},r={nonce}", base64::encode(&binding));
        let auth_message = format!("{},{server_first},{unproved}", self.bare());
        let signature = self.hash.hmac(&stored_key, auth_message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server_key = self.hash.hmac(&salted, b"Server Key");
        let verifier = self.hash.hmac(&server_key, auth_message.as_bytes());
        let last = format!("{unproved},p={}", base64::encode(&proof));
        (last, format!("v={}", base64::encode(&verifier)))
    }
}

/// A generator of numbers from a seed (xorshift).
pub struct Dice(pub u64);

impl Dice {
    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    /// The bytes with a few changes: flipped, cut, doubled, or with a telling character put in.
    pub fn mangle(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.roll(3) {
            let at = self.roll(bytes.len() + 1);
            match self.roll(5) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.roll(8),
                1 => bytes.truncate(at),
                2 => bytes.extend_from_within(at..),
                3 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.insert(at, b",==np\0\xff\xc3m"[self.roll(9)]),
            }
        }
        bytes
    }
}
