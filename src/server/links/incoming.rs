//! A server that has connected to us (RFC 6120 §4–§6, XEP-0220 §2.2): who it is, and what it may
//! send. What it may send is a list of pairs of domains, one of its and one of ours: each is proved
//! on this very stream, and nothing else comes in (advisory a11).
//!
//! | `s2s.verify` | without TLS | TLS | TLS, a certificate good for the domain |
//! |---|---|---|---|
//! | `dialback` | the key is verified (not with `require_tls`) | it is too | EXTERNAL, any key |
//! | `certificate` | nothing | nothing | EXTERNAL, any key |
//! | `both` | nothing | nothing | the key is verified; EXTERNAL is not offered |
//!
//! "Any key" is dialback without dialing back (XEP-0220 §1.2): how further pairs are added.
//! EXTERNAL proves the pair of the stream header alone (XEP-0288 §2.2). Whether keys of ours are
//! valid is answered always: to anybody, and to the end of a shutdown.

pub(super) mod dialback;
mod external;
mod guests;
mod management;

use std::rc::Rc;

use crate::config::Verify;
use crate::ids::SessionId;
use crate::peers::Pair;
use crate::stream::c2s::TlsInfo;
use crate::stream::features::BetweenServers;
use crate::stream::{header, s2s};
use crate::xml::{Element, StreamEvent, StreamHeader};
use crate::xmpp::{Jid, StreamCondition, StreamError, ns};

use super::super::Server;
use super::super::limits::Counted;
use super::{Hold, Link, Part};
use dialback::Pending;
pub(super) use guests::Guests;
use management::Management;

/// Random bytes of a stream's id (RFC 6120 §4.7.3): dialback keys are for it.
const STREAM_ID_BYTES: usize = 16;

/// What is known of it.
#[derive(Default)]
pub(in crate::server) struct Incoming {
    is_secure: bool,
    /// The certificates that it has shown, its own first.
    chain: Vec<Vec<u8>>,
    /// Our domain, from the first header on.
    ours: Option<Rc<str>>,
    /// Its domain, as the header of the current stream has it.
    theirs: Option<Rc<str>>,
    /// The id that we have given the current stream.
    stream_id: String,
    /// Before XMPP 1.0: no features (RFC 6120 §4.7.5).
    is_legacy: bool,
    /// It has shown by EXTERNAL who it is.
    is_sasl_done: bool,
    sasl_failures: u32,
    /// It takes stanzas on this stream (XEP-0288).
    is_bidi: bool,
    /// When it last got one.
    given_ms: u64,
    /// What it may send, the first proved first.
    proved: Rc<Vec<Pair>>,
    /// Keys that are being verified.
    pending: Vec<Pending>,
    /// The domain that it counts as a stream of.
    guest: Option<Rc<str>>,
    /// It counts among those that have not shown who they are.
    is_stranger: bool,
    /// Stanzas are counted (XEP-0198).
    management: Option<Management>,
}

impl Incoming {
    /// It has begun to show who it is: the stream stays as it is.
    fn has_begun(&self) -> bool {
        !self.proved.is_empty() || !self.pending.is_empty()
    }

    fn may(&self, pair: &Pair) -> bool {
        self.proved.contains(pair)
    }
}

impl Server {
    fn incoming(&self, id: SessionId) -> Option<&Incoming> {
        match &self.links.get(id)?.part {
            Part::Incoming(part) => Some(part),
            _ => None,
        }
    }

    fn incoming_mut(&mut self, id: SessionId) -> Option<&mut Incoming> {
        match &mut self.links.get_mut(id)?.part {
            Part::Incoming(part) => Some(part),
            _ => None,
        }
    }

    /// A domain that other servers find here.
    pub(super) fn is_served(&self, domain: &str) -> bool {
        self.cx.config.is_own_domain(domain) || self.cx.peers.is_component(domain)
    }

    /// So many servers have not shown yet who they are that no other may connect.
    pub(super) fn has_strangers_enough(&self) -> bool {
        let limit = self.cx.config.limits.connections_unauthenticated;
        limit != 0 && self.links.guests.strangers >= limit
    }

    /// Another server has connected.
    pub(super) fn count_in_stranger(&mut self, id: SessionId) {
        if let Some(part) = self.incoming_mut(id) {
            part.is_stranger = true;
            self.links.guests.strangers += 1;
        }
    }

