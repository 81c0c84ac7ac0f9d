//! Private XML of accounts at rest (XEP-0049): under a namespace and a name the elements that were
//! stored there last. They go with the account.

use super::rooms::{key, one_row};
use super::{Storage, StorageError};
use crate::xmpp::BareJid;

/// The table of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE private_xml (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    ns TEXT NOT NULL,
    name TEXT NOT NULL,
    xml TEXT NOT NULL,
    UNIQUE (account, ns, name)
) STRICT;
";

impl Storage {
    /// What an account keeps under a namespace and a name.
    pub fn private_xml(
        &mut self,
        account: &BareJid,
        ns: &str,
        name: &str,
    ) -> Result<Option<String>, StorageError> {
        let (domain, local) = key(account);
        self.read_one(
            "SELECT p.xml FROM private_xml p JOIN account a ON a.id = p.account
             WHERE a.domain = ?1 AND a.local = ?2 AND p.ns = ?3 AND p.name = ?4",
            (domain, local, ns, name),
            |row| row.get(0),
        )
    }

    /// The namespaces and names under which an account keeps something, in the order in which they
    /// came.
    pub fn private_xml_names(
        &mut self,
        account: &BareJid,
    ) -> Result<Vec<(String, String)>, StorageError> {
        self.read_all(
            "SELECT p.ns, p.name FROM private_xml p JOIN account a ON a.id = p.account
             WHERE a.domain = ?1 AND a.local = ?2 ORDER BY p.id",
            key(account),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    /// Sets it; `Failed` when there is no such account.
    pub fn private_xml_put(
        &mut self,
        account: &BareJid,
        ns: &str,
        name: &str,
        xml: &str,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(account);
        let rows = self.write(
            "INSERT INTO private_xml (account, ns, name, xml)
             SELECT id, ?3, ?4, ?5 FROM account WHERE domain = ?1 AND local = ?2
             ON CONFLICT (account, ns, name) DO UPDATE SET xml = excluded.xml",
            (domain, local, ns, name, xml),
        )?;
        one_row(rows)
    }

    /// Removes it, if it is there.
    pub fn private_xml_remove(
        &mut self,
        account: &BareJid,
        ns: &str,
        name: &str,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(account);
        self.write(
            "DELETE FROM private_xml WHERE ns = ?3 AND name = ?4
             AND account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)",
            (domain, local, ns, name),
        )?;
        Ok(())
    }

    /// Bytes of all that an account keeps, names included.
    pub fn private_xml_bytes(&mut self, account: &BareJid) -> Result<usize, StorageError> {
        let bytes = self.read_one(
            "SELECT coalesce(sum(
                 octet_length(p.ns) + octet_length(p.name) + octet_length(p.xml)), 0)
             FROM private_xml p JOIN account a ON a.id = p.account
             WHERE a.domain = ?1 AND a.local = ?2",
            key(account),
            |row| row.get::<_, i64>(0),
        )?;
        Ok(bytes.unwrap_or_default().unsigned_abs() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::credentials;

    #[test]
    fn what_is_kept_goes_with_its_account() {
        let mut storage = Storage::memory();
        let jid = BareJid::parse("romeo@localhost").expect("an address");
        assert_eq!(storage.private_xml_put(&jid, "n", "a", "<a/>"), Err(StorageError::Failed));
        let credentials = credentials(1);
        storage.account_create(&jid, &credentials).expect("created");
        assert_eq!(storage.private_xml_bytes(&jid), Ok(0));
        for (name, xml) in [("a", "<a>1</a>"), ("b", "<b>\u{e9}</b>"), ("a", "<a/>")] {
            storage.private_xml_put(&jid, "n", name, xml).expect("put");
            assert_eq!(storage.private_xml(&jid, "n", name), Ok(Some(xml.to_owned())));
        }
        assert_eq!(storage.private_xml_bytes(&jid), Ok(2 + 4 + 2 + 9));
        let names = ["a", "b"].map(|name| ("n".to_owned(), name.to_owned()));
        assert_eq!(storage.private_xml_names(&jid), Ok(names.to_vec()));
        assert_eq!(storage.private_xml(&jid, "m", "a"), Ok(None));
        storage.private_xml_remove(&jid, "n", "a").expect("removed");
        storage.private_xml_remove(&jid, "n", "a").expect("it is not there");
        assert_eq!(storage.private_xml(&jid, "n", "a"), Ok(None));
        assert_eq!(storage.account_remove(&jid), Ok(true));
        storage.account_create(&jid, &credentials).expect("created again");
        assert_eq!(storage.private_xml_bytes(&jid), Ok(0));
    }
}
