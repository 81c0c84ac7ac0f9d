//! How busy a room was at rest (XEP-0502): messages per hour.

/// The table of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE room_activity (
    room INTEGER NOT NULL REFERENCES room ON DELETE CASCADE,
    hour INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (room, hour)
) STRICT, WITHOUT ROWID;
";
