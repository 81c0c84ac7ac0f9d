//! RFC 6121 §3 and §4 where no dialogue of clients of this server shows it: contacts elsewhere,
//! storage that fails, accounts that are removed while nobody is connected.

use super::*;
use crate::credentials::{Credentials, ScramKeys};
use crate::storage::{Fault, RosterItem, Subscription};
use crate::xmpp::BareJid;

const ORCHARD: &str = "romeo@localhost/orchard";
const GARDEN: &str = "romeo@localhost/garden";
const BALCONY: &str = "juliet@localhost/balcony";
const NURSE: &str = "nurse@elsewhere.example";

pub(super) fn bare(text: &str) -> BareJid {
    jid(text).to_bare()
}

fn world() -> World {
    let mut world = World::new();
    for account in ["romeo@localhost", "juliet@localhost"] {
        add(&mut world, account);
    }
    world
}

pub(super) fn add(world: &mut World, account: &str) {
    let keys =
        || ScramKeys { salt: vec![1], iterations: 1, stored_key: vec![2], server_key: vec![3] };
    let credentials = Credentials { sha1: keys(), sha256: keys() };
    world.cx.storage.begin_handler();
    assert_eq!(world.cx.storage.account_create(&bare(account), &credentials), Ok(true));
    assert_eq!(world.cx.storage.commit(), Ok(()));
}

/// Puts a contact into a roster that nobody has looked at.
pub(super) fn befriend(
    world: &mut World,
    account: &str,
    contact: &str,
    subscription: Subscription,
) {
    let item = RosterItem { subscription, ..crate::im::roster::new_item(bare(contact)) };
    world.cx.storage.begin_handler();
    world.cx.storage.roster_put(&bare(account), &item).expect("put");
}

fn subscription(world: &mut World, account: &str, contact: &str) -> Subscription {
    world.cx.storage.subscription(&bare(account), &bare(contact)).expect("read")
}

/// A session sends one of the four words, as the router does it; what goes elsewhere.
fn say(
    world: &mut World,
    session: SessionId,
    to: &str,
    kind: PresenceType,
) -> Result<Vec<String>, Condition> {
    let from = world.im.sessions.get(session).expect("bound").account.as_str().to_owned();
    let mut stanza = presence_to(&from, to, kind);
    world.cx.storage.begin_handler();
    let sent = world.im.handle_sent(&mut world.cx, session, &mut stanza);
    if sent.is_err() {
        world.cx.storage.roll_back_handler();
    }
    assert_ne!(sent, Ok(true), "it goes its own way");
    sent.map_err(|error| error.condition)?;
    Ok(settle(world))
}

/// Delivers what was caused to the accounts here; what goes elsewhere, in its order.
pub(super) fn settle(world: &mut World) -> Vec<String> {
    let mut elsewhere = Vec::new();
    while let Some(stanza) = world.cx.poll_routed() {
        let to = stanza.to.clone().expect("who is meant");
        if world.cx.config.is_account_domain(to.domain()) {
            world.cx.storage.begin_handler();
            assert_eq!(world.deliver(&stanza), Ok(()));
        } else {
            let mut xml = Vec::new();
            stanza.write(&mut xml);
            elsewhere.push(String::from_utf8(xml).expect("UTF-8"));
        }
    }
    elsewhere
}

