//! Cards of rooms at rest (XEP-0054, XEP-0486): the XML, and the hashes of the pictures in it, so
//! that these are known without reading it.

use super::rooms::{key, one_row};
use super::{Storage, StorageError};
use crate::xmpp::BareJid;

/// The table of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE room_vcard (
    room INTEGER PRIMARY KEY REFERENCES room ON DELETE CASCADE,
    photos_sha1 TEXT NOT NULL,
    xml TEXT NOT NULL
) STRICT;
";

/// A card, of a room or of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVcard {
    /// SHA-1 of each picture, in hexadecimal.
    pub photos: Vec<String>,
    /// The serialised `<vCard/>`.
    pub xml: String,
}

impl Storage {
    /// The card of a stored room.
    pub fn room_vcard(&mut self, room: &BareJid) -> Result<Option<String>, StorageError> {
        self.read_one(
            "SELECT xml FROM room_vcard
             WHERE room = (SELECT id FROM room WHERE domain = ?1 AND local = ?2)",
            key(room),
            |row| row.get(0),
        )
    }

    /// The hashes of the pictures on it.
    pub fn room_vcard_photos(&mut self, room: &BareJid) -> Result<Vec<String>, StorageError> {
        let photos = self.read_one(
            "SELECT photos_sha1 FROM room_vcard
             WHERE room = (SELECT id FROM room WHERE domain = ?1 AND local = ?2)",
            key(room),
            |row| row.get::<_, String>(0),
        )?;
        Ok(photos.unwrap_or_default().split_whitespace().map(str::to_owned).collect())
    }

    /// Sets the card of a stored room, or removes it; `Failed` when the room is not stored.
    pub fn room_vcard_put(
        &mut self,
        room: &BareJid,
        vcard: Option<&StoredVcard>,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(room);
        let Some(StoredVcard { photos, xml }) = vcard else {
            let sql = "DELETE FROM room_vcard
                       WHERE room = (SELECT id FROM room WHERE domain = ?1 AND local = ?2)";
            self.write(sql, (domain, local))?;
            return Ok(());
        };
        let rows = self.write(
            "INSERT INTO room_vcard (room, photos_sha1, xml)
             SELECT id, ?3, ?4 FROM room WHERE domain = ?1 AND local = ?2
             ON CONFLICT (room) DO UPDATE SET
                    photos_sha1 = excluded.photos_sha1, xml = excluded.xml",
            (domain, local, photos.join(" "), xml),
        )?;
        one_row(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RoomOptions;
    use crate::storage::StoredRoom;

    #[test]
    fn a_card_belongs_to_its_room() {
        let mut storage = Storage::memory();
        let jid = BareJid::parse("tea@c").expect("an address");
        let card = |photos: &[&str], xml: &str| StoredVcard {
            photos: photos.iter().map(|hash| (*hash).to_owned()).collect(),
            xml: xml.to_owned(),
        };
        let first = card(&["aa", "bb"], "<vCard/>");
        assert_eq!(storage.room_vcard_put(&jid, Some(&first)), Err(StorageError::Failed));
        let room = StoredRoom {
            jid: jid.clone(),
            options: RoomOptions::default(),
            secret: vec![],
            subject: None,
            affiliations: vec![],
        };
        storage.room_put(&room).expect("put");
        assert_eq!(storage.room_vcard(&jid), Ok(None));
        assert_eq!(storage.room_vcard_photos(&jid), Ok(vec![]));
        for card in [first, card(&[], "<vCard>2</vCard>")] {
            storage.room_vcard_put(&jid, Some(&card)).expect("put");
            assert_eq!(storage.room_vcard(&jid), Ok(Some(card.xml)));
            assert_eq!(storage.room_vcard_photos(&jid), Ok(card.photos));
        }
        storage.room_vcard_put(&jid, None).expect("removed");
        assert_eq!(storage.room_vcard(&jid), Ok(None));
    }
}
