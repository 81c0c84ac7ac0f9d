//! The room service (XEP-0045): which room, which kind of address, which kind of stanza.
//!
//! A stanza comes here with its sender stamped and its addresses parsed. This file finds the room
//! (live, stored, or about to be made), `dispatch` calls the file of the concept. Errors are values
//! on their way to the router, which says who refuses (`by`). Handlers note which sessions came and
//! went; the index of sessions is brought up to date when they return, and a room that has nobody
//! left is forgotten (stored ones are read again when somebody comes).
//!
//! | concern | files |
//! |---|---|
//! | the service | `service`, `listing`, `disco`, `unique`, `manage`, `graves` |
//! | a room, who is in it | `room`, `occupant`, `persist`, `ids`, `join`, `leave`, `presence`, `probe` |
//! | what is said | `message`, `private`, `subject`, `history`, `pace`, `activity`, `sanitize` |
//! | what is kept | `archive`, `archive_query`, `retract`, `moderate` |
//! | who may what | `privilege`, `admin`, `changes`, `backlog`, `versions` |
//! | who has voice | `voice_requests`, `voice_kept` |
//! | how it is | `owner`, `config_form`, `hats`, `hats_commands`, `vcard` |
//! | who belongs to it | `register`, `nicks`, `invite`, `asked` |

mod activity;
mod admin;
mod archive;
mod archive_query;
mod asked;
mod backlog;
mod changes;
mod config_form;
mod disco;
mod dispatch;
mod graves;
mod hats;
mod hats_commands;
mod history;
mod ids;
mod invite;
mod join;
mod leave;
mod listing;
mod manage;
mod message;
mod moderate;
mod nicks;
mod occupant;
mod owner;
mod pace;
mod persist;
mod presence;
mod private;
mod privilege;
mod probe;
mod register;
mod retract;
mod room;
mod sanitize;
mod service;
mod subject;
#[cfg(test)]
mod tests;
mod unique;
mod vcard;
mod versions;
mod voice_kept;
mod voice_requests;

use std::collections::HashMap;

use ring::hmac;
use slab::Slab;

use crate::allowance::Allowances;
use crate::config::Config;
use crate::cx::Cx;
use crate::ids::{SessionId, Target};
use crate::timers::TimerKey;
use crate::xml::Element;
use crate::xml::writer::write_element;
use crate::xmpp::{
    Affiliation, BareJid, Condition, ErrorType, IqType, Jid, PresenceType, Stanza, StanzaError,
    StanzaKind, ns,
};

use backlog::Telling;
use pace::Resting;
use room::Room;

pub use manage::Order;
pub use service::disco_info as service_disco_info;

/// When a room could not be stored at the end of its lock, it is tried again after this long.
const UNLOCK_RETRY_MS: u64 = 60_000;
/// From so many occupants on a join may have to wait.
const CROWD_OCCUPANTS_MIN: usize = 50;

/// The rooms that a session is in.
struct Visits {
    /// Its full address.
    jid: Jid,
    /// Numbers of rooms, in the order of joining.
    rooms: Vec<u64>,
}

/// All rooms of this server.
#[derive(Default)]
pub struct Muc {
    rooms: Slab<Room>,
    /// Live rooms by address.
    by_jid: HashMap<String, usize>,
    /// Where each session is.
    visits: HashMap<SessionId, Visits>,
    /// Counts rooms, so that a number never names another one.
    rooms_made: u32,
    /// When the timer for locks is due; there is one for all rooms.
    lock_timer_ms: Option<u64>,
    /// Authenticates iq stanzas on their way through seats.
    iq_key: Option<hmac::Key>,
    /// What accounts may still have read and written.
    allowances: Allowances,
    /// Who has to wait in rooms out of memory.
    resting: Resting,
    /// Rooms that have something left to tell.
    telling: Telling,
    /// The service has shut down.
    is_closed: bool,
}

/// Bytes of an answer that is not read in pages, at most.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of an answer: no more than half of what may wait for a client (`limits.outbox_bytes`), or
/// asking would cut it off.
fn answer_bytes_max(config: &Config) -> usize {
    match config.limits.outbox_bytes {
        0 => ANSWER_BYTES_MAX,
        bytes => ANSWER_BYTES_MAX.min(bytes / 2),
    }
}

