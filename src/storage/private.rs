//! Private XML of accounts at rest (XEP-0049).

/// The tables of this file.
pub(super) const SCHEMA: &str = "";
