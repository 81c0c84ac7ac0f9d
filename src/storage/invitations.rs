//! Invitations to accounts at rest (XEP-0401): what each lets its bearer do, under the hash of its
//! token. The tokens themselves are nowhere: who reads the database cannot register with it.

use rusqlite::{Row, params};

use super::values::stored_jid;
use super::{Storage, StorageError};
use crate::xmpp::BareJid;

/// The tables of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE invitation (
    id INTEGER PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    domain TEXT NOT NULL,
    local TEXT,
    inviter TEXT,
    is_subscribed INTEGER NOT NULL,
    expires_unix_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX invitation_name ON invitation (domain, local) WHERE local IS NOT NULL;
CREATE INDEX invitation_inviter ON invitation (inviter);
CREATE INDEX invitation_expires ON invitation (expires_unix_ms);
";

/// Invitations that are swept in one go.
const SWEPT_ROWS_MAX: u32 = 200;

/// An invitation to an account of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Where the account will be.
    pub domain: String,
    /// The account, when it is a certain one: its name is reserved.
    pub account: Option<BareJid>,
    /// Who invites; `None`: whoever runs the server.
    pub inviter: Option<BareJid>,
    /// Inviter and invited see each other's presence from the start.
    pub is_subscribed: bool,
    /// When it is no longer good, in milliseconds since 1970.
    pub expires_unix_ms: i64,
}

impl Storage {
    /// Keeps an invitation.
    pub fn invitation_put(
        &mut self,
        token_hash: &[u8],
        invitation: &Invitation,
    ) -> Result<(), StorageError> {
        self.write(
            "INSERT INTO invitation
                    (token_hash, domain, local, inviter, is_subscribed, expires_unix_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                token_hash,
                invitation.domain,
                invitation.account.as_ref().and_then(BareJid::local),
                invitation.inviter.as_ref().map(BareJid::as_str),
                invitation.is_subscribed,
                invitation.expires_unix_ms,
            ],
        )?;
        Ok(())
    }

    /// The invitation of a token, expired or not.
    pub fn invitation(&mut self, token_hash: &[u8]) -> Result<Option<Invitation>, StorageError> {
        self.read_one(
            "SELECT domain, local, inviter, is_subscribed, expires_unix_ms
             FROM invitation WHERE token_hash = ?1",
            [token_hash],
            invitation,
        )
    }

    /// Removes an invitation that was used; `false` when it is not there.
    pub fn invitation_remove(&mut self, token_hash: &[u8]) -> Result<bool, StorageError> {
        Ok(self.write("DELETE FROM invitation WHERE token_hash = ?1", [token_hash])? > 0)
    }

    /// How many invitations of somebody are still good.
    pub fn invitations_count(
        &mut self,
        inviter: Option<&BareJid>,
        unix_ms: i64,
    ) -> Result<u32, StorageError> {
        let sql = "SELECT count(*) FROM invitation WHERE inviter IS ?1 AND expires_unix_ms > ?2";
        let key = (inviter.map(BareJid::as_str), unix_ms);
        Ok(self.read_one(sql, key, |row| row.get(0))?.unwrap_or_default())
    }

    /// True when an invitation that is still good reserves the name of this account.
    pub fn account_is_reserved(
        &mut self,
        account: &BareJid,
        unix_ms: i64,
    ) -> Result<bool, StorageError> {
        let sql = "SELECT 1 FROM invitation WHERE domain = ?1 AND local = ?2
                   AND expires_unix_ms > ?3 LIMIT 1";
        let key = (account.domain(), account.local().unwrap_or_default(), unix_ms);
        Ok(self.read_one(sql, key, |_| Ok(()))?.is_some())
    }

    /// Removes some of the invitations that expired before this time.
    pub fn invitations_sweep(&mut self, before_unix_ms: i64) -> Result<(), StorageError> {
        let sql = "SELECT id FROM invitation WHERE expires_unix_ms < ?1 LIMIT ?2";
        for id in
            self.read_all(sql, (before_unix_ms, SWEPT_ROWS_MAX), |row| row.get::<_, i64>(0))?
        {
            self.write("DELETE FROM invitation WHERE id = ?1", [id])?;
        }
        Ok(())
    }

    /// An account is removed: nobody comes in its name any more.
    pub(super) fn invitations_forget(&mut self, inviter: &BareJid) -> Result<(), StorageError> {
        self.write("DELETE FROM invitation WHERE inviter = ?1", [inviter.as_str()])?;
        Ok(())
    }
}

fn invitation(row: &Row<'_>) -> rusqlite::Result<Invitation> {
    let domain: String = row.get(0)?;
    let local: Option<String> = row.get(1)?;
    let inviter: Option<String> = row.get(2)?;
    Ok(Invitation {
        account: local.and_then(|local| stored_jid(&format!("{local}@{domain}"))),
        inviter: inviter.and_then(|inviter| stored_jid(&inviter)),
        domain,
        is_subscribed: row.get(3)?,
        expires_unix_ms: row.get(4)?,
    })
}
