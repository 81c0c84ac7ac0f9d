//! Hats of rooms at rest (XEP-0317): those that a room has, and who wears them.

/// The tables of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE room_hat (
    room INTEGER NOT NULL REFERENCES room ON DELETE CASCADE,
    uri TEXT NOT NULL,
    title TEXT NOT NULL,
    lang TEXT,
    hue TEXT,
    PRIMARY KEY (room, uri)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_hat_worn (
    room INTEGER NOT NULL,
    uri TEXT NOT NULL,
    jid TEXT NOT NULL,
    PRIMARY KEY (room, jid, uri),
    FOREIGN KEY (room, uri) REFERENCES room_hat ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
";
