//! What one session may have made for it in one turn: long answers take long to make.

use tercet::server::ReadWish;
use tercet::storage::{RosterItem, Subscription};
use tercet::xmpp::BareJid;

use crate::setup::Setup;
use crate::storage_lost::{CONN, NOW, accept, log_in, written};

const ROSTER_GET: &str = "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>";

/// A server with romeo logged in, whose roster has about 100 KB.
fn server(config: &str) -> tercet::server::Server {
    let accounts = vec![("romeo@localhost".to_owned(), "secret".to_owned())];
    let setup = Setup::new(config, accounts, None).expect("a setup");
    let mut server = setup.server(NOW).expect("a server");
    let romeo = BareJid::parse("romeo@localhost").expect("an address");
    for number in 0..100 {
        let item = RosterItem {
            jid: BareJid::parse(&format!("c{number}@localhost")).expect("an address"),
            name: Some("n".repeat(1000)),
            groups: Vec::new(),
            subscription: Subscription::None,
            ask: false,
            approved: false,
        };
        server.storage().roster_put(&romeo, &item).expect("stored");
    }
    server.commit(NOW);
    accept(&mut server);
    log_in(&mut server);
    server
}

#[test]
fn long_answers_are_spread_over_turns() {
    let mut server = server("");
    server.handle_input(NOW, CONN, ROSTER_GET.repeat(20).as_bytes());
    let mut answers = 0;
    for turns in 1.. {
        server.commit(NOW);
        let bytes = written(&mut server);
        assert!(bytes.len() < 400_000, "{} bytes in one turn", bytes.len());
        answers += bytes.matches("type='result'").count();
        if server.read_wish(CONN) != ReadWish::Pending {
            assert!(turns > 5, "{turns} turns");
            break;
        }
        server.handle_input(NOW, CONN, b"");
    }
    assert_eq!(answers, 20, "none is lost");
}

#[test]
fn nothing_is_made_for_a_session_that_is_over_its_limit() {
    let mut server = server("[limits]\noutbox_bytes = 330000\n");
    let change = "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>\
                  <item jid='c1@localhost' subscription='remove'/></query></iq>";
    server.handle_input(NOW, CONN, format!("{}{change}", ROSTER_GET.repeat(5)).as_bytes());
    server.commit(NOW);
    // Nothing of it is read by the client.
    server.handle_input(NOW, CONN, b"");
    server.commit(NOW);
    server.finish_turn(NOW);
    let romeo = BareJid::parse("romeo@localhost").expect("an address");
    assert_eq!(server.storage().roster(&romeo).map(|roster| roster.len()), Ok(100));
}
