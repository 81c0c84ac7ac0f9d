//! Streams with other servers and with components: what all of them have in common. A link is a
//! connection with its parser, its outbox and its part: a server that has come to us
//! (`incoming`), a server that we have gone to (`outgoing`), a component of ours, or the server
//! that we are a component of (`component`). What waits for a domain, and by which link it goes,
//! is `queues`'.
//!
//! A link ends like a client's stream: the peer is told, the rest is written, the connection
//! closes. Whatever a link has not written, or the other side has not acknowledged, goes back to
//! the queues, or to who sent it.

mod accept;
mod acks;
mod asking;
mod bounce;
mod component;
mod incoming;
mod lookup;
mod outgoing;
mod patience;
mod queues;
mod remotes;
mod reverse;
mod table;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::cx::{Action, Now};
use crate::ids::{ConnId, SessionId, Target};
use crate::outbound::Outbox;
use crate::stream::c2s::TlsInfo;
use crate::xml::{Element, StreamEvent, StreamParser};
use crate::xmpp::{
    Condition, Jid, PresenceType, Stanza, StanzaError, StanzaKind, StreamCondition, StreamError, ns,
};

use super::edge::{self, Edge};
use super::limits::ByteBucket;
use super::session::xml_limits;
use super::streams::{stream_error_of, write_stream_error};
use super::{ReadWish, Server};

pub(super) use component::Attachment;
pub(super) use queues::Queues;
pub(super) use table::Links;

/// Stanzas of one link that are handled in one turn.
const TURN_STANZAS_MAX: usize = 256;

/// Which part a link has.
pub(super) enum Part {
    /// Another server has connected to us.
    Incoming(Box<incoming::Incoming>),
    /// We have connected to another server.
    Outgoing(Box<outgoing::Outgoing>),
    /// A component has connected to us.
    Attached(Box<component::Attached>),
    /// We are a component, and this is the server.
    Upstream(Box<component::Upstream>),
}

/// Why input of a link waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// It does not.
    None,
    /// The connection is being made.
    Connecting,
    /// The TLS handshake is not done.
    Tls,
    /// Our end of the stream is sent; what still comes is nobody's.
    Ended,
}

/// A link, from the attempt to connect, or the accept, to the end of the connection.
pub(super) struct Link {
    /// Its handle, and that of its outbox.
    pub id: SessionId,
    /// Its connection, once there is one.
    pub conn: Option<ConnId>,
    /// Where the peer is.
    pub address: IpAddr,
    /// The parser of the current stream.
    pub parser: StreamParser,
    /// Its part.
    pub part: Part,
    /// Why input waits.
    pub hold: Hold,
    /// Fed bytes have not all been looked at.
    pub is_pending: bool,
    /// The peer has shown who it is: the larger limits are for it.
    pub is_authenticated: bool,
    /// Our header of the current stream is sent.
    pub is_open: bool,
    /// It counts among the connections of its address.
    pub is_counted: bool,
    /// How fast it may send.
    pub bucket: ByteBucket,
    /// When it was made.
    pub began_ms: u64,
    /// When something last came.
    pub input_ms: u64,
    /// The timer that is set; earlier ones have fired, later ones are set when it does.
    pub timer_ms: Option<u64>,
}

impl Server {
    /// A new link without a connection.
    fn open_link(&mut self, address: IpAddr, part: Part, hold: Hold) -> SessionId {
        let id = self.cx.out.open();
        let limits = &self.cx.config.limits;
        let now_ms = self.cx.now.mono_ms;
        self.links.insert(Link {
            id,
            conn: None,
            address,
            parser: StreamParser::new(xml_limits(limits, false)),
            part,
            hold,
            is_pending: false,
            is_authenticated: false,
            is_open: false,
            is_counted: false,
            bucket: ByteBucket::new(limits, now_ms),
            began_ms: now_ms,
            input_ms: now_ms,
            timer_ms: None,
        });
        id
    }

