//! Handles. What they name may be gone: a stale handle is an ordinary `None`.

use std::fmt;

/// A transport: allocated by the reactor's slab, dead when the connection is reaped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Place in the slab.
    pub index: u32,
    /// Counts the uses of that place, so that an old handle never names a new connection.
    pub generation: u32,
}

/// A session of the core, a stream with another server, or a queue of what is for one: whatever has
/// an outbox. Allocated by `Outboxes`, may outlive its connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    /// Place in the slab.
    pub index: u32,
    /// Counts the uses of that place.
    pub generation: u32,
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}.{}", self.index, self.generation)
    }
}

/// Whom a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// Clients.
    Clients,
    /// Other servers.
    Servers,
    /// Components.
    Components,
}

/// How to reach whoever a stanza came from, or whoever has a seat in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A session of this server: straight into its outbox.
    Local(SessionId),
    /// Somebody at another server, or at a component: by address, through the router.
    Remote,
    /// By address, through the router: what the server itself caused.
    Routed,
}
