//! Archives at rest: pages, filters, bounds, tombstones.

use super::super::tests::room;
use super::ArchiveOwner::Room;
use super::*;
use crate::xmpp::{Affiliation, BareJid};

const ROOM: &str = "tea@conference.localhost";
pub(in crate::storage) const FOREVER: Retention =
    Retention { messages_max: 0, bytes_max: 0, oldest_ms: i64::MIN };

fn tea() -> BareJid {
    BareJid::parse(ROOM).expect("an address")
}

/// A storage with the room in it.
fn storage() -> Storage {
    let mut storage = Storage::memory();
    storage.begin_handler();
    storage.room_put(&room(ROOM)).expect("stored");
    storage
}

/// Message `n`: of every third user, a second after the one before it, `10 * n` bytes long.
fn message(n: usize) -> ArchivedMessage {
    let who = ["romeo", "juliet", "nurse"][n % 3];
    ArchivedMessage {
        uid: format!("m{n}"),
        unix_ms: n as i64 * 1000,
        nick: who.to_uppercase(),
        author: Some(ArchivedAuthor {
            jid: Jid::parse(&format!("{who}@localhost/{n}")).expect("an address"),
            affiliation: Affiliation::Member,
            role: Role::Participant,
            occupant_id: format!("o-{who}"),
        }),
        is_replayed: n.is_multiple_of(2),
        xml: vec![b'x'; 10 * n],
    }
}

fn filled(count: usize, keep: Retention) -> Storage {
    let mut storage = storage();
    for n in 1..=count {
        storage.archive_add(Room(&tea()), &message(n), keep).expect("added");
    }
    storage
}

fn slice(from_end: bool, messages_max: usize) -> ArchiveSlice {
    ArchiveSlice { from_end, skipped: 0, messages_max, bytes_max: usize::MAX }
}

/// The numbers of a page's messages, with a `+` when there are more.
fn page(storage: &mut Storage, filter: &ArchiveFilter, slice: ArchiveSlice) -> String {
    let page = storage.archive_page(Room(&tea()), filter, slice).expect("a page");
    let mut numbers: Vec<_> = page.messages.iter().map(|m| m.uid[1..].to_owned()).collect();
    if page.has_more {
        numbers.push("+".to_owned());
    }
    numbers.join(" ")
}

fn all(storage: &mut Storage) -> String {
    page(storage, &ArchiveFilter::default(), slice(false, 1_000_000))
}

/// The totals are what the rows say.
#[track_caller]
fn check_total(storage: &mut Storage) {
    let rows = storage
        .archive_page(Room(&tea()), &ArchiveFilter::default(), slice(false, usize::MAX))
        .expect("a page");
    let bytes = rows.messages.iter().map(|message| message.xml.len() as i64).sum();
    let oldest_ms = rows.messages.first().map(|message| message.unix_ms);
    let want = ArchiveTotal { messages: rows.messages.len() as i64, bytes, oldest_ms };
    assert_eq!(storage.archive_total(Room(&tea())), Ok(want));
}

#[test]
fn what_is_added_is_read() {
    let mut storage = filled(2, FOREVER);
    let mut of_room = message(3);
    (of_room.nick, of_room.author) = (String::new(), None);
    storage.archive_add(Room(&tea()), &of_room, FOREVER).expect("added");
    let page = storage.archive_page(Room(&tea()), &ArchiveFilter::default(), slice(false, 9));
    let messages = vec![message(1), message(2), of_room];
    assert_eq!(page, Ok(ArchivePage { messages, has_more: false }));
    assert_eq!(storage.archive_message(Room(&tea()), "m2", i64::MIN), Ok(Some(message(2))));
    assert_eq!(storage.archive_message(Room(&tea()), "m2", 2001), Ok(None));
    assert_eq!(storage.archive_message(Room(&tea()), "m9", i64::MIN), Ok(None));
    check_total(&mut storage);
}

