//! Mediated invitations and how they are declined (XEP-0045 §7.8.2, §9.5). Direct ones (XEP-0249)
//! never come to the room. The inviter is named by its seat, so that its real address stays with
//! those who may see it.

use super::changes::AffiliationChanges;
use super::occupant::Occupant;
use super::presence::Actor;
use super::room::Room;
use super::{check_reason, privilege};
use crate::cx::Cx;
use crate::xml::Element;
use crate::xmpp::{
    Affiliation, BareJid, Condition, Jid, MessageType, Stanza, StanzaError, StanzaKind, ns,
};

/// Invitations in one message.
const INVITATIONS_MAX: usize = 50;

/// A normal message with a `muc#user` element: invitations, or a refusal.
pub fn handle(
    room: &mut Room,
    cx: &mut Cx,
    message: &Stanza,
    x: &Element,
) -> Result<(), StanzaError> {
    let invites: Vec<_> = x.elements().filter(|e| e.is("invite", ns::MUC_USER)).collect();
    if let Some(decline) = x.child("decline", ns::MUC_USER) {
        return self::decline(room, cx, message, decline);
    }
    if invites.is_empty() || invites.len() > INVITATIONS_MAX {
        return Err(Condition::BadRequest.into());
    }
    invite(room, cx, message, &invites)
}

/// An occupant invites (§7.8.2): everybody who is named, or nobody.
fn invite(
    room: &mut Room,
    cx: &mut Cx,
    message: &Stanza,
    invites: &[&Element],
) -> Result<(), StanzaError> {
    let Some(inviter) = room.occupant_at(&message.from) else {
        return Err(super::not_in_room()); // §7.8: in which one is an occupant.
    };
    privilege::check_invite(&room.options, inviter.role, inviter.affiliation)?; // §9.5
    let inviter = inviter.identity();
    let mut invitees = Vec::new();
    let mut changes = AffiliationChanges::new();
    for invite in invites {
        let to = invite.attr("to").ok_or(Condition::BadRequest)?;
        let to = Jid::parse(to).map_err(|_| Condition::JidMalformed)?;
        check_reason(&cx.config, invite.child("reason", ns::MUC_USER))?;
        let account = to.to_bare();
        check_invitee(room, cx, &account)?;
        // §9.5: in a members-only room the invitation makes a member.
        if room.options.members_only && room.affiliation_of(&account) == Affiliation::None {
            changes.insert(account, (Affiliation::Member, None));
        }
        invitees.push((to, *invite));
    }
    if !changes.is_empty() {
        room.check_list(cx, &changes)?;
        room.store_affiliations(cx, &changes)?;
        room.take_affiliations(&changes);
        for (jid, (affiliation, _)) in &changes {
            room.tell_absent(cx, jid, *affiliation, None);
        }
    }
    for (to, request) in invitees {
        let mut invite =
            Element::new("invite", ns::MUC_USER).with_attr("from", inviter.jid.as_str());
        if let Some(reason) = request.child("reason", ns::MUC_USER) {
            invite.push(Element::new("reason", ns::MUC_USER).with_text(reason.text()));
        }
        if let Some(going_on) = request.child("continue", ns::MUC_USER) {
            let thread = going_on.attr("thread");
            invite.push(Element::new("continue", ns::MUC_USER).with_attr_opt("thread", thread));
        }
        let invitation = invitation(room, to, invite);
        cx.route(Stanza { id: message.id.clone(), lang: message.lang.clone(), ..invitation });
    }
    Ok(())
}

fn check_invitee(room: &Room, cx: &mut Cx, account: &BareJid) -> Result<(), StanzaError> {
    if room.affiliation_of(account) == Affiliation::Outcast {
        return Err(Condition::NotAllowed.into()); // An invitation lifts no ban.
    }
    // §7.8.2: an address that does not exist, as far as that can be known here. A domain or a room
    // is nobody: in a members-only room the invitation would let a whole domain in.
    let is_nobody = account.local().is_none()
        || cx.config.is_room_domain(account.domain())
        || cx.config.is_account_domain(account.domain()) && cx.storage.account(account)?.is_none();
    if is_nobody { Err(Condition::ItemNotFound.into()) } else { Ok(()) }
}

fn invitation(room: &Room, to: Jid, invite: Element) -> Stanza {
    let mut x = Element::new("x", ns::MUC_USER).with_child(invite);
    if !room.options.password.is_empty() {
        let password = room.options.password.clone();
        x.push(Element::new("password", ns::MUC_USER).with_text(password));
    }
    let kind = StanzaKind::Message(MessageType::Normal);
    Stanza::new(kind, room.jid.clone().into(), Some(to)).with_child(x)
}

/// A new member of a members-only room is invited (§9.5).
pub fn invite_member(room: &Room, cx: &mut Cx, actor: &Actor, to: &BareJid, reason: Option<&str>) {
    let seat = actor.nick.as_deref().and_then(|nick| room.occupant_named(nick));
    let from = seat.map_or_else(|| actor.account.as_str().to_owned(), |o| o.jid.to_string());
    let reason = reason.map(|text| Element::new("reason", ns::MUC_USER).with_text(text));
    let invite =
        Element::new("invite", ns::MUC_USER).with_attr("from", from).with_child_opt(reason);
    let id = super::ids::stanza_id(cx.entropy.as_mut());
    let invitation = invitation(room, to.clone().into(), invite);
    cx.route(invitation.with_id(Some(id)));
}

/// Somebody declines: the one who invited hears of it, if still here. It goes to nobody else, so
/// that the room does not carry messages between strangers; and whether that one is here is not
/// for somebody outside to know.
fn decline(
    room: &Room,
    cx: &mut Cx,
    message: &Stanza,
    decline: &Element,
) -> Result<(), StanzaError> {
    if room.affiliation_of(&message.from.to_bare()) == Affiliation::Outcast {
        return Err(Condition::Forbidden.into());
    }
    let to = decline.attr("to").ok_or(Condition::BadRequest)?;
    let to = Jid::parse(to).map_err(|_| Condition::JidMalformed)?;
    let reason = check_reason(&cx.config, decline.child("reason", ns::MUC_USER))?;
    let Some(inviter) = find_inviter(room, &to) else { return Ok(()) };
    // One who is in the room is named by its seat, as everywhere.
    let from = match room.occupant_at(&message.from) {
        Some(occupant) => occupant.jid.to_string(),
        None => message.from.bare_str().to_owned(),
    };
    let reason = reason.map(|text| Element::new("reason", ns::MUC_USER).with_text(text));
    let decline =
        Element::new("decline", ns::MUC_USER).with_attr("from", from).with_child_opt(reason);
    let kind = StanzaKind::Message(MessageType::Normal);
    let notice = Stanza::new(kind, room.jid.clone().into(), None)
        .with_id(message.id.clone())
        .with_child(Element::new("x", ns::MUC_USER).with_child(decline));
    for seat in &inviter.seats {
        seat.send(cx, notice.clone());
    }
    Ok(())
}

/// The occupant that `to` names: by its seat, or by its real address.
fn find_inviter<'a>(room: &'a Room, to: &Jid) -> Option<&'a Occupant> {
    if to.bare_str() == room.jid.as_str() {
        return room.occupant_named(to.resource()?);
    }
    let by_account = || room.occupants().find(|o| o.account.as_str() == to.bare_str());
    room.occupant_at(to).or_else(by_account)
}
