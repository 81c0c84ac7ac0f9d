//! The format there and back, what others write in it, and what is refused.

use super::*;
use crate::config::Config;
use crate::cx::Entropy;
use crate::storage::{RosterItem, Storage, Subscription};
use crate::xmpp::BareJid;

struct Counter(u8);

impl Entropy for Counter {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).expect("a valid address")
}

fn config() -> Config {
    let mut config = Config::default();
    config.sasl.iterations = 4096;
    config
}

/// A database with two accounts and all that belongs to them.
fn filled() -> Storage {
    let mut storage = Storage::memory();
    let (romeo, juliet) = (jid("romeo@localhost"), jid("juliet@localhost"));
    for (account, password) in [(&romeo, "one"), (&juliet, "two & \u{e9}")] {
        let entropy = &mut Counter(password.len() as u8);
        crate::accounts::add(&mut storage, &config(), entropy, account, password).expect("added");
    }
    let item = RosterItem {
        jid: romeo,
        name: Some("Romeo <&\"'> \u{1f339}".to_owned()),
        groups: vec!["Friends & foes".to_owned(), "Verona".to_owned()],
        subscription: Subscription::To,
        ask: false,
        approved: true,
    };
    storage.roster_put(&juliet, &item).expect("put");
    let asked = RosterItem {
        jid: jid("nurse@example.org"),
        name: None,
        groups: Vec::new(),
        subscription: Subscription::None,
        ask: true,
        approved: false,
    };
    storage.roster_put(&juliet, &asked).expect("put");
    let request = "<presence type='subscribe' from='paris@example.org' to='juliet@localhost' \
                   id='7'><status>Please</status></presence>";
    storage.request_put(&juliet, &jid("paris@example.org"), request, 0).expect("put");
    storage
}

fn exported(storage: &mut Storage) -> String {
    let accounts = storage.accounts().expect("read");
    let mut bytes = Vec::new();
    export(storage, &accounts, &mut bytes).expect("exported");
    String::from_utf8(bytes).expect("UTF-8")
}

fn import_into(storage: &mut Storage, xml: &str) -> Result<Imported, String> {
    import(storage, &config(), &mut Counter(9), xml.as_bytes())
}

#[test]
fn what_is_exported_and_imported_is_the_same() {
    let mut first = filled();
    let text = exported(&mut first);
    let mut second = Storage::memory();
    let imported = import_into(&mut second, &text).expect("imported");
    assert_eq!(imported, Imported { accounts: 2, left_out: Vec::new() });
    assert_eq!(exported(&mut second), text);
    for account in first.accounts().expect("read") {
        assert!(first.account(&account) == second.account(&account), "keys of {account}");
        assert_eq!(first.roster(&account), second.roster(&account));
        assert_eq!(
            first.requests(&account).map(|r| r.len()),
            second.requests(&account).map(|r| r.len())
        );
    }
    let keys = second.account(&jid("juliet@localhost")).expect("read").expect("there");
    assert!(keys.verify("two & \u{e9}"));
}

#[test]
fn what_others_write_is_read() {
    let xml = "<server-data xmlns='urn:xmpp:pie:0'><host jid='localhost'>\n\
               <user name='Romeo' password='secret'><vCard xmlns='vcard-temp'/>\n\
               <scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-512'/>\n\
               </user></host><x xmlns='u:other'><y/></x></server-data>";
    let mut storage = Storage::memory();
    let imported = import_into(&mut storage, xml).expect("imported");
    let left_out = ["{vcard-temp}vCard", "{urn:xmpp:pie:0#scram}scram-credentials", "{u:other}x"];
    assert_eq!(imported.left_out[..3], left_out);
    let keys = storage.account(&jid("romeo@localhost")).expect("read").expect("there");
    assert!(keys.verify("secret"));
}

#[test]
fn what_is_wrong_is_refused_with_its_line() {
    let user = |inner: &str| {
        let host = format!("<host jid='localhost'>\n{inner}</host>");
        format!("<server-data xmlns='urn:xmpp:pie:0'>{host}</server-data>")
    };
    for (xml, want) in [
        ("<x/>".to_owned(), "line 1: this is not the portable format"),
        (user("<user/>"), "line 2: a user without a name"),
        (user("<user name='a b' password='x'/>"), "line 2: not an account"),
        (user("<user name='a'>\n</user>"), "line 3: a@localhost: there is neither a password"),
        (user("<user name='a' password=''/>"), "the password cannot be used"),
        (
            user("<user name='a' password='x'/>\n<user name='A' password='x'/>"),
            "line 3: the account",
        ),
        (
            user(
                "<user name='a' password='x'>\n\
                 <query xmlns='jabber:iq:roster'><item jid='@'/></query></user>",
            ),
            "not a contact",
        ),
        (user("<user name='a'"), "line 2: "),
    ] {
        let error = import_into(&mut Storage::memory(), &xml).expect_err(&xml);
        assert!(error.contains(want), "{xml}: {error}");
    }
    let elsewhere = "<server-data xmlns='urn:xmpp:pie:0'><host jid='example.org'>\
                     <user name='a' password='x'/></host></server-data>";
    let error = import_into(&mut Storage::memory(), elsewhere).expect_err("another server's");
    assert!(error.contains("example.org"), "{error}");
}
