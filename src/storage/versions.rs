//! Versions of a room's affiliation list at rest (XEP-0463): the latest changes, numbered.

/// The tables of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE room_version (
    room INTEGER NOT NULL REFERENCES room ON DELETE CASCADE,
    version INTEGER NOT NULL,
    jid TEXT NOT NULL,
    affiliation TEXT NOT NULL,
    PRIMARY KEY (room, version, jid)
) STRICT, WITHOUT ROWID;
";
