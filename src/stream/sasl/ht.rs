//! The HT mechanisms (draft-schmaus-sasl-ht-09): one message proves that the client has a token,
//! and the answer proves that the server has it too. Pure: messages, tokens and channel-binding
//! data in, messages out. What a token may do is in `tokens`.
//!
//! The token is the key of an HMAC over channel-binding data that is known at the login only, so
//! the server must keep the token as it is: no hash of it could check the proof.

use super::{ChannelBindings, Condition, Failure};
use crate::credentials::{ScramHash, is_same_secret};

/// A mechanism of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// The type of channel binding that it needs.
    binding: Option<&'static str>,
}

/// All of them, the ones to prefer first. There is no UNIQ: tls-unique does not exist in TLS 1.3.
const KINDS: [Kind; 3] = [
    Kind { name: "HT-SHA-256-EXPR", binding: Some("tls-exporter") },
    Kind { name: "HT-SHA-256-ENDP", binding: Some("tls-server-end-point") },
    Kind { name: "HT-SHA-256-NONE", binding: None },
];

impl Kind {
    /// Those that can be offered with these bindings.
    pub fn offered(bindings: &ChannelBindings) -> impl Iterator<Item = Self> {
        KINDS.into_iter().filter(|kind| kind.data(bindings).is_some())
    }

    /// The mechanism of this name, as far as it is offered.
    pub fn parse(name: &str, bindings: &ChannelBindings) -> Option<Self> {
        Self::offered(bindings).find(|kind| kind.name == name)
    }

    /// What is bound: nothing with NONE; `None` where it cannot be bound.
    pub fn data(self, bindings: &ChannelBindings) -> Option<&[u8]> {
        self.binding.map_or(Some(&[]), |kind| bindings.get(kind))
    }
}

/// `initiator-message`. No `Debug`: without channel binding it is as good as the token.
pub struct Message {
    /// User name, never empty.
    pub username: String,
    proof: Vec<u8>,
}

impl Message {
    /// `authcid NUL initiator-hashed-token`
    pub fn parse(message: &[u8]) -> Result<Self, Failure> {
        let end = memchr::memchr(0, message).ok_or(Condition::MalformedRequest)?;
        let (username, proof) = (&message[..end], &message[end + 1..]);
        let username = str::from_utf8(username).map_err(|_| Condition::MalformedRequest)?;
        if username.is_empty() || proof.is_empty() {
            return Err(Condition::MalformedRequest.into());
        }
        Ok(Self { username: username.to_owned(), proof: proof.to_owned() })
    }

    /// True when the client has this token. Takes the same time for any.
    pub fn is_proof_of(&self, token: &str, binding: &[u8]) -> bool {
        is_same_secret(&self.proof, &hashed(token, "Initiator", binding))
    }
}

/// `responder-message`: the server has the token, too.
pub fn answer(token: &str, binding: &[u8]) -> Vec<u8> {
    hashed(token, "Responder", binding)
}

fn hashed(token: &str, who: &str, binding: &[u8]) -> Vec<u8> {
    ScramHash::Sha256.hmac(token.as_bytes(), &[who.as_bytes(), binding].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::base64;

    fn bindings() -> ChannelBindings {
        ChannelBindings(vec![
            ("tls-exporter", b"exported".to_vec()),
            ("tls-server-end-point", b"hash".to_vec()),
        ])
    }

    #[test]
    fn what_can_be_bound_is_offered() {
        let names =
            |bindings| Kind::offered(&bindings).map(|kind| kind.name).collect::<Vec<_>>().join(" ");
        assert_eq!(names(bindings()), "HT-SHA-256-EXPR HT-SHA-256-ENDP HT-SHA-256-NONE");
        assert_eq!(names(ChannelBindings::default()), "HT-SHA-256-NONE");
        for name in ["", "HT-SHA-256-UNIQ", "ht-sha-256-none", "HT-SHA-512-NONE", "PLAIN"] {
            assert_eq!(Kind::parse(name, &bindings()), None);
        }
        let data = |name| Kind::parse(name, &bindings()).unwrap().data(&bindings()).unwrap().len();
        assert_eq!(["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"].map(data), [8, 4, 0]);
    }

    #[test]
    fn proofs_by_another_implementation() {
        // Python: hmac.digest(b"secret-token", b"Initiator" + data, "sha256")
        for (data, proof, want) in [
            (
                &b""[..],
                "P23pK0XN3FDGAa0WZFj3tYdFZeOZ8wBrGvsD8LsD/4g=",
                "VXKmPgSWGVYJJzwjvopQub7mTgNpMkB55zJFv0RypbE=",
            ),
            (
                b"exported",
                "tX6/LngieyhE0EJpxn6IJbAIZgG9E9mf5TunlNcdDcg=",
                "fqcQIfY9gINIThfZd2NYX+zC4LKXmz9dj5VbWNd9cok=",
            ),
        ] {
            let proof = base64::decode(proof).unwrap();
            let message = Message::parse(&[b"alice\0", &proof[..]].concat()).unwrap();
            assert_eq!(message.username, "alice");
            assert!(message.is_proof_of("secret-token", data));
            assert!(!message.is_proof_of("secret-tokem", data));
            assert!(!message.is_proof_of("secret-token", b"else"));
            assert_eq!(base64::encode(&answer("secret-token", data)), want);
        }
    }

    #[test]
    fn bad_messages() {
        let bad: [&[u8]; 6] = [b"", b"alice", b"alice\0", b"\0proof", b"\0", b"\xff\0proof"];
        for bytes in bad {
            assert!(Message::parse(bytes).is_err(), "{bytes:?}");
        }
        // The proof may hold any byte; one that is too short is wrong, not malformed.
        let message = Message::parse(b"alice\0\0\xff\0").unwrap();
        assert!(!message.is_proof_of("secret-token", b""));
    }
}
