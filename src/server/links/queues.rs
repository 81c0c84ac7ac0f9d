//! The queues of stanzas for other servers, one for each pair of a domain of ours and one of
//! theirs: by which link they go, and what becomes of what a link has lost.
//!
//! A queue has no state of its own but what waits in it. Either a link carries its pair, and it is
//! emptied into that link's outbox, never further ahead of what is written than a small window; or
//! a link was asked to (`asking`); or an attempt is made to reach the remote server (`remotes`); or
//! the attempt has failed, and all that waits comes back (`bounce`).
//!
//! What a link has not written when it is gone goes out once more, before all that came later;
//! lost a second time it comes back. What was written, and is not known to have arrived, is lost,
//! unless both sides count stanzas (`acks`). A stanza that is half written is lost too.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;

use crate::ids::SessionId;
use crate::outbound::{Outbox, Outboxes, Undelivered};
use crate::peers::Pair;

use super::super::Server;
use super::bounce::{Failure, read_back};
use super::remotes::Remote;
use super::{Hold, Part};

/// What the other side has said of a key (XEP-0220 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It made the key.
    Valid,
    /// It did not.
    Invalid,
    /// It could not be asked, or has not answered.
    Unknown,
}

/// Bytes that a queue moves ahead of what its link has written.
const WINDOW_BYTES_MAX: usize = 64 * 1024;
/// Bytes that a link keeps: those that wait, and those that the other side has not acknowledged.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// What is known of a queue beside its outbox.
#[derive(Default)]
pub(super) struct Queue {
    /// What a link has lost: goes before all that waits.
    pub again: VecDeque<Bytes>,
    /// Something was lost that may not be written yet.
    pub is_second: bool,
    /// All that waits comes back.
    pub failure: Option<Failure>,
}

/// What is known of the queues, by their handles (`Cx::peers` has their pairs), and of the servers
/// that they are for.
#[derive(Default)]
pub(in crate::server) struct Queues {
    all: HashMap<SessionId, Queue>,
    /// Queues with a link, in which something waits.
    ready: BTreeSet<SessionId>,
    /// Which link carries a pair.
    carriers: HashMap<Pair, SessionId>,
    /// The same by link.
    carried: HashMap<SessionId, Vec<Pair>>,
    /// Other servers, by domain.
    pub(super) remotes: BTreeMap<Rc<str>, Remote>,
    /// Domains whose attempt has to wait for others.
    pub(super) line: VecDeque<Rc<str>>,
    /// Attempts that are under way.
    pub(super) attempts_count: usize,
}

impl Queues {
    /// A queue.
    pub(super) fn get(&self, queue: SessionId) -> Option<&Queue> {
        self.all.get(&queue)
    }

    /// A queue, known from here on.
    pub(super) fn entry(&mut self, queue: SessionId) -> &mut Queue {
        self.all.entry(queue).or_default()
    }

    /// A queue is no more.
    pub(super) fn forget(&mut self, queue: SessionId) {
        self.all.remove(&queue);
        self.ready.remove(&queue);
    }

    /// The link that carries a pair.
    pub(super) fn carrier(&self, pair: &Pair) -> Option<SessionId> {
        self.carriers.get(pair).copied()
    }

    fn set_carrier(&mut self, link: SessionId, pair: &Pair) {
        self.carriers.insert(pair.clone(), link);
        self.carried.entry(link).or_default().push(pair.clone());
    }

    /// A link carries nothing any more; returns what it did.
    fn release(&mut self, link: SessionId) -> Vec<Pair> {
        let pairs = self.carried.remove(&link).unwrap_or_default();
        for pair in &pairs {
            self.carriers.remove(pair);
        }
        pairs
    }

    /// Something is to be sent again when its stream goes on.
    pub(super) fn have_lost(&self) -> bool {
        self.remotes.values().any(|remote| remote.lost.is_some())
    }

    /// The same of one pair.
    fn lost_of(&self, pair: &Pair) -> bool {
        let lost = self.remotes.get(&pair.theirs).and_then(|remote| remote.lost.as_ref());
        lost.is_some_and(|lost| lost.ours().contains(&pair.ours))
    }

    /// Attempts to reach a server that are under way or in line.
    pub(in crate::server) fn attempts_count(&self) -> usize {
        self.attempts_count + self.line.len()
    }
}

