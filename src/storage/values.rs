//! What storage takes and gives: plain values, without behaviour, and the two ways to fail.

use std::fmt;

use crate::config::RoomOptions;
use crate::xmpp::{Affiliation, BareJid};

/// Why storage did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// The statement failed; the transaction stands. The handler's savepoint is rolled back.
    Failed,
    /// The transaction is lost, or storage is read-only until a probe works.
    Unavailable,
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "the database did not do it",
            Self::Unavailable => "the database cannot be written at the moment",
        })
    }
}

impl From<StorageError> for crate::xmpp::StanzaError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Failed => crate::xmpp::Condition::InternalServerError.into(),
            StorageError::Unavailable => crate::xmpp::Condition::ResourceConstraint.into(),
        }
    }
}

/// `subscription` of a roster item (RFC 6121 §2.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Subscription {
    /// No subscription.
    #[default]
    None,
    /// The user sees the contact.
    To,
    /// The contact sees the user.
    From,
    /// Both.
    Both,
}

impl Subscription {
    /// From its two directions.
    pub fn new(to: bool, from: bool) -> Self {
        match (to, from) {
            (false, false) => Self::None,
            (true, false) => Self::To,
            (false, true) => Self::From,
            (true, true) => Self::Both,
        }
    }

    /// The user sees the contact.
    pub fn is_to(self) -> bool {
        matches!(self, Self::To | Self::Both)
    }

    /// The contact sees the user.
    pub fn is_from(self) -> bool {
        matches!(self, Self::From | Self::Both)
    }

    /// `subscription` of an item, on the wire and at rest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::To => "to",
            Self::From => "from",
            Self::Both => "both",
        }
    }
}

/// A contact in a roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterItem {
    /// The contact.
    pub jid: BareJid,
    /// Its name for the user.
    pub name: Option<String>,
    /// Groups, sorted, each once.
    pub groups: Vec<String>,
    /// The subscription.
    pub subscription: Subscription,
    /// The user has asked for a subscription, and the contact not answered (§2.1.2.2).
    pub ask: bool,
    /// The user approves a request that the contact has not made yet (§2.1.2.1, §3.4).
    pub approved: bool,
}

/// The state of a roster (RFC 6121 §2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RosterVersion {
    /// Which roster: 0 for one that never changed.
    pub epoch: i64,
    /// Its last change.
    pub number: i64,
    /// All changes after this one are known.
    pub oldest: i64,
}

/// What became of a contact in a roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RosterChange {
    /// It is like this now.
    Put(RosterItem),
    /// It is not there any more.
    Remove(BareJid),
}

/// `ver` of a roster (RFC 6121 §2.1.1).
impl fmt::Display for RosterVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.number)
    }
}

/// An entry of a room's affiliation list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffiliationEntry {
    /// Account or bare domain.
    pub jid: BareJid,
    /// Never `None`.
    pub affiliation: Affiliation,
    /// Reserved nick, if any.
    pub nick: Option<String>,
    /// Why, if said (bans).
    pub reason: Option<String>,
}

/// The subject of a room at rest: the message as XML payload, who set it, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSubject {
    /// Serialised `<subject/>` elements.
    pub xml: String,
    /// Nick of who set it; empty for the room itself.
    pub nick: String,
    /// Occupant id of who set it, if known.
    pub occupant_id: Option<String>,
    /// When, in milliseconds since 1970.
    pub unix_ms: i64,
}

/// A persistent room at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRoom {
    /// Its address.
    pub jid: BareJid,
    /// Its options.
    pub options: RoomOptions,
    /// The secret that its occupant ids are made with.
    pub secret: Vec<u8>,
    /// Its subject, when one was ever set.
    pub subject: Option<StoredSubject>,
    /// Its affiliation list, in the order of first entry.
    pub affiliations: Vec<AffiliationEntry>,
}

/// An address as it was stored. `None`, and a line in the log, when today's rules refuse it: one
/// such row must not hide the others.
pub(super) fn stored_jid(text: &str) -> Option<BareJid> {
    match BareJid::parse(text) {
        Ok(jid) => Some(jid),
        Err(error) => {
            log::error!("storage: address {text:?} is left out: {error:?}");
            None
        }
    }
}
