//! Invitations to accounts at rest (XEP-0401).

/// The tables of this file.
pub(super) const SCHEMA: &str = "";
