//! Persistent rooms at rest: options, subject, affiliations.
//!
//! Options are kept as the TOML text of `RoomOptions`, so that an option added later needs no
//! migration: one that is missing has its default, one that is unknown is left out, one that
//! cannot be read has its default and a line in the log. A room is never lost over an option. Name
//! and publicity have columns besides, so that a list of all rooms does not read that text.

use rusqlite::{Row, params};

use super::values::stored_jid;
use super::{AffiliationEntry, Storage, StorageError, StoredRoom, StoredSubject};
use crate::config::RoomOptions;
use crate::xmpp::{Affiliation, BareJid};

/// The index that answers for the list of public rooms alone: with `is_public` in it, since SQLite
/// would read each row to see that it is what the index says.
pub(super) const LISTED: &str = "
DROP INDEX room_public;
CREATE INDEX room_public ON room (domain, local, name, is_public) WHERE is_public;
";

impl Storage {
    /// A persistent room, whole.
    pub fn room(&mut self, room: &BareJid) -> Result<Option<StoredRoom>, StorageError> {
        let found = self.read_one(
            "SELECT id, options, secret,
                    subject_xml, subject_nick, subject_occupant_id, subject_unix_ms
             FROM room WHERE domain = ?1 AND local = ?2",
            key(room),
            |row| {
                let (id, options): (i64, String) = (row.get(0)?, row.get(1)?);
                Ok((id, options, row.get::<_, Vec<u8>>(2)?, subject(row)?))
            },
        )?;
        let Some((id, options, secret, subject)) = found else { return Ok(None) };
        let entries = self.read_all(
            "SELECT jid, affiliation, nick, reason FROM room_affiliation
             WHERE room = ?1 ORDER BY id",
            [id],
            |row| {
                let (jid, affiliation): (String, String) = (row.get(0)?, row.get(1)?);
                Ok((jid, affiliation, row.get(2)?, row.get(3)?))
            },
        )?;
        let affiliations = entries.into_iter().filter_map(|(jid, affiliation, nick, reason)| {
            let (jid, affiliation) = (stored_jid(&jid)?, Affiliation::parse(&affiliation)?);
            Some(AffiliationEntry { jid, affiliation, nick, reason })
        });
        Ok(Some(StoredRoom {
            jid: room.clone(),
            options: parse_options(room.as_str(), &options),
            secret,
            subject,
            affiliations: affiliations.collect(),
        }))
    }

    /// Stored rooms of a domain whose local parts sort after a text, `rooms_max` at most, in that
    /// order, with their names; of the public ones alone, unless `with_hidden`.
    pub fn rooms_after(
        &mut self,
        domain: &str,
        local: &str,
        with_hidden: bool,
        rooms_max: usize,
    ) -> Result<Vec<(String, String)>, StorageError> {
        // The public ones are read from the index `room_public` alone: asked often.
        let sql = if with_hidden {
            "SELECT local, name FROM room WHERE domain = ?1 AND local > ?2
             ORDER BY local LIMIT ?3"
        } else {
            "SELECT local, name FROM room WHERE domain = ?1 AND local > ?2 AND is_public
             ORDER BY local LIMIT ?3"
        };
        self.named_rooms(sql, domain, local, rooms_max)
    }

    /// The same before a text, backwards.
    pub fn rooms_before(
        &mut self,
        domain: &str,
        local: &str,
        with_hidden: bool,
        rooms_max: usize,
    ) -> Result<Vec<(String, String)>, StorageError> {
        let sql = if with_hidden {
            "SELECT local, name FROM room WHERE domain = ?1 AND local < ?2
             ORDER BY local DESC LIMIT ?3"
        } else {
            "SELECT local, name FROM room WHERE domain = ?1 AND local < ?2 AND is_public
             ORDER BY local DESC LIMIT ?3"
        };
        self.named_rooms(sql, domain, local, rooms_max)
    }

