//! Destroyed rooms that are remembered (XEP-0045 §10.9): nobody takes their names for a while.

/// The table of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE room_grave (
    domain TEXT NOT NULL,
    local TEXT NOT NULL,
    until_unix_ms INTEGER NOT NULL,
    venue TEXT,
    reason TEXT,
    password TEXT,
    PRIMARY KEY (domain, local)
) STRICT, WITHOUT ROWID;
";
