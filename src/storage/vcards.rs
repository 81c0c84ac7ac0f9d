//! Cards of rooms at rest (XEP-0054, XEP-0486).

/// The table of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE room_vcard (
    room INTEGER PRIMARY KEY REFERENCES room ON DELETE CASCADE,
    xml TEXT NOT NULL,
    photo_sha1 TEXT
) STRICT;
";
