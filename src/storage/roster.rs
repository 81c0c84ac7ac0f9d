//! Rosters at rest (RFC 6121 §2): contacts of an account, their groups, and what has changed since
//! when.
//!
//! Every change of a roster has a number, counted per account; an item keeps that of its last
//! change, and of what was removed the newest are remembered. A roster gets an epoch with its first
//! change: no two rosters of a database have the same, so that a version of an account that was
//! removed is never taken for one of its heir.

use rusqlite::{Row, params};

use super::values::stored_jid;
use super::{RosterChange, RosterItem, RosterVersion, Storage, StorageError, Subscription};
use crate::xmpp::BareJid;

/// Removed contacts that a roster remembers, so that a client learns of them by the difference.
const REMOVED_ITEMS_MAX: usize = 256;

/// What subscriptions (RFC 6121 §3) and versions (§2.6) need beside the first tables; what is left
/// to be said of removed accounts.
pub(super) const SUBSCRIPTIONS: &str = "
ALTER TABLE roster ADD COLUMN ask INTEGER NOT NULL DEFAULT 0;
ALTER TABLE roster ADD COLUMN approved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE roster ADD COLUMN version INTEGER NOT NULL DEFAULT 0;

CREATE TABLE roster_epoch (
    last INTEGER NOT NULL
) STRICT;

INSERT INTO roster_epoch VALUES (0);

CREATE TABLE roster_version (
    account INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    version INTEGER NOT NULL,
    oldest INTEGER NOT NULL
) STRICT;

CREATE TABLE roster_removed (
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    jid TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (account, jid)
) STRICT, WITHOUT ROWID;

CREATE TABLE subscription_request (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    jid TEXT NOT NULL,
    xml TEXT NOT NULL,
    UNIQUE (account, jid)
) STRICT;

CREATE TABLE subscription_end (
    account TEXT NOT NULL,
    contact TEXT NOT NULL,
    unsubscribe INTEGER NOT NULL,
    unsubscribed INTEGER NOT NULL,
    PRIMARY KEY (account, contact)
) STRICT, WITHOUT ROWID;
";

impl Storage {
    /// The roster of an account, sorted by address.
    pub fn roster(&mut self, account: &BareJid) -> Result<Vec<RosterItem>, StorageError> {
        let rows = self.read_all(
            "SELECT r.jid, r.name, r.subscription, r.ask, r.approved, r.version, g.name
             FROM account a
             JOIN roster r ON r.account = a.id
             LEFT JOIN roster_group g ON g.account = r.account AND g.jid = r.jid
             WHERE a.domain = ?1 AND a.local = ?2
             ORDER BY r.jid, g.name",
            key(account),
            item_row,
        )?;
        Ok(join_groups(rows).into_iter().map(|(item, _)| item).collect())
    }

