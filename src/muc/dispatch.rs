//! Which stanza is for which file: by its kind, and by whether it is addressed to the service, to
//! a room or to a seat. What is neither a join nor a leave, neither a request nor an answer, is
//! refused or dropped here, as XEP-0045 §17 says.

use super::join::{self, Join};
use super::occupant::Payload;
use super::room::Room;
use super::{Muc, invite, leave, not_in_room, presence, private};
use crate::allowance::DEAR_ROW;
use crate::cx::Cx;
use crate::ids::Target;
use crate::xml::Element;
use crate::xmpp::{
    Affiliation, BareJid, Condition, IqType, Jid, MessageType, PresenceType, Stanza, StanzaError,
    StanzaKind, ns,
};

/// What a card of the usual size costs to read, in rows.
const VCARD_ROWS: usize = 100;

impl Muc {
    pub(super) fn handle_service(
        &mut self,
        cx: &mut Cx,
        origin: Target,
        stanza: &Stanza,
        to: &Jid,
    ) -> Result<(), StanzaError> {
        match stanza.kind {
            StanzaKind::Iq(IqType::Get | IqType::Set) if to.is_bare() => {
                let result = self.service_request(cx, stanza, to.domain())?;
                cx.reply(origin, stanza, Some(result));
                Ok(())
            }
            StanzaKind::Iq(_) | StanzaKind::Message(_) => Err(Condition::ServiceUnavailable.into()),
            StanzaKind::Presence(_) => Ok(()),
        }
    }

    pub(super) fn handle_room(
        &mut self,
        cx: &mut Cx,
        origin: Target,
        stanza: Stanza,
        to: &Jid,
    ) -> Result<(), StanzaError> {
        match (stanza.kind, to.resource().is_some()) {
            (StanzaKind::Presence(kind), is_seat) => {
                self.handle_presence(cx, origin, kind, &stanza, to, is_seat)
            }
            (StanzaKind::Message(kind), is_seat) => {
                self.handle_message(cx, kind, stanza, to, is_seat)
            }
            (StanzaKind::Iq(IqType::Get | IqType::Set), false) => {
                self.handle_room_request(cx, origin, &stanza, to)
            }
            (StanzaKind::Iq(IqType::Get | IqType::Set), true) => {
                let payload = stanza.iq_payload().ok_or(Condition::BadRequest)?;
                let key = self.iq_key(cx);
                match self.live(to) {
                    Some(index) => {
                        let room = &mut self.rooms[index];
                        room.handle_seat_request(cx, &key, origin, &stanza, payload)
                    }
                    None => Err(private::refusal_of_outsider(payload)),
                }
            }
            (StanzaKind::Iq(IqType::Result | IqType::Error), is_seat) => {
                let key = self.iq_key(cx);
                if is_seat && let Some(index) = self.live(to) {
                    self.rooms[index].handle_seat_answer(cx, &key, stanza);
                }
                Ok(())
            }
        }
    }

    /// Presence to a room or a seat (§7.2, §7.6, §7.7, §7.14, §17.3).
    fn handle_presence(
        &mut self,
        cx: &mut Cx,
        origin: Target,
        kind: PresenceType,
        stanza: &Stanza,
        to: &Jid,
        is_seat: bool,
    ) -> Result<(), StanzaError> {
        let live = self.live(to);
        match kind {
            // §7.2.1: no nick.
            PresenceType::Available if !is_seat => Err(Condition::JidMalformed.into()),
            PresenceType::Available => self.handle_available(cx, origin, stanza, to),
            PresenceType::Unavailable | PresenceType::Error => {
                let Some(index) = live else { return Ok(()) };
                let room = &mut self.rooms[index];
                if kind == PresenceType::Unavailable {
                    let payload = presence::payload_of(&room.jid, stanza);
                    room.leave(cx, &stanza.from, &payload, &[]);
                } else if leave::means_gone(stanza) {
                    room.leave(cx, &stanza.from, &Payload::default(), &[333]);
                }
                self.settle(cx, index);
                Ok(())
            }
            PresenceType::Probe => {
                self.handle_probe(cx, origin, stanza, to);
                Ok(())
            }
            // WIRE 40: neither a join nor a leave.
            _ => Ok(()),
        }
    }