    /// An attempt to connect ([`Action::Connect`]) has come to its end. The connection is `link`'s
    /// from here on; when that is gone already it is aborted.
    pub fn handle_connected(&mut self, now: Now, link: SessionId, conn: Result<ConnId, String>) {
        self.cx.now = now;
        self.begin_chain();
        let connected = match (self.links.remove(link), conn) {
            (Some(mut known), Ok(conn)) => {
                known.conn = Some(conn);
                known.hold = Hold::None;
                known.input_ms = now.mono_ms;
                self.links.insert(known);
                Ok(())
            }
            (Some(known), Err(reason)) => {
                self.links.insert(known);
                Err(reason)
            }
            (None, conn) => {
                self.cx.actions.extend(conn.ok().map(Action::Abort));
                self.finish_chain();
                return;
            }
        };
        match connected {
            Ok(()) => self.link_is_up(link),
            Err(reason) => self.forget_link(link, &reason),
        }
        self.finish_chain();
    }

    /// The connection of a link is made: the stream begins, or TLS before it.
    fn link_is_up(&mut self, id: SessionId) {
        match self.links.get(id).map(|link| &link.part) {
            Some(Part::Outgoing(_)) => self.outgoing_is_up(id),
            Some(Part::Upstream(_)) => self.upstream_is_up(id),
            Some(Part::Incoming(_) | Part::Attached(_)) | None => {}
        }
    }

    /// The TLS handshake of a link is done.
    pub(super) fn handle_link_tls(&mut self, id: SessionId, tls: TlsInfo) {
        let Some(link) = self.links.get_mut(id).filter(|link| link.hold == Hold::Tls) else {
            return;
        };
        link.hold = Hold::None;
        link.input_ms = self.cx.now.mono_ms;
        self.restart_link(id);
        self.begin_chain();
        match self.links.get(id).map(|link| &link.part) {
            Some(Part::Incoming(_)) => self.incoming_is_secure(id, tls),
            Some(Part::Outgoing(_)) => self.outgoing_is_secure(id, tls),
            Some(Part::Attached(_) | Part::Upstream(_)) | None => {}
        }
        self.finish_chain();
        self.resume_link(id);
    }

    /// Plaintext of a link came, or none.
    pub(super) fn handle_link_input(&mut self, id: SessionId, bytes: &[u8]) {
        let now_ms = self.cx.now.mono_ms;
        let Some(link) = self.links.get_mut(id).filter(|link| link.hold != Hold::Ended) else {
            return;
        };
        if !bytes.is_empty() {
            link.bucket.take(&self.cx.config.limits, now_ms, bytes.len());
            link.input_ms = now_ms;
            link.parser.feed(bytes);
            self.charge_incoming(id, bytes.len());
        }
        self.process_link(id);
    }

    /// Handles what the parser of a link has, up to the budget of a turn.
    pub(super) fn process_link(&mut self, id: SessionId) {
        for _ in 0..TURN_STANZAS_MAX {
            let is_cut = self.cx.out.get(id).is_none_or(Outbox::is_cut);
            let Some(link) = self.links.get_mut(id) else { return };
            if is_cut {
                link.is_pending = false;
                return;
            }
            if link.hold != Hold::None || self.cx.out.is_congested() {
                link.is_pending = link.hold != Hold::Ended;
                return;
            }
            let (event, is_stranger) = (link.parser.next_event(), !link.is_authenticated);
            link.is_pending = false;
            let event = match event {
                Ok(None) => return,
                Ok(Some(event)) => Ok(event),
                Err(error) => Err(stream_error_of(error)),
            };
            let is_broken = event.is_err();
            self.begin_chain();
            // Until then nothing of it rests on what others have written in this turn.
            self.chain.is_free = is_stranger;
            self.chain.origin = Some(id);
            if let Err(error) = event.and_then(|event| self.handle_link_event(id, event)) {
                self.end_link(id, Some(error));
            }
            self.finish_chain();
            if is_broken {
                return;
            }
        }
        if let Some(link) = self.links.get_mut(id) {
            link.is_pending = true;
        }
    }

