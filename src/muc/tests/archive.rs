//! Archives: bounds of a page, what is charged, what is lost with a failing database.

use super::*;
use crate::storage::{Fault, StorageError};
use crate::xml::writer::escape_text;

const PERSISTENT: &[(&str, &[&str])] = &[("roomconfig_persistentroom", &["1"])];

/// A persistent room with romeo, who owns it, and juliet; nothing waits.
fn persistent(world: &mut World) -> (User, User) {
    let (romeo, juliet) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&romeo, "R"), (&juliet, "J")]);
    world.configure(&romeo, PERSISTENT).expect("an owner may");
    world.cx.storage.commit().expect("stored");
    world.bytes(&romeo);
    world.bytes(&juliet);
    (romeo, juliet)
}

fn body(text: &str) -> String {
    format!("<body>{text}</body>")
}

fn field(var: &str, value: &str) -> String {
    let mut escaped = Vec::new();
    escape_text(&mut escaped, value);
    let value = String::from_utf8(escaped).expect("text");
    format!("<field var='{var}'><value>{value}</value></field>")
}

/// A query with these fields and this `<set/>`.
fn query(fields: &str, set: &str) -> String {
    let form = field("FORM_TYPE", ns::MAM);
    format!(
        "<query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>{form}{fields}</x>\
         <set xmlns='{}'>{set}</set></query>",
        ns::MAM,
        ns::RSM
    )
}

/// Results so far, and whether the last answer said that they are complete.
fn page(world: &mut World, user: &User) -> (usize, bool) {
    let received = world.received(user);
    let is_result = |stanza: &&Element| stanza.child("result", ns::MAM).is_some();
    let results = received.iter().filter(is_result).count();
    let fin = received.last().and_then(|iq| iq.child("fin", ns::MAM)).expect("an answer");
    (results, fin.attr("complete") == Some("true"))
}

/// The id that the room gave what was heard last.
fn last_id(world: &mut World, user: &User) -> String {
    let heard = world.received(user);
    let id = heard.last().and_then(|message| message.child("stanza-id", ns::SID));
    id.and_then(|id| id.attr("id")).expect("an id").to_owned()
}

/// What a newcomer gets as history, in short.
fn history(world: &mut World) -> Vec<String> {
    let nurse = world.user("nurse@localhost/c");
    world.join(&nurse, "N").expect("open");
    let mut heard = world.heard(&nurse);
    world.leave(&nurse);
    heard.retain(|line| line.contains("body="));
    heard
}

#[test]
fn a_page_is_bounded_in_messages_and_bytes() {
    let mut world = World::new();
    let (romeo, juliet) = persistent(&mut world);
    for n in 0..120 {
        world.say(&romeo, &body(&n.to_string())).expect("said");
    }
    world.bytes(&juliet);
    for (set, want) in [
        ("", (50, false)),
        ("<max>3</max>", (3, false)),
        ("<max>100</max>", (100, false)),
        ("<max>18446744073709551615</max>", (100, false)),
        ("<max>18446744073709551615</max><before/>", (100, false)),
        ("<max>100</max><index>50</index>", (70, true)),
        ("<max>100</max><index>18446744073709551615</index>", (0, true)),
    ] {
        world.set(&juliet, &query("", set)).expect("open");
        assert_eq!(page(&mut world, &juliet), want, "{set}");
    }
    // 60 KB each: four make a page of 256 KiB.
    for _ in 0..6 {
        world.say(&romeo, &body(&"x".repeat(60_000))).expect("said");
        world.bytes(&juliet);
    }
    for (set, want) in [("<max>6</max><before/>", (4, false)), ("<index>120</index>", (4, false))] {
        world.set(&juliet, &query("", set)).expect("open");
        assert_eq!(page(&mut world, &juliet), want, "{set}");
    }
    // One that is larger than a page is a page.
    world.say(&romeo, &body(&"x".repeat(300_000))).expect("said");
    world.bytes(&juliet);
    world.set(&juliet, &query("", "<before/>")).expect("open");
    assert_eq!(page(&mut world, &juliet), (1, false));
}

