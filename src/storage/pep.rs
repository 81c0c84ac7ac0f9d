//! Nodes of accounts, their items and configuration, at rest (XEP-0163).

/// The tables of this file.
pub(super) const SCHEMA: &str = "";
