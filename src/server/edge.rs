//! The edge: an element of a client becomes a stanza with parsed addresses, a stamped `from` and
//! a known type, or it is refused here. After this no address is text any more.

use crate::xml::Element;
use crate::xmpp::ns;
use crate::xmpp::{
    Condition, IqType, Jid, MessageType, PresenceType, Stanza, StanzaError, StanzaKind,
    StreamCondition, StreamError,
};

/// What an element of a bound client stream is.
pub enum Edge {
    /// A stanza to route.
    Stanza(Stanza),
    /// A stanza to answer with an error; its parts are right as far as they could be understood.
    Refused(Stanza, StanzaError),
}

/// Makes a stanza of a first-level element that the client bound to `full_jid` sent.
///
/// `Err`: the stream ends (RFC 6120 §4.9.3.10, §4.9.3.24, §8.1.2.1).
pub fn stanza_of(
    element: Element,
    full_jid: &Jid,
    lang: Option<&str>,
) -> Result<Edge, StreamError> {
    let (kind, mut problem) = kind_of(&element)?;
    check_from(&element, full_jid)?;
    let to = element.attr("to").map(Jid::parse).transpose().unwrap_or_else(|_| {
        problem = Some(Condition::JidMalformed);
        None
    });
    Ok(finish(element, kind, stamp(kind, full_jid), to, lang, problem))
}

/// The kind of an element, or a stand-in and what is wrong. `Err`: it is no stanza.
fn kind_of(element: &Element) -> Result<(StanzaKind, Option<Condition>), StreamError> {
    if element.ns != ns::CLIENT {
        return Err(StreamCondition::UnsupportedStanzaType.into());
    }
    let type_attr = element.attr("type");
    let kind = match &*element.name {
        "message" => Ok(StanzaKind::Message(message_type(type_attr))),
        "presence" => presence_type(type_attr)
            .map(StanzaKind::Presence)
            .ok_or(StanzaKind::Presence(PresenceType::Available)),
        "iq" => iq_type(type_attr).map(StanzaKind::Iq).ok_or(StanzaKind::Iq(IqType::Get)),
        _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
    };
    Ok(match kind {
        Ok(kind) => (kind, None),
        Err(stand_in) => (stand_in, Some(Condition::BadRequest)),
    })
}

/// The stanza, or what is wrong with it.
fn finish(
    element: Element,
    kind: StanzaKind,
    from: Jid,
    to: Option<Jid>,
    lang: Option<&str>,
    mut problem: Option<Condition>,
) -> Edge {
    let mut stanza = Stanza::new(kind, from, to);
    stanza.id = element.attr("id").map(str::to_owned);
    // RFC 6120 §8.1.5: the stream's language, where the stanza has none.
    stanza.lang = element.lang().or(lang).map(str::to_owned);
    stanza.children = element.children;
    if let StanzaKind::Iq(kind) = kind {
        let is_request = matches!(kind, IqType::Get | IqType::Set);
        // RFC 6120 §8.2.3: an id, and for a request exactly one payload element.
        if stanza.id.is_none() || (is_request && stanza.iq_payload().is_none()) {
            problem = problem.or(Some(Condition::BadRequest));
        }
    }
    match problem {
        None => Edge::Stanza(stanza),
        Some(condition) => Edge::Refused(stanza, condition.into()),
    }
}

/// Makes a stanza of a first-level element from another server or a component, whose addresses are
/// known.
///
/// `Err`: the stream ends (RFC 6120 §4.9.3.24).
pub fn remote_stanza_of(element: Element, from: Jid, to: Jid) -> Result<Edge, StreamError> {
    let (kind, problem) = kind_of(&element)?;
    Ok(finish(element, kind, from, Some(to), None, problem))
}

/// A stanza that this server has written, read again. `None`: it is none that can be given to
/// anybody else.
pub fn written_stanza(element: Element) -> Option<Stanza> {
    let Ok((kind, None)) = kind_of(&element) else { return None };
    let from = Jid::parse(element.attr("from")?).ok()?;
    let to = Jid::parse(element.attr("to")?).ok()?;
    let mut stanza = Stanza::new(kind, from, Some(to));
    stanza.id = element.attr("id").map(str::to_owned);
    stanza.lang = element.lang().map(str::to_owned);
    stanza.children = element.children;
    Some(stanza)
}

/// RFC 6120 §8.1.2.1: a client may leave `from` out, or give its own bare or full address.
fn check_from(element: &Element, full_jid: &Jid) -> Result<(), StreamError> {
    let Some(claimed) = element.attr("from") else { return Ok(()) };
    match Jid::parse(claimed) {
        Ok(jid) if jid == *full_jid || jid.as_str() == full_jid.bare_str() => Ok(()),
        _ => Err(StreamCondition::InvalidFrom.into()),
    }
}

/// RFC 6121 §3.1.2: subscription stanzas come from the bare address, all else from the full one.
fn stamp(kind: StanzaKind, full_jid: &Jid) -> Jid {
    use PresenceType::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};
    match kind {
        StanzaKind::Presence(Subscribe | Subscribed | Unsubscribe | Unsubscribed) => {
            full_jid.to_bare().into()
        }
        _ => full_jid.clone(),
    }
}

/// RFC 6121 §5.2.2: an unknown type counts as normal.
fn message_type(text: Option<&str>) -> MessageType {
    match text {
        Some("chat") => MessageType::Chat,
        Some("groupchat") => MessageType::Groupchat,
        Some("headline") => MessageType::Headline,
        Some("error") => MessageType::Error,
        _ => MessageType::Normal,
    }
}

fn presence_type(text: Option<&str>) -> Option<PresenceType> {
    Some(match text {
        None => PresenceType::Available,
        Some("unavailable") => PresenceType::Unavailable,
        Some("subscribe") => PresenceType::Subscribe,
        Some("subscribed") => PresenceType::Subscribed,
        Some("unsubscribe") => PresenceType::Unsubscribe,
        Some("unsubscribed") => PresenceType::Unsubscribed,
        Some("probe") => PresenceType::Probe,
        Some("error") => PresenceType::Error,
        Some(_) => return None,
    })
}

fn iq_type(text: Option<&str>) -> Option<IqType> {
    Some(match text? {
        "get" => IqType::Get,
        "set" => IqType::Set,
        "result" => IqType::Result,
        "error" => IqType::Error,
        _ => return None,
    })
}