#[test]
fn a_message_that_is_not_stored_is_not_said() {
    for nth in 1..=2 {
        let mut world = World::new();
        let (romeo, juliet) = persistent(&mut world);
        world.cx.storage.inject(Fault::FailWrite(nth));
        refused(world.say(&romeo, &body("lost")), Condition::InternalServerError);
        assert_eq!(world.heard(&juliet), [""; 0]);
        world.say(&romeo, &body("kept")).expect("said");
        assert_eq!(world.heard(&juliet), ["message groupchat R body=kept"]);
        assert_eq!(history(&mut world), ["message groupchat R body=kept"]);
        world.bytes(&romeo);
        world.set(&romeo, &query("", "")).expect("open");
        assert_eq!(page(&mut world, &romeo), (1, true), "write {nth}");
    }
}

#[test]
fn a_message_is_taken_back_with_its_row() {
    let mut world = World::new();
    let (romeo, juliet) = persistent(&mut world);
    world.say(&romeo, &body("kept")).expect("said");
    world.cx.storage.commit().expect("stored");
    world.cx.out.commit_turn();
    world.cx.now.mono_ms += 1;
    world.cx.storage.inject(Fault::LoseCommit(1));
    world.say(&romeo, &body("lost")).expect("not yet known");
    assert_eq!(world.cx.storage.commit(), Err(StorageError::Unavailable));
    world.muc.handle_storage_lost(&mut world.cx);
    assert_eq!(history(&mut world), ["message groupchat R body=kept"]);
    world.bytes(&juliet);
    world.set(&juliet, &query("", "")).expect("reading goes on");
    assert_eq!(page(&mut world, &juliet), (1, true));
    // Until there is room again, nothing is said that would not be kept.
    refused(world.say(&romeo, &body("refused")), Condition::ResourceConstraint);
    assert!(world.cx.storage.probe());
    world.say(&romeo, &body("again")).expect("said");
    assert_eq!(history(&mut world).len(), 2);
}

#[test]
fn a_retraction_that_is_not_stored_changes_nothing() {
    // The row of the retraction and its count, the tombstone and its count.
    for nth in 1..=4 {
        for is_moderation in [false, true] {
            let mut world = World::new();
            let (romeo, juliet) = persistent(&mut world);
            world.say(&romeo, &body("kept")).expect("said");
            let id = last_id(&mut world, &juliet);
            let retract = |id: &str| format!("<retract xmlns='{}'{id}/>", ns::RETRACT);
            world.cx.storage.inject(Fault::FailWrite(nth));
            let result = if is_moderation {
                let action = retract("");
                let ns = ns::MODERATE;
                world.set(&romeo, &format!("<moderate xmlns='{ns}' id='{id}'>{action}</moderate>"))
            } else {
                world.say(&romeo, &retract(&format!(" id='{id}'")))
            };
            refused(result, Condition::InternalServerError);
            assert_eq!(world.heard(&juliet), [""; 0], "write {nth}");
            assert_eq!(history(&mut world), ["message groupchat R body=kept"]);
            world.bytes(&juliet);
            world.set(&juliet, &query("", "")).expect("open");
            let received = world.bytes(&juliet);
            assert!(received.contains("kept") && !received.contains("retract"), "{received}");
        }
    }
}

#[test]
fn reading_has_its_price() {
    let mut world = World::new();
    let (romeo, juliet) = persistent(&mut world);
    for n in 0..100 {
        world.say(&romeo, &body(&n.to_string())).expect("said");
    }
    let mut pages = 0;
    let refusal = loop {
        world.bytes(&juliet);
        match world.set(&juliet, &query("", "<max>100</max>")) {
            Ok(()) => pages += 1,
            Err(error) => break error,
        }
        assert!(pages < 1_000, "nothing is charged");
    };
    assert_eq!(refusal.condition, Condition::ResourceConstraint);
    assert!(pages > 50, "{pages}");
    // Others are not affected, and a moment later all is forgiven.
    world.bytes(&romeo);
    world.set(&romeo, &query("", "")).expect("another account");
    world.cx.now.mono_ms += 60_000;
    world.set(&juliet, &query("", "")).expect("paid back");
}

