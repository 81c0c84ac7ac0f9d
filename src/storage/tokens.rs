//! Login tokens at rest (XEP-0484).

/// The tables of this file.
pub(super) const SCHEMA: &str = "";
