//! Streams before login: what strangers may cost, and what they cannot get past.

use tercet::xmpp::ns;

use crate::client::Item;
use crate::inproc::InProcess;
use crate::party::{HEADER, Party, Who, Windows, describe, in_process, over_sockets, plain};

type Local = Party<InProcess<Windows>>;

const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// Ten entities, each ten times the one before.
fn billion_laughs() -> String {
    let entities: String = (1..10)
        .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
        .collect();
    format!("<!DOCTYPE lolz [<!ENTITY l0 \"lol\">{entities}]>")
}

#[test]
fn advisory_a01_entities_are_refused_before_they_are_expanded() {
    let mut party = in_process("", &["romeo"]);
    let laughs = billion_laughs();
    let forbidden = [
        laughs.as_str(),
        "<!DOCTYPE x SYSTEM 'file:///etc/passwd'>",
        "<?target data?>",
        "<!-- a comment -->",
    ];
    for text in forbidden {
        let before_header = party.open();
        party.send(before_header, &format!("{text}{HEADER}"));
        let items = party.end(before_header);
        let all: String = items.iter().map(describe).collect();
        assert!(all.contains("<restricted-xml "), "{text}: {all}");
        let after_header = party.open_stream();
        party.send(after_header, text);
        party.end_with(after_header, "restricted-xml");
        let within = party.login("romeo");
        party.send(within, &format!("<message to='romeo@localhost'><body>{text}</body></message>"));
        party.end_with(within, "restricted-xml");
    }
    // An entity that nobody has defined is no entity.
    let who = party.login("romeo");
    party.send(who, "<message><body>&l9;</body></message>");
    party.end_with(who, "restricted-xml");
    // The five that XML defines are fine.
    let who = party.login("romeo");
    party.send(who, "<presence/>");
    party.send(
        who,
        "<message to='romeo@localhost'><body>&lt;&amp;&gt;&apos;&quot;</body></message>",
    );
    let heard = party.receive(who, "<message><body/></message>");
    assert_eq!(heard.child("body", ns::CLIENT).expect("matched").text(), "<&>'\"");
    party.check_residue();
}

#[test]
fn advisory_a02_no_compression() {
    let mut party = in_process("", &["romeo"]);
    let compress = "<compress xmlns='http://jabber.org/protocol/compress'>\
                    <method>zlib</method></compress>";
    let stranger = party.open();
    party.send(stranger, HEADER);
    let features = party.receive(stranger, "<stream:features/>");
    assert!(!format!("{features:?}").contains("compress"));
    party.send(stranger, compress);
    party.end_with(stranger, "unsupported-stanza-type");
    // After login, where XEP-0138 has it negotiated.
    let user = party.open_stream();
    party.send(user, &plain("romeo", "secret"));
    party.receive(user, SUCCESS);
    party.send(user, HEADER);
    let features = party.receive(user, "<stream:features/>");
    assert!(!format!("{features:?}").contains("compress"));
    party.send(user, compress);
    party.end_with(user, "unsupported-stanza-type");
    let bound = party.login("romeo");
    party.send(bound, compress);
    party.end_with(bound, "unsupported-stanza-type");
}

/// The steps of a negotiation, each with what a client sends and what it waits for.
fn steps() -> Vec<Vec<(String, &'static str)>> {
    let scram = crate::sasl::base64(b"n,,n=romeo,r=nonce");
    let auth = |mechanism: &str, text: &str| {
        format!("<auth xmlns='{}' mechanism='{mechanism}'>{text}</auth>", ns::SASL)
    };
    let header = || (HEADER.to_owned(), "<stream:features/>");
    let login = || (plain("romeo", "secret"), SUCCESS);
    let nothing = |text: &str| (text.to_owned(), "");
    let challenge = "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{any}</challenge>";
    let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    vec![
        vec![],
        vec![nothing(&HEADER[..40])],
        vec![header()],
        vec![header(), nothing("<iq type='get' id='1'><query xmlns='jabber:iq:register'>")],
        vec![header(), (STARTTLS.to_owned(), PROCEED)],
        vec![header(), nothing(&plain("romeo", "secret"))],
        vec![header(), nothing(&plain("romeo", "wrong"))],
        vec![header(), (auth("SCRAM-SHA-256", &scram), challenge)],
        vec![header(), login()],
        vec![header(), login(), header()],
        vec![header(), login(), header(), (bind.to_owned(), "<iq type='result' id='b'/>")],
        vec![header(), nothing("</stream:stream>")],
        vec![header(), nothing("<nonsense")],
    ]
}