    fn named_rooms(
        &mut self,
        sql: &'static str,
        domain: &str,
        local: &str,
        rooms_max: usize,
    ) -> Result<Vec<(String, String)>, StorageError> {
        let rooms_max = i64::try_from(rooms_max).unwrap_or(i64::MAX);
        self.read_all(sql, (domain, local, rooms_max), |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// How many stored rooms of a domain have local parts that sort before a text.
    pub fn rooms_count_before(
        &mut self,
        domain: &str,
        local: &str,
        with_hidden: bool,
    ) -> Result<usize, StorageError> {
        let sql = if with_hidden {
            "SELECT count(*) FROM room WHERE domain = ?1 AND local < ?2"
        } else {
            "SELECT count(*) FROM room WHERE domain = ?1 AND local < ?2 AND is_public"
        };
        let count = self.read_one(sql, (domain, local), |row| row.get::<_, u32>(0))?;
        Ok(count.unwrap_or_default() as usize)
    }

    /// All stored rooms with their names, and whether they are public.
    pub fn rooms(&mut self) -> Result<Vec<(BareJid, String, bool)>, StorageError> {
        let rows = self.read_all(
            "SELECT local || '@' || domain, name, is_public FROM room ORDER BY domain, local",
            [],
            |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let room =
            |(jid, name, is_public): (String, _, _)| Some((stored_jid(&jid)?, name, is_public));
        Ok(rows.into_iter().filter_map(room).collect())
    }

    /// The stored rooms that an account owns alone.
    pub fn rooms_owned_alone(&mut self, account: &BareJid) -> Result<Vec<BareJid>, StorageError> {
        let texts = self.read_all(
            "SELECT local || '@' || domain FROM room
             WHERE id IN (SELECT room FROM room_affiliation
                          WHERE jid = ?1 AND affiliation = 'owner')
               AND NOT EXISTS (SELECT 1 FROM room_affiliation
                               WHERE room = room.id AND affiliation = 'owner' AND jid <> ?1)
             ORDER BY domain, local",
            [account.as_str()],
            |row| row.get::<_, String>(0),
        )?;
        Ok(texts.iter().filter_map(|text| stored_jid(text)).collect())
    }

    /// How many rooms are stored.
    pub fn rooms_count(&mut self) -> Result<usize, StorageError> {
        let count = self.read_one("SELECT count(*) FROM room", [], |row| row.get::<_, u32>(0))?;
        Ok(count.unwrap_or_default() as usize)
    }

    /// Writes a room whole (when it becomes persistent).
    pub fn room_put(&mut self, room: &StoredRoom) -> Result<(), StorageError> {
        self.room_remove(&room.jid)?;
        let (domain, local) = key(&room.jid);
        self.write(
            "INSERT INTO room (domain, local, options, name, is_public, secret)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                domain,
                local,
                options_text(&room.options),
                room.options.name,
                room.options.public,
                room.secret
            ],
        )?;
        if let Some(subject) = &room.subject {
            self.room_subject(&room.jid, subject)?;
        }
        for entry in &room.affiliations {
            self.room_affiliation(&room.jid, entry)?;
        }
        Ok(())
    }

    /// Changes the options of a stored room; `Failed` when it is not stored.
    pub fn room_options(
        &mut self,
        room: &BareJid,
        options: &RoomOptions,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(room);
        let rows = self.write(
            "UPDATE room SET options = ?3, name = ?4, is_public = ?5
             WHERE domain = ?1 AND local = ?2",
            params![domain, local, options_text(options), options.name, options.public],
        )?;
        one_row(rows)
    }

    /// Changes the subject of a stored room; `Failed` when it is not stored.
    pub fn room_subject(
        &mut self,
        room: &BareJid,
        subject: &StoredSubject,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(room);
        let StoredSubject { xml, nick, occupant_id, unix_ms } = subject;
        let rows = self.write(
            "UPDATE room SET subject_xml = ?3, subject_nick = ?4,
                    subject_occupant_id = ?5, subject_unix_ms = ?6
             WHERE domain = ?1 AND local = ?2",
            params![domain, local, xml, nick, occupant_id, unix_ms],
        )?;
        one_row(rows)
    }

    /// Sets an entry of a stored room's affiliation list; `Affiliation::None` removes it. `Failed`
    /// when the room is not stored.
    pub fn room_affiliation(
        &mut self,
        room: &BareJid,
        entry: &AffiliationEntry,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(room);
        if entry.affiliation == Affiliation::None {
            let sql = "DELETE FROM room_affiliation WHERE jid = ?3
                       AND room = (SELECT id FROM room WHERE domain = ?1 AND local = ?2)";
            self.write(sql, (domain, local, entry.jid.as_str()))?;
            return Ok(());
        }
        let rows = self.write(
            "INSERT INTO room_affiliation (room, jid, affiliation, nick, reason)
             SELECT id, ?3, ?4, ?5, ?6 FROM room WHERE domain = ?1 AND local = ?2
             ON CONFLICT (room, jid) DO UPDATE SET
                    affiliation = excluded.affiliation,
                    nick = excluded.nick,
                    reason = excluded.reason",
            params![
                domain,
                local,
                entry.jid.as_str(),
                entry.affiliation.as_str(),
                entry.nick,
                entry.reason
            ],
        )?;
        one_row(rows)
    }

    /// Removes a room with all that belongs to it; its archive is given up.
    pub fn room_remove(&mut self, room: &BareJid) -> Result<(), StorageError> {
        let rows = self.write("DELETE FROM room WHERE domain = ?1 AND local = ?2", key(room))?;
        if rows > 0 {
            self.archive_given_up();
        }
        Ok(())
    }
}

/// The key of a room's row.
pub(super) fn key(room: &BareJid) -> (&str, &str) {
    (room.domain(), room.local().unwrap_or_default())
}

/// The change of a row that is not there is a failure.
pub(super) fn one_row(rows: usize) -> Result<(), StorageError> {
    if rows == 1 { Ok(()) } else { Err(StorageError::Failed) }
}

/// Columns 3 to 6 as a subject, when one was set.
fn subject(row: &Row<'_>) -> rusqlite::Result<Option<StoredSubject>> {
    let Some(xml) = row.get(3)? else { return Ok(None) };
    Ok(Some(StoredSubject {
        xml,
        nick: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
        occupant_id: row.get(5)?,
        unix_ms: row.get::<_, Option<i64>>(6)?.unwrap_or_default(),
    }))
}

/// Options as they are stored.
fn options_text(options: &RoomOptions) -> String {
    toml::to_string(options).expect("options are a flat table of plain values")
}

/// Options as they were stored, by this server or by one that knew more or fewer of them.
fn parse_options(room: &str, text: &str) -> RoomOptions {
    if let Ok(options) = toml::from_str(text) {
        return options;
    }
    let stored: toml::Table = toml::from_str(text).unwrap_or_else(|error| {
        log::error!("storage: the options of {room} cannot be read, defaults are taken: {error}");
        toml::Table::new()
    });
    let mut readable = toml::Table::new();
    for (name, value) in stored {
        let one = toml::Table::from_iter([(name.clone(), value.clone())]);
        match one.try_into::<RoomOptions>() {
            Ok(_) => drop(readable.insert(name, value)),
            Err(_) => log::warn!("storage: option {name} of {room} is not understood, left out"),
        }
    }
    readable.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_public_rooms_reads_no_rows() {
        let mut storage = Storage::memory();
        for sql in [
            "EXPLAIN QUERY PLAN SELECT local, name FROM room
             WHERE domain = ?1 AND local > ?2 AND is_public ORDER BY local LIMIT 9",
            "EXPLAIN QUERY PLAN SELECT count(*) FROM room
             WHERE domain = ?1 AND local < ?2 AND is_public",
        ] {
            let plan = storage.read_all(sql, ("d", "l"), |row| row.get::<_, String>(3));
            let plan = plan.expect("a plan").join("; ");
            assert!(plan.contains("COVERING INDEX room_public"), "{plan}");
        }
    }

    #[test]
    fn options_of_other_versions_are_read() {
        let all = RoomOptions { name: "Tea \"time\"\n".into(), ..RoomOptions::default() };
        assert_eq!(parse_options("r", &options_text(&all)), all);
        let fewer = parse_options("r", "name = 'Tea'\nmembers_only = true\n");
        let want = RoomOptions { name: "Tea".into(), members_only: true, ..RoomOptions::default() };
        assert_eq!(fewer, want);
        let more = "from_the_future = [1]\nname = 'Tea'\nwhois = 'stars'\nmembers_only = true\n";
        assert_eq!(parse_options("r", more), want);
        assert_eq!(parse_options("r", "not toml"), RoomOptions::default());
    }
}
