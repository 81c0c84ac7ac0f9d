//! The database: accounts, rosters, rooms, a few secrets. SQLite in one file, or in memory for
//! tests and benches: the same code and the same SQL. (Owned by the storage work package; this is
//! the interface.)
//!
//! One transaction per turn: the first write of a turn begins it, each writing handler is a
//! savepoint, `commit` ends it before anything of that turn is sent.

use crate::config::{RoomOptions, Synchronous};
use crate::credentials::Credentials;
use crate::xmpp::{Affiliation, BareJid};
use std::path::Path;

/// Why storage did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// The statement failed; the transaction stands. The handler's savepoint is rolled back.
    Failed,
    /// The transaction is lost, or storage is read-only until a probe works.
    Unavailable,
}

impl From<StorageError> for crate::xmpp::StanzaError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Failed => crate::xmpp::Condition::InternalServerError.into(),
            StorageError::Unavailable => crate::xmpp::Condition::ResourceConstraint.into(),
        }
    }
}

/// `subscription` of a roster item (RFC 6121 §2.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Subscription {
    /// No subscription.
    #[default]
    None,
    /// The user sees the contact.
    To,
    /// The contact sees the user.
    From,
    /// Both.
    Both,
}

/// A contact in a roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterItem {
    /// The contact.
    pub jid: BareJid,
    /// Its name for the user.
    pub name: Option<String>,
    /// Groups, sorted, each once.
    pub groups: Vec<String>,
    /// The subscription.
    pub subscription: Subscription,
}

/// An entry of a room's affiliation list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffiliationEntry {
    /// Account or bare domain.
    pub jid: BareJid,
    /// Never `None`.
    pub affiliation: Affiliation,
    /// Reserved nick, if any.
    pub nick: Option<String>,
    /// Why, if said (bans).
    pub reason: Option<String>,
}

/// The subject of a room at rest: the message as XML payload, who set it, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSubject {
    /// Serialised `<subject/>` elements.
    pub xml: String,
    /// Nick of who set it; empty for the room itself.
    pub nick: String,
    /// Occupant id of who set it, if known.
    pub occupant_id: Option<String>,
    /// When, in milliseconds since 1970.
    pub unix_ms: i64,
}

/// A persistent room at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRoom {
    /// Its address.
    pub jid: BareJid,
    /// Its options.
    pub options: RoomOptions,
    /// The secret that its occupant ids are made with.
    pub secret: Vec<u8>,
    /// Its subject, when one was ever set.
    pub subject: Option<StoredSubject>,
    /// Its affiliation list, in the order of first entry.
    pub affiliations: Vec<AffiliationEntry>,
}

/// The database.
pub struct Storage {}

impl Storage {
    /// Opens or makes `tercet.db` in `folder` (mode 0600), and migrates it forward.
    pub fn open(folder: &Path, synchronous: Synchronous) -> Result<Self, String> {
        let _ = (folder, synchronous);
        Ok(Self {})
    }

    /// A database in memory: tests and benches.
    pub fn memory() -> Self {
        Self {}
    }

    /// The credentials of an account, or `None` when there is no such account.
    pub fn account(&mut self, account: &BareJid) -> Result<Option<Credentials>, StorageError> {
        let _ = account;
        Ok(None)
    }

    /// Creates an account; `false` when it exists already.
    pub fn account_create(
        &mut self,
        account: &BareJid,
        credentials: &Credentials,
    ) -> Result<bool, StorageError> {
        let _ = (account, credentials);
        Ok(false)
    }

    /// Changes the credentials; `false` when there is no such account.
    pub fn account_change(
        &mut self,
        account: &BareJid,
        credentials: &Credentials,
    ) -> Result<bool, StorageError> {
        let _ = (account, credentials);
        Ok(false)
    }

    /// Removes the account with its roster; `false` when there is no such account.
    pub fn account_remove(&mut self, account: &BareJid) -> Result<bool, StorageError> {
        let _ = account;
        Ok(false)
    }

    /// All accounts, sorted by domain and name.
    pub fn accounts(&mut self) -> Result<Vec<BareJid>, StorageError> {
        Ok(Vec::new())
    }

    /// The roster of an account, sorted by address.
    pub fn roster(&mut self, account: &BareJid) -> Result<Vec<RosterItem>, StorageError> {
        let _ = account;
        Ok(Vec::new())
    }

    /// Adds or changes a contact.
    pub fn roster_put(&mut self, account: &BareJid, item: &RosterItem) -> Result<(), StorageError> {
        let _ = (account, item);
        Ok(())
    }

    /// Removes a contact; `false` when it is not there.
    pub fn roster_remove(
        &mut self,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<bool, StorageError> {
        let _ = (account, contact);
        Ok(false)
    }

    /// A persistent room, whole.
    pub fn room(&mut self, room: &BareJid) -> Result<Option<StoredRoom>, StorageError> {
        let _ = room;
        Ok(None)
    }

    /// Addresses, names and publicity of the stored rooms of a domain, sorted by address.
    pub fn rooms(&mut self, domain: &str) -> Result<Vec<(BareJid, RoomOptions)>, StorageError> {
        let _ = domain;
        Ok(Vec::new())
    }

    /// How many rooms are stored.
    pub fn rooms_count(&mut self) -> Result<usize, StorageError> {
        Ok(0)
    }

    /// Writes a room whole (when it becomes persistent).
    pub fn room_put(&mut self, room: &StoredRoom) -> Result<(), StorageError> {
        let _ = room;
        Ok(())
    }

    /// Changes the options of a stored room.
    pub fn room_options(
        &mut self,
        room: &BareJid,
        options: &RoomOptions,
    ) -> Result<(), StorageError> {
        let _ = (room, options);
        Ok(())
    }

    /// Changes the subject of a stored room.
    pub fn room_subject(
        &mut self,
        room: &BareJid,
        subject: &StoredSubject,
    ) -> Result<(), StorageError> {
        let _ = (room, subject);
        Ok(())
    }

    /// Sets an entry of a stored room's affiliation list; `Affiliation::None` removes it.
    pub fn room_affiliation(
        &mut self,
        room: &BareJid,
        entry: &AffiliationEntry,
    ) -> Result<(), StorageError> {
        let _ = (room, entry);
        Ok(())
    }

    /// Removes a room with all that belongs to it.
    pub fn room_remove(&mut self, room: &BareJid) -> Result<(), StorageError> {
        let _ = room;
        Ok(())
    }

    /// A secret of this server by name, made on first use (32 bytes).
    pub fn secret(
        &mut self,
        name: &str,
        entropy: &mut dyn crate::cx::Entropy,
    ) -> Result<Vec<u8>, StorageError> {
        let _ = (name, entropy);
        Ok(vec![7; 32])
    }

    /// A handler begins: what it writes is undone as one by [`Self::roll_back_handler`].
    pub fn begin_handler(&mut self) {}

    /// The handler failed: undoes what it wrote.
    pub fn roll_back_handler(&mut self) {}

    /// True when something was written since [`Self::begin_handler`].
    pub fn handler_wrote(&self) -> bool {
        false
    }

    /// Ends the turn's transaction, if one was begun. `Err`: nothing of this turn is stored.
    pub fn commit(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    /// True when a commit or transaction was lost and no probe has worked since.
    pub fn is_read_only(&self) -> bool {
        false
    }

    /// Tries a write and a commit; on success storage takes writes again.
    pub fn probe(&mut self) -> bool {
        true
    }

    /// Checkpoints and closes. `Err` says what went wrong.
    pub fn close(self) -> Result<(), String> {
        Ok(())
    }
}
