//! Messages that moderators take back (XEP-0425): a tombstone takes the place of the message in
//! the archive and in the history, all occupants hear of it, then the moderator has the result
//! (§3.1), and the room's word of it is archived too.
//!
//! Moderators may, and admins and owners who are not in the room, as they may change roles from
//! there (XEP-0045 §5.1.3); whoever the message is from. What was taken back already is
//! taken back: a result, and nobody hears of it twice. The room's own words are not moderated.

use super::dispatch::Request;
use super::retract;
use super::room::Room;
use super::{check_reason, ids, privilege};
use crate::cx::Cx;
use crate::outbound::Envelope;
use crate::xml::Element;
use crate::xmpp::{Condition, MessageType, Stanza, StanzaError, ns};

/// What a request asks for: the message, and why.
fn read<'a>(request: &'a Request<'_>) -> Result<(&'a str, Option<&'a Element>), Condition> {
    let moderate = request.payload;
    let id = moderate.attr("id").filter(|id| !id.is_empty()).ok_or(Condition::BadRequest)?;
    let (mut retractions, mut reason) = (0, None);
    for element in moderate.elements() {
        if element.is("retract", ns::RETRACT) {
            retractions += 1;
        } else if element.is("reason", ns::MODERATE) && reason.is_none() {
            reason = Some(element);
        } else {
            return Err(Condition::BadRequest);
        }
    }
    if retractions == 1 { Ok((id, reason)) } else { Err(Condition::BadRequest) }
}

impl Room {
    /// A set (§3).
    pub fn moderate(&mut self, cx: &mut Cx, request: &Request<'_>) -> Result<(), StanzaError> {
        privilege::check_moderate(self.rank_of(&request.account))?;
        let (id, reason) = read(request)?;
        let reason = check_reason(&cx.config, reason)?;
        self.rows_read += crate::allowance::DEAR_ROW;
        let original = self.original(cx, id)?.ok_or(Condition::ItemNotFound)?;
        if original.is_of_room {
            return Err(Condition::NotAllowed.into());
        }
        if original.is_retracted {
            cx.reply(request.origin, request.stanza, None);
            return Ok(());
        }
        let reason = reason.map(|text| Element::new("reason", ns::RETRACT).with_text(text));
        let moderated = self.moderated(request);
        let message = self.moderation(cx, id, &moderated, reason.clone());
        let envelope = Envelope::new(&message);
        let retracted =
            retract::retracted(message.id.as_deref().unwrap_or_default(), cx.now.unix_ms)
                .with_child(moderated)
                .with_child_opt(reason);
        let tombstone = self.store_tombstone(cx, &original, &retracted)?;
        self.archive(cx, None, &message, &envelope)?;
        self.take_tombstone(&original, &tombstone);
        self.remember(cx, None, &message, &envelope);
        self.push_to_all(cx, &message.from, &envelope);
        cx.reply(request.origin, request.stanza, None);
        Ok(())
    }

    /// Who it was: the occupant, as far as it is one, and its occupant id (§4).
    fn moderated(&self, request: &Request<'_>) -> Element {
        let actor = self.actor(&request.stanza.from);
        let by = actor.nick.and_then(|nick| self.jid.with_resource(&nick).ok());
        let id = ids::occupant_id(&self.secret, request.account.as_str());
        Element::new("moderated", ns::MODERATE)
            .with_attr_opt("by", by.as_ref().map(|jid| jid.as_str()))
            .with_child(Element::new("occupant-id", ns::OCCUPANT_ID).with_attr("id", id))
    }

    /// What all hear (§3.1).
    fn moderation(
        &self,
        cx: &mut Cx,
        id: &str,
        moderated: &Element,
        reason: Option<Element>,
    ) -> Stanza {
        let retract = Element::new("retract", ns::RETRACT)
            .with_attr("id", id)
            .with_child(moderated.clone())
            .with_child_opt(reason);
        let stanza_id = crate::archives::stanza_id_element(cx, &self.jid);
        self.own_message(cx, MessageType::Groupchat, retract).with_child(stanza_id)
    }
}
