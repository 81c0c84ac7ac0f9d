//! Affiliations and roles (XEP-0045 §5): values that rooms and storage share.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A lasting association with a room (XEP-0045 §5.2), in rising order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Affiliation {
    /// Banned.
    Outcast,
    /// No association.
    #[default]
    None,
    /// Member.
    Member,
    /// Admin.
    Admin,
    /// Owner.
    Owner,
}

/// What an occupant may do during one visit (XEP-0045 §5.1), in rising order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Not in the room.
    #[default]
    None,
    /// May listen.
    Visitor,
    /// May speak.
    Participant,
    /// May kick, grant voice, and more.
    Moderator,
}

impl Affiliation {
    /// The attribute value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outcast => "outcast",
            Self::None => "none",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The affiliation with this attribute value.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Outcast, Self::None, Self::Member, Self::Admin, Self::Owner]
            .into_iter()
            .find(|affiliation| affiliation.as_str() == text)
    }
}

impl Role {
    /// The attribute value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Visitor => "visitor",
            Self::Participant => "participant",
            Self::Moderator => "moderator",
        }
    }

    /// The role with this attribute value.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Visitor, Self::Participant, Self::Moderator]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Affiliation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
