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

/// Values of sessions by their handles. Places in the slab are few and close together, so this is
/// a list of boxes: no hashing, and no half of a table that is empty.
#[derive(Debug)]
pub struct BySession<T> {
    /// By `SessionId::index`.
    slots: Vec<Option<Box<(SessionId, T)>>>,
    count: usize,
}

impl<T> Default for BySession<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), count: 0 }
    }
}

impl<T> BySession<T> {
    /// The value of a session.
    pub fn get(&self, id: SessionId) -> Option<&T> {
        let (own, value) = self.slots.get(id.index as usize)?.as_deref()?;
        (*own == id).then_some(value)
    }

    /// The value of a session.
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut T> {
        let (own, value) = self.slots.get_mut(id.index as usize)?.as_deref_mut()?;
        (*own == id).then_some(value)
    }

    /// Gives a session its value. Panics when another one has its place: that must have gone.
    pub fn insert(&mut self, id: SessionId, value: T) {
        let index = id.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        let before = self.slots[index].replace(Box::new((id, value)));
        assert!(before.is_none(), "a place in the slab is one session's at a time");
        self.count += 1;
    }

    /// Takes the value of a session.
    pub fn remove(&mut self, id: SessionId) -> Option<T> {
        self.get(id)?;
        let (_, value) = *self.slots[id.index as usize].take()?;
        self.count -= 1;
        Some(value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_handle_finds_nothing() {
        let id = |index, generation| SessionId { index, generation };
        let mut values = BySession::default();
        values.insert(id(2, 1), "a");
        assert_eq!((values.get(id(2, 1)), values.len()), (Some(&"a"), 1));
        for stale in [id(2, 2), id(1, 1), id(3, 1)] {
            assert_eq!(values.get(stale), None, "{stale:?}");
            assert_eq!(values.get_mut(stale), None, "{stale:?}");
            assert_eq!(values.remove(stale), None, "{stale:?}");
        }
        assert_eq!(values.remove(id(2, 1)), Some("a"));
        assert!(values.is_empty() && values.get(id(2, 1)).is_none());
        values.insert(id(2, 2), "b");
        assert_eq!((values.get(id(2, 1)), values.get(id(2, 2))), (None, Some(&"b")));
    }
}
