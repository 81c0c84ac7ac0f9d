//! An occupant: one nick in one room, with one seat for each session of its user (XEP-0045
//! §7.2.8). What it looks like to others is made here, once per audience; who gets it is the
//! business of presence.rs.

use std::rc::Rc;

use bytes::Bytes;

use super::leave;
use super::presence::{self, Notice};
use crate::cx::Cx;
use crate::ids::Target;
use crate::outbound::{Envelope, to_attribute};
use crate::xml::{Element, Node};
use crate::xmpp::{Affiliation, BareJid, Jid, PresenceType, Role, Stanza};

/// The payload of a presence, cleaned of what only the room may say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// Child elements.
    pub children: Vec<Node>,
    /// `xml:lang`
    pub lang: Option<String>,
}

/// One session of an occupant.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Never used twice in a room.
    pub number: u64,
    /// The real full address.
    pub jid: Jid,
    /// How to reach it.
    pub target: Target,
    /// Of somebody at another server: the room, from whose domain the way leads there.
    room: Option<BareJid>,
    /// ` to='…'`, escaped once.
    pub to: Bytes,
    /// Its latest presence.
    pub payload: Payload,
    /// Counts presences, so that the latest of all seats is known.
    pub updated: u64,
    /// It has heard the news up to this number (backlog.rs); later ones alone are for it.
    pub heard: u64,
    /// It asked for versions of the affiliation list when it joined (XEP-0463).
    pub wants_versions: bool,
}

impl Seat {
    /// A seat; its presence is set when it is taken.
    pub fn new(number: u64, room: &BareJid, jid: Jid, target: Target, payload: Payload) -> Self {
        Self {
            number,
            target,
            room: (target == Target::Remote).then(|| room.clone()),
            to: to_attribute(&jid),
            jid,
            payload,
            updated: number,
            heard: number,
            wants_versions: false,
        }
    }

    /// Sends a stanza that was serialised for an audience.
    pub fn push(&self, cx: &mut Cx, envelope: &Envelope) {
        match self.target {
            Target::Local(session) => cx.out.push_envelope(session, envelope, &self.to),
            Target::Remote => {
                let Some(room) = &self.room else { return };
                let theirs = self.jid.domain();
                if cx.push_out(room.domain(), theirs, envelope, &self.to).is_err() {
                    cx.out.stanzas_dropped += 1;
                    cx.route(leave::unreachable(&self.jid, room));
                }
            }
            // What the server causes itself takes no seat (dispatch.rs).
            Target::Routed => {}
        }
    }

    /// Sends a stanza that is for this seat alone.
    pub fn send(&self, cx: &mut Cx, mut stanza: Stanza) {
        stanza.to = Some(self.jid.clone());
        cx.send(self.target, stanza);
    }
}

/// Somebody in a room.
#[derive(Clone, Debug)]
pub struct Occupant {
    /// Its key within the room, in the order of joining.
    pub key: u64,
    /// The nick, prepared.
    pub nick: String,
    /// `room@service/nick`
    pub jid: Jid,
    /// The real bare address: one for all seats.
    pub account: BareJid,
    /// The affiliation of `account`, or of its domain.
    pub affiliation: Affiliation,
    /// The role.
    pub role: Role,
    /// The turn that last changed the role, and what it was before that; `None` when not here.
    former_role: (u64, Role),
    /// It may see addresses from now on and has not been told yet: until then it sees none.
    pub has_untold_sight: bool,
    /// Its presence goes to all: what `muc#roomconfig_presencebroadcast` said of its role when it
    /// got it. Others hear of its going exactly when they have heard of its coming.
    pub is_shown: bool,
    /// The occupant id (XEP-0421).
    pub id: Rc<str>,
    /// What its presence shows of the hats that `account` wears (XEP-0317).
    pub hats: Option<Rc<Element>>,
    /// The sessions in the order they came. Invariant: not empty while in the room.
    pub seats: Vec<Seat>,
    /// Counts its changes.
    pub look: u64,
    /// The presence as others see it: without and with real addresses. Emptied by every change.
    snapshots: [Option<Envelope>; 2],
}

impl Occupant {
    /// An occupant without seats, which is about to get its first.
    pub fn new(key: u64, jid: Jid, account: BareJid, id: Rc<str>) -> Self {
        Self {
            key,
            nick: jid.resource().unwrap_or_default().to_owned(),
            jid,
            account,
            affiliation: Affiliation::None,
            role: Role::None,
            former_role: (0, Role::None),
            has_untold_sight: false,
            is_shown: false,
            id,
            hats: None,
            seats: Vec::new(),
            look: 0,
            snapshots: [None, None],
        }
    }

    /// The same occupant without its seats: enough to speak for it while the room is changed.
    pub fn identity(&self) -> Self {
        Self {
            nick: self.nick.clone(),
            jid: self.jid.clone(),
            account: self.account.clone(),
            id: self.id.clone(),
            hats: self.hats.clone(),
            seats: Vec::new(),
            snapshots: [None, None],
            ..*self
        }
    }

    /// Gives it a role, in a turn.
    pub fn set_role(&mut self, role: Role, turn: u64) {
        if self.former_role.0 != turn {
            self.former_role = (turn, self.role);
        }
        self.role = role;
    }

    /// The role it had before a turn; `Role::None` when it was not here.
    pub fn role_before(&self, turn: u64) -> Role {
        if self.former_role.0 == turn { self.former_role.1 } else { self.role }
    }

    /// The seat of a session.
    pub fn seat(&self, jid: &Jid) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.jid == *jid)
    }

    /// The presence of the session that spoke last: the one that others see.
    pub fn payload(&self) -> &Payload {
        let latest = self.seats.iter().max_by_key(|seat| seat.updated);
        &latest.expect("an occupant has a seat").payload
    }

    /// Forgets how it looked: call after every change.
    pub fn touch(&mut self) {
        self.look += 1;
        self.snapshots = [None, None];
    }

    /// The available presence for others, serialised once until the next change.
    pub fn snapshot(&mut self, sees_jids: bool) -> &Envelope {
        let index = usize::from(sees_jids);
        if self.snapshots[index].is_none() {
            let notice = Notice::default();
            let kind = PresenceType::Available;
            let stanza = presence::build(self, kind, self.payload(), &notice, sees_jids, false);
            self.snapshots[index] = Some(Envelope::new(&stanza));
        }
        self.snapshots[index].as_ref().expect("made just now")
    }
}
