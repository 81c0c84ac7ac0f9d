//! Stream features (RFC 6120 §4.3.2): what is offered when, in the order of XEP-0170.
//!
//! What is offered is what is accepted: the mechanisms come from the tables of `sasl`, what can be
//! done along with a login from that of `inline`, and the channel bindings are the very ones that a
//! login is checked against.

use super::inline::Bind;
use super::sasl::{self, ChannelBindings, ht};
use crate::config::Config;
use crate::cx::Cx;
use crate::xml::Element;
use crate::xml::writer::write_element;
use crate::xmpp::ns;

/// What is offered before authentication.
pub struct Before<'a> {
    /// STARTTLS; `Some(true)`: nothing else is possible before it (RFC 6120 §5.3.1).
    pub starttls: Option<bool>,
    /// In-band registration (XEP-0077 §8).
    pub has_registration: bool,
    /// Registration with an invitation (XEP-0445 §3).
    pub takes_invitations: bool,
    /// What can be bound; empty: no -PLUS mechanism.
    pub bindings: &'a ChannelBindings,
}

impl Before<'_> {
    /// `<stream:features/>` of a stream that nobody has logged in on.
    pub fn write(&self, config: &Config) -> Vec<u8> {
        let limits = &config.limits;
        let mut features = Vec::new();
        if let Some(is_required) = self.starttls {
            let required = is_required.then(|| Element::new("required", ns::TLS));
            features.push(Element::new("starttls", ns::TLS).with_child_opt(required));
        }
        if self.takes_invitations {
            features.push(Element::new("register", ns::IBR_TOKEN));
        }
        if self.has_registration {
            features.push(Element::new("register", ns::REGISTER_FEATURE));
        }
        if self.starttls != Some(true) {
            features.extend(channel_bindings(self.bindings));
            features.push(mechanisms(!self.bindings.is_empty()));
        }
        if self.starttls.is_none() {
            let resumes = config.c2s.resume_seconds > 0;
            features.push(authentication(self.bindings, resumes));
        }
        // Without traffic a stream ends at the deadline for the login.
        let idle_seconds = limits.unauthenticated_seconds;
        features.extend(stream_limits(limits.stanza_bytes_unauthenticated, idle_seconds));
        write(&features)
    }
}

/// `<stream:features/>` after authentication; what is still to be done when the resource is bound
/// already (XEP-0386).
pub fn write_after_login(cx: &Cx, is_bound: bool) -> Vec<u8> {
    let mut features = Vec::new();
    if !is_bound {
        let optional = Element::new("optional", ns::SESSION);
        features.push(Element::new("bind", ns::BIND));
        features.push(Element::new("session", ns::SESSION).with_child(optional));
    }
    // RFC 6121 §2.6.1, §3.4.1
    features.push(Element::new("ver", ns::ROSTER_VERSIONS));
    features.push(Element::new("sub", ns::PRE_APPROVAL));
    features.extend(caps(cx));
    features.push(Element::new("sm", ns::SM));
    features.push(Element::new("csi", ns::CSI));
    let limits = &cx.config.limits;
    features.extend(stream_limits(limits.stanza_bytes, limits.idle_seconds));
    write(&features)
}

/// What is offered to another server.
pub struct BetweenServers {
    /// STARTTLS; `Some(true)`: nothing else is possible before it (RFC 6120 §5.3.1).
    pub starttls: Option<bool>,
    /// SASL EXTERNAL: it would succeed (XEP-0178 §3).
    pub has_external: bool,
    /// Dialback, with errors that do not end the stream (XEP-0220 §2.4.2).
    pub has_dialback: bool,
    /// Stanzas in both directions (XEP-0288 §2.1).
    pub has_bidi: bool,
    /// Stream management: stanzas may be sent without another stream (XEP-0198 §5).
    pub has_management: bool,
}

