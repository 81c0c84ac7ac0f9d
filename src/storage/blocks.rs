//! Addresses that accounts block, at rest (XEP-0191).

/// The tables of this file.
pub(super) const SCHEMA: &str = "";
