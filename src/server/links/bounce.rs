//! Stanzas that cannot reach their server come back to who sent them: from the address that was
//! written to, `by` our domain, with words that name nobody, since a room may hide where its
//! occupants are from.
//!
//! | what has happened | condition | type |
//! |---|---|---|
//! | no place is known, or none could be connected to (RFC 6120 §8.3.3.16) | remote-server-not-found | cancel |
//! | a stream was begun and closed, or took too long; a dialback error (XEP-0220 §2.1.1, §2.5) | remote-server-timeout | wait |
//! | no TLS where it is required, or a certificate that is not good enough (RFC 6120 §8.3.3.17: "of a more permanent nature") | remote-server-timeout | cancel |
//! | the other side says that our key is not ours (XEP-0220 §2.1.1) | internal-server-error | cancel |
//! | more waits than may | resource-constraint | wait |
//!
//! Errors and results are never answered, nor is what says that somebody has gone, nor a probe.

use bytes::Bytes;

use crate::ids::{SessionId, Target};
use crate::timers::TimerKey;
use crate::xml::{Element, read_fragment};
use crate::xmpp::{
    BareJid, Condition, ErrorType, PresenceType, Stanza, StanzaError, StanzaKind, ns,
};

use super::super::Server;
use super::super::edge;

/// Stanzas of one queue that come back in one turn.
const TURN_BOUNCES_MAX: usize = 256;

/// Why the server of a domain is not reached; of several the greatest tells most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    /// There is no place, or none could be connected to.
    #[default]
    Unreachable,
    /// The stream was closed, took too long, or its server would not have us.
    Timeout,
    /// It is not as safe as we want it.
    Policy,
    /// It says that we are not who we are.
    Invalid,
    /// More waits than may.
    Full,
}

impl Failure {
    fn error(self, ours: &str) -> StanzaError {
        let (condition, text) = match self {
            Self::Unreachable => {
                (Condition::RemoteServerNotFound, "the server of that address cannot be found")
            }
            Self::Timeout => {
                (Condition::RemoteServerTimeout, "the server of that address does not answer")
            }
            Self::Policy => {
                (Condition::RemoteServerTimeout, "the server of that address is not safe enough")
            }
            Self::Invalid => {
                (Condition::InternalServerError, "the server of that address does not believe us")
            }
            Self::Full => {
                (Condition::ResourceConstraint, "too much waits for the server of that address")
            }
        };
        let mut error = StanzaError::new(condition).with_text(text);
        if self == Self::Policy {
            error = error.with_type(ErrorType::Cancel);
        }
        error.by = BareJid::parse(ours).ok();
        error
    }
}

impl Server {
    /// All that waits in a queue comes back, from the next turn on.
    pub(super) fn fail_queue(&mut self, queue: SessionId, failure: Failure) {
        let entry = self.queues.entry(queue);
        if entry.failure.replace(failure).is_none() {
            self.cx.timers.set(self.cx.now.mono_ms, TimerKey::Queue(queue));
        }
    }

    /// Gives back what waits in a queue that has failed, as much as one turn may.
    pub(super) fn bounce_queue(&mut self, queue: SessionId) {
        let Some(failure) = self.queues.get(queue).and_then(|queue| queue.failure) else { return };
        if !self.bounce_some(queue, failure, TURN_BOUNCES_MAX) {
            self.cx.timers.set(self.cx.now.mono_ms, TimerKey::Queue(queue));
            return;
        }
        self.queues.entry(queue).failure = None;
        self.close_queue_if_idle(queue);
    }

    /// The same at once, and the queue is no more.
    pub(super) fn bounce_all(&mut self, queue: SessionId, failure: Failure) {
        self.bounce_some(queue, failure, usize::MAX);
        self.queues.forget(queue);
        self.cx.peers.close(&mut self.cx.out, queue);
    }

    /// False: more waits.
    fn bounce_some(&mut self, queue: SessionId, failure: Failure, count_max: usize) -> bool {
        for _ in 0..count_max {
            let again = self.queues.entry(queue).again.pop_front();
            let Some(xml) = again.or_else(|| self.cx.out.take_first(queue)) else { return true };
            for stanza in read_back(&xml) {
                self.bounce(&stanza, failure);
            }
        }
        false
    }

    /// One stanza comes back.
    fn bounce(&mut self, stanza: &Stanza, failure: Failure) {
        use PresenceType::{Probe, Unavailable};
        // During the shutdown there is nobody left to tell.
        self.cx.out.stanzas_dropped += u64::from(self.drain.has_begun());
        if matches!(stanza.kind, StanzaKind::Presence(Probe | Unavailable)) {
            return;
        }
        let error = failure.error(stanza.from.domain());
        self.reply_error(Target::Routed, stanza, error);
    }
}

/// The stanzas in what was written for a stream between servers; elements of dialback and of
/// stream management may stand between them.
pub(super) fn read_back(xml: &Bytes) -> Vec<Stanza> {
    let dialback = ns::DIALBACK;
    let wrapped = [format!("<w xmlns:db='{dialback}'>").as_bytes(), xml, b"</w>"].concat();
    let Some(wrapper) = read_fragment(&wrapped, ns::CLIENT).pop() else { return Vec::new() };
    let elements: Vec<Element> = wrapper.elements().cloned().collect();
    elements.into_iter().filter_map(edge::written_stanza).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said() {
        use {Condition as C, ErrorType as T};
        for (failure, condition, kind) in [
            (Failure::Unreachable, C::RemoteServerNotFound, T::Cancel),
            (Failure::Timeout, C::RemoteServerTimeout, T::Wait),
            (Failure::Policy, C::RemoteServerTimeout, T::Cancel),
            (Failure::Invalid, C::InternalServerError, T::Cancel),
            (Failure::Full, C::ResourceConstraint, T::Wait),
        ] {
            let error = failure.error("localhost");
            assert_eq!((error.condition, error.kind), (condition, kind), "{failure:?}");
            assert_eq!(error.by.unwrap().as_str(), "localhost");
        }
    }

    #[test]
    fn stanzas_are_read_back() {
        let xml = "<db:result from='a' to='b'>k</db:result><r xmlns='urn:xmpp:sm:3'/>\
            <presence from='a@a/r' to='b@b' type='subscribe'/>";
        let read = read_back(&Bytes::from(xml));
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].kind, StanzaKind::Presence(PresenceType::Subscribe));
        assert!(read_back(&Bytes::from("<message from='a' to='b'><body>")).is_empty());
    }
}
