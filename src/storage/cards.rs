//! Cards of accounts at rest (XEP-0054): as those of rooms, the XML and the hashes of the pictures
//! in it. They go with the account.

use super::rooms::{key, one_row};
use super::{Storage, StorageError, StoredVcard};
use crate::xmpp::BareJid;

/// The table of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE account_vcard (
    account INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    photos_sha1 TEXT NOT NULL,
    xml TEXT NOT NULL
) STRICT;
";

impl Storage {
    /// The card of an account.
    pub fn account_vcard(&mut self, account: &BareJid) -> Result<Option<String>, StorageError> {
        self.read_one(
            "SELECT xml FROM account_vcard
             WHERE account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)",
            key(account),
            |row| row.get(0),
        )
    }

    /// The hashes of the pictures on it.
    pub fn account_vcard_photos(&mut self, account: &BareJid) -> Result<Vec<String>, StorageError> {
        let photos = self.read_one(
            "SELECT photos_sha1 FROM account_vcard
             WHERE account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)",
            key(account),
            |row| row.get::<_, String>(0),
        )?;
        Ok(photos.unwrap_or_default().split_whitespace().map(str::to_owned).collect())
    }

    /// Sets the card of an account, or removes it; `Failed` when there is no such account.
    pub fn account_vcard_put(
        &mut self,
        account: &BareJid,
        vcard: Option<&StoredVcard>,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(account);
        let Some(StoredVcard { photos, xml }) = vcard else {
            let sql = "DELETE FROM account_vcard
                       WHERE account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)";
            self.write(sql, (domain, local))?;
            return Ok(());
        };
        let rows = self.write(
            "INSERT INTO account_vcard (account, photos_sha1, xml)
             SELECT id, ?3, ?4 FROM account WHERE domain = ?1 AND local = ?2
             ON CONFLICT (account) DO UPDATE SET
                    photos_sha1 = excluded.photos_sha1, xml = excluded.xml",
            (domain, local, photos.join(" "), xml),
        )?;
        one_row(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::credentials;

    #[test]
    fn a_card_goes_with_its_account() {
        let mut storage = Storage::memory();
        let jid = BareJid::parse("romeo@localhost").expect("an address");
        let card = |photos: &[&str], xml: &str| StoredVcard {
            photos: photos.iter().map(|hash| (*hash).to_owned()).collect(),
            xml: xml.to_owned(),
        };
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
