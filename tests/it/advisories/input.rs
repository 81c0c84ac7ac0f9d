//! Bytes that try to be something else: smuggled stanzas, floods, nonsense.

use tercet::xml::Node;
use tercet::xmpp::ns;

use crate::inproc::InProcess;
use crate::party::{HEADER, Party, Who, Windows, in_process, plain};
use crate::setup::Seeded;

type Local = Party<InProcess<Windows>>;

/// Romeo sends, Juliet is to get it.
fn couple() -> (Local, Who, Who) {
    let mut party = in_process("", &["romeo", "juliet", "witness"]);
    let juliet = party.login("juliet/balcony");
    let romeo = party.login("romeo");
    party.guests[juliet].transcript.clear();
    (party, romeo, juliet)
}

#[test]
fn advisory_a18_what_is_passed_on_is_what_was_understood() {
    let inside = [
        "<body>&lt;/body&gt;&lt;/message&gt;&lt;message from='nurse@localhost'/&gt;</body>",
        "<body><![CDATA[</body></message><message from='nurse@localhost'><body>]]></body>",
        "<body>]]&gt;</body>",
        "<body a=\"'/&gt;&lt;message/&gt;\"/>",
        "<body a='&#10;&#13;&#9;\"'>&#13;&#10;</body>",
        "<a:b xmlns:a='urn:a' a:c='1'><a:d/></a:b>",
        "<b xmlns='urn:a'><c xmlns='jabber:client'/><c xmlns=''/></b>",
        "<b xmlns='urn:a' xmlns:jabber='jabber:client'><jabber:message/></b>",
        "<s:error xmlns:s='http://etherx.jabber.org/streams'/>",
        "<b xmlns='urn:a&amp;&lt;&apos;&quot;'/>",
        "<body>\u{10ffff}\u{1f600}\u{e9}</body>",
    ];
    let (mut party, romeo, juliet) = couple();
    for text in inside {
        party.send(romeo, &format!("<message to='juliet@localhost/balcony'>{text}</message>"));
        party.fence(romeo);
        party.fence(juliet);
        let heard = party.take_elements(juliet);
        assert_eq!(heard.len(), 1, "{text}: {heard:?}");
        let sent = crate::matcher::parse(&format!("<message>{text}</message>")).expect("XML");
        // Beside it, by which id the archive has it.
        let is_own = |node: &&Node| matches!(node, Node::Element(e) if e.is("stanza-id", ns::SID));
        let passed: Vec<_> = heard[0].children.iter().filter(|node| !is_own(node)).collect();
        assert_eq!(passed, sent[0].children.iter().collect::<Vec<_>>(), "{text}");
        assert!(heard[0].attr("from").is_some_and(|from| from.starts_with("romeo@localhost/")));
        let raw = std::mem::take(&mut party.guests[juliet].transcript);
        let raw = String::from_utf8(raw).expect("UTF-8");
        assert_eq!(raw.matches("<message").count() - sent_messages(&sent[0]), 0, "{raw}");
        assert!(!raw.contains("<![CDATA["), "{raw}");
    }
}

/// Elements by that name in what was sent, itself included.
fn sent_messages(element: &tercet::xml::Element) -> usize {
    usize::from(&*element.name == "message") + element.elements().map(sent_messages).sum::<usize>()
}