    /// It counts among the strangers no longer.
    fn count_out_stranger(&mut self, id: SessionId) {
        let part = self.incoming_mut(id);
        if part.is_some_and(|part| std::mem::take(&mut part.is_stranger)) {
            self.links.guests.strangers -= 1;
        }
    }

    /// Bytes came: they count for its domain as well, once that is known.
    pub(super) fn charge_incoming(&mut self, id: SessionId, bytes: usize) {
        let Some(domain) = self.incoming(id).and_then(|part| part.guest.clone()) else { return };
        let now_ms = self.cx.now.mono_ms;
        self.links.guests.take(&self.cx.config.limits, now_ms, &domain, bytes);
    }

    /// When its domain may send again.
    pub(super) fn incoming_paused_until_ms(&self, link: &Link) -> Option<u64> {
        let Part::Incoming(part) = &link.part else { return None };
        let domain = part.guest.as_ref()?;
        self.links.guests.paused_until_ms(&self.cx.config.limits, domain)
    }

    pub(super) fn incoming_is_secure(&mut self, id: SessionId, tls: TlsInfo) {
        let Some(part) = self.incoming_mut(id) else { return };
        part.is_secure = true;
        part.chain = tls.peer_chain;
        // Nothing that was said in the clear counts (RFC 6120 §5.4.3.3).
        part.is_bidi = false;
        part.theirs = None;
    }

    pub(super) fn handle_incoming(
        &mut self,
        id: SessionId,
        event: StreamEvent,
    ) -> Result<(), StreamError> {
        match event {
            StreamEvent::Open(header) => self.open_incoming(id, &header),
            StreamEvent::Stanza(element) => self.handle_incoming_element(id, element),
            StreamEvent::Close => Ok(()),
        }
    }

    /// A stream header came: ours is sent, before any error too (RFC 6120 §4.9.1.2), then what is
    /// offered.
    fn open_incoming(&mut self, id: SessionId, header: &StreamHeader) -> Result<(), StreamError> {
        if self.links.get(id).is_none_or(|link| link.is_open) {
            return Err(StreamCondition::BadFormat.into());
        }
        let form = header::check_form(header, ns::SERVER);
        let version = header.version.as_deref();
        let is_legacy = !version.is_some_and(header::is_version_supported);
        let theirs = remote_domain(header.from.as_deref());
        let ours = self.local_domain(id, header.to.as_deref(), is_legacy);
        let Some(part) = self.incoming_mut(id) else { return Ok(()) };
        part.is_legacy = is_legacy;
        let was = part.theirs.take();
        part.theirs = theirs.as_ref().ok().and_then(Option::as_ref).or(was.as_ref()).cloned();
        let is_same = !part.is_sasl_done || part.theirs == was;
        if let Ok(ours) = &ours {
            part.ours = Some(Rc::clone(ours));
        }
        self.send_incoming_header(id);
        form?;
        ours?;
        theirs?;
        if !is_same {
            return Err(StreamCondition::InvalidFrom.into());
        }
        self.offer_features(id);
        self.incoming_is_open(id);
        Ok(())
    }

    /// The domain of ours that a header names: the same on all streams of a connection (a06).
    fn local_domain(
        &self,
        id: SessionId,
        to: Option<&str>,
        is_legacy: bool,
    ) -> Result<Rc<str>, StreamError> {
        let current = self.incoming(id).and_then(|part| part.ours.clone());
        let Some(to) = to else {
            // RFC 6120 §4.7.2; who is older than that may only want keys verified.
            let default = || header::default_host(&self.cx.config).as_str().into();
            let ours = current.or_else(|| is_legacy.then(default));
            return ours.ok_or_else(|| StreamCondition::ImproperAddressing.into());
        };
        let to = Jid::parse(to).map_err(|_| StreamCondition::ImproperAddressing)?;
        if to.local().is_some() || !to.is_bare() || !self.is_served(to.domain()) {
            return Err(StreamCondition::HostUnknown.into());
        }
        match current {
            Some(current) if &*current != to.domain() => {
                Err(StreamError::new(StreamCondition::NotAuthorized)
                    .with_text("the domain of a stream cannot change"))
            }
            _ => Ok(to.domain().into()),
        }
    }

