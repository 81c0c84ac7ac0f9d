//! RFC 6121 §2, over a database in memory.

use super::*;
use crate::ids::SessionId;
use crate::storage::{Fault, RosterItem, Subscription};

const ORCHARD: &str = "romeo@localhost/orchard";
const GARDEN: &str = "romeo@localhost/garden";

fn contact(jid: &str) -> Element {
    Element::new("item", ns::ROSTER).with_attr("jid", jid)
}

/// A world in which the account exists, so that its roster can be stored.
fn world(config: Config) -> World {
    use crate::credentials::{Credentials, ScramKeys};
    let keys =
        || ScramKeys { salt: vec![1], iterations: 1, stored_key: vec![2], server_key: vec![3] };
    let mut world = World::with(config);
    let credentials = Credentials { sha1: keys(), sha256: keys() };
    let account = jid(ORCHARD).to_bare();
    world.cx.storage.begin_handler();
    assert_eq!(world.cx.storage.account_create(&account, &credentials), Ok(true));
    assert_eq!(world.cx.storage.commit(), Ok(()));
    world
}

fn get(world: &mut World, session: SessionId) -> Element {
    let query = Element::new("query", ns::ROSTER);
    let roster = world.ask(session, ORCHARD, IqType::Get, query);
    roster.ok().flatten().expect("a roster")
}

fn set(world: &mut World, session: SessionId, item: Element) -> Result<(), Condition> {
    let query = Element::new("query", ns::ROSTER).with_child(item);
    let result = world.ask(session, ORCHARD, IqType::Set, query);
    result.map(|payload| assert_eq!(payload, None))
}

fn jids(roster: &Element) -> Vec<&str> {
    roster.elements().filter_map(|item| item.attr("jid")).collect()
}

#[test]
fn pushes_go_to_those_who_asked() {
    let mut world = world(Config::default());
    let (orchard, garden) = (world.bind(ORCHARD), world.bind(GARDEN));
    assert_eq!(jids(&get(&mut world, orchard)), [""; 0]);
    let item = contact("juliet@localhost")
        .with_attr("name", "Juliet")
        .with_attr("subscription", "both")
        .with_child(Element::new("group", ns::ROSTER).with_text("Friends"));
    assert_eq!(set(&mut world, garden, item), Ok(()));
    let push = world.read(orchard);
    let id = push.split('\'').nth(5).expect("an id").to_owned();
    assert_eq!(id.len(), 16);
    let want = format!(
        "<iq from='romeo@localhost' type='set' id='{id}' to='{ORCHARD}'>\
         <query xmlns='jabber:iq:roster' ver='1.1'><item jid='juliet@localhost' name='Juliet' \
         subscription='none'><group>Friends</group></item></query></iq>"
    );
    assert_eq!(push, want);
    assert_eq!(world.read(garden), "", "it has not asked for the roster");
    let roster = get(&mut world, garden);
    assert_eq!(jids(&roster), ["juliet@localhost"]);
    // Both have asked now, and both hear of the removal.
    let remove = || contact("juliet@localhost").with_attr("subscription", "remove");
    assert_eq!(set(&mut world, garden, remove()), Ok(()));
    for session in [orchard, garden] {
        let push = world.read(session);
        assert!(push.contains("<item jid='juliet@localhost' subscription='remove'/>"), "{push}");
    }
    assert_eq!(set(&mut world, garden, remove()), Err(Condition::ItemNotFound));
    assert_eq!(world.read(orchard), "");
    assert_eq!(jids(&get(&mut world, orchard)), [""; 0]);
}

#[test]
fn a_change_keeps_the_subscription() {
    let mut world = world(Config::default());
    let item = RosterItem {
        jid: jid("juliet@localhost").to_bare(),
        name: Some("J".to_owned()),
        groups: vec!["Friends".to_owned()],
        subscription: Subscription::Both,
        ask: false,
        approved: false,
    };
    world.cx.storage.begin_handler();
    world.cx.storage.roster_put(&jid(ORCHARD).to_bare(), &item).expect("put");
    let orchard = world.bind(ORCHARD);
    assert_eq!(set(&mut world, orchard, contact("juliet@localhost")), Ok(()));
    let roster = get(&mut world, orchard);
    let want = contact("juliet@localhost").with_attr("subscription", "both");
    assert_eq!(roster.elements().collect::<Vec<_>>(), [&want]);
}

#[test]
fn only_the_own_roster() {
    let mut world = world(Config::default());
    let orchard = world.bind(ORCHARD);
    let to = Some(jid("juliet@localhost"));
    let payload = Element::new("query", ns::ROSTER).with_child(contact("nurse@localhost"));
    let stanza = Stanza::new(StanzaKind::Iq(IqType::Set), jid(ORCHARD), to).with_child(payload);
    let payload = stanza.iq_payload().expect("it was just added");
    let request = Request {
        origin: Target::Local(orchard),
        account: stanza.from.to_bare(),
        stanza: &stanza,
        payload,
    };
    let error = crate::im::roster::handle_set(&mut world.im, &mut world.cx, &request);
    assert_eq!(error, Err(Condition::Forbidden.into()));
}

