//! Nodes of accounts, their items and configuration, at rest (XEP-0163).
//!
//! Items have the order in which they were published: one that is published again becomes the
//! last. How many bytes a node holds is counted as it changes. The configuration is kept as TOML
//! text, so that an option added later needs no migration. Who has subscribed to a node, and what
//! it has been told of somebody, is in `people`. All of it goes with the account.

mod config;
mod people;

use rusqlite::{Row, params};

use super::rooms::{key, one_row};
use super::values::stored_jid;
use super::{Storage, StorageError};
use crate::xmpp::BareJid;

pub use config::{PepAccess, PepConfig, PepPublishers, PepSendLast};
pub use people::PepAffiliation;

/// The tables of this file and of `people`.
pub(super) const SCHEMA: &str = "
CREATE TABLE pep_node (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    name TEXT NOT NULL,
    config TEXT NOT NULL,
    created_unix_ms INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    UNIQUE (account, name)
) STRICT;

CREATE TABLE pep_item (
    id INTEGER PRIMARY KEY,
    node INTEGER NOT NULL REFERENCES pep_node ON DELETE CASCADE,
    uid TEXT NOT NULL,
    publisher TEXT NOT NULL,
    unix_ms INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    xml TEXT NOT NULL,
    UNIQUE (node, uid)
) STRICT;

CREATE INDEX pep_item_order ON pep_item (node, id, uid, bytes);

CREATE TABLE pep_affiliation (
    node INTEGER NOT NULL REFERENCES pep_node ON DELETE CASCADE,
    jid TEXT NOT NULL,
    affiliation TEXT NOT NULL CHECK (affiliation IN ('outcast', 'member', 'publisher')),
    PRIMARY KEY (node, jid)
) STRICT, WITHOUT ROWID;

CREATE INDEX pep_affiliation_jid ON pep_affiliation (jid);

CREATE TABLE pep_subscription (
    node INTEGER NOT NULL REFERENCES pep_node ON DELETE CASCADE,
    jid TEXT NOT NULL,
    account TEXT NOT NULL,
    PRIMARY KEY (node, jid)
) STRICT, WITHOUT ROWID;

CREATE INDEX pep_subscription_account ON pep_subscription (account);
";

/// A node of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PepNode {
    /// Its number in storage; nobody sees it.
    pub(super) id: i64,
    /// Its name.
    pub name: String,
    /// Its configuration.
    pub config: PepConfig,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: i64,
}

/// An item of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PepItem {
    /// Its id, unique within the node.
    pub uid: String,
    /// Who has published it.
    pub publisher: String,
    /// When, in milliseconds since 1970.
    pub unix_ms: i64,
    /// The serialised payload, written where no namespace is in force; may be empty.
    pub xml: String,
}

/// How many nodes an account has, and the bytes of their items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PepUsage {
    /// Nodes.
    pub nodes: usize,
    /// Bytes of all items.
    pub bytes: usize,
}

impl Storage {
    /// A node of an account.
    pub fn pep_node(
        &mut self,
        account: &BareJid,
        name: &str,
    ) -> Result<Option<PepNode>, StorageError> {
        let (domain, local) = key(account);
        self.read_one(
            "SELECT n.id, n.name, n.config, n.created_unix_ms
             FROM pep_node n JOIN account a ON a.id = n.account
             WHERE a.domain = ?1 AND a.local = ?2 AND n.name = ?3",
            (domain, local, name),
            node,
        )
    }

    /// The nodes of an account, by name.
    pub fn pep_nodes(&mut self, account: &BareJid) -> Result<Vec<PepNode>, StorageError> {
        self.pep_nodes_named(account, |_| true)
    }

