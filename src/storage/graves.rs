//! Destroyed rooms that are remembered (XEP-0045 §10.9): for a while nobody but those who owned
//! them takes their names. What has expired is not there any more for whoever asks; it is removed
//! with the next burial, and so are the oldest when there are too many: first of those that one
//! account has destroyed, so that nobody alone makes the room of another forgotten.

use super::values::stored_jid;
use super::{Storage, StorageError};
use crate::xmpp::BareJid;

/// The tables of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE room_grave (
    domain TEXT NOT NULL,
    local TEXT NOT NULL,
    until_unix_ms INTEGER NOT NULL,
    venue TEXT,
    reason TEXT,
    PRIMARY KEY (domain, local)
) STRICT, WITHOUT ROWID;

CREATE INDEX room_grave_until ON room_grave (until_unix_ms);

CREATE TABLE room_grave_owner (
    domain TEXT NOT NULL,
    local TEXT NOT NULL,
    jid TEXT NOT NULL,
    PRIMARY KEY (domain, local, jid),
    FOREIGN KEY (domain, local) REFERENCES room_grave ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX room_grave_owner_jid ON room_grave_owner (jid);
";

/// Who destroyed the room, of those who have but a share.
pub(super) const BY_WHOM: &str = "
ALTER TABLE room_grave ADD COLUMN destroyer TEXT;
CREATE INDEX room_grave_destroyer ON room_grave (destroyer, until_unix_ms);
";

/// Destroyed rooms that are remembered.
const GRAVES_MAX: usize = 10_000;
/// Of these, those that one account has destroyed.
const GRAVES_OF_ACCOUNT_MAX: usize = 100;
/// Owners that are remembered of each.
const GRAVE_OWNERS_MAX: usize = 20;

/// A destroyed room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grave {
    /// Its address.
    pub room: BareJid,
    /// How long it is remembered, in milliseconds since 1970.
    pub until_unix_ms: i64,
    /// Where people meet now, if that was said.
    pub venue: Option<BareJid>,
    /// Why, if that was said.
    pub reason: Option<String>,
    /// Who owned it: some of them when there were very many.
    pub owners: Vec<BareJid>,
}

