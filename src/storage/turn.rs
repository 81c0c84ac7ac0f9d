//! The transaction of a turn, and the functions through which every statement goes.
//!
//! The first write of a turn begins a transaction (IMMEDIATE, so that it never has to upgrade);
//! the first write of a handler sets a savepoint; the next handler, or the commit, releases it.
//!
//! When a statement fails there are two cases, and SQLite says which: `is_autocommit()` is true
//! when it gave the whole transaction up (disk full, I/O error). Then what earlier handlers of
//! this turn wrote is gone as well: storage is read-only from there on and `commit` says so, until
//! `probe` has written and committed something. Else only the statement failed, and the caller
//! rolls its handler back.

use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::fault::Fault;
use super::{Storage, StorageError};

/// Bytes that a probe writes: more than fits into what is left of a page, so that it needs room.
const PROBE_BYTES: usize = 16 * 1024;

/// Where the turn's transaction stands.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Counts turns.
    number: u64,
    /// A transaction was begun and neither committed nor lost.
    is_open: bool,
    /// The current handler has its savepoint. Implies `is_open`.
    has_savepoint: bool,
    /// The current handler has written.
    handler_wrote: bool,
    /// A transaction with writes in it was lost in this turn: the commit has to say so.
    is_lost: bool,
    /// No writes until a probe works.
    is_read_only: bool,
}

impl Storage {
    /// A handler begins: what it writes is undone as one by [`Self::roll_back_handler`].
    pub fn begin_handler(&mut self) {
        self.turn.handler_wrote = false;
        if self.turn.has_savepoint {
            self.turn.has_savepoint = false;
            if let Err(error) = run(&self.connection, "RELEASE handler") {
                self.lose("release of a handler", &error);
            }
        }
    }

    /// The handler failed: undoes what it wrote.
    pub fn roll_back_handler(&mut self) {
        self.turn.handler_wrote = false;
        if !self.turn.has_savepoint {
            return;
        }
        self.turn.has_savepoint = false;
        let undone = run(&self.connection, "ROLLBACK TO handler")
            .and_then(|()| run(&self.connection, "RELEASE handler"));
        if let Err(error) = undone {
            self.lose("rollback of a handler", &error);
        }
    }

    /// True when something was written since [`Self::begin_handler`].
    pub fn handler_wrote(&self) -> bool {
        self.turn.handler_wrote
    }

    /// The number of this turn: whoever has written remembers it, and knows by it what is lost. It
    /// is still the same while a lost turn is cleared up.
    pub fn turn_number(&self) -> u64 {
        self.turn.number
    }

    /// Ends the turn's transaction, if one was begun. `Err`: nothing of this turn is stored.
    pub fn commit(&mut self) -> Result<(), StorageError> {
        self.turn.has_savepoint = false;
        self.turn.handler_wrote = false;
        if self.turn.is_open {
            let committed = match self.faults.at_commit() {
                None => run(&self.connection, "COMMIT"),
                Some(_) => Err(full()),
            };
            match committed {
                Ok(()) => self.turn.is_open = false,
                Err(error) => self.lose("commit", &error),
            }
        }
        if std::mem::take(&mut self.turn.is_lost) {
            return Err(StorageError::Unavailable);
        }
        self.turn.number += 1;
        Ok(())
    }

    /// True when a commit or transaction was lost and no probe has worked since.
    pub fn is_read_only(&self) -> bool {
        self.turn.is_read_only
    }

    /// Tries a write and a commit; on success storage takes writes again. Between turns only: a
    /// loss that [`Self::commit`] has not yet told stays untold otherwise.
    pub fn probe(&mut self) -> bool {
        if !self.turn.is_read_only {
            return true;
        }
        if self.turn.is_lost || self.faults.at_probe() {
            return false;
        }
        let written = run(&self.connection, "BEGIN IMMEDIATE")
            .and_then(|()| {
                let mut insert = self
                    .connection
                    .prepare_cached("INSERT OR REPLACE INTO probe (id, bytes) VALUES (1, ?1)")?;
                insert.execute([vec![0_u8; PROBE_BYTES]])
            })
            .and_then(|_| run(&self.connection, "COMMIT"))
            .and_then(|()| run(&self.connection, "DELETE FROM probe"));
        match written {
            Ok(()) => {
                log::info!("storage takes writes again");
                self.turn.is_read_only = false;
                true
            }
            Err(error) => {
                log::debug!("storage probe: {error}");
                self.abandon();
                false
            }
        }
    }

