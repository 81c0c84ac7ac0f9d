//! `tercet room …` against a server that runs, and on the data of one that does not.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use crate::command::{done, refused, tercet};
use crate::driver::Driver as _;
use crate::party::over_sockets;
use crate::setup::Setup;

const PERSISTENT: &str = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>";
const HIDDEN: &str = "<field var='muc#roomconfig_publicroom'><value>0</value></field>";

/// What must be refused with a server and without one.
fn check_refusals(setup: &Setup) {
    refused(setup, &["room", "info", "nowhere@conference.localhost"], "there is no room nowhere@");
    refused(setup, &["room", "destroy", "nowhere@conference.localhost"], "there is no room");
    refused(setup, &["room", "forget", "nowhere@conference.localhost"], "no destroyed room");
    refused(setup, &["room", "info", "nowhere"], "not an address of a room");
    let escape = ["room", "destroy", "tea@conference.localhost", "--reason", "\u{1b}[2J"];
    refused(setup, &escape, "control character");
    let long = "x".repeat(5000);
    let long = ["room", "destroy", "tea@conference.localhost", "--reason", &long];
    refused(setup, &long, "too long");
}

#[test]
fn rooms_of_a_running_server() {
    let mut party = over_sockets("", &["romeo", "juliet"]);
    let romeo = party.join("romeo/phone", "tea");
    party.configure(romeo, "tea", &format!("{PERSISTENT}{HIDDEN}"));
    party.configure(
        romeo,
        "tea",
        "<field var='muc#roomconfig_roomname'><value>Tea\ntime</value></field>",
    );
    let juliet = party.join("juliet/balcony", "tea");
    let setup = &party.driver.setup;
    let list = done(setup, &["room", "list"]);
    assert_eq!(list, "tea@conference.localhost\t2\tpersistent\thidden\tTea time\n");
    let info = done(setup, &["room", "info", "Tea@conference.localhost"]);
    for line in [
        "room: tea@conference.localhost",
        "kind: unsecured hidden persistent open unmoderated semianonymous",
        "owner: romeo@localhost",
        "members: 0",
        "occupants: 2",
        "occupant: juliet@localhost/balcony participant juliet",
        "name: Tea time",
    ] {
        assert!(info.lines().any(|found| found == line), "{line}\n{info}");
    }
    check_refusals(setup);

    let words = ["room", "destroy", "tea@conference.localhost", "--reason", "It <is> cold"];
    assert_eq!(done(setup, &words), "destroyed tea@conference.localhost\n");
    let farewell = "<presence type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'>\
                    <destroy><reason>It &lt;is&gt; cold</reason></destroy>\
                    <item affiliation='none' role='none'/><status code='110'/></x></presence>";
    party.receive(romeo, farewell);
    party.receive(juliet, farewell);
    let setup = &party.driver.setup;
    assert_eq!(done(setup, &["room", "list"]), "");
    refused(setup, &["room", "destroy", "tea@conference.localhost"], "was destroyed before");
    let info = done(setup, &["room", "info", "tea@conference.localhost"]);
    assert!(info.contains("\ndestroyed: remembered until 2"), "{info}");
    assert!(info.ends_with("\nowner: romeo@localhost\nreason: It <is> cold\n"), "{info}");

    let again = "<presence to='tea@conference.localhost/J'>\
                 <x xmlns='http://jabber.org/protocol/muc'/></presence>";
    party.send(juliet, again);
    party.receive(
        juliet,
        "<presence type='error'><error type='cancel' by='tea@conference.localhost'>\
         <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    );
    let forgot = done(&party.driver.setup, &["room", "forget", "tea@conference.localhost"]);
    assert!(forgot.starts_with("forgot tea@conference.localhost"), "{forgot}");
    party.send(juliet, again);
    party.receive(
        juliet,
        "<presence><x xmlns='http://jabber.org/protocol/muc#user'><status code='201'/>\
         <item jid='juliet@localhost/balcony' affiliation='owner' role='moderator'/>\
         <status code='110'/></x></presence>",
    );
}

#[test]
fn rooms_of_a_stopped_server() {
    let mut party = over_sockets("", &["romeo", "juliet"]);
    let romeo = party.join("romeo", "tea");
    party.configure(romeo, "tea", PERSISTENT);
    party.enter(romeo, "den", "Romeo");
    party.unlock(romeo, "den");
    party.enter(romeo, "tomb", "Romeo");
    party.configure(romeo, "tomb", PERSISTENT);
    let destroy = "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>";
    party.send(
        romeo,
        &format!("<iq type='set' id='d' to='tomb@conference.localhost'>{destroy}</iq>"),
    );
    party.receive(romeo, "<iq type='result' id='d' from='tomb@conference.localhost'/>");
    // Without a word, right after the acknowledgement: what was stored is stored.
    party.driver.process.kill().unwrap_or_else(|why| panic!("{why}"));
    let setup = &party.driver.setup;
    let list = done(setup, &["room", "list"]);
    assert_eq!(list, "tea@conference.localhost\t0\tpersistent\tpublic\ttea\n");
    let info = done(setup, &["room", "info", "tomb@conference.localhost"]);
    assert!(info.contains("\ndestroyed: remembered until 2"), "{info}");
    let info = done(setup, &["room", "info", "tea@conference.localhost"]);
    assert!(info.contains("\nowner: romeo@localhost\n"), "{info}");
    assert!(info.contains("\noccupants: 0\n"), "{info}");
    check_refusals(setup);
    let words = ["room", "destroy", "tea@conference.localhost", "--reason", "Cold"];
    assert_eq!(done(setup, &words), "destroyed tea@conference.localhost\n");
    assert_eq!(done(setup, &["room", "list"]), "");
    refused(setup, &["room", "destroy", "tea@conference.localhost"], "was destroyed before");

    party.driver.restart().unwrap_or_else(|why| panic!("{why}"));
    let juliet = party.login("juliet");
    party.send(
        juliet,
        "<presence to='tea@conference.localhost/J'>\
         <x xmlns='http://jabber.org/protocol/muc'/></presence>",
    );
    party.receive(
        juliet,
        "<presence type='error'><error type='cancel' by='tea@conference.localhost'>\
         <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>Cold</text></error></presence>",
    );
}

#[test]
fn without_a_data_folder_there_is_nothing_to_list() {
    let setup = crate::party::setup_on_disk("", &[]);
    let folder = setup.folder.as_ref().expect("on disk").path();
    let data = folder.join("none").display().to_string();
    std::fs::write(folder.join("tercet.toml"), "").expect("written");
    refused(&setup, &["room", "list", "-d", &data], "there is no data of a server here");
    let (code, _, err) = tercet(&setup, &["room", "burn"]);
    assert_eq!(code, 2, "{err}");
    assert!(!folder.join("none").exists());
    // A folder of something else is left as it is.
    std::fs::create_dir(&data).expect("made");
    std::fs::set_permissions(&data, Permissions::from_mode(0o755)).expect("opened");
    for args in [["room", "list"], ["user", "list"]] {
        refused(&setup, &[&args[..], &["-d", &data]].concat(), "there is no data of a server");
    }
    let mode = std::fs::metadata(&data).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    assert_eq!(std::fs::read_dir(&data).expect("read").count(), 0);
}