#[test]
fn advisory_a23_whatever_is_asked_is_a_value() {
    let mut world = World::new();
    let (romeo, juliet) = persistent(&mut world);
    world.say(&romeo, &body("one")).expect("said");
    let id = last_id(&mut world, &juliet);
    let weird = [
        "",
        " ",
        "0",
        "-1",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "1e9",
        "0x10",
        "NaN",
        "null",
        "'",
        "\"",
        "%",
        "_",
        "' OR '1'='1",
        "'; DROP TABLE room_archive; --",
        "[1,2]",
        "\u{202e}\u{10ffff}",
        "room@conference.localhost/'",
        "9999-12-31T23:59:59Z",
        "0000-01-01T00:00:00+23:59",
        &"x".repeat(5_000),
        &id,
    ];
    for text in weird {
        let mut asked = Vec::new();
        for name in ["start", "end", "with", "before-id", "after-id", "ids", text] {
            asked.push(query(&field(name, text), ""));
        }
        let mut escaped = Vec::new();
        escape_text(&mut escaped, text);
        let escaped = String::from_utf8(escaped).expect("text");
        for name in ["max", "after", "before", "index"] {
            asked.push(query("", &format!("<{name}>{escaped}</{name}>")));
        }
        for query in asked.iter().filter(|query| is_well_formed(query)) {
            world.bytes(&juliet);
            if let Err(error) = world.set(&juliet, query) {
                let known = [
                    Condition::BadRequest,
                    Condition::FeatureNotImplemented,
                    Condition::Forbidden,
                    Condition::ItemNotFound,
                ];
                assert!(known.contains(&error.condition), "{query}: {error:?}");
            }
        }
    }
    world.bytes(&juliet);
    world.set(&juliet, &query("", "")).expect("it is all still there");
    assert_eq!(page(&mut world, &juliet), (1, true));
}

/// False for what no stream would let in.
fn is_well_formed(text: &str) -> bool {
    let mut parser = StreamParser::new(XmlLimits {
        stanza_bytes_max: 0,
        depth_max: 0,
        attributes_max: 0,
        nodes_max: 0,
    });
    parser.feed(format!("<s xmlns='{}'>{text}</s>", ns::CLIENT).as_bytes());
    loop {
        match parser.next_event() {
            Ok(Some(StreamEvent::Close)) => return true,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return false,
        }
    }
}

#[test]
fn what_is_too_old_is_hidden_while_it_cannot_be_removed() {
    let mut world = World::with(|config| config.rooms.archive_days = 1);
    let (romeo, juliet) = persistent(&mut world);
    world.say(&romeo, &body("old")).expect("said");
    let id = last_id(&mut world, &juliet);
    world.cx.storage.commit().expect("stored");
    world.cx.now.unix_ms += 25 * 60 * 60 * 1000;
    world.cx.storage.inject(Fault::LoseCommit(1));
    world.say(&romeo, &body("lost")).expect("not yet known");
    assert_eq!(world.cx.storage.commit(), Err(StorageError::Unavailable));
    world.muc.handle_storage_lost(&mut world.cx);
    world.bytes(&juliet);
    world.set(&juliet, &query("", "")).expect("reading goes on");
    assert_eq!(page(&mut world, &juliet), (0, true));
    refused(world.set(&juliet, &query(&field("ids", &id), "")), Condition::ItemNotFound);
    world.get(&juliet, &format!("<metadata xmlns='{}'/>", ns::MAM)).expect("reading goes on");
    let received = world.received(&juliet);
    let metadata = received[0].child("metadata", ns::MAM).expect("an answer");
    assert_eq!(metadata.elements().count(), 0);
}
