//! Going: by one's own will, with the session, or because stanzas cannot be delivered any more
//! (XEP-0045 §7.14, §11, §18.1.2). Removals by others are in changes.rs and owner.rs.

use super::occupant::{Occupant, Payload};
use super::presence::{self, Notice};
use super::room::Room;
use crate::cx::Cx;
use crate::outbound::Envelope;
use crate::xml::Element;
use crate::xmpp::{BareJid, Condition, Jid, PresenceType, Stanza, StanzaError, StanzaKind, ns};

/// What an occupant that is gone for the room is told, and the others of it.
const GONE: PresenceType = PresenceType::Unavailable;

/// True for an error after which the session that sent it is taken for gone (§18.1.2), of the
/// list in WIRE 31.
pub fn means_gone(stanza: &Stanza) -> bool {
    let error = stanza.child("error", ns::CLIENT);
    let condition = error.and_then(|error| {
        let mut conditions = error.elements().filter(|element| element.ns == ns::STANZA_ERRORS);
        conditions.find_map(|element| Condition::parse(&element.name))
    });
    matches!(
        condition,
        Some(
            Condition::Gone
                | Condition::ItemNotFound
                | Condition::RecipientUnavailable
                | Condition::Redirect
                | Condition::RemoteServerNotFound
                | Condition::RemoteServerTimeout
                | Condition::ServiceUnavailable
                | Condition::InternalServerError
                | Condition::JidMalformed
        )
    )
}

/// What comes back from somebody at another server to whom there is no way any more: who has missed
/// something of the room is out of it.
pub fn unreachable(session_jid: &Jid, room: &BareJid) -> Stanza {
    let kind = StanzaKind::Presence(PresenceType::Error);
    let error = StanzaError::new(Condition::RemoteServerTimeout);
    Stanza::new(kind, session_jid.clone(), Some(room.clone().into())).with_child(error.to_element())
}

impl Room {
    /// A session leaves (§7.14), or is taken for gone, with the codes that say so. The occupant
    /// goes with its last session. Somebody who is not here is no news (§17.3).
    pub fn leave(&mut self, cx: &mut Cx, session_jid: &Jid, payload: &Payload, codes: &[u16]) {
        let Some(occupant) = self.occupant_at(session_jid) else { return };
        let key = occupant.key;
        let notice = Notice { codes, ..Notice::default() };
        if occupant.seats.len() > 1 {
            self.leave_one_seat(cx, session_jid, payload, &notice);
            return;
        }
        if self.ends_unconfigured_without(occupant) {
            self.remove_all(cx, &Element::new("destroy", ns::MUC_USER));
            return;
        }
        let Some(occupant) = self.take_occupant(key) else { return };
        self.tell_self(cx, &occupant, GONE, payload, &notice);
        if occupant.is_shown {
            self.tell_gone(cx, &occupant, payload, &notice);
        }
    }

    /// §10.1.3: the creator goes before the room is configured, or whoever is left of those who
    /// were let in besides.
    fn ends_unconfigured_without(&self, leaver: &Occupant) -> bool {
        let Some(lock) = &self.lock else { return false };
        let mut others = self.occupants().filter(|other| other.key != leaver.key);
        match leaver.account == lock.creator {
            true => others.all(|other| other.account != lock.creator),
            false => others.next().is_none(),
        }
    }

    /// One of several sessions leaves: the occupant stays, and looks as the others made it look.
    fn leave_one_seat(
        &mut self,
        cx: &mut Cx,
        session_jid: &Jid,
        payload: &Payload,
        notice: &Notice<'_>,
    ) {
        let before = self.occupant_at(session_jid).map(|occupant| occupant.payload().clone());
        let Some((key, seat)) = self.take_seat(session_jid) else { return };
        let Some(occupant) = self.occupant(key) else { return };
        let mut leaver = occupant.identity();
        leaver.seats.push(seat);
        self.tell_self(cx, &leaver, GONE, payload, notice);
        let is_same = before.as_ref() == Some(occupant.payload());
        if !is_same || self.sees_jids(occupant) {
            let notice = Notice::default();
            self.tell_self(cx, occupant, PresenceType::Available, occupant.payload(), &notice);
        }
        self.show_to_others(cx, key, is_same);
    }

    /// Takes an occupant out and tells it so; the others are told by [`Self::tell_gone`].
    pub fn expel(&mut self, cx: &mut Cx, key: u64, notice: &Notice<'_>) -> Option<Occupant> {
        let occupant = self.take_occupant(key)?;
        self.tell_self(cx, &occupant, GONE, &Payload::default(), notice);
        Some(occupant)
    }

    /// The room is no more (§10.9): one farewell to each session, and no broadcast of N by N.
    pub fn remove_all(&mut self, cx: &mut Cx, destroy: &Element) {
        let item = Element::new("item", ns::MUC_USER)
            .with_attr("affiliation", "none")
            .with_attr("role", "none");
        for key in self.keys() {
            let Some(occupant) = self.take_occupant(key) else { continue };
            let x = Element::new("x", ns::MUC_USER)
                .with_child(destroy.clone())
                .with_child(item.clone())
                .with_child(presence::status(110));
            let kind = StanzaKind::Presence(GONE);
            let farewell = Stanza::new(kind, occupant.jid.clone(), None)
                .with_child(presence::occupant_id(&occupant))
                .with_child(x);
            let envelope = Envelope::new(&farewell);
            for seat in &occupant.seats {
                seat.push(cx, &envelope);
            }
        }
        self.is_destroyed = true;
    }

    /// The service ends (§11.2): one farewell to each session.
    pub fn shut_down(&mut self, cx: &mut Cx) {
        let notice = Notice { codes: &[332], ..Notice::default() };
        for key in self.keys() {
            self.expel(cx, key, &notice);
        }
        self.is_destroyed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::{MessageType, StanzaError, StanzaKind};

    #[test]
    fn which_errors_mean_gone() {
        let from = Jid::parse("u@h/r").expect("an address");
        let error = |condition: Condition| {
            Stanza::new(StanzaKind::Message(MessageType::Error), from.clone(), None)
                .with_child(StanzaError::new(condition).to_element())
        };
        for (condition, want) in [
            (Condition::Gone, true),
            (Condition::ItemNotFound, true),
            (Condition::RecipientUnavailable, true),
            (Condition::Redirect, true),
            (Condition::RemoteServerNotFound, true),
            (Condition::RemoteServerTimeout, true),
            (Condition::ServiceUnavailable, true),
            (Condition::InternalServerError, true),
            (Condition::JidMalformed, true),
            (Condition::NotAcceptable, false),
            (Condition::Forbidden, false),
            (Condition::BadRequest, false),
            (Condition::ResourceConstraint, false),
            (Condition::FeatureNotImplemented, false),
        ] {
            assert_eq!(means_gone(&error(condition)), want, "{condition:?}");
        }
        let empty = Stanza::new(StanzaKind::Message(MessageType::Error), from.clone(), None);
        assert!(!means_gone(&empty));
    }
}
