//! What is of accounts alone in archives at rest (XEP-0313), what each account wants archived
//! (XEP-0441), and when it was here last (XEP-0012).
//!
//! An account's messages are rows like those of rooms (`archive`). Nobody has a nick or an
//! affiliation there: `nick` is the bare address of the other side, `resource` that side's resource,
//! and `own_resource` that of the owner, each where the message had one.

use rusqlite::params;

use super::archive::ArchiveOwner;
use super::rooms::key;
use super::{Retention, Storage, StorageError};
use crate::config::ArchiveDefault;
use crate::xmpp::{BareJid, Jid};

/// The tables of this file.
pub(super) const SCHEMA: &str = "
ALTER TABLE archive ADD COLUMN account INTEGER REFERENCES account ON DELETE SET NULL;

CREATE UNIQUE INDEX archive_account ON archive (account);

ALTER TABLE archive_message ADD COLUMN own_resource TEXT;

CREATE TABLE archive_preference (
    account INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    behaviour TEXT NOT NULL CHECK (behaviour IN ('always', 'roster', 'never'))
) STRICT;

CREATE TABLE archive_preference_jid (
    account INTEGER NOT NULL REFERENCES archive_preference ON DELETE CASCADE,
    jid TEXT NOT NULL,
    is_wanted INTEGER NOT NULL,
    PRIMARY KEY (account, jid)
) STRICT, WITHOUT ROWID;

CREATE TABLE account_last (
    account INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    unix_ms INTEGER NOT NULL,
    status TEXT
) STRICT;
";

/// A message for the archive of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// Its id.
    pub uid: String,
    /// When it was accepted, in milliseconds since 1970.
    pub unix_ms: i64,
    /// The other side.
    pub with: Jid,
    /// The resource of the owner that sent it, or that it was sent to.
    pub own_resource: Option<String>,
    /// The serialised stanza.
    pub xml: Vec<u8>,
}

/// What an account wants archived (XEP-0441).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivePreferences {
    /// Of whom nothing else is said.
    pub default: ArchiveDefault,
    /// With them everything, sorted, each once.
    pub always: Vec<Jid>,
    /// With them nothing, sorted, each once and none that is in `always`.
    pub never: Vec<Jid>,
}

/// When somebody was here last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSeen {
    /// When the last session ended, in milliseconds since 1970.
    pub unix_ms: i64,
    /// What was said then.
    pub status: Option<String>,
}

