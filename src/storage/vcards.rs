//! Cards at rest, of rooms (XEP-0054, XEP-0486) and of accounts (XEP-0054): the XML, and the hashes
//! of the pictures in it, so that these are known without reading it. A card goes with its owner.

use super::rooms::{key, one_row};
use super::{Storage, StorageError};
use crate::xmpp::BareJid;

/// The cards of rooms.
pub(super) const OF_ROOMS: &str = "
CREATE TABLE room_vcard (
    room INTEGER PRIMARY KEY REFERENCES room ON DELETE CASCADE,
    photos_sha1 TEXT NOT NULL,
    xml TEXT NOT NULL
) STRICT;
";

/// The cards of accounts.
pub(super) const OF_ACCOUNTS: &str = "
CREATE TABLE account_vcard (
    account INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE,
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

/// The end of a statement about the card of one owner.
macro_rules! of_owner {
    ($owner:literal) => {
        concat!(
            " WHERE ",
            $owner,
            " = (SELECT id FROM ",
            $owner,
            " WHERE domain = ?1 AND local = ?2)"
        )
    };
}

/// What is done with the cards of owners of one kind: their table is named `$owner`, that of their
/// cards `$owner_vcard`.
macro_rules! cards_of {
    ($owner:literal, $get:ident, $photos:ident, $put:ident) => {
        impl Storage {
            #[doc = concat!("The card of a stored ", $owner, ".")]
            pub fn $get(&mut self, owner: &BareJid) -> Result<Option<String>, StorageError> {
                let sql = concat!("SELECT xml FROM ", $owner, "_vcard", of_owner!($owner));
                self.read_one(sql, key(owner), |row| row.get(0))
            }

            #[doc = concat!("The hashes of the pictures on the card of a stored ", $owner, ".")]
            pub fn $photos(&mut self, owner: &BareJid) -> Result<Vec<String>, StorageError> {
                let sql = concat!("SELECT photos_sha1 FROM ", $owner, "_vcard", of_owner!($owner));
                let photos = self.read_one(sql, key(owner), |row| row.get::<_, String>(0))?;
                Ok(photos.unwrap_or_default().split_whitespace().map(str::to_owned).collect())
            }

            #[doc = concat!("Sets or removes a card; `Failed` where no ", $owner, " is stored.")]
            pub fn $put(
                &mut self,
                owner: &BareJid,
                vcard: Option<&StoredVcard>,
            ) -> Result<(), StorageError> {
                let (domain, local) = key(owner);
                let Some(StoredVcard { photos, xml }) = vcard else {
                    let sql = concat!("DELETE FROM ", $owner, "_vcard", of_owner!($owner));
                    self.write(sql, (domain, local))?;
                    return Ok(());
                };
                let sql = concat!(
                    "INSERT INTO ",
                    $owner,
                    "_vcard (",
                    $owner,
                    ", photos_sha1, xml)
                     SELECT id, ?3, ?4 FROM ",
                    $owner,
                    " WHERE domain = ?1 AND local = ?2
                     ON CONFLICT (",
                    $owner,
                    ") DO UPDATE SET
                            photos_sha1 = excluded.photos_sha1, xml = excluded.xml"
                );
                one_row(self.write(sql, (domain, local, photos.join(" "), xml))?)
            }
        }
    };
}

cards_of!("room", room_vcard, room_vcard_photos, room_vcard_put);
cards_of!("account", account_vcard, account_vcard_photos, account_vcard_put);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RoomOptions;
    use crate::storage::StoredRoom;
    use crate::storage::tests::credentials;

    fn card(photos: &[&str], xml: &str) -> StoredVcard {
        StoredVcard {
            photos: photos.iter().map(|hash| (*hash).to_owned()).collect(),
            xml: xml.to_owned(),
        }
    }

    #[test]
    fn a_card_belongs_to_its_room() {
        let mut storage = Storage::memory();
        let jid = BareJid::parse("tea@c").expect("an address");
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

    #[test]
    fn a_card_goes_with_its_account() {
        let mut storage = Storage::memory();
        let jid = BareJid::parse("romeo@localhost").expect("an address");
        let first = card(&["aa", "bb"], "<vCard/>");
        assert_eq!(storage.account_vcard_put(&jid, Some(&first)), Err(StorageError::Failed));
        let credentials = credentials(1);
        storage.account_create(&jid, &credentials).expect("created");
        for card in [first, card(&[], "<vCard>2</vCard>")] {
            storage.account_vcard_put(&jid, Some(&card)).expect("put");
            assert_eq!(storage.account_vcard(&jid), Ok(Some(card.xml)));
            assert_eq!(storage.account_vcard_photos(&jid), Ok(card.photos));
        }
        storage.account_vcard_put(&jid, None).expect("removed");
        assert_eq!(storage.account_vcard(&jid), Ok(None));
        storage.account_vcard_put(&jid, Some(&card(&["aa"], "<vCard/>"))).expect("put");
        assert_eq!(storage.account_remove(&jid), Ok(true));
        storage.account_create(&jid, &credentials).expect("created again");
        assert_eq!(storage.account_vcard(&jid), Ok(None));
        assert_eq!(storage.account_vcard_photos(&jid), Ok(vec![]));
    }
}
