//! Messages that wait for accounts that are away, at rest (XEP-0160): whole stanzas, as they will
//! be sent, in the order in which they were accepted.
//!
//! A message that is too old is found by nobody. Its row goes with one of the next messages that
//! are kept, for whomever: so rows of accounts that nobody comes back to do not pile up.

use rusqlite::params;

use super::{Storage, StorageError};
use crate::xmpp::BareJid;

/// The tables of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE offline (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    unix_ms INTEGER NOT NULL,
    sender TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    stanza BLOB NOT NULL
) STRICT;

CREATE INDEX offline_account ON offline (account, unix_ms, id, bytes);
CREATE INDEX offline_time ON offline (unix_ms);
";

/// Whether the archive of the account has a message as well.
pub(super) const ARCHIVED: &str =
    "ALTER TABLE offline ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;";

/// Old rows that are removed with one new message.
const EXPIRED_ROWS_MAX: i64 = 64;

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfflineMessage {
    /// When it was accepted, in milliseconds since 1970.
    pub unix_ms: i64,
    /// Who sent it.
    pub sender: String,
    /// The serialised stanza.
    pub xml: Vec<u8>,
    /// The account's archive has it as well.
    pub is_archived: bool,
}

/// How much may wait for one account; 0: any number.
#[derive(Clone, Copy, Debug)]
pub struct OfflineBounds {
    /// Messages.
    pub messages_max: usize,
    /// Bytes of them.
    pub bytes_max: usize,
    /// What was accepted before is gone, in milliseconds since 1970.
    pub oldest_ms: i64,
}

/// What became of a message that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfflinePut {
    /// It is kept.
    Kept,
    /// Too much waits already.
    Full,
    /// There is no such account.
    NoAccount,
}

/// The oldest messages of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfflineSlice {
    /// In the order in which they are to be sent.
    pub messages: Vec<OfflineMessage>,
    /// The place of the last of them.
    last: (i64, i64),
    /// There are others behind them.
    pub has_more: bool,
}

