//! Storage as the server uses it: turns, handlers, failures, reopening. Written against the file
//! where the file matters, against memory where it does not.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::config::RoomOptions;
use crate::credentials::{Credentials, ScramKeys};
use crate::cx::Entropy;
use crate::xmpp::{Affiliation, BareJid};

/// A folder of one test, removed at its end.
pub(crate) struct TempFolder(PathBuf);

impl TempFolder {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("tercet-{name}-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).expect("temporary folder");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn jid(text: &str) -> BareJid {
    BareJid::parse(text).expect("a valid address")
}

pub(crate) fn credentials(mark: u8) -> Credentials {
    let keys = |length| ScramKeys {
        salt: vec![mark; 16],
        iterations: 4096 + u32::from(mark),
        stored_key: vec![mark; length],
        server_key: vec![mark + 1; length],
    };
    Credentials { sha1: keys(20), sha256: keys(32) }
}

pub(super) fn item(contact: &str, groups: &[&str]) -> RosterItem {
    RosterItem {
        jid: jid(contact),
        name: Some(format!("name of {contact}")),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        subscription: Subscription::To,
        ask: false,
        approved: false,
    }
}

pub(super) fn room(address: &str) -> StoredRoom {
    let entry = |who: &str, affiliation| AffiliationEntry {
        jid: jid(who),
        affiliation,
        nick: None,
        reason: Some("because".to_owned()),
    };
    StoredRoom {
        jid: jid(address),
        options: RoomOptions { name: "Tea".to_owned(), persistent: true, ..Default::default() },
        secret: vec![3; 32],
        subject: Some(StoredSubject {
            xml: "<subject>x</subject>".to_owned(),
            nick: "cook".to_owned(),
            occupant_id: None,
            unix_ms: 1_795_352_493_120,
        }),
        affiliations: vec![
            entry("z@localhost", Affiliation::Owner),
            entry("a@localhost", Affiliation::Outcast),
            entry("evil.example", Affiliation::Outcast),
        ],
    }
}

fn open(folder: &TempFolder) -> Storage {
    Storage::open(folder.path(), Synchronous::Normal).expect("opens")
}

/// One turn with one handler that makes an account.
pub(super) fn create(storage: &mut Storage, name: &str) -> Result<bool, StorageError> {
    storage.begin_handler();
    let made = storage.account_create(&jid(name), &credentials(1));
    if made.is_err() {
        storage.roll_back_handler();
    }
    made
}

fn names(storage: &mut Storage) -> Vec<String> {
    let accounts = storage.accounts().expect("readable");
    accounts.iter().map(|account| account.as_str().to_owned()).collect()
}

#[test]
fn accounts_of_several_domains() {
    let mut storage = Storage::memory();
    assert_eq!(create(&mut storage, "b@one.example"), Ok(true));
    assert_eq!(create(&mut storage, "a@two.example"), Ok(true));
    assert_eq!(create(&mut storage, "a@one.example"), Ok(true));
    assert_eq!(create(&mut storage, "a@one.example"), Ok(false));
    assert_eq!(names(&mut storage), ["a@one.example", "b@one.example", "a@two.example"]);
    assert_eq!(storage.account_change(&jid("a@one.example"), &credentials(9)), Ok(true));
    assert_eq!(storage.account_change(&jid("c@one.example"), &credentials(9)), Ok(false));
    assert!(storage.account(&jid("a@one.example")) == Ok(Some(credentials(9))));
    assert!(storage.account(&jid("a@two.example")) == Ok(Some(credentials(1))));
    assert!(storage.account(&jid("one.example")) == Ok(None));
    assert_eq!(storage.account_remove(&jid("a@one.example")), Ok(true));
    assert_eq!(storage.account_remove(&jid("a@one.example")), Ok(false));
    assert!(storage.account(&jid("a@one.example")) == Ok(None));
    assert_eq!(names(&mut storage), ["b@one.example", "a@two.example"]);
}

#[test]
fn rosters_belong_to_their_account() {
    let mut storage = Storage::memory();
    let (a, b) = (jid("a@localhost"), jid("b@localhost"));
    create(&mut storage, "a@localhost").expect("made");
    create(&mut storage, "b@localhost").expect("made");
    storage.roster_put(&a, &item("y@localhost", &["family", "work"])).expect("put");
    storage.roster_put(&a, &item("x@localhost", &[])).expect("put");
    storage.roster_put(&b, &item("x@localhost", &["b's"])).expect("put");
    let want = vec![item("x@localhost", &[]), item("y@localhost", &["family", "work"])];
    assert_eq!(storage.roster(&a), Ok(want));
    let changed = RosterItem {
        name: None,
        subscription: Subscription::Both,
        ..item("y@localhost", &["chess"])
    };
    storage.roster_put(&a, &changed).expect("put");
    assert_eq!(storage.roster(&a), Ok(vec![item("x@localhost", &[]), changed]));
    let removed = storage.roster_remove(&a, &jid("y@localhost")).expect("removed");
    assert_eq!(removed.map(|version| version.to_string()).as_deref(), Some("1.4"));
    assert_eq!(storage.roster_remove(&a, &jid("y@localhost")), Ok(None));
    // A new account of an old name begins with an empty roster.
    storage.account_remove(&a).expect("removed");
    create(&mut storage, "a@localhost").expect("made again");
    assert_eq!(storage.roster(&a), Ok(vec![]));
    assert_eq!(storage.roster(&b).map(|roster| roster.len()), Ok(1));
    storage.begin_handler();
    let nobody = storage.roster_put(&jid("nobody@localhost"), &item("x@localhost", &[]));
    assert_eq!(nobody, Err(StorageError::Failed));
}

#[test]
fn rooms_in_pages() {
    let mut storage = Storage::memory();
    for name in ["a", "b", "c", "d", "e"] {
        let mut room = room(&format!("{name}@rooms"));
        (room.options.public, room.options.name) = (name != "c", String::new());
        storage.room_put(&room).expect("put");
    }
    storage.room_put(&room("b@other")).expect("put");
    let text = |rooms: Result<Vec<(String, String)>, StorageError>| {
        rooms.expect("read").into_iter().map(|(local, _)| local).collect::<String>()
    };
    for (after, with_hidden, max, want) in
        [("", false, 9, "abde"), ("a", false, 2, "bd"), ("bb", true, 2, "cd"), ("e", true, 2, "")]
    {
        assert_eq!(text(storage.rooms_after("rooms", after, with_hidden, max)), want);
    }
    for (before, with_hidden, max, want) in
        [("z", false, 9, "edba"), ("e", false, 2, "db"), ("d", true, 2, "cb"), ("a", true, 2, "")]
    {
        assert_eq!(text(storage.rooms_before("rooms", before, with_hidden, max)), want);
    }
    assert_eq!(storage.rooms_count_before("rooms", "d", false), Ok(2));
    assert_eq!(storage.rooms_count_before("rooms", "d", true), Ok(3));
    assert_eq!(storage.rooms().map(|rooms| rooms.len()), Ok(6));
}

#[test]
fn rooms_that_are_owned_alone() {
    let mut storage = Storage::memory();
    let entry = |jid: &str, affiliation| {
        let jid = BareJid::parse(jid).expect("an address");
        AffiliationEntry { jid, affiliation, nick: None, reason: None }
    };
    let (romeo, juliet) = ("romeo@localhost", "juliet@localhost");
    for (name, owners) in [("one", &[romeo][..]), ("two", &[romeo, juliet]), ("not", &[juliet])] {
        let affiliations =
            owners.iter().map(|owner| entry(owner, Affiliation::Owner)).collect::<Vec<_>>();
        let stored = StoredRoom { affiliations, ..room(&format!("{name}@rooms")) };
        storage.room_put(&stored).expect("put");
    }
    let alone = storage.rooms_owned_alone(&jid(romeo)).expect("read");
    assert_eq!(alone, [jid("one@rooms")]);
}

#[test]
fn rooms_whole_and_in_parts() {
    let mut storage = Storage::memory();
    let tea = room("tea@conference.localhost");
    storage.room_put(&tea).expect("put");
    storage.room_put(&room("tea-2@conference.localhost")).expect("put");
    storage.room_put(&room("tea@other.localhost")).expect("put");
    assert_eq!(storage.room(&tea.jid), Ok(Some(tea.clone())));
    assert_eq!(storage.rooms_count(), Ok(3));
    let listed = |storage: &mut Storage| {
        let rooms = storage.rooms_after("conference.localhost", "", false, 9).expect("list");
        rooms.into_iter().map(|(local, name)| format!("{local} {name}")).collect::<Vec<_>>()
    };
    let both = ["tea Tea", "tea-2 Tea"];
    assert_eq!(listed(&mut storage), both);
    let mut options = tea.options.clone();
    (options.name, options.public) = ("Coffee".to_owned(), true);
    storage.room_options(&tea.jid, &options).expect("options");
    assert_eq!(listed(&mut storage), ["tea Coffee", both[1]]);
    options.public = false;
    storage.room_options(&tea.jid, &options).expect("options");
    assert_eq!(listed(&mut storage), both[1..]);

    let mut want = tea.clone();
    want.options.moderated = true;
    storage.room_options(&tea.jid, &want.options).expect("options");
    let subject = StoredSubject {
        xml: "<subject/>".to_owned(),
        nick: String::new(),
        occupant_id: Some("id".to_owned()),
        unix_ms: -1,
    };
    storage.room_subject(&tea.jid, &subject).expect("subject");
    want.subject = Some(subject);
    // A change keeps the place in the list; a removal and a new entry do not.
    want.affiliations[0].affiliation = Affiliation::Admin;
    storage.room_affiliation(&tea.jid, &want.affiliations[0]).expect("change");
    let mut gone = want.affiliations.remove(1);
    gone.affiliation = Affiliation::None;
    storage.room_affiliation(&tea.jid, &gone).expect("remove");
    gone.affiliation = Affiliation::Member;
    gone.nick = Some("Ä".to_owned());
    storage.room_affiliation(&tea.jid, &gone).expect("add");
    want.affiliations.push(gone.clone());
    assert_eq!(storage.room(&tea.jid), Ok(Some(want)));

    storage.room_remove(&tea.jid).expect("remove");
    assert_eq!(storage.room(&tea.jid), Ok(None));
    assert_eq!(storage.room_affiliation(&tea.jid, &gone), Err(StorageError::Failed));
    assert_eq!(storage.room_options(&tea.jid, &tea.options), Err(StorageError::Failed));
    let bare = StoredRoom { affiliations: vec![], subject: None, ..tea };
    storage.room_put(&bare).expect("put again");
    assert_eq!(storage.room(&bare.jid), Ok(Some(bare)), "nothing is left of the old room");
}

#[test]
fn a_removed_account_leaves_nothing_to_rooms_but_its_bans() {
    let mut storage = Storage::memory();
    let mut tea = room("tea@conference.localhost");
    storage.room_put(&tea).expect("put");
    for name in ["z@localhost", "a@localhost"] {
        create(&mut storage, name).expect("made");
        assert_eq!(storage.account_remove(&jid(name)), Ok(true));
    }
    tea.affiliations.remove(0);
    assert_eq!(storage.room(&tea.jid), Ok(Some(tea)));
}

struct Counter(u8);

impl Entropy for Counter {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0 += 1;
        bytes.fill(self.0);
    }
}

