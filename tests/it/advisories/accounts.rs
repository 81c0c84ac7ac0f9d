//! Accounts: capabilities that somebody lies about, parameters that would be SQL, sessions that are
//! somebody else's.

use std::collections::BTreeSet;
use std::path::Path;

use tercet::xml::Element;
use tercet::xmpp::ns;

use crate::client::{Client, Identity};
use crate::inproc::InProcess;
use crate::matcher::to_text;
use crate::party::{Party, Who, Windows, in_process};

type Local = Party<InProcess<Windows>>;

/// The hash of one identity, disco#info, and the wish for what is published about tunes.
const VER: &str = "GqkbPjQTC6xLn7A2xhQKz04zrqA=";
const IDENTITY: &str = "<identity category='client' type='pc' name='Orchard'/>";
const INFO: &str = "<feature var='http://jabber.org/protocol/disco#info'/>";
const TUNE: &str = "<feature var='http://jabber.org/protocol/tune+notify'/>";

/// Says which capabilities it has; returns the id of the question, if it is asked.
fn announce(party: &mut Local, who: Who) -> Option<String> {
    let caps = format!("<c xmlns='{}' hash='sha-1' node='urn:x:client' ver='{VER}'/>", ns::CAPS);
    party.send(who, &format!("<presence>{caps}</presence>"));
    party.fence(who);
    let asked = party
        .take_elements(who)
        .into_iter()
        .find(|element| element.name == "iq" && element.child("query", ns::DISCO_INFO).is_some());
    asked.and_then(|asked| asked.attr("id").map(str::to_owned))
}

/// Publishes a tune; true: the publisher is told of it.
fn hears_of_tunes(party: &mut Local, who: Who) -> bool {
    let node = "http://jabber.org/protocol/tune";
    let item = format!("<item id='t'><tune xmlns='{node}'><title>T</title></tune></item>");
    let publish = format!("<publish node='{node}'>{item}</publish>");
    let pubsub = format!("<pubsub xmlns='{}'>{publish}</pubsub>", ns::PUBSUB);
    party.send(who, &format!("<iq type='set' id='t'>{pubsub}</iq>"));
    party.receive(who, "<iq type='result' id='t'/>");
    party.fence(who);
    party.take_elements(who).iter().any(|element| to_text(element).contains("#event"))
        || String::from_utf8_lossy(&party.guests[who].transcript).contains("#event")
}

/// Whatever somebody says about a hash, others with that hash are what they are.
#[test]
fn advisory_a22_nobody_speaks_for_the_hash_of_others() {
    let form = |form_type: &str| {
        format!(
            "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>\
             <value>{form_type}</value></field></x>"
        )
    };
    let avatar = "<feature var='urn:xmpp:avatar:metadata+notify'/>";
    let lies = [
        String::new(),
        IDENTITY.to_owned(),
        format!("{IDENTITY}{INFO}"),
        format!("{IDENTITY}{INFO}{TUNE}{avatar}"),
        format!("{IDENTITY}{INFO}{TUNE}{TUNE}"),
        format!("{IDENTITY}{IDENTITY}{INFO}{TUNE}"),
        format!("{IDENTITY}{INFO}{}", form("other")),
        // The same bytes are hashed.
        format!("{IDENTITY}{INFO}{}", form("http://jabber.org/protocol/tune+notify")),
        "<identity category='client' type='pc' \
         name='Orchard&lt;http://jabber.org/protocol/disco#info'/>\
         <feature var='http://jabber.org/protocol/tune+notify'/>"
            .to_owned(),
        "<identity category='client' type='pc' name='Orchard'/>\
         <identity category='http:' type='' xml:lang='jabber.org' name='protocol/disco#info'/>\
         <identity category='http:' type='' xml:lang='jabber.org' name='protocol/tune+notify'/>"
            .to_owned(),
    ];
    for lie in lies {
        let mut party = in_process("", &["mercutio", "juliet"]);
        let mercutio = party.login("mercutio");
        let id = announce(&mut party, mercutio).expect("the first is asked");
        let query = format!("<query xmlns='{}' node='urn:x:client#{VER}'>", ns::DISCO_INFO);
        party.send(mercutio, &format!("<iq type='result' id='{id}'>{query}{lie}</query></iq>"));
        party.fence(mercutio);
        let juliet = party.login("juliet");
        if let Some(id) = announce(&mut party, juliet) {
            let truth = format!("{IDENTITY}{INFO}{TUNE}");
            party.send(juliet, &format!("<iq type='result' id='{id}'>{query}{truth}</query></iq>"));
        }
        assert!(hears_of_tunes(&mut party, juliet), "{lie}");
        party.check_residue();
    }
}

const EVIL: &str = "' OR 1=1; DROP TABLE account; --";

fn escaped() -> String {
    EVIL.replace('\'', "&apos;")
}