    fn handle_link_event(&mut self, id: SessionId, event: StreamEvent) -> Result<(), StreamError> {
        match event {
            StreamEvent::Close => {
                self.end_link(id, None);
                return Ok(());
            }
            // RFC 6120 §4.9.1.1: after a stream error the peer closes; so do we.
            StreamEvent::Stanza(error) if error.is("error", ns::STREAMS) => {
                self.log_link_error(id, &error);
                self.end_link(id, None);
                return Ok(());
            }
            StreamEvent::Open(_) | StreamEvent::Stanza(_) => {}
        }
        match self.links.get(id).map(|link| &link.part) {
            Some(Part::Incoming(_)) => self.handle_incoming(id, event),
            Some(Part::Outgoing(_)) => self.handle_outgoing(id, event),
            Some(Part::Attached(_)) => self.handle_attached(id, event),
            Some(Part::Upstream(_)) => self.handle_upstream(id, event),
            None => Ok(()),
        }
    }

    fn log_link_error(&self, id: SessionId, error: &Element) {
        let condition = error.elements().find(|child| child.ns == ns::STREAM_ERRORS);
        let condition = condition.map_or("none", |condition| &condition.name);
        if let Some(link) = self.links.get(id) {
            log::info!("stream error from a server: address={} error={condition}", link.address);
        }
    }

    /// A stanza over a link whose peer has shown who it is: `is_allowed` says whether the pair of
    /// domains (theirs, ours) is one that it may use.
    ///
    /// `Err`: the stream ends (RFC 6120 §4.9.3.7, §8.1.1.2).
    fn handle_link_stanza(
        &mut self,
        element: Element,
        is_allowed: impl FnOnce(&Jid, &Jid) -> Result<(), StreamError>,
    ) -> Result<(), StreamError> {
        let address = |name| element.attr(name).and_then(|text| Jid::parse(text).ok());
        let (Some(from), Some(to)) = (address("from"), address("to")) else {
            return Err(StreamCondition::ImproperAddressing.into());
        };
        is_allowed(&from, &to)?;
        match edge::remote_stanza_of(element, from, to)? {
            Edge::Stanza(stanza) => self.handle_remote(stanza),
            Edge::Refused(stanza, error) => self.reply_error(Target::Remote, &stanza, error),
        }
        Ok(())
    }

    /// A stanza from another server or a component, its addresses checked. During the shutdown
    /// (DESIGN.md §8, phase 2) messages to accounts are kept, a request is refused, and presence
    /// has nobody any more that it could be for.
    fn handle_remote(&mut self, stanza: Stanza) {
        let is_message = matches!(stanza.kind, StanzaKind::Message(_));
        let is_to_account = stanza.to.as_ref().is_some_and(|to| {
            to.local().is_some() && self.cx.config.is_account_domain(to.domain())
        });
        match stanza.kind {
            _ if !self.drain.is_past_reading() || is_message && is_to_account => {
                self.handle_one(Target::Remote, stanza);
            }
            StanzaKind::Presence(PresenceType::Available)
                if stanza.child("x", ns::MUC).is_none() => {}
            StanzaKind::Presence(kind) if kind != PresenceType::Available => {}
            _ => {
                let error = StanzaError::new(Condition::ServiceUnavailable);
                self.reply_error(Target::Remote, &stanza, error);
            }
        }
    }

    /// Whether something waits for a server or a component that may still reach it.
    pub(super) fn servers_wait(&self) -> bool {
        let waits = |id| {
            let outbox = self.cx.out.get(id);
            outbox.is_some_and(|out| !out.is_empty() || out.stanzas_unacknowledged() > 0)
        };
        self.queues.have_lost()
            || self.cx.peers.queues().into_iter().any(|queue| self.is_waiting(queue))
            || self.upstream_waiting() > 0
            || self.links.ids().into_iter().any(|id| {
                self.links.get(id).is_some_and(|link| link.hold != Hold::Ended) && waits(id)
            })
    }

    /// A new stream on the same connection: a new parser, which begins with what the old one has
    /// not read.
    fn restart_link(&mut self, id: SessionId) {
        let Some(link) = self.links.get_mut(id) else { return };
        let limits = xml_limits(&self.cx.config.limits, link.is_authenticated);
        let old = std::mem::replace(&mut link.parser, StreamParser::new(limits));
        link.parser = old.restart(limits);
        link.is_open = false;
    }

    /// The peer has shown who it is.
    fn link_is_authenticated(&mut self, id: SessionId) {
        let Some(link) = self.links.get_mut(id) else { return };
        link.is_authenticated = true;
        link.parser.set_limits(xml_limits(&self.cx.config.limits, true));
    }

