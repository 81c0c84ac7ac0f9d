//! What leaves archives: what is over their bounds, what has lost its owner, and the addresses of
//! accounts that are gone.
//!
//! Of an archive that is over its bounds the oldest rows go, a bounded number with each write, and
//! never one from the middle (§3.2). A room may end with 100,000 messages, and an account may have
//! said as many: to remove them at once would stop the server for seconds. So they are given up in
//! a single row, from when on nobody finds them, and [`Storage::sweep`] removes them in slices.

use super::{ArchiveOwner, ArchiveTotal, Retention, number};
use crate::storage::{Storage, StorageError};
use crate::xmpp::BareJid;

/// Rows that one write, or one slice, removes at most. Whatever a message adds in bytes, so many
/// rows take away.
pub(super) const REMOVED_ROWS_MAX: usize = 500;
/// Bytes of messages after which a slice ends.
pub(super) const SLICE_BYTES_MAX: i64 = 1_048_576;

/// Whether there may be something to sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Waste {
    /// Nothing has been given up since the last look.
    None,
    /// There may be something.
    Some,
}

impl Retention {
    /// True when the oldest row has to go.
    fn is_over(&self, total: ArchiveTotal) -> bool {
        let over = |max: u64, count: i64| max > 0 && count > i64::try_from(max).unwrap_or(i64::MAX);
        total.oldest_ms.is_some_and(|oldest_ms| {
            oldest_ms < self.oldest_ms
                || over(self.messages_max as u64, total.messages)
                || over(self.bytes_max, total.bytes)
        })
    }
}

impl Storage {
    /// Removes the oldest messages of an archive that is over its bounds, a bounded number.
    pub fn archive_trim(
        &mut self,
        owner: ArchiveOwner<'_>,
        keep: Retention,
    ) -> Result<(), StorageError> {
        match self.archive_of(owner)? {
            Some(archive) => self.archive_trim_in(archive, keep),
            None => Ok(()),
        }
    }

    pub(super) fn archive_trim_in(
        &mut self,
        archive: i64,
        keep: Retention,
    ) -> Result<(), StorageError> {
        let total = self.archive_total_in(archive)?;
        if !keep.is_over(total) {
            return Ok(());
        }
        let (mut left, mut last) = (total, None);
        self.read_some(
            "SELECT id, unix_ms, length(message) FROM archive_message WHERE archive = ?1
             ORDER BY id LIMIT ?2",
            (archive, number(REMOVED_ROWS_MAX)),
            |row| {
                left.oldest_ms = Some(row.get(1)?);
                let is_over = keep.is_over(left);
                if is_over {
                    last = Some(row.get::<_, i64>(0)?);
                    left.messages -= 1;
                    left.bytes -= row.get::<_, i64>(2)?;
                }
                Ok(is_over)
            },
        )?;
        let Some(last) = last else { return Ok(()) };
        let sql = "DELETE FROM archive_message WHERE archive = ?1 AND id <= ?2";
        self.write(sql, (archive, last))?;
        self.archive_count_in(archive, left.messages - total.messages, left.bytes - total.bytes)
    }

    /// Gives up an archive: it begins anew.
    pub fn archive_clear(&mut self, owner: ArchiveOwner<'_>) -> Result<(), StorageError> {
        let archive = self.archive_of(owner)?;
        self.write("UPDATE archive SET room = NULL, account = NULL WHERE id = ?1", [archive])?;
        self.archive_given_up();
        Ok(())
    }

    /// An archive has lost its owner: the database sees to that when the room or account goes.
    pub(in crate::storage) fn archive_given_up(&mut self) {
        self.waste = Waste::Some;
    }

    /// An account is gone: whoever gets its address has said nothing yet.
    pub(in crate::storage) fn archives_forget(
        &mut self,
        account: &BareJid,
    ) -> Result<(), StorageError> {
        self.write(
            "INSERT INTO archive_former (account, last, swept)
             SELECT ?1, id, 0 FROM archive_message WHERE true ORDER BY id DESC LIMIT 1
             ON CONFLICT (account) DO UPDATE SET last = excluded.last",
            [account.as_str()],
        )?;
        self.waste = Waste::Some;
        Ok(())
    }

    /// True when [`Self::sweep`] should be called some time soon.
    pub fn has_waste(&self) -> bool {
        self.waste == Waste::Some
    }

    /// Finds out, at the start, whether there is anything.
    pub(in crate::storage) fn look_for_waste(&mut self) -> Result<(), StorageError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM archive WHERE room IS NULL AND account IS NULL)
                       OR EXISTS (SELECT 1 FROM archive_former)";
        let is_there = self.read_one(sql, [], |row| row.get(0))?.unwrap_or_default();
        self.waste = if is_there { Waste::Some } else { Waste::None };
        Ok(())
    }

    /// Removes a slice of what was given up.
    pub fn sweep(&mut self) -> Result<(), StorageError> {
        let sql = "SELECT id FROM archive WHERE room IS NULL AND account IS NULL LIMIT 1";
        if let Some(archive) = self.read_one(sql, [], |row| row.get(0))? {
            return self.sweep_archive(archive);
        }
        let sql = "SELECT account, last, swept FROM archive_former LIMIT 1";
        let former = self.read_one(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        if let Some((account, last, swept)) = former {
            return self.sweep_account(account, last, swept);
        }
        self.waste = Waste::None;
        Ok(())
    }

    /// The oldest messages of an archive without an owner, and the archive with the last of them.
    fn sweep_archive(&mut self, archive: i64) -> Result<(), StorageError> {
        let (mut last, mut rows, mut bytes) = (0, 0, 0);
        self.read_some(
            "SELECT id, length(message) FROM archive_message WHERE archive = ?1 ORDER BY id",
            [archive],
            |row| {
                last = row.get(0)?;
                rows += 1;
                bytes += row.get::<_, i64>(1)?;
                Ok(rows < REMOVED_ROWS_MAX && bytes < SLICE_BYTES_MAX)
            },
        )?;
        let sql = "DELETE FROM archive_message WHERE archive = ?1 AND id <= ?2";
        self.write(sql, (archive, last))?;
        let sql = "DELETE FROM archive WHERE id = ?1
                   AND NOT EXISTS (SELECT 1 FROM archive_message WHERE archive = ?1)";
        self.write(sql, [archive])?;
        Ok(())
    }

    /// The address of an account that is gone, in the next messages of all archives.
    fn sweep_account(
        &mut self,
        account: String,
        last: i64,
        swept: i64,
    ) -> Result<(), StorageError> {
        let next = self.read_one(
            "SELECT max(id) FROM (SELECT id FROM archive_message
                                  WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
            (swept, last, number(REMOVED_ROWS_MAX)),
            |row| row.get::<_, Option<i64>>(0),
        )?;
        let Some(next) = next.flatten() else {
            self.write("DELETE FROM archive_former WHERE account = ?1", [account])?;
            return Ok(());
        };
        self.write(
            "UPDATE archive_message SET account = NULL, resource = NULL
             WHERE id > ?2 AND id <= ?3 AND account = ?1",
            (&account, swept, next),
        )?;
        let sql = "UPDATE archive_former SET swept = ?2 WHERE account = ?1";
        self.write(sql, (account, next))?;
        Ok(())
    }
}