    /// Those with the names that are wanted.
    pub fn pep_nodes_named(
        &mut self,
        account: &BareJid,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<PepNode>, StorageError> {
        let (mut nodes, mut configs) = (Vec::new(), PepConfig::from_texts());
        self.read_some(
            "SELECT n.id, n.name, n.config, n.created_unix_ms
             FROM pep_node n JOIN account a ON a.id = n.account
             WHERE a.domain = ?1 AND a.local = ?2 ORDER BY n.name",
            key(account),
            |row| {
                if is_wanted(row.get_ref(1)?.as_str()?) {
                    nodes.push(node_with(row, &mut configs)?);
                }
                Ok(true)
            },
        )?;
        Ok(nodes)
    }

    /// The same of every account here whose presence `account` sees, by address.
    pub fn pep_nodes_of_contacts(
        &mut self,
        account: &BareJid,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<(BareJid, Vec<PepNode>)>, StorageError> {
        let mut found: Vec<(BareJid, Vec<PepNode>)> = Vec::new();
        let mut configs = PepConfig::from_texts();
        self.read_some(
            "SELECT n.id, n.name, n.config, n.created_unix_ms, r.jid
             FROM account me JOIN roster r ON r.account = me.id
             JOIN account a ON a.domain = substr(r.jid, instr(r.jid, '@') + 1)
                                 AND a.local = substr(r.jid, 1, instr(r.jid, '@') - 1)
             JOIN pep_node n ON n.account = a.id
             WHERE me.domain = ?1 AND me.local = ?2 AND r.subscription IN ('to', 'both')
             ORDER BY r.jid, n.name",
            key(account),
            |row| {
                if !is_wanted(row.get_ref(1)?.as_str()?) {
                    return Ok(true);
                }
                let contact = row.get_ref(4)?.as_str()?;
                if found.last().is_none_or(|(last, _)| last.as_str() != contact) {
                    let Some(contact) = stored_jid(contact) else { return Ok(true) };
                    found.push((contact, Vec::new()));
                }
                if let Some((_, nodes)) = found.last_mut() {
                    nodes.push(node_with(row, &mut configs)?);
                }
                Ok(true)
            },
        )?;
        Ok(found)
    }

    /// What the nodes of an account take.
    pub fn pep_usage(&mut self, account: &BareJid) -> Result<PepUsage, StorageError> {
        let usage = self.read_one(
            "SELECT count(*), coalesce(sum(n.bytes), 0)
             FROM pep_node n JOIN account a ON a.id = n.account
             WHERE a.domain = ?1 AND a.local = ?2",
            key(account),
            |row| Ok(PepUsage { nodes: count(row, 0)?, bytes: count(row, 1)? }),
        )?;
        Ok(usage.unwrap_or_default())
    }

    /// Makes a node; `Failed` when there is no such account, or the node is there.
    pub fn pep_node_create(
        &mut self,
        account: &BareJid,
        name: &str,
        config: &PepConfig,
        unix_ms: i64,
    ) -> Result<PepNode, StorageError> {
        let (domain, local) = key(account);
        let rows = self.write(
            "INSERT INTO pep_node (account, name, config, created_unix_ms, bytes)
             SELECT id, ?3, ?4, ?5, 0 FROM account WHERE domain = ?1 AND local = ?2",
            params![domain, local, name, config.to_text(), unix_ms],
        )?;
        one_row(rows)?;
        self.pep_node(account, name)?.ok_or(StorageError::Failed)
    }

    /// Changes the configuration of a node.
    pub fn pep_node_configure(
        &mut self,
        node: &PepNode,
        config: &PepConfig,
    ) -> Result<(), StorageError> {
        let rows = self.write(
            "UPDATE pep_node SET config = ?2 WHERE id = ?1",
            params![node.id, config.to_text()],
        )?;
        one_row(rows)
    }

    /// Removes a node and all that belongs to it.
    pub fn pep_node_delete(&mut self, node: &PepNode) -> Result<(), StorageError> {
        let rows = self.write("DELETE FROM pep_node WHERE id = ?1", [node.id])?;
        one_row(rows)
    }

    /// Id and bytes of each item of a node, oldest first.
    pub fn pep_index(&mut self, node: &PepNode) -> Result<Vec<(String, usize)>, StorageError> {
        self.read_all(
            "SELECT uid, bytes FROM pep_item WHERE node = ?1 ORDER BY id",
            [node.id],
            |row| Ok((row.get(0)?, count(row, 1)?)),
        )
    }

    /// An item of a node.
    pub fn pep_item(&mut self, node: &PepNode, uid: &str) -> Result<Option<PepItem>, StorageError> {
        self.read_one(
            "SELECT uid, publisher, unix_ms, xml FROM pep_item WHERE node = ?1 AND uid = ?2",
            (node.id, uid),
            item,
        )
    }

    /// The item that was published last.
    pub fn pep_last_item(&mut self, node: &PepNode) -> Result<Option<PepItem>, StorageError> {
        self.read_one(
            "SELECT uid, publisher, unix_ms, xml FROM pep_item
             WHERE node = ?1 ORDER BY id DESC LIMIT 1",
            [node.id],
            item,
        )
    }

    /// Adds an item behind all others of its node, in the place of one with its id.
    pub fn pep_item_put(&mut self, node: &PepNode, item: &PepItem) -> Result<(), StorageError> {
        self.pep_item_remove(node, &item.uid)?;
        let bytes = item.bytes() as i64;
        self.write(
            "INSERT INTO pep_item (node, uid, publisher, unix_ms, bytes, xml)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![node.id, item.uid, item.publisher, item.unix_ms, bytes, item.xml],
        )?;
        let rows =
            self.write("UPDATE pep_node SET bytes = bytes + ?2 WHERE id = ?1", (node.id, bytes))?;
        one_row(rows)
    }

    /// Removes an item; `false` when it is not there.
    pub fn pep_item_remove(&mut self, node: &PepNode, uid: &str) -> Result<bool, StorageError> {
        let bytes = self.read_one(
            "SELECT bytes FROM pep_item WHERE node = ?1 AND uid = ?2",
            (node.id, uid),
            |row| row.get::<_, i64>(0),
        )?;
        let Some(bytes) = bytes else { return Ok(false) };
        self.write("DELETE FROM pep_item WHERE node = ?1 AND uid = ?2", (node.id, uid))?;
        self.write("UPDATE pep_node SET bytes = bytes - ?2 WHERE id = ?1", (node.id, bytes))?;
        Ok(true)
    }

    /// Removes the oldest items until no more than `items_max` are left; returns their ids.
    pub fn pep_prune(
        &mut self,
        node: &PepNode,
        items_max: usize,
    ) -> Result<Vec<String>, StorageError> {
        let items_max = i64::try_from(items_max).unwrap_or(i64::MAX);
        let surplus = self.read_all(
            "SELECT uid FROM pep_item WHERE node = ?1 ORDER BY id DESC LIMIT -1 OFFSET ?2",
            (node.id, items_max),
            |row| row.get::<_, String>(0),
        )?;
        for uid in &surplus {
            self.pep_item_remove(node, uid)?;
        }
        Ok(surplus)
    }

    /// Removes all items that were published before `unix_ms`.
    pub fn pep_expire(&mut self, node: &PepNode, unix_ms: i64) -> Result<(), StorageError> {
        let old = self.read_all(
            "SELECT uid FROM pep_item WHERE node = ?1 AND unix_ms < ?2",
            (node.id, unix_ms),
            |row| row.get::<_, String>(0),
        )?;
        for uid in &old {
            self.pep_item_remove(node, uid)?;
        }
        Ok(())
    }

    /// Removes all items of a node.
    pub fn pep_purge(&mut self, node: &PepNode) -> Result<(), StorageError> {
        self.write("DELETE FROM pep_item WHERE node = ?1", [node.id])?;
        one_row(self.write("UPDATE pep_node SET bytes = 0 WHERE id = ?1", [node.id])?)
    }
}

impl PepItem {
    /// What it counts as.
    pub fn bytes(&self) -> usize {
        self.uid.len() + self.publisher.len() + self.xml.len()
    }
}

/// A number that is never negative.
fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<usize> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs() as usize)
}