#[test]
fn secrets_are_made_once() {
    let folder = TempFolder::new("secret");
    let mut entropy = Counter(0);
    let mut storage = open(&folder);
    assert_eq!(storage.secret("one", &mut entropy), Ok(vec![1; 32]));
    assert_eq!(storage.secret("two", &mut entropy), Ok(vec![2; 32]));
    assert_eq!(storage.secret("one", &mut entropy), Ok(vec![1; 32]));
    storage.close().expect("closes");
    let mut storage = open(&folder);
    assert_eq!(storage.secret("two", &mut entropy), Ok(vec![2; 32]));
}

#[test]
fn a_handler_is_undone_alone() {
    let mut storage = Storage::memory();
    create(&mut storage, "one@localhost").expect("made");
    assert!(storage.handler_wrote());
    storage.begin_handler();
    assert!(!storage.handler_wrote());
    storage.account_create(&jid("two@localhost"), &credentials(1)).expect("made");
    storage.account_remove(&jid("one@localhost")).expect("removed");
    storage.roll_back_handler();
    assert!(!storage.handler_wrote());
    create(&mut storage, "three@localhost").expect("made");
    storage.commit().expect("committed");
    assert_eq!(names(&mut storage), ["one@localhost", "three@localhost"]);
    storage.begin_handler();
    assert!(!storage.handler_wrote());
    storage.commit().expect("an empty turn");
}

