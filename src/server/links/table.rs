//! Links by handle, and by the connection that carries them.

use std::collections::HashMap;

use crate::ids::{ConnId, SessionId};

use super::Link;
use super::incoming::Guests;

/// All links.
#[derive(Default)]
pub(in crate::server) struct Links {
    all: HashMap<SessionId, Link>,
    by_conn: HashMap<ConnId, SessionId>,
    /// The servers that have connected to us.
    pub(super) guests: Guests,
}

impl Links {
    /// A link.
    pub(in crate::server) fn get(&self, id: SessionId) -> Option<&Link> {
        self.all.get(&id)
    }

    /// A link.
    pub(in crate::server) fn get_mut(&mut self, id: SessionId) -> Option<&mut Link> {
        self.all.get_mut(&id)
    }

    /// The link that a connection carries.
    pub(in crate::server) fn at(&self, conn: ConnId) -> Option<SessionId> {
        self.by_conn.get(&conn).copied()
    }

    /// How many there are.
    pub(in crate::server) fn len(&self) -> usize {
        self.all.len()
    }

    /// The handles of all links, in a fixed order.
    pub(in crate::server) fn ids(&self) -> Vec<SessionId> {
        let mut ids: Vec<_> = self.all.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Adds a link under its handle, and its connection.
    pub(super) fn insert(&mut self, link: Link) {
        if let Some(conn) = link.conn {
            self.by_conn.insert(conn, link.id);
        }
        self.all.insert(link.id, link);
    }

    /// Forgets a link and its connection.
    pub(super) fn remove(&mut self, id: SessionId) -> Option<Link> {
        let link = self.all.remove(&id)?;
        if let Some(conn) = link.conn {
            self.by_conn.remove(&conn);
        }
        Some(link)
    }
}
