//! Ids that a room gives: of messages (XEP-0359), of occupants (XEP-0421), and of iq stanzas that
//! go through a seat (XEP-0045 §17.4).
//!
//! An iq that is forwarded to an occupant carries all that is needed to find the way back in its
//! id, with a tag over it and over who was asked: the service remembers nothing, and nobody but
//! the session that was asked can make an answer that is passed on.

use ring::hmac;

use crate::credentials::is_same_secret;
use crate::cx::Entropy;
use crate::xmpp::hex;

/// Bytes of the tag that are sent.
const TAG_BYTES: usize = 16;

/// Bytes of a version: eight of the number, as many of the tag.
const VERSION_BYTES: usize = 16;

/// A new id of a room message (XEP-0359): unpredictable, so that none can be made in advance.
pub fn stanza_id(entropy: &mut dyn Entropy) -> String {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    hex::encode(&bytes)
}

/// The occupant id of an account in a room (XEP-0421 §4.1): the same at every visit, in no other
/// room, and of no use to find the account.
pub fn occupant_id(secret: &[u8], account: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hex::encode(hmac::sign(&key, account.as_bytes()).as_ref())
}

/// A version of a room's affiliation list (XEP-0463): its number, behind a mask that only the room
/// can take off. `part` is a number too when the version is one on the way to that; none reads it.
pub fn list_version(secret: &[u8], number: u64, part: Option<usize>) -> String {
    let part = part.map(|part| format!(" {part}")).unwrap_or_default();
    let tag = list_tag(secret, &format!("version {number}{part}"));
    hex::encode(
        &[tag.to_be_bytes(), (number ^ list_tag(secret, &format!("mask {tag}"))).to_be_bytes()]
            .concat(),
    )
}

/// The number of a version that this room may have given.
pub fn list_version_number(secret: &[u8], version: &str) -> Option<u64> {
    if version.len() != VERSION_BYTES * 2 {
        return None;
    }
    let (tag, masked) = version.split_at_checked(VERSION_BYTES)?;
    let tag = u64::from_str_radix(tag, 16).ok()?;
    let masked = u64::from_str_radix(masked, 16).ok()?;
    let number = masked ^ list_tag(secret, &format!("mask {tag}"));
    (list_version(secret, number, None) == version).then_some(number)
}

fn list_tag(secret: &[u8], what: &str) -> u64 {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    // No address has a space, so that this is of no occupant id.
    let tag = hmac::sign(&key, format!("affiliations {what}").as_bytes());
    tag.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Where the answer to a forwarded iq goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// Who asked: the occupant within the room.
    pub occupant: u64,
    /// Who asked: the seat within the occupant.
    pub seat: u64,
    /// The nick that was asked.
    pub nick: String,
    /// The id of the request.
    pub id: String,
}

impl Return {
    /// The id of the forwarded request.
    pub fn encode(&self, key: &hmac::Key, room: &str, asked: &str) -> String {
        let text = self.text();
        format!("{}-{text}", hex::encode(&tag(key, room, asked, &text)))
    }

    fn text(&self) -> String {
        let Self { occupant, seat, nick, id } = self;
        format!("{occupant:x}-{seat:x}-{:x}-{nick}{id}", nick.len())
    }

    /// Reads the id of an answer; `None` when it is not one that [`Self::encode`] made for `room`
    /// and `asked`.
    pub fn decode(key: &hmac::Key, room: &str, asked: &str, id: &str) -> Option<Self> {
        let (claimed, text) = id.split_once('-')?;
        let wanted = hex::encode(&tag(key, room, asked, text));
        if !is_same_secret(claimed.as_bytes(), wanted.as_bytes()) {
            return None;
        }
        let mut parts = text.splitn(4, '-');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (occupant, seat, nick_len) = (number()?, number()?, number()?);
        let rest = parts.next()?;
        let (nick, id) = rest.split_at_checked(usize::try_from(nick_len).ok()?)?;
        Some(Self { occupant, seat, nick: nick.to_owned(), id: id.to_owned() })
    }
}

/// The tag over everything that must not change, each part delimited by a byte that no address
/// and no number holds.
fn tag(key: &hmac::Key, room: &str, asked: &str, text: &str) -> [u8; TAG_BYTES] {
    let mut context = hmac::Context::with_key(key);
    for part in [room, asked, text] {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    let full = context.sign();
    let mut short = [0; TAG_BYTES];
    short.copy_from_slice(&full.as_ref()[..TAG_BYTES]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_are_authenticated_as_a_whole() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let other = hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]);
        let back = Return { occupant: 3, seat: 77, nick: "ü-x".into(), id: "a-b-ö".into() };
        let id = back.encode(&key, "r@c", "u@h/x");
        assert_eq!(Return::decode(&key, "r@c", "u@h/x", &id), Some(back));
        assert_eq!(Return::decode(&other, "r@c", "u@h/x", &id), None);
        assert_eq!(Return::decode(&key, "q@c", "u@h/x", &id), None);
        assert_eq!(Return::decode(&key, "r@c", "u@h/y", &id), None);
        for at in 0..id.len() {
            let mut bytes = id.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(forged) = String::from_utf8(bytes) {
                assert_eq!(Return::decode(&key, "r@c", "u@h/x", &forged), None, "{forged}");
            }
        }
        assert_eq!(Return::decode(&key, "r@c", "u@h/x", ""), None);
    }

    #[test]
    fn versions_are_read_by_their_room_alone() {
        for number in [0, 1, 1_000, u64::MAX] {
            let version = list_version(&[1; 32], number, None);
            assert_eq!(version.len(), VERSION_BYTES * 2);
            assert_eq!(list_version_number(&[1; 32], &version), Some(number));
            assert_eq!(list_version_number(&[2; 32], &version), None);
            let part = list_version(&[1; 32], number, Some(0));
            assert_eq!(part.len(), version.len());
            assert_eq!(list_version_number(&[1; 32], &part), None);
            for at in 0..version.len() {
                for other in ["0", "1", "f", "F", "+", " ", "ü"] {
                    let mut forged = version.clone();
                    forged.replace_range(at..=at, other);
                    let want = (forged == version).then_some(number);
                    assert_eq!(list_version_number(&[1; 32], &forged), want, "{forged}");
                }
            }
        }
        for text in ["", "0", "üüüüüüüüüüüüüüüü", &"ü".repeat(8), &"0".repeat(33)]
        {
            assert_eq!(list_version_number(&[1; 32], text), None);
        }
    }

    #[test]
    fn occupant_ids_are_stable_and_per_room() {
        let id = occupant_id(&[1; 32], "a@b");
        assert_eq!(id, occupant_id(&[1; 32], "a@b"));
        assert_ne!(id, occupant_id(&[2; 32], "a@b"));
        assert_ne!(id, occupant_id(&[1; 32], "b@b"));
        assert_eq!(id.len(), 64);
    }
}
