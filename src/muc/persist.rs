//! Rooms at rest: read when somebody comes, written when they change, by the handler that changes
//! them (DESIGN §7). A persistent room without occupants is not kept in memory.

use super::room::Room;
use super::subject::Subject;
use crate::config::RoomOptions;
use crate::cx::Cx;
use crate::storage::{StorageError, StoredRoom};
use crate::xmpp::Role;

impl Room {
    /// The room as it is to be stored, with these options.
    pub fn to_stored(&self, options: RoomOptions) -> StoredRoom {
        StoredRoom {
            jid: self.jid.clone(),
            options,
            secret: self.secret.clone(),
            subject: self.subject.as_ref().map(Subject::to_stored),
            affiliations: self.affiliations.values().cloned().collect(),
        }
    }

    /// A live room, without a number, from what was stored.
    pub fn load(cx: &mut Cx, stored: StoredRoom) -> Result<Self, StorageError> {
        let mut room = Self::new(stored.jid.clone(), 0, stored.options.clone(), Vec::new());
        room.is_stored = true;
        room.take_stored(stored);
        room.load_rest(cx)?;
        Ok(room)
    }

    /// Rows that it takes when it is read or written as a whole.
    pub fn rows_count(&self) -> usize {
        1 + self.affiliations.len() + self.hats.len() + self.hats.assigned_count()
    }

    /// Reads what is stored beside the room itself.
    fn load_rest(&mut self, cx: &mut Cx) -> Result<(), StorageError> {
        self.load_hats(cx)?;
        self.load_vcard(cx)?;
        self.load_versions(cx)?;
        self.load_activity(cx)
    }

    /// Writes a room that was not stored until now, whole.
    pub fn store_whole(&mut self, cx: &mut Cx, stored: &StoredRoom) -> Result<(), StorageError> {
        cx.storage.room_put(stored)?;
        self.store_hats(cx)?;
        self.store_vcard(cx)?;
        self.store_versions(cx)?;
        self.store_activity(cx)
    }

    /// Takes over everything that was stored.
    fn take_stored(&mut self, stored: StoredRoom) {
        self.subject = stored.subject.map(|subject| Subject::from_stored(&self.jid, subject));
        let entries = stored.affiliations.into_iter();
        self.affiliations = entries.map(|entry| (entry.jid.clone(), entry)).collect();
        self.index_nicks();
        self.options = stored.options;
        self.secret = stored.secret;
    }

    /// Accepts the configuration as it is (§10.1.1): the room exists from now on.
    pub fn unlock(&mut self, cx: &mut Cx) -> Result<(), StorageError> {
        self.take_name(cx)?;
        if self.options.persistent && !self.is_stored {
            self.store_whole(cx, &self.to_stored(self.options.clone()))?;
            self.is_stored = true;
            self.mark_written(cx);
        }
        self.lock = None;
        Ok(())
    }

    /// The writes of a turn are lost: what is stored is true again, and roles are what they were. A
    /// room that turns out not to be stored lives on as a temporary one.
    pub fn read_again(&mut self, cx: &mut Cx, turn: u64) {
        self.written_turn = None;
        let stored = cx.storage.room(&self.jid);
        let is_stored = matches!(stored, Ok(Some(_)));
        let rest = if is_stored { self.load_rest(cx) } else { Ok(()) };
        match stored.and_then(|stored| rest.map(|()| stored)) {
            Ok(Some(stored)) => {
                self.is_stored = true;
                self.take_stored(stored);
                if self.recall(cx).is_err() {
                    log::error!("{}: its archive cannot be read again", self.jid);
                }
            }
            Ok(None) => {
                self.is_stored = false;
                self.options.persistent = false;
            }
            Err(_) => {
                log::error!("{}: cannot be read again, memory may differ from disk", self.jid);
            }
        }
        for key in self.keys() {
            let Some(occupant) = self.occupant(key) else { continue };
            let affiliation = self.affiliation_of(&occupant.account);
            let role = match occupant.role_before(turn) {
                // It came in this turn, and is about to go: it was told of it.
                Role::None => self.role_on_entering(&occupant.account, affiliation),
                role => role,
            };
            if let Some(occupant) = self.occupant_mut(key) {
                occupant.affiliation = affiliation;
                occupant.set_role(role, turn);
            }
            self.wear_hats_of(key);
        }
    }
}