/// A contact elsewhere gets by the router what one here reads at once.
#[test]
fn contacts_elsewhere() {
    let mut world = world();
    let orchard = world.bind(ORCHARD);
    befriend(&mut world, "romeo@localhost", NURSE, Subscription::Both);
    world.broadcast(orchard, &available(ORCHARD)).expect("valid");
    let sent = settle(&mut world);
    assert_eq!(sent[0], format!("<presence from='{ORCHARD}' to='{NURSE}'/>"));
    let probe = "<presence from='romeo@localhost' type='probe' id='";
    assert!(sent[1].starts_with(probe) && sent[1].ends_with(&format!("' to='{NURSE}'/>")));
    assert_eq!(sent.len(), 2);
    // She is answered to her bare address, or to the one that asks.
    world.deliver(&presence_to(NURSE, "romeo@localhost", PresenceType::Probe)).expect("answered");
    assert_eq!(settle(&mut world), [format!("<presence from='{ORCHARD}' to='{NURSE}'/>")]);
    // An update asks nobody; another session tells of itself alone.
    world.broadcast(orchard, &available(ORCHARD)).expect("valid");
    assert_eq!(settle(&mut world).len(), 1);
    let garden = world.bind(GARDEN);
    world.broadcast(garden, &available(GARDEN)).expect("valid");
    assert_eq!(settle(&mut world).len(), 2);
    // Told directly as well, she hears of the end once.
    world
        .im
        .track_directed(
            &mut world.cx,
            garden,
            &presence_to(GARDEN, "nurse@elsewhere.example/house", PresenceType::Available),
        )
        .expect("room for it");
    world.end(garden);
    let gone = |from| format!("<presence from='{from}' type='unavailable' to='{NURSE}'/>");
    assert_eq!(settle(&mut world), [gone(GARDEN)]);
    // The word, then what it means for each session.
    let sent = say(&mut world, orchard, NURSE, PresenceType::Unsubscribed).expect("allowed");
    let word = format!("<presence from='romeo@localhost' type='unsubscribed' to='{NURSE}'/>");
    assert_eq!(sent, [word, gone(ORCHARD)]);
    world.end(orchard);
    assert_eq!(settle(&mut world), [""; 0]);
}

/// Words from elsewhere, some with a resource, for an account that nobody is connected to.
#[test]
fn words_from_elsewhere_while_nobody_is_there() {
    use PresenceType as P;
    let mut world = world();
    let hear = |world: &mut World, kind| {
        let from = "nurse@elsewhere.example/house";
        world.deliver(&presence_to(from, BALCONY, kind)).expect("never an error");
        settle(world)
    };
    assert_eq!(hear(&mut world, P::Subscribe), [""; 0]);
    let request = format!("<presence from='{NURSE}' type='subscribe' to='juliet@localhost'/>");
    let requests = world.cx.storage.requests(&bare("juliet@localhost"));
    assert_eq!(requests, Ok(vec![request.clone()]));
    let balcony = world.bind(BALCONY);
    world.broadcast(balcony, &available(BALCONY)).expect("valid");
    assert!(world.read(balcony).ends_with(&request));
    let sent = say(&mut world, balcony, NURSE, P::Subscribed).expect("allowed");
    let word = |kind| format!("<presence from='juliet@localhost' type='{kind}' to='{NURSE}'/>");
    let shown = format!("<presence from='{BALCONY}' to='{NURSE}'/>");
    assert_eq!(sent, [word("subscribed"), shown]);
    world.end(balcony);
    assert_eq!(settle(&mut world).len(), 1);
    assert_eq!(hear(&mut world, P::Subscribe), [word("subscribed")]);
    assert_eq!(hear(&mut world, P::Unsubscribe), [""; 0]);
    assert_eq!(subscription(&mut world, "juliet@localhost", NURSE), Subscription::None);
    assert_eq!(hear(&mut world, P::Probe), [word("unsubscribed")]);
}