/// Whether a link takes more.
fn has_room(out: &Outboxes, link: SessionId) -> bool {
    out.get(link).is_some_and(|outbox| {
        outbox.is_taking()
            && outbox.len() < WINDOW_BYTES_MAX
            && outbox.bytes_kept() < KEPT_BYTES_MAX
    })
}

impl Server {
    /// At the end of a turn, after the commit: what was queued goes to its links, and queues
    /// without one get an attempt.
    pub(in crate::server) fn pump_queues(&mut self) {
        let mut domains = BTreeSet::new();
        for queue in self.cx.peers.take_touched() {
            let Some(pair) = self.cx.peers.pair(queue).cloned() else { continue };
            match self.queues.carrier(&pair) {
                Some(link) => self.touch_carried(queue, link),
                None if self.is_waiting(queue) => {
                    self.queues.entry(queue);
                    domains.insert(pair.theirs);
                }
                None => self.close_queue_if_idle(queue),
            }
        }
        domains.iter().for_each(|theirs| self.wake(theirs));
        self.begin_attempts_in_line();
        for queue in self.queues.ready.iter().copied().collect::<Vec<_>>() {
            self.pump_queue(queue);
        }
    }

    /// Something came into an empty queue that has a link.
    fn touch_carried(&mut self, queue: SessionId, link: SessionId) {
        let is_written = self.cx.out.get(link).is_none_or(Outbox::is_empty);
        let entry = self.queues.entry(queue);
        entry.is_second &= !(is_written && entry.again.is_empty());
        self.queues.ready.insert(queue);
    }

    /// Moves what waits in a queue to its link, as much as that takes.
    fn pump_queue(&mut self, queue: SessionId) {
        let link = self.cx.peers.pair(queue).and_then(|pair| self.queues.carrier(pair));
        let Some(link) = link else {
            self.queues.ready.remove(&queue);
            return;
        };
        // A link that ends keeps its pairs until it is gone: what it has not written comes first.
        let is_up = self.links.get(link).is_some_and(|link| link.hold == Hold::None);
        if !is_up || !has_room(&self.cx.out, link) {
            return;
        }
        let entry = self.queues.entry(queue);
        if entry.failure.is_some() {
            return;
        }
        while has_room(&self.cx.out, link)
            && let Some(xml) = self.queues.entry(queue).again.pop_front()
        {
            self.cx.out.push_written(link, &xml);
        }
        let is_done = self.queues.entry(queue).again.is_empty()
            && self.cx.out.forward(queue, link, WINDOW_BYTES_MAX);
        if is_done {
            self.queues.ready.remove(&queue);
        }
        self.link_was_given(link);
    }

    /// True when something can be moved to a link without waiting for anything.
    pub(in crate::server) fn queues_want_turn(&self) -> bool {
        self.attempt_may_begin()
            || self.queues.ready.iter().any(|queue| {
                let link = self.cx.peers.pair(*queue).and_then(|pair| self.queues.carrier(pair));
                let is_up = |link| self.links.get(link).is_some_and(|l| l.hold == Hold::None);
                let has_failed = self.queues.get(*queue).is_some_and(|q| q.failure.is_some());
                !has_failed && link.is_some_and(|link| is_up(link) && has_room(&self.cx.out, link))
            })
    }

    /// Something waits in a queue.
    pub(super) fn is_waiting(&self, queue: SessionId) -> bool {
        self.cx.out.get(queue).is_some_and(|outbox| !outbox.is_empty())
            || self.queues.get(queue).is_some_and(|queue| !queue.again.is_empty())
    }

    /// Forgets a queue without a link in which nothing waits.
    pub(super) fn close_queue_if_idle(&mut self, queue: SessionId) {
        let carrier = self.cx.peers.pair(queue).and_then(|pair| self.queues.carrier(pair));
        let has_failed = self.queues.get(queue).is_some_and(|queue| queue.failure.is_some());
        if carrier.is_none() && !has_failed && !self.is_waiting(queue) {
            self.queues.forget(queue);
            self.cx.peers.close(&mut self.cx.out, queue);
        }
    }

