//! Sessions that lose their connections (XEP-0198): everything arrives once and in order, whatever
//! is cut when; silence counts as loss; what is kept for those away is bounded.

use tercet::storage::Fault;
use tercet::xml::Element;
use tercet::xmpp::ns;

use crate::client::Client;
use crate::driver::Driver;
use crate::inproc::InProcess;
use crate::party::{Party, Who, Windows, in_process};
use crate::setup::Seeded;

type Local = Party<InProcess<Windows>>;

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";

/// Logs in and enables; returns the id of the session as well.
fn login(party: &mut Local, user: &str) -> (Who, String) {
    let who = party.login(user);
    party.send(who, ENABLE);
    let enabled = party.receive(who, "<enabled xmlns='urn:xmpp:sm:3'>{etc}</enabled>");
    (who, enabled.attr("id").expect("an id").to_owned())
}

/// Resumes on a new connection.
fn resume(party: &mut Local, user: &str, id: &str, h: u32) -> Who {
    let client = Client::unbound(party.identity(user), None);
    let who = party.connect(client).expect("the server accepts");
    party.receive(who, "<stream:features/>");
    party.send(who, &format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>"));
    who
}

fn message(number: usize) -> String {
    format!("<message to='romeo@localhost/r' type='chat' id='m{number}'><body>b</body></message>")
}

fn number(element: &Element) -> Option<usize> {
    element.attr("id")?.strip_prefix('m')?.parse().ok()
}

#[test]
fn everything_arrives_once_and_in_order_whatever_is_cut() {
    for seed in 0..20 {
        let mut dice = Seeded(seed);
        let mut party = in_process("", &["romeo", "juliet"]);
        let juliet = party.login("juliet");
        let (mut romeo, id) = login(&mut party, "romeo/r");
        let (mut sent, mut handled, mut got) = (0, 0, Vec::new());
        for _ in 0..200 {
            match dice.below(8) {
                0..=3 => {
                    party.send(juliet, &message(sent));
                    sent += 1;
                }
                4 => party.shut_window(romeo),
                5 => party.send(romeo, &format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>")),
                6 => {
                    // The server may learn of the loss before the resumption or by it.
                    if dice.one_in(2) {
                        party.cut(romeo);
                    }
                    romeo = resume(&mut party, "romeo/r", &id, handled);
                }
                _ => party.pass(1000),
            }
            party.settle();
            let elements = party.take_elements(romeo);
            handled += elements.iter().filter(|e| e.ns == ns::CLIENT).count() as u32;
            got.extend(elements.iter().filter_map(number));
        }
        romeo = resume(&mut party, "romeo/r", &id, handled);
        party.settle();
        got.extend(party.take_elements(romeo).iter().filter_map(number));
        assert_eq!(got, (0..sent).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn who_does_not_answer_is_gone_and_may_come_back() {
    let mut party = in_process("", &["romeo", "juliet"]);
    let juliet = party.login("juliet");
    let (romeo, id) = login(&mut party, "romeo/r");
    party.send(juliet, &message(0));
    party.receive(romeo, "<message id='m0'/>");
    party.receive(romeo, "<r xmlns='urn:xmpp:sm:3'/>");
    party.pass(59_000);
    assert!(!party.has_ended(romeo));
    // Anything that it says shows that it is there.
    party.fence(romeo);
    party.pass(59_000);
    assert!(!party.has_ended(romeo));
    party.pass(1_000);
    assert!(party.has_ended(romeo));
    let residue = party.server().residue();
    assert_eq!((residue.bound, residue.connections), (2, 1));
    let romeo = resume(&mut party, "romeo/r", &id, 2);
    party.receive(romeo, &format!("<resumed xmlns='urn:xmpp:sm:3' previd='{id}' h='1'/>"));
}

#[test]
fn what_is_kept_for_those_away_is_bounded_and_goes_back() {
    let mut party = in_process("[limits]\nresume_bytes = 2000", &["romeo", "juliet"]);
    let juliet = party.login("juliet");
    let (romeo, id) = login(&mut party, "romeo/r");
    party.cut(romeo);
    let query = "<query xmlns='jabber:iq:version'/>";
    let mut sent = 0;
    while party.server().residue().bound == 2 {
        assert!(party.server().residue().outbox_bytes <= 2000);
        let to = "romeo@localhost/r";
        party.send(juliet, &format!("<iq type='get' to='{to}' id='q{sent}'>{query}</iq>"));
        sent += 1;
        party.settle();
        assert!(sent < 100);
    }
    assert!(sent > 10);
    let ids: Vec<_> =
        party.take_elements(juliet).iter().map(|e| e.attr("id").map(str::to_owned)).collect();
    assert_eq!(ids, (0..sent).map(|n| Some(format!("q{n}"))).collect::<Vec<_>>());
    let residue = party.server().residue();
    assert_eq!((residue.sessions, residue.outboxes, residue.outbox_bytes), (1, 1, 0));
    let romeo = resume(&mut party, "romeo/r", &id, 0);
    party.receive(romeo, "<failed xmlns='urn:xmpp:sm:3' h='0'>{etc}</failed>");
}

#[test]
fn those_away_count_against_the_limit_of_their_account() {
    let mut party = in_process("[limits]\nsessions_per_account = 1", &["romeo"]);
    let (romeo, _) = login(&mut party, "romeo/a");
    party.cut(romeo);
    let client = Client::unbound(party.identity("romeo"), None);
    let romeo = party.connect(client).expect("the server accepts");
    party.receive(romeo, "<stream:features/>");
    let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>RES</resource></bind>";
    let bind = |name| format!("<iq type='set' id='b'>{}</iq>", bind.replace("RES", name));
    party.send(romeo, &bind("b"));
    party.receive(romeo, "<iq type='error' id='b'/>");
    party.send(romeo, &bind("a"));
    party.receive(romeo, "<iq type='result' id='b'/>");
    assert_eq!(party.server().residue().bound, 1);
    party.check_residue();
}

#[test]
fn a_connection_cut_in_the_middle_of_a_stanza() {
    let mut party = crate::party::over_sockets("", &["romeo", "juliet"]);
    let juliet = party.login("juliet/j");
    let romeo = party.login("romeo/r");
    party.send(romeo, ENABLE);
    let enabled = party.receive(romeo, "<enabled xmlns='urn:xmpp:sm:3'>{etc}</enabled>");
    let id = enabled.attr("id").expect("an id").to_owned();
    party.send(juliet, &message(0));
    party.receive(romeo, "<message id='m0'/>");
    // Half a stanza of its own, then nothing.
    party.send(romeo, "<message to='juliet@localhost/j' id='whole'/><message to='juliet@loc");
    party.receive(juliet, "<message id='whole'/>");
    party.driver.cut(party.guests[romeo].link);
    party.send(juliet, &message(1));
    party.fence(juliet);
    let client = Client::unbound(party.identity("romeo/r"), None);
    let romeo = party.connect(client).expect("the server accepts");
    party.receive(romeo, "<stream:features/>");
    party.send(romeo, &format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>"));
    party.receive(romeo, &format!("<resumed xmlns='urn:xmpp:sm:3' previd='{id}' h='1'/>"));
    assert_eq!(number(&party.receive(romeo, "<message/>")), Some(0));
    assert_eq!(number(&party.receive(romeo, "<message/>")), Some(1));
}

/// What an ended session had not got was kept in a turn whose commit failed: it is not lost, and as
/// nothing can be kept now, it goes back.
#[test]
fn what_could_not_be_kept_goes_back() {
    let mut party = in_process("", &["romeo", "juliet"]);
    let juliet = party.login("juliet");
    let (romeo, _) = login(&mut party, "romeo/r");
    party.cut(romeo);
    party.send(juliet, &message(0));
    party.fence(juliet);
    party.server().storage().inject(Fault::LoseCommit(1));
    party.pass(300_000);
    party.receive(juliet, "<message type='error' id='m0'/>");
    party.check_residue();
}
