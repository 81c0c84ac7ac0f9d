//! Mediated invitations and how they are declined (XEP-0045 §7.8.2, §9.5). Direct ones (XEP-0249)
//! never come to the room. The inviter is named by its seat, so that its real address stays with
//! those who may see it; where an admin who is not in the room adds a member, a semi-anonymous
//! room invites in its own name.
//!
//! The room remembers for a day whom it has invited for whom, in memory and only so many: whoever
//! was invited can decline to who invited, once, and nobody else can send anything this way. When
//! an invitation comes back as an error, the inviter gets that error, and it says nothing about a
//! seat that the invited may have already. The one who is named in all of this is the account that
//! the inviter wrote down: a nick that it may have here stays unknown.

use std::collections::VecDeque;

use super::changes::AffiliationChanges;
use super::nicks::NickChanges;
use super::presence::Actor;
use super::room::Room;
use super::{check_reason, ids, privilege, sanitize};
use crate::blocks;
use crate::config::Whois;
use crate::cx::{Cx, Now};
use crate::xml::Element;
use crate::xmpp::{
    Affiliation, BareJid, Condition, Jid, MessageType, Stanza, StanzaError, StanzaKind, ns,
};

/// Invitations in one message.
const INVITATIONS_MAX: usize = 50;
/// Invitations that a room remembers: past this the oldest is forgotten.
const INVITATIONS_OPEN_MAX: usize = 500;
/// Bytes of them: addresses may be long.
const INVITATIONS_BYTES_MAX: usize = 256 * 1024;
/// How long one is remembered.
const REMEMBERED_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// Bytes of an id that is kept; an invitation with a longer one gets another.
const ID_BYTES_MAX: usize = 128;

/// An invitation that was neither declined nor returned.
struct Invitation {
    invitee: BareJid,
    inviter: BareJid,
    /// The session that hears of an error; none when the invitation was not sent by a message.
    session: Option<Jid>,
    /// Whom the invitation named.
    from: Jid,
    id: String,
    since_ms: u64,
}

impl Invitation {
    fn bytes(&self) -> usize {
        let session = self.session.as_ref().map_or(0, |jid| jid.as_str().len());
        let bare = self.invitee.as_str().len() + self.inviter.as_str().len();
        bare + session + self.from.as_str().len() + self.id.len()
    }
}

/// What a room remembers of its invitations.
#[derive(Default)]
pub struct Invitations {
    /// In the order of time. Invariant: at most `INVITATIONS_OPEN_MAX`, and not more than
    /// `INVITATIONS_BYTES_MAX` in texts.
    open: VecDeque<Invitation>,
}

impl Invitations {
    /// An account is no more.
    pub fn forget(&mut self, account: &BareJid) {
        self.open.retain(|one| one.invitee != *account && one.inviter != *account);
    }

    fn forget_old(&mut self, now: Now) {
        let is_old =
            |one: &Invitation| now.mono_ms.saturating_sub(one.since_ms) >= REMEMBERED_MS_MAX;
        while self.open.front().is_some_and(is_old) {
            self.open.pop_front();
        }
    }

    /// A newer invitation takes the place of one by the same person.
    fn remember(&mut self, one: Invitation) {
        self.open.retain(|old| old.invitee != one.invitee || old.inviter != one.inviter);
        self.open.push_back(one);
        let mut bytes: usize = self.open.iter().map(Invitation::bytes).sum();
        while self.open.len() > INVITATIONS_OPEN_MAX || bytes > INVITATIONS_BYTES_MAX {
            let Some(oldest) = self.open.pop_front() else { return };
            bytes -= oldest.bytes();
        }
    }

    fn take(&mut self, is_it: impl Fn(&Invitation) -> bool) -> Option<Invitation> {
        let index = self.open.iter().position(is_it)?;
        self.open.remove(index)
    }
}

