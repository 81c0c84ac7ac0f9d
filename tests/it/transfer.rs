//! `tercet export` and `import` field by field: accounts are filled by clients over sockets, taken
//! out, put into a new folder, and both databases are compared table by table and row by row; then
//! a server runs on the new one, and clients find what they had. Files of other servers, and files
//! that make no sense.

mod filling;
mod tables;

use std::fs;
use std::path::PathBuf;

use tercet::xml::Element;
use tercet::xmpp::ns;

use crate::command::{done, refused, tercet};
use crate::driver::Driver;
use crate::matcher::to_text;
use crate::party::{Party, Who, over_sockets};
use crate::setup::Setup;
use crate::socket::Sockets;

/// An export as other servers write it: in another order, with what is unknown here, with less.
const OTHERS: &str = include_str!("transfer/others.xml");

/// A path in the folder of a test.
fn place(setup: &Setup, name: &str) -> String {
    let folder: PathBuf = setup.folder.as_ref().expect("on disk").path().to_owned();
    folder.join(name).to_str().expect("a name").to_owned()
}

/// Asks the account of `who` for something; the answer's payload.
#[track_caller]
fn get(party: &mut Party<Sockets>, who: Who, payload: &str) -> String {
    party.send(who, &format!("<iq type='get' id='get'>{payload}</iq>"));
    let answer = party.receive(who, "<iq type='result' id='get'/>");
    answer.elements().map(to_text).collect()
}

/// What an account's owner may ask for, and is answered.
fn told(party: &mut Party<Sockets>, who: Who) -> Vec<String> {
    let private = |name: &str| format!("<query xmlns='jabber:iq:private'>{name}</query>");
    let items =
        |node: &str| format!("<pubsub xmlns='{}'><items node='{node}'/></pubsub>", ns::PUBSUB);
    let owned = |what: &str| {
        format!("<pubsub xmlns='{}'><{what} node='urn:x:notes'/></pubsub>", ns::PUBSUB_OWNER)
    };
    let mut told = Vec::new();
    for payload in [
        "<query xmlns='jabber:iq:roster'/>".to_owned(),
        "<vCard xmlns='vcard-temp'/>".to_owned(),
        private("<prefs xmlns='u:client'/>"),
        private("<storage xmlns='storage:bookmarks'/>"),
        "<blocklist xmlns='urn:xmpp:blocking'/>".to_owned(),
        items("urn:x:notes"),
        items("urn:xmpp:bookmarks:1"),
        items(ns::AVATAR_DATA),
        items(ns::AVATAR_METADATA),
        owned("configure"),
        owned("affiliations"),
        owned("subscriptions"),
        "<prefs xmlns='urn:xmpp:mam:2'/>".to_owned(),
    ] {
        told.push(get(party, who, &payload));
    }
    told.extend(archive(party, who).iter().map(to_text));
    told
}

/// The results of a query of the whole archive.
fn archive(party: &mut Party<Sockets>, who: Who) -> Vec<Element> {
    party.take(who);
    party.send(who, "<iq type='set' id='mam'><query xmlns='urn:xmpp:mam:2'/></iq>");
    party.wait_until("the end of a page", |party| party.seen(who).contains("<fin"));
    let elements = party.take_elements(who);
    elements.iter().filter_map(|message| message.child("result", ns::MAM).cloned()).collect()
}

#[test]
fn everything_is_there_in_a_new_folder() {
    let mut party = over_sockets("", &["juliet", "romeo", "nurse", "paris", "tybalt"]);
    filling::fill(&mut party);
    let watch = party.login("juliet/watch");
    let before = told(&mut party, watch);
    party.driver.shut_down();
    assert_eq!(party.driver.exit_code(), Ok(0));

    let setup = &party.driver.setup;
    let (file, old, new) = (place(setup, "all.xml"), place(setup, "data"), place(setup, "new"));
    assert_eq!(done(setup, &["export", "-o", &file]), "exported 5 accounts\n");
    assert_eq!(done(setup, &["import", &file, "-d", &new]), "imported 5 accounts\n");
    tables::compare(&old, &new);
    // Nothing is lost on a second way, either, nor changed.
    assert_eq!(done(setup, &["export", "-d", &new]), fs::read_to_string(&file).expect("written"));

    fs::rename(&old, place(setup, "old")).expect("renamed");
    fs::rename(&new, &old).expect("renamed");
    party.driver.restart().unwrap_or_else(|why| panic!("{why}"));
    let watch = party.login("juliet/watch");
    let after = told(&mut party, watch);
    assert_eq!(after, before);
    filling::check_waiting(&mut party, watch);
    let tybalt = party.begin_login("tybalt");
    party.wait_until("a refusal", |party| party.guests[tybalt].client.failure.is_some());
    let failure = party.guests[tybalt].client.failure.as_ref().map(to_text);
    assert!(failure.is_some_and(|failure| failure.contains("account-disabled")));
}