impl Storage {
    /// Keeps a message.
    pub fn offline_put(
        &mut self,
        account: &BareJid,
        message: &OfflineMessage,
        bounds: OfflineBounds,
    ) -> Result<OfflinePut, StorageError> {
        let found = self.read_one(
            "SELECT a.id, count(o.id), coalesce(sum(o.bytes), 0)
             FROM account a LEFT JOIN offline o ON o.account = a.id AND o.unix_ms >= ?3
             WHERE a.domain = ?1 AND a.local = ?2
             GROUP BY a.id",
            params![account.domain(), account.local().unwrap_or_default(), bounds.oldest_ms],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)),
        )?;
        let Some((id, messages, bytes)) = found else { return Ok(OfflinePut::NoAccount) };
        let is_over = |waiting: i64, more: usize, max: usize| {
            max > 0 && usize::try_from(waiting).map_or(true, |waiting| waiting + more > max)
        };
        if is_over(messages, 1, bounds.messages_max)
            || is_over(bytes, message.xml.len(), bounds.bytes_max)
        {
            return Ok(OfflinePut::Full);
        }
        self.write(
            "DELETE FROM offline WHERE id IN
                 (SELECT id FROM offline WHERE unix_ms < ?1 ORDER BY unix_ms LIMIT ?2)",
            (bounds.oldest_ms, EXPIRED_ROWS_MAX),
        )?;
        self.write(
            "INSERT INTO offline (account, unix_ms, sender, bytes, stanza, archived)
             VALUES (?1, ?2, ?3, length(?4), ?4, ?5)",
            params![id, message.unix_ms, message.sender, message.xml, message.is_archived],
        )?;
        Ok(OfflinePut::Kept)
    }

    /// The oldest messages of an account, up to so many bytes, but one at least.
    pub fn offline_slice(
        &mut self,
        account: &BareJid,
        oldest_ms: i64,
        bytes_max: usize,
    ) -> Result<OfflineSlice, StorageError> {
        self.offline_from(account, (oldest_ms, i64::MIN), bytes_max)
    }

    /// Those behind a slice that are the oldest, in the same way.
    pub fn offline_next(
        &mut self,
        account: &BareJid,
        slice: &OfflineSlice,
        bytes_max: usize,
    ) -> Result<OfflineSlice, StorageError> {
        self.offline_from(account, slice.last, bytes_max)
    }

    fn offline_from(
        &mut self,
        account: &BareJid,
        place: (i64, i64),
        bytes_max: usize,
    ) -> Result<OfflineSlice, StorageError> {
        let mut slice = OfflineSlice::default();
        let mut bytes = 0;
        let (domain, local) = (account.domain(), account.local().unwrap_or_default());
        self.read_some(
            "SELECT o.unix_ms, o.id, o.bytes, o.sender, o.stanza, o.archived
             FROM account a JOIN offline o ON o.account = a.id
             WHERE a.domain = ?1 AND a.local = ?2 AND (o.unix_ms, o.id) > (?3, ?4)
             ORDER BY o.unix_ms, o.id",
            params![domain, local, place.0, place.1],
            |row| {
                bytes += row.get::<_, i64>(2)?;
                let is_full = usize::try_from(bytes).map_or(true, |bytes| bytes > bytes_max);
                slice.has_more = is_full && !slice.messages.is_empty();
                if !slice.has_more {
                    let unix_ms = row.get(0)?;
                    slice.last = (unix_ms, row.get(1)?);
                    let (sender, xml, is_archived) = (row.get(3)?, row.get(4)?, row.get(5)?);
                    slice.messages.push(OfflineMessage { unix_ms, sender, xml, is_archived });
                }
                Ok(!slice.has_more)
            },
        )?;
        Ok(slice)
    }

    /// Removes what the account's archive has as well.
    pub fn offline_remove_archived(&mut self, account: &BareJid) -> Result<(), StorageError> {
        if self.offline_slice(account, i64::MIN, 0)?.messages.is_empty() {
            return Ok(()); // A login that changes nothing waits for no disk.
        }
        self.write(
            "DELETE FROM offline WHERE archived
             AND account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)",
            (account.domain(), account.local().unwrap_or_default()),
        )?;
        Ok(())
    }

    /// Removes what a slice holds, and what was too old to be in it.
    pub fn offline_remove(
        &mut self,
        account: &BareJid,
        slice: &OfflineSlice,
    ) -> Result<(), StorageError> {
        let (unix_ms, id) = slice.last;
        self.write(
            "DELETE FROM offline WHERE (unix_ms, id) <= (?3, ?4)
             AND account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)",
            params![account.domain(), account.local().unwrap_or_default(), unix_ms, id],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::credentials;

    const BOUNDS: OfflineBounds = OfflineBounds { messages_max: 3, bytes_max: 100, oldest_ms: 0 };

    fn juliet(storage: &mut Storage) -> BareJid {
        let juliet = BareJid::parse("juliet@localhost").expect("an address");
        assert_eq!(storage.account_create(&juliet, &credentials(1)), Ok(true));
        juliet
    }

    fn message(unix_ms: i64, xml: &str) -> OfflineMessage {
        let (sender, xml) = ("romeo@localhost/o".to_owned(), xml.into());
        OfflineMessage { unix_ms, sender, xml, is_archived: false }
    }

    fn texts(slice: &OfflineSlice) -> Vec<&str> {
        let text = |message| str::from_utf8(message).expect("written as text");
        slice.messages.iter().map(|message| text(&message.xml)).collect()
    }

    #[test]
    fn slices_in_order_each_once() {
        let mut storage = Storage::memory();
        let juliet = juliet(&mut storage);
        for (unix_ms, xml) in [(5, "<b/>"), (5, "<c/>"), (4, "<a/>")] {
            let put = storage.offline_put(&juliet, &message(unix_ms, xml), BOUNDS);
            assert_eq!(put, Ok(OfflinePut::Kept));
        }
        let slice = storage.offline_slice(&juliet, 0, 8).expect("read");
        assert_eq!((texts(&slice), slice.has_more), (vec!["<a/>", "<b/>"], true));
        let next = storage.offline_next(&juliet, &slice, 8).expect("read");
        assert_eq!((texts(&next), next.has_more), (vec!["<c/>"], false));
        storage.offline_remove(&juliet, &slice).expect("removed");
        // However little there is room for, one comes.
        let slice = storage.offline_slice(&juliet, 0, 1).expect("read");
        assert_eq!((texts(&slice), slice.has_more), (vec!["<c/>"], false));
        storage.offline_remove(&juliet, &slice).expect("removed");
        assert_eq!(storage.offline_slice(&juliet, 0, 9), Ok(OfflineSlice::default()));
    }

    #[test]
    fn only_what_is_archived_is_cleared() {
        let mut storage = Storage::memory();
        let juliet = juliet(&mut storage);
        for (unix_ms, is_archived) in [(1, true), (2, false), (3, true)] {
            let message = OfflineMessage { is_archived, ..message(unix_ms, "<a/>") };
            let put = storage.offline_put(&juliet, &message, BOUNDS);
            assert_eq!(put, Ok(OfflinePut::Kept));
        }
        storage.offline_remove_archived(&juliet).expect("removed");
        let slice = storage.offline_slice(&juliet, 0, 100).expect("read");
        assert_eq!(slice.messages, [message(2, "<a/>")]);
    }

    #[test]
    fn bounds_and_age() {
        let mut storage = Storage::memory();
        let juliet = juliet(&mut storage);
        let nobody = BareJid::parse("nobody@localhost").expect("an address");
        let mut put = |who: &BareJid, unix_ms, xml: &str, bounds| {
            storage.offline_put(who, &message(unix_ms, xml), bounds).expect("no fault")
        };
        assert_eq!(put(&nobody, 1, "<a/>", BOUNDS), OfflinePut::NoAccount);
        assert_eq!(put(&juliet, 1, &"x".repeat(101), BOUNDS), OfflinePut::Full);
        for unix_ms in 1..=3 {
            assert_eq!(put(&juliet, unix_ms, "<a/>", BOUNDS), OfflinePut::Kept);
        }
        assert_eq!(put(&juliet, 4, "<a/>", BOUNDS), OfflinePut::Full);
        // What is too old does not count, and goes.
        let later = OfflineBounds { oldest_ms: 3, ..BOUNDS };
        assert_eq!(put(&juliet, 4, "<b/>", later), OfflinePut::Kept);
        let count = "SELECT count(*) FROM offline";
        assert_eq!(storage.read_one(count, [], |row| row.get::<_, u32>(0)), Ok(Some(2)));
        let slice = storage.offline_slice(&juliet, 4, 100).expect("read");
        assert_eq!(texts(&slice), ["<b/>"]);
        storage.offline_put(&juliet, &message(5, "<c/>"), BOUNDS).expect("no fault");
        storage.account_remove(&juliet).expect("removed");
        assert_eq!(storage.read_one(count, [], |row| row.get::<_, u32>(0)), Ok(Some(0)));
    }
}
