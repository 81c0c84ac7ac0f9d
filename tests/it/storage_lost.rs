//! A commit that fails: nobody is told of what was not stored, and every stream that would have
//! been told ends as a stream ends.

use std::net::{IpAddr, Ipv4Addr};

use tercet::cx::Now;
use tercet::ids::ConnId;
use tercet::server::Server;
use tercet::storage::Fault;

use crate::setup::Setup;

pub const NOW: Now = Now { mono_ms: 1000, unix_ms: 1_795_352_493_120 };
pub const CONN: ConnId = ConnId { index: 0, generation: 1 };
const OPEN: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                    xmlns:stream='http://etherx.jabber.org/streams'>";

/// One turn of the reactor, with everything written.
pub fn turn(server: &mut Server, now: Now, input: &str) -> String {
    server.handle_input(now, CONN, input.as_bytes());
    server.handle_timeout(now);
    server.handle_input(now, CONN, b"");
    server.commit(now);
    written(server)
}

/// Takes what waits for the connection.
pub fn written(server: &mut Server) -> String {
    let mut slices = [std::io::IoSlice::new(&[]); 64];
    let outbox = server.outbox(CONN).expect("a session");
    let used = outbox.slices(&mut slices);
    let written: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect();
    outbox.consume(written.len());
    String::from_utf8(written).expect("XML is text")
}

/// A server with an account and a connection.
pub fn server() -> Server {
    let accounts = vec![("romeo@localhost".to_owned(), "secret".to_owned())];
    let setup = Setup::new("", accounts, None).expect("a setup");
    let mut server = setup.server(NOW).expect("a server");
    accept(&mut server);
    server
}

/// The connection is accepted.
pub fn accept(server: &mut Server) {
    assert!(server.handle_accept(NOW, CONN, IpAddr::V4(Ipv4Addr::LOCALHOST), false));
}

/// romeo logs in and binds a resource.
pub fn log_in(server: &mut Server) {
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>\
                AHJvbWVvAHNlY3JldA==</auth>";
    let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let written = turn(server, NOW, &format!("{OPEN}{auth}"));
    assert!(written.contains("<success "), "{written}");
    assert!(turn(server, NOW, &format!("{OPEN}{bind}")).contains("<jid>"));
}

fn ends_in_order(written: &str) {
    let end = "<stream:error><internal-server-error \
               xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
    assert!(written.ends_with(end), "{written}");
    assert_eq!(written.matches("<stream:error>").count(), 1, "{written}");
}

#[test]
fn a_password_that_was_not_stored_is_not_acknowledged() {
    let mut server = server();
    log_in(&mut server);
    server.storage().inject(Fault::LoseCommit(1));
    let change = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>\
                  <iq type='set' id='c'><query xmlns='jabber:iq:register'>\
                  <username>romeo</username><password>other</password></query></iq>";
    let written = turn(&mut server, NOW, change);
    // What does not depend on the commit is told all the same.
    assert!(written.contains("id='p'"), "{written}");
    assert!(!written.contains("id='c'") && !written.contains("not-authorized"), "{written}");
    ends_in_order(&written);
}

#[test]
fn an_account_that_was_not_stored_is_not_acknowledged() {
    let mut server = server();
    server.storage().inject(Fault::LoseCommit(1));
    let register = "<iq type='set' id='r'><query xmlns='jabber:iq:register'>\
                    <username>juliet</username><password>secret</password></query></iq>";
    let written = turn(&mut server, NOW, &format!("{OPEN}{register}"));
    assert!(written.starts_with("<?xml"), "the header stands before the error: {written}");
    assert!(!written.contains("id='r'"), "{written}");
    ends_in_order(&written);
}

/// Nobody would have been told anything, and yet: the message is neither kept nor archived, and
/// who has sent it took it for said.
#[test]
fn a_message_that_was_not_stored_is_not_taken_for_said() {
    let mut server = server();
    log_in(&mut server);
    turn(&mut server, NOW, "<enable xmlns='urn:xmpp:sm:3'/>");
    server.storage().inject(Fault::LoseCommit(1));
    let message = "<message to='romeo@localhost' type='chat'><body>lost</body></message>";
    let written = turn(&mut server, NOW, &format!("{message}<r xmlns='urn:xmpp:sm:3'/>"));
    assert!(!written.contains("<a "), "{written}");
    ends_in_order(&written);
}

/// Who only says what it has got loses nothing with others.
#[test]
fn an_acknowledgement_rests_on_no_commit() {
    const OTHER: ConnId = ConnId { index: 1, generation: 1 };
    let mut server = server();
    log_in(&mut server);
    turn(&mut server, NOW, "<enable xmlns='urn:xmpp:sm:3'/>");
    assert!(server.handle_accept(NOW, OTHER, IpAddr::V4(Ipv4Addr::LOCALHOST), false));
    server.storage().inject(Fault::LoseCommit(1));
    let register = "<iq type='set' id='r'><query xmlns='jabber:iq:register'>\
                    <username>juliet</username><password>secret</password></query></iq>";
    server.handle_input(NOW, OTHER, format!("{OPEN}{register}").as_bytes());
    let written = turn(&mut server, NOW, "<a xmlns='urn:xmpp:sm:3' h='0'/>");
    assert!(server.storage().is_read_only());
    assert!(written.is_empty(), "{written}");
}

#[test]
fn the_command_line_is_told_what_was_not_stored() {
    let mut server = server();
    server.storage().inject(Fault::LoseCommit(1));
    let answer = server.handle_control(NOW, "user del romeo@localhost");
    assert!(answer.starts_with("error "), "{answer}");
    assert_eq!(server.handle_control(NOW, "user list"), "ok romeo@localhost\n");
}
