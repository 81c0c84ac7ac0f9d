//! Accounts at rest: an address and the SCRAM keys of its password. Removing one removes its
//! roster with it, its affiliations and its hats: whoever takes the name next is somebody else.

use rusqlite::{Row, params};

use super::{Storage, StorageError};
use crate::credentials::{Credentials, ScramKeys};
use crate::xmpp::BareJid;

/// What is known of an account beside its password: whether it is disabled (XEP-0133 §4.3).
pub(super) const STATES: &str = "
ALTER TABLE account ADD COLUMN is_disabled INTEGER NOT NULL DEFAULT 0;

CREATE INDEX account_disabled ON account (domain, local) WHERE is_disabled;
";

impl Storage {
    /// The credentials of an account, or `None` when there is no such account.
    pub fn account(&mut self, account: &BareJid) -> Result<Option<Credentials>, StorageError> {
        let Some(local) = account.local() else { return Ok(None) };
        self.read_one(
            "SELECT sha1_salt, sha1_iterations, sha1_stored_key, sha1_server_key,
                    sha256_salt, sha256_iterations, sha256_stored_key, sha256_server_key
             FROM account WHERE domain = ?1 AND local = ?2",
            (account.domain(), local),
            |row| Ok(Credentials { sha1: keys(row, 0)?, sha256: keys(row, 4)? }),
        )
    }

    /// Creates an account; `false` when it exists already.
    pub fn account_create(
        &mut self,
        account: &BareJid,
        credentials: &Credentials,
    ) -> Result<bool, StorageError> {
        let Some(local) = account.local() else { return Err(StorageError::Failed) };
        let Credentials { sha1, sha256 } = credentials;
        let rows = self.write(
            "INSERT INTO account (domain, local,
                    sha1_salt, sha1_iterations, sha1_stored_key, sha1_server_key,
                    sha256_salt, sha256_iterations, sha256_stored_key, sha256_server_key)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (domain, local) DO NOTHING",
            params![
                account.domain(),
                local,
                sha1.salt,
                sha1.iterations,
                sha1.stored_key,
                sha1.server_key,
                sha256.salt,
                sha256.iterations,
                sha256.stored_key,
                sha256.server_key,
            ],
        )?;
        Ok(rows > 0)
    }

    /// Changes the credentials, and makes login tokens void; `false` when there is no such account.
    pub fn account_change(
        &mut self,
        account: &BareJid,
        credentials: &Credentials,
    ) -> Result<bool, StorageError> {
        let Some(local) = account.local() else { return Ok(false) };
        let Credentials { sha1, sha256 } = credentials;
        let rows = self.write(
            "UPDATE account SET
                    sha1_salt = ?3, sha1_iterations = ?4,
                    sha1_stored_key = ?5, sha1_server_key = ?6,
                    sha256_salt = ?7, sha256_iterations = ?8,
                    sha256_stored_key = ?9, sha256_server_key = ?10
             WHERE domain = ?1 AND local = ?2",
            params![
                account.domain(),
                local,
                sha1.salt,
                sha1.iterations,
                sha1.stored_key,
                sha1.server_key,
                sha256.salt,
                sha256.iterations,
                sha256.stored_key,
                sha256.server_key,
            ],
        )?;
        self.login_tokens_forget_all(account)?;
        Ok(rows > 0)
    }

    /// Removes the account with its roster and with what it was to rooms, except that a ban stays;
    /// `false` when there is no such account.
    pub fn account_remove(&mut self, account: &BareJid) -> Result<bool, StorageError> {
        let Some(local) = account.local() else { return Ok(false) };
        self.subscriptions_end(account)?;
        let sql = "DELETE FROM account WHERE domain = ?1 AND local = ?2";
        let is_removed = self.write(sql, (account.domain(), local))? > 0;
        if is_removed {
            self.room_versions_of_removed(account.as_str())?;
            let sql = "DELETE FROM room_affiliation WHERE jid = ?1 AND affiliation <> 'outcast'";
            self.write(sql, [account.as_str()])?;
            self.graves_forget(account)?;
            self.room_hats_forget(account)?;
            self.archives_forget(account)?;
            self.pep_forget(account)?;
            self.invitations_forget(account)?;
        }
        Ok(is_removed)
    }

    /// True when nobody may log in to the account for now; false when there is no such account.
    pub fn account_is_disabled(&mut self, account: &BareJid) -> Result<bool, StorageError> {
        let sql = "SELECT 1 FROM account WHERE domain = ?1 AND local = ?2 AND is_disabled";
        let key = (account.domain(), account.local().unwrap_or_default());
        Ok(self.read_one(sql, key, |_| Ok(()))?.is_some())
    }

    /// Lets nobody log in to the account, or its owner again; `false` when there is none such.
    pub fn account_disable(
        &mut self,
        account: &BareJid,
        is_disabled: bool,
    ) -> Result<bool, StorageError> {
        let sql = "UPDATE account SET is_disabled = ?3 WHERE domain = ?1 AND local = ?2";
        let key = (account.domain(), account.local().unwrap_or_default(), is_disabled);
        Ok(self.write(sql, key)? > 0)
    }

    /// How many accounts a domain has, and how many of them are disabled.
    pub fn accounts_count(&mut self, domain: &str) -> Result<(u32, u32), StorageError> {
        let sql = "SELECT count(*), count(*) FILTER (WHERE is_disabled) FROM account
                   WHERE domain = ?1";
        let counts = self.read_one(sql, [domain], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(counts.unwrap_or_default())
    }

    /// The first `count_max` accounts of a domain, by name.
    pub fn accounts_of(
        &mut self,
        domain: &str,
        count_max: u32,
    ) -> Result<Vec<BareJid>, StorageError> {
        let sql = "SELECT local || '@' || domain FROM account WHERE domain = ?1
                   ORDER BY local LIMIT ?2";
        self.addresses(sql, (domain, count_max))
    }

    /// The same of those that are disabled.
    pub fn accounts_disabled(
        &mut self,
        domain: &str,
        count_max: u32,
    ) -> Result<Vec<BareJid>, StorageError> {
        let sql = "SELECT local || '@' || domain FROM account WHERE domain = ?1 AND is_disabled
                   ORDER BY local LIMIT ?2";
        self.addresses(sql, (domain, count_max))
    }

    fn addresses(
        &mut self,
        sql: &'static str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<BareJid>, StorageError> {
        let texts = self.read_all(sql, params, |row| row.get::<_, String>(0))?;
        Ok(texts.iter().filter_map(|text| super::values::stored_jid(text)).collect())
    }

    /// The number of the account's row, which its other tables refer to.
    pub(super) fn account_id(&mut self, account: &BareJid) -> Result<Option<i64>, StorageError> {
        let sql = "SELECT id FROM account WHERE domain = ?1 AND local = ?2";
        let key = (account.domain(), account.local().unwrap_or_default());
        self.read_one(sql, key, |row| row.get(0))
    }

    /// All accounts, sorted by domain and name.
    pub fn accounts(&mut self) -> Result<Vec<BareJid>, StorageError> {
        self.addresses("SELECT local || '@' || domain FROM account ORDER BY domain, local", [])
    }
}

/// Four columns as keys.
fn keys(row: &Row<'_>, first: usize) -> rusqlite::Result<ScramKeys> {
    Ok(ScramKeys {
        salt: row.get(first)?,
        iterations: row.get(first + 1)?,
        stored_key: row.get(first + 2)?,
        server_key: row.get(first + 3)?,
    })
}
