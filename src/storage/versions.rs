//! Versions of a room's affiliation list at rest (XEP-0463): the latest changes, numbered.

use rusqlite::params;

use super::rooms::key;
use super::values::stored_jid;
use super::{Storage, StorageError};
use crate::xmpp::{Affiliation, BareJid};

/// The tables of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE room_version (
    room INTEGER NOT NULL REFERENCES room ON DELETE CASCADE,
    number INTEGER NOT NULL,
    jid TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    PRIMARY KEY (room, number, jid)
) STRICT, WITHOUT ROWID;
";

/// A change of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionedChange {
    /// The changes of this list up to the last one of the same request.
    pub number: u64,
    /// Account or bare domain.
    pub jid: BareJid,
    /// What it was.
    pub before: Affiliation,
    /// What it is from then on.
    pub after: Affiliation,
}

impl Storage {
    /// Adds a change to those of a stored room.
    pub fn room_version_add(
        &mut self,
        room: &BareJid,
        change: &VersionedChange,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(room);
        let (before, after) = (change.before.as_str(), change.after.as_str());
        self.write(
            "INSERT OR REPLACE INTO room_version (room, number, jid, before, after)
             SELECT id, ?3, ?4, ?5, ?6 FROM room WHERE domain = ?1 AND local = ?2",
            params![domain, local, change.number as i64, change.jid.as_str(), before, after],
        )?;
        Ok(())
    }

    /// Forgets the changes of a stored room up to this number.
    pub fn room_versions_trim(&mut self, room: &BareJid, number: u64) -> Result<(), StorageError> {
        let (domain, local) = key(room);
        self.write(
            "DELETE FROM room_version WHERE number <= ?3
             AND room = (SELECT id FROM room WHERE domain = ?1 AND local = ?2)",
            params![domain, local, number as i64],
        )?;
        Ok(())
    }

    /// The changes of a room, oldest first; `None` when it is not stored.
    pub fn room_versions(
        &mut self,
        room: &BareJid,
    ) -> Result<Option<Vec<VersionedChange>>, StorageError> {
        let sql = "SELECT id FROM room WHERE domain = ?1 AND local = ?2";
        let Some(id) = self.read_one(sql, key(room), |row| row.get::<_, i64>(0))? else {
            return Ok(None);
        };
        let rows = self.read_all(
            "SELECT number, jid, before, after FROM room_version
             WHERE room = ?1 ORDER BY number, jid",
            [id],
            |row| {
                let texts: [String; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
                Ok((row.get::<_, i64>(0)?, texts))
            },
        )?;
        let change = |(number, [jid, before, after]): (i64, [String; 3])| {
            Some(VersionedChange {
                number: u64::try_from(number).ok()?,
                jid: stored_jid(&jid)?,
                before: Affiliation::parse(&before)?,
                after: Affiliation::parse(&after)?,
            })
        };
        Ok(Some(rows.into_iter().filter_map(change).collect()))
    }

    /// An account is no more: in each stored room where it was more than an outcast the list has
    /// changed.
    pub(super) fn room_versions_of_removed(&mut self, account: &str) -> Result<(), StorageError> {
        self.write(
            "INSERT INTO room_version (room, number, jid, before, after)
             SELECT entry.room, 1 + coalesce(
                    (SELECT max(number) FROM room_version WHERE room = entry.room), 0),
                    entry.jid, entry.affiliation, 'none'
             FROM room_affiliation AS entry WHERE jid = ?1 AND affiliation <> 'outcast'",
            [account],
        )?;
        Ok(())
    }
}
