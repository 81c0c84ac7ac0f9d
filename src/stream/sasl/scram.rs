//! The server's side of SCRAM (RFC 5802, RFC 7677), pure: messages, keys and a nonce in, messages
//! out. It knows no account and draws no randomness; unknown users are given stand-in keys by
//! `login`, and go through the very same steps.
//!
//! Messages are taken apart to the letter of RFC 5802 §7. Grammar that is broken is
//! `malformed-request`; what is well-formed but wrong (proof, binding, downgrade) is
//! `not-authorized`.

use super::{ChannelBindings, Condition, Failure};
use crate::credentials::{ScramHash, ScramKeys, is_same_secret};
use crate::xmpp::base64;

/// The `gs2-cbind-flag`: what the client says about channel binding.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BindingFlag {
    /// `n`: it cannot.
    Unsupported,
    /// `y`: it can, and believes that the server cannot.
    Unseen,
    /// `p=type`: it does.
    Used(String),
}

/// `client-first-message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFirst {
    flag: BindingFlag,
    /// Who the client wants to act as.
    pub authzid: Option<String>,
    /// User name, decoded, as sent.
    pub username: String,
    nonce: String,
    /// `gs2-header`, which the client repeats in `c=`.
    gs2_header: String,
    /// `client-first-message-bare`: the first part of AuthMessage.
    bare: String,
}

impl ClientFirst {
    /// Takes `client-first-message` apart.
    pub fn parse(message: &[u8]) -> Result<Self, Failure> {
        let text = str::from_utf8(message).map_err(|_| malformed("invalid-encoding"))?;
        if text.contains('\0') {
            return Err(malformed("invalid-encoding"));
        }
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Condition::MalformedRequest.into());
        };
        let flag = match flag {
            "n" => BindingFlag::Unsupported,
            "y" => BindingFlag::Unseen,
            _ => BindingFlag::Used(binding_type(flag)?.to_owned()),
        };
        let authzid = match authzid {
            "" => None,
            _ => Some(saslname(attribute(authzid, "a=")?)?),
        };
        let mut parts = bare.split(',');
        let username = parts.next().unwrap_or_default();
        if username.starts_with("m=") {
            return Err(malformed("extensions-not-supported"));
        }
        let username = saslname(attribute(username, "n=")?)?;
        let nonce = attribute(parts.next().unwrap_or_default(), "r=")?;
        if nonce.is_empty() || !nonce.bytes().all(|byte| matches!(byte, 0x21..=0x7e)) {
            return Err(Condition::MalformedRequest.into());
        }
        parts.try_for_each(check_extension)?;
        let gs2_header = text.strip_suffix(bare).unwrap_or_default().to_owned();
        let (nonce, bare) = (nonce.to_owned(), bare.to_owned());
        Ok(Self { flag, authzid, username, nonce, gs2_header, bare })
    }

    /// Checks what the client says about channel binding against the mechanism it chose and what
    /// was offered (RFC 5802 §6); returns the data that it must prove to have seen.
    pub fn check_binding<'a>(
        &self,
        is_plus: bool,
        bindings: &'a ChannelBindings,
    ) -> Result<&'a [u8], Failure> {
        match &self.flag {
            BindingFlag::Used(kind) if is_plus => {
                bindings.get(kind).ok_or(refused("unsupported-channel-binding-type"))
            }
            BindingFlag::Used(_) => Err(malformed("channel-binding-not-supported")),
            _ if is_plus => Err(Condition::MalformedRequest.into()),
            // Somebody has taken the -PLUS mechanisms out of our features.
            BindingFlag::Unseen if !bindings.is_empty() => {
                Err(refused("server-does-support-channel-binding"))
            }
            BindingFlag::Unseen | BindingFlag::Unsupported => Ok(&[]),
        }
    }
}

/// An exchange that waits for `client-final-message`. No `Debug`: it holds keys.
pub struct Exchange {
    hash: ScramHash,
    keys: ScramKeys,
    /// What `c=` must hold: the GS2 header and the channel-binding data.
    binding: Vec<u8>,
    /// The client's nonce and ours.
    nonce: String,
    /// AuthMessage up to `client-final-message-without-proof`, the comma included.
    auth_message: String,
}

