//! Tables, and how an older database is brought forward. `user_version` counts the migrations
//! that were applied; each runs in a transaction of its own, so that a crash leaves either the
//! old schema or the new one. A published migration is never changed: a new one is added below it.
//! There is no way back: a database of a newer server is refused.
//!
//! Addresses are kept as they are after preparation; domain and local part apart, so that several
//! domains share the tables and a listing of one domain is an index scan.

use rusqlite::Connection;

use super::{
    accounts, activity, archive, blocks, chats, graves, hats, invitations, offline, pep, private,
    rooms, roster, tokens, vcards, versions,
};

/// Schema version n is what the first n of these make.
pub(super) const MIGRATIONS: &[&str] = &[
    FIRST,
    archive::SCHEMA,
    hats::SCHEMA,
    vcards::OF_ROOMS,
    versions::SCHEMA,
    activity::SCHEMA,
    graves::SCHEMA,
    rooms::LISTED,
    graves::BY_WHOM,
    roster::SUBSCRIPTIONS,
    accounts::STATES,
    offline::SCHEMA,
    blocks::SCHEMA,
    private::SCHEMA,
    vcards::OF_ACCOUNTS,
    chats::SCHEMA,
    pep::SCHEMA,
    tokens::SCHEMA,
    invitations::SCHEMA,
    offline::ARCHIVED,
];