    fn handle_available(
        &mut self,
        cx: &mut Cx,
        origin: Target,
        stanza: &Stanza,
        to: &Jid,
    ) -> Result<(), StanzaError> {
        stanza.check_can_be_kept()?;
        let Some(x) = stanza.child("x", ns::MUC) else {
            return self.handle_update(cx, origin, stanza, to);
        };
        let account = stanza.from.to_bare();
        let mut join = Join { target: origin, stanza, x, seat_jid: to, account, is_creator: false };
        join::check_nick(to, &cx.config)?; // §7.2.1, before a room is made or read.
        let found = self.find(cx, &join.account, to)?;
        if let Some(index) = found
            && self.rooms[index].occupant_at(&stanza.from).is_some()
        {
            // It brings nothing to the others, and costs as much as a list of them.
            let may_ask = self.allowances.check(&join.account, cx.now);
            let result = may_ask.and_then(|()| self.rooms[index].resync(cx, &join));
            if result.is_ok() {
                let rows = self.rooms[index].occupants_count();
                self.allowances.charge(&join.account, rows, cx.now);
            }
            self.settle(cx, index);
            return result;
        }
        if let Err(error) = self.check_visits(cx, origin) {
            found.into_iter().for_each(|index| self.settle(cx, index));
            return Err(error);
        }
        let index = match found {
            Some(index) => index,
            None => {
                join.is_creator = true;
                self.create(cx, &to.to_bare(), &stanza.from)?
            }
        };
        let result = self.rooms[index].join(cx, &join);
        if join.is_creator && result.is_ok() {
            self.set_lock_timer(cx);
        }
        self.settle(cx, index);
        result
    }

    /// A session of this server may take so many seats. What those at other servers may is bounded
    /// by the rooms: by their number, their occupants, and the seats of each (join.rs).
    fn check_visits(&self, cx: &Cx, origin: Target) -> Result<(), StanzaError> {
        let session = match origin {
            Target::Local(session) => session,
            Target::Remote => return Ok(()),
            Target::Routed => return Err(not_in_room()),
        };
        let max = cx.config.limits.rooms_per_session;
        let count = self.visits.get(&session).map_or(0, |visits| visits.rooms.len());
        if max > 0 && count >= max {
            let error = StanzaError::new(Condition::ResourceConstraint);
            return Err(error.with_text("you are in too many rooms"));
        }
        Ok(())
    }

    /// Available presence without `<x/>`: news of an occupant, or of somebody who is out of step.
    fn handle_update(
        &mut self,
        cx: &mut Cx,
        origin: Target,
        stanza: &Stanza,
        to: &Jid,
    ) -> Result<(), StanzaError> {
        let room = self.live(to).map(|index| &mut self.rooms[index]);
        if let Some(room) = room {
            if let Some(occupant) = room.occupant_at(&stanza.from) {
                let payload = presence::payload_of(&room.jid, stanza);
                if Some(occupant.nick.as_str()) != to.resource() {
                    return room.change_nick(cx, &stanza.from, to, payload);
                }
                return room.update_presence(cx, &stanza.from, payload);
            }
            let affiliation = room.affiliation_of(&stanza.from.to_bare());
            let reply = join::out_of_step(stanza, affiliation);
            reply.into_iter().for_each(|reply| cx.send(origin, reply));
            return Ok(());
        }
        let reply = join::out_of_step(stanza, Affiliation::None); // §7.2.18
        reply.into_iter().for_each(|reply| cx.send(origin, reply));
        Ok(())
    }

