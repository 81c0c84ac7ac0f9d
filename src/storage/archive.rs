//! Archives of rooms and of accounts at rest (XEP-0313): one row per message, in the order of their
//! numbers.
//!
//! What a filter looks at stands in one index, so that a search reads messages only where it
//! finds some. How much an archive holds is counted as it changes, never by looking. It is kept
//! within its bounds by every write (`waste`). A row that is too old is found by nobody even while
//! it waits for its removal. Numbers are never given twice, nor shown: what clients see are the
//! unpredictable ids that came with the messages.
//!
//! A room has one archive, and so has an account; what is of accounts alone is in `chats`. When its
//! owner goes, or begins anew, an archive belongs to nobody and is found by nobody; its messages
//! are removed little by little. So with the address of whoever has lost its account: what it said
//! in rooms is nobody's at once.

mod owner;
mod waste;

#[cfg(test)]
pub(super) mod tests;

use rusqlite::{Row, params};

use super::rooms::one_row;
use super::{Storage, StorageError};
use crate::xmpp::{Affiliation, Jid, Role};

pub use owner::ArchiveOwner;
pub(super) use waste::Waste;

/// The tables of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE archive (
    id INTEGER PRIMARY KEY,
    room INTEGER UNIQUE REFERENCES room ON DELETE SET NULL,
    messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;

CREATE TABLE archive_message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    archive INTEGER NOT NULL REFERENCES archive,
    uid TEXT NOT NULL,
    unix_ms INTEGER NOT NULL,
    nick TEXT NOT NULL,
    account TEXT,
    resource TEXT,
    affiliation TEXT,
    role TEXT,
    occupant_id TEXT,
    is_replayed INTEGER NOT NULL,
    message BLOB NOT NULL,
    UNIQUE (archive, uid)
) STRICT;

CREATE INDEX archive_message_found
    ON archive_message (archive, id, unix_ms, account, nick, is_replayed);

-- Accounts that are gone: what their addresses have said up to this number is nobody's.
CREATE TABLE archive_former (
    account TEXT PRIMARY KEY,
    last INTEGER NOT NULL,
    swept INTEGER NOT NULL
) STRICT;
";

/// The columns of [`archived`]: the address of an account that is gone is none.
macro_rules! columns {
    () => {
        "SELECT uid, unix_ms, nick,
                CASE WHEN id <= (SELECT last FROM archive_former AS former
                                 WHERE former.account = archive_message.account)
                     THEN NULL ELSE account END,
                resource, affiliation, role, occupant_id, is_replayed, message"
    };
}

/// Who sent an archived message, as it was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedAuthor {
    /// The real full address.
    pub jid: Jid,
    /// Its affiliation.
    pub affiliation: Affiliation,
    /// Its role.
    pub role: Role,
    /// Its occupant id.
    pub occupant_id: String,
}

/// A message in an archive. What is not of rooms alone is the same in an account's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedMessage {
    /// Its id: the stanza id that occupants saw.
    pub uid: String,
    /// When it was sent to all, in milliseconds since 1970.
    pub unix_ms: i64,
    /// The nick of who sent it; empty for the room itself. In the archive of an account the bare
    /// address of the other side.
    pub nick: String,
    /// Who sent it to the room; `None` for the room itself, and for an account that is gone.
    pub author: Option<ArchivedAuthor>,
    /// It is part of the history that newcomers get.
    pub is_replayed: bool,
    /// The serialised stanza; of a room without `to`.
    pub xml: Vec<u8>,
}

/// What an archive keeps at most.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Messages; 0: any number.
    pub messages_max: usize,
    /// Bytes of messages; 0: any number.
    pub bytes_max: u64,
    /// What was sent before is gone, in milliseconds since 1970.
    pub oldest_ms: i64,
}

/// How much an archive holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveTotal {
    /// Messages.
    pub messages: i64,
    /// Bytes of their stanzas.
    pub bytes: i64,
    /// When the oldest message was sent.
    pub oldest_ms: Option<i64>,
}

/// Which messages are asked for. Places are those of [`Storage::archive_place`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFilter {
    /// Only what follows this place.
    pub after: i64,
    /// Only what precedes this place.
    pub before: i64,
    /// Only from this time on.
    pub start_ms: i64,
    /// Only up to this time.
    pub end_ms: i64,
    /// Only of this nick; of an account, only with this bare address.
    pub nick: Option<String>,
    /// Only of this bare address.
    pub account: Option<String>,
    /// Only of this resource of that address.
    pub resource: Option<String>,
    /// Besides those, what this resource of the owner has sent and was sent.
    pub own_resource: Option<String>,
    /// Only at these places.
    pub places: Option<Vec<i64>>,
    /// Only what newcomers get.
    pub replayed_only: bool,
}

