//! Presences of occupants: how they are made for each audience, and to whom they go (XEP-0045
//! §7.2.2 to §7.2.4, §7.6, §7.7, §17.3).
//!
//! An audience is: who sees real addresses or not, the occupant itself or others. A presence is
//! serialised at most once for each. Inside the `muc#user` element the codes of the event come
//! first, then `<destroy/>`, then one `<item/>` per session where addresses are shown, else one
//! alone, then 110 for the occupant itself.

use super::occupant::{Occupant, Payload};
use super::room::Room;
use super::sanitize;
use super::versions::Step;
use crate::cx::Cx;
use crate::outbound::Envelope;
use crate::xml::{Element, Node};
use crate::xmpp::{
    BareJid, Condition, Jid, PresenceType, Role, Stanza, StanzaError, StanzaKind, ns,
};

/// Who caused a change (§8.2, §9.1).
#[derive(Clone, Debug)]
pub struct Actor {
    /// The nick, when in the room: shown to all.
    pub nick: Option<String>,
    /// The real bare address: shown to those who see addresses.
    pub account: BareJid,
}

/// What a presence says besides how the occupant is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notice<'a> {
    /// Status codes of the event, 110 excluded.
    pub codes: &'a [u16],
    /// The nick to come (§7.6).
    pub new_nick: Option<&'a str>,
    /// Who did it.
    pub actor: Option<&'a Actor>,
    /// Why.
    pub reason: Option<&'a str>,
    /// The change of the affiliation list that it tells of (XEP-0463).
    pub step: Option<&'a Step>,
}

/// What a viewer may see of a presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// No real addresses.
    Nicks,
    /// Real addresses.
    Addresses,
    /// Real addresses, and versions of the affiliation list.
    Versions,
}

impl Sight {
    /// `wants_step`: it asked for versions, and may have them.
    pub fn of(sees_jids: bool, wants_step: bool) -> Self {
        match (sees_jids, wants_step) {
            (false, _) => Self::Nicks,
            (true, false) => Self::Addresses,
            (true, true) => Self::Versions,
        }
    }
}

/// A stanza as each audience gets it, serialised when the first of it comes along.
#[derive(Default)]
pub struct Audiences([Option<Envelope>; 3]);

impl Audiences {
    /// A presence of an occupant for others.
    pub fn get(
        &mut self,
        occupant: &Occupant,
        kind: PresenceType,
        payload: &Payload,
        notice: &Notice<'_>,
        sight: Sight,
    ) -> &Envelope {
        self.0[sight as usize].get_or_insert_with(|| {
            let step = notice.step.filter(|_| sight == Sight::Versions);
            let notice = Notice { step, ..*notice };
            let sees_jids = sight != Sight::Nicks;
            Envelope::new(&build(occupant, kind, payload, &notice, sees_jids, false))
        })
    }

    /// A message with a `muc#user` element.
    pub fn get_message(
        &mut self,
        message: &Stanza,
        step: Option<&Step>,
        sight: Sight,
    ) -> &Envelope {
        self.0[sight as usize].get_or_insert_with(|| {
            let step = step.filter(|_| sight == Sight::Versions);
            let Some(step) = step else { return Envelope::new(message) };
            let mut message = message.clone();
            for node in &mut message.children {
                if let Node::Element(x) = node
                    && x.is("x", ns::MUC_USER)
                {
                    x.children.insert(0, Node::Element(step.to_element()));
                }
            }
            Envelope::new(&message)
        })
    }
}

/// `<status code='…'/>`
pub fn status(code: u16) -> Element {
    Element::new("status", ns::MUC_USER).with_attr("code", code.to_string())
}

/// `<occupant-id/>` (XEP-0421).
pub fn occupant_id(occupant: &Occupant) -> Element {
    Element::new("occupant-id", ns::OCCUPANT_ID).with_attr("id", &*occupant.id)
}

fn item(occupant: &Occupant, jid: Option<&Jid>, role: Role, notice: &Notice<'_>) -> Element {
    let mut item = Element::new("item", ns::MUC_USER)
        .with_attr_opt("jid", jid.map(Jid::as_str))
        .with_attr("affiliation", occupant.affiliation.as_str())
        .with_attr("role", role.as_str())
        .with_attr_opt("nick", notice.new_nick);
    if let Some(actor) = notice.actor {
        let shown = jid.map(|_| actor.account.as_str());
        if shown.is_some() || actor.nick.is_some() {
            let element = Element::new("actor", ns::MUC_USER)
                .with_attr_opt("nick", actor.nick.as_deref())
                .with_attr_opt("jid", shown);
            item.push(element);
        }
    }
    if let Some(reason) = notice.reason {
        item.push(Element::new("reason", ns::MUC_USER).with_text(reason));
    }
    item
}

