//! Stanzas with their addresses parsed: after the edge there is no `&str` address.

use crate::xml::writer::{write_attr, write_nodes};
use crate::xml::{Element, Node};

use super::error::{Condition, StanzaError};
use super::jid::Jid;
use super::ns;

/// Memory that a presence may take where it is kept.
const PRESENCE_MEMORY_BYTES_MAX: usize = 16 * 1024;

/// `type` of a message (RFC 6121 §5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MessageType {
    /// The default, and what an unknown type counts as.
    #[default]
    Normal,
    /// One-to-one chat.
    Chat,
    /// Rooms.
    Groupchat,
    /// Alerts; never answered.
    Headline,
    /// An error about an earlier message.
    Error,
}

/// `type` of a presence (RFC 6121 §4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceType {
    /// No `type`.
    Available,
    /// Gone.
    Unavailable,
    /// A request to subscribe.
    Subscribe,
    /// The request is granted.
    Subscribed,
    /// The end of a subscription, by the subscriber.
    Unsubscribe,
    /// The end of a subscription, or its refusal, by the contact.
    Unsubscribed,
    /// A question for the current presence, by a server.
    Probe,
    /// An error about an earlier presence.
    Error,
}

impl PresenceType {
    /// True for those that are about a subscription (RFC 6121 §3).
    pub fn is_subscription(self) -> bool {
        matches!(self, Self::Subscribe | Self::Subscribed | Self::Unsubscribe | Self::Unsubscribed)
    }
}

/// `type` of an iq (RFC 6120 §8.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IqType {
    /// A question.
    Get,
    /// A change.
    Set,
    /// The answer.
    Result,
    /// The refusal.
    Error,
}

/// Which of the three verses of the tercet, and its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StanzaKind {
    /// `<message/>`
    Message(MessageType),
    /// `<presence/>`
    Presence(PresenceType),
    /// `<iq/>`
    Iq(IqType),
}

impl StanzaKind {
    /// The element name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Presence(_) => "presence",
            Self::Iq(_) => "iq",
        }
    }

    /// The value of `type`, or `None` where it is left out.
    pub fn type_str(self) -> Option<&'static str> {
        use {IqType as I, MessageType as M, PresenceType as P};
        match self {
            Self::Message(M::Normal) | Self::Presence(P::Available) => None,
            Self::Message(M::Chat) => Some("chat"),
            Self::Message(M::Groupchat) => Some("groupchat"),
            Self::Message(M::Headline) => Some("headline"),
            Self::Message(M::Error) | Self::Presence(P::Error) | Self::Iq(I::Error) => {
                Some("error")
            }
            Self::Presence(P::Unavailable) => Some("unavailable"),
            Self::Presence(P::Subscribe) => Some("subscribe"),
            Self::Presence(P::Subscribed) => Some("subscribed"),
            Self::Presence(P::Unsubscribe) => Some("unsubscribe"),
            Self::Presence(P::Unsubscribed) => Some("unsubscribed"),
            Self::Presence(P::Probe) => Some("probe"),
            Self::Iq(I::Get) => Some("get"),
            Self::Iq(I::Set) => Some("set"),
            Self::Iq(I::Result) => Some("result"),
        }
    }

    /// True for the `error` type of each kind.
    pub fn is_error(self) -> bool {
        matches!(
            self,
            Self::Message(MessageType::Error)
                | Self::Presence(PresenceType::Error)
                | Self::Iq(IqType::Error)
        )
    }
}

/// A stanza whose addresses are parsed and whose `from` is stamped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// Message, presence or iq, with the type.
    pub kind: StanzaKind,
    /// Sender: stamped by the server, never what a client claims.
    pub from: Jid,
    /// Recipient; `None` for the sender's own account or server.
    pub to: Option<Jid>,
    /// `id`, as sent.
    pub id: Option<String>,
    /// `xml:lang`, the stream's when the stanza had none (RFC 6120 §8.1.5).
    pub lang: Option<String>,
    /// The payload.
    pub children: Vec<Node>,
}

impl Stanza {
    /// A stanza without id and payload.
    pub fn new(kind: StanzaKind, from: Jid, to: Option<Jid>) -> Self {
        Self { kind, from, to, id: None, lang: None, children: Vec::new() }
    }

    /// Adds a payload element (builder style).
    #[must_use]
    pub fn with_child(mut self, child: Element) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// Adds a payload element when there is one (builder style).
    #[must_use]
    pub fn with_child_opt(self, child: Option<Element>) -> Self {
        match child {
            Some(child) => self.with_child(child),
            None => self,
        }
    }

    /// The same with an id.
    #[must_use]
    pub fn with_id(mut self, id: Option<String>) -> Self {
        self.id = id;
        self
    }

    /// The payload elements.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first payload element with this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<&Element> {
        self.elements().find(|element| element.is(name, ns))
    }

    /// Refuses a presence that takes too much memory where it is kept: by the server as long as the
    /// session is available, by a room as long as the occupant is there.
    pub fn check_can_be_kept(&self) -> Result<(), StanzaError> {
        let bytes: usize = self.children.iter().map(Node::memory_bytes).sum();
        if bytes > PRESENCE_MEMORY_BYTES_MAX {
            let error = StanzaError::new(Condition::PolicyViolation);
            return Err(error.with_text("The presence is too large"));
        }
        Ok(())
    }

    /// The payload of an iq get or set: exactly one element, else `None` (RFC 6120 §8.2.3).
    pub fn iq_payload(&self) -> Option<&Element> {
        let mut elements = self.elements();
        let first = elements.next()?;
        elements.next().is_none().then_some(first)
    }

    /// The stanza as an element, for whoever wraps it (XEP-0297).
    pub fn to_element(&self) -> Element {
        let mut element = Element::new(self.kind.name(), ns::CLIENT)
            .with_attr("from", self.from.as_str())
            .with_attr_opt("to", self.to.as_ref().map(Jid::as_str))
            .with_attr_opt("type", self.kind.type_str())
            .with_attr_opt("id", self.id.as_deref())
            .with_lang(self.lang.as_deref());
        element.children.clone_from(&self.children);
        element
    }

    /// Appends the stanza as it stands.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_head(out);
        if let Some(to) = &self.to {
            write_attr(out, "to", to.as_str());
        }
        self.write_tail(out);
    }

    /// Appends everything before the `to` attribute: `<message from='…'`.
    pub fn write_head(&self, out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(self.kind.name().as_bytes());
        write_attr(out, "from", self.from.as_str());
        if let Some(kind) = self.kind.type_str() {
            write_attr(out, "type", kind);
        }
        if let Some(id) = &self.id {
            write_attr(out, "id", id);
        }
        if let Some(lang) = &self.lang {
            write_attr(out, "xml:lang", lang);
        }
    }

    /// Appends everything after the `to` attribute: `>…</message>`.
    pub fn write_tail(&self, out: &mut Vec<u8>) {
        if self.children.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        write_nodes(out, &self.children, ns::CLIENT);
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.kind.name().as_bytes());
        out.push(b'>');
    }
}
