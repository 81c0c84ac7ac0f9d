//! This server as a component of another one (XEP-0114): it connects, shows that it knows the
//! secret, and everything that is not for its own rooms goes there. When the stream is lost it
//! tries again, later each time up to a minute; what is said meanwhile waits, bounded.

use std::net::SocketAddr;

use crate::cx::Action;
use crate::dns::{Nowhere, Place};
use crate::ids::SessionId;
use crate::outbound::Outbox;
use crate::timers::TimerKey;
use crate::xml::{StreamEvent, StreamHeader};
use crate::xmpp::{StreamCondition, StreamError, ns};

use super::super::{Hold, Link, Part};
use super::{component_header, handshake};
use crate::server::Server;

/// The first pause before another attempt; it doubles.
const PAUSE_MS_MIN: u64 = 1_000;
/// The longest one.
const PAUSE_MS_MAX: u64 = 60_000;
/// Time to connect and to attach.
const ATTACH_MS_MAX: u64 = 20_000;
/// What waits in the stream's own outbox at most; the rest stays in the queue.
const WINDOW_BYTES: usize = 256 * 1024;

/// What is known of the server that we are a component of.
#[derive(Default)]
pub(in crate::server) struct Upstream {
    /// It has taken our handshake.
    is_attached: bool,
}

/// How it stands with being a component.
#[derive(Default)]
pub(in crate::server) struct Attachment {
    /// The stream, or the attempt.
    link: Option<SessionId>,
    /// What is for the other server.
    queue: Option<SessionId>,
    /// Attempts that failed since the last good one.
    failures: u32,
}

impl Server {
    /// The first attempt, if this is a component of another server.
    pub(in crate::server) fn begin_upstream(&mut self) {
        if self.cx.config.component.is_some() {
            let queue = self.cx.out.open();
            self.cx.peers.set_upstream(queue);
            self.attachment.queue = Some(queue);
            self.cx.timers.set(self.cx.now.mono_ms, TimerKey::Upstream);
        }
    }

    /// It is time for an attempt.
    pub(in crate::server) fn handle_upstream_timer(&mut self) {
        let Some(component) = self.cx.config.component.clone() else { return };
        if self.attachment.link.is_some() || self.drain.is_past_servers() {
            return;
        }
        match component.server.parse::<SocketAddr>() {
            Ok(address) => self.connect_upstream(address),
            Err(_) => self.look_up(&component.server),
        }
    }

    /// What the name service knows of the other server.
    pub(in crate::server) fn upstream_found(&mut self, places: Result<Vec<Place>, Nowhere>) {
        // The addresses in turn, one per attempt.
        let places = places.unwrap_or_default();
        let turn = self.attachment.failures as usize % places.len().max(1);
        match places.get(turn) {
            Some(place) if self.attachment.link.is_none() => self.connect_upstream(place.address),
            Some(_) => {}
            None => self.pause_upstream("its name cannot be resolved"),
        }
    }

    fn connect_upstream(&mut self, address: SocketAddr) {
        let part = Part::Upstream(Box::default());
        let link = self.open_link(address.ip(), part, Hold::Connecting);
        self.attachment.link = Some(link);
        self.cx.actions.push_back(Action::Connect { link, address });
        self.set_link_timer(link);
    }

    /// The connection is made: our header.
    pub(in crate::server::links) fn upstream_is_up(&mut self, id: SessionId) {
        let Some(component) = &self.cx.config.component else { return };
        let header = component_header("to", component.domain.as_str(), None);
        self.cx.out.push_raw(id, &header);
        if let Some(link) = self.links.get_mut(id) {
            link.is_open = true;
        }
        self.resume_link(id);
    }

    /// What the other server sends.
    pub(in crate::server::links) fn handle_upstream(
        &mut self,
        id: SessionId,
        event: StreamEvent,
    ) -> Result<(), StreamError> {
        match event {
            StreamEvent::Open(header) => self.open_upstream(id, &header),
            StreamEvent::Stanza(element) if self.is_upstream_attached(id) => {
                let config = self.cx.config.clone();
                self.handle_link_stanza(element, |_from, to| {
                    let is_ours = config.is_room_domain(to.domain());
                    if is_ours { Ok(()) } else { Err(StreamCondition::HostUnknown.into()) }
                })
            }
            StreamEvent::Stanza(element) if element.is("handshake", ns::CLIENT) => {
                if let Some(Part::Upstream(upstream)) =
                    self.links.get_mut(id).map(|link| &mut link.part)
                {
                    upstream.is_attached = true;
                }
                self.attachment.failures = 0;
                self.link_is_authenticated(id);
                log::info!("attached as a component");
                Ok(())
            }
            StreamEvent::Stanza(_) => Err(StreamCondition::NotAuthorized.into()),
            StreamEvent::Close => Ok(()),
        }
    }

    fn open_upstream(&mut self, id: SessionId, header: &StreamHeader) -> Result<(), StreamError> {
        let Some(component) = &self.cx.config.component else { return Ok(()) };
        if header.ns != ns::STREAMS || header.content_ns != ns::COMPONENT {
            return Err(StreamCondition::InvalidNamespace.into());
        }
        let stream_id = header.id.as_deref().ok_or(StreamCondition::BadFormat)?;
        let proof = handshake(stream_id, &component.secret);
        self.cx.out.push_raw(id, format!("<handshake>{proof}</handshake>").as_bytes());
        Ok(())
    }

    fn is_upstream_attached(&self, id: SessionId) -> bool {
        matches!(
            self.links.get(id).map(|link| &link.part),
            Some(Part::Upstream(upstream)) if upstream.is_attached
        )
    }

    /// The stream has ended, or was never there.
    pub(in crate::server::links) fn upstream_has_ended(&mut self, id: SessionId) {
        if self.attachment.link == Some(id) {
            self.attachment.link = None;
            if !self.drain.is_past_servers() {
                self.pause_upstream("the stream is gone");
            }
        }
    }

    fn pause_upstream(&mut self, why: &str) {
        let pause_ms = PAUSE_MS_MIN << self.attachment.failures.min(10);
        let pause_ms = pause_ms.min(PAUSE_MS_MAX);
        self.attachment.failures += 1;
        if let Some(component) = &self.cx.config.component {
            let seconds = pause_ms / 1000;
            log::warn!("not attached to {}: {why}; again in {seconds} s", component.server);
        }
        self.cx.timers.set(self.cx.now.mono_ms + pause_ms, TimerKey::Upstream);
    }

    /// An attempt has its time.
    pub(in crate::server::links) fn upstream_deadline_ms(&self, link: &Link) -> Option<u64> {
        (!link.is_authenticated).then_some(link.began_ms + ATTACH_MS_MAX)
    }

    /// It is over.
    pub(in crate::server::links) fn upstream_is_due(&mut self, id: SessionId) {
        self.end_link(id, Some(StreamCondition::ConnectionTimeout.into()));
    }

    /// At the end of a turn: what waits goes to the other server.
    pub(in crate::server) fn pump_upstream(&mut self) {
        let Attachment { link: Some(link), queue: Some(queue), .. } = self.attachment else {
            return;
        };
        if self.is_upstream_attached(link) {
            self.cx.out.forward(queue, link, WINDOW_BYTES);
        }
    }

    /// Stanzas that wait for the other server.
    pub(in crate::server) fn upstream_waiting(&self) -> usize {
        let outbox = self.attachment.queue.and_then(|queue| self.cx.out.get(queue));
        outbox.map_or(0, Outbox::stanzas_waiting)
    }
}
