//! The subject of a room (XEP-0045 §7.2.15, §8.1): always the last stanza of a join, an empty one
//! when it was never set.

use super::archive::Author;
use super::occupant::Occupant;
use super::room::Room;
use super::{presence, sanitize};
use crate::config::Config;
use crate::cx::Cx;
use crate::outbound::Envelope;
use crate::storage::StoredSubject;
use crate::xml::writer::write_element;
use crate::xml::{Attribute, Element, Node, XML_NS, read_fragment};
use crate::xmpp::delay::delay;
use crate::xmpp::{BareJid, Condition, Jid, MessageType, Stanza, StanzaError, StanzaKind, ns};

/// The last change of the subject.
#[derive(Clone)]
pub struct Subject {
    /// `<subject/>`, one for each language.
    pub elements: Vec<Element>,
    /// The seat that set it.
    pub from: Jid,
    /// Its occupant id, if known.
    pub occupant_id: Option<String>,
    /// When.
    pub unix_ms: i64,
}

impl Subject {
    /// The text without a language, or the first.
    pub fn text(&self) -> String {
        let plain = self.elements.iter().find(|element| element.lang().is_none());
        plain.or(self.elements.first()).map(Element::text).unwrap_or_default()
    }

    /// As it is stored.
    pub fn to_stored(&self) -> StoredSubject {
        let mut xml = Vec::new();
        for element in &self.elements {
            write_element(&mut xml, element, ns::CLIENT);
        }
        StoredSubject {
            xml: String::from_utf8_lossy(&xml).into_owned(),
            nick: self.from.resource().unwrap_or_default().to_owned(),
            occupant_id: self.occupant_id.clone(),
            unix_ms: self.unix_ms,
        }
    }

    /// From what was stored.
    pub fn from_stored(room: &BareJid, stored: StoredSubject) -> Self {
        let seat = room.with_resource(&stored.nick).ok();
        Self {
            elements: read_fragment(stored.xml.as_bytes(), ns::CLIENT),
            from: seat.unwrap_or_else(|| room.clone().into()),
            occupant_id: stored.occupant_id,
            unix_ms: stored.unix_ms,
        }
    }
}

/// True for a message that changes the subject: it has one, and neither body nor thread (§8.1).
pub fn is_change(message: &Stanza) -> bool {
    message.child("subject", ns::CLIENT).is_some()
        && message.child("body", ns::CLIENT).is_none()
        && message.child("thread", ns::CLIENT).is_none()
}

/// The subjects of a message, one for each language (RFC 6121 §5.2.4): their texts and languages
/// are kept, and nothing else that a client may have put there.
fn texts_of(message: &Stanza, config: &Config) -> Result<Vec<Element>, StanzaError> {
    let subjects = message.elements().filter(|element| element.is("subject", ns::CLIENT));
    let (mut text_bytes, mut lang_bytes) = (0, 0);
    let mut kept: Vec<Element> = Vec::new();
    for subject in subjects {
        let text = subject.text();
        // RFC 6120 §8.1.5: without a language of its own it has that of the stanza.
        let lang = subject.lang().or(message.lang.as_deref());
        text_bytes += text.len();
        lang_bytes += lang.map_or(0, str::len);
        super::check_text_len(config, text_bytes.max(lang_bytes))?;
        if kept.iter().any(|earlier| earlier.lang() == lang) {
            return Err(Condition::BadRequest.into());
        }
        let mut element = Element::new("subject", ns::CLIENT).with_text(text);
        if let Some(lang) = lang {
            let (ns, name, value) = (XML_NS.into(), "lang".into(), lang.to_owned());
            element.attributes.push(Attribute { ns, name, value });
        }
        kept.push(element);
    }
    Ok(kept)
}

impl Room {
    /// The subject as it is sent at the end of a join (§7.2.15).
    pub fn subject_message(&self) -> Stanza {
        let kind = StanzaKind::Message(MessageType::Groupchat);
        let Some(subject) = &self.subject else {
            return Stanza::new(kind, self.jid.clone().into(), None)
                .with_child(Element::new("subject", ns::CLIENT));
        };
        let mut message = Stanza::new(kind, subject.from.clone(), None);
        message.children.extend(subject.elements.iter().cloned().map(Node::Element));
        if message.children.is_empty() {
            message = message.with_child(Element::new("subject", ns::CLIENT));
        }
        if let Some(id) = &subject.occupant_id {
            let id = Element::new("occupant-id", ns::OCCUPANT_ID).with_attr("id", id.clone());
            message = message.with_child(id);
        }
        message.with_child(delay(self.jid.as_str(), subject.unix_ms))
    }

    /// An occupant that may changes the subject (§8.1).
    pub fn change_subject(
        &mut self,
        cx: &mut Cx,
        occupant: &Occupant,
        message: Stanza,
    ) -> Result<(), StanzaError> {
        let subject = Subject {
            elements: texts_of(&message, &cx.config)?,
            from: occupant.jid.clone(),
            occupant_id: Some(occupant.id.to_string()),
            unix_ms: cx.now.unix_ms,
        };
        if self.is_stored {
            cx.storage.room_subject(&self.jid, &subject.to_stored())?;
            self.mark_written(cx);
        }
        let session_jid = message.from.clone();
        let reflected = self.reflection(cx, occupant, message);
        let envelope = Envelope::new(&reflected);
        let author = Some(Author { occupant, session_jid: &session_jid });
        self.archive(cx, author, &reflected, &envelope)?;
        self.subject = Some(subject);
        self.push_to_all(cx, &reflected.from, &envelope);
        Ok(())
    }

    /// A groupchat message as all get it (§7.4).
    pub fn reflection(&self, cx: &mut Cx, occupant: &Occupant, message: Stanza) -> Stanza {
        let stanza_id = crate::archives::stanza_id_element(cx, &self.jid);
        Stanza {
            kind: message.kind,
            from: occupant.jid.clone(),
            to: None,
            id: message.id,
            lang: message.lang,
            children: sanitize::children(&self.jid, message.children),
        }
        .with_child(presence::occupant_id(occupant))
        .with_child(stanza_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(names: &[&'static str]) -> Stanza {
        let from = Jid::parse("u@h/r").expect("an address");
        let message = Stanza::new(StanzaKind::Message(MessageType::Groupchat), from, None);
        names.iter().fold(message, |m, name| m.with_child(Element::new(*name, ns::CLIENT)))
    }

    #[test]
    fn what_changes_the_subject() {
        for (names, want) in [
            (&["subject"][..], true),
            (&["subject", "other"], true),
            (&["subject", "body"], false),
            (&["thread", "subject"], false),
            (&["body"], false),
            (&[], false),
        ] {
            assert_eq!(is_change(&message(names)), want, "{names:?}");
        }
    }
}