    /// One contact of an account.
    pub fn roster_item(
        &mut self,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<Option<RosterItem>, StorageError> {
        let (domain, local) = key(account);
        let rows = self.read_all(
            "SELECT r.jid, r.name, r.subscription, r.ask, r.approved, r.version, g.name
             FROM account a
             JOIN roster r ON r.account = a.id
             LEFT JOIN roster_group g ON g.account = r.account AND g.jid = r.jid
             WHERE a.domain = ?1 AND a.local = ?2 AND r.jid = ?3
             ORDER BY g.name",
            (domain, local, contact.as_str()),
            item_row,
        )?;
        Ok(join_groups(rows).pop().map(|(item, _)| item))
    }

    /// How many contacts an account has, and the bytes of their addresses, names and groups; a
    /// group counts `group_bytes` more.
    pub fn roster_size(
        &mut self,
        account: &BareJid,
        group_bytes: usize,
    ) -> Result<(usize, usize), StorageError> {
        let (domain, local) = key(account);
        let sizes = self.read_one(
            "SELECT
                (SELECT count(*) FROM roster WHERE account = a.id),
                (SELECT coalesce(sum(length(CAST(jid AS BLOB))
                                     + coalesce(length(CAST(name AS BLOB)), 0)), 0)
                 FROM roster WHERE account = a.id),
                (SELECT coalesce(sum(length(CAST(name AS BLOB)) + ?3), 0)
                 FROM roster_group WHERE account = a.id)
             FROM account a WHERE a.domain = ?1 AND a.local = ?2",
            params![domain, local, group_bytes as i64],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)),
        )?;
        let (items, texts, groups) = sizes.unwrap_or_default();
        Ok((items as usize, (texts + groups) as usize))
    }

    /// What there is between an account and a contact; `None` for strangers, and for an account
    /// that does not exist.
    pub fn subscription(
        &mut self,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<Subscription, StorageError> {
        let (domain, local) = key(account);
        let found = self.read_one(
            "SELECT r.subscription FROM account a JOIN roster r ON r.account = a.id
             WHERE a.domain = ?1 AND a.local = ?2 AND r.jid = ?3",
            (domain, local, contact.as_str()),
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
            key(account),
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )?;
        let contact =
            |(jid, text): (String, String)| Some((stored_jid(&jid)?, parse_subscription(&text)));
        Ok(rows.into_iter().filter_map(contact).collect())
    }

    /// The contacts of an account that have not answered its request yet, sorted by address.
    pub fn awaited(&mut self, account: &BareJid) -> Result<Vec<BareJid>, StorageError> {
        let rows = self.read_all(
            "SELECT r.jid FROM account a JOIN roster r ON r.account = a.id
             WHERE a.domain = ?1 AND a.local = ?2 AND r.ask ORDER BY r.jid",
            key(account),
            |row| row.get::<_, String>(0),
        )?;
        Ok(rows.iter().filter_map(|jid| stored_jid(jid)).collect())
    }

    /// Adds or changes a contact; the version of the roster with it. An account that does not exist
    /// is `Failed`.
    pub fn roster_put(
        &mut self,
        account: &BareJid,
        item: &RosterItem,
    ) -> Result<RosterVersion, StorageError> {
        let id = self.account_id(account)?.ok_or(StorageError::Failed)?;
        let version = self.next_roster_version(account, id)?;
        let jid = item.jid.as_str();
        let subscription = item.subscription.as_str();
        self.write(
            "INSERT INTO roster (account, jid, name, subscription, ask, approved, version)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (account, jid) DO UPDATE
             SET name = excluded.name, subscription = excluded.subscription, ask = excluded.ask,
                 approved = excluded.approved, version = excluded.version",
            params![id, jid, item.name, subscription, item.ask, item.approved, version.number],
        )?;
        self.write("DELETE FROM roster_group WHERE account = ?1 AND jid = ?2", (id, jid))?;
        for group in &item.groups {
            self.write(
                "INSERT INTO roster_group (account, jid, name) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO NOTHING",
                (id, jid, group),
            )?;
        }
        self.write("DELETE FROM roster_removed WHERE account = ?1 AND jid = ?2", (id, jid))?;
        Ok(version)
    }

    /// Removes a contact: the version of the roster without it, `None` when it is not there.
    pub fn roster_remove(
        &mut self,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<Option<RosterVersion>, StorageError> {
        let Some(id) = self.account_id(account)? else { return Ok(None) };
        let jid = contact.as_str();
        if self.write("DELETE FROM roster WHERE account = ?1 AND jid = ?2", (id, jid))? == 0 {
            return Ok(None);
        }
        let version = self.next_roster_version(account, id)?;
        self.write(
            "INSERT INTO roster_removed (account, jid, version) VALUES (?1, ?2, ?3)
             ON CONFLICT (account, jid) DO UPDATE SET version = excluded.version",
            (id, jid, version.number),
        )?;
        let forgotten = self.read_one(
            "SELECT version FROM roster_removed WHERE account = ?1
             ORDER BY version DESC LIMIT 1 OFFSET ?2",
            (id, REMOVED_ITEMS_MAX as i64),
            |row| row.get::<_, i64>(0),
        )?;
        if let Some(forgotten) = forgotten {
            let sql = "DELETE FROM roster_removed WHERE account = ?1 AND version <= ?2";
            self.write(sql, (id, forgotten))?;
            let sql = "UPDATE roster_version SET oldest = ?2 WHERE account = ?1";
            self.write(sql, (id, forgotten))?;
        }
        Ok(Some(version))
    }

    /// The version of a roster; all zero for one that never changed.
    pub fn roster_version(&mut self, account: &BareJid) -> Result<RosterVersion, StorageError> {
        let version = self.read_one(
            "SELECT v.epoch, v.version, v.oldest
             FROM account a JOIN roster_version v ON v.account = a.id
             WHERE a.domain = ?1 AND a.local = ?2",
            key(account),
            |row| {
                Ok(RosterVersion { epoch: row.get(0)?, number: row.get(1)?, oldest: row.get(2)? })
            },
        )?;
        Ok(version.unwrap_or_default())
    }

    /// What has changed since the change with this number, at least `RosterVersion::oldest`: the
    /// last of each contact, in their order, with their numbers.
    pub fn roster_changes(
        &mut self,
        account: &BareJid,
        since: i64,
    ) -> Result<Vec<(i64, RosterChange)>, StorageError> {
        let (domain, local) = key(account);
        let rows = self.read_all(
            "SELECT r.jid, r.name, r.subscription, r.ask, r.approved, r.version, g.name
             FROM account a
             JOIN roster r ON r.account = a.id
             LEFT JOIN roster_group g ON g.account = r.account AND g.jid = r.jid
             WHERE a.domain = ?1 AND a.local = ?2 AND r.version > ?3
             ORDER BY r.jid, g.name",
            (domain, local, since),
            item_row,
        )?;
        let removed = self.read_all(
            "SELECT x.version, x.jid FROM account a JOIN roster_removed x ON x.account = a.id
             WHERE a.domain = ?1 AND a.local = ?2 AND x.version > ?3",
            (domain, local, since),
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
        )?;
        let put = join_groups(rows).into_iter();
        let mut changes: Vec<_> = put.map(|(item, n)| (n, RosterChange::Put(item))).collect();
        changes.extend(
            removed
                .iter()
                .filter_map(|(n, jid)| Some((*n, RosterChange::Remove(stored_jid(jid)?)))),
        );
        changes.sort_by_key(|(number, _)| *number);
        Ok(changes)
    }

    /// Rosters that get their first version from now on have none that any before them had, nor,
    /// where `epochs` is drawn by chance, those of another database: what a client knows of a
    /// roster that was somewhere else is never taken for the same here.
    pub fn roster_epochs_skip(&mut self, epochs: u32) -> Result<(), StorageError> {
        self.write("UPDATE roster_epoch SET last = last + ?1", [epochs])?;
        Ok(())
    }

    /// The number of the next change.
    fn next_roster_version(
        &mut self,
        account: &BareJid,
        id: i64,
    ) -> Result<RosterVersion, StorageError> {
        let sql = "UPDATE roster_version SET version = version + 1 WHERE account = ?1";
        if self.write(sql, [id])? == 0 {
            self.write("UPDATE roster_epoch SET last = last + 1", [])?;
            self.write(
                "INSERT INTO roster_version (account, epoch, version, oldest)
                 SELECT ?1, last, 1, 0 FROM roster_epoch",
                [id],
            )?;
        }
        self.roster_version(account)
    }
}

/// An account as the key of its row.
fn key(account: &BareJid) -> (&str, &str) {
    (account.domain(), account.local().unwrap_or_default())
}

/// A contact without its groups, the number of its last change, and one of its groups.
type ItemRow = (String, Option<String>, String, bool, bool, i64, Option<String>);

fn item_row(row: &Row<'_>) -> rusqlite::Result<ItemRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
}

/// Contacts of rows that stand together where they are of the same contact.
fn join_groups(rows: Vec<ItemRow>) -> Vec<(RosterItem, i64)> {
    let mut items: Vec<(RosterItem, i64)> = Vec::new();
    for (jid, name, subscription, ask, approved, version, group) in rows {
        if items.last().is_none_or(|(last, _)| last.jid.as_str() != jid) {
            let Some(jid) = stored_jid(&jid) else { continue };
            let subscription = parse_subscription(&subscription);
            let item = RosterItem { jid, name, groups: Vec::new(), subscription, ask, approved };
            items.push((item, version));
        }
        if let (Some((last, _)), Some(group)) = (items.last_mut(), group) {
            last.groups.push(group);
        }
    }
    items
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

#[cfg(test)]
mod tests {
    use super::super::tests::{create, item, jid};
    use super::*;

    /// RFC 6121 §2.6: what changed since when, as far back as removals are remembered.
    #[test]
    fn changes_of_a_roster() {
        let mut storage = Storage::memory();
        let a = jid("a@localhost");
        create(&mut storage, "a@localhost").expect("made");
        assert_eq!(storage.roster_version(&a), Ok(RosterVersion::default()));
        for contact in ["x@localhost", "y@localhost", "z@localhost", "x@localhost"] {
            storage.roster_put(&a, &item(contact, &["b", "a"])).expect("put");
        }
        storage.roster_remove(&a, &jid("y@localhost")).expect("removed");
        let texts = |storage: &mut Storage, since| {
            let changes = storage.roster_changes(&jid("a@localhost"), since).expect("read");
            let text = |(number, change): &(i64, RosterChange)| match change {
                RosterChange::Put(item) => format!("{number}+{}{}", item.jid, item.groups.concat()),
                RosterChange::Remove(jid) => format!("{number}-{jid}"),
            };
            changes.iter().map(text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(texts(&mut storage, 0), "3+z@localhostab 4+x@localhostab 5-y@localhost");
        assert_eq!(texts(&mut storage, 4), "5-y@localhost");
        assert_eq!(texts(&mut storage, 5), "");
        // One that comes again was not removed.
        storage.roster_put(&a, &item("y@localhost", &[])).expect("put");
        assert_eq!(texts(&mut storage, 4), "6+y@localhost");
        for n in 0..300 {
            let contact = jid(&format!("c{n}@localhost"));
            storage.roster_put(&a, &item(contact.as_str(), &[])).expect("put");
            storage.roster_remove(&a, &contact).expect("removed");
        }
        let version = storage.roster_version(&a).expect("read");
        assert_eq!((version.epoch, version.number), (1, 606));
        let changes = storage.roster_changes(&a, version.oldest).expect("read");
        assert_eq!((changes.len(), changes[0].0), (256, version.oldest + 2));
        // The heir of the name has another roster, whatever its number is.
        storage.account_remove(&a).expect("removed");
        create(&mut storage, "a@localhost").expect("made again");
        assert_eq!(storage.roster_version(&a), Ok(RosterVersion::default()));
        let version = storage.roster_put(&a, &item("x@localhost", &[])).expect("put");
        assert_eq!(version.to_string(), "2.1");
        storage.roster_epochs_skip(u32::MAX).expect("written");
        create(&mut storage, "b@localhost").expect("made");
        let version = storage.roster_put(&jid("b@localhost"), &item("x@localhost", &[]));
        assert_eq!(version.map(|version| version.epoch), Ok(3 + i64::from(u32::MAX)));
    }
}