#[test]
fn pages() {
    let mut storage = filled(6, FOREVER);
    let whole = ArchiveFilter::default();
    for (slice, want) in [
        (slice(false, 9), "1 2 3 4 5 6"),
        (slice(false, 6), "1 2 3 4 5 6"),
        (slice(false, 4), "1 2 3 4 +"),
        (slice(true, 4), "3 4 5 6 +"),
        (slice(true, 6), "1 2 3 4 5 6"),
        (slice(false, 0), "+"),
        (ArchiveSlice { skipped: 4, ..slice(false, 9) }, "5 6"),
        (ArchiveSlice { skipped: 4, ..slice(false, 1) }, "5 +"),
        (ArchiveSlice { skipped: 6, ..slice(false, 9) }, ""),
        (ArchiveSlice { skipped: usize::MAX, ..slice(false, usize::MAX) }, ""),
        // 10, 20, 30 … bytes.
        (ArchiveSlice { bytes_max: 60, ..slice(false, 9) }, "1 2 3 +"),
        (ArchiveSlice { bytes_max: 59, ..slice(false, 9) }, "1 2 +"),
        (ArchiveSlice { bytes_max: 110, ..slice(true, 9) }, "5 6 +"),
        (ArchiveSlice { bytes_max: 1, ..slice(true, 9) }, "6 +"),
    ] {
        assert_eq!(page(&mut storage, &whole, slice), want, "{slice:?}");
    }
}

#[test]
fn filters() {
    let mut storage = filled(6, FOREVER);
    let place = |storage: &mut Storage, uid: &str| {
        storage.archive_place(Room(&tea()), uid, i64::MIN).expect("read").expect("a place")
    };
    let (second, fifth) = (place(&mut storage, "m2"), place(&mut storage, "m5"));
    let any = ArchiveFilter::default;
    let text = |text: &str| Some(text.to_owned());
    for (filter, want) in [
        (ArchiveFilter { after: second, ..any() }, "3 4 5 6"),
        (ArchiveFilter { before: fifth, ..any() }, "1 2 3 4"),
        (ArchiveFilter { after: second, before: fifth, ..any() }, "3 4"),
        (ArchiveFilter { after: fifth, before: second, ..any() }, ""),
        (ArchiveFilter { start_ms: 2000, end_ms: 4000, ..any() }, "2 3 4"),
        (ArchiveFilter { start_ms: 2001, end_ms: 3999, ..any() }, "3"),
        (ArchiveFilter { nick: text("ROMEO"), ..any() }, "3 6"),
        (ArchiveFilter { nick: text("romeo"), ..any() }, ""),
        (ArchiveFilter { account: text("juliet@localhost"), ..any() }, "1 4"),
        (ArchiveFilter { account: text("juliet@localhost"), resource: text("4"), ..any() }, "4"),
        (ArchiveFilter { account: text("' OR 1 --"), ..any() }, ""),
        (ArchiveFilter { places: Some(vec![fifth, second]), ..any() }, "2 5"),
        (ArchiveFilter { places: Some(vec![fifth, second]), before: fifth, ..any() }, "2"),
        (ArchiveFilter { places: Some(vec![]), ..any() }, ""),
        (ArchiveFilter { replayed_only: true, ..any() }, "2 4 6"),
    ] {
        assert_eq!(page(&mut storage, &filter, slice(false, 9)), want, "{filter:?}");
        let count = want.split_whitespace().count();
        assert_eq!(storage.archive_count(Room(&tea()), &filter), Ok(count), "{filter:?}");
    }
}

#[test]
fn rooms_do_not_see_each_other() {
    let mut storage = filled(2, FOREVER);
    let other = room("coffee@conference.localhost");
    storage.room_put(&other).expect("stored");
    storage.archive_add(Room(&other.jid), &message(3), FOREVER).expect("added");
    // An id is unique within its archive, not among all of them.
    storage.archive_add(Room(&other.jid), &message(1), FOREVER).expect("added");
    assert_eq!(all(&mut storage), "1 2");
    assert_eq!(storage.archive_place(Room(&tea()), "m3", i64::MIN), Ok(None));
    storage.archive_clear(Room(&tea())).expect("cleared");
    assert_eq!(all(&mut storage), "");
    check_total(&mut storage);
    let left = storage.archive_count(Room(&other.jid), &ArchiveFilter::default());
    assert_eq!(left, Ok(2));
}

#[test]
fn a_room_that_is_not_stored_has_no_archive() {
    let mut storage = Storage::memory();
    storage.begin_handler();
    assert_eq!(storage.archive_add(Room(&tea()), &message(1), FOREVER), Err(StorageError::Failed));
    assert_eq!(all(&mut storage), "");
    check_total(&mut storage);
    storage.archive_trim(Room(&tea()), Retention { messages_max: 1, ..FOREVER }).expect("nothing");
}

