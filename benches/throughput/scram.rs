//! The client's side of SCRAM (RFC 5802, RFC 7677), on ring, with channel binding data as an
//! argument. It is the load client's, and that of the channel binding test; the server has its own
//! code, which this one shares nothing with, so that they check each other.

use std::collections::HashMap;
use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};

/// The hash of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SCRAM-SHA-1
    Sha1,
    /// SCRAM-SHA-256
    #[allow(dead_code, reason = "the channel binding test uses it, the bench does not")]
    Sha256,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }
}

/// Salted passwords by hash, salt and iterations: PBKDF2 is the cost of a login on the client.
#[derive(Debug, Default)]
pub struct SaltCache {
    salted: HashMap<(Hash, Vec<u8>, u32), Vec<u8>>,
}

impl SaltCache {
    fn get(&mut self, hash: Hash, password: &str, salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let key = (hash, salt.to_vec(), iterations.get());
        let derive = || {
            let mut salted = vec![0; hash.digest().output_len()];
            pbkdf2::derive(hash.pbkdf2(), iterations, salt, password.as_bytes(), &mut salted);
            salted
        };
        self.salted.entry(key).or_insert_with(derive).clone()
    }
}

/// One exchange.
#[derive(Debug)]
pub struct Exchange {
    hash: Hash,
    gs2_header: String,
    channel_binding: Vec<u8>,
    first_bare: String,
    nonce: String,
    server_signature: Vec<u8>,
}

impl Exchange {
    /// Begins an exchange. `gs2_header` is `n,,`, `y,,` or `p=tls-exporter,,`; the user name has
    /// no `,` and no `=` here.
    pub fn new(hash: Hash, user: &str, nonce: &str, gs2_header: &str, binding: &[u8]) -> Self {
        Self {
            hash,
            gs2_header: gs2_header.to_owned(),
            channel_binding: binding.to_vec(),
            first_bare: format!("n={user},r={nonce}"),
            nonce: nonce.to_owned(),
            server_signature: Vec::new(),
        }
    }

    /// The content of `<auth/>`.
    pub fn first(&self) -> String {
        base64_encode(format!("{}{}", self.gs2_header, self.first_bare).as_bytes())
    }

    /// The content of `<response/>` for that of a `<challenge/>`.
    pub fn answer(
        &mut self,
        challenge: &str,
        password: &str,
        cache: &mut SaltCache,
    ) -> Result<String, String> {
        let server_first = base64_text(challenge)?;
        let field = |name: &str| {
            let found = server_first.split(',').find_map(|part| part.strip_prefix(name));
            found.ok_or_else(|| format!("no {name} in {server_first}"))
        };
        let nonce = field("r=")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(format!("the server's nonce does not extend ours: {nonce}"));
        }
        let salt = base64_decode(field("s=")?).ok_or("bad salt")?;
        let iterations = field("i=")?.parse::<u32>().ok().and_then(NonZeroU32::new);
        let iterations = iterations.ok_or("bad iteration count")?;
        let salted = cache.get(self.hash, password, &salt, iterations);

        let mut binding = self.gs2_header.clone().into_bytes();
        binding.extend_from_slice(&self.channel_binding);
        let without_proof = format!("c={},r={nonce}", base64_encode(&binding));
        let auth_message = format!("{},{server_first},{without_proof}", self.first_bare);

        let sign = |key: &[u8], data: &[u8]| {
            hmac::sign(&hmac::Key::new(self.hash.hmac(), key), data).as_ref().to_vec()
        };
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), &client_key);
        let signature = sign(stored_key.as_ref(), auth_message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server_key = sign(&salted, b"Server Key");
        self.server_signature = sign(&server_key, auth_message.as_bytes());
        let answer = format!("{without_proof},p={}", base64_encode(&proof));
        Ok(base64_encode(answer.as_bytes()))
    }

    /// Checks the content of `<success/>`: the server knows the password too.
    pub fn check(&self, success: &str) -> Result<(), String> {
        let text = base64_text(success)?;
        let signature = text.strip_prefix("v=").and_then(base64_decode);
        if signature.as_deref() == Some(&self.server_signature) {
            Ok(())
        } else {
            Err(format!("wrong server signature: {text}"))
        }
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648 §4.
pub fn base64_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= group.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    text
}

/// RFC 4648 §4; `None` when it is not that.
pub fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut bits_count) = (0u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|&letter| letter == digit)?;
        bits = bits << 6 | value as u32;
        bits_count += 6;
        if bits_count >= 8 {
            bits_count -= 8;
            bytes.push((bits >> bits_count) as u8);
        }
    }
    Some(bytes)
}

fn base64_text(text: &str) -> Result<String, String> {
    let bytes = base64_decode(text).ok_or_else(|| format!("not Base64: {text}"))?;
    String::from_utf8(bytes).map_err(|_| "not UTF-8 inside Base64".to_owned())
}
