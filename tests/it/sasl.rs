//! The client's side of SASL, written apart from the server's, so that neither can hide a mistake
//! of the other: PLAIN (RFC 4616), SCRAM-SHA-1 (RFC 5802) and SCRAM-SHA-256 (RFC 7677) without
//! channel binding.

use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};

/// How a test client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    ScramSha1,
    ScramSha256,
}

impl Mechanism {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "PLAIN" => Some(Self::Plain),
            "SCRAM-SHA-1" => Some(Self::ScramSha1),
            "SCRAM-SHA-256" => Some(Self::ScramSha256),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }
}

/// One login.
pub struct Login {
    mechanism: Mechanism,
    user: String,
    password: String,
    first_bare: String,
    nonce: String,
    server_signature: Vec<u8>,
    /// What was offered, in the form of XEP-0474 §6.1.
    announced: Option<String>,
}

impl Login {
    pub fn new(mechanism: Mechanism, user: &str, password: &str) -> Self {
        let nonce = format!("nonce-of-{user}");
        Self {
            mechanism,
            user: user.to_owned(),
            password: password.to_owned(),
            first_bare: format!("n={user},r={nonce}"),
            nonce,
            server_signature: Vec::new(),
            announced: None,
        }
    }

    /// What the server offers: from then on it has to sign that.
    pub fn see_offer(&mut self, mut mechanisms: Vec<String>, mut bindings: Vec<String>) {
        mechanisms.sort();
        bindings.sort();
        let mut announced = mechanisms.join("\x1e");
        if !bindings.is_empty() {
            announced.push('\x1f');
            announced.push_str(&bindings.join("\x1e"));
        }
        self.announced = Some(announced);
    }

    /// The initial response, in base64.
    pub fn initial(&self) -> String {
        match self.mechanism {
            Mechanism::Plain => base64(format!("\0{}\0{}", self.user, self.password).as_bytes()),
            _ => base64(format!("n,,{}", self.first_bare).as_bytes()),
        }
    }

    /// The answer to the server's first message, both in base64.
    pub fn respond(&mut self, challenge: &str) -> Result<String, String> {
        let server_first = String::from_utf8(unbase64(challenge)?).map_err(|e| e.to_string())?;
        let field = |name: &str| {
            let mut fields = server_first.split(',');
            fields
                .find_map(|field| field.strip_prefix(name))
                .ok_or_else(|| format!("no {name} in {server_first}"))
        };
        let nonce = field("r=")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(format!("the server's nonce {nonce} does not extend ours"));
        }
        let salt = unbase64(field("s=")?)?;
        let iterations: u32 = field("i=")?.parse().map_err(|_| "bad iterations".to_owned())?;
        let iterations = NonZeroU32::new(iterations).ok_or("no iterations")?;
        let final_bare = format!("c=biws,r={nonce}");
        let auth_message = format!("{},{server_first},{final_bare}", self.first_bare);
        let (mac, hash, kdf) = match self.mechanism {
            Mechanism::ScramSha256 => {
                (hmac::HMAC_SHA256, &digest::SHA256, pbkdf2::PBKDF2_HMAC_SHA256)
            }
            _ => (
                hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
                pbkdf2::PBKDF2_HMAC_SHA1,
            ),
        };
        if let Some(announced) = &self.announced {
            let want = base64(digest::digest(hash, announced.as_bytes()).as_ref());
            if field("h=")? != want {
                return Err(format!("somebody has changed what is offered: {announced:?}"));
            }
        }
        let mut salted = vec![0; hash.output_len()];
        pbkdf2::derive(kdf, iterations, &salt, self.password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &str| {
            hmac::sign(&hmac::Key::new(mac, key), text.as_bytes()).as_ref().to_vec()
        };
        let client_key = sign(&salted, "Client Key");
        let stored_key = digest::digest(hash, &client_key);
        let signature = sign(stored_key.as_ref(), &auth_message);
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        self.server_signature = sign(&sign(&salted, "Server Key"), &auth_message);
        Ok(base64(format!("{final_bare},p={}", base64(&proof)).as_bytes()))
    }

    /// Checks what came with `<success/>`: a server that does not know the password cannot sign.
    pub fn check_success(&self, data: &str) -> Result<(), String> {
        if self.mechanism == Mechanism::Plain {
            return Ok(());
        }
        let want = format!("v={}", base64(&self.server_signature));
        let got = String::from_utf8(unbase64(data.trim())?).map_err(|e| e.to_string())?;
        if got == want { Ok(()) } else { Err(format!("server signature {got}, not {want}")) }
    }
}

/// The one message of HT-SHA-256-NONE (draft-schmaus-sasl-ht-09), in base64.
pub fn token_message(user: &str, token: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    let proof = hmac::sign(&key, b"Initiator");
    base64(&[user.as_bytes(), b"\0", proof.as_ref()].concat())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    text
}

pub fn unbase64(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes().filter(|&byte| byte != b'=') {
        let digit = ALPHABET.iter().position(|&letter| letter == byte);
        let digit = digit.ok_or_else(|| format!("no base64: {text}"))?;
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Ok(bytes)
}

#[test]
fn base64_as_in_rfc_4648() {
    for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foobar", "Zm9vYmFy")] {
        assert_eq!(base64(plain.as_bytes()), coded);
        assert_eq!(unbase64(coded).expect("valid"), plain.as_bytes());
    }
    assert!(unbase64("?").is_err());
}

#[test]
fn scram_as_in_rfc_5802() {
    let mut login = Login::new(Mechanism::ScramSha1, "user", "pencil");
    login.nonce = "fyko+d2lbbFgONRv9qkxdawL".to_owned();
    login.first_bare = format!("n=user,r={}", login.nonce);
    let first = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
    let answer = login.respond(&base64(first.as_bytes())).expect("a valid challenge");
    let want = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
    assert_eq!(unbase64(&answer).expect("base64"), want.as_bytes());
    login.check_success(&base64(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")).expect("their signature");
    assert!(login.check_success(&base64(b"v=other")).is_err());
}
