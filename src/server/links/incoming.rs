//! A server that has connected to us (RFC 6120 §4, XEP-0220 §2): who it is, and what it may send.

use crate::ids::SessionId;
use crate::peers::Pair;
use crate::stream::c2s::TlsInfo;
use crate::xml::StreamEvent;
use crate::xmpp::{StreamCondition, StreamError};

use super::super::Server;
use super::Link;
use super::queues::Verdict;

/// What is known of it.
#[derive(Default)]
pub(in crate::server) struct Incoming {}

impl Server {
    pub(super) fn incoming_is_secure(&mut self, id: SessionId, tls: TlsInfo) {
        let _ = (id, tls);
    }

    pub(super) fn handle_incoming(
        &mut self,
        id: SessionId,
        event: StreamEvent,
    ) -> Result<(), StreamError> {
        let _ = (id, event);
        Err(StreamCondition::UnsupportedStanzaType.into())
    }

    pub(super) fn incoming_has_ended(&mut self, id: SessionId) {
        let _ = id;
    }

    pub(super) fn incoming_deadline_ms(&self, link: &Link) -> Option<u64> {
        let _ = link;
        None
    }

    pub(super) fn incoming_is_due(&mut self, id: SessionId) {
        let _ = id;
    }

    /// The answer to [`Server::verify_key`]: about a key that came over the link `id`.
    pub(super) fn key_is_verified(&mut self, id: SessionId, pair: &Pair, verdict: Verdict) {
        let _ = (id, pair, verdict);
    }
}
