//! The queues of stanzas for other servers: for each pair of domains, by which link they go, how
//! the next attempt is made, and what becomes of them when there is none left.

use crate::dns::{Nowhere, Place};
use crate::ids::SessionId;
use crate::outbound::Undelivered;
use crate::peers::Pair;

use super::super::Server;
use super::Part;

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

/// What is known of the queues, by their handles (`Cx::peers` has their pairs).
#[derive(Default)]
pub(in crate::server) struct Queues {}

impl Server {
    /// At the end of a turn, after the commit: what was queued goes to its links, and queues
    /// without one get an attempt.
    pub(in crate::server) fn pump_queues(&mut self) {
        let _ = self.cx.peers.take_touched();
    }

    /// A timer of a queue fired.
    pub(in crate::server) fn handle_queue_timer(&mut self, queue: SessionId) {
        let _ = queue;
    }

    /// A queue holds more than all may together, or was cut for another reason: its stanzas come
    /// back.
    pub(in crate::server) fn handle_queue_cut(&mut self, queue: SessionId) {
        let _ = queue;
    }

    /// What the name service knows of a domain.
    pub(super) fn places_found(&mut self, domain: &str, places: Result<Vec<Place>, Nowhere>) {
        let _ = (domain, places);
    }

    /// Asks the server of `pair.theirs` whether it made a key that has come over the link `asker`
    /// on the stream `stream_id` (XEP-0220 §2.2): over another connection than that.
    /// [`Server::key_is_verified`] is called with the verdict.
    pub(super) fn verify_key(&mut self, asker: SessionId, pair: &Pair, stream_id: &str, key: &str) {
        let _ = (asker, pair, stream_id, key);
    }

    /// A link may carry what goes from `pair.ours` to `pair.theirs` from now on.
    pub(super) fn link_takes(&mut self, link: SessionId, pair: &Pair) {
        let _ = (link, pair);
    }

    /// What a link that is gone has not written, or its peer has not acknowledged.
    pub(super) fn take_back(&mut self, part: &Part, undelivered: Vec<Undelivered>, reason: &str) {
        let _ = (part, undelivered, reason);
    }
}