    /// Runs a writing statement within the turn's transaction and the handler's savepoint. Returns
    /// how many rows it changed.
    pub(super) fn write(
        &mut self,
        sql: &'static str,
        params: impl Params,
    ) -> Result<usize, StorageError> {
        self.begin_write()?;
        let result = match self.faults.at_write() {
            None => self.connection.prepare_cached(sql).and_then(|mut s| s.execute(params)),
            Some(Fault::FailWrite(_)) => Err(full()),
            Some(_) => {
                self.abandon();
                Err(full())
            }
        };
        match result {
            Ok(rows) => {
                self.turn.handler_wrote = true;
                Ok(rows)
            }
            Err(error) => Err(self.settle(&error)),
        }
    }

    /// Reads at most one row.
    pub(super) fn read_one<T>(
        &mut self,
        sql: &'static str,
        params: impl Params,
        row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StorageError> {
        let found = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(params, row).optional());
        found.map_err(|error| self.settle(&error))
    }

    /// Reads all rows.
    pub(super) fn read_all<T>(
        &mut self,
        sql: &'static str,
        params: impl Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StorageError> {
        let found = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map(params, row)?.collect());
        found.map_err(|error| self.settle(&error))
    }

    /// Reads rows until `row` has seen enough, and says so by `false`.
    pub(super) fn read_some(
        &mut self,
        sql: &'static str,
        params: impl Params,
        mut row: impl FnMut(&Row<'_>) -> rusqlite::Result<bool>,
    ) -> Result<(), StorageError> {
        let read = self.connection.prepare_cached(sql).and_then(|mut statement| {
            let mut rows = statement.query(params)?;
            while let Some(next) = rows.next()? {
                if !row(next)? {
                    break;
                }
            }
            Ok(())
        });
        read.map_err(|error| self.settle(&error))
    }

    /// Makes sure that a transaction is open and the handler has its savepoint.
    fn begin_write(&mut self) -> Result<(), StorageError> {
        if self.turn.is_read_only {
            return Err(StorageError::Unavailable);
        }
        if !self.turn.is_open {
            // Busy, mostly: another process writes. Nothing is lost, this request fails.
            run(&self.connection, "BEGIN IMMEDIATE").map_err(|error| self.settle(&error))?;
            self.turn.is_open = true;
        }
        if !self.turn.has_savepoint {
            run(&self.connection, "SAVEPOINT handler").map_err(|error| self.settle(&error))?;
            self.turn.has_savepoint = true;
        }
        Ok(())
    }

    /// Finds out what a failed statement means for the transaction.
    fn settle(&mut self, error: &rusqlite::Error) -> StorageError {
        if self.turn.is_open && self.connection.is_autocommit() {
            self.lose("statement", error);
            return StorageError::Unavailable;
        }
        log::warn!("storage: a statement failed: {error}");
        StorageError::Failed
    }

    /// The turn's transaction is gone, or cannot be trusted any more.
    fn lose(&mut self, what: &str, error: &rusqlite::Error) {
        log::error!("storage: {what}: {error}; read-only until a probe works");
        self.abandon();
        // A handler may go on without this write: what it says still depends on those before it.
        let Turn { number, handler_wrote, .. } = self.turn;
        self.turn =
            Turn { number, handler_wrote, is_lost: true, is_read_only: true, ..Turn::default() };
    }

    /// Ends whatever transaction SQLite may still hold.
    fn abandon(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = run(&self.connection, "ROLLBACK")
        {
            log::error!("storage: rollback: {error}");
        }
    }

    /// Bounds the database, so that a test can fill it.
    #[cfg(test)]
    pub(super) fn limit_pages(&mut self, pages: u32) {
        let bound = format!("PRAGMA max_page_count = {pages}");
        self.connection.query_row(&bound, [], |_| Ok(())).expect("pragma");
    }
}

/// Runs a statement that has neither parameters nor rows.
fn run(connection: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

/// The error of an injected fault: what a full disk gives.
fn full() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL),
        Some("injected".to_owned()),
    )
}