#[test]
fn an_id_is_never_given_twice() {
    let mut storage = filled(1, FOREVER);
    storage.begin_handler();
    let again = storage.archive_add(Room(&tea()), &message(1), FOREVER);
    assert_eq!(again, Err(StorageError::Failed));
    storage.roll_back_handler();
    check_total(&mut storage);
}

#[test]
fn bounded_in_messages_bytes_and_time() {
    let check = |keep: Retention, want: &str| {
        let mut storage = filled(6, keep);
        assert_eq!(all(&mut storage), want, "{keep:?}");
        check_total(&mut storage);
    };
    check(FOREVER, "1 2 3 4 5 6");
    check(Retention { messages_max: 2, ..FOREVER }, "5 6");
    // 10, 20, 30 … bytes.
    check(Retention { bytes_max: 110, ..FOREVER }, "5 6");
    check(Retention { bytes_max: 109, ..FOREVER }, "6");
    check(Retention { bytes_max: 1, ..FOREVER }, "");
    check(Retention { oldest_ms: 4000, ..FOREVER }, "4 5 6");
    check(Retention { messages_max: usize::MAX, bytes_max: u64::MAX, ..FOREVER }, "1 2 3 4 5 6");
}

#[test]
fn places_are_not_given_again_after_a_trim() {
    let mut storage = filled(3, FOREVER);
    let last = storage.archive_place(Room(&tea()), "m3", i64::MIN).expect("read").expect("a place");
    storage.archive_clear(Room(&tea())).expect("cleared");
    storage.archive_add(Room(&tea()), &message(4), FOREVER).expect("added");
    let next = storage.archive_place(Room(&tea()), "m4", i64::MIN).expect("read").expect("a place");
    assert!(next > last, "{next} {last}");
}

#[test]
fn a_trim_takes_a_bounded_number_of_the_oldest() {
    let mut storage = filled(waste::REMOVED_ROWS_MAX + 10, FOREVER);
    let keep = Retention { messages_max: 5, ..FOREVER };
    storage.archive_trim(Room(&tea()), keep).expect("trimmed");
    let first = waste::REMOVED_ROWS_MAX + 1;
    let want: Vec<_> = (first..first + 10).map(|n| n.to_string()).collect();
    assert_eq!(all(&mut storage), want.join(" "));
    check_total(&mut storage);
    storage.archive_trim(Room(&tea()), keep).expect("trimmed");
    assert_eq!(storage.archive_total(Room(&tea())).map(|total| total.messages), Ok(5));
    check_total(&mut storage);
}

#[test]
fn a_clock_that_goes_back_makes_no_holes() {
    let mut storage = storage();
    for (n, unix_ms) in [(1, 5000), (2, 1000), (3, 6000)] {
        let message = ArchivedMessage { unix_ms, ..message(n) };
        storage.archive_add(Room(&tea()), &message, FOREVER).expect("added");
    }
    // The second is too old, but not the oldest in the archive.
    storage.archive_trim(Room(&tea()), Retention { oldest_ms: 4000, ..FOREVER }).expect("trimmed");
    assert_eq!(all(&mut storage), "1 2 3");
    storage.archive_trim(Room(&tea()), Retention { oldest_ms: 5500, ..FOREVER }).expect("trimmed");
    assert_eq!(all(&mut storage), "3");
    check_total(&mut storage);
}

#[test]
fn a_tombstone_keeps_its_place() {
    let mut storage = filled(3, FOREVER);
    storage.archive_replace(Room(&tea()), &message(2), b"gone").expect("replaced");
    let gone = ArchivedMessage { xml: b"gone".to_vec(), ..message(2) };
    let page = storage.archive_page(Room(&tea()), &ArchiveFilter::default(), slice(false, 9));
    assert_eq!(page.map(|page| page.messages), Ok(vec![message(1), gone, message(3)]));
    check_total(&mut storage);
    let absent = storage.archive_replace(Room(&tea()), &message(9), b"gone");
    assert_eq!(absent, Err(StorageError::Failed));
}

/// Rows in a table.
fn rows(storage: &mut Storage, sql: &'static str) -> i64 {
    storage.read_one(sql, [], |row| row.get(0)).expect("read").expect("a number")
}

/// Sweeps until nothing is left; returns how many slices that took.
pub(in crate::storage) fn sweep(storage: &mut Storage) -> usize {
    let mut slices = 0;
    while storage.has_waste() {
        storage.sweep().expect("swept");
        slices += 1;
        assert!(slices < 1_000, "it does not end");
    }
    slices
}

