//! A reload is in force for the sessions that are there.

use std::rc::Rc;

use tercet::config::Config;
use tercet::cx::Now;
use tercet::server::Server;
use tercet::xml::read_fragment;
use tercet::xmpp::disco::{caps_text_of, caps_ver};

use crate::storage_lost::{NOW, log_in, server, turn};

#[test]
fn idle_sessions_are_pinged_from_a_reload_on() {
    let mut server = server();
    log_in(&mut server);
    let at = |seconds: u64| Now { mono_ms: NOW.mono_ms + seconds * 1000, ..NOW };
    // The deadline of the login passes; there is none after it.
    assert_eq!(turn(&mut server, at(60), ""), "");
    assert_eq!(server.poll_timeout(), None);
    let mut config = Config::default();
    config.limits.idle_seconds = 90;
    server.handle_reload(at(61), Rc::new(config));
    assert_eq!(server.poll_timeout(), Some(at(90).mono_ms));
    assert_eq!(turn(&mut server, at(89), ""), "");
    assert!(turn(&mut server, at(90), "").contains("<ping xmlns='urn:xmpp:ping'/>"));
}

/// What the server says of itself, or of one of its versions.
fn disco(server: &mut Server, node: &str) -> String {
    let query = format!("<query xmlns='http://jabber.org/protocol/disco#info'{node}/>");
    turn(server, NOW, &format!("<iq type='get' id='d' to='localhost'>{query}</iq>"))
}

/// XEP-0115 §6.2, XEP-0157 §3: the version that is announced is that of what is answered.
#[test]
fn contact_addresses_are_told_from_a_reload_on() {
    let mut server = server();
    log_in(&mut server);
    let node = |answer: &str| {
        let iq = read_fragment(answer.as_bytes(), "jabber:client").pop().expect("an iq");
        let text = iq.elements().next().and_then(caps_text_of).expect("what has a version");
        let ver = caps_ver(&text);
        format!(" node='urn:tercet#{ver}'")
    };
    let before = node(&disco(&mut server, ""));
    assert!(disco(&mut server, &before).contains("<identity "));
    let mut config = Config::default();
    config.contact.admin = vec!["xmpp:admin@localhost".to_owned()];
    server.handle_reload(NOW, Rc::new(config));
    let after = node(&disco(&mut server, ""));
    assert!(disco(&mut server, &after).contains("<value>xmpp:admin@localhost</value>"));
    assert!(disco(&mut server, &before).contains("<item-not-found "));
}