impl BetweenServers {
    /// `<stream:features/>`
    pub fn write(&self, cx: &Cx) -> Vec<u8> {
        let mut features = Vec::new();
        if let Some(is_required) = self.starttls {
            let required = is_required.then(|| Element::new("required", ns::TLS));
            features.push(Element::new("starttls", ns::TLS).with_child_opt(required));
        }
        if self.has_external {
            let external = Element::new("mechanism", ns::SASL).with_text("EXTERNAL");
            features.push(Element::new("mechanisms", ns::SASL).with_child(external));
        }
        if self.has_bidi {
            features.push(Element::new("bidi", ns::BIDI_FEATURE));
        }
        if self.has_dialback {
            let errors = Element::new("errors", ns::DIALBACK_FEATURE);
            features.push(Element::new("dialback", ns::DIALBACK_FEATURE).with_child(errors));
        }
        if self.has_management {
            features.push(Element::new("sm", ns::SM));
            let limits = &cx.config.limits;
            features.extend(stream_limits(limits.stanza_bytes, cx.config.s2s.idle_seconds));
        }
        features.extend(caps(cx));
        write(&features)
    }
}

/// XEP-0115 §6.3
fn caps(cx: &Cx) -> Option<Element> {
    let caps = Element::new("c", ns::CAPS).with_attr("hash", "sha-1");
    let caps = caps.with_attr("node", ns::CAPS_NODE).with_attr("ver", &*cx.caps_ver);
    (!cx.caps_ver.is_empty()).then_some(caps)
}

/// RFC 6120 §6.4.1
fn mechanisms(has_plus: bool) -> Element {
    let mut mechanisms = Element::new("mechanisms", ns::SASL);
    for (_, name) in sasl::offered(has_plus) {
        mechanisms.push(Element::new("mechanism", ns::SASL).with_text(name));
    }
    mechanisms
}

/// XEP-0388 §2.1. The same mechanisms for everybody, whether there is such an account or not.
fn authentication(bindings: &ChannelBindings, resumes: bool) -> Element {
    let mut authentication = Element::new("authentication", ns::SASL2);
    for (_, name) in sasl::offered(!bindings.is_empty()) {
        authentication.push(Element::new("mechanism", ns::SASL2).with_text(name));
    }
    // XEP-0484 §3.1
    let mut fast = Element::new("fast", ns::FAST);
    for kind in ht::Kind::offered(bindings) {
        fast.push(Element::new("mechanism", ns::FAST).with_text(kind.name));
    }
    // XEP-0198 §9.2
    let resumption = resumes.then(|| Element::new("sm", ns::SM));
    let inline = Element::new("inline", ns::SASL2).with_child_opt(resumption);
    authentication.with_child(inline.with_child(Bind::feature()).with_child(fast))
}

/// XEP-0440 §2: at least one type, or nothing.
fn channel_bindings(bindings: &ChannelBindings) -> Option<Element> {
    if bindings.is_empty() {
        return None;
    }
    let mut element = Element::new("sasl-channel-binding", ns::SASL_CHANNEL_BINDING);
    for (kind, _) in &bindings.0 {
        let binding = Element::new("channel-binding", ns::SASL_CHANNEL_BINDING);
        element.push(binding.with_attr("type", *kind));
    }
    Some(element)
}

/// XEP-0478 §3.1; a limit of 0 is none and left out.
fn stream_limits(bytes_max: usize, idle_seconds: u64) -> Option<Element> {
    let mut limits = Element::new("limits", ns::STREAM_LIMITS);
    let mut add = |name: &'static str, value: u64| {
        if value > 0 {
            limits.push(Element::new(name, ns::STREAM_LIMITS).with_text(value.to_string()));
        }
    };
    add("max-bytes", bytes_max as u64);
    add("idle-seconds", idle_seconds);
    (!limits.children.is_empty()).then_some(limits)
}

fn write(features: &[Element]) -> Vec<u8> {
    let mut bytes = b"<stream:features>".to_vec();
    for feature in features {
        write_element(&mut bytes, feature, ns::CLIENT);
    }
    bytes.extend_from_slice(b"</stream:features>");
    bytes
}