impl Exchange {
    /// Answers `client-first-message` with `server-first-message`. `binding` is what
    /// [`ClientFirst::check_binding`] yielded, `nonce` the server's part: printable, no comma.
    /// `announced` is what was offered: its hash goes with the message, and so into the proof of a
    /// client that has seen something else (XEP-0474 §6.1).
    pub fn begin(
        hash: ScramHash,
        first: &ClientFirst,
        binding: &[u8],
        keys: ScramKeys,
        nonce: &str,
        announced: Option<&str>,
    ) -> (Self, String) {
        let nonce = format!("{}{nonce}", first.nonce);
        let salt = base64::encode(&keys.salt);
        let mut server_first = format!("r={nonce},s={salt},i={}", keys.iterations);
        if let Some(announced) = announced {
            server_first.push_str(",h=");
            server_first.push_str(&base64::encode(&hash.digest(announced.as_bytes())));
        }
        let auth_message = format!("{},{server_first},", first.bare);
        let binding = [first.gs2_header.as_bytes(), binding].concat();
        (Self { hash, keys, binding, nonce, auth_message }, server_first)
    }

    /// The hash of the mechanism.
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// The keys that this exchange was begun with.
    pub fn keys(&self) -> &ScramKeys {
        &self.keys
    }

    /// Checks `client-final-message` and answers with `server-final-message`.
    pub fn finish(&self, message: &[u8]) -> Result<String, Failure> {
        let text = str::from_utf8(message).map_err(|_| malformed("invalid-encoding"))?;
        if text.contains('\0') {
            return Err(malformed("invalid-encoding"));
        }
        let (unproved, proof) = text.rsplit_once(",p=").ok_or(Condition::MalformedRequest)?;
        let mut parts = unproved.split(',');
        let binding = attribute(parts.next().unwrap_or_default(), "c=")?;
        let nonce = attribute(parts.next().unwrap_or_default(), "r=")?;
        parts.try_for_each(check_extension)?;
        let decode = |text| base64::decode(text).ok_or(malformed("invalid-encoding"));
        let (binding, proof) = (decode(binding)?, decode(proof)?);
        if binding != self.binding {
            return Err(refused("channel-bindings-dont-match"));
        }
        if nonce != self.nonce || !self.is_proof(unproved, &proof) {
            return Err(Condition::NotAuthorized.into());
        }
        let signature = self.hash.hmac(&self.keys.server_key, &self.auth_message_of(unproved));
        Ok(format!("v={}", base64::encode(&signature)))
    }

    /// ClientKey is the proof with ClientSignature taken off; its hash must be StoredKey
    /// (RFC 5802 §3).
    fn is_proof(&self, unproved: &str, proof: &[u8]) -> bool {
        let signature = self.hash.hmac(&self.keys.stored_key, &self.auth_message_of(unproved));
        if proof.len() != signature.len() {
            return false;
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        is_same_secret(&self.hash.digest(&client_key), &self.keys.stored_key)
    }

    fn auth_message_of(&self, unproved: &str) -> Vec<u8> {
        [self.auth_message.as_bytes(), unproved.as_bytes()].concat()
    }
}

/// The value of an attribute that must come here.
fn attribute<'a>(part: &'a str, prefix: &str) -> Result<&'a str, Failure> {
    part.strip_prefix(prefix).ok_or(Condition::MalformedRequest.into())
}

/// `"p=" cb-name`
fn binding_type(flag: &str) -> Result<&str, Failure> {
    let name = attribute(flag, "p=")?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(Condition::MalformedRequest.into());
    }
    Ok(name)
}

/// Decodes `saslname`: `=2C` is a comma, `=3D` an equals sign, any other `=` an error.
fn saslname(text: &str) -> Result<String, Failure> {
    let mut parts = text.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some(rest) = part.strip_prefix("2C") {
            name.push(',');
            name.push_str(rest);
        } else if let Some(rest) = part.strip_prefix("3D") {
            name.push('=');
            name.push_str(rest);
        } else {
            return Err(malformed("invalid-username-encoding"));
        }
    }
    if name.is_empty() { Err(Condition::MalformedRequest.into()) } else { Ok(name) }
}

/// Extensions are well-formed and not mandatory: `m` says one is (RFC 5802 §5.1).
fn check_extension(part: &str) -> Result<(), Failure> {
    match part.as_bytes() {
        [b'm', b'=', ..] => Err(malformed("extensions-not-supported")),
        [name, b'=', _, ..] if name.is_ascii_alphabetic() => Ok(()),
        _ => Err(Condition::MalformedRequest.into()),
    }
}

fn malformed(text: &'static str) -> Failure {
    Failure::new(Condition::MalformedRequest, text)
}

fn refused(text: &'static str) -> Failure {
    Failure::new(Condition::NotAuthorized, text)
}

#[cfg(test)]
mod tests;
