//! Addresses: no panic, a prepared address is prepared, its parts put together are the same, and
//! nicks and their keys settle.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tercet::xmpp::prep::{nick_key, prepare_nick};
use tercet::xmpp::{BareJid, Jid};

fuzz_target!(|text: &str| {
    if let Ok(jid) = Jid::parse(text) {
        assert_eq!(Jid::parse(jid.as_str()).as_ref(), Ok(&jid));
        let parts = Jid::from_parts(jid.local(), jid.domain(), jid.resource());
        assert_eq!(parts.as_ref(), Ok(&jid));
        assert_eq!(BareJid::parse(jid.bare_str()), Ok(jid.to_bare()));
    }
    if let Ok(nick) = prepare_nick(text) {
        assert_eq!(prepare_nick(&nick).as_ref(), Ok(&nick));
        let key = nick_key(&nick);
        assert_eq!(nick_key(&key), key);
    }
});