#[test]
fn advisory_a03_nothing_is_left_of_connections_that_go() {
    let mut party = in_process("", &["romeo"]);
    for step in steps() {
        for round in 0..40 {
            let who = party.open();
            for (text, answer) in &step {
                party.post(who, text);
                if !answer.is_empty() {
                    party.receive(who, answer);
                }
            }
            // Some go before what they sent last is read, others when it is.
            if round % 2 == 0 {
                party.settle();
            }
            party.cut(who);
        }
        party.check_residue();
    }
}

/// Memory comes back from the allocator only in part, so what counts is that further connections
/// need no more than the first ones did. `TERCET_CONNECTIONS` sets how many there are.
#[cfg(target_os = "linux")]
#[test]
fn advisory_a03_memory_does_not_grow_with_connections_that_go() {
    use crate::driver::Driver as _;
    const ROUNDS: usize = 4;
    let count = std::env::var("TERCET_CONNECTIONS").ok().and_then(|text| text.parse().ok());
    let count: usize = count.unwrap_or(2_600);
    let toml = "log = 'info'\n[limits]\nunauthenticated_seconds = 1";
    let mut party = over_sockets(toml, &["romeo"]);
    party.is_polite = false;
    let steps = steps();
    let mut resident_bytes = Vec::new();
    for _ in 0..=ROUNDS {
        for n in 0..count / ROUNDS {
            let who = party.open();
            for (text, answer) in &steps[n % steps.len()] {
                party.send(who, text);
                if !answer.is_empty() {
                    party.receive(who, answer);
                }
            }
            party.driver.cut(party.guests[who].link);
        }
        let last = party.login("romeo");
        party.fence(last);
        party.driver.cut(party.guests[last].link);
        resident_bytes.push(party.driver.process.resident_bytes());
    }
    // The first round warms everything up.
    println!("resident bytes after each round: {resident_bytes:?}");
    let grown = resident_bytes[ROUNDS].saturating_sub(resident_bytes[0]);
    assert!(
        grown < 100 * count as u64,
        "{grown} bytes for {count} connections: {resident_bytes:?}"
    );
}

/// Sends an endless text in pieces; returns after how many bytes the server had enough.
fn bytes_until_refused(party: &mut Local, who: Who, start: &str, piece: &str) -> usize {
    party.send(who, start);
    let mut bytes = start.len();
    while !party.has_ended(who) {
        assert!(bytes < 100_000, "{start}{piece}… goes on for ever");
        party.send(who, piece);
        bytes += piece.len();
        party.settle();
    }
    bytes
}

#[test]
fn advisory_a04_what_a_stranger_may_cost_is_bounded() {
    let mut party = in_process("limits.stanza_bytes_unauthenticated = 10240", &["romeo"]);
    let endless = [
        ("<iq><a>", "text text text "),
        ("<iq>", "<a>"),
        ("<iq>", "<a/>"),
        ("<iq a='", "value "),
        ("<iq ", "name"),
        ("<", "name"),
        ("<iq><a", " b"),
        ("<iq>", "<![CDATA[x]]>"),
        ("<iq>", "&amp;"),
    ];
    for (start, piece) in endless {
        let who = party.open_stream();
        let bytes = bytes_until_refused(&mut party, who, start, piece);
        assert!(bytes <= 10_240 + 2 * piece.len(), "{start}{piece}: {bytes} bytes");
        let who = party.open();
        let bytes =
            bytes_until_refused(&mut party, who, &start.replace("iq", "stream:stream"), piece);
        assert!(bytes <= 10_240 + 2 * piece.len(), "{start}{piece}: {bytes} bytes");
    }
    // Attributes and namespaces that fit into so many bytes all the same.
    for name in ["a", "xmlns:a"] {
        let many: String = (0..65).map(|n| format!(" {name}{n}='u'")).collect();
        let who = party.open_stream();
        party.send(who, &format!("<iq{many}/>"));
        party.end_with(who, "policy-violation");
    }
    party.check_residue();
    // The deadline, and the connections of one address.
    let mut party = in_process("[limits]\nconnections_per_address = 3", &[]);
    for _ in 0..3 {
        party.open_stream();
    }
    assert!(!party.is_admitted());
    party.pass(30_000);
    assert!(party.is_admitted(), "their time is over");
}