/// Refuses an answer that is too long, or what would make one so.
fn check_answer_bytes(config: &Config, bytes: usize) -> Result<(), StanzaError> {
    if bytes <= answer_bytes_max(config) {
        return Ok(());
    }
    Err(StanzaError::new(Condition::ResourceConstraint).with_text("the list is too long"))
}

/// Bytes of an element as it is sent.
fn written_bytes(element: &Element) -> usize {
    let mut bytes = Vec::new();
    write_element(&mut bytes, element, ns::CLIENT);
    bytes.len()
}

/// Bytes of a text as it is sent, at most.
fn escaped_bytes(text: &str) -> usize {
    let bytes_of = |byte: u8| if b"<>&'\"\t\n\r".contains(&byte) { 6 } else { 1 };
    text.bytes().map(bytes_of).sum()
}

/// Refuses a text that is longer than `limits.room_text_bytes`.
fn check_text_len(config: &Config, bytes: usize) -> Result<(), StanzaError> {
    let max = config.limits.room_text_bytes;
    if max > 0 && bytes > max {
        return Err(StanzaError::new(Condition::NotAcceptable).with_text("the text is too long"));
    }
    Ok(())
}

/// The refusal of somebody who is not in the room (§7.4, §7.5; the type is that of XEP-0410 §3.2:
/// sending it again does not help, whatever is changed in it).
fn not_in_room() -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_type(ErrorType::Cancel)
}

fn is_join(stanza: &Stanza) -> bool {
    stanza.kind == StanzaKind::Presence(PresenceType::Available)
        && stanza.child("x", ns::MUC).is_some()
}

/// WIRE 7: clients know by it that a join was refused.
fn mark_refusal(error: &mut StanzaError) {
    error.extra_mut().payload = Some(Element::new("x", ns::MUC));
}

/// The refusal of a join that was asked for too late.
pub fn refusal_of_join() -> StanzaError {
    let mut error = StanzaError::new(Condition::ServiceUnavailable);
    mark_refusal(&mut error);
    error
}

/// The text of a `<reason/>`: `None` when it is absent or empty.
fn check_reason(config: &Config, reason: Option<&Element>) -> Result<Option<String>, StanzaError> {
    let text = reason.map(Element::text).filter(|text| !text.is_empty());
    check_text_len(config, text.as_ref().map_or(0, String::len))?;
    Ok(text)
}

