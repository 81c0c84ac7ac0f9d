//! Who has subscribed to a node by itself, and whom its owner has affiliated with it (XEP-0060
//! §4.1, §6.1). The owner is no row here.

use rusqlite::params;

use super::PepNode;
use crate::storage::rooms::key;
use crate::storage::{Storage, StorageError, values::stored_jid};
use crate::xmpp::{BareJid, Jid};

/// What somebody is to a node (XEP-0060 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PepAffiliation {
    /// Kept out.
    Outcast,
    /// On the list.
    Member,
    /// May publish.
    Publisher,
}

impl PepAffiliation {
    /// The attribute value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outcast => "outcast",
            Self::Member => "member",
            Self::Publisher => "publisher",
        }
    }

    /// The affiliation with this attribute value.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Outcast, Self::Member, Self::Publisher].into_iter().find(|a| a.as_str() == text)
    }
}

impl Storage {
    /// What somebody is to a node.
    pub fn pep_affiliation(
        &mut self,
        node: &PepNode,
        jid: &BareJid,
    ) -> Result<Option<PepAffiliation>, StorageError> {
        let text = self.read_one(
            "SELECT affiliation FROM pep_affiliation WHERE node = ?1 AND jid = ?2",
            (node.id, jid.as_str()),
            |row| row.get::<_, String>(0),
        )?;
        Ok(text.as_deref().and_then(PepAffiliation::parse))
    }

    /// All affiliations of a node, by address.
    pub fn pep_affiliations(
        &mut self,
        node: &PepNode,
    ) -> Result<Vec<(BareJid, PepAffiliation)>, StorageError> {
        let rows = self.read_all(
            "SELECT jid, affiliation FROM pep_affiliation WHERE node = ?1 ORDER BY jid",
            [node.id],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )?;
        let pair = |(jid, text): (String, String)| {
            Some((stored_jid(&jid)?, PepAffiliation::parse(&text)?))
        };
        Ok(rows.into_iter().filter_map(pair).collect())
    }

    /// Affiliates somebody with a node, or no longer.
    pub fn pep_affiliate(
        &mut self,
        node: &PepNode,
        jid: &BareJid,
        affiliation: Option<PepAffiliation>,
    ) -> Result<(), StorageError> {
        let Some(affiliation) = affiliation else {
            self.write(
                "DELETE FROM pep_affiliation WHERE node = ?1 AND jid = ?2",
                (node.id, jid.as_str()),
            )?;
            return Ok(());
        };
        self.write(
            "INSERT INTO pep_affiliation (node, jid, affiliation) VALUES (?1, ?2, ?3)
             ON CONFLICT (node, jid) DO UPDATE SET affiliation = excluded.affiliation",
            (node.id, jid.as_str(), affiliation.as_str()),
        )?;
        Ok(())
    }

    /// The nodes of an account that somebody is affiliated with, by name.
    pub fn pep_affiliations_of(
        &mut self,
        account: &BareJid,
        jid: &BareJid,
    ) -> Result<Vec<(String, PepAffiliation)>, StorageError> {
        let (domain, local) = key(account);
        let rows = self.read_all(
            "SELECT n.name, p.affiliation
             FROM pep_affiliation p JOIN pep_node n ON n.id = p.node
             JOIN account a ON a.id = n.account
             WHERE a.domain = ?1 AND a.local = ?2 AND p.jid = ?3 ORDER BY n.name",
            (domain, local, jid.as_str()),
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )?;
        let pair = |(name, text): (String, String)| Some((name, PepAffiliation::parse(&text)?));
        Ok(rows.into_iter().filter_map(pair).collect())
    }

    /// The addresses that have subscribed to a node, in their order.
    pub fn pep_subscribers(&mut self, node: &PepNode) -> Result<Vec<Jid>, StorageError> {
        let rows = self.read_all(
            "SELECT jid FROM pep_subscription WHERE node = ?1 ORDER BY jid",
            [node.id],
            |row| row.get::<_, String>(0),
        )?;
        Ok(rows.iter().filter_map(|jid| Jid::parse(jid).ok()).collect())
    }

    /// Subscribes an address to a node; nothing changes when it is subscribed.
    pub fn pep_subscribe(&mut self, node: &PepNode, jid: &Jid) -> Result<(), StorageError> {
        self.write(
            "INSERT INTO pep_subscription (node, jid, account) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
            params![node.id, jid.as_str(), jid.bare_str()],
        )?;
        Ok(())
    }

    /// Ends a subscription; `false` when there is none.
    pub fn pep_unsubscribe(&mut self, node: &PepNode, jid: &Jid) -> Result<bool, StorageError> {
        let rows = self.write(
            "DELETE FROM pep_subscription WHERE node = ?1 AND jid = ?2",
            (node.id, jid.as_str()),
        )?;
        Ok(rows > 0)
    }

    /// The subscriptions of somebody to nodes of an account: node and subscribed address.
    pub fn pep_subscriptions_of(
        &mut self,
        account: &BareJid,
        jid: &BareJid,
    ) -> Result<Vec<(String, String)>, StorageError> {
        let (domain, local) = key(account);
        self.read_all(
            "SELECT n.name, s.jid
             FROM pep_subscription s JOIN pep_node n ON n.id = s.node
             JOIN account a ON a.id = n.account
             WHERE a.domain = ?1 AND a.local = ?2 AND s.account = ?3 ORDER BY n.name, s.jid",
            (domain, local, jid.as_str()),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    /// An account is no more: the next of its name is nothing to anybody's node.
    pub(in crate::storage) fn pep_forget(&mut self, jid: &BareJid) -> Result<(), StorageError> {
        self.write("DELETE FROM pep_affiliation WHERE jid = ?1", [jid.as_str()])?;
        self.write("DELETE FROM pep_subscription WHERE account = ?1", [jid.as_str()])?;
        Ok(())
    }
}
