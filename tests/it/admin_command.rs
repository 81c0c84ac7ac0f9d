//! `tercet user`, `invite`, `announce`, `status` against a server that runs, and on the data of one
//! that does not; `tercet export` and `import`.

use crate::command::{done, refused};
use crate::party::over_sockets;
use crate::setup::Setup;

/// What must be refused with a server and without one.
fn check_refusals(setup: &Setup) {
    refused(setup, &["user", "disable", "nobody@localhost"], "no account nobody@localhost");
    refused(setup, &["user", "enable", "nobody@localhost"], "no account nobody@localhost");
    refused(setup, &["user", "disable", "romeo@example.org"], "example.org");
    refused(setup, &["invite", "romeo@localhost"], "exists already");
    refused(setup, &["invite", "nobody"], "not an address");
}

#[test]
fn accounts_of_a_running_server() {
    let mut party = over_sockets("", &["romeo", "juliet"]);
    party.join("romeo/phone", "tea");
    party.join("juliet/balcony", "tea");
    let setup = &party.driver.setup;
    let status = done(setup, &["status"]);
    for line in ["accounts: 2", "disabled accounts: 0", "sessions: 2", "online accounts: 2"] {
        assert!(status.lines().any(|found| found == line), "{line}\n{status}");
    }
    assert_eq!(done(setup, &["announce", "Tea", "time"]), "announced to 2 sessions\n");
    refused(setup, &["announce", " "], "empty");
    refused(setup, &["announce", "\u{1b}[2J"], "control character");
    check_refusals(setup);
    let ended = done(setup, &["user", "end", "juliet@localhost/balcony"]);
    assert_eq!(ended, "ended the sessions of juliet@localhost/balcony\n");
    assert_eq!(done(setup, &["user", "disable", "romeo@localhost"]), "disabled romeo@localhost\n");
    let list = "juliet@localhost\nromeo@localhost\tdisabled\n";
    assert_eq!(done(setup, &["user", "list"]), list);
    let uri = done(setup, &["invite", "nurse@localhost"]);
    assert!(uri.starts_with("xmpp:nurse@localhost?register;preauth="), "{uri}");
    refused(setup, &["invite", "nurse@localhost"], "reserved");
    refused(setup, &["export"], "end the server first");
    refused(setup, &["import", "/dev/null"], "end the server first");
    let status = done(setup, &["status"]);
    assert!(status.contains("\nsessions: 0\n"), "{status}");
}

#[test]
fn accounts_without_a_server() {
    let mut party = over_sockets("", &["romeo", "juliet"]);
    party.driver.process.kill().unwrap_or_else(|why| panic!("{why}"));
    let setup = &party.driver.setup;
    check_refusals(setup);
    refused(setup, &["status"], "no server is running");
    refused(setup, &["announce", "x"], "no server is running");
    refused(setup, &["user", "end", "romeo@localhost"], "no server is running");
    assert_eq!(done(setup, &["user", "disable", "romeo@localhost"]), "disabled romeo@localhost\n");
    assert_eq!(done(setup, &["user", "enable", "romeo@localhost"]), "enabled romeo@localhost\n");
    let uri = done(setup, &["invite"]);
    assert!(uri.starts_with("xmpp:localhost?register;preauth="), "{uri}");

    let text = done(setup, &["export"]);
    let folder = setup.folder.as_ref().expect("on disk").path();
    let file = folder.join("accounts.xml");
    let file = file.to_str().expect("a name");
    assert_eq!(done(setup, &["export", "-o", file]), "exported 2 accounts\n");
    refused(setup, &["export", "-o", file], "File exists");
    assert_eq!(std::fs::read_to_string(file).expect("written"), text);
    refused(setup, &["import", file], "exists already; nothing was imported");
    let other = folder.join("other");
    let other = other.to_str().expect("a name");
    assert_eq!(done(setup, &["import", file, "-d", other]), "imported 2 accounts\n");
    assert_eq!(done(setup, &["export", "-d", other]), text);
    let one = done(setup, &["export", "juliet@localhost"]);
    assert!(one.contains("name='juliet'") && !one.contains("romeo"), "{one}");
    refused(setup, &["export", "nobody@localhost"], "nobody@localhost: there is no account");
}