    /// Messages to a room or a seat (§7.4, §7.5, §7.8.2, §8.1, §17.2).
    fn handle_message(
        &mut self,
        cx: &mut Cx,
        kind: MessageType,
        message: Stanza,
        to: &Jid,
        is_seat: bool,
    ) -> Result<(), StanzaError> {
        let is_error = kind == MessageType::Error;
        let account = message.from.to_bare();
        let found = if is_error { self.live(to) } else { self.find(cx, &account, to)? };
        let Some(index) = found else {
            return Err(self.nothing_at(cx, &account, &to.to_bare()));
        };
        let room = &mut self.rooms[index];
        let result = if is_seat {
            // §17.2: to others the room does not exist yet.
            if room.is_locked_for(&message.from.to_bare()) {
                Err(Condition::ItemNotFound.into())
            } else {
                room.handle_private(cx, kind, message)
            }
        } else if is_error {
            let is_returned = invite::handle_error(room, cx, &message);
            if !is_returned && leave::means_gone(&message) {
                room.leave(cx, &message.from, &Payload::default(), &[333]);
            }
            Ok(())
        } else {
            room.handle_message(cx, kind, message)
        };
        self.settle(cx, index);
        result
    }

    /// An iq get or set to the room itself.
    fn handle_room_request(
        &mut self,
        cx: &mut Cx,
        origin: Target,
        stanza: &Stanza,
        to: &Jid,
    ) -> Result<(), StanzaError> {
        let payload = stanza.iq_payload().ok_or(Condition::BadRequest)?;
        let account = stanza.from.to_bare();
        let Some(index) = self.find(cx, &account, to)? else {
            return Err(self.nothing_at(cx, &account, &to.to_bare()));
        };
        let room = &mut self.rooms[index];
        let was_stored = room.is_stored;
        let request = Request { origin, stanza, payload, account };
        let may_ask = match &*payload.ns {
            ns::MUC_ADMIN
            | ns::MUC_OWNER
            | ns::COMMANDS
            | ns::VCARD_TEMP
            | ns::MAM
            | ns::MODERATE => self.allowances.check(&request.account, cx.now),
            _ => Ok(()),
        };
        let result = may_ask.and_then(|()| answer(room, cx, &request));
        let rows = match &result {
            // The room was written, or removed, as a whole.
            _ if room.is_stored != was_stored => room.rows_count() * DEAR_ROW,
            Ok(Some(list)) if payload.ns == ns::COMMANDS => rows_of_command(list),
            Ok(Some(list)) => list.children.len(),
            Ok(None) if payload.ns == ns::VCARD_TEMP => VCARD_ROWS,
            Ok(None) if matches!(&*payload.ns, ns::MUC_ADMIN | ns::MUC_OWNER) => {
                values_count(payload) * DEAR_ROW
            }
            _ => 0,
        };
        let rows = rows + std::mem::take(&mut room.rows_read);
        if rows > 0 {
            self.allowances.charge(&request.account, rows, cx.now);
        }
        self.settle(cx, index);
        if let Some(answer) = result? {
            // Lists that are read whole: of occupants, of affiliations, of hats.
            if matches!(&*payload.ns, ns::MUC_ADMIN | ns::MUC_OWNER | ns::COMMANDS) {
                super::check_answer_bytes(&cx.config, super::written_bytes(&answer))?;
            }
            cx.reply(origin, stanza, Some(answer));
        }
        Ok(())
    }
}

/// What the answer to a command has taken: the rows of the table in it.
fn rows_of_command(command: &Element) -> usize {
    command.elements().map(|form| form.children.len()).sum()
}

/// How many things a set may have changed: items, or the values of a form.
fn values_count(element: &Element) -> usize {
    let inner: usize = element.elements().map(values_count).sum();
    inner.max(1)
}

/// An iq get or set to a room.
pub struct Request<'a> {
    /// How to reach who asks.
    pub origin: Target,
    /// The whole stanza.
    pub stanza: &'a Stanza,
    /// Its one payload element.
    pub payload: &'a Element,
    /// Who asks: the real bare address.
    pub account: BareJid,
}

