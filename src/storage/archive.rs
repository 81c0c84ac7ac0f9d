//! Archives of rooms at rest (XEP-0313): one row per message, in the order of their numbers.
//!
//! What a filter looks at stands in one index, so that a search reads messages only where it
//! finds some. How much an archive holds is counted as it changes, never by looking. It is kept
//! within its bounds by every write (`waste`). A row that is too old is found by nobody even while
//! it waits for its removal. Numbers are never given twice, nor shown: what clients see are the
//! unpredictable ids that came with the messages.
//!
//! A room has one archive. When the room goes, or begins anew, its archive belongs to nobody and
//! is found by nobody; its messages are removed little by little. So with the address of whoever
//! has lost its account: what it said is nobody's at once.

mod waste;

#[cfg(test)]
mod tests;

use rusqlite::{Row, params};

use super::rooms::{key, one_row};
use super::{Storage, StorageError};
use crate::xmpp::{Affiliation, BareJid, Jid, Role};

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

/// The archive of the room with parameters 1 and 2.
macro_rules! archive_of {
    () => {
        "(SELECT archive.id FROM room JOIN archive ON archive.room = room.id
          WHERE domain = ?1 AND local = ?2)"
    };
}

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

use archive_of;

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

/// A message in the archive of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedMessage {
    /// Its id: the stanza id that occupants saw.
    pub uid: String,
    /// When it was sent to all, in milliseconds since 1970.
    pub unix_ms: i64,
    /// The nick of who sent it; empty for the room itself.
    pub nick: String,
    /// Who sent it; `None` for the room itself, and for an account that is gone.
    pub author: Option<ArchivedAuthor>,
    /// It is part of the history that newcomers get.
    pub is_replayed: bool,
    /// The serialised stanza, without `to`.
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
    /// Only of this nick.
    pub nick: Option<String>,
    /// Only of this bare address.
    pub account: Option<String>,
    /// Only of this resource of that address.
    pub resource: Option<String>,
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
             WHERE archive = ",
            archive_of!(),
            " AND id > ?3 AND id < ?4 AND unix_ms >= ?5 AND unix_ms <= ?6
              AND (?7 IS NULL OR nick = ?7)
              AND (?8 IS NULL OR account = ?8
                   AND id > ifnull((SELECT last FROM archive_former WHERE account = ?8), 0))
              AND (?9 IS NULL OR resource = ?9)
              AND (?10 IS NULL OR id IN (SELECT value FROM json_each(?10)))
              AND is_replayed >= ?11 ",
            $tail
        )
    };
}

/// The parameters of [`matching`], and those that follow them.
macro_rules! matching_params {
    ($room:expr, $filter:expr $(, $more:expr)*) => {
        params![
            key($room).0,
            key($room).1,
            $filter.after,
            $filter.before,
            $filter.start_ms,
            $filter.end_ms,
            $filter.nick,
            $filter.account,
            $filter.resource,
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
        room: &BareJid,
        message: &ArchivedMessage,
        keep: Retention,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(room);
        let rows = self.write(
            "INSERT INTO archive (room, messages, bytes)
             SELECT id, 1, ?3 FROM room WHERE domain = ?1 AND local = ?2
             ON CONFLICT (room) DO UPDATE SET
                    messages = messages + excluded.messages,
                    bytes = bytes + excluded.bytes",
            params![domain, local, message.xml.len() as i64],
        )?;
        one_row(rows)?;
        let author = message.author.as_ref();
        self.write(
            concat!(
                "INSERT INTO archive_message (archive, uid, unix_ms, nick, account, resource,
                                              affiliation, role, occupant_id, is_replayed, message)
                 VALUES (",
                archive_of!(),
                ", ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
            ),
            params![
                domain,
                local,
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
        self.archive_trim(room, keep)
    }

    /// How much an archive holds, what is too old and not yet removed included.
    pub fn archive_total(&mut self, room: &BareJid) -> Result<ArchiveTotal, StorageError> {
        let total = self.read_one(
            "SELECT messages, bytes, (SELECT unix_ms FROM archive_message
                                      WHERE archive = archive.id ORDER BY id LIMIT 1)
             FROM room JOIN archive ON archive.room = room.id
             WHERE domain = ?1 AND local = ?2",
            key(room),
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
        room: &BareJid,
        messages: i64,
        bytes: i64,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(room);
        self.write(
            concat!(
                "UPDATE archive SET messages = messages + ?3, bytes = bytes + ?4 WHERE id = ",
                archive_of!()
            ),
            params![domain, local, messages, bytes],
        )?;
        Ok(())
    }

    /// The place of a message in the archive; `None` when it is not there, or too old.
    pub fn archive_place(
        &mut self,
        room: &BareJid,
        uid: &str,
        oldest_ms: i64,
    ) -> Result<Option<i64>, StorageError> {
        let (domain, local) = key(room);
        self.read_one(
            concat!(
                "SELECT id FROM archive_message WHERE archive = ",
                archive_of!(),
                " AND uid = ?3 AND unix_ms >= ?4"
            ),
            params![domain, local, uid, oldest_ms],
            |row| row.get(0),
        )
    }

    /// The message with an id; `None` when it is not there, or too old.
    pub fn archive_message(
        &mut self,
        room: &BareJid,
        uid: &str,
        oldest_ms: i64,
    ) -> Result<Option<ArchivedMessage>, StorageError> {
        let (domain, local) = key(room);
        self.read_one(
            concat!(
                columns!(),
                " FROM archive_message WHERE archive = ",
                archive_of!(),
                " AND uid = ?3 AND unix_ms >= ?4"
            ),
            params![domain, local, uid, oldest_ms],
            archived,
        )
    }

    /// A page of what matches, in the order of the archive.
    pub fn archive_page(
        &mut self,
        room: &BareJid,
        filter: &ArchiveFilter,
        slice: ArchiveSlice,
    ) -> Result<ArchivePage, StorageError> {
        let sql = if slice.from_end { PAGE_BACKWARD } else { PAGE_FORWARD };
        let mut page = ArchivePage::default();
        let mut bytes = 0;
        self.read_some(
            sql,
            matching_params!(
                room,
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
        room: &BareJid,
        filter: &ArchiveFilter,
    ) -> Result<usize, StorageError> {
        let params = matching_params!(room, filter);
        let count = self.read_one(COUNT, params, |row| row.get::<_, i64>(0))?;
        Ok(usize::try_from(count.unwrap_or_default()).unwrap_or_default())
    }

    /// Replaces the stanza of an archived message: its id, time and sender stay (§3.2).
    pub fn archive_replace(
        &mut self,
        room: &BareJid,
        message: &ArchivedMessage,
        xml: &[u8],
    ) -> Result<(), StorageError> {
        let (domain, local) = key(room);
        let rows = self.write(
            concat!(
                "UPDATE archive_message SET message = ?4 WHERE archive = ",
                archive_of!(),
                " AND uid = ?3"
            ),
            params![domain, local, message.uid, xml],
        )?;
        one_row(rows)?;
        self.archive_count_in(room, 0, xml.len() as i64 - message.xml.len() as i64)
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
