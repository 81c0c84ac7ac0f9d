//! A server that we have connected to (RFC 6120 §4, XEP-0220 §2): negotiation until stanzas may go.

use crate::ids::SessionId;
use crate::stream::c2s::TlsInfo;
use crate::xml::StreamEvent;
use crate::xmpp::{StreamCondition, StreamError};

use super::super::Server;
use super::Link;

/// What is known of it.
#[derive(Default)]
pub(in crate::server) struct Outgoing {}

impl Server {
    pub(super) fn outgoing_is_secure(&mut self, id: SessionId, tls: TlsInfo) {
        let _ = (id, tls);
    }

    pub(super) fn handle_outgoing(
        &mut self,
        id: SessionId,
        event: StreamEvent,
    ) -> Result<(), StreamError> {
        let _ = (id, event);
        Err(StreamCondition::UnsupportedStanzaType.into())
    }

    pub(super) fn outgoing_has_ended(&mut self, id: SessionId) {
        let _ = id;
    }

    pub(super) fn outgoing_deadline_ms(&self, link: &Link) -> Option<u64> {
        let _ = link;
        None
    }

    pub(super) fn outgoing_is_due(&mut self, id: SessionId) {
        let _ = id;
    }

    pub(super) fn outgoing_is_up(&mut self, id: SessionId) {
        let _ = id;
    }
}
