//! Components (XEP-0114): those that attach to this server, and this server as a component of
//! another one (`upstream`).
//!
//! A component shows that it knows the secret, and may then send from every address of its domain,
//! to whomever it likes. One stream per domain: a second one is refused as long as the first lives.
//! While none is attached, what is for its domain comes back with `<service-unavailable/>`.

mod upstream;

use ring::digest;

use crate::credentials::is_same_secret;
use crate::ids::SessionId;
use crate::stream::s2s;
use crate::xml::writer::write_attr;
use crate::xml::{Element, StreamEvent, StreamHeader};
use crate::xmpp::{Jid, StreamCondition, StreamError, ns};

use super::super::Server;
use super::{Link, Part};

pub(in crate::server) use upstream::{Attachment, Upstream};

/// What is known of a component.
#[derive(Default)]
pub(in crate::server) struct Attached {
    /// Its domain, from its header on.
    domain: Option<String>,
    /// The id of the stream, which the handshake is made of.
    stream_id: String,
    /// It has shown that it knows the secret.
    is_attached: bool,
}

impl Server {
    /// What a component sends.
    pub(super) fn handle_attached(
        &mut self,
        id: SessionId,
        event: StreamEvent,
    ) -> Result<(), StreamError> {
        match event {
            StreamEvent::Open(header) => self.open_attached(id, &header),
            StreamEvent::Stanza(element) => match self.attached(id) {
                Some(Attached { is_attached: false, .. }) => self.shake_hands(id, &element),
                Some(Attached { domain: Some(domain), .. }) => {
                    let domain = domain.clone();
                    self.handle_link_stanza(element, |from, _to| check_from(from, &domain))
                }
                _ => Ok(()),
            },
            StreamEvent::Close => Ok(()),
        }
    }

    /// §3: the header names the component; ours has the id that the handshake is made of.
    fn open_attached(&mut self, id: SessionId, header: &StreamHeader) -> Result<(), StreamError> {
        let domain = header.to.as_deref().and_then(|to| Jid::parse(to).ok());
        let domain = domain.filter(|to| to.is_bare() && to.local().is_none());
        let named = domain.as_ref().map_or("", |domain| domain.domain());
        let stream_id = self.cx.random_hex(16);
        let bytes = component_header("from", named, Some(&stream_id));
        self.cx.out.push_raw(id, &bytes);
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        link.is_open = true;
        if header.ns != ns::STREAMS || header.content_ns != ns::COMPONENT {
            return Err(StreamCondition::InvalidNamespace.into());
        }
        let is_known = self.cx.config.components.iter().any(|own| own.domain.as_str() == named);
        if !is_known || !self.cx.peers.is_component(named) {
            return Err(StreamCondition::HostUnknown.into());
        }
        let attached = Attached { domain: Some(named.to_owned()), stream_id, is_attached: false };
        link.part = Part::Attached(Box::new(attached));
        Ok(())
    }

    /// §3: `<handshake/>` shows that it knows the secret.
    fn shake_hands(&mut self, id: SessionId, element: &Element) -> Result<(), StreamError> {
        let Some(Attached { domain: Some(domain), stream_id, .. }) = self.attached(id) else {
            return Err(StreamCondition::NotAuthorized.into());
        };
        let components = &self.cx.config.components;
        let known = components.iter().find(|own| own.domain.as_str() == domain);
        // The handshake is in the namespace of the stream.
        let is_handshake = element.is("handshake", ns::CLIENT);
        let is_right = known.filter(|_| is_handshake).is_some_and(|own| {
            let right = handshake(stream_id, &own.secret);
            is_same_secret(element.text().trim().as_bytes(), right.as_bytes())
        });
        let domain = domain.clone();
        let address = self.links.get(id).map(|link| link.address.to_string()).unwrap_or_default();
        if !is_right {
            log::warn!("component refused: domain={domain} address={address} reason=secret");
            return Err(StreamCondition::NotAuthorized.into());
        }
        if self.cx.peers.component(&domain).is_some() {
            log::warn!("component refused: domain={domain} address={address} reason=attached");
            return Err(StreamCondition::Conflict.into());
        }
        if let Some(Part::Attached(attached)) = self.links.get_mut(id).map(|link| &mut link.part) {
            attached.is_attached = true;
        }
        self.link_is_authenticated(id);
        self.cx.out.push_raw(id, b"<handshake/>");
        self.cx.peers.set_component(&domain, Some(id));
        log::info!("component attached: domain={domain} address={address}");
        Ok(())
    }

    fn attached(&self, id: SessionId) -> Option<&Attached> {
        match self.links.get(id).map(|link| &link.part) {
            Some(Part::Attached(attached)) => Some(attached),
            _ => None,
        }
    }

    /// The stream of a component has ended.
    pub(super) fn attached_has_ended(&mut self, id: SessionId) {
        let Some(Part::Attached(attached)) = self.links.get_mut(id).map(|link| &mut link.part)
        else {
            return;
        };
        if std::mem::take(&mut attached.is_attached)
            && let Some(domain) = attached.domain.clone()
        {
            log::info!("component gone: domain={domain}");
            self.cx.peers.set_component(&domain, None);
        }
    }

    /// A component has as long for its handshake as a client for its login.
    pub(super) fn attached_deadline_ms(&self, link: &Link) -> Option<u64> {
        let seconds = self.cx.config.limits.unauthenticated_seconds;
        (!link.is_authenticated && seconds > 0).then(|| link.began_ms + seconds * 1000)
    }

    /// It has taken too long.
    pub(super) fn attached_is_due(&mut self, id: SessionId) {
        self.end_link(id, Some(StreamCondition::ConnectionTimeout.into()));
    }
}

/// §3: "The domain identifier portion of the JID contained in the 'from' attribute MUST match the
/// hostname of the component."
fn check_from(from: &Jid, domain: &str) -> Result<(), StreamError> {
    if from.domain() == domain { Ok(()) } else { Err(StreamCondition::InvalidFrom.into()) }
}

/// A header of either side: `name` is `to` or `from`. It has no version: there are no features.
fn component_header(name: &str, domain: &str, id: Option<&str>) -> Vec<u8> {
    let mut bytes = b"<?xml version='1.0'?><stream:stream".to_vec();
    write_attr(&mut bytes, "xmlns", ns::COMPONENT);
    write_attr(&mut bytes, "xmlns:stream", ns::STREAMS);
    write_attr(&mut bytes, name, domain);
    if let Some(id) = id {
        write_attr(&mut bytes, "id", id);
    }
    bytes.push(b'>');
    bytes
}

/// §3: the lower-case hexadecimal SHA-1 of the stream id and the secret.
fn handshake(stream_id: &str, secret: &str) -> String {
    let text = format!("{stream_id}{secret}");
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    s2s::hex(hash.as_ref())
}