/// Storage refuses at whatever write: nobody hears of it, and nothing is different.
#[test]
fn what_is_not_stored_is_not_said() {
    for nth in 1.. {
        let mut world = world();
        befriend(&mut world, "romeo@localhost", "juliet@localhost", Subscription::None);
        world
            .deliver(&presence_to("juliet@localhost", ORCHARD, PresenceType::Subscribe))
            .expect("kept");
        let orchard = world.available(ORCHARD, 0);
        world.im.sessions.get_mut(orchard).expect("bound").wants_roster = true;
        world.cx.storage.inject(Fault::FailWrite(nth));
        let said = say(&mut world, orchard, "juliet@localhost", PresenceType::Subscribed);
        if said.is_ok() {
            assert!(nth > 3, "it took more than {nth} writes");
            break;
        }
        assert_eq!(said, Err(Condition::InternalServerError), "write {nth}");
        assert_eq!(world.read(orchard), "", "write {nth}");
        let romeo = bare("romeo@localhost");
        assert_eq!(world.cx.storage.requests(&romeo).map(|list| list.len()), Ok(1));
        let contacts = world.im.contacts(&mut world.cx, &romeo).expect("read");
        assert_eq!(contacts.subscribers().count(), 0, "write {nth}");
    }
}

/// A lost commit takes the approval with it: who was to see the presence does not.
#[test]
fn what_is_lost_is_not_shown() {
    let mut world = world();
    world.deliver(&presence_to(NURSE, ORCHARD, PresenceType::Subscribe)).expect("kept");
    assert_eq!(world.cx.storage.commit(), Ok(()));
    let orchard = world.available(ORCHARD, 0);
    world.cx.storage.inject(Fault::LoseCommit(1));
    say(&mut world, orchard, NURSE, PresenceType::Subscribed).expect("allowed");
    assert!(world.cx.storage.commit().is_err());
    world.im.handle_storage_lost(&mut world.cx);
    world.broadcast(orchard, &available(ORCHARD)).expect("valid");
    assert_eq!(settle(&mut world), [""; 0]);
}

/// An account that was removed by the command line: contacts here and elsewhere are told when the
/// server next starts, and its heir begins with nobody.
#[test]
fn removed_while_the_server_did_not_run() {
    let mut world = world();
    befriend(&mut world, "romeo@localhost", "juliet@localhost", Subscription::To);
    befriend(&mut world, "juliet@localhost", "romeo@localhost", Subscription::From);
    befriend(&mut world, "romeo@localhost", NURSE, Subscription::Both);
    let pending = presence_to("paris@elsewhere.example", ORCHARD, PresenceType::Subscribe);
    world.deliver(&pending).expect("kept");
    let romeo = bare("romeo@localhost");
    world.cx.storage.begin_handler();
    assert_eq!(world.cx.storage.account_remove(&romeo), Ok(true));
    add(&mut world, "romeo@localhost");
    assert_eq!(world.im.tell_of_removed(&mut world.cx), Ok(true));
    let word =
        |kind, to: &str| format!("<presence from='romeo@localhost' type='{kind}' to='{to}'/>");
    assert_eq!(
        settle(&mut world),
        [
            word("unsubscribe", NURSE),
            word("unsubscribed", NURSE),
            word("unsubscribed", "paris@elsewhere.example"),
        ]
    );
    let left = subscription(&mut world, "juliet@localhost", "romeo@localhost");
    assert_eq!(left, Subscription::None);
    assert_eq!(world.im.tell_of_removed(&mut world.cx), Ok(false), "once");
    assert_eq!(world.cx.storage.roster(&romeo), Ok(vec![]));
    assert_eq!(world.cx.storage.requests(&romeo), Ok(vec![]));
}

/// Errors for what the server said on behalf of an account die, the one for a request is heard.
#[test]
fn errors_from_elsewhere() {
    let mut world = world();
    let orchard = world.available(ORCHARD, 0);
    let error = presence_to(NURSE, "romeo@localhost", PresenceType::Error);
    assert_eq!(world.deliver(&error), Ok(()));
    assert_eq!(world.read(orchard), "");
    say(&mut world, orchard, NURSE, PresenceType::Subscribe).expect("allowed");
    assert_eq!(world.deliver(&error), Ok(()));
    let heard = format!("<presence from='{NURSE}' type='error' to='romeo@localhost'/>");
    assert_eq!(world.read(orchard), heard);
}