    /// The end of the shutdown: what waits is dropped, and counted.
    pub(in crate::server) fn drop_queues(&mut self) {
        self.cx.peers.close_for_good();
        let domains: Vec<_> = self.queues.remotes.keys().cloned().collect();
        domains.iter().for_each(|theirs| self.put_back_lost(theirs));
        for queue in self.cx.peers.queues() {
            let again = self.queues.get(queue).map_or(0, |queue| queue.again.len());
            let waiting = self.cx.out.get(queue).map_or(0, Outbox::stanzas_waiting);
            self.cx.out.stanzas_dropped += (again + waiting) as u64;
            self.queues.forget(queue);
            self.cx.peers.close(&mut self.cx.out, queue);
        }
    }

    /// A timer of a queue fired, or of a question about a key.
    pub(in crate::server) fn handle_queue_timer(&mut self, queue: SessionId) {
        self.begin_chain();
        self.give_up_questions();
        self.bounce_queue(queue);
        self.finish_chain();
    }

    /// A queue holds more than all may together, or was cut for another reason: its stanzas come
    /// back.
    pub(in crate::server) fn handle_queue_cut(&mut self, queue: SessionId) {
        if self.cx.peers.pair(queue).is_some() {
            self.bounce_all(queue, Failure::Full);
        }
    }

    /// A link may carry what goes from `pair.ours` to `pair.theirs` from now on.
    pub(super) fn link_takes(&mut self, link: SessionId, pair: &Pair) {
        if self.queues.carrier(pair).is_some() {
            return;
        }
        if self.queues.lost_of(pair) {
            self.put_back_lost(&pair.theirs);
        }
        self.queues.set_carrier(link, pair);
        let queues = self.cx.peers.queues_of(&pair.theirs);
        if let Some((_, queue)) = queues.iter().find(|(ours, _)| *ours == pair.ours) {
            self.queues.ready.insert(*queue);
        }
    }

    /// What a link that is gone has not written, or its peer has not acknowledged.
    pub(super) fn take_back(
        &mut self,
        link: SessionId,
        part: &Part,
        undelivered: Vec<Undelivered>,
        reason: &str,
    ) {
        let released = self.queues.release(link);
        match part {
            Part::Outgoing(outgoing) => self.take_back_outgoing(outgoing, undelivered),
            Part::Incoming(_) => self.put_back(undelivered.into_iter().map(|lost| lost.xml)),
            // To the component's server, or back to who sent it, as the router finds.
            Part::Attached(_) | Part::Upstream(_) => {
                let stanzas = undelivered.iter().flat_map(|lost| read_back(&lost.xml));
                stanzas.for_each(|stanza| self.cx.route(stanza));
            }
        }
        let mut domains: BTreeSet<_> = released.into_iter().map(|pair| pair.theirs).collect();
        if let Part::Outgoing(outgoing) = part {
            domains.extend(outgoing.serves.iter().cloned());
        }
        for theirs in domains {
            log::debug!("link to a server is gone: domain={theirs} reason={reason}");
            self.wake(&theirs);
            for (_, queue) in self.cx.peers.queues_of(&theirs) {
                self.close_queue_if_idle(queue);
            }
        }
    }

    /// What was lost goes before what waits in its queues; lost for the second time it comes back.
    pub(super) fn put_back(&mut self, lost: impl DoubleEndedIterator<Item = Bytes>) {
        let mut queues = BTreeSet::new();
        if self.cx.peers.is_closed() {
            // At the very end links count what they have themselves.
            let count = if self.drain.is_over() { 0 } else { lost.count() };
            self.cx.out.stanzas_dropped += count as u64;
            return;
        }
        for stanza in lost.rev().flat_map(|xml| read_back(&xml).into_iter().rev()) {
            let Some(theirs) = stanza.to.as_ref().map(|to| to.domain()) else { continue };
            let queue = self.cx.peers.queue(&mut self.cx.out, stanza.from.domain(), theirs);
            let mut xml = Vec::with_capacity(256);
            stanza.write(&mut xml);
            self.queues.entry(queue).again.push_front(xml.into());
            self.queues.ready.insert(queue);
            queues.insert(queue);
        }
        for queue in queues {
            if std::mem::replace(&mut self.queues.entry(queue).is_second, true) {
                self.queues.entry(queue).is_second = false;
                self.fail_queue(queue, Failure::Timeout);
            }
        }
    }
}