#[test]
fn contacts_are_limited() {
    let mut config = Config::default();
    config.limits.roster_items = 2;
    let mut world = world(config);
    let orchard = world.bind(ORCHARD);
    assert_eq!(set(&mut world, orchard, contact("a@localhost")), Ok(()));
    assert_eq!(set(&mut world, orchard, contact("b@localhost")), Ok(()));
    let third = set(&mut world, orchard, contact("c@localhost"));
    assert_eq!(third, Err(Condition::ResourceConstraint));
    // One that is there may be changed, and its place be given to another.
    assert_eq!(set(&mut world, orchard, contact("a@localhost").with_attr("name", "A")), Ok(()));
    let remove = contact("a@localhost").with_attr("subscription", "remove");
    assert_eq!(set(&mut world, orchard, remove), Ok(()));
    assert_eq!(set(&mut world, orchard, contact("c@localhost")), Ok(()));
    assert_eq!(jids(&get(&mut world, orchard)), ["b@localhost", "c@localhost"]);
}

/// A roster larger than an outbox could never be read again.
#[test]
fn a_roster_fits_an_outbox() {
    let mut config = Config::default();
    config.limits.outbox_bytes = 8 * 1024;
    let mut world = world(config);
    let orchard = world.bind(ORCHARD);
    let long = contact("a@localhost").with_attr("name", "n".repeat(900));
    assert_eq!(set(&mut world, orchard, long), Ok(()));
    let second = contact("b@localhost").with_attr("name", "n".repeat(100));
    assert_eq!(set(&mut world, orchard, second), Err(Condition::ResourceConstraint));
    // Shorter is always possible, even over a limit that was larger before.
    let mut config = Config::clone(&world.cx.config);
    config.limits.outbox_bytes = 80;
    world.cx.config = Rc::new(config);
    assert_eq!(set(&mut world, orchard, contact("a@localhost").with_attr("name", "A")), Ok(()));
    world.cx.config = Rc::new(Config::default());
    assert_eq!(set(&mut world, orchard, contact("b@localhost")), Ok(()));
    assert_eq!(jids(&get(&mut world, orchard)), ["a@localhost", "b@localhost"]);
}

/// What is kept of a roster is bounded by who is available, and nothing is kept of names.
#[test]
fn what_is_kept_goes_with_the_last_session() {
    let mut world = world(Config::default());
    let account = jid(ORCHARD).to_bare();
    let (orchard, garden) = (world.bind(ORCHARD), world.bind(GARDEN));
    get(&mut world, orchard);
    assert_eq!(world.im.accounts[&account].contacts, None, "nobody is available");
    world.broadcast(orchard, &available(ORCHARD)).expect("valid");
    assert!(world.im.accounts[&account].contacts.is_some());
    world.end(orchard);
    assert!(world.im.accounts[&account].contacts.is_some());
    world.end(garden);
    assert!(world.im.accounts.is_empty());
}

/// Storage refuses: the client is told, nobody gets a push, nothing is kept.
#[test]
fn what_is_not_stored_is_not_kept() {
    let mut world = world(Config::default());
    let orchard = world.bind(ORCHARD);
    get(&mut world, orchard);
    assert_eq!(set(&mut world, orchard, contact("a@localhost")), Ok(()));
    world.forget();
    world.cx.storage.inject(Fault::FailWrite(1));
    let failed = set(&mut world, orchard, contact("b@localhost"));
    assert_eq!(failed, Err(Condition::InternalServerError));
    world.cx.storage.inject(Fault::FailWrite(1));
    let remove = contact("a@localhost").with_attr("subscription", "remove");
    assert_eq!(set(&mut world, orchard, remove), Err(Condition::InternalServerError));
    assert_eq!(world.read(orchard), "");
    assert_eq!(jids(&get(&mut world, orchard)), ["a@localhost"]);
}

/// A lost commit takes what was kept with it.
#[test]
fn what_is_lost_is_read_again() {
    let mut world = world(Config::default());
    let orchard = world.bind(ORCHARD);
    assert_eq!(set(&mut world, orchard, contact("a@localhost")), Ok(()));
    assert_eq!(world.cx.storage.commit(), Ok(()));
    world.cx.storage.inject(Fault::LoseCommit(1));
    assert_eq!(set(&mut world, orchard, contact("b@localhost")), Ok(()));
    assert!(world.cx.storage.commit().is_err());
    world.im.handle_storage_lost(&mut world.cx);
    assert_eq!(jids(&get(&mut world, orchard)), ["a@localhost"]);
}