impl Storage {
    /// The grave of a room, unless its time is over.
    pub fn grave(
        &mut self,
        room: &BareJid,
        now_unix_ms: i64,
    ) -> Result<Option<Grave>, StorageError> {
        let (domain, local) = super::rooms::key(room);
        let found = self.read_one(
            "SELECT until_unix_ms, venue, reason FROM room_grave
             WHERE domain = ?1 AND local = ?2 AND until_unix_ms > ?3",
            (domain, local, now_unix_ms),
            |row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?, row.get(2)?)),
        )?;
        let Some((until_unix_ms, venue, reason)) = found else { return Ok(None) };
        let owners = self.read_all(
            "SELECT jid FROM room_grave_owner WHERE domain = ?1 AND local = ?2 ORDER BY jid",
            (domain, local),
            |row| row.get::<_, String>(0),
        )?;
        Ok(Some(Grave {
            room: room.clone(),
            until_unix_ms,
            venue: venue.as_deref().and_then(stored_jid),
            reason,
            owners: owners.iter().filter_map(|jid| stored_jid(jid)).collect(),
        }))
    }

    /// Remembers a destroyed room, and forgets those whose time is over. It is of the share of
    /// `destroyer`, if there is one.
    pub fn grave_put(
        &mut self,
        grave: &Grave,
        destroyer: Option<&BareJid>,
        now_unix_ms: i64,
    ) -> Result<(), StorageError> {
        self.grave_remove(&grave.room)?;
        self.write("DELETE FROM room_grave WHERE until_unix_ms <= ?1", [now_unix_ms])?;
        let destroyer = destroyer.map(BareJid::as_str);
        if let Some(destroyer) = destroyer {
            self.write(
                "DELETE FROM room_grave WHERE (domain, local) IN
                    (SELECT domain, local FROM room_grave WHERE destroyer = ?1
                     ORDER BY until_unix_ms DESC LIMIT -1 OFFSET ?2)",
                (destroyer, GRAVES_OF_ACCOUNT_MAX as i64 - 1),
            )?;
        }
        self.write(
            "DELETE FROM room_grave WHERE (domain, local) IN
                (SELECT domain, local FROM room_grave
                 ORDER BY until_unix_ms DESC LIMIT -1 OFFSET ?1)",
            [GRAVES_MAX as i64 - 1],
        )?;
        let (domain, local) = super::rooms::key(&grave.room);
        let venue = grave.venue.as_ref().map(BareJid::as_str);
        self.write(
            "INSERT INTO room_grave (domain, local, until_unix_ms, venue, reason, destroyer)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (domain, local, grave.until_unix_ms, venue, &grave.reason, destroyer),
        )?;
        for owner in grave.owners.iter().take(GRAVE_OWNERS_MAX) {
            self.write(
                "INSERT OR IGNORE INTO room_grave_owner (domain, local, jid) VALUES (?1, ?2, ?3)",
                (domain, local, owner.as_str()),
            )?;
        }
        Ok(())
    }

    /// The name is free again; `false` when it was not taken by a grave.
    pub fn grave_remove(&mut self, room: &BareJid) -> Result<bool, StorageError> {
        let sql = "DELETE FROM room_grave WHERE domain = ?1 AND local = ?2";
        Ok(self.write(sql, super::rooms::key(room))? > 0)
    }

    /// An account is gone: what it owned is not of the next of its name, nor what it destroyed.
    pub(super) fn graves_forget(&mut self, account: &BareJid) -> Result<(), StorageError> {
        self.write("DELETE FROM room_grave_owner WHERE jid = ?1", [account.as_str()])?;
        let sql = "UPDATE room_grave SET destroyer = NULL WHERE destroyer = ?1";
        self.write(sql, [account.as_str()])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> BareJid {
        BareJid::parse(text).expect("an address")
    }

    fn grave(room: &str, until_unix_ms: i64) -> Grave {
        Grave {
            room: jid(room),
            until_unix_ms,
            venue: Some(jid("mantua@rooms")),
            reason: Some("Plague".to_owned()),
            owners: vec![jid("romeo@h"), jid("tybalt@h")],
        }
    }

    #[test]
    fn remembered_until_its_time_is_over() {
        let mut storage = Storage::memory();
        let one = grave("verona@rooms", 100);
        storage.grave_put(&one, None, 0).expect("written");
        assert_eq!(storage.grave(&one.room, 99), Ok(Some(one.clone())));
        assert_eq!(storage.grave(&one.room, 100), Ok(None));
        assert_eq!(storage.grave(&jid("padua@rooms"), 0), Ok(None));
        // The later word counts.
        let other = Grave { venue: None, reason: None, owners: Vec::new(), ..one.clone() };
        storage.grave_put(&other, None, 0).expect("written");
        assert_eq!(storage.grave(&one.room, 99), Ok(Some(other)));
        // Another burial removes what has expired.
        storage.grave_put(&grave("padua@rooms", 300), None, 200).expect("written");
        assert_eq!(storage.grave(&one.room, 0), Ok(None));
        assert_eq!(storage.grave_remove(&jid("padua@rooms")), Ok(true));
        assert_eq!(storage.grave_remove(&jid("padua@rooms")), Ok(false));
    }

    #[test]
    fn whoever_destroys_many_forgets_its_own() {
        let mut storage = Storage::memory();
        let [romeo, juliet] = [jid("romeo@h"), jid("juliet@h")];
        let mut bury = |room: &str, until_unix_ms, destroyer| {
            storage.grave_put(&grave(room, until_unix_ms), destroyer, 0).expect("written");
        };
        bury("hers@rooms", 1, Some(&juliet));
        bury("nobodys@rooms", 1, None);
        for number in 0..=GRAVES_OF_ACCOUNT_MAX as i64 {
            bury(&format!("r{number}@rooms"), 10 + number, Some(&romeo));
        }
        for (room, want) in
            [("hers@rooms", true), ("nobodys@rooms", true), ("r0@rooms", false), ("r1@rooms", true)]
        {
            assert_eq!(
                storage.grave(&jid(room), 0).map(|grave| grave.is_some()),
                Ok(want),
                "{room}"
            );
        }
        // The next of that name begins with nothing.
        storage.graves_forget(&romeo).expect("written");
        storage.grave_put(&grave("new@rooms", 500), Some(&romeo), 0).expect("written");
        assert_eq!(storage.grave(&jid("r1@rooms"), 0).map(|grave| grave.is_some()), Ok(true));
    }

    #[test]
    fn bounded_the_oldest_go_first() {
        let mut storage = Storage::memory();
        let sql = "WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < ?1)
                   INSERT INTO room_grave SELECT 'rooms', 'r' || x, x, NULL, NULL, NULL FROM n";
        storage.write(sql, [GRAVES_MAX as i64 + 3]).expect("filled");
        storage.grave_put(&grave("last@rooms", GRAVES_MAX as i64), None, -1).expect("written");
        assert_eq!(storage.grave(&jid("r4@rooms"), -1), Ok(None));
        assert!(storage.grave(&jid("r5@rooms"), -1).is_ok_and(|grave| grave.is_some()));
        let many = Grave {
            owners: (0..50).map(|number| jid(&format!("o{number}@h"))).collect(),
            ..grave("r@rooms", 1_000_000)
        };
        storage.grave_put(&many, None, -1).expect("written");
        let kept = storage.grave(&many.room, -1).expect("read").expect("there");
        assert_eq!(kept.owners.len(), GRAVE_OWNERS_MAX);
    }
}