    fn send_incoming_header(&mut self, id: SessionId) {
        let stream_id = self.cx.random_hex(STREAM_ID_BYTES);
        let default = header::default_host(&self.cx.config).as_str().into();
        let Some(part) = self.incoming_mut(id) else { return };
        part.stream_id.clone_from(&stream_id);
        let ours = part.ours.clone().unwrap_or(default);
        let (theirs, is_legacy) = (part.theirs.clone(), part.is_legacy);
        let bytes = match is_legacy {
            true => s2s::header_of_09(&ours, theirs.as_deref(), Some(&stream_id)),
            false => s2s::header(&ours, theirs.as_deref(), Some(&stream_id)),
        };
        self.cx.out.push_raw(id, &bytes);
        if let Some(link) = self.links.get_mut(id) {
            link.is_open = true;
        }
    }

    /// A stream error follows: our header comes before it.
    pub(super) fn open_incoming_for_error(&mut self, id: SessionId) {
        let link = self.links.get(id);
        if link.is_some_and(|link| !link.is_open && link.hold == Hold::None) {
            self.send_incoming_header(id);
        }
    }

    /// True when nothing is taken from it before TLS.
    fn needs_tls(&self, part: &Incoming) -> bool {
        let s2s = &self.cx.config.s2s;
        !part.is_secure && (s2s.require_tls || s2s.verify != Verify::Dialback)
    }

    fn offer_features(&mut self, id: SessionId) {
        let Some(part) = self.incoming(id).filter(|part| !part.is_legacy) else { return };
        let needs_tls = self.needs_tls(part);
        let verify = self.cx.config.s2s.verify;
        let features = BetweenServers {
            starttls: (!part.is_secure).then_some(needs_tls),
            has_external: self.offers_external(part),
            has_dialback: !needs_tls && verify != Verify::Certificate,
            has_bidi: !needs_tls && !part.is_bidi,
            has_management: !needs_tls && (part.is_sasl_done || verify != Verify::Certificate),
        };
        let bytes = features.write(&self.cx);
        self.cx.out.push_raw(id, &bytes);
    }

    /// The stream of a server that has shown by EXTERNAL who it is may carry what is for it.
    fn incoming_is_open(&mut self, id: SessionId) {
        let Some(part) = self.incoming(id) else { return };
        if part.is_bidi {
            for pair in part.proved.clone().iter() {
                self.link_takes(id, pair);
            }
        }
    }

    fn handle_incoming_element(
        &mut self,
        id: SessionId,
        element: Element,
    ) -> Result<(), StreamError> {
        let is_stanza = matches!(&*element.name, "iq" | "message" | "presence");
        match (&*element.name, &*element.ns) {
            (_, ns::CLIENT) if is_stanza => self.handle_incoming_stanza(id, element),
            ("starttls", ns::TLS) => self.start_incoming_tls(id),
            (_, ns::SASL) => self.handle_external(id, &element),
            ("result" | "verify", ns::DIALBACK) => self.handle_dialback_request(id, &element),
            ("bidi", ns::BIDI) => {
                self.enable_bidi(id);
                Ok(())
            }
            (_, ns::SM) => self.handle_incoming_management(id, &element),
            _ => Err(StreamCondition::UnsupportedStanzaType.into()),
        }
    }

    /// RFC 6120 §5.4.2
    fn start_incoming_tls(&mut self, id: SessionId) -> Result<(), StreamError> {
        let now_ms = self.cx.now.mono_ms;
        let Some(part) = self.incoming(id) else { return Ok(()) };
        let is_time = !part.is_secure && !part.has_begun();
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        if link.parser.holds_bytes() {
            // CVE-2011-0411: it would be taken for part of the secure stream.
            return Err(StreamError::new(StreamCondition::PolicyViolation)
                .with_text("nothing may follow <starttls/> before the TLS handshake"));
        }
        let (limits, address) = (&self.cx.config.limits, link.address);
        if self.addresses.is_exhausted(limits, now_ms, address, Counted::Handshakes) {
            return Err(StreamCondition::PolicyViolation.into());
        }
        if !is_time {
            self.push_nonza(id, &Element::new("failure", ns::TLS));
            return Err(StreamError::new(StreamCondition::NotAuthorized)
                .with_text("no STARTTLS at this point"));
        }
        link.hold = Hold::Tls;
        link.is_open = false;
        self.addresses.count(now_ms, address, Counted::Handshakes);
        self.push_nonza(id, &Element::new("proceed", ns::TLS));
        self.cx.out.mark_starttls(id);
        Ok(())
    }

