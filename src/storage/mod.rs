//! The database: accounts, rosters, rooms, a few secrets. SQLite in one file, or in memory for
//! tests and benches: the same code and the same SQL.
//!
//! One transaction per turn: the first write of a turn begins it, each writing handler is a
//! savepoint, `commit` ends it before anything of that turn is sent. `turn` holds these rules and
//! the two functions through which every statement goes; `schema` the tables and migrations;
//! `accounts`, `roster`, `rooms`, `secrets` one table each; `folder` the data folder, its mode and
//! its lock; `fault` is how tests and the simulator make storage fail.
//!
//! It keeps values and answers questions: who may do what is decided elsewhere. The folder can be
//! copied with `cp` while the server is stopped; nothing in it depends on the host.

mod accounts;
mod activity;
mod archive;
mod blocks;
mod chats;
mod fault;
mod folder;
mod graves;
mod hats;
mod invitations;
mod offline;
mod pep;
mod private;
mod requests;
mod rooms;
mod roster;
mod schema;
mod secrets;
mod tokens;
mod turn;
mod values;
mod vcards;
mod versions;

#[cfg(test)]
pub(crate) mod tests;

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::config::Synchronous;

pub use activity::StoredActivity;
pub use archive::{
    ArchiveFilter, ArchiveOwner, ArchivePage, ArchiveSlice, ArchivedAuthor, ArchivedMessage,
    Retention,
};
pub use chats::{ArchivePreferences, ArchiveWish, ChatMessage, LastSeen};
pub use fault::Fault;
pub use folder::{DataFolder, FolderError};
pub use graves::Grave;
pub use hats::Hat;
pub use invitations::Invitation;
pub use offline::{OfflineBounds, OfflineMessage, OfflinePut, OfflineSlice};
pub use pep::{
    PepAccess, PepAffiliation, PepConfig, PepItem, PepNode, PepPublishers, PepSendLast, PepUsage,
};
pub use requests::SubscriptionEnd;
pub use tokens::LoginToken;
pub use values::{
    AffiliationEntry, RosterChange, RosterItem, RosterVersion, StorageError, StoredRoom,
    StoredSubject, Subscription,
};
pub use vcards::StoredVcard;
pub use versions::VersionedChange;

/// The file in the data folder.
const FILE_NAME: &str = "tercet.db";

/// How long a statement waits for another process (a backup, a person with `sqlite3`) at most. It
/// blocks the loop, so it is short.
const BUSY_TIMEOUT_MS: u64 = 50;

/// Statements kept prepared: more than there are in this folder.
const CACHED_STATEMENTS_MAX: usize = 256;

/// The database.
pub struct Storage {
    connection: Connection,
    /// Where the turn's transaction stands.
    turn: turn::Turn,
    /// Whether archives have something to sweep.
    waste: archive::Waste,
    /// What is to fail, in tests and simulations.
    faults: fault::Faults,
}

impl Storage {
    /// Opens or makes `tercet.db` in `folder` (mode 0600), and migrates it forward.
    pub fn open(folder: &Path, synchronous: Synchronous) -> Result<Self, String> {
        let path = folder.join(FILE_NAME);
        let wrong = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        // Made by us, so that it is private before SQLite writes to it: SQLite gives its -wal and
        // -shm files the mode of the database.
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| wrong(&error))?;
        let mode = file.metadata().map_err(|error| wrong(&error))?.permissions().mode();
        if mode & 0o077 != 0 {
            log::warn!("{}: was open to others, now 0600", path.display());
            file.set_permissions(Permissions::from_mode(0o600)).map_err(|error| wrong(&error))?;
        }
        drop(file);
        let connection = Connection::open(&path).map_err(|error| wrong(&error))?;
        Self::prepare(connection, synchronous).map_err(|error| wrong(&error))
    }

    /// True when there is a database in `folder`.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(FILE_NAME).exists()
    }

    /// A database in memory: tests and benches.
    pub fn memory() -> Self {
        let connection = Connection::open_in_memory().expect("memory needs no file");
        Self::prepare(connection, Synchronous::Normal).expect("our own schema is valid")
    }

    /// Sets the connection up and brings the schema forward.
    fn prepare(connection: Connection, synchronous: Synchronous) -> Result<Self, String> {
        let text = |error: rusqlite::Error| error.to_string();
        connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS)).map_err(text)?;
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS_MAX);
        // Else many statements are compiled anew whenever they are run with other values, which
        // takes ten times as long as running them.
        let stability = DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG;
        connection.set_db_config(stability, true).map_err(text)?;
        let level = match synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = {level};
                 PRAGMA foreign_keys = ON;
                 PRAGMA temp_store = MEMORY;
                 PRAGMA secure_delete = FAST;
                 PRAGMA trusted_schema = OFF;
                 PRAGMA journal_size_limit = 4194304;"
            ))
            .map_err(text)?;
        schema::migrate(&connection, schema::MIGRATIONS)?;
        let (turn, faults) = (turn::Turn::default(), fault::Faults::default());
        let mut storage = Self { connection, turn, waste: archive::Waste::None, faults };
        storage.look_for_waste().map_err(|error| error.to_string())?;
        Ok(storage)
    }

    /// Makes storage fail at a place: for tests and the simulation.
    pub fn inject(&mut self, fault: Fault) {
        self.faults.inject(fault);
    }

    /// How many writes and commits have failed because of that.
    pub fn faults_met_count(&self) -> usize {
        self.faults.met_count()
    }

    /// Commits, and folds the log into the database, so that one file is the whole of it. `Err`
    /// says what went wrong; when only the folding failed nothing is lost, the log is read at the
    /// next start.
    pub fn checkpoint(&mut self) -> Result<(), String> {
        let committed = self.commit();
        let folded = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        committed.map_err(|_| "the last commit was lost".to_owned())?;
        folded.map_err(|error| format!("checkpoint: {error}"))
    }

    /// Checkpoints and closes. `Err` says what went wrong.
    pub fn close(mut self) -> Result<(), String> {
        self.checkpoint()?;
        self.connection.close().map_err(|(_, error)| format!("close: {error}"))
    }
}
