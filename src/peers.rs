//! The ways out of this server: which outbox a stanza for another domain goes into.
//!
//! For each pair of a domain of ours and one of theirs there is a queue, made when the first stanza
//! is for it; the server (`server/links`) finds a stream for it, and moves what waits there. A
//! component has the outbox of its stream, while it is attached; so has the server that we are a
//! component of, and then everything goes there. What a queue holds is bounded in bytes and in
//! stanzas: above that there is no way, and whoever sends is told.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::config::S2s;
use crate::ids::SessionId;
use crate::outbound::{Outbox, Outboxes};
use crate::xmpp::Condition;

/// Queues that there may be: one for each pair of domains.
const QUEUES_MAX: usize = 10_000;

/// A domain of ours and one of theirs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    /// Ours.
    pub ours: Rc<str>,
    /// Theirs.
    pub theirs: Rc<str>,
}

/// Why a stanza cannot leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWay {
    /// There is no federation, and no such component.
    Nowhere,
    /// The component is not attached, or the server that we are a component of is gone.
    Detached,
    /// Too much waits already.
    Full,
}

impl From<NoWay> for Condition {
    fn from(why: NoWay) -> Self {
        match why {
            NoWay::Nowhere => Self::RemoteServerNotFound,
            NoWay::Detached => Self::ServiceUnavailable,
            NoWay::Full => Self::ResourceConstraint,
        }
    }
}

/// All ways.
#[derive(Default)]
pub struct Peers {
    /// By their domain; few of ours each.
    queues: BTreeMap<Rc<str>, Vec<(Rc<str>, SessionId)>>,
    pairs: HashMap<SessionId, Pair>,
    /// Queues that something was put into since the server last looked.
    touched: Vec<SessionId>,
    /// Domains of components, and their streams while they are attached.
    components: BTreeMap<Rc<str>, Option<SessionId>>,
    /// We are a component: the queue of what goes to the other server, which is everything.
    upstream: Option<SessionId>,
    /// No new queue is made any more (shutdown).
    is_closed: bool,
}

impl Peers {
    /// The outbox for what goes from a domain of ours to one of theirs.
    pub fn way(
        &mut self,
        out: &mut Outboxes,
        limits: &S2s,
        ours: &str,
        theirs: &str,
    ) -> Result<SessionId, NoWay> {
        if let Some(stream) = self.components.get(theirs) {
            return stream.ok_or(NoWay::Detached);
        }
        if let Some(queue) = self.upstream {
            return has_room(out, limits, queue);
        }
        let known =
            self.queues.get(theirs).and_then(|own| own.iter().find(|(own, _)| &**own == ours));
        let queue = match known {
            Some((_, queue)) => *queue,
            None if !limits.is_on() || self.is_closed => return Err(NoWay::Nowhere),
            None if self.pairs.len() >= QUEUES_MAX => return Err(NoWay::Full),
            None => self.open(out, ours, theirs),
        };
        if out.get(queue).is_some_and(Outbox::is_empty) {
            self.touched.push(queue);
        }
        has_room(out, limits, queue)
    }

    /// The queue of a pair, made if there is none; for what the server wants to send without a
    /// stanza (a request to verify a key).
    pub fn queue(&mut self, out: &mut Outboxes, ours: &str, theirs: &str) -> SessionId {
        let known =
            self.queues.get(theirs).and_then(|own| own.iter().find(|(own, _)| &**own == ours));
        match known {
            Some((_, queue)) => *queue,
            None => self.open(out, ours, theirs),
        }
    }

    fn open(&mut self, out: &mut Outboxes, ours: &str, theirs: &str) -> SessionId {
        let queue = out.open();
        let pair = Pair { ours: ours.into(), theirs: theirs.into() };
        let own = self.queues.entry(Rc::clone(&pair.theirs)).or_default();
        own.push((Rc::clone(&pair.ours), queue));
        self.pairs.insert(queue, pair);
        queue
    }

    /// The pair that a queue is for.
    pub fn pair(&self, queue: SessionId) -> Option<&Pair> {
        self.pairs.get(&queue)
    }

    /// The queues for a domain of theirs: ours, and the queue.
    pub fn queues_of(&self, theirs: &str) -> Vec<(Rc<str>, SessionId)> {
        self.queues.get(theirs).cloned().unwrap_or_default()
    }

    /// Forgets an empty queue: the next stanza for that pair makes a new one.
    pub fn close(&mut self, out: &mut Outboxes, queue: SessionId) {
        let Some(pair) = self.pairs.remove(&queue) else { return };
        if let Some(own) = self.queues.get_mut(&pair.theirs) {
            own.retain(|(_, other)| *other != queue);
            if own.is_empty() {
                self.queues.remove(&pair.theirs);
            }
        }
        out.close(queue);
    }

    /// Queues that were empty and got something, since the last call.
    pub fn take_touched(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.touched)
    }

    /// The handles of all queues for other servers, in a fixed order.
    pub fn queues(&self) -> Vec<SessionId> {
        self.queues.values().flatten().map(|(_, queue)| *queue).collect()
    }

    /// Queues that there are.
    pub fn queues_count(&self) -> usize {
        self.pairs.len()
    }

    /// No new queue is made from here on.
    pub fn close_for_good(&mut self) {
        self.is_closed = true;
    }

    /// No new queue is made any more.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// A component may attach under this domain; `stream` while it is attached.
    pub fn set_component(&mut self, domain: &str, stream: Option<SessionId>) {
        self.components.insert(domain.into(), stream);
    }

    /// True for the domain of a component, attached or not.
    pub fn is_component(&self, domain: &str) -> bool {
        self.components.contains_key(domain)
    }

    /// The stream of a component, while it is attached.
    pub fn component(&self, domain: &str) -> Option<SessionId> {
        self.components.get(domain).copied().flatten()
    }

    /// The domains of components, attached or not, in their order.
    pub fn component_domains(&self) -> impl Iterator<Item = &str> {
        self.components.keys().map(|domain| &**domain)
    }

    /// We are a component of another server: everything for others goes into this queue.
    pub fn set_upstream(&mut self, queue: SessionId) {
        self.upstream = Some(queue);
    }
}

/// A queue, unless too much waits in it.
fn has_room(out: &Outboxes, limits: &S2s, queue: SessionId) -> Result<SessionId, NoWay> {
    let outbox = out.get(queue).ok_or(NoWay::Nowhere)?;
    match () {
        () if outbox.len() >= limits.queue_bytes => Err(NoWay::Full),
        () if outbox.stanzas_waiting() >= limits.queue_stanzas => Err(NoWay::Full),
        () => Ok(queue),
    }
}
