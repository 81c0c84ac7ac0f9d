//! Whose an archive is, and where in the tables it is.

use super::Retention;
use crate::storage::rooms::key;
use crate::storage::{Storage, StorageError};
use crate::xmpp::BareJid;

/// Whose an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveOwner<'a> {
    /// A stored room.
    Room(&'a BareJid),
    /// An account.
    Account(&'a BareJid),
}

impl Storage {
    /// The archive of an owner; `None` when there is no such owner, or nothing was kept yet.
    pub(super) fn archive_of(
        &mut self,
        owner: ArchiveOwner<'_>,
    ) -> Result<Option<i64>, StorageError> {
        let (sql, owner) = match owner {
            ArchiveOwner::Room(room) => (
                "SELECT archive.id FROM room JOIN archive ON archive.room = room.id
                 WHERE domain = ?1 AND local = ?2",
                room,
            ),
            ArchiveOwner::Account(account) => (
                "SELECT archive.id FROM account JOIN archive ON archive.account = account.id
                 WHERE domain = ?1 AND local = ?2",
                account,
            ),
        };
        self.read_one(sql, key(owner), |row| row.get(0))
    }

    /// The archive of an owner, made when it is the first time; `None` when there is no such owner.
    pub(in crate::storage) fn archive_open(
        &mut self,
        owner: ArchiveOwner<'_>,
    ) -> Result<Option<i64>, StorageError> {
        if let Some(archive) = self.archive_of(owner)? {
            return Ok(Some(archive));
        }
        let (sql, jid) = match owner {
            ArchiveOwner::Room(room) => (
                "INSERT INTO archive (room, messages, bytes)
                 SELECT id, 0, 0 FROM room WHERE domain = ?1 AND local = ?2",
                room,
            ),
            ArchiveOwner::Account(account) => (
                "INSERT INTO archive (account, messages, bytes)
                 SELECT id, 0, 0 FROM account WHERE domain = ?1 AND local = ?2",
                account,
            ),
        };
        match self.write(sql, key(jid))? {
            0 => Ok(None),
            _ => self.archive_of(owner),
        }
    }

    /// A message of so many bytes was added: counts it, and keeps the archive within its bounds.
    pub(in crate::storage) fn archive_added(
        &mut self,
        archive: i64,
        bytes: usize,
        keep: Retention,
    ) -> Result<(), StorageError> {
        self.archive_count_in(archive, 1, i64::try_from(bytes).unwrap_or(i64::MAX))?;
        self.archive_trim_in(archive, keep)
    }
}
