//! Messages to the room itself (XEP-0045 §7.4, §8.1, §17.2): what an occupant says to all.

use super::archive::{self, Author};
use super::room::Room;
use super::{invite, privilege, retract, subject};
use crate::cx::Cx;
use crate::outbound::Envelope;
use crate::xml::Element;
use crate::xmpp::dataform;
use crate::xmpp::{Condition, Jid, MessageType, Stanza, StanzaError, StanzaKind, ns};

impl Room {
    /// A message to the bare address of the room. Errors do not come here.
    pub fn handle_message(
        &mut self,
        cx: &mut Cx,
        kind: MessageType,
        message: Stanza,
    ) -> Result<(), StanzaError> {
        // §17.2: the room does not officially exist before it is configured.
        if self.lock.is_some() {
            return Err(Condition::ItemNotFound.into());
        }
        match kind {
            MessageType::Groupchat => self.handle_groupchat(cx, message),
            MessageType::Normal => {
                self.spend(cx, &message.from.to_bare())?;
                if let Some(x) = message.child("x", ns::MUC_USER) {
                    return invite::handle(self, cx, &message, x);
                }
                let x = message.child("x", ns::DATA).ok_or(Condition::BadRequest)?;
                self.handle_form(cx, &message, x)
            }
            // §17.2, WIRE 40: wrongly typed.
            _ => Err(Condition::BadRequest.into()),
        }
    }

    /// A form: a request for voice, or what somebody in charge has decided (§7.13, §8.6, §9.9).
    fn handle_form(
        &mut self,
        cx: &mut Cx,
        message: &Stanza,
        x: &Element,
    ) -> Result<(), StanzaError> {
        match dataform::form_type(x).as_deref() {
            Some(ns::MUC_REQUEST) => self.handle_voice(cx, message, x),
            Some(ns::MUC_REGISTER) => self.decide_registration(cx, message, x),
            // XEP-0004 §4.1: a form that is cancelled may be empty.
            None if x.attr("type") == Some("cancel") => Ok(()),
            _ => Err(Condition::BadRequest.into()),
        }
    }

    /// A message of type groupchat (§7.4).
    fn handle_groupchat(&mut self, cx: &mut Cx, message: Stanza) -> Result<(), StanzaError> {
        let Some(occupant) = self.occupant_at(&message.from) else {
            return Err(super::not_in_room()); // §7.4
        };
        let speaker = occupant.identity();
        retract::target(&message)?;
        if subject::is_change(&message) {
            privilege::check_subject(&self.options, speaker.role)?; // §8.1
            self.check_pace(cx, &speaker, &message)?;
            self.change_subject(cx, &speaker, message)?;
            self.note_spoken(cx, &speaker, false);
            return Ok(());
        }
        privilege::check_speak(speaker.role)?; // §7.4: no voice.
        self.check_pace(cx, &speaker, &message)?;
        let original = self.check_retraction(cx, &speaker, &message)?; // XEP-0424 §5
        let has_body = message.child("body", ns::CLIENT).is_some();
        let session_jid = message.from.clone();
        let message = self.reflection(cx, &speaker, message);
        let envelope = Envelope::new(&message);
        let author = Some(Author { occupant: &speaker, session_jid: &session_jid });
        let tombstone = match &original {
            Some(original) => {
                let id = message.id.as_deref().unwrap_or(archive::stanza_id(&self.jid, &message));
                let retracted = retract::retracted(id, cx.now.unix_ms);
                Some((original, self.store_tombstone(cx, original, &retracted)?))
            }
            None => None,
        };
        self.archive(cx, author, &message, &envelope)?;
        if let Some((original, tombstone)) = tombstone {
            self.take_tombstone(original, &tombstone);
        }
        self.note_spoken(cx, &speaker, has_body);
        self.count_message(cx, &message);
        self.remember(cx, author, &message, &envelope);
        self.push_to_all(cx, &message.from, &envelope);
        Ok(())
    }

    /// Sends what was serialised once to every session, in the order of joining, but not to those
    /// who have blocked `from`, the room or an occupant of it. Nobody hears of that: an error would
    /// throw them out of the room (§18.1.2).
    pub fn push_to_all(&self, cx: &mut Cx, from: &Jid, envelope: &Envelope) {
        let somebody_blocks = !cx.blocks.is_empty();
        for occupant in self.occupants() {
            if somebody_blocks && cx.blocks.has_blocked(&occupant.account, from) {
                continue;
            }
            for seat in &occupant.seats {
                seat.push(cx, envelope);
            }
        }
    }

    /// A message of the room itself, with an id that is new; to nobody yet.
    pub fn own_message(&self, cx: &mut Cx, kind: MessageType, payload: Element) -> Stanza {
        let id = super::ids::stanza_id(cx.entropy.as_mut());
        let message = Stanza::new(StanzaKind::Message(kind), self.jid.clone().into(), None);
        message.with_id(Some(id)).with_child(payload)
    }

    /// Tells all occupants something by status codes (§10.2.1).
    pub fn tell_status(&self, cx: &mut Cx, codes: &[u16]) {
        let x = Element::new("x", ns::MUC_USER);
        let x = codes.iter().fold(x, |x, code| x.with_child(super::presence::status(*code)));
        let message = self.own_message(cx, MessageType::Groupchat, x);
        self.push_to_all(cx, self.jid.as_jid(), &Envelope::new(&message));
    }
}
