//! What is of accounts alone in archives at rest (XEP-0313), what each account wants archived
//! (XEP-0441), and when it was here last (XEP-0012).
//!
//! An account's messages are rows like those of rooms (`archive`). Nobody has a nick or an
//! affiliation there: `nick` is the bare address of the other side, `resource` that side's
//! resource, and `own_resource` that of the owner, each where the message had one.

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

/// What an account wants archived, where that is the same whoever it is exchanged with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveWish {
    /// It has not said: as the configuration has it.
    Unsaid,
    /// Everything.
    All,
    /// Nothing.
    Nothing,
    /// It depends on with whom: [`Storage::chat_is_wanted`] knows.
    Depends,
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

    /// What of it holds for everybody; `None` when there is no such account.
    pub fn archive_wish(&mut self, account: &BareJid) -> Result<Option<ArchiveWish>, StorageError> {
        self.read_one(
            "SELECT behaviour, EXISTS (SELECT 1 FROM archive_preference_jid AS listed
                                       WHERE listed.account = account.id)
             FROM account LEFT JOIN archive_preference ON archive_preference.account = account.id
             WHERE domain = ?1 AND local = ?2",
            key(account),
            |row| {
                let said: Option<String> = row.get(0)?;
                let has_exceptions = row.get(1)?;
                Ok(match said.as_deref().map(parse_behaviour) {
                    None => ArchiveWish::Unsaid,
                    Some(_) if has_exceptions => ArchiveWish::Depends,
                    Some(ArchiveDefault::Always) => ArchiveWish::All,
                    Some(ArchiveDefault::Roster) => ArchiveWish::Depends,
                    Some(ArchiveDefault::Never) => ArchiveWish::Nothing,
                })
            },
        )
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

    /// The last session of an account has gone. Nothing when there is no such account.
    /// `keeps_status`: what was said before stands.
    pub fn last_seen_put(
        &mut self,
        account: &BareJid,
        last: &LastSeen,
        keeps_status: bool,
    ) -> Result<(), StorageError> {
        let (domain, local) = key(account);
        self.write(
            "INSERT INTO account_last (account, unix_ms, status)
             SELECT id, ?3, ?4 FROM account WHERE domain = ?1 AND local = ?2
             ON CONFLICT (account) DO UPDATE SET unix_ms = excluded.unix_ms,
                    status = CASE WHEN ?5 THEN status ELSE excluded.status END",
            params![domain, local, last.unix_ms, last.status, keeps_status],
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

#[cfg(test)]
mod tests {
    use super::super::archive::tests::{FOREVER, sweep};
    use super::*;
    use crate::storage::tests::credentials;
    use crate::storage::{ArchiveFilter, ArchiveSlice, RosterItem, Subscription};

    fn jid(text: &str) -> Jid {
        Jid::parse(text).expect("an address")
    }

    fn account(storage: &mut Storage, name: &str) -> BareJid {
        let account = jid(name).to_bare();
        assert_eq!(storage.account_create(&account, &credentials(1)), Ok(true));
        account
    }

    fn message(n: usize, with: &str, own_resource: Option<&str>) -> ChatMessage {
        ChatMessage {
            uid: format!("m{n}"),
            unix_ms: n as i64,
            with: jid(with),
            own_resource: own_resource.map(str::to_owned),
            xml: vec![b'x'; 10],
        }
    }

    fn uids(storage: &mut Storage, account: &BareJid, filter: &ArchiveFilter) -> String {
        let slice =
            ArchiveSlice { from_end: false, skipped: 0, messages_max: 99, bytes_max: usize::MAX };
        let page = storage.archive_page(ArchiveOwner::Account(account), filter, slice);
        let uids: Vec<_> = page.expect("a page").messages.into_iter().map(|m| m.uid).collect();
        uids.join(" ")
    }

    #[test]
    fn with_whom() {
        let mut storage = Storage::memory();
        let juliet = account(&mut storage, "juliet@x");
        for (n, with, own) in [
            (1, "romeo@x/a", None),
            (2, "romeo@x", Some("b")),
            (3, "romeo@x/c", Some("b")),
            (4, "juliet@x/b", None),
            (5, "nurse@x/b", None),
        ] {
            storage.chat_add(&juliet, &message(n, with, own), FOREVER).expect("added");
        }
        let text = |text: &str| Some(text.to_owned());
        for (nick, resource, own_resource, want) in [
            (None, None, None, "m1 m2 m3 m4 m5"),
            (text("romeo@x"), None, None, "m1 m2 m3"),
            (text("romeo@x"), text("a"), None, "m1"),
            (text("juliet@x"), None, None, "m4"),
            (text("juliet@x"), text("b"), text("b"), "m2 m3 m4"),
            (text("juliet@x"), text("c"), text("c"), ""),
        ] {
            let filter = ArchiveFilter { nick, resource, own_resource, ..ArchiveFilter::default() };
            assert_eq!(uids(&mut storage, &juliet, &filter), want, "{filter:?}");
        }
        // Who has that address now, or not any more, changes nothing for those it spoke to.
        let romeo = account(&mut storage, "romeo@x");
        storage.account_remove(&romeo).expect("removed");
        sweep(&mut storage);
        let his = ArchiveFilter { nick: text("romeo@x"), ..ArchiveFilter::default() };
        assert_eq!(uids(&mut storage, &juliet, &his), "m1 m2 m3");
    }

    #[test]
    fn gone_with_the_account() {
        let mut storage = Storage::memory();
        let juliet = account(&mut storage, "juliet@x");
        let any = ArchiveFilter::default();
        let last = LastSeen { unix_ms: 5, status: None };
        let preferences =
            ArchivePreferences { default: ArchiveDefault::Never, always: vec![], never: vec![] };
        storage.chat_add(&juliet, &message(1, "romeo@x", None), FOREVER).expect("added");
        storage.archive_preferences_put(&juliet, &preferences).expect("put");
        storage.last_seen_put(&juliet, &last, false).expect("put");
        storage.account_remove(&juliet).expect("removed");
        assert_eq!(uids(&mut storage, &juliet, &any), "");
        account(&mut storage, "juliet@x");
        assert_eq!(uids(&mut storage, &juliet, &any), "");
        assert_eq!(storage.archive_preferences(&juliet), Ok(None));
        assert_eq!(storage.last_seen(&juliet), Ok(None));
        assert!(sweep(&mut storage) > 0);
        let count = "SELECT count(*) FROM archive_message";
        assert_eq!(storage.read_one(count, [], |row| row.get::<_, i64>(0)), Ok(Some(0)));
    }

    #[test]
    fn nobody_has_nothing() {
        let mut storage = Storage::memory();
        let nobody = jid("nobody@x").to_bare();
        let wanted = storage.chat_is_wanted(&nobody, &jid("romeo@x"), ArchiveDefault::Always);
        assert_eq!(wanted, Ok(false));
        assert_eq!(storage.archive_wish(&nobody), Ok(None));
        let added = storage.chat_add(&nobody, &message(1, "romeo@x", None), FOREVER);
        assert_eq!(added, Err(StorageError::Failed));
        let last = LastSeen { unix_ms: 5, status: None };
        assert_eq!(storage.last_seen_put(&nobody, &last, false), Ok(()));
        assert_eq!(storage.last_seen(&nobody), Ok(None));
    }

    /// XEP-0441 §2.1, §2.3.
    #[test]
    fn what_is_wanted() {
        use ArchiveDefault::{Always, Never, Roster};
        let mut storage = Storage::memory();
        let juliet = account(&mut storage, "juliet@x");
        let nurse = RosterItem {
            jid: jid("nurse@x").to_bare(),
            name: None,
            groups: vec![],
            subscription: Subscription::None,
            ask: false,
            approved: false,
        };
        storage.roster_put(&juliet, &nurse).expect("put");
        assert_eq!(storage.archive_wish(&juliet), Ok(Some(ArchiveWish::Unsaid)));
        type List = &'static [&'static str];
        type Row = (ArchiveDefault, List, List, &'static str, bool);
        let rows: &[Row] = &[
            (Always, &[], &[], "romeo@x/a", true),
            (Never, &[], &[], "romeo@x/a", false),
            (Roster, &[], &[], "romeo@x/a", false),
            (Roster, &[], &[], "nurse@x/a", true),
            (Roster, &[], &["nurse@x"], "nurse@x/a", false),
            (Never, &["romeo@x"], &[], "romeo@x/a", true),
            (Never, &["romeo@x/a"], &[], "romeo@x/a", true),
            (Never, &["romeo@x/a"], &[], "romeo@x/b", false),
            (Never, &["romeo@x/a"], &[], "romeo@x", false),
            (Always, &["romeo@x/a"], &["romeo@x"], "romeo@x/a", true),
            (Always, &["romeo@x/a"], &["romeo@x"], "romeo@x/b", false),
            (Always, &["romeo@x"], &["romeo@x/a"], "romeo@x/a", false),
        ];
        for (default, always, never, with, want) in rows {
            let list = |texts: &[&str]| texts.iter().map(|text| jid(text)).collect();
            let preferences =
                ArchivePreferences { default: *default, always: list(always), never: list(never) };
            storage.archive_preferences_put(&juliet, &preferences).expect("put");
            assert_eq!(storage.archive_preferences(&juliet), Ok(Some(preferences)));
            let wanted = storage.chat_is_wanted(&juliet, &jid(with), Never);
            assert_eq!(wanted, Ok(*want), "{default:?} {always:?} {never:?} {with}");
            let wish = match default {
                Always if never.is_empty() && always.is_empty() => ArchiveWish::All,
                Never if never.is_empty() && always.is_empty() => ArchiveWish::Nothing,
                _ => ArchiveWish::Depends,
            };
            assert_eq!(storage.archive_wish(&juliet), Ok(Some(wish)), "{default:?} {always:?}");
        }
    }

    #[test]
    fn what_was_said_last() {
        let mut storage = Storage::memory();
        let juliet = account(&mut storage, "juliet@x");
        let last =
            |unix_ms, status: Option<&str>| LastSeen { unix_ms, status: status.map(str::to_owned) };
        for (put, keeps_status, want) in [
            (last(1, Some("home")), false, last(1, Some("home"))),
            (last(2, None), true, last(2, Some("home"))),
            (last(3, None), false, last(3, None)),
        ] {
            storage.last_seen_put(&juliet, &put, keeps_status).expect("put");
            assert_eq!(storage.last_seen(&juliet), Ok(Some(want)));
        }
    }
}