impl Muc {
    /// A service without live rooms; stored ones are loaded when somebody comes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A stanza addressed to a room domain, a room or an occupant. `origin` is who sent it; an
    /// error that is returned is answered by the router.
    pub fn handle(
        &mut self,
        cx: &mut Cx,
        origin: Target,
        stanza: Stanza,
    ) -> Result<(), StanzaError> {
        let Some(to) = stanza.to.clone() else { return Ok(()) };
        let is_answer = stanza.kind.is_error() || stanza.kind == StanzaKind::Iq(IqType::Result);
        let is_join = is_join(&stanza);
        let result = if self.is_closed {
            dispatch::refuse_closed(&stanza, &to, is_join)
        } else if to.local().is_none() {
            self.handle_service(cx, origin, &stanza, &to)
        } else {
            self.handle_room(cx, origin, stanza, &to)
        };
        match result {
            // RFC 6120 §8.3.1: what is an answer already is never answered.
            Err(_) if is_answer => Ok(()),
            Err(mut error) => {
                if is_join {
                    mark_refusal(&mut error);
                }
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// True for a join into a room of so many that what it causes is better spread over time.
    pub fn is_join_into_crowd(&self, stanza: &Stanza) -> bool {
        is_join(stanza)
            && stanza
                .to
                .as_ref()
                .and_then(|to| self.live(to))
                .is_some_and(|index| self.rooms[index].occupants_count() >= CROWD_OCCUPANTS_MIN)
    }

    /// A session is gone, or sent unavailable presence to nobody in particular: it leaves all its
    /// rooms (XEP-0045 §7.14). `presence` is its unavailable presence, when there was one.
    pub fn handle_session_end(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        presence: Option<&Stanza>,
    ) {
        let Some(visits) = self.visits.remove(&session) else { return };
        for number in visits.rooms {
            let Some(index) = self.numbered(number) else { continue };
            let room = &mut self.rooms[index];
            let payload = presence.map(|stanza| presence::payload_of(&room.jid, stanza));
            room.leave(cx, &visits.jid, &payload.unwrap_or_default(), &[]);
            self.settle(cx, index);
        }
    }

    /// A room's timer fired: a lock that is over (§10.1.1). One timer serves all rooms.
    pub fn handle_timer(&mut self, cx: &mut Cx, room: u64) {
        log::debug!("the lock of room {room:#x} is due, or one before it was");
        self.lock_timer_ms = None;
        let now_ms = cx.now.mono_ms;
        let is_due = |room: &Room| room.lock.as_ref().is_some_and(|lock| lock.until_ms <= now_ms);
        // One at a time: what a failure leaves half written is undone for this room alone.
        let due = self.rooms.iter_mut().map(|(_, room)| room).find(|room| is_due(room));
        if let Some(room) = due
            && let Err(error) = room.unlock(cx)
        {
            cx.storage.roll_back_handler();
            log::warn!("{}: cannot be stored yet: {error:?}", room.jid);
            if let Some(lock) = &mut room.lock {
                lock.until_ms = now_ms + UNLOCK_RETRY_MS;
            }
        }
        self.set_lock_timer(cx);
    }

    /// Sets the timer for the lock that ends first. One that is set already fires before any lock
    /// that has come since: all of them last equally long.
    fn set_lock_timer(&mut self, cx: &mut Cx) {
        if self.lock_timer_ms.is_some() {
            return;
        }
        let locked = self.rooms.iter().filter_map(|(_, room)| Some((room.lock.as_ref()?, room)));
        let Some((lock, room)) = locked.min_by_key(|(lock, _)| lock.until_ms) else { return };
        cx.timers.set(lock.until_ms, TimerKey::Room(room.number));
        self.lock_timer_ms = Some(lock.until_ms);
    }

    /// Storage lost this turn's writes: rooms that were written in it are read again.
    pub fn handle_storage_lost(&mut self, cx: &mut Cx) {
        let turn = cx.storage.turn_number();
        for (_, room) in &mut self.rooms {
            if room.written_turn == Some(turn) {
                room.read_again(cx, turn);
                room.forget_turn(turn);
            }
        }
    }

    /// An account was removed, and its sessions have left: live rooms forget what it was to them,
    /// as storage has done, so that the next of its name inherits nothing, not even what was said.
    /// A ban stays.
    pub fn handle_account_removed(&mut self, cx: &mut Cx, account: &BareJid) {
        self.resting.forget(account);
        for (_, room) in &mut self.rooms {
            let had_hats = room.hats.forget(account);
            room.paces.forget(account);
            room.applicants.forget(account);
            room.invitations.forget(account);
            room.voices.forget(account);
            room.history.forget_author(&ids::occupant_id(&room.secret, account.as_str()));
            room.registration_asked.forget(account);
            room.voice_asked.forget(account);
            let entry = room.affiliations.get(account);
            let was_known = entry.is_some_and(|entry| entry.affiliation != Affiliation::Outcast);
            if was_known {
                let none = (account.clone(), (Affiliation::None, None));
                room.take_affiliations(&[none].into());
            }
            if (was_known || had_hats) && room.is_stored {
                room.mark_written(cx);
            }
        }
    }

    /// Another configuration is in force: who is a server admin no longer is in each room what it
    /// would be there without that, at once; and who has become one is an owner.
    pub fn handle_reload(&mut self, cx: &mut Cx) {
        let indexes: Vec<_> = self.rooms.iter().map(|(index, _)| index).collect();
        for index in indexes {
            self.rooms[index].set_admins(cx, cx.config.admin.jids.clone());
            self.settle(cx, index);
        }
    }

    /// Shutdown, phase 3: one unavailable with 332 and 110 to each session of each occupant, no
    /// broadcast; from then on everything that comes is dropped silently, joins are refused.
    pub fn shut_down(&mut self, cx: &mut Cx) {
        for (_, room) in &mut self.rooms {
            room.keep_activity(cx);
            room.shut_down(cx);
        }
        self.rooms = Slab::new();
        self.by_jid = HashMap::new();
        self.visits = HashMap::new();
        self.telling = Telling::default();
        self.is_closed = true;
    }

    /// Live rooms.
    pub fn rooms_count(&self) -> usize {
        self.rooms.len()
    }

    /// Seats of all rooms (0 when nobody is connected: the simulation checks it).
    pub fn seats_count(&self) -> usize {
        self.rooms.iter().map(|(_, room)| room.seats_count()).sum()
    }

    /// Rooms that a session is in, as `room@service/nick`.
    pub fn rooms_of(&self, session: SessionId) -> Vec<Jid> {
        let Some(visits) = self.visits.get(&session) else { return Vec::new() };
        let rooms = visits.rooms.iter().filter_map(|number| self.numbered(*number));
        let seats = rooms.filter_map(|index| self.rooms[index].occupant_at(&visits.jid));
        seats.map(|occupant| occupant.jid.clone()).collect()
    }

    /// The live room of an address.
    fn live(&self, jid: &Jid) -> Option<usize> {
        self.by_jid.get(jid.bare_str()).copied()
    }

    /// The room of an address, read from the database for `account` when it is not live. Who calls
    /// this calls [`Self::settle`] afterwards.
    fn find(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        jid: &Jid,
    ) -> Result<Option<usize>, StanzaError> {
        if let Some(index) = self.live(jid) {
            return Ok(Some(index));
        }
        self.allowances.check(account, cx.now)?;
        let Some(stored) = cx.storage.room(&jid.to_bare())? else { return Ok(None) };
        let room = Room::load(cx, stored)?;
        self.allowances.charge(account, room.rows_count(), cx.now);
        Ok(Some(self.insert(cx, room)))
    }

    fn insert(&mut self, cx: &Cx, mut room: Room) -> usize {
        room.admins = cx.config.admin.jids.clone();
        self.rooms_made = self.rooms_made.wrapping_add(1);
        let entry = self.rooms.vacant_entry();
        let index = entry.key();
        room.number = u64::from(self.rooms_made) << 32 | index as u64;
        let paces = self.resting.take(&room.jid);
        if room.is_stored {
            room.paces = paces;
        }
        self.by_jid.insert(room.jid.as_str().to_owned(), index);
        entry.insert(room);
        index
    }

    fn numbered(&self, number: u64) -> Option<usize> {
        let index = usize::try_from(number & u64::from(u32::MAX)).ok()?;
        self.rooms.get(index).filter(|room| room.number == number).map(|_| index)
    }

    /// After a handler: brings the index of sessions up to date, forgets a room without occupants.
    fn settle(&mut self, cx: &mut Cx, index: usize) {
        let Some(room) = self.rooms.get_mut(index) else { return };
        let number = room.number;
        for (session, jid) in std::mem::take(&mut room.entered) {
            let visits = self.visits.entry(session);
            visits.or_insert_with(|| Visits { jid, rooms: Vec::new() }).rooms.push(number);
        }
        for session in std::mem::take(&mut room.left) {
            let Some(visits) = self.visits.get_mut(&session) else { continue };
            visits.rooms.retain(|other| *other != number);
            if visits.rooms.is_empty() {
                self.visits.remove(&session);
            }
        }
        if room.is_destroyed || room.occupants_count() == 0 {
            self.by_jid.remove(room.jid.as_str());
            let mut room = self.rooms.remove(index);
            if room.is_stored && !room.is_destroyed {
                room.keep_activity(cx);
                self.resting.put(&room.jid, std::mem::take(&mut room.paces), cx.now.mono_ms);
            }
        }
        self.note_backlog(index);
    }

    /// The key of [`ids::Return`]; made at first use, so that it lives no longer than the service.
    fn iq_key(&mut self, cx: &mut Cx) -> hmac::Key {
        let make = || {
            let mut secret = [0; 32];
            cx.entropy.fill(&mut secret);
            hmac::Key::new(hmac::HMAC_SHA256, &secret)
        };
        self.iq_key.get_or_insert_with(make).clone()
    }
}
