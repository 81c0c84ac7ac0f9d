//! Messages that wait for accounts that are away, at rest (XEP-0160).

/// The tables of this file.
pub(super) const SCHEMA: &str = "";