impl Default for ArchiveFilter {
    fn default() -> Self {
        Self {
            after: i64::MIN,
            before: i64::MAX,
            start_ms: i64::MIN,
            end_ms: i64::MAX,
            nick: None,
            account: None,
            resource: None,
            own_resource: None,
            places: None,
            replayed_only: false,
        }
    }
}

/// From which end of what matches a page is taken, and how much it may hold.
#[derive(Clone, Copy, Debug)]
pub struct ArchiveSlice {
    /// The latest ones instead of the earliest.
    pub from_end: bool,
    /// So many are passed over.
    pub skipped: usize,
    /// Messages at most.
    pub messages_max: usize,
    /// Bytes after which none is added, at most; one message is given in any case.
    pub bytes_max: usize,
}

/// A page of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchivePage {
    /// In the order of the archive.
    pub messages: Vec<ArchivedMessage>,
    /// There are more in the direction of reading.
    pub has_more: bool,
}

/// The condition that a filter makes, parameters 1 to 11.
macro_rules! matching {
    ($head:expr, $tail:literal) => {
        concat!(
            $head,
            " FROM archive_message INDEXED BY archive_message_found
             WHERE archive = ?1
              AND id > ?2 AND id < ?3 AND unix_ms >= ?4 AND unix_ms <= ?5
              AND ((?6 IS NULL OR nick = ?6)
                   AND (?7 IS NULL OR account = ?7
                        AND id > ifnull((SELECT last FROM archive_former WHERE account = ?7), 0))
                   AND (?8 IS NULL OR resource = ?8)
                   OR own_resource = ?9)
              AND (?10 IS NULL OR id IN (SELECT value FROM json_each(?10)))
              AND is_replayed >= ?11 ",
            $tail
        )
    };
}

/// The parameters of [`matching`], and those that follow them.
macro_rules! matching_params {
    ($archive:expr, $filter:expr $(, $more:expr)*) => {
        params![
            $archive,
            $filter.after,
            $filter.before,
            $filter.start_ms,
            $filter.end_ms,
            $filter.nick,
            $filter.account,
            $filter.resource,
            $filter.own_resource,
            $filter.places.as_deref().map(json),
            $filter.replayed_only
            $(, $more)*
        ]
    };
}

/// A page, parameters 12 and 13 its limit and offset.
macro_rules! page {
    ($order:literal) => {
        matching!(columns!(), $order)
    };
}

const PAGE_FORWARD: &str = page!("ORDER BY id LIMIT ?12 OFFSET ?13");
const PAGE_BACKWARD: &str = page!("ORDER BY id DESC LIMIT ?12 OFFSET ?13");
const COUNT: &str = matching!("SELECT count(*)", "");

