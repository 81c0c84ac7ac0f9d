//! Hats of rooms at rest (XEP-0317): those that a room has, and who wears them.

use std::rc::Rc;

use super::rooms::{key, one_row};
use super::values::stored_jid;
use super::{Storage, StorageError};
use crate::xmpp::BareJid;

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
    PRIMARY KEY (room, uri, jid),
    FOREIGN KEY (room, uri) REFERENCES room_hat ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX room_hat_worn_jid ON room_hat_worn (jid);
";

/// A hat of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hat {
    /// What it is known by: each once in a room.
    pub uri: Rc<str>,
    /// Its name for people.
    pub title: String,
    /// The language of the title.
    pub lang: Option<String>,
    /// Its colour as an angle, in the digits that were given.
    pub hue: Option<String>,
}

impl Storage {
    /// The hats of a stored room, in the order of their addresses.
    pub fn room_hats(&mut self, room: &BareJid) -> Result<Vec<Hat>, StorageError> {
        self.read_all(
            "SELECT uri, title, lang, hue FROM room_hat
             WHERE room = (SELECT id FROM room WHERE domain = ?1 AND local = ?2) ORDER BY uri",
            key(room),
            |row| {
                let uri: String = row.get(0)?;
                Ok(Hat { uri: uri.into(), title: row.get(1)?, lang: row.get(2)?, hue: row.get(3)? })
            },
        )
    }

    /// Who wears a hat of a stored room, and which: in the order of their addresses.
    pub fn room_hats_worn(
        &mut self,
        room: &BareJid,
    ) -> Result<Vec<(BareJid, String)>, StorageError> {
        let rows = self.read_all(
            "SELECT jid, uri FROM room_hat_worn
             WHERE room = (SELECT id FROM room WHERE domain = ?1 AND local = ?2)
             ORDER BY jid, uri",
            key(room),
            |row| Ok((row.get::<_, String>(0)?, row.get(1)?)),
        )?;
        Ok(rows.into_iter().filter_map(|(jid, uri)| Some((stored_jid(&jid)?, uri))).collect())
    }

    /// Makes a hat of a stored room, or changes it; `Failed` when the room is not stored.
    pub fn room_hat_put(&mut self, room: &BareJid, hat: &Hat) -> Result<(), StorageError> {
        let (domain, local) = key(room);
        let rows = self.write(
            "INSERT INTO room_hat (room, uri, title, lang, hue)
             SELECT id, ?3, ?4, ?5, ?6 FROM room WHERE domain = ?1 AND local = ?2
             ON CONFLICT (room, uri) DO UPDATE SET
                    title = excluded.title, lang = excluded.lang, hue = excluded.hue",
            (domain, local, &*hat.uri, &hat.title, &hat.lang, &hat.hue),
        )?;
        one_row(rows)
    }

    /// Removes a hat of a stored room, from everybody who wears it too.
    pub fn room_hat_remove(&mut self, room: &BareJid, uri: &str) -> Result<(), StorageError> {
        let (domain, local) = key(room);
        let sql = "DELETE FROM room_hat WHERE uri = ?3
                   AND room = (SELECT id FROM room WHERE domain = ?1 AND local = ?2)";
        self.write(sql, (domain, local, uri))?;
        Ok(())
    }

    /// Gives a hat of a stored room to somebody who does not wear it; `Failed` when the room is
    /// not stored.
    pub fn room_hat_give(
        &mut self,
        room: &BareJid,
        jid: &BareJid,
        uri: &str,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(room);
        let sql = "INSERT INTO room_hat_worn (room, uri, jid)
                   SELECT id, ?3, ?4 FROM room WHERE domain = ?1 AND local = ?2";
        one_row(self.write(sql, (domain, local, uri, jid.as_str()))?)
    }

    /// Takes a hat of a stored room from somebody.
    pub fn room_hat_take(
        &mut self,
        room: &BareJid,
        jid: &BareJid,
        uri: &str,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(room);
        let sql = "DELETE FROM room_hat_worn WHERE uri = ?3 AND jid = ?4
                   AND room = (SELECT id FROM room WHERE domain = ?1 AND local = ?2)";
        self.write(sql, (domain, local, uri, jid.as_str()))?;
        Ok(())
    }

    /// Takes all hats of all rooms from somebody who is no more.
    pub(super) fn room_hats_forget(&mut self, jid: &BareJid) -> Result<(), StorageError> {
        self.write("DELETE FROM room_hat_worn WHERE jid = ?1", [jid.as_str()])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RoomOptions;
    use crate::storage::StoredRoom;

    fn jid(text: &str) -> BareJid {
        BareJid::parse(text).expect("an address")
    }

    #[test]
    fn hats_belong_to_their_room() {
        let mut storage = Storage::memory();
        let [tea, milk] = ["tea@c", "milk@c"].map(jid);
        for room in [&tea, &milk] {
            let (jid, options) = (room.clone(), RoomOptions::default());
            let (secret, subject, affiliations) = (vec![], None, vec![]);
            let room = StoredRoom { jid, options, secret, subject, affiliations };
            storage.room_put(&room).expect("put");
        }
        let hat = |uri: &str, title: &str| Hat {
            uri: uri.into(),
            title: title.into(),
            lang: Some("en".into()),
            hue: None,
        };
        for room in [&tea, &milk] {
            storage.room_hat_put(room, &hat("u:b", "B")).expect("put");
            storage.room_hat_put(room, &hat("u:a", "A")).expect("put");
            storage.room_hat_give(room, &jid("x@h"), "u:b").expect("give");
        }
        storage.room_hat_put(&tea, &hat("u:b", "C")).expect("changed");
        assert_eq!(storage.room_hats(&tea), Ok(vec![hat("u:a", "A"), hat("u:b", "C")]));
        assert_eq!(storage.room_hats(&milk), Ok(vec![hat("u:a", "A"), hat("u:b", "B")]));
        storage.room_hat_give(&tea, &jid("x@h"), "u:a").expect("give");
        storage.room_hat_take(&tea, &jid("x@h"), "u:b").expect("take");
        let worn = |uri: &str| Ok(vec![(jid("x@h"), uri.to_owned())]);
        assert_eq!(storage.room_hats_worn(&tea), worn("u:a"));
        storage.room_hat_remove(&tea, "u:a").expect("remove");
        assert_eq!(storage.room_hats_worn(&tea), Ok(vec![]));
        assert_eq!(storage.room_hats_worn(&milk), worn("u:b"));
        storage.room_hats_forget(&jid("x@h")).expect("forget");
        assert_eq!(storage.room_hats_worn(&milk), Ok(vec![]));

        let failed = Err(StorageError::Failed);
        assert_eq!(storage.room_hat_put(&jid("none@c"), &hat("u:a", "A")), failed);
        assert_eq!(storage.room_hat_give(&jid("none@c"), &jid("x@h"), "u:a"), failed);
        assert_eq!(storage.room_hat_give(&tea, &jid("x@h"), "u:unknown"), failed);
        storage.room_remove(&milk).expect("remove");
        assert_eq!(storage.room_hats(&milk), Ok(vec![]));
    }
}