#[test]
fn gone_with_the_room() {
    let mut storage = filled(3, FOREVER);
    assert!(!storage.has_waste());
    storage.room_remove(&tea()).expect("removed");
    storage.room_put(&room(ROOM)).expect("stored");
    assert_eq!(all(&mut storage), "");
    check_total(&mut storage);
    storage
        .archive_add(Room(&tea()), &message(1), FOREVER)
        .expect("the same id in another archive");
    assert!(sweep(&mut storage) > 0);
    assert_eq!(all(&mut storage), "1");
    check_total(&mut storage);
    assert_eq!(rows(&mut storage, "SELECT count(*) FROM archive_message"), 1);
    assert_eq!(rows(&mut storage, "SELECT count(*) FROM archive"), 1);
}

#[test]
fn what_is_given_up_goes_in_slices() {
    let mut storage = filled(waste::REMOVED_ROWS_MAX + 10, FOREVER);
    let mut large = message(1);
    for n in 0..3 {
        large.uid = format!("large{n}");
        large.xml = vec![b'x'; waste::SLICE_BYTES_MAX as usize];
        storage.archive_add(Room(&tea()), &large, FOREVER).expect("added");
    }
    storage.archive_clear(Room(&tea())).expect("cleared");
    assert_eq!(all(&mut storage), "");
    let mut left = Vec::new();
    while storage.has_waste() {
        storage.sweep().expect("swept");
        left.push(rows(&mut storage, "SELECT count(*) FROM archive_message"));
    }
    // The bytes of so many small ones are over the bound before their number is.
    assert!(left[0] > 13 && left[0] < 513, "{left:?}");
    assert_eq!(left[left.len() - 4..], [2, 1, 0, 0], "{left:?}");
    assert_eq!(rows(&mut storage, "SELECT count(*) FROM archive"), 0);
}

#[test]
fn the_next_of_an_address_has_said_nothing() {
    let mut storage = filled(waste::REMOVED_ROWS_MAX * 3, FOREVER);
    let romeo = BareJid::parse("romeo@localhost").expect("an address");
    let its = ArchiveFilter { account: Some(romeo.to_string()), ..ArchiveFilter::default() };
    let said = |storage: &mut Storage| {
        let page = storage.archive_page(Room(&tea()), &its, slice(false, 9)).expect("a page");
        let authors = page.messages.iter().filter(|message| message.author.is_some());
        (page.messages.len(), authors.count(), storage.archive_count(Room(&tea()), &its))
    };
    assert_eq!(said(&mut storage), (9, 9, Ok(waste::REMOVED_ROWS_MAX)));
    storage.archives_forget(&romeo).expect("forgotten");
    let next = ArchivedMessage { uid: "next".to_owned(), ..message(3) };
    storage.archive_add(Room(&tea()), &next, FOREVER).expect("added");
    let author = |storage: &mut Storage, uid| {
        let found = storage.archive_message(Room(&tea()), uid, i64::MIN).expect("read");
        found.expect("it is there").author
    };
    for swept in [false, true] {
        assert_eq!(said(&mut storage), (1, 1, Ok(1)), "{swept}");
        assert_eq!(author(&mut storage, "m3"), None);
        assert_eq!(author(&mut storage, "m4"), message(4).author);
        assert_eq!(author(&mut storage, "next"), message(3).author);
        assert_eq!(sweep(&mut storage) > 3, !swept);
    }
    let left = rows(
        &mut storage,
        "SELECT count(*) FROM archive_message WHERE account = 'romeo@localhost'",
    );
    assert_eq!((left, rows(&mut storage, "SELECT count(*) FROM archive_former")), (1, 0));
    check_total(&mut storage);
}

#[test]
fn an_account_goes_twice_while_it_is_swept() {
    let mut storage = filled(waste::REMOVED_ROWS_MAX * 2, FOREVER);
    let romeo = BareJid::parse("romeo@localhost").expect("an address");
    storage.archives_forget(&romeo).expect("forgotten");
    storage.sweep().expect("a slice");
    let next = ArchivedMessage { uid: "next".to_owned(), ..message(3) };
    storage.archive_add(Room(&tea()), &next, FOREVER).expect("added");
    storage.archives_forget(&romeo).expect("forgotten");
    sweep(&mut storage);
    let sql = "SELECT count(*) FROM archive_message WHERE account = 'romeo@localhost'";
    assert_eq!(rows(&mut storage, sql), 0);
}