#[test]
fn advisory_a18_what_two_parsers_might_read_differently_is_refused() {
    let illegal: &[&[u8]] = &[
        b"<body>\xff</body>",
        b"<body>\xc0\xbc/body\xc0\xbe</body>",
        b"<body>\xed\xa0\x80</body>",
        b"<body>\xf4\x90\x80\x80</body>",
        b"<body>\xe2\x82</body>",
        b"<body>\0</body>",
        b"<body>\x0b</body>",
        b"<body>&#0;</body>",
        b"<body>&#x1F;</body>",
        b"<body>&#xD800;</body>",
        b"<body>&#xFFFF;</body>",
        b"<body>&unknown;</body>",
        b"<body>a & b</body>",
        b"<body a='1' a='2'/>",
        b"<body a='<'/>",
        b"<body a=1/>",
        b"<body a/>",
        b"<body/ >",
        b"< body/>",
        b"<1body/>",
        b"<body></BODY>",
        b"<a:body/>",
        b"<body a:b='1'/>",
        b"<b xmlns:a='urn:a' xmlns:b='urn:a' a:c='' b:c=''/>",
        b"<b xmlns:a=''/>",
        b"<b xmlns:xmlns='urn:a'/>",
        b"<b xmlns:xml='urn:a'/>",
        b"<xmlns:b/>",
        b"<a:b:c xmlns:a='urn:a'/>",
        b"<body>]]></body>",
        b"<?xml version='1.0'?><body/>",
        b"<body></message><message>",
    ];
    let (mut party, _, juliet) = couple();
    for text in illegal {
        let romeo = party.login("romeo");
        let shown = String::from_utf8_lossy(text).into_owned();
        party.send_bytes(romeo, b"<message to='juliet@localhost/balcony'>");
        party.send_bytes(romeo, text);
        party.send_bytes(romeo, b"</message>");
        party.wait_until(&shown, |party| party.has_ended(romeo));
        party.fence(juliet);
        let heard = party.take_elements(juliet);
        assert!(heard.is_empty(), "{shown}: {heard:?}");
    }
}

#[test]
fn advisory_a19_floods_are_bounded() {
    // Who asks and does not read the answers.
    let toml = "[limits]\nstanza_bytes = 20000\noutbox_bytes = 100000";
    let mut party = in_process(toml, &["romeo", "juliet", "witness"]);
    let (witness, romeo) = (party.join("witness", "room"), party.login("romeo"));
    party.shut_window(romeo);
    let mut asked = 0;
    while !party.has_ended(romeo) {
        party.send(
            romeo,
            &"<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>".repeat(50),
        );
        asked += 50;
        assert!(asked < 5_000, "{asked} answers wait");
        party.settle();
        assert!(party.server().residue().outbox_bytes <= 100_000);
    }
    // Presence to somebody who does not read.
    let (juliet, romeo) = (party.join("juliet", "room"), party.join("romeo", "room"));
    party.shut_window(juliet);
    let status = "x".repeat(2_000);
    let mut sent = 0;
    while !party.has_ended(juliet) {
        let to = "room@conference.localhost/romeo";
        party.send(
            romeo,
            &format!("<presence to='{to}'><status>{sent}{status}</status></presence>"),
        );
        sent += 1;
        assert!(sent < 1_000, "{sent} presences wait");
        party.settle();
        assert!(party.server().residue().outbox_bytes <= 100_000);
    }
    party.fence(witness);
    party.fence(romeo);
    party.check_residue();
}

