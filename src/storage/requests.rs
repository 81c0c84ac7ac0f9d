//! What subscriptions have at rest beside the roster (RFC 6121 §3): requests that an account has
//! not answered yet, and what is left to be said to the contacts of an account that was removed.
//! The tables are those of `roster`.

use rusqlite::params;

use super::values::stored_jid;
use super::{Storage, StorageError};
use crate::xmpp::BareJid;

/// A contact of a removed account that has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionEnd {
    /// The account that was removed.
    pub account: BareJid,
    /// Who is to hear of it.
    pub contact: BareJid,
    /// The account saw the contact, or had asked to.
    pub unsubscribe: bool,
    /// The contact saw the account, or had asked to.
    pub unsubscribed: bool,
}

impl Storage {
    /// Whether `contact` waits for the answer of an account.
    pub fn is_requested(
        &mut self,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<bool, StorageError> {
        let found = self.read_one(
            "SELECT 1 FROM account a JOIN subscription_request q ON q.account = a.id
             WHERE a.domain = ?1 AND a.local = ?2 AND q.jid = ?3",
            (account.domain(), account.local().unwrap_or_default(), contact.as_str()),
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    /// The requests that an account has not answered, whole stanzas, oldest first.
    pub fn requests(&mut self, account: &BareJid) -> Result<Vec<String>, StorageError> {
        self.read_all(
            "SELECT q.xml FROM account a JOIN subscription_request q ON q.account = a.id
             WHERE a.domain = ?1 AND a.local = ?2 ORDER BY q.id",
            (account.domain(), account.local().unwrap_or_default()),
            |row| row.get(0),
        )
    }

    /// Keeps a request until it is answered. `false` when the account does not exist, or has
    /// `requests_max` already (0: no limit).
    pub fn request_put(
        &mut self,
        account: &BareJid,
        contact: &BareJid,
        xml: &str,
        requests_max: usize,
    ) -> Result<bool, StorageError> {
        let Some(id) = self.account_id(account)? else { return Ok(false) };
        let sql = "SELECT count(*) FROM subscription_request WHERE account = ?1";
        let count = self.read_one(sql, [id], |row| row.get::<_, i64>(0))?.unwrap_or_default();
        if requests_max > 0 && count as usize >= requests_max {
            return Ok(false);
        }
        let rows = self.write(
            "INSERT INTO subscription_request (account, jid, xml) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
            params![id, contact.as_str(), xml],
        )?;
        Ok(rows > 0)
    }

    /// A request is answered, or taken back.
    pub fn request_remove(
        &mut self,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<(), StorageError> {
        self.write(
            "DELETE FROM subscription_request WHERE jid = ?3
             AND account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)",
            (account.domain(), account.local().unwrap_or_default(), contact.as_str()),
        )?;
        Ok(())
    }

    /// An account is about to be removed: notes whom that concerns.
    pub(super) fn subscriptions_end(&mut self, account: &BareJid) -> Result<(), StorageError> {
        let Some(id) = self.account_id(account)? else { return Ok(()) };
        self.write(
            "INSERT INTO subscription_end (account, contact, unsubscribe, unsubscribed)
             SELECT ?2, jid, ask OR subscription IN ('to', 'both'), subscription IN ('from', 'both')
             FROM roster WHERE account = ?1 AND (ask OR subscription <> 'none')
             ON CONFLICT (account, contact) DO UPDATE
             SET unsubscribe = excluded.unsubscribe, unsubscribed = excluded.unsubscribed",
            (id, account.as_str()),
        )?;
        self.write(
            "INSERT INTO subscription_end (account, contact, unsubscribe, unsubscribed)
             SELECT ?2, jid, 0, 1 FROM subscription_request WHERE account = ?1
             ON CONFLICT (account, contact) DO UPDATE SET unsubscribed = 1",
            (id, account.as_str()),
        )?;
        Ok(())
    }

    /// Takes up to `ends_max` of those who are to be told that an account is no more.
    pub fn take_subscription_ends(
        &mut self,
        ends_max: usize,
    ) -> Result<Vec<SubscriptionEnd>, StorageError> {
        let rows = self.read_all(
            "SELECT account, contact, unsubscribe, unsubscribed FROM subscription_end
             ORDER BY account, contact LIMIT ?1",
            [ends_max as i64],
            |row| {
                let texts = (row.get::<_, String>(0)?, row.get::<_, String>(1)?);
                Ok((texts, row.get::<_, bool>(2)?, row.get::<_, bool>(3)?))
            },
        )?;
        let mut ends = Vec::with_capacity(rows.len());
        for ((account, contact), unsubscribe, unsubscribed) in rows {
            let sql = "DELETE FROM subscription_end WHERE account = ?1 AND contact = ?2";
            self.write(sql, (&account, &contact))?;
            if let (Some(account), Some(contact)) = (stored_jid(&account), stored_jid(&contact)) {
                ends.push(SubscriptionEnd { account, contact, unsubscribe, unsubscribed });
            }
        }
        Ok(ends)
    }
}