/// A presence of an occupant for one audience.
pub fn build(
    occupant: &Occupant,
    kind: PresenceType,
    payload: &Payload,
    notice: &Notice<'_>,
    sees_jids: bool,
    is_self: bool,
) -> Stanza {
    // An occupant that changes its nick keeps its role; whoever goes has none.
    let is_gone = kind == PresenceType::Unavailable && notice.new_nick.is_none();
    let role = if is_gone { Role::None } else { occupant.role };
    let mut x = Element::new("x", ns::MUC_USER).with_child_opt(notice.step.map(Step::to_element));
    for code in notice.codes {
        x.push(status(*code));
    }
    if sees_jids {
        for seat in &occupant.seats {
            x.push(item(occupant, Some(&seat.jid), role, notice));
        }
    } else {
        x.push(item(occupant, None, role, notice));
    }
    if is_self {
        x.push(status(110));
    }
    let mut stanza = Stanza::new(StanzaKind::Presence(kind), occupant.jid.clone(), None);
    stanza.lang.clone_from(&payload.lang);
    stanza.children.clone_from(&payload.children);
    // XEP-0317 §3.1: shown of whoever is here.
    let hats = occupant.hats.as_deref().filter(|_| kind == PresenceType::Available);
    stanza.with_child(occupant_id(occupant)).with_child_opt(hats.cloned()).with_child(x)
}

impl Room {
    /// Sends a presence of an occupant to its own sessions.
    pub fn tell_self(
        &self,
        cx: &mut Cx,
        occupant: &Occupant,
        kind: PresenceType,
        payload: &Payload,
        notice: &Notice<'_>,
    ) {
        let sees_jids = self.sees_jids(occupant);
        let mut envelopes: [Option<Envelope>; 2] = [None, None];
        for seat in &occupant.seats {
            let step = notice.step.filter(|_| self.gets_versions(occupant, seat));
            let envelope = envelopes[usize::from(step.is_some())].get_or_insert_with(|| {
                let notice = Notice { step, ..*notice };
                Envelope::new(&build(occupant, kind, payload, &notice, sees_jids, true))
            });
            seat.push(cx, envelope);
        }
    }

    /// Sends a presence of an occupant to all others, whether or not its role is broadcast.
    pub fn tell_others(
        &self,
        cx: &mut Cx,
        occupant: &Occupant,
        kind: PresenceType,
        payload: &Payload,
        notice: &Notice<'_>,
    ) {
        let mut audiences = Audiences::default();
        for viewer in self.occupants().filter(|viewer| viewer.key != occupant.key) {
            let sees_jids = self.sees_jids(viewer);
            for seat in &viewer.seats {
                let wants_step = notice.step.is_some() && self.gets_versions(viewer, seat);
                let sight = Sight::of(sees_jids, wants_step);
                seat.push(cx, audiences.get(occupant, kind, payload, notice, sight));
            }
        }
    }

    /// Tells the others that an occupant is gone for them, now or when there is room.
    pub fn tell_gone(
        &mut self,
        cx: &mut Cx,
        occupant: &Occupant,
        payload: &Payload,
        notice: &Notice<'_>,
    ) {
        if self.must_wait(cx) {
            self.queue_farewell(cx, occupant, payload, notice);
        } else {
            self.tell_others(cx, occupant, PresenceType::Unavailable, payload, notice);
        }
    }

    /// Sends the presence of an occupant, as it is now, to others; to those alone who see real
    /// addresses when nothing else has changed.
    pub fn show_to_others(&mut self, cx: &mut Cx, key: u64, only_addresses_changed: bool) {
        let Some(occupant) = self.occupant(key) else { return };
        if !occupant.is_shown {
            return;
        }
        if self.is_show_waiting(key) {
            self.queue_show(cx, key, &Notice::default(), false);
            return;
        }
        let Some(snapshots) = self.snapshots_of(key) else { return };
        for viewer in self.occupants().filter(|viewer| viewer.key != key) {
            let sees_jids = self.sees_jids(viewer);
            if only_addresses_changed && !sees_jids {
                continue;
            }
            for seat in &viewer.seats {
                seat.push(cx, &snapshots[usize::from(sees_jids)]);
            }
        }
    }

    /// Sends the presence of an occupant, as it is now, to itself.
    pub fn tell_self_alone(&self, cx: &mut Cx, key: u64, notice: &Notice<'_>) {
        let Some(occupant) = self.occupant(key) else { return };
        self.tell_self(cx, occupant, PresenceType::Available, occupant.payload(), notice);
    }