/// What clients say, to be spoilt.
fn corpus() -> Vec<String> {
    let room = "room@conference.localhost";
    let query = |ns: &str, inside: &str| format!("<query xmlns='{ns}'>{inside}</query>");
    let iq = |kind: &str, to: &str, payload: &str| {
        format!("<iq type='{kind}' id='1' to='{to}' xml:lang='en'>{payload}</iq>")
    };
    let admin = format!("{}#admin", ns::MUC);
    let item = "<item affiliation='member' jid='a@localhost'><reason>r</reason></item>";
    let form = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
                <value>http://jabber.org/protocol/muc#roomconfig</value></field>\
                <field var='muc#roomconfig_maxusers'><value>10</value></field></x>";
    let invite = "<invite to='juliet@localhost'><reason>r</reason><continue thread='t'/></invite>";
    let history = "<history maxchars='5' since='2001-01-01T00:00:00Z'/>";
    let gone = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let contact = "<item jid='x@y' name='n'><group>g</group></item>";
    let newcomer = "<username>u</username><password>p</password>";
    let bind = format!("<bind xmlns='{}'><resource>r</resource></bind>", ns::BIND);
    let owner = format!("{}#owner", ns::MUC);
    vec![
        HEADER.to_owned(),
        plain("romeo", "secret"),
        "<presence><show>away</show><priority>5</priority><status>s</status></presence>".to_owned(),
        format!("<presence to='{room}/nick'><x xmlns='{}'>{history}</x></presence>", ns::MUC),
        format!("<presence type='unavailable' to='{room}/nick'><status>s</status></presence>"),
        format!("<message type='groupchat' to='{room}'><body>ä€😀</body></message>"),
        format!("<message type='groupchat' to='{room}'><subject>s</subject></message>"),
        format!("<message type='chat' to='{room}/nick'><body>p</body></message>"),
        format!("<message to='{room}'><x xmlns='{}#user'>{invite}</x></message>", ns::MUC),
        "<message to='juliet@localhost' type='headline'><body>b</body></message>".to_owned(),
        format!("<message type='error' to='{room}'>{gone}</message>"),
        iq("get", room, &query(ns::DISCO_INFO, "")),
        iq("get", "localhost", &query(ns::DISCO_ITEMS, "")),
        iq("set", room, &query(&admin, item)),
        iq("get", room, &query(&admin, "<item role='moderator'/>")),
        iq("set", room, &query(&owner, form)),
        iq("get", room, &query(&owner, "")),
        iq("get", &format!("{room}/nick"), "<ping xmlns='urn:xmpp:ping'/>"),
        iq("set", "romeo@localhost", &query("jabber:iq:roster", contact)),
        iq("set", "localhost", &query("jabber:iq:register", newcomer)),
        iq("set", "localhost", &bind),
        "</stream:stream>".to_owned(),
    ]
}

/// Spoils some bytes: other ones, none, twice the same, parts of another stanza.
fn spoil(dice: &mut Seeded, bytes: &mut Vec<u8>, corpus: &[String]) {
    const MARKS: &[u8] = b"<>/'\"&;=:# \0\xff\xc3xa0";
    for _ in 0..dice.below(4) {
        let at = dice.below(bytes.len().max(1)).min(bytes.len());
        match dice.below(5) {
            0 if at < bytes.len() => bytes[at] = MARKS[dice.below(MARKS.len())],
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.insert(at, MARKS[dice.below(MARKS.len())]),
            3 => {
                let end = (at + dice.below(30)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let other = corpus[dice.below(corpus.len())].as_bytes();
                let from = dice.below(other.len());
                let to = (from + dice.below(60)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
}

/// `TERCET_SEED` sets the seed, `TERCET_FUZZ` the number of inputs.
#[test]
fn advisory_a25_no_input_brings_the_server_down() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("TERCET_SEED").unwrap_or(1);
    let count = number("TERCET_FUZZ").unwrap_or(1_200);
    println!("TERCET_SEED={seed}");
    let mut dice = Seeded(seed);
    let corpus = corpus();
    let mut party = in_process("sasl.failure_delay_ms = 0", &["romeo", "juliet", "witness"]);
    party.keeps_transcripts = false;
    let witness = party.join("witness", "room");
    let mut guests = [party.open(), party.login("romeo"), party.login("juliet")];
    for n in 0..count {
        let place = dice.below(guests.len());
        if party.has_ended(guests[place]) {
            guests[place] = match place {
                0 => party.open(),
                1 => party.login("romeo"),
                _ => party.login("juliet"),
            };
        }
        let mut bytes = corpus[dice.below(corpus.len())].clone().into_bytes();
        spoil(&mut dice, &mut bytes, &corpus);
        let link = party.guests[guests[place]].link;
        party.driver.world.write(link, &bytes);
        // Mostly one at a time; now and then several within one turn.
        if !dice.one_in(4) {
            party.settle();
        }
        if n % 20 == 0 {
            // A stream may be within a text that never ends: a new one, now and then.
            party.cut(guests[place]);
        }
        if n % 100 == 0 {
            party.fence(witness);
            party.take(witness);
        }
    }
    party.fence(witness);
    party.check_residue();
}
