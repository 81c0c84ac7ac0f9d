//! Rosters at rest (RFC 6121 §2): contacts of an account, their groups.

use rusqlite::params;

use super::values::stored_jid;
use super::{RosterItem, Storage, StorageError, Subscription};
use crate::xmpp::BareJid;

/// What subscriptions need beside the first tables (RFC 6121 §3).
pub(super) const SUBSCRIPTIONS: &str = "";

impl Storage {
    /// The roster of an account, sorted by address.
    pub fn roster(&mut self, account: &BareJid) -> Result<Vec<RosterItem>, StorageError> {
        let rows = self.read_all(
            "SELECT r.jid, r.name, r.subscription, g.name
             FROM account a
             JOIN roster r ON r.account = a.id
             LEFT JOIN roster_group g ON g.account = r.account AND g.jid = r.jid
             WHERE a.domain = ?1 AND a.local = ?2
             ORDER BY r.jid, g.name",
            (account.domain(), account.local().unwrap_or_default()),
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, Option<String>>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, Option<String>>(3)?,
                ))
            },
        )?;
        let mut items: Vec<RosterItem> = Vec::new();
        for (jid, name, subscription, group) in rows {
            if items.last().is_none_or(|last| last.jid.as_str() != jid) {
                let Some(jid) = stored_jid(&jid) else { continue };
                let subscription = parse_subscription(&subscription);
                items.push(RosterItem { jid, name, groups: Vec::new(), subscription });
            }
            if let (Some(last), Some(group)) = (items.last_mut(), group) {
                last.groups.push(group);
            }
        }
        Ok(items)
    }

    /// What there is between an account and a contact; `None` for strangers, and for an account that
    /// does not exist.
    pub fn subscription(
        &mut self,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<Subscription, StorageError> {
        let found = self.read_one(
            "SELECT r.subscription FROM account a JOIN roster r ON r.account = a.id
             WHERE a.domain = ?1 AND a.local = ?2 AND r.jid = ?3",
            (account.domain(), account.local().unwrap_or_default(), contact.as_str()),
            |row| row.get::<_, String>(0),
        )?;
        Ok(found.map_or(Subscription::None, |text| parse_subscription(&text)))
    }

    /// The contacts of an account that have a subscription, sorted by address.
    pub fn subscriptions(
        &mut self,
        account: &BareJid,
    ) -> Result<Vec<(BareJid, Subscription)>, StorageError> {
        let rows = self.read_all(
            "SELECT r.jid, r.subscription FROM account a JOIN roster r ON r.account = a.id
             WHERE a.domain = ?1 AND a.local = ?2 AND r.subscription <> 'none'
             ORDER BY r.jid",
            (account.domain(), account.local().unwrap_or_default()),
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )?;
        let contact =
            |(jid, text): (String, String)| Some((stored_jid(&jid)?, parse_subscription(&text)));
        Ok(rows.into_iter().filter_map(contact).collect())
    }

    /// The groups that an account has put a contact into, sorted.
    pub fn roster_groups(
        &mut self,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<Vec<String>, StorageError> {
        self.read_all(
            "SELECT g.name FROM account a JOIN roster_group g ON g.account = a.id
             WHERE a.domain = ?1 AND a.local = ?2 AND g.jid = ?3 ORDER BY g.name",
            (account.domain(), account.local().unwrap_or_default(), contact.as_str()),
            |row| row.get(0),
        )
    }

    /// Adds or changes a contact. An account that does not exist is `Failed`.
    pub fn roster_put(&mut self, account: &BareJid, item: &RosterItem) -> Result<(), StorageError> {
        let (domain, local) = (account.domain(), account.local().unwrap_or_default());
        let jid = item.jid.as_str();
        let rows = self.write(
            "INSERT INTO roster (account, jid, name, subscription)
             SELECT id, ?3, ?4, ?5 FROM account WHERE domain = ?1 AND local = ?2
             ON CONFLICT (account, jid) DO UPDATE
             SET name = excluded.name, subscription = excluded.subscription",
            params![domain, local, jid, item.name, item.subscription.as_str()],
        )?;
        if rows == 0 {
            return Err(StorageError::Failed);
        }
        self.write(
            "DELETE FROM roster_group WHERE jid = ?3
             AND account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)",
            (domain, local, jid),
        )?;
        for group in &item.groups {
            self.write(
                "INSERT INTO roster_group (account, jid, name)
                 SELECT id, ?3, ?4 FROM account WHERE domain = ?1 AND local = ?2
                 ON CONFLICT DO NOTHING",
                (domain, local, jid, group),
            )?;
        }
        Ok(())
    }

    /// Removes a contact; `false` when it is not there.
    pub fn roster_remove(
        &mut self,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<bool, StorageError> {
        let rows = self.write(
            "DELETE FROM roster WHERE jid = ?3
             AND account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)",
            (account.domain(), account.local().unwrap_or_default(), contact.as_str()),
        )?;
        Ok(rows > 0)
    }
}

/// The table admits these four only.
fn parse_subscription(text: &str) -> Subscription {
    match text {
        "to" => Subscription::To,
        "from" => Subscription::From,
        "both" => Subscription::Both,
        _ => Subscription::None,
    }
}