#[track_caller]
fn answer(party: &mut Local, who: Who, kind: &str, payload: &str) -> Element {
    party.send(who, &format!("<iq type='{kind}' id='asked'>{payload}</iq>"));
    party.receive(who, "<iq id='asked'/>")
}

/// Each place of the services of accounts whose text goes into a query of the database.
fn requests() -> Vec<(&'static str, String)> {
    let evil = escaped();
    let mut requests = Vec::new();
    for name in ["with", "start", "end", "before-id", "after-id", "ids"] {
        let field =
            |var: &str, value: &str| format!("<field var='{var}'><value>{value}</value></field>");
        let fields = format!("{}{}", field("FORM_TYPE", ns::MAM), field(name, &evil));
        let form = format!("<x xmlns='{}' type='submit'>{fields}</x>", ns::DATA);
        requests.push(("set", format!("<query xmlns='{}'>{form}</query>", ns::MAM)));
    }
    for name in ["before", "after", "index", "max"] {
        let page = format!("<set xmlns='{}'><{name}>{evil}</{name}></set>", ns::RSM);
        requests.push(("set", format!("<query xmlns='{}'>{page}</query>", ns::MAM)));
        let items = format!("<items node='urn:x'/>{page}");
        requests.push(("get", format!("<pubsub xmlns='{}'>{items}</pubsub>", ns::PUBSUB)));
        requests.push(("get", format!("<query xmlns='{}'>{page}</query>", ns::DISCO_ITEMS)));
    }
    let pubsub = [
        format!("<items node='{evil}'/>"),
        format!("<items node='urn:x'><item id='{evil}'/></items>"),
        format!("<publish node='{evil}'><item id='{evil}'><x xmlns='{evil}'/></item></publish>"),
        format!("<retract node='urn:x'><item id='{evil}'/></retract>"),
    ];
    for inner in pubsub {
        let kind = if inner.starts_with("<items") { "get" } else { "set" };
        requests.push((kind, format!("<pubsub xmlns='{}'>{inner}</pubsub>", ns::PUBSUB)));
    }
    let item = format!("<item jid='u@h' name='{evil}'><group>{evil}</group></item>");
    requests.push(("set", format!("<query xmlns='{}'>{item}</query>", ns::ROSTER)));
    requests.push(("get", format!("<query xmlns='{}' ver='{evil}'/>", ns::ROSTER)));
    for name in ["x", "storage"] {
        let notes = format!("<{name} xmlns='{evil}'>{evil}</{name}>");
        requests.push(("set", format!("<query xmlns='{}'>{notes}</query>", ns::PRIVATE)));
    }
    requests.push(("set", format!("<vCard xmlns='{}'><FN>{evil}</FN></vCard>", ns::VCARD_TEMP)));
    requests.push((
        "set",
        format!("<query xmlns='{}'><username>{evil}</username></query>", ns::REGISTER),
    ));
    requests
}

#[test]
fn advisory_a23_what_accounts_ask_is_no_sql() {
    let mut party = in_process("", &["romeo", "juliet"]);
    let (romeo, juliet) = (party.login("romeo"), party.login("juliet"));
    let message = "<message to='romeo@localhost' type='chat' id='m'><body>b</body></message>";
    party.send(romeo, "<presence/>");
    party.send(juliet, message);
    party.receive(romeo, "<message id='m'/>");
    for (kind, payload) in requests() {
        let refusal = to_text(&answer(&mut party, romeo, kind, &payload));
        // A statement that does not parse is our fault, and is told as such.
        let is_ours = ["internal-server-error", "resource-constraint", "type='wait'"]
            .iter()
            .any(|words| refusal.contains(words));
        assert!(!is_ours, "{payload}: {refusal}");
    }
    // What was to be kept is there to the letter, and nobody else's is.
    let payloads = [
        format!("<query xmlns='{}'/>", ns::ROSTER),
        format!("<query xmlns='{}'><x xmlns='{}'/></query>", ns::PRIVATE, escaped()),
        format!("<vCard xmlns='{}'/>", ns::VCARD_TEMP),
        format!("<pubsub xmlns='{}'><items node='{}'/></pubsub>", ns::PUBSUB, escaped()),
    ];
    for payload in payloads {
        let kept = answer(&mut party, romeo, "get", &payload);
        assert_eq!(kept.attr("type"), Some("result"), "{}", to_text(&kept));
        let text = to_text(&kept).replace("&apos;", "'");
        assert!(text.contains(EVIL), "{payload}: {text}");
        let other = to_text(&answer(&mut party, juliet, "get", &payload)).replace("&apos;", "'");
        let other = other.replace(&format!("xmlns=\"{EVIL}\""), "").replace("node=", "");
        assert!(!other.contains(">' OR") && !other.contains("name=\"' OR"), "{other}");
    }
    let archive = answer(&mut party, romeo, "set", &format!("<query xmlns='{}'/>", ns::MAM));
    assert_eq!(archive.attr("type"), Some("result"));
    party.login("juliet");
    party.check_residue();
}

