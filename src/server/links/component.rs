//! Components (XEP-0114): those that attach to us, and being one ourselves.

use crate::ids::SessionId;
use crate::xml::StreamEvent;
use crate::xmpp::{StreamCondition, StreamError};

use super::super::Server;
use super::Link;

/// What is known of it.
#[derive(Default)]
pub(in crate::server) struct Attached {}

impl Server {
    pub(super) fn handle_attached(
        &mut self,
        id: SessionId,
        event: StreamEvent,
    ) -> Result<(), StreamError> {
        let _ = (id, event);
        Err(StreamCondition::UnsupportedStanzaType.into())
    }

    pub(super) fn attached_has_ended(&mut self, id: SessionId) {
        let _ = id;
    }

    pub(super) fn attached_deadline_ms(&self, link: &Link) -> Option<u64> {
        let _ = link;
        None
    }

    pub(super) fn attached_is_due(&mut self, id: SessionId) {
        let _ = id;
    }
}

/// What is known of it.
#[derive(Default)]
pub(in crate::server) struct Upstream {}

impl Server {
    pub(super) fn handle_upstream(
        &mut self,
        id: SessionId,
        event: StreamEvent,
    ) -> Result<(), StreamError> {
        let _ = (id, event);
        Err(StreamCondition::UnsupportedStanzaType.into())
    }

    pub(super) fn upstream_has_ended(&mut self, id: SessionId) {
        let _ = id;
    }

    pub(super) fn upstream_deadline_ms(&self, link: &Link) -> Option<u64> {
        let _ = link;
        None
    }

    pub(super) fn upstream_is_due(&mut self, id: SessionId) {
        let _ = id;
    }

    pub(super) fn upstream_is_up(&mut self, id: SessionId) {
        let _ = id;
    }
}
