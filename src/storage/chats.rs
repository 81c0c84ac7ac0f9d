//! Archives of accounts at rest (XEP-0313), and what each account wants archived (XEP-0441).

/// The tables of this file.
pub(super) const SCHEMA: &str = "";