#[test]
fn an_uncommitted_turn_is_gone_after_a_kill() {
    let (folder, killed) = (TempFolder::new("turn"), TempFolder::new("killed"));
    let mut storage = open(&folder);
    create(&mut storage, "told@localhost").expect("made");
    storage.commit().expect("committed");
    create(&mut storage, "untold@localhost").expect("made");
    storage.begin_handler();
    storage.room_put(&room("r@conference.localhost")).expect("put");
    assert_eq!(storage.rooms_count(), Ok(1), "the turn sees its own writes");
    // What the disk holds at this moment is what a kill leaves.
    for name in ["tercet.db", "tercet.db-wal"] {
        std::fs::copy(folder.path().join(name), killed.path().join(name)).expect("copy");
    }
    let mut after = open(&killed);
    assert_eq!(names(&mut after), ["told@localhost"]);
    assert_eq!(after.rooms_count(), Ok(0));
    create(&mut after, "next@localhost").expect("writable");
    after.commit().expect("committed");
}

#[test]
fn advisory_a28_the_database_is_private_and_one_file_when_closed() {
    let folder = TempFolder::new("mode");
    let path = folder.path().join("tercet.db");
    std::fs::write(&path, b"").expect("file");
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("mode");
    let mut storage = open(&folder);
    create(&mut storage, "a@localhost").expect("made");
    storage.commit().expect("committed");
    for name in ["tercet.db", "tercet.db-wal", "tercet.db-shm"] {
        let metadata = std::fs::metadata(folder.path().join(name)).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
    storage.close().expect("closes");
    let files: Vec<_> = std::fs::read_dir(folder.path()).expect("readable").collect();
    assert_eq!(files.len(), 1);
    assert_eq!(names(&mut open(&folder)), ["a@localhost"]);
}

#[test]
fn a_failed_write_costs_its_handler_only() {
    let mut storage = Storage::memory();
    create(&mut storage, "one@localhost").expect("made");
    storage.inject(Fault::FailWrite(2));
    storage.begin_handler();
    let put = storage.room_put(&room("r@conference.localhost"));
    assert_eq!(put, Err(StorageError::Failed));
    storage.roll_back_handler();
    assert!(!storage.is_read_only());
    create(&mut storage, "two@localhost").expect("made");
    storage.commit().expect("committed");
    assert_eq!(names(&mut storage), ["one@localhost", "two@localhost"]);
    assert_eq!(storage.rooms_count(), Ok(0));
}

#[test]
fn a_lost_transaction_takes_the_turn_and_writes_wait_for_a_probe() {
    let mut storage = Storage::memory();
    create(&mut storage, "kept@localhost").expect("made");
    storage.commit().expect("committed");
    storage.inject(Fault::LoseWrite(2));
    storage.inject(Fault::FailProbes(1));
    create(&mut storage, "one@localhost").expect("made");
    assert_eq!(create(&mut storage, "two@localhost"), Err(StorageError::Unavailable));
    assert!(storage.is_read_only());
    assert_eq!(create(&mut storage, "three@localhost"), Err(StorageError::Unavailable));
    assert_eq!(names(&mut storage), ["kept@localhost"], "reads go on");
    assert!(!storage.probe(), "not within the turn that has not heard of its loss");
    assert_eq!(storage.commit(), Err(StorageError::Unavailable));
    assert_eq!(storage.commit(), Ok(()), "the next turn wrote nothing");
    assert!(!storage.probe(), "as injected");
    assert!(storage.probe());
    assert!(!storage.is_read_only());
    create(&mut storage, "four@localhost").expect("made");
    storage.commit().expect("committed");
    assert_eq!(names(&mut storage), ["four@localhost", "kept@localhost"]);
}

#[test]
fn a_lost_commit_takes_the_turn() {
    let mut storage = Storage::memory();
    storage.inject(Fault::LoseCommit(2));
    create(&mut storage, "one@localhost").expect("made");
    storage.commit().expect("the first");
    storage.commit().expect("no transaction, not counted");
    create(&mut storage, "two@localhost").expect("made");
    assert_eq!(storage.commit(), Err(StorageError::Unavailable));
    assert!(storage.is_read_only());
    assert_eq!(create(&mut storage, "three@localhost"), Err(StorageError::Unavailable));
    assert!(storage.probe());
    assert_eq!(names(&mut storage), ["one@localhost"]);
}

#[test]
fn a_full_disk_loses_nothing_that_was_told() {
    let folder = TempFolder::new("full");
    let mut storage = open(&folder);
    create(&mut storage, "told@localhost").expect("made");
    storage.commit().expect("committed");
    storage.limit_pages(30);
    let mut told = 0;
    let lost = loop {
        storage.begin_handler();
        let mut big = room(&format!("r{told}@conference.localhost"));
        big.options.description = "x".repeat(3000);
        let put = storage.room_put(&big);
        if put.is_err() {
            storage.roll_back_handler();
        }
        let committed = storage.commit();
        if put.is_err() || committed.is_err() {
            break (put, committed);
        }
        told += 1;
        assert!(told < 1000, "never full");
    };
    assert!(told > 0);
    assert!(lost.0.is_err(), "{lost:?}");
    assert_eq!(storage.rooms_count(), Ok(told), "reads go on, nothing half-written");
    assert_eq!(storage.is_read_only(), lost.0 == Err(StorageError::Unavailable));
    if storage.is_read_only() {
        assert!(!storage.probe(), "still full");
    }
    storage.limit_pages(1000);
    assert!(storage.probe());
    create(&mut storage, "after@localhost").expect("made");
    storage.commit().expect("committed");
    storage.close().expect("closes");
    let mut storage = open(&folder);
    assert_eq!(names(&mut storage), ["after@localhost", "told@localhost"]);
    assert_eq!(storage.rooms_count(), Ok(told));
}

#[test]
fn a_newer_database_is_refused_with_its_path() {
    let folder = TempFolder::new("newer");
    let storage = open(&folder);
    storage.connection.execute_batch("PRAGMA user_version = 99").expect("pragma");
    storage.close().expect("closes");
    let error = Storage::open(folder.path(), Synchronous::Full).err().expect("refused");
    assert!(error.contains("tercet.db: made by a newer server (schema 99"), "{error}");
}