    /// XEP-0288 §2.2; there is no answer. Before TLS it counts for nothing.
    fn enable_bidi(&mut self, id: SessionId) {
        let Some(part) = self.incoming_mut(id) else { return };
        if !std::mem::replace(&mut part.is_bidi, true) {
            part.forbid_resumption();
            self.incoming_is_open(id);
        }
    }

    /// Stanzas go to it.
    pub(super) fn incoming_was_given(&mut self, id: SessionId) {
        let now_ms = self.cx.now.mono_ms;
        if let Some(part) = self.incoming_mut(id) {
            part.given_ms = now_ms;
        }
    }

    /// RFC 6120 §4.9.3.6, §4.9.3.9, §4.9.3.12: `from` and `to` are a pair that was proved.
    fn handle_incoming_stanza(
        &mut self,
        id: SessionId,
        element: Element,
    ) -> Result<(), StreamError> {
        let Some(part) = self.incoming(id) else { return Ok(()) };
        if part.proved.is_empty() {
            return Err(StreamCondition::NotAuthorized.into());
        }
        let proved = Rc::clone(&part.proved);
        let mut stranger = None;
        let handled = self.handle_link_stanza(element, |from, to| {
            let is_it = |pair: &Pair| &*pair.theirs == from.domain() && &*pair.ours == to.domain();
            if proved.iter().any(is_it) {
                return Ok(());
            }
            stranger = Some(to.domain().to_owned());
            Err(StreamCondition::InvalidFrom.into())
        });
        if stranger.is_some_and(|to| !self.is_served(&to)) {
            return Err(StreamCondition::HostUnknown.into());
        }
        handled?;
        self.count_incoming(id);
        Ok(())
    }

    /// A pair is proved: stanzas of it may come, and go where both directions are on.
    fn prove(&mut self, id: SessionId, pair: &Pair) {
        let Some(part) = self.incoming_mut(id) else { return };
        if !part.may(pair) {
            Rc::make_mut(&mut part.proved).push(pair.clone());
        }
        if part.guest.is_none() {
            part.guest = Some(Rc::clone(&pair.theirs));
            let now_ms = self.cx.now.mono_ms;
            self.links.guests.enter(&self.cx.config.limits, now_ms, &pair.theirs);
        }
        self.count_out_stranger(id);
        log::info!("server accepted: from={} to={}", pair.theirs, pair.ours);
        self.link_is_authenticated(id);
        self.set_link_timer(id);
    }

    pub(super) fn incoming_has_ended(&mut self, id: SessionId) {
        let Some(part) = self.incoming_mut(id) else { return };
        part.pending.clear();
        let guest = part.guest.take();
        self.count_out_stranger(id);
        if let Some(domain) = guest {
            self.links.guests.leave(&domain);
        }
    }

    pub(super) fn incoming_deadline_ms(&self, link: &Link) -> Option<u64> {
        let Part::Incoming(part) = &link.part else { return None };
        let (seconds, since_ms) = match link.is_authenticated {
            true => (self.cx.config.s2s.idle_seconds, link.input_ms.max(part.given_ms)),
            false => (self.cx.config.limits.unauthenticated_seconds, link.began_ms),
        };
        (seconds > 0).then(|| since_ms + seconds * 1000)
    }

    pub(super) fn incoming_is_due(&mut self, id: SessionId) {
        let is_idle = self.links.get(id).is_some_and(|link| link.is_authenticated);
        let error = (!is_idle).then(|| StreamCondition::ConnectionTimeout.into());
        self.end_link(id, error);
    }
}

/// The domain that `from` of a header names. It may be missing, in the clear above all
/// (RFC 6120 §4.7.1).
fn remote_domain(from: Option<&str>) -> Result<Option<Rc<str>>, StreamError> {
    let Some(from) = from else { return Ok(None) };
    let from = Jid::parse(from).map_err(|_| StreamCondition::InvalidFrom)?;
    if from.local().is_some() || !from.is_bare() {
        return Err(StreamCondition::InvalidFrom.into());
    }
    Ok(Some(from.domain().into()))
}

#[cfg(test)]
mod tests;