impl Storage {
    /// True when an account wants archived what it exchanges with this address; false also when
    /// there is no such account. A full address counts before its bare one, and both before the
    /// roster and the default.
    pub fn chat_is_wanted(
        &mut self,
        account: &BareJid,
        with: &Jid,
        default: ArchiveDefault,
    ) -> Result<bool, StorageError> {
        let wanted = self.read_one(
            "SELECT ifnull(
                 (SELECT is_wanted FROM archive_preference_jid AS listed
                  WHERE listed.account = account.id AND jid IN (?3, ?4)
                  ORDER BY jid = ?3 DESC LIMIT 1),
                 CASE ifnull(behaviour, ?5)
                 WHEN 'always' THEN 1
                 WHEN 'roster' THEN EXISTS (SELECT 1 FROM roster
                                            WHERE roster.account = account.id AND jid = ?4)
                 ELSE 0 END)
             FROM account LEFT JOIN archive_preference ON archive_preference.account = account.id
             WHERE domain = ?1 AND local = ?2",
            params![
                account.domain(),
                account.local().unwrap_or_default(),
                with.as_str(),
                with.bare_str(),
                behaviour(default)
            ],
            |row| row.get(0),
        )?;
        Ok(wanted.unwrap_or_default())
    }

    /// Adds a message to the archive of an account, and keeps the archive within its bounds.
    /// `Failed` when there is no such account.
    pub fn chat_add(
        &mut self,
        account: &BareJid,
        message: &ChatMessage,
        keep: Retention,
    ) -> Result<(), StorageError> {
        let owner = ArchiveOwner::Account(account);
        let archive = self.archive_open(owner)?.ok_or(StorageError::Failed)?;
        self.write(
            "INSERT INTO archive_message (archive, uid, unix_ms, nick, resource, own_resource,
                                          is_replayed, message)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7)",
            params![
                archive,
                message.uid,
                message.unix_ms,
                message.with.bare_str(),
                message.with.resource(),
                message.own_resource,
                message.xml
            ],
        )?;
        self.archive_added(archive, message.xml.len(), keep)
    }

    /// What an account has said that it wants archived.
    pub fn archive_preferences(
        &mut self,
        account: &BareJid,
    ) -> Result<Option<ArchivePreferences>, StorageError> {
        let found = self.read_one(
            "SELECT behaviour FROM account JOIN archive_preference ON account = account.id
             WHERE domain = ?1 AND local = ?2",
            key(account),
            |row| row.get::<_, String>(0),
        )?;
        let Some(text) = found else { return Ok(None) };
        let listed = self.read_all(
            "SELECT jid, is_wanted FROM account
             JOIN archive_preference_jid AS listed ON listed.account = account.id
             WHERE domain = ?1 AND local = ?2 ORDER BY jid",
            key(account),
            |row| Ok((row.get::<_, String>(0)?, row.get(1)?)),
        )?;
        let (mut always, mut never) = (Vec::new(), Vec::new());
        for (jid, is_wanted) in listed {
            let Ok(jid) = Jid::parse(&jid) else { continue };
            if is_wanted { always.push(jid) } else { never.push(jid) }
        }
        Ok(Some(ArchivePreferences { default: parse_behaviour(&text), always, never }))
    }

    /// Replaces what an account wants archived. `Failed` when there is no such account.
    pub fn archive_preferences_put(
        &mut self,
        account: &BareJid,
        preferences: &ArchivePreferences,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(account);
        self.write(
            "DELETE FROM archive_preference
             WHERE account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)",
            (domain, local),
        )?;
        let rows = self.write(
            "INSERT INTO archive_preference (account, behaviour)
             SELECT id, ?3 FROM account WHERE domain = ?1 AND local = ?2",
            (domain, local, behaviour(preferences.default)),
        )?;
        super::rooms::one_row(rows)?;
        let always = preferences.always.iter().map(|jid| (jid, true));
        for (jid, is_wanted) in always.chain(preferences.never.iter().map(|jid| (jid, false))) {
            self.write(
                "INSERT INTO archive_preference_jid (account, jid, is_wanted)
                 SELECT id, ?3, ?4 FROM account WHERE domain = ?1 AND local = ?2",
                params![domain, local, jid.as_str(), is_wanted],
            )?;
        }
        Ok(())
    }

    /// The last session of an account has ended. Nothing when there is no such account.
    pub fn last_seen_put(
        &mut self,
        account: &BareJid,
        last: &LastSeen,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(account);
        self.write(
            "INSERT OR REPLACE INTO account_last (account, unix_ms, status)
             SELECT id, ?3, ?4 FROM account WHERE domain = ?1 AND local = ?2",
            params![domain, local, last.unix_ms, last.status],
        )?;
        Ok(())
    }

    /// When an account was here last; `None` when it never was, or there is no such account.
    pub fn last_seen(&mut self, account: &BareJid) -> Result<Option<LastSeen>, StorageError> {
        self.read_one(
            "SELECT unix_ms, status FROM account JOIN account_last ON account = account.id
             WHERE domain = ?1 AND local = ?2",
            key(account),
            |row| Ok(LastSeen { unix_ms: row.get(0)?, status: row.get(1)? }),
        )
    }
}

fn behaviour(default: ArchiveDefault) -> &'static str {
    match default {
        ArchiveDefault::Always => "always",
        ArchiveDefault::Roster => "roster",
        ArchiveDefault::Never => "never",
    }
}

/// The table admits these three only.
fn parse_behaviour(text: &str) -> ArchiveDefault {
    match text {
        "always" => ArchiveDefault::Always,
        "roster" => ArchiveDefault::Roster,
        _ => ArchiveDefault::Never,
    }
}
