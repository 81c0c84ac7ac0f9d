//! The format there and back, what others write in it, and what is refused.

use std::io::{Cursor, Read};

use super::*;
use crate::config::Config;
use crate::cx::Entropy;
use crate::storage::{Fault, PepAccess, PepConfig, RosterItem, Storage, Subscription};
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

/// Documents by name; all others are not there.
struct Documents<'a>(&'a [(&'a str, &'a str)]);

impl Files for Documents<'_> {
    fn open(&mut self, name: &str) -> Result<Box<dyn Read>, String> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        let (_, text) = found.ok_or("there is no such file")?;
        Ok(Box::new(Cursor::new(text.as_bytes().to_vec())))
    }
}

fn import_all(storage: &mut Storage, files: &[(&str, &str)]) -> Result<Imported, String> {
    let mut files = Documents(files);
    storage.begin_handler();
    let imported = import(storage, &config(), &mut Counter(9), 7, &mut files, "f.xml");
    if imported.is_err() {
        storage.roll_back_handler();
    }
    imported
}

fn import_into(storage: &mut Storage, xml: &str) -> Result<Imported, String> {
    import_all(storage, &[("f.xml", xml)])
}

/// A document with one user, whose element has these children, from the third line on.
fn user(children: &str) -> String {
    format!(
        "<server-data xmlns='urn:xmpp:pie:0'><host jid='localhost'>\n\
         <user name='juliet' password='x'>\n{children}</user></host></server-data>"
    )
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
fn what_is_not_understood_is_told_once() {
    let field = |name: &str, value: &str| {
        format!("<field var='pubsub#{name}'><value>{value}</value></field>")
    };
    let xml = user(&format!(
        "<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-512'/>\
         <x xmlns='u:other'><query xmlns='jabber:iq:roster'><item jid='@'/></query></x>\
         <x xmlns='u:other'/><presence xmlns='jabber:client'/>\
         <query xmlns='jabber:iq:roster'><item jid='juliet@localhost'/></query>\
         <pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><configure node='n'>\
         <x xmlns='jabber:x:data' type='form'>{}{}{}{}</x></configure></pubsub>",
        field("access_model", "authorize"),
        field("max_items", "4000000000"),
        field("collection", "x"),
        field("title", "T"),
    ));
    let mut storage = Storage::memory();
    let imported = import_into(&mut storage, &xml).expect("imported");
    let left_out = [
        "{urn:xmpp:pie:0#scram}scram-credentials",
        "{u:other}x",
        "{jabber:client}presence",
        "{jabber:iq:roster}item",
        "{http://jabber.org/protocol/pubsub#node_config}pubsub#access_model",
        "{http://jabber.org/protocol/pubsub#node_config}pubsub#max_items",
        "{http://jabber.org/protocol/pubsub#node_config}pubsub#collection",
    ];
    assert_eq!(imported.left_out, left_out);
    let juliet = jid("juliet@localhost");
    assert!(storage.account(&juliet).expect("read").expect("there").verify("x"));
    // A node is closed rather than opened, and keeps rather than loses.
    let node = storage.pep_node(&juliet, "n").expect("read").expect("there");
    assert_eq!(
        (node.config.access, node.config.items_max, &*node.config.title, node.created_unix_ms),
        (PepAccess::Whitelist, u32::MAX, "T", 7)
    );
}

/// What older clients have is what newer ones see; what is no room stays where it was.
#[test]
fn old_bookmarks_become_items() {
    let old = |room: &str| {
        format!(
            "<storage xmlns='storage:bookmarks'><url url='u:{room}'/>\
             <conference jid='{room}@c' name='{room}'/></storage>"
        )
    };
    let (one, two) = (old("one"), old("two"));
    let xml = user(&format!(
        "<query xmlns='jabber:iq:private'>{one}</query>\
         <pubsub xmlns='http://jabber.org/protocol/pubsub#owner'>\
         <configure node='storage:bookmarks'><x xmlns='jabber:x:data' type='form'/></configure>\
         </pubsub><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <items node='storage:bookmarks'><item id='current'>{two}</item></items></pubsub>"
    ));
    let mut storage = Storage::memory();
    import_into(&mut storage, &xml).expect("imported");
    let juliet = jid("juliet@localhost");
    let node = storage.pep_node(&juliet, "urn:xmpp:bookmarks:1").expect("read").expect("made");
    assert_eq!(node.config, PepConfig::private(u32::MAX));
    let items = storage.pep_index(&node).expect("read");
    assert_eq!(items.iter().map(|(uid, _)| &**uid).collect::<Vec<_>>(), ["two@c", "one@c"]);
    let item = storage.pep_item(&node, "one@c").expect("read").expect("there");
    assert_eq!(item.xml, "<conference xmlns='urn:xmpp:bookmarks:1' name='one'/>");
    let rest = storage.private_xml(&juliet, "storage:bookmarks", "storage").expect("read");
    let want = "<storage xmlns='storage:bookmarks'><url url='u:one'/></storage>";
    assert_eq!(rest.as_deref(), Some(want));
}

/// More than a page of each, of several at the same time.
#[test]
fn pages_follow_each_other() {
    let archived = |n: usize| {
        format!(
            "<result xmlns='urn:xmpp:mam:2' id='m{n}'><forwarded xmlns='urn:xmpp:forward:0'>\
             <delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:{:02}Z'/>\
             <message xmlns='jabber:client' from='a@b' to='juliet@localhost' type='chat'>\
             <body>{n}</body></message></forwarded></result>\n",
            n / 500
        )
    };
    let waiting = |n: usize| {
        format!(
            "<message xmlns='jabber:client' from='a@b' to='juliet@localhost' type='chat'>\
             <body>{n} {}</body><delay xmlns='urn:xmpp:delay' from='localhost' \
             stamp='2026-01-01T00:00:{:02}Z'/></message>\n",
            "x".repeat(200_000),
            n / 9
        )
    };
    let (archived, waiting): (String, String) =
        ((0..1_203).map(archived).collect(), (0..13).map(waiting).collect());
    let xml = user(&format!(
        "<archive xmlns='urn:xmpp:pie:0#mam'>\n{archived}</archive>\n\
         <offline-messages>\n{waiting}</offline-messages>\n"
    ));
    let mut storage = Storage::memory();
    import_into(&mut storage, &xml).expect("imported");
    let text = exported(&mut storage);
    assert!(text.contains(&archived) && text.contains(&waiting));
}

/// XEP-0227 §5.1, and a file beside the layout there.
#[test]
fn files_may_include_others() {
    let includes = |name: &str, attribute: &str, href: &str| {
        format!(
            "<{name} xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude' \
             {attribute}>\n<xi:include href='{href}'/></{name}>"
        )
    };
    let main = includes("server-data", "", "hosts/localhost.xml");
    let host = includes("host", "jid='localhost'", "localhost/juliet.xml");
    let user = includes("user", "name='juliet' password='x'", "../../roster.xml");
    let roster = "<query xmlns='jabber:iq:roster'><item jid='romeo@localhost'/></query>";
    let mut files = vec![
        ("f.xml", &*main),
        ("hosts/localhost.xml", &*host),
        ("hosts/localhost/juliet.xml", &*user),
        ("hosts/localhost/../../roster.xml", roster),
    ];
    let mut storage = Storage::memory();
    assert_eq!(import_all(&mut storage, &files).expect("imported").accounts, 1);
    let found = storage.roster(&jid("juliet@localhost")).expect("read");
    assert_eq!(found[0].jid, jid("romeo@localhost"));
    // What is wrong is told of the file that it is in.
    files[3].1 = "<query xmlns='jabber:iq:roster'>\n<item/></query>";
    let error = import_all(&mut Storage::memory(), &files).expect_err("no address");
    let want = "hosts/localhost/../../roster.xml: line 2: juliet@localhost: not a contact";
    assert!(error.starts_with(want), "{error}");
    files.pop();
    let error = import_all(&mut Storage::memory(), &files).expect_err("no file");
    let want = "hosts/localhost/juliet.xml: line 2: juliet@localhost: ";
    assert!(error.starts_with(want) && error.ends_with("there is no such file"), "{error}");
    let xml = "<include xmlns='http://www.w3.org/2001/XInclude' href='f.xml'/>";
    let error = import_into(&mut Storage::memory(), xml).expect_err("a circle");
    assert!(error.contains("too deep"), "{error}");
}

#[test]
fn user_data_is_not_included() {
    let include = "<include xmlns='http://www.w3.org/2001/XInclude' href='secret.xml'/>";
    let xml = user(&format!(
        "<query xmlns='jabber:iq:private'>{include}<a xmlns='u:a'>{include}</a></query>"
    ));
    let mut storage = Storage::memory();
    import_into(&mut storage, &xml).expect("imported");
    let kept = storage.private_xml(&jid("juliet@localhost"), "u:a", "a").expect("read");
    assert!(kept.is_some_and(|xml| xml.contains("href='secret.xml'")));
}

#[test]
fn what_is_wrong_is_refused_with_its_line() {
    for (xml, want) in [
        ("<x/>", "f.xml: line 1: this is not the portable format"),
        ("<server-data/>", "f.xml: line 1: this is not the portable format"),
        ("<server-data xmlns='urn:xmpp:pie:1'/>", "f.xml: line 1: this is not the portable"),
        ("<server-data xmlns='urn:xmpp:pie:0'/><x/>", "f.xml: line 1: "),
        ("", "f.xml: line 1: "),
    ] {
        let error = import_into(&mut Storage::memory(), xml).expect_err(xml);
        assert!(error.starts_with(want), "{xml}: {error}");
    }
    for (inner, want) in [
        ("<user/>", "line 2: a user without a name"),
        ("<user name='a b' password='x'/>", "line 2: not an account"),
        ("<user name='a'>\n</user>", "line 3: a@localhost: there is neither a password"),
        ("<user name='a' password=''/>", "the password cannot be used"),
        (
            "<user name='a' password='x'/>\n<user name='A' password='x'/>",
            "line 3: the account a@localhost exists already",
        ),
        ("<user name='a'", "line 2: "),
        ("<user name='a'></host>", "line 2: "),
    ] {
        let host = format!("<host jid='localhost'>\n{inner}</host>");
        let xml = format!("<server-data xmlns='urn:xmpp:pie:0'>{host}</server-data>");
        let mut storage = Storage::memory();
        let error = import_into(&mut storage, &xml).expect_err(&xml);
        assert!(error.contains(want), "{xml}: {error}");
        assert_eq!(storage.accounts(), Ok(vec![]));
    }
    let elsewhere = "<server-data xmlns='urn:xmpp:pie:0'><host jid='example.org'>\
                     <user name='a' password='x'/></host></server-data>";
    let error = import_into(&mut Storage::memory(), elsewhere).expect_err("another server's");
    assert!(error.contains("example.org"), "{error}");
}

/// Of every kind of data something that makes no sense.
#[test]
fn what_is_wrong_of_a_user() {
    let keys = |mechanism: &str, count: &str, salt: &str| {
        format!(
            "<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='{mechanism}'>\
             <iter-count>{count}</iter-count><salt>{salt}</salt><server-key>AA==</server-key>\
             <stored-key>AA==</stored-key></scram-credentials>"
        )
    };
    let roster = |item: &str| format!("<query xmlns='jabber:iq:roster'>{item}</query>");
    let archive = |result: &str| format!("<archive xmlns='urn:xmpp:pie:0#mam'>{result}</archive>");
    let result = |id: &str, delay: &str, message: &str| {
        format!(
            "<result xmlns='urn:xmpp:mam:2' {id}><forwarded xmlns='urn:xmpp:forward:0'>\
             <delay xmlns='urn:xmpp:delay' {delay}/><message xmlns='jabber:client' {message}/>\
             </forwarded></result>"
        )
    };
    let time = "stamp='2026-01-01T00:00:00Z'";
    let offline = |message: &str| {
        format!("<offline-messages><message xmlns='jabber:client' {message}/></offline-messages>")
    };
    let items =
        |items: &str| format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'>{items}</pubsub>");
    let owned = |inner: &str| {
        format!("<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'>{inner}</pubsub>")
    };
    let twice = result("id='1'", time, "from='romeo@localhost'").repeat(2);
    for (children, want) in [
        (keys("SCRAM-SHA-1", "0", "AA=="), "no possible number"),
        (keys("SCRAM-SHA-1", "4096", ""), "no possible size"),
        (keys("SCRAM-SHA-256", "4096", "AA=="), "not of the size"),
        (keys("SCRAM-SHA-256", "4096", "?"), "not base64"),
        (roster("<item jid='@'/>"), "not a contact: \"@\""),
        (roster("<item/>"), "not a contact"),
        (roster("<item jid='a@b' subscription='x'/>"), "no subscription is \"x\""),
        ("<presence xmlns='jabber:client' type='subscribe'/>".into(), "comes from nobody"),
        ("<blocklist xmlns='urn:xmpp:blocking'><item jid='@'/></blocklist>".into(), "\"@\""),
        ("<query xmlns='jabber:iq:private'><a xmlns=''/></query>".into(), "of its own"),
        (archive(&result("", time, "")), "without an id"),
        (archive(&result("id='1'", "", "")), "a delay without a stamp"),
        (archive(&result("id='1'", "stamp='now'", "")), "not a time: \"now\""),
        (archive(&result("id='1'", time, "from='@'")), "from is no address"),
        (archive(&result("id='1'", time, "to='@'")), "to is no address"),
        (archive(&twice), "two archived messages"),
        (archive("<result xmlns='urn:xmpp:mam:2' id='1'/>"), "without a time"),
        ("<prefs xmlns='urn:xmpp:mam:2' default='maybe'/>".into(), "archive preferences"),
        (offline(""), "comes from nobody"),
        (offline("from='romeo@localhost'"), "to nobody"),
        (offline("from='romeo@localhost' to='nurse@localhost'"), "somebody else"),
        ("<last xmlns='urn:tercet:export:0'/>".into(), "without a stamp"),
        (items("<items><item id='1'/></items>"), "items without a node"),
        (items("<items node='n'><item/></items>"), "without a possible id"),
        (items("<items node='n'><item id='1'><a/><b/></item></items>"), "two payloads"),
        (items("<items node='n'><item id='1'/></items>"), "\"n\" has no configuration"),
        (owned("<configure node='n'/>"), "without a form"),
        (owned("<affiliations node='n'><affiliation jid='@'/></affiliations>"), "\"@\""),
    ] {
        let mut storage = Storage::memory();
        let error = import_into(&mut storage, &user(&children)).expect_err(&children);
        let is_told = error.starts_with("f.xml: line ") && error.contains(want);
        assert!(is_told, "{children}: {error}");
        assert_eq!(storage.accounts(), Ok(vec![]), "{children}");
    }
}

/// What no client could put there, or could never read again.
#[test]
fn what_is_too_large_names_its_limit() {
    let message = |bytes: usize| {
        format!(
            "<offline-messages><message xmlns='jabber:client' from='a@b' to='juliet@localhost'>\
             <body>{}</body></message></offline-messages>",
            "x".repeat(bytes)
        )
    };
    let private = |bytes: usize| {
        let text = "x".repeat(bytes);
        format!("<query xmlns='jabber:iq:private'><a xmlns='u:a'>{text}</a></query>")
    };
    let blocked: String = (0..1_001).map(|n| format!("<item jid='d{n}'/>")).collect();
    let contacts: String = (0..2_001).map(|n| format!("<item jid='c{n}@d'/>")).collect();
    for (children, want) in [
        (message(300_000), "limits.stanza_bytes"),
        (private(300_000), "limits.private_bytes"),
        (message(17_000_000), "line 3: juliet@localhost: This document is larger"),
        (format!("<vCard xmlns='vcard-temp'><FN>{}</FN></vCard>", "x".repeat(140_000)), "vcard"),
        (format!("<blocklist xmlns='urn:xmpp:blocking'>{blocked}</blocklist>"), "1001 blocked"),
        (format!("<query xmlns='jabber:iq:roster'>{contacts}</query>"), "limits.roster_items"),
    ] {
        let error = import_into(&mut Storage::memory(), &user(&children)).expect_err(want);
        assert!(error.contains(want), "{want}: {error}");
    }
    import_into(&mut Storage::memory(), &user(&message(250_000))).expect("imported");
}

/// Whichever write it is that fails or takes the transaction with it, nothing is there afterwards.
#[test]
fn storage_that_fails_is_left_as_it_was() {
    let text = exported(&mut filled());
    for fault in [Fault::FailWrite, Fault::LoseWrite] {
        let mut writes = 0;
        loop {
            writes += 1;
            let mut storage = Storage::memory();
            storage.inject(fault(writes));
            let Err(error) = import_into(&mut storage, &text) else { break };
            assert!(error.starts_with("f.xml: ") || writes == 1, "{error}");
            assert!(error.contains("the database"), "{error}");
            assert_eq!(storage.accounts(), Ok(vec![]));
        }
        assert!(writes > 10, "{writes}");
    }
}
