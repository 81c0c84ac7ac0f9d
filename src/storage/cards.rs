//! Cards of accounts at rest (XEP-0054).

/// The tables of this file.
pub(super) const SCHEMA: &str = "";