#[test]
fn what_other_servers_export() {
    let mut party = over_sockets("[accounts]\noffline_days = 0\narchive_days = 0", &["nurse"]);
    party.driver.process.kill().unwrap_or_else(|why| panic!("{why}"));
    let setup = &party.driver.setup;
    let file = place(setup, "others.xml");
    fs::write(&file, OTHERS).expect("written");
    let (code, out, err) = tercet(setup, &["import", &file]);
    assert_eq!((code, &*out), (0, "imported 2 accounts\n"), "{err}");
    let left_out: Vec<_> = err.lines().filter_map(|line| line.rsplit_once(": ")).collect();
    let kinds: Vec<_> = left_out.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(
        kinds,
        [
            "{u:other:server}uptime",
            "{jabber:iq:privacy}item",
            "{jabber:iq:privacy}list",
            "{http://jabber.org/protocol/pubsub#node_config}pubsub#other",
            "{urn:xmpp:pie:0#scram}scram-credentials",
        ]
    );
    refused(setup, &["import", &file], "exists already; nothing was imported");

    party.driver.restart().unwrap_or_else(|why| panic!("{why}"));
    let juliet = party.login("juliet/phone");
    let told = told(&mut party, juliet).join("\n");
    for words in [
        "romeo@montague.example",
        "<FN>Juliet Capulet</FN>",
        "<defaultnick>Juliet</defaultnick>",
        "tybalt@capulet.example",
        "id='28482-98726-73623'",
        "id='5d398-28273-f7382'",
        "O Romeo, Romeo!",
        "theplay@conference.example",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("nobody@example"), "{told}");
    party.send(juliet, "<presence/>");
    party.receive(juliet, "<presence type='subscribe' from='paris@verona.example'/>");
    let message = party.receive(juliet, "<message from='romeo@montague.example/orchard'/>");
    assert!(to_text(&message).contains("stamp='2009-07-21T00:32:29Z'"), "{}", to_text(&message));
}

#[test]
fn what_makes_no_sense() {
    let mut party = over_sockets("", &["nurse"]);
    party.driver.process.kill().unwrap_or_else(|why| panic!("{why}"));
    let setup = &party.driver.setup;
    let user = |inner: &str| {
        format!(
            "<server-data xmlns='urn:xmpp:pie:0'><host jid='localhost'>\n\
             <user name='romeo' password='x'/>\n<user name='juliet' password='x'>\n{inner}\n\
             </user></host></server-data>"
        )
    };
    let archived = "<archive xmlns='urn:xmpp:pie:0#mam'><result xmlns='urn:xmpp:mam:2' id='1'>\
                    <forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay'/>\
                    <message xmlns='jabber:client'/></forwarded></result></archive>";
    let large = format!("<vCard xmlns='vcard-temp'><FN>{}</FN></vCard>", "x".repeat(17_000_000));
    let contact = "<query xmlns='jabber:iq:roster'><item jid='@'/></query>";
    let request = "<presence xmlns='jabber:client' type='subscribe' from='a@'/>";
    for (text, words) in [
        (user("<vCard xmlns='vcard-temp'><FN></vCard>"), "line 4: juliet@localhost: "),
        (user("").replace("pie:0", "pie:9"), "line 1: this is not the portable format"),
        (user("").replace("</server-data>", ""), "line 5: "),
        (user(contact), "line 4: juliet@localhost: not a contact"),
        (user(request), "line 4: juliet@localhost: a request that comes from nobody"),
        (user(archived), "line 4: juliet@localhost: a delay without a stamp"),
        (user(&large), "line 4: juliet@localhost: "),
        (user("<query xmlns='u:x'>&e;</query>"), "line 4: "),
        (user("").replace("'juliet'", "'ju@liet'"), "line 3: not an account"),
        (user("").replace("'juliet'", "'nurse'"), "line 3: the account nurse@localhost exists"),
        (
            user("<include xmlns='http://www.w3.org/2001/XInclude' href='no.xml'/>"),
            "line 4: juliet@localhost: ",
        ),
        (
            user("<include xmlns='http://www.w3.org/2001/XInclude' href='/dev/null'/>"),
            "not a relative URI",
        ),
    ] {
        let file = place(setup, "wrong.xml");
        fs::write(&file, text).expect("written");
        refused(setup, &["import", &file], words);
        refused(setup, &["import", &file], "; nothing was imported");
        assert_eq!(done(setup, &["user", "list"]), "nurse@localhost\n", "{words}");
    }
    refused(setup, &["import", &place(setup, "nowhere.xml")], "nowhere.xml: No such file");
}
