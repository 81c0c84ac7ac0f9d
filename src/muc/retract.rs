//! Messages that are taken back by who sent them (XEP-0424), and what is left of them.
//!
//! The room knows who said what: a retraction of what somebody else has said is refused
//! (`forbidden`), and so reaches nobody and no archive. A retraction of something that the room
//! does not remember any more is passed on, clients judge it by the occupant id (§5). A message
//! that is taken back leaves a tombstone in the archive and in the history: sender, ids, when it
//! was taken back and by what. The retraction is kept as any message (§5); when it is taken back
//! itself, what it did still stands. What is a tombstone already stays as it is.

use super::archive::{retention, to_stanza};
use super::occupant::Occupant;
use super::room::Room;
use super::subject;
use crate::archives::read_message;
use crate::cx::Cx;
use crate::outbound::Envelope;
use crate::storage::{ArchivedMessage, StorageError};
use crate::xml::{Element, Node};
use crate::xmpp::datetime::format_utc;
use crate::xmpp::{BareJid, Condition, Stanza, StanzaError, ns};

/// A message that the room remembers.
pub struct Original {
    /// The id that the room gave it.
    pub id: String,
    /// The occupant id of who said it; `None` for the room itself, and for an account that is gone.
    pub author: Option<String>,
    /// It is the room's own word.
    pub is_of_room: bool,
    /// It was taken back already.
    pub is_retracted: bool,
    stanza: Stanza,
    /// It is in the archive.
    archived: Option<ArchivedMessage>,
}

/// What a message takes back, if it is a retraction. `Err`: it is one without sense, or one that
/// pretends to be a change of the subject.
pub fn target(message: &Stanza) -> Result<Option<&str>, Condition> {
    let mut retractions = message.elements().filter(|element| element.is("retract", ns::RETRACT));
    let Some(retraction) = retractions.next() else { return Ok(None) };
    if retractions.next().is_some() || subject::is_change(message) {
        return Err(Condition::BadRequest);
    }
    let id = retraction.attr("id").filter(|id| !id.is_empty());
    id.map(Some).ok_or(Condition::BadRequest)
}

/// `<retracted/>` of a tombstone; `id` is that of the retraction (§4).
pub fn retracted(id: &str, unix_ms: i64) -> Element {
    Element::new("retracted", ns::RETRACT)
        .with_attr("id", id)
        .with_attr("stamp", format_utc(unix_ms))
}

/// What is left of a message without what it says: sender and ids, and what it takes back.
pub fn emptied(room: &BareJid, original: &Stanza) -> Stanza {
    let mut left = Stanza { lang: None, children: Vec::new(), ..original.clone() };
    for element in original.elements() {
        let is_of_room = match &*element.ns {
            ns::OCCUPANT_ID => true,
            ns::SID => element.attr("by") == Some(room.as_str()),
            _ => false,
        };
        if is_of_room {
            left.children.push(Node::Element(element.clone()));
        } else if element.is("retract", ns::RETRACT) {
            let id = element.attr("id").unwrap_or_default();
            left = left.with_child(Element::new("retract", ns::RETRACT).with_attr("id", id));
        }
    }
    left
}

impl Room {
    /// A message that the room remembers, in its archive or its history.
    pub fn original(&mut self, cx: &mut Cx, id: &str) -> Result<Option<Original>, StorageError> {
        let mut archived = None;
        if self.keeps_archive() {
            let oldest_ms = retention(&cx.config, cx.now).oldest_ms;
            archived = cx.storage.archive_message(self.archive_owner(), id, oldest_ms)?;
        }
        let (author, xml) = match &archived {
            Some(archived) => {
                let author = archived.author.as_ref();
                (author.map(|author| author.occupant_id.clone()), archived.xml.clone())
            }
            None => match self.history.find(id) {
                Some((author, envelope)) => (author.map(str::to_owned), envelope.to_vec()),
                None => return Ok(None),
            },
        };
        let Some(stanza) = read_message(&xml).and_then(to_stanza) else { return Ok(None) };
        let is_retracted = stanza.child("retracted", ns::RETRACT).is_some();
        let is_of_room = stanza.from.resource().is_none();
        let id = id.to_owned();
        Ok(Some(Original { id, author, is_of_room, is_retracted, stanza, archived }))
    }

    /// The message that an occupant takes back by this one; `None` when there is nothing to do.
    pub fn check_retraction(
        &mut self,
        cx: &mut Cx,
        speaker: &Occupant,
        message: &Stanza,
    ) -> Result<Option<Original>, StanzaError> {
        let Some(id) = target(message)? else { return Ok(None) };
        let Some(original) = self.original(cx, id)? else { return Ok(None) };
        if original.author.as_deref() != Some(&*speaker.id) {
            let error = StanzaError::new(Condition::Forbidden);
            return Err(error.with_text("this is not a message of yours"));
        }
        Ok(Some(original).filter(|original| !original.is_retracted))
    }

    /// Writes a tombstone in the place of a message in the archive, and returns it. To be done
    /// before the retraction is archived, which may drive the message out of a full archive.
    pub fn store_tombstone(
        &mut self,
        cx: &mut Cx,
        original: &Original,
        retracted: &Element,
    ) -> Result<Envelope, StorageError> {
        let envelope =
            Envelope::new(&emptied(&self.jid, &original.stanza).with_child(retracted.clone()));
        if let Some(archived) = &original.archived {
            cx.storage.archive_replace(self.archive_owner(), archived, &envelope.to_vec())?;
            self.mark_written(cx);
        }
        Ok(envelope)
    }

    /// Puts a tombstone that is written in the place of a message in the history.
    pub fn take_tombstone(&mut self, original: &Original, tombstone: &Envelope) {
        self.history.replace(&self.jid, &original.id, tombstone);
    }
}