/// A normal message with a `muc#user` element: invitations, or a refusal.
pub fn handle(
    room: &mut Room,
    cx: &mut Cx,
    message: &Stanza,
    x: &Element,
) -> Result<(), StanzaError> {
    let named = |name| x.elements().filter(move |child| child.is(name, ns::MUC_USER));
    let (invites, mut declines): (Vec<_>, _) = (named("invite").collect(), named("decline"));
    match (invites.len(), declines.next(), declines.next()) {
        (0, Some(decline), None) => self::decline(room, cx, message, decline),
        (1..=INVITATIONS_MAX, None, None) => invite(room, cx, message, &invites),
        _ => Err(Condition::BadRequest.into()),
    }
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
    room.invitations.forget_old(cx.now);
    let id = message.id.clone().filter(|id| id.len() <= ID_BYTES_MAX);
    let id = id.unwrap_or_else(|| ids::stanza_id(cx.entropy.as_mut()));
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
            changes.insert(account.clone(), (Affiliation::Member, None));
        }
        // Whoever has blocked the inviter hears nothing, and the inviter does not hear of that:
        // the invitation names a seat, so nobody else could know it for one to drop (XEP-0191).
        if !blocks::is_stored(&mut cx.storage, &account, &message.from)? {
            invitees.push((to, *invite));
        }
    }
    if !changes.is_empty() {
        room.backlog.check()?;
        room.check_list(cx, &changes)?;
        room.check_list_bytes(cx, &changes, &NickChanges::new())?;
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
        room.invitations.remember(Invitation {
            invitee: to.to_bare(),
            inviter: inviter.account.clone(),
            session: Some(message.from.clone()),
            from: inviter.jid.clone(),
            id: id.clone(),
            since_ms: cx.now.mono_ms,
        });
        let invitation = invitation(room, to, invite).with_id(Some(id.clone()));
        cx.route(Stanza { lang: message.lang.clone(), ..invitation });
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
pub fn invite_member(
    room: &mut Room,
    cx: &mut Cx,
    actor: &Actor,
    to: &BareJid,
    reason: Option<&str>,
) {
    let seat = actor.nick.as_deref().and_then(|nick| room.occupant_named(nick));
    let from: Jid = match seat {
        Some(seat) => seat.jid.clone(),
        None if room.options.whois == Whois::Anyone => actor.account.clone().into(),
        None => room.jid.clone().into(),
    };
    let reason = reason.map(|text| Element::new("reason", ns::MUC_USER).with_text(text));
    let invite = Element::new("invite", ns::MUC_USER)
        .with_attr("from", from.as_str())
        .with_child_opt(reason);
    if blocks::is_stored(&mut cx.storage, to, actor.account.as_jid()).unwrap_or(true) {
        return; // As above.
    }
    let id = ids::stanza_id(cx.entropy.as_mut());
    room.invitations.forget_old(cx.now);
    room.invitations.remember(Invitation {
        invitee: to.clone(),
        inviter: actor.account.clone(),
        session: None,
        from,
        id: id.clone(),
        since_ms: cx.now.mono_ms,
    });
    cx.route(invitation(room, to.clone().into(), invite).with_id(Some(id)));
}

/// Somebody who was invited declines: the one who invited hears of it. Whether that one is here, or
/// was ever asked, is not for somebody outside to know: anything else is silence.
fn decline(
    room: &mut Room,
    cx: &mut Cx,
    message: &Stanza,
    decline: &Element,
) -> Result<(), StanzaError> {
    let invitee = message.from.to_bare();
    if room.affiliation_of(&invitee) == Affiliation::Outcast {
        return Err(Condition::Forbidden.into());
    }
    let to = decline.attr("to").ok_or(Condition::BadRequest)?;
    let to = Jid::parse(to).map_err(|_| Condition::JidMalformed)?;
    let reason = check_reason(&cx.config, decline.child("reason", ns::MUC_USER))?;
    room.invitations.forget_old(cx.now);
    let names = |one: &Invitation| one.from == to || one.inviter.as_str() == to.bare_str();
    let taken = room.invitations.take(|one| one.invitee == invitee && names(one));
    let Some(invitation) = taken else { return Ok(()) };
    let reason = reason.map(|text| Element::new("reason", ns::MUC_USER).with_text(text));
    let decline = Element::new("decline", ns::MUC_USER)
        .with_attr("from", invitee.as_str())
        .with_child_opt(reason);
    let kind = StanzaKind::Message(MessageType::Normal);
    let notice = Stanza::new(kind, room.jid.clone().into(), None)
        .with_id(message.id.clone())
        .with_child(Element::new("x", ns::MUC_USER).with_child(decline));
    let notice = Stanza { lang: message.lang.clone(), ..notice };
    let by_session = invitation.session.and_then(|session| room.occupant_at(&session));
    let by_account = || room.occupants().find(|o| o.account == invitation.inviter);
    match by_session.or_else(by_account) {
        Some(inviter) => {
            for seat in &inviter.seats {
                seat.send(cx, notice.clone());
            }
        }
        None => cx.route(Stanza { to: Some(invitation.inviter.into()), ..notice }),
    }
    Ok(())
}

/// A message of type error to the room: true when it is an invitation that came back, by its id
/// and its sender. Who invited hears of it, if still here (§7.8.2).
pub fn handle_error(room: &mut Room, cx: &mut Cx, message: &Stanza) -> bool {
    let Some(id) = message.id.as_deref() else { return false };
    let invitee = message.from.bare_str();
    let is_it = |one: &Invitation| one.id == id && one.invitee.as_str() == invitee;
    let Some(returned) = room.invitations.take(is_it) else { return false };
    let inviter = returned.session.and_then(|session| Some((room.occupant_at(&session)?, session)));
    let error = message.child("error", ns::CLIENT).cloned();
    if let (Some((inviter, session)), Some(mut error)) = (inviter, error) {
        sanitize::error(&mut error);
        let invite = Element::new("invite", ns::MUC_USER).with_attr("to", invitee);
        let kind = StanzaKind::Message(MessageType::Error);
        let notice = Stanza::new(kind, room.jid.clone().into(), None)
            .with_id(message.id.clone())
            .with_child(Element::new("x", ns::MUC_USER).with_child(invite))
            .with_child(error);
        inviter.seat(&session).into_iter().for_each(|seat| seat.send(cx, notice.clone()));
    }
    true
}
