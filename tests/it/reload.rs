//! A reload is in force for the sessions that are there.

use std::rc::Rc;

use tercet::config::Config;
use tercet::cx::Now;

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