    /// Input of a link goes on after a hold.
    fn resume_link(&mut self, id: SessionId) {
        let Some(link) = self.links.get(id) else { return };
        if link.hold == Hold::None {
            self.cx.actions.extend(link.conn.map(Action::Resume));
        }
    }

    /// Ends a link from our side, or answers its end: the peer is told, what it carried finds
    /// another way, and the connection closes when everything is written.
    pub(super) fn end_link(&mut self, id: SessionId, error: Option<StreamError>) {
        if error.is_some() {
            self.open_incoming_for_error(id);
        }
        let Some(link) = self.links.get_mut(id).filter(|link| link.hold != Hold::Ended) else {
            return;
        };
        let was = std::mem::replace(&mut link.hold, Hold::Ended);
        link.is_pending = false;
        let (conn, address, is_open) = (link.conn, link.address, link.is_open);
        if let Some(error) = &error {
            let condition = error.condition.as_str();
            log::info!("stream with a server ends: address={address} error={condition}");
        }
        let mut bytes = Vec::new();
        if let (Some(error), true) = (&error, is_open) {
            write_stream_error(&mut bytes, error);
        }
        if is_open {
            bytes.extend_from_slice(b"</stream:stream>");
        }
        match (was, conn) {
            (Hold::Connecting, _) | (_, None) => {
                self.cx.actions.push_back(Action::Disconnect(id));
                self.forget_link(id, "given up");
            }
            (Hold::Tls, Some(conn)) => self.cx.actions.push_back(Action::Abort(conn)),
            (Hold::None | Hold::Ended, Some(conn)) => {
                self.cx.out.push_end(id, &bytes);
                let deadline_ms = self.cx.now.mono_ms + self.cx.config.shutdown.servers_close_ms;
                self.cx.actions.push_back(Action::CloseAfterFlush { conn, deadline_ms });
            }
        }
        self.link_has_ended(id);
    }

    /// What a link was told in this turn is taken back, the end of the stream included: it ends.
    pub(super) fn end_lost_link(&mut self, id: SessionId) {
        let Some(link) = self.links.get_mut(id) else { return };
        if link.hold == Hold::Ended {
            link.hold = Hold::None;
        }
        self.end_link(id, Some(StreamCondition::InternalServerError.into()));
    }

    /// The stream is over for everybody else; the connection may still be open. Called once or
    /// more.
    fn link_has_ended(&mut self, id: SessionId) {
        match self.links.get(id).map(|link| &link.part) {
            Some(Part::Incoming(_)) => self.incoming_has_ended(id),
            Some(Part::Outgoing(_)) => self.outgoing_has_ended(id),
            Some(Part::Attached(_)) => self.attached_has_ended(id),
            Some(Part::Upstream(_)) => self.upstream_has_ended(id),
            None => {}
        }
    }

    /// The connection of a link is gone, or was never made: what it has not written, or the peer
    /// has not acknowledged, goes back.
    pub(super) fn forget_link(&mut self, id: SessionId, reason: &str) {
        self.keep_incoming(id);
        if let Some(link) = self.links.get_mut(id) {
            link.hold = Hold::Ended;
            log::debug!("link closed: address={} reason={reason}", link.address);
        }
        self.link_has_ended(id);
        let undelivered = self.cx.out.take_undelivered(id);
        let Some(link) = self.links.remove(id) else { return };
        self.cx.out.close(id);
        if link.is_counted {
            self.addresses.disconnect(link.address);
        }
        self.take_back(id, &link.part, undelivered, reason);
    }

    /// Whether to read the connection of a link now.
    pub(super) fn link_read_wish(&self, id: SessionId) -> ReadWish {
        let Some(link) = self.links.get(id) else { return ReadWish::No };
        if link.hold != Hold::None {
            return ReadWish::No;
        }
        if link.is_pending {
            return ReadWish::Pending;
        }
        let own_ms = link.bucket.paused_until_ms(&self.cx.config.limits);
        match own_ms.max(self.incoming_paused_until_ms(link)) {
            Some(until_ms) if until_ms > self.cx.now.mono_ms => ReadWish::Until(until_ms),
            _ => ReadWish::Read,
        }
    }
}
