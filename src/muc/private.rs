//! Between two occupants: private messages (XEP-0045 §7.5), iq stanzas through a seat (§17.4,
//! WIRE 30) and the self-ping (XEP-0410). Neither side learns the other's real address.

use ring::hmac;

use super::ids::Return;
use super::occupant::Seat;
use super::room::Room;
use super::{leave, presence, privilege, sanitize};
use crate::archives::chats;
use crate::cx::Cx;
use crate::ids::Target;
use crate::outbound::Envelope;
use crate::storage::ArchiveWish;
use crate::xml::{Element, Node};
use crate::xmpp::{Condition, IqType, MessageType, Role, Stanza, StanzaError, StanzaKind, ns};

/// Bytes of the id of an iq to a seat.
const REQUEST_ID_BYTES_MAX: usize = 1_024;

/// The refusal of an iq to a seat by somebody outside (WIRE 29): split by payload.
pub fn refusal_of_outsider(payload: &Element) -> StanzaError {
    match &*payload.ns {
        ns::DISCO_INFO | ns::DISCO_ITEMS => Condition::BadRequest.into(), // §6.6
        _ => super::not_in_room(),                                        // XEP-0410 §3.2
    }
}

impl Room {
    /// This room and no earlier one by its name, whose seats had the same numbers.
    fn incarnation(&self) -> String {
        format!("{} {:x}", self.jid, self.number)
    }

    /// A message to a seat (§7.5).
    pub fn handle_private(
        &mut self,
        cx: &mut Cx,
        kind: MessageType,
        message: Stanza,
    ) -> Result<(), StanzaError> {
        let nick = message.to.as_ref().and_then(|to| to.resource()).unwrap_or_default();
        if kind == MessageType::Error {
            if leave::means_gone(&message) {
                self.leave(cx, &message.from, &super::occupant::Payload::default(), &[333]);
                return Ok(());
            }
        } else if kind == MessageType::Groupchat {
            return Err(Condition::BadRequest.into());
        }
        let sender = self.occupant_at(&message.from).ok_or_else(super::not_in_room)?;
        if kind == MessageType::Error {
            // There is nothing that it could be the answer to.
            privilege::check_private(&self.options, Role::Moderator)?;
        } else {
            privilege::check_private(&self.options, sender.role)?;
        }
        let key = self.occupant_named(nick).ok_or(Condition::ItemNotFound)?.key;
        let account = sender.account.clone();
        self.spend(cx, &account)?;
        let (Some(sender), Some(target)) = (self.occupant_at(&message.from), self.occupant(key))
        else {
            return Ok(());
        };
        let mut relayed = Stanza {
            kind: message.kind,
            from: sender.jid.clone(),
            to: None,
            id: message.id,
            lang: message.lang,
            children: sanitize::children(&self.jid, message.children),
        };
        if kind == MessageType::Error {
            // The error alone: else whoever may not send private messages could do it this way.
            let is_error =
                |node: &Node| matches!(node, Node::Element(child) if child.is("error", ns::CLIENT));
            relayed.children.retain(is_error);
        }
        sanitize::errors(&mut relayed.children);
        relayed = relayed
            .with_child(presence::occupant_id(sender))
            .with_child(Element::new("x", ns::MUC_USER));
        if cx.blocks.has_blocked(&target.account, &relayed.from) {
            return Ok(()); // An error would name the one who has blocked (XEP-0191).
        }
        if cx.config.is_account_domain(target.account.domain()) {
            // Kept once, however many sessions hear it (XEP-0313 §6.1.1).
            relayed.to = Some(target.account.clone().into());
            chats::keep_received(cx, &target.account, ArchiveWish::Depends, &mut relayed)?;
        }
        let envelope = Envelope::new(&relayed);
        for seat in &target.seats {
            seat.push(cx, &envelope);
        }
        Ok(())
    }

    /// An iq get or set to a seat (§17.4).
    pub fn handle_seat_request(
        &mut self,
        cx: &mut Cx,
        key: &hmac::Key,
        origin: Target,
        iq: &Stanza,
        payload: &Element,
    ) -> Result<(), StanzaError> {
        let id = iq.id.as_deref().unwrap_or_default();
        let Some(asker) = self.occupant_at(&iq.from) else {
            return Err(refusal_of_outsider(payload));
        };
        let nick = iq.to.as_ref().and_then(|to| to.resource()).unwrap_or_default();
        let target = self.occupant_named(nick).ok_or(Condition::ItemNotFound)?;
        let is_get = iq.kind == StanzaKind::Iq(IqType::Get);
        if target.key == asker.key && is_get && payload.is("ping", ns::PING) {
            cx.reply(origin, iq, None); // XEP-0410 §3.3
            return Ok(());
        }
        if id.len() > REQUEST_ID_BYTES_MAX {
            // Its answer holds it, and ours: too large an answer would end the other's stream.
            return Err(StanzaError::new(Condition::PolicyViolation).with_text("a shorter id"));
        }
        // §17.4: what the account itself answers goes to the bare address.
        let is_for_account =
            matches!(&*payload.ns, ns::VCARD_TEMP) || payload.ns.starts_with(ns::PUBSUB);
        if !is_for_account {
            let account = asker.account.clone();
            self.spend(cx, &account)?;
        }
        let (Some(asker), Some(target)) = (self.occupant_at(&iq.from), self.occupant_named(nick))
        else {
            return Ok(());
        };
        if cx.blocks.has_blocked(&target.account, &asker.jid) {
            return Err(Condition::ServiceUnavailable.into()); // XEP-0191 §3.3
        }
        let seat = asker.seat(&iq.from).ok_or_else(super::not_in_room)?;
        let back = Return {
            occupant: asker.key,
            seat: seat.number,
            nick: nick.to_owned(),
            id: id.to_owned(),
        };
        let answerer: &Seat = target.seats.first().expect("an occupant has a seat");
        let asked = if is_for_account { answerer.jid.bare_str() } else { answerer.jid.as_str() };
        let id = back.encode(key, &self.incarnation(), asked);
        let forwarded = Stanza {
            kind: iq.kind,
            from: asker.jid.clone(),
            to: None,
            id: Some(id),
            lang: iq.lang.clone(),
            children: vec![Node::Element(payload.clone())],
        };
        if is_for_account {
            cx.route(Stanza { to: Some(target.account.clone().into()), ..forwarded });
        } else {
            answerer.send(cx, forwarded);
        }
        Ok(())
    }

    /// An iq result or error to a seat: back to the session that asked, if the one that was asked
    /// sent it; else it is nothing.
    pub fn handle_seat_answer(&self, cx: &mut Cx, key: &hmac::Key, iq: Stanza) {
        let id = iq.id.as_deref().unwrap_or_default();
        let back = Return::decode(key, &self.incarnation(), iq.from.as_str(), id);
        let Some(back) = back else { return };
        let Some(asker) = self.occupant(back.occupant) else { return };
        let Some(seat) = asker.seats.iter().find(|seat| seat.number == back.seat) else { return };
        let Ok(from) = self.jid.with_resource(&back.nick) else { return };
        let mut children = iq.children;
        sanitize::errors(&mut children);
        let answer =
            Stanza { kind: iq.kind, from, to: None, id: Some(back.id), lang: iq.lang, children };
        seat.send(cx, answer);
    }
}