/// The payload of the result; `None` when the handler has replied itself, amid what it tells.
type Handler = fn(&mut Room, &mut Cx, &Request<'_>) -> Result<Option<Element>, StanzaError>;

/// What a room answers, and advertises by it.
pub struct Route {
    /// Name of the payload.
    name: &'static str,
    ns: &'static str,
    kind: IqType,
    /// The disco feature, if it is to be advertised (once per namespace).
    pub feature: Option<&'static str>,
    handler: Handler,
}

/// All requests to a room.
pub const ROUTES: &[Route] = &[
    Route {
        name: "query",
        ns: ns::DISCO_INFO,
        kind: IqType::Get,
        feature: Some(ns::DISCO_INFO),
        handler: |room, cx, request| {
            Ok(Some(room.disco_info(cx, &request.account, request.payload)?))
        },
    },
    Route {
        name: "query",
        ns: ns::DISCO_ITEMS,
        kind: IqType::Get,
        feature: Some(ns::DISCO_ITEMS),
        handler: |room, _, request| Ok(Some(room.disco_items(&request.account, request.payload)?)),
    },
    Route {
        name: "query",
        ns: ns::REGISTER,
        kind: IqType::Get,
        feature: Some(ns::REGISTER),
        handler: |room, _, request| room.registration(&request.account).map(Some),
    },
    Route {
        name: "query",
        ns: ns::REGISTER,
        kind: IqType::Set,
        feature: None,
        handler: |room, cx, request| room.register(cx, request).map(|()| None),
    },
    Route {
        name: "query",
        ns: ns::MUC_ADMIN,
        kind: IqType::Get,
        feature: None,
        handler: |room, _, request| Ok(Some(room.admin_list(&request.account, request.payload)?)),
    },
    Route {
        name: "query",
        ns: ns::MUC_ADMIN,
        kind: IqType::Set,
        feature: None,
        handler: |room, cx, request| room.admin_set(cx, request).map(|()| None),
    },
    Route {
        name: "query",
        ns: ns::MUC_OWNER,
        kind: IqType::Get,
        feature: None,
        handler: |room, _, request| Ok(Some(room.owner_get(&request.account, request.payload)?)),
    },
    Route {
        name: "query",
        ns: ns::MUC_OWNER,
        kind: IqType::Set,
        feature: None,
        handler: |room, cx, request| room.owner_set(cx, request).map(|()| None),
    },
    Route {
        name: "command",
        ns: ns::COMMANDS,
        kind: IqType::Set,
        feature: Some(ns::COMMANDS),
        handler: Room::handle_command,
    },
    Route {
        name: "vCard",
        ns: ns::VCARD_TEMP,
        kind: IqType::Get,
        feature: Some(ns::VCARD_TEMP),
        handler: |room, cx, request| room.vcard_get(cx, request).map(|()| None),
    },
    Route {
        name: "vCard",
        ns: ns::VCARD_TEMP,
        kind: IqType::Set,
        feature: None,
        handler: |room, cx, request| room.vcard_set(cx, request).map(|()| None),
    },
    Route {
        name: "query",
        ns: ns::MAM,
        kind: IqType::Get,
        feature: None,
        handler: |room, _, request| Ok(Some(room.archive_form(request)?)),
    },
    Route {
        name: "query",
        ns: ns::MAM,
        kind: IqType::Set,
        feature: None,
        handler: |room, cx, request| Ok(Some(room.archive_query(cx, request)?)),
    },
    Route {
        name: "metadata",
        ns: ns::MAM,
        kind: IqType::Get,
        feature: None,
        handler: |room, cx, request| Ok(Some(room.archive_metadata(cx, request)?)),
    },
    Route {
        name: "moderate",
        ns: ns::MODERATE,
        kind: IqType::Set,
        feature: Some(ns::MODERATE),
        handler: |room, cx, request| room.moderate(cx, request).map(|()| None),
    },
];

fn answer(
    room: &mut Room,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    if room.is_locked_for(&request.account) {
        return Err(Condition::ItemNotFound.into()); // §7.2.10
    }
    let route = ROUTES.iter().find(|route| {
        request.payload.is(route.name, route.ns)
            && request.stanza.kind == StanzaKind::Iq(route.kind)
    });
    (route.ok_or(Condition::ServiceUnavailable)?.handler)(room, cx, request)
}

/// After the shutdown: joins are refused, requests to the service too, everything else is dropped.
pub(super) fn refuse_closed(stanza: &Stanza, to: &Jid, is_join: bool) -> Result<(), StanzaError> {
    let is_request = matches!(stanza.kind, StanzaKind::Iq(IqType::Get | IqType::Set));
    if is_join || is_request && to.local().is_none() {
        return Err(Condition::ServiceUnavailable.into());
    }
    Ok(())
}
