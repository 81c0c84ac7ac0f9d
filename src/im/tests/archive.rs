//! What an account wants archived is known while it has sessions, and is what storage has.

use super::*;
use crate::config::ArchiveDefault::{self, Always, Never};
use crate::storage::tests::credentials;
use crate::storage::{ArchiveFilter, ArchiveOwner, ArchivePreferences, ArchiveSlice, Fault};
use crate::xmpp::BareJid;

const BALCONY: &str = "juliet@localhost/balcony";

fn juliet() -> BareJid {
    jid(BALCONY).to_bare()
}

fn preferences(default: ArchiveDefault) -> ArchivePreferences {
    ArchivePreferences { default, always: vec![], never: vec![] }
}

fn world() -> World {
    let mut world = World::new();
    assert_eq!(world.cx.storage.account_create(&juliet(), &credentials(1)), Ok(true));
    assert_eq!(world.cx.storage.commit(), Ok(()));
    world
}

/// Sets what is wanted, as a client does.
fn set(world: &mut World, session: SessionId, default: &'static str) -> Result<(), Condition> {
    let prefs = Element::new("prefs", ns::MAM).with_attr("default", default);
    world.ask(session, BALCONY, IqType::Set, prefs).map(drop)
}

/// Changes it where nobody looks who has read it.
fn set_behind(world: &mut World, default: ArchiveDefault) {
    world.cx.storage.begin_handler();
    let put = world.cx.storage.archive_preferences_put(&juliet(), &preferences(default));
    assert_eq!(put, Ok(()));
}

/// True when a message to the account goes into its archive.
#[track_caller]
fn is_kept(world: &mut World) -> bool {
    let before = count(world);
    let message = Stanza::new(
        StanzaKind::Message(MessageType::Chat),
        jid("romeo@verona.lit/orchard"),
        Some(juliet().into()),
    );
    let body = Element::new("body", ns::CLIENT).with_text("Hark");
    assert_eq!(world.deliver(&message.with_child(body)), Ok(()));
    count(world) > before
}

fn count(world: &mut World) -> usize {
    let slice =
        ArchiveSlice { from_end: false, skipped: 0, messages_max: 99, bytes_max: usize::MAX };
    let owner = juliet();
    let page = world.cx.storage.archive_page(
        ArchiveOwner::Account(&owner),
        &ArchiveFilter::default(),
        slice,
    );
    page.expect("a page").messages.len()
}

#[test]
fn read_once_while_there_are_sessions() {
    let mut world = world();
    let (balcony, chamber) =
        (world.available(BALCONY, 0), world.available("juliet@localhost/chamber", 0));
    assert!(is_kept(&mut world));
    set_behind(&mut world, Never);
    assert!(is_kept(&mut world), "that nothing is said is known too");
    world.end(balcony);
    assert!(is_kept(&mut world));
    world.end(chamber);
    assert!(!is_kept(&mut world), "it went with the last session");
    set_behind(&mut world, Always);
    assert!(is_kept(&mut world), "of those who are away storage is asked");
    world.available(BALCONY, 0);
    set_behind(&mut world, Never);
    assert!(!is_kept(&mut world));
}

#[test]
fn a_change_counts_at_once_when_it_succeeds() {
    let mut world = world();
    let balcony = world.available(BALCONY, 0);
    world.available("juliet@localhost/chamber", 0);
    for (default, want) in [("never", false), ("always", true), ("never", false)] {
        assert_eq!(set(&mut world, balcony, default), Ok(()));
        assert_eq!(is_kept(&mut world), want, "{default}");
    }
    assert_eq!(world.cx.storage.commit(), Ok(()));
    world.cx.storage.inject(Fault::FailWrite(2));
    assert_eq!(set(&mut world, balcony, "always"), Err(Condition::InternalServerError));
    assert!(!is_kept(&mut world));
    assert_eq!(set(&mut world, balcony, "neither"), Err(Condition::BadRequest));
    assert!(!is_kept(&mut world));
}

#[test]
fn a_change_that_is_lost_does_not_count() {
    let mut world = world();
    let balcony = world.available(BALCONY, 0);
    assert_eq!(set(&mut world, balcony, "never"), Ok(()));
    assert_eq!(world.cx.storage.commit(), Ok(()));
    world.cx.storage.inject(Fault::LoseCommit(1));
    assert_eq!(set(&mut world, balcony, "always"), Ok(()));
    assert!(is_kept(&mut world), "in the same turn");
    assert!(world.cx.storage.commit().is_err());
    world.im.handle_storage_lost(&mut world.cx);
    assert!(world.cx.storage.probe());
    assert!(!is_kept(&mut world));
}