#[test]
fn advisory_a06_a_restarted_stream_keeps_its_host() {
    let mut party = in_process("domains = ['localhost', 'verona.example']", &["romeo"]);
    let elsewhere = HEADER.replace("localhost", "verona.example");
    let who = party.open_stream();
    party.send(who, &plain("romeo", "secret"));
    party.receive(who, SUCCESS);
    party.send(who, &elsewhere);
    let items = party.end(who);
    let all: String = items.iter().map(describe).collect();
    assert!(!all.contains("<bind "), "{all}");
    assert!(matches!(items.last(), Some(Item::Close)), "{all}");
    // Before login, over the switch to TLS, the same.
    let who = party.open_stream();
    party.send(who, STARTTLS);
    party.receive(who, PROCEED);
    let link = party.guests[who].link;
    party.driver.world.start_tls(link).expect("it is time");
    party.guests[who].client.tls_is_up();
    party.send(who, &elsewhere);
    let all: String = party.end(who).iter().map(describe).collect();
    assert!(!all.contains("<mechanisms "), "{all}");
    // Somebody else's address in the header of the authenticated stream.
    let who = party.open_stream();
    party.send(who, &plain("romeo", "secret"));
    party.receive(who, SUCCESS);
    party.send(who, &HEADER.replace("to=", "from='juliet@localhost' to="));
    party.end_with(who, "invalid-from");
}

#[test]
fn advisory_a06_a_restarted_stream_keeps_its_tls() {
    let mut party = in_process("c2s.require_tls = true", &["romeo"]);
    let who = party.open_stream();
    party.send(who, STARTTLS);
    party.receive(who, PROCEED);
    let link = party.guests[who].link;
    party.driver.world.start_tls(link).expect("it is time");
    party.guests[who].client.tls_is_up();
    party.send(who, HEADER);
    let features = party.receive(who, "<stream:features/>");
    assert!(features.child("starttls", ns::TLS).is_none(), "{features:?}");
    party.send(who, &plain("romeo", "secret"));
    party.receive(who, SUCCESS);
    party.send(who, HEADER);
    let features = party.receive(who, "<stream:features/>");
    assert!(features.child("starttls", ns::TLS).is_none(), "{features:?}");
    party.send(who, STARTTLS);
    let all: String = party.end(who).iter().map(describe).collect();
    assert!(!all.contains("<proceed"), "{all}");
}

#[test]
fn advisory_a07_clear_text_after_starttls_is_never_obeyed() {
    let mut party = in_process("", &["romeo"]);
    let auth = plain("romeo", "secret");
    let authenticate = format!(
        "<authenticate xmlns='{}' mechanism='PLAIN'><initial-response>{}</initial-response>\
         </authenticate>",
        ns::SASL2,
        crate::sasl::base64(b"\0romeo\0secret")
    );
    let register = "<iq type='set' id='r'><query xmlns='jabber:iq:register'>\
                    <username>x</username><password>y</password></query></iq>";
    let others = [register, HEADER, " ", "\n", "<", "</stream:stream>", "\u{feff}"];
    for injected in [auth.as_str(), authenticate.as_str()].into_iter().chain(others) {
        let who = party.open_stream();
        party.send(who, &format!("{STARTTLS}{injected}"));
        let all: String = party.end(who).iter().map(describe).collect();
        for answer in ["<proceed", "<success", "<failure", "id='r'"] {
            assert!(!all.contains(answer), "{injected:?}: {all}");
        }
    }
    // In the same segment as the handshake: taken for TLS, which it is not.
    let who = party.open_stream();
    party.send(who, STARTTLS);
    party.receive(who, PROCEED);
    party.send(who, &auth);
    let link = party.guests[who].link;
    party.driver.world.start_tls(link).expect("it is time");
    let all: String = party.end(who).iter().map(describe).collect();
    assert!(all.is_empty(), "{all}");
    party.check_residue();
}

#[test]
fn advisory_a07_clear_text_after_proceed_ends_the_connection() {
    let mut party = over_sockets("", &["romeo"]);
    for injected in [plain("romeo", "secret"), HEADER.to_owned(), "  ".to_owned()] {
        let who = party.open_stream();
        party.send(who, STARTTLS);
        party.receive(who, PROCEED);
        let before = party.guests[who].transcript.len();
        // Whatever follows, a whole handshake too, comes too late.
        party.send(who, &injected.repeat(200));
        // What comes back is at most an alert of TLS, which is no XML.
        party.guests[who].client = crate::client::Client::raw(party.identity("nobody"));
        party.wait_until("the end", |party| party.has_ended(who));
        let answer = &party.guests[who].transcript[before..];
        assert!(answer.len() < 16 && !answer.contains(&b'<'), "{answer:?}");
    }
}