/// The functions that every statement goes through take text of the source and nothing that was
/// made of anything else.
#[test]
fn advisory_a23_statements_stand_in_the_source() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage");
    let turn = std::fs::read_to_string(folder.join("turn.rs")).expect("the source");
    for function in ["write", "read_one", "read_all", "read_some", "run"] {
        let (_, rest) = turn.split_once(&format!("fn {function}")).expect("it is there");
        let parameters = rest.split('{').next().unwrap_or_default();
        assert!(parameters.contains("sql: &'static str"), "{function}: {parameters}");
    }
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            // What is done once, before there is anybody to say anything.
            let is_own = ["turn.rs", "tests.rs", "mod.rs", "schema.rs"]
                .iter()
                .any(|name| path.ends_with(name));
            if path.is_dir() {
                folders.push(path);
            } else if !is_own {
                let text = std::fs::read_to_string(&path).expect("the source");
                for words in ["prepare_cached(", ".prepare(", ".query_row("] {
                    assert!(!text.contains(words), "{}: {words}", path.display());
                }
            }
        }
    }
}

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";

/// Enables resumption; the id of the session.
fn enable(party: &mut Local, user: &str) -> (Who, String) {
    let who = party.login(user);
    party.send(who, ENABLE);
    let enabled = party.receive(who, "<enabled xmlns='urn:xmpp:sm:3'>{etc}</enabled>");
    (who, enabled.attr("id").expect("an id").to_owned())
}

/// The answer to a resumption by somebody with the right password of another account, in the two
/// ways that there are: the names of what comes.
fn resume_as(party: &mut Local, user: &str, id: &str) -> [String; 2] {
    let resume = format!("<resume xmlns='{}' previd='{id}' h='0'/>", ns::SM);
    let client = Client::unbound(party.identity(user), None);
    let who = party.connect(client).expect("the server accepts");
    party.receive(who, "<stream:features/>");
    party.send(who, &resume);
    party.settle();
    let classic: String = party.take_elements(who).iter().map(to_text).collect();
    party.cut(who);
    let identity = Identity { with_tls: true, ..party.identity(user) };
    let client = Client::login_with(identity, resume);
    let who = party.connect(client).expect("the server accepts");
    let success = party.receive(who, &format!("<success xmlns='{}'>{{etc}}</success>", ns::SASL2));
    party.cut(who);
    [classic, to_text(&success)]
}

#[test]
fn advisory_a26_only_the_owner_resumes_a_session() {
    let mut party = in_process("", &["romeo", "juliet"]);
    let (romeo, id) = enable(&mut party, "romeo/phone");
    party.cut(romeo);
    let text = "<message to='romeo@localhost/phone' id='secret'><body>b</body></message>";
    let nurse = party.login("juliet/other");
    party.send(nurse, text);
    party.fence(nurse);
    let mut guesses = vec![id.clone(), id.to_uppercase(), id[1..].to_owned(), format!("{id} ")];
    guesses.extend(["", "romeo@localhost/phone", "0", "%"].map(str::to_owned));
    for (user, guess) in guesses.iter().map(|guess| ("juliet", guess)).chain(
        // Its owner has to know it to the letter.
        guesses[1..].iter().map(|guess| ("romeo", guess)),
    ) {
        for answer in resume_as(&mut party, user, guess) {
            let is_refused = answer.contains("<failed") && !answer.contains("<resumed");
            assert!(is_refused && !answer.contains("secret"), "{user} {guess}: {answer}");
            // No count is told of a session that is somebody else's.
            assert!(!answer.contains("<failed xmlns='urn:xmpp:sm:3' h="), "{answer}");
        }
    }
    // It is there still, with all that was kept for it.
    let [answer, _] = resume_as(&mut party, "romeo", &id);
    assert!(answer.contains("<resumed") && answer.contains("id='secret'"), "{answer}");
    party.pass(300_000);
    party.check_residue();
}

/// Ids are chance and nothing else: 160 bits, no two with a common part of any length.
#[test]
fn advisory_a26_ids_of_sessions_cannot_be_guessed() {
    let mut party = in_process("limits.sessions_per_account = 0", &["romeo"]);
    let ids: Vec<String> = (0..100).map(|_| enable(&mut party, "romeo").1).collect();
    for id in &ids {
        assert!(id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
    for start in [0, 16, 32] {
        let parts: BTreeSet<&str> = ids.iter().map(|id| &id[start..start + 8]).collect();
        assert_eq!(parts.len(), ids.len(), "at {start}: {ids:?}");
    }
}