const FIRST: &str = "
CREATE TABLE secret (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE probe (
    id INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    local TEXT NOT NULL,
    sha1_salt BLOB NOT NULL,
    sha1_iterations INTEGER NOT NULL,
    sha1_stored_key BLOB NOT NULL,
    sha1_server_key BLOB NOT NULL,
    sha256_salt BLOB NOT NULL,
    sha256_iterations INTEGER NOT NULL,
    sha256_stored_key BLOB NOT NULL,
    sha256_server_key BLOB NOT NULL,
    UNIQUE (domain, local)
) STRICT;

CREATE TABLE roster (
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    jid TEXT NOT NULL,
    name TEXT,
    subscription TEXT NOT NULL CHECK (subscription IN ('none', 'to', 'from', 'both')),
    PRIMARY KEY (account, jid)
) STRICT, WITHOUT ROWID;

CREATE TABLE roster_group (
    account INTEGER NOT NULL,
    jid TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (account, jid, name),
    FOREIGN KEY (account, jid) REFERENCES roster ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE room (
    id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    local TEXT NOT NULL,
    options TEXT NOT NULL,
    name TEXT NOT NULL,
    is_public INTEGER NOT NULL,
    secret BLOB NOT NULL,
    subject_xml TEXT,
    subject_nick TEXT,
    subject_occupant_id TEXT,
    subject_unix_ms INTEGER,
    UNIQUE (domain, local)
) STRICT;

CREATE INDEX room_public ON room (domain, local, name) WHERE is_public;

CREATE TABLE room_affiliation (
    id INTEGER PRIMARY KEY,
    room INTEGER NOT NULL REFERENCES room ON DELETE CASCADE,
    jid TEXT NOT NULL,
    affiliation TEXT NOT NULL
        CHECK (affiliation IN ('outcast', 'member', 'admin', 'owner')),
    nick TEXT,
    reason TEXT,
    UNIQUE (room, jid)
) STRICT;

CREATE INDEX room_affiliation_jid ON room_affiliation (jid);
";

/// Applies the migrations that `connection` has not seen.
pub(super) fn migrate(connection: &Connection, migrations: &[&str]) -> Result<(), String> {
    let text = |error: rusqlite::Error| error.to_string();
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u32>(0));
    let version = number("PRAGMA user_version").map_err(text)? as usize;
    if version > migrations.len() {
        return Err(format!(
            "made by a newer server (schema {version}, this one knows {}): \
             use that server, or a backup from before",
            migrations.len()
        ));
    }
    if version == 0 && number("SELECT count(*) FROM sqlite_schema").map_err(text)? > 0 {
        return Err("this is a database of some other program".to_owned());
    }
    for (applied, migration) in migrations.iter().enumerate().skip(version) {
        let next = applied + 1;
        let sql = format!("BEGIN IMMEDIATE; {migration}; PRAGMA user_version = {next}; COMMIT;");
        if let Err(error) = connection.execute_batch(&sql) {
            if !connection.is_autocommit() {
                connection.execute_batch("ROLLBACK").map_err(text)?;
            }
            return Err(format!("cannot bring the schema to version {next}: {error}"));
        }
        if version > 0 {
            log::info!("database brought to schema version {next}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Storage;
    use super::super::tests::TempFolder;
    use super::*;
    use crate::config::{RoomOptions, Synchronous};
    use crate::xmpp::BareJid;

    fn version(connection: &Connection) -> u32 {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("version")
    }

    #[test]
    fn migrations_run_once_each_in_order() {
        let connection = Connection::open_in_memory().expect("memory");
        let first = "CREATE TABLE one (a TEXT) STRICT; INSERT INTO one VALUES ('kept')";
        let second = "ALTER TABLE one ADD COLUMN b TEXT";
        migrate(&connection, &[first]).expect("first");
        assert_eq!(version(&connection), 1);
        migrate(&connection, &[first, second]).expect("second alone");
        migrate(&connection, &[first, second]).expect("nothing to do");
        assert_eq!(version(&connection), 2);
        let kept: String =
            connection.query_row("SELECT a FROM one", [], |row| row.get(0)).expect("row");
        assert_eq!(kept, "kept");
    }

    #[test]
    fn a_failing_migration_leaves_the_old_schema() {
        let connection = Connection::open_in_memory().expect("memory");
        let first = "CREATE TABLE one (a TEXT) STRICT";
        migrate(&connection, &[first]).expect("first");
        let bad = "CREATE TABLE two (a TEXT) STRICT; CREATE TABLE one (a TEXT) STRICT";
        let error = migrate(&connection, &[first, bad]).expect_err("the second cannot work");
        assert!(error.contains("version 2"), "{error}");
        assert_eq!(version(&connection), 1);
        assert!(connection.is_autocommit());
        migrate(&connection, &[first, "CREATE TABLE two (a TEXT) STRICT"]).expect("mended");
        assert_eq!(version(&connection), 2);
    }

    #[test]
    fn newer_and_foreign_databases_are_refused() {
        let connection = Connection::open_in_memory().expect("memory");
        connection.execute_batch("PRAGMA user_version = 99").expect("pragma");
        let error = migrate(&connection, MIGRATIONS).expect_err("newer");
        assert!(error.contains("newer server (schema 99"), "{error}");
        let connection = Connection::open_in_memory().expect("memory");
        connection.execute_batch("CREATE TABLE songs (title TEXT)").expect("table");
        let error = migrate(&connection, MIGRATIONS).expect_err("foreign");
        assert!(error.contains("other program"), "{error}");
    }

    #[test]
    fn what_version_1_kept_is_all_there() {
        let folder = TempFolder::new("version-1");
        let old = Connection::open(folder.path().join("tercet.db")).expect("a file");
        old.execute_batch(include_str!("schema/version_1.sql")).expect("version 1");
        drop(old);
        let jid = |text: &str| BareJid::parse(text).expect("an address");
        let (romeo, balcony) = (jid("romeo@localhost"), jid("balcony@conference.localhost"));
        let open = || Storage::open(folder.path(), Synchronous::Normal).expect("brought forward");
        for mut storage in std::iter::repeat_with(open).take(2) {
            assert!(storage.account(&romeo).expect("read").is_some());
            let roster = storage.roster(&romeo).expect("read");
            assert_eq!((roster.len(), &roster[0].groups[..]), (1, &["Capulets".to_owned()][..]));
            assert_eq!(storage.rooms().expect("read").len(), 2);
            let public = storage.rooms_after("conference.localhost", "", false, 9);
            assert_eq!(public, Ok(vec![("street".to_owned(), String::new())]));

            let room = storage.room(&balcony).expect("read").expect("there");
            let defaults = RoomOptions::default();
            let options = &room.options;
            assert_eq!((&*options.name, &*options.password), ("The balcony", "rope"));
            assert!(options.members_only && options.moderated && options.logged);
            assert_eq!((options.occupants_max, options.history_messages), (30, 7));
            // What there was not in version 1 is as in a new room.
            assert_eq!(
                (options.archive, options.registration),
                (defaults.archive, defaults.registration)
            );
            assert_eq!(room.secret, [0xaa, 0xbb]);
            let subject = room.subject.expect("it was set");
            assert_eq!((&*subject.xml, &*subject.nick), ("<subject>Names</subject>", "Romeo"));
            let list: Vec<_> = room.affiliations.iter().map(|entry| entry.jid.as_str()).collect();
            assert_eq!(list, ["romeo@localhost", "juliet@localhost", "mantua.example"]);
            assert_eq!(room.affiliations[1].nick.as_deref(), Some("Giulietta"));
            assert_eq!(room.affiliations[2].reason.as_deref(), Some("Plague"));

            // What came later finds its tables.
            assert_eq!(storage.room_hats(&balcony), Ok(Vec::new()));
            assert_eq!(storage.room_vcard(&balcony), Ok(None));
            assert_eq!(storage.room_activity(&balcony), Ok(None));
            assert_eq!(storage.room_versions(&balcony), Ok(Some(Vec::new())));
            assert_eq!(storage.grave(&balcony, 0), Ok(None));
            storage.close().expect("closed");
        }
    }
}