    /// Sends the presence of an occupant, as it is now, to itself and to others.
    pub fn show(&mut self, cx: &mut Cx, key: u64) {
        self.tell_self_alone(cx, key, &Notice::default());
        self.show_to_others(cx, key, false);
    }

    /// Tells the others how an occupant has been changed, now or when there is room. `is_first`:
    /// they have not heard of it before.
    pub fn tell_change(&mut self, cx: &mut Cx, key: u64, notice: &Notice<'_>, is_first: bool) {
        let Some(occupant) = self.occupant(key).filter(|occupant| occupant.is_shown) else {
            return;
        };
        if self.must_wait(cx) {
            self.queue_show(cx, key, notice, is_first);
        } else if notice.reason.is_some() || notice.step.is_some() {
            self.tell_others(cx, occupant, PresenceType::Available, occupant.payload(), notice);
        } else {
            self.show_to_others(cx, key, false);
        }
    }

    /// Sends the presences of all others to one occupant (§5.1, when what it may see changes).
    pub fn show_all_to(&mut self, cx: &mut Cx, key: u64) {
        let Some(viewer) = self.occupant(key) else { return };
        let seats = viewer.seats.clone();
        let sees_jids = self.sees_jids(viewer);
        for occupant in self.occupants_for_snapshots() {
            if occupant.key == key || !occupant.is_shown {
                continue;
            }
            let envelope = occupant.snapshot(sees_jids);
            for seat in &seats {
                seat.push(cx, envelope);
            }
        }
    }

    /// A new presence of a session that is in the room, under its nick (§7.7).
    pub fn update_presence(
        &mut self,
        cx: &mut Cx,
        session_jid: &Jid,
        payload: Payload,
    ) -> Result<(), StanzaError> {
        let Some(occupant) = self.occupant_at(session_jid) else { return Ok(()) };
        let (key, account) = (occupant.key, occupant.account.clone());
        self.spend(cx, &account)?;
        self.set_payload(key, session_jid, payload);
        self.show(cx, key);
        Ok(())
    }

    /// Sets the presence of a seat, which becomes the one that others see.
    pub fn set_payload(&mut self, key: u64, session_jid: &Jid, payload: Payload) {
        let count = self.next_count();
        let Some(occupant) = self.occupant_mut(key) else { return };
        if let Some(seat) = occupant.seats.iter_mut().find(|seat| seat.jid == *session_jid) {
            seat.payload = payload;
            seat.updated = count;
        }
    }

    /// A presence to another nick: the occupant is renamed, with all its sessions (§7.6).
    pub fn change_nick(
        &mut self,
        cx: &mut Cx,
        session_jid: &Jid,
        new_jid: &Jid,
        payload: Payload,
    ) -> Result<(), StanzaError> {
        let new_nick = super::join::check_nick(new_jid, &cx.config)?;
        let Some(old) = self.occupant_at(session_jid) else { return Ok(()) };
        let (key, account) = (old.key, old.account.clone());
        // §7.6: in use by another, or by another occupant of the same user, which §7.6 leaves to
        // us. One's own nick in other letters is no conflict.
        if self.occupant_like(&new_nick).is_some_and(|holder| holder.key != key) {
            return Err(Condition::Conflict.into());
        }
        self.check_not_reserved(&new_nick, &account)?; // §7.6
        self.spend(cx, &account)?;
        self.tell_show(cx, key);
        self.clear_nick(cx, &new_nick);
        let Some(old) = self.occupant(key) else { return Ok(()) };
        let notice = Notice { codes: &[303], new_nick: Some(&new_nick), ..Notice::default() };
        let kind = PresenceType::Unavailable;
        let nothing = Payload::default();
        self.tell_self(cx, old, kind, &nothing, &notice);
        if old.is_shown {
            self.tell_others(cx, old, kind, &nothing, &notice);
        }
        self.rename(key, new_jid.clone());
        self.set_payload(key, session_jid, payload);
        self.show(cx, key);
        Ok(())
    }
}

/// The payload of a client's presence, without what only the room may say; nothing of one that is
/// too large to be kept, for a farewell may have to wait (backlog.rs).
pub fn payload_of(room: &BareJid, stanza: &Stanza) -> Payload {
    if stanza.check_can_be_kept().is_err() {
        return Payload::default();
    }
    let children = stanza.elements().filter(|element| sanitize::is_allowed(room, element));
    Payload { children: children.cloned().map(Node::Element).collect(), lang: stanza.lang.clone() }
}
