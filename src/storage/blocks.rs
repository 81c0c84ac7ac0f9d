//! Addresses that accounts block, at rest (XEP-0191).

use rusqlite::params;

use super::{Storage, StorageError};
use crate::xmpp::{BareJid, Jid};

/// The tables of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE blocked (
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    jid TEXT NOT NULL,
    PRIMARY KEY (account, jid)
) STRICT, WITHOUT ROWID;
";

impl Storage {
    /// What an account blocks, sorted.
    pub fn blocked(&mut self, account: &BareJid) -> Result<Vec<String>, StorageError> {
        self.read_all(
            "SELECT b.jid FROM account a JOIN blocked b ON b.account = a.id
             WHERE a.domain = ?1 AND a.local = ?2 ORDER BY b.jid",
            (account.domain(), account.local().unwrap_or_default()),
            |row| row.get(0),
        )
    }

    /// Whether an account blocks one of these.
    pub fn blocked_any(
        &mut self,
        account: &BareJid,
        forms: &[&str; 3],
    ) -> Result<bool, StorageError> {
        let [a, b, c] = forms;
        let found = self.read_one(
            // Three looks are quicker than one for what is in a list: that makes a table of it.
            "SELECT EXISTS (SELECT 1 FROM blocked WHERE account = owner AND jid = ?3)
                 OR EXISTS (SELECT 1 FROM blocked WHERE account = owner AND jid = ?4)
                 OR EXISTS (SELECT 1 FROM blocked WHERE account = owner AND jid = ?5)
             FROM (SELECT id AS owner FROM account WHERE domain = ?1 AND local = ?2)",
            params![account.domain(), account.local().unwrap_or_default(), a, b, c],
            |row| row.get(0),
        )?;
        Ok(found.unwrap_or_default())
    }

    /// Blocks an address. An account that does not exist is `Failed`.
    pub fn block(&mut self, account: &BareJid, jid: &Jid) -> Result<(), StorageError> {
        let rows = self.write(
            "INSERT INTO blocked (account, jid)
             SELECT id, ?3 FROM account WHERE domain = ?1 AND local = ?2
             ON CONFLICT (account, jid) DO UPDATE SET jid = excluded.jid",
            (account.domain(), account.local().unwrap_or_default(), jid.as_str()),
        )?;
        if rows == 0 { Err(StorageError::Failed) } else { Ok(()) }
    }

    /// Unblocks an address; nothing when it is not blocked.
    pub fn unblock(&mut self, account: &BareJid, jid: &Jid) -> Result<(), StorageError> {
        self.write(
            "DELETE FROM blocked WHERE jid = ?3
             AND account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)",
            (account.domain(), account.local().unwrap_or_default(), jid.as_str()),
        )?;
        Ok(())
    }

    /// Unblocks all addresses.
    pub fn unblock_all(&mut self, account: &BareJid) -> Result<(), StorageError> {
        self.write(
            "DELETE FROM blocked
             WHERE account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)",
            (account.domain(), account.local().unwrap_or_default()),
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::credentials;

    #[test]
    fn a_list_per_account_that_goes_with_it() {
        let mut storage = Storage::memory();
        let bare = |text| BareJid::parse(text).expect("an address");
        let jid = |text| Jid::parse(text).expect("an address");
        let (juliet, romeo) = (bare("juliet@localhost"), bare("romeo@localhost"));
        assert_eq!(storage.block(&juliet, &jid("paris@localhost")), Err(StorageError::Failed));
        for account in [&juliet, &romeo] {
            assert_eq!(storage.account_create(account, &credentials(1)), Ok(true));
        }
        for text in ["tybalt.lit", "paris@localhost/x", "paris@localhost/x"] {
            storage.block(&juliet, &jid(text)).expect("blocked");
        }
        let list = |storage: &mut Storage, who| storage.blocked(who).expect("read");
        assert_eq!(list(&mut storage, &juliet), ["paris@localhost/x", "tybalt.lit"]);
        assert!(list(&mut storage, &romeo).is_empty());
        let any = |storage: &mut Storage, who, one| storage.blocked_any(who, &["", "", one]);
        assert_eq!(any(&mut storage, &juliet, "tybalt.lit"), Ok(true));
        assert_eq!(any(&mut storage, &juliet, "paris@localhost"), Ok(false));
        assert_eq!(any(&mut storage, &romeo, "tybalt.lit"), Ok(false));
        storage.unblock(&juliet, &jid("tybalt.lit")).expect("unblocked");
        storage.unblock(&juliet, &jid("nobody@localhost")).expect("nothing to do");
        assert_eq!(list(&mut storage, &juliet), ["paris@localhost/x"]);
        storage.unblock_all(&juliet).expect("unblocked");
        assert!(list(&mut storage, &juliet).is_empty());
        storage.block(&juliet, &jid("tybalt.lit")).expect("blocked");
        storage.account_remove(&juliet).expect("removed");
        assert_eq!(storage.account_create(&juliet, &credentials(1)), Ok(true));
        assert!(list(&mut storage, &juliet).is_empty());
    }
}