fn node(row: &Row<'_>) -> rusqlite::Result<PepNode> {
    node_with(row, PepConfig::from_text)
}

fn node_with(
    row: &Row<'_>,
    mut config: impl FnMut(&str, &str) -> PepConfig,
) -> rusqlite::Result<PepNode> {
    let name: String = row.get(1)?;
    let config = config(&name, row.get_ref(2)?.as_str()?);
    Ok(PepNode { id: row.get(0)?, name, config, created_unix_ms: row.get(3)? })
}

fn item(row: &Row<'_>) -> rusqlite::Result<PepItem> {
    Ok(PepItem { uid: row.get(0)?, publisher: row.get(1)?, unix_ms: row.get(2)?, xml: row.get(3)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::credentials;
    use crate::storage::{RosterItem, Subscription};

    fn bare(text: &str) -> BareJid {
        BareJid::parse(text).expect("an address")
    }

    #[test]
    fn nodes_of_whom_one_sees() {
        let mut storage = Storage::memory();
        let (juliet, open) = (bare("juliet@x"), PepAccess::Open);
        let titled = |title: &str, access| PepConfig {
            title: title.to_owned(),
            access,
            ..PepConfig::default()
        };
        for (name, subscription) in [
            ("juliet@x", None),
            ("nurse@x", Some(Subscription::Both)),
            ("paris@x", Some(Subscription::From)),
            ("romeo@y", Some(Subscription::To)),
            ("tybalt@x", Some(Subscription::None)),
            ("elsewhere@z", Some(Subscription::Both)),
            ("z", Some(Subscription::Both)),
            ("stranger@x", None),
        ] {
            let jid = bare(name);
            if !name.ends_with('z') {
                assert_eq!(storage.account_create(&jid, &credentials(1)), Ok(true));
                for (node, config) in [
                    ("mood", PepConfig::default()),
                    ("nick", PepConfig::default()),
                    ("tune", titled(name, open)),
                ] {
                    storage.pep_node_create(&jid, node, &config, 1).expect("made");
                }
            }
            let Some(subscription) = subscription else { continue };
            let (name, groups) = (None, Vec::new());
            let item = RosterItem { jid, name, groups, subscription, ask: false, approved: false };
            storage.roster_put(&juliet, &item).expect("put");
        }
        let found = storage.pep_nodes_of_contacts(&juliet, |name| name != "nick").expect("read");
        let told: Vec<_> = found
            .iter()
            .flat_map(|(jid, nodes)| nodes.iter().map(move |node| (jid, node)))
            .map(|(jid, node)| format!("{} {} {}", jid.as_str(), node.name, node.config.title))
            .collect();
        let want =
            ["nurse@x mood ", "nurse@x tune nurse@x", "romeo@y mood ", "romeo@y tune romeo@y"];
        assert_eq!(told, want);
        assert_eq!(
            found[0].1,
            storage.pep_nodes_named(&bare("nurse@x"), |n| n != "nick").expect("read")
        );
        let stranger = storage.pep_nodes_of_contacts(&bare("stranger@x"), |_| true);
        assert_eq!(stranger, Ok(Vec::new()));
    }
}