impl Storage {
    /// Adds a message to the archive of a stored room, and keeps the archive within its bounds.
    /// `Failed` when the room is not stored.
    pub fn archive_add(
        &mut self,
        room: ArchiveOwner<'_>,
        message: &ArchivedMessage,
        keep: Retention,
    ) -> Result<(), StorageError> {
        let archive = self.archive_open(room)?.ok_or(StorageError::Failed)?;
        let author = message.author.as_ref();
        self.write(
            "INSERT INTO archive_message (archive, uid, unix_ms, nick, account, resource,
                                          affiliation, role, occupant_id, is_replayed, message)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                archive,
                message.uid,
                message.unix_ms,
                message.nick,
                author.map(|author| author.jid.bare_str()),
                author.and_then(|author| author.jid.resource()),
                author.map(|author| author.affiliation.as_str()),
                author.map(|author| author.role.as_str()),
                author.map(|author| &author.occupant_id),
                message.is_replayed,
                message.xml
            ],
        )?;
        self.archive_added(archive, message.xml.len(), keep)
    }

    /// How much an archive holds, what is too old and not yet removed included.
    pub fn archive_total(&mut self, owner: ArchiveOwner<'_>) -> Result<ArchiveTotal, StorageError> {
        match self.archive_of(owner)? {
            Some(archive) => self.archive_total_in(archive),
            None => Ok(ArchiveTotal::default()),
        }
    }

    fn archive_total_in(&mut self, archive: i64) -> Result<ArchiveTotal, StorageError> {
        let total = self.read_one(
            "SELECT messages, bytes, (SELECT unix_ms FROM archive_message
                                      WHERE archive = archive.id ORDER BY id LIMIT 1)
             FROM archive WHERE id = ?1",
            [archive],
            |row| {
                let (messages, bytes, oldest_ms) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(ArchiveTotal { messages, bytes, oldest_ms })
            },
        )?;
        Ok(total.unwrap_or_default())
    }

    /// Counts what an archive holds more, or less.
    fn archive_count_in(
        &mut self,
        archive: i64,
        messages: i64,
        bytes: i64,
    ) -> Result<(), StorageError> {
        self.write(
            "UPDATE archive SET messages = messages + ?2, bytes = bytes + ?3 WHERE id = ?1",
            (archive, messages, bytes),
        )?;
        Ok(())
    }

    /// The place of a message in the archive; `None` when it is not there, or too old.
    pub fn archive_place(
        &mut self,
        owner: ArchiveOwner<'_>,
        uid: &str,
        oldest_ms: i64,
    ) -> Result<Option<i64>, StorageError> {
        let archive = self.archive_of(owner)?;
        self.read_one(
            "SELECT id FROM archive_message WHERE archive = ?1 AND uid = ?2 AND unix_ms >= ?3",
            (archive, uid, oldest_ms),
            |row| row.get(0),
        )
    }

    /// The message with an id; `None` when it is not there, or too old.
    pub fn archive_message(
        &mut self,
        owner: ArchiveOwner<'_>,
        uid: &str,
        oldest_ms: i64,
    ) -> Result<Option<ArchivedMessage>, StorageError> {
        let archive = self.archive_of(owner)?;
        self.read_one(
            concat!(
                columns!(),
                " FROM archive_message WHERE archive = ?1 AND uid = ?2 AND unix_ms >= ?3"
            ),
            (archive, uid, oldest_ms),
            archived,
        )
    }

    /// A page of what matches, in the order of the archive.
    pub fn archive_page(
        &mut self,
        owner: ArchiveOwner<'_>,
        filter: &ArchiveFilter,
        slice: ArchiveSlice,
    ) -> Result<ArchivePage, StorageError> {
        let archive = self.archive_of(owner)?;
        let sql = if slice.from_end { PAGE_BACKWARD } else { PAGE_FORWARD };
        let mut page = ArchivePage::default();
        let mut bytes = 0;
        self.read_some(
            sql,
            matching_params!(
                archive,
                filter,
                number(slice.messages_max.saturating_add(1)),
                number(slice.skipped)
            ),
            |row| {
                let is_full = page.messages.len() >= slice.messages_max || {
                    bytes += row.get_ref(9)?.as_blob().map_or(0, <[u8]>::len);
                    bytes > slice.bytes_max && !page.messages.is_empty()
                };
                if is_full {
                    page.has_more = true;
                } else {
                    page.messages.push(archived(row)?);
                }
                Ok(!is_full)
            },
        )?;
        if slice.from_end {
            page.messages.reverse();
        }
        Ok(page)
    }

    /// How many messages match.
    pub fn archive_count(
        &mut self,
        owner: ArchiveOwner<'_>,
        filter: &ArchiveFilter,
    ) -> Result<usize, StorageError> {
        let archive = self.archive_of(owner)?;
        let params = matching_params!(archive, filter);
        let count = self.read_one(COUNT, params, |row| row.get::<_, i64>(0))?;
        Ok(usize::try_from(count.unwrap_or_default()).unwrap_or_default())
    }

    /// Replaces the stanza of an archived message: its id, time and sender stay (§3.2).
    pub fn archive_replace(
        &mut self,
        owner: ArchiveOwner<'_>,
        message: &ArchivedMessage,
        xml: &[u8],
    ) -> Result<(), StorageError> {
        let archive = self.archive_of(owner)?.ok_or(StorageError::Failed)?;
        let rows = self.write(
            "UPDATE archive_message SET message = ?3 WHERE archive = ?1 AND uid = ?2",
            (archive, &message.uid, xml),
        )?;
        one_row(rows)?;
        self.archive_count_in(archive, 0, xml.len() as i64 - message.xml.len() as i64)
    }
}

/// Numbers as SQLite knows them.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A list of numbers as one parameter.
fn json(places: &[i64]) -> String {
    let numbers: Vec<_> = places.iter().map(i64::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// A row of a page.
fn archived(row: &Row<'_>) -> rusqlite::Result<ArchivedMessage> {
    let text = |column| row.get::<_, Option<String>>(column);
    let author = match (text(3)?, text(4)?, text(5)?, text(6)?, text(7)?) {
        (Some(account), resource, Some(affiliation), Some(role), Some(occupant_id)) => {
            let jid = match resource {
                Some(resource) => Jid::parse(&format!("{account}/{resource}")),
                None => Jid::parse(&account),
            };
            let parsed = (jid, Affiliation::parse(&affiliation), Role::parse(&role));
            match parsed {
                (Ok(jid), Some(affiliation), Some(role)) => {
                    Some(ArchivedAuthor { jid, affiliation, role, occupant_id })
                }
                _ => None,
            }
        }
        _ => None,
    };
    Ok(ArchivedMessage {
        uid: row.get(0)?,
        unix_ms: row.get(1)?,
        nick: row.get(2)?,
        author,
        is_replayed: row.get(8)?,
        xml: row.get(9)?,
    })
}
