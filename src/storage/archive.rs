//! Archives of rooms at rest (XEP-0313): one row per message, in the order of their numbers.

/// The tables of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE room_archive (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    room INTEGER NOT NULL REFERENCES room ON DELETE CASCADE,
    uid TEXT NOT NULL,
    unix_ms INTEGER NOT NULL,
    nick TEXT NOT NULL,
    account TEXT,
    occupant_id TEXT,
    message TEXT NOT NULL,
    UNIQUE (room, uid)
) STRICT;

CREATE INDEX room_archive_room ON room_archive (room, id);
";
