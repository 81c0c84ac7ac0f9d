//! Logins: whose session it becomes, and what a stranger learns from them.

use tercet::xmpp::ns;

use crate::inproc::InProcess;
use crate::party::{Party, Who, Windows, in_process, setup_on_disk};
use crate::sasl::{base64, unbase64};

type Local = Party<InProcess<Windows>>;

const INVALID: &str =
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{etc}<invalid-authzid/></failure>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

fn auth(mechanism: &str, message: &[u8]) -> String {
    format!("<auth xmlns='{}' mechanism='{mechanism}'>{}</auth>", ns::SASL, base64(message))
}

#[test]
fn advisory_a05_nobody_logs_in_as_somebody_else() {
    let mut party = in_process("domains = ['localhost', 'verona.example']", &["romeo", "juliet"]);
    let others = [
        "juliet@localhost",
        "juliet",
        "romeo",
        "romeo@verona.example",
        "localhost",
        "@",
        "nobody@x",
    ];
    for other in others {
        let who = party.open_stream();
        party.send(who, &auth("PLAIN", format!("{other}\0romeo\0secret").as_bytes()));
        party.receive(who, INVALID);
        for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
            let who = party.open_stream();
            let first = format!("n,a={other},n=romeo,r=nonce");
            party.send(who, &auth(mechanism, first.as_bytes()));
            party.receive(who, INVALID);
        }
    }
    // One's own address is one's own.
    let who = party.open_stream();
    party.send(who, &auth("PLAIN", b"romeo@localhost\0romeo\0secret"));
    party.receive(who, SUCCESS);
}

/// Salt and iterations that the server names for a user.
fn challenge(party: &mut Local, mechanism: &str, user: &str) -> (Vec<u8>, u32) {
    let who: Who = party.open_stream();
    party.send(who, &auth(mechanism, format!("n,,n={user},r=nonce").as_bytes()));
    let pattern = "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{any}</challenge>";
    let text = party.receive(who, pattern).text();
    let message = String::from_utf8(unbase64(&text).expect("base64")).expect("text");
    let fields: Vec<&str> = message.split(',').collect();
    let [nonce, salt, iterations, _announced] = fields[..] else { panic!("{message}") };
    assert!(nonce.starts_with("r=nonce") && nonce.len() >= "r=nonce".len() + 22, "{message}");
    let salt = unbase64(salt.strip_prefix("s=").expect("a salt")).expect("base64");
    (salt, iterations.strip_prefix("i=").expect("iterations").parse().expect("a number"))
}

#[test]
fn advisory_a13_unknown_users_look_like_known_ones() {
    let mut party = in_process("", &["romeo", "juliet"]);
    for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
        let known = challenge(&mut party, mechanism, "romeo");
        let unknown = challenge(&mut party, mechanism, "tybalt");
        assert_eq!(known.0.len(), unknown.0.len(), "{mechanism}: the length of the salt");
        assert_eq!(known.1, unknown.1, "{mechanism}: iterations");
        assert_eq!(challenge(&mut party, mechanism, "tybalt"), unknown, "stable");
        assert_eq!(challenge(&mut party, mechanism, "Tybalt"), unknown, "one name, one salt");
        assert_ne!(challenge(&mut party, mechanism, "mercutio").0, unknown.0, "one per name");
        assert_ne!(challenge(&mut party, mechanism, "juliet").0, known.0);
    }
    let sha1 = challenge(&mut party, "SCRAM-SHA-1", "tybalt").0;
    let sha256 = challenge(&mut party, "SCRAM-SHA-256", "tybalt").0;
    let known = challenge(&mut party, "SCRAM-SHA-1", "romeo").0
        == challenge(&mut party, "SCRAM-SHA-256", "romeo").0;
    assert_eq!(sha1 == sha256, known, "salts of two mechanisms are alike for all, or for nobody");
    // The refusals are the same, word by word.
    let mut refusals = Vec::new();
    for user in ["romeo", "tybalt"] {
        let who = party.open_stream();
        party.send(who, &auth("PLAIN", format!("\0{user}\0wrong").as_bytes()));
        refusals.push(
            party.receive(who, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{etc}</failure>"),
        );
    }
    assert_eq!(refusals[0], refusals[1]);
}

#[test]
fn advisory_a13_the_salt_of_an_unknown_user_outlives_the_server() {
    let setup = setup_on_disk("", &["romeo"]);
    let mut seen = Vec::new();
    let folder = setup.folder.as_ref().expect("on disk");
    let config = format!("data = '{}'", folder.path().join("data").display());
    for _ in 0..2 {
        let again = crate::setup::Setup::reopen(&config).expect("the same data");
        let mut party = Party::new(InProcess::new(again, Windows::default()).expect("a server"));
        seen.push(challenge(&mut party, "SCRAM-SHA-256", "tybalt"));
    }
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn advisory_a13_registration_tells_of_names_only_to_those_who_may_register() {
    let mut party = in_process("registration.in_band = 'loopback'", &["romeo"]);
    party.move_to("192.0.2.1");
    let who = party.open_stream();
    party.send(
        who,
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'>\
         <username>romeo</username><password>x</password></query></iq>",
    );
    let all: String = party.end(who).iter().map(crate::party::describe).collect();
    assert!(!all.contains("conflict"), "{all}");
}
