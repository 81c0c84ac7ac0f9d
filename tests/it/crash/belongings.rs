//! What is an account's own: nodes, its card, private XML, whom it blocks, tokens, its password;
//! whether it is there and may be used; and invitations to new ones.

use tercet::xmpp::ns;

use super::life::{Kept, Life};
use super::rooms::form_of;
use super::{control, data_of};
use crate::client::{Client, Identity};
use crate::matcher::to_text;
use crate::party::{PASSWORD, Who, plain};
use crate::sasl::token_message;

pub const KEPT: [Kept; 11] = [
    Kept { make: publish, check: check_published },
    Kept { make: configure, check: check_configured },
    Kept { make: affiliate, check: check_affiliated },
    Kept { make: block, check: check_blocked },
    Kept { make: set_private, check: check_private },
    Kept { make: set_card, check: check_card },
    Kept { make: get_token, check: check_token },
    Kept { make: invite, check: check_invited },
    Kept { make: change_password, check: check_password },
    Kept { make: disable, check: check_disabled },
    Kept { make: remove, check: check_removed },
];

const NODE: &str = "urn:example:node";

fn pubsub(inner: &str) -> String {
    format!("<pubsub xmlns='{}'>{inner}</pubsub>", ns::PUBSUB)
}

fn owner(inner: &str) -> String {
    format!("<pubsub xmlns='{}'>{inner}</pubsub>", ns::PUBSUB_OWNER)
}

/// One item that stays and one that is taken back.
fn publish(life: &mut Life<'_>) {
    let options = form_of(
        ns::PUBSUB_PUBLISH_OPTIONS,
        &[("pubsub#persist_items", "true"), ("pubsub#max_items", "10")],
    );
    for id in ["stays", "goes"].map(|name| format!("{name}{}", life.round)) {
        let item = format!("<item id='{id}'><x xmlns='urn:example'>{id}</x></item>");
        let publish = format!("<publish node='{NODE}'>{item}</publish>");
        let options = format!("<publish-options>{options}</publish-options>");
        life.ask(life.romeo, "set", "", &pubsub(&format!("{publish}{options}")));
    }
    let item = format!("<item id='goes{}'/>", life.round);
    let retract = format!("<retract node='{NODE}'>{item}</retract>");
    life.ask(life.romeo, "set", "", &pubsub(&retract));
}

fn check_published(life: &mut Life<'_>) {
    let items = life.ask(life.romeo, "get", "", &pubsub(&format!("<items node='{NODE}'/>")));
    let items = to_text(&items);
    for round in 0..=life.round {
        assert!(items.contains(&format!(">stays{round}</x>")), "{items}");
    }
    assert!(!items.contains("goes"), "{items}");
}

/// A node that is made before anything is published, and one that goes.
fn configure(life: &mut Life<'_>) {
    let round = life.round;
    let config = |access| {
        let title = format!("Node {round}");
        let fields = [("pubsub#title", title.as_str()), ("pubsub#access_model", access)];
        format!("<configure>{}</configure>", form_of(ns::PUBSUB_NODE_CONFIG, &fields))
    };
    let create = |name: &str| format!("<create node='urn:example:{name}{round}'/>");
    for name in ["made", "deleted"] {
        let create = format!("{}{}", create(name), config("presence"));
        life.ask(life.juliet, "set", "", &pubsub(&create));
    }
    let change = config("open")
        .replace("<configure>", &format!("<configure node='urn:example:made{round}'>"));
    life.ask(life.juliet, "set", "", &owner(&change));
    let delete = format!("<delete node='urn:example:deleted{round}'/>");
    life.ask(life.juliet, "set", "", &owner(&delete));
}

fn check_configured(life: &mut Life<'_>) {
    for round in 0..=life.round {
        let configure = owner(&format!("<configure node='urn:example:made{round}'/>"));
        let form = to_text(&life.ask(life.juliet, "get", "", &configure));
        assert!(form.contains(&format!("<value>Node {round}</value>")), "{form}");
        assert!(form.contains("<value>open</value><option"), "{form}");
    }
    let query = format!("<query xmlns='{}'/>", ns::DISCO_ITEMS);
    let nodes = to_text(&life.ask(life.juliet, "get", "juliet@localhost", &query));
    assert!(nodes.contains("urn:example:made0") && !nodes.contains("deleted"), "{nodes}");
}

/// Another account may publish, and is subscribed.
fn affiliate(life: &mut Life<'_>) {
    let (node, other) = (format!("urn:example:shared{}", life.round), "juliet@localhost");
    let open = form_of(ns::PUBSUB_NODE_CONFIG, &[("pubsub#access_model", "open")]);
    let create = format!("<create node='{node}'/><configure>{open}</configure>");
    life.ask(life.romeo, "set", "", &pubsub(&create));
    let affiliation = format!("<affiliation jid='{other}' affiliation='publisher'/>");
    let affiliations = format!("<affiliations node='{node}'>{affiliation}</affiliations>");
    life.ask(life.romeo, "set", "", &owner(&affiliations));
    let subscribe = format!("<subscribe node='{node}' jid='{other}'/>");
    life.ask(life.juliet, "set", "romeo@localhost", &pubsub(&subscribe));
}

fn check_affiliated(life: &mut Life<'_>) {
    for round in 0..=life.round {
        for list in ["affiliations", "subscriptions"] {
            let get = owner(&format!("<{list} node='urn:example:shared{round}'/>"));
            let text = to_text(&life.ask(life.romeo, "get", "", &get));
            assert!(text.contains("jid='juliet@localhost"), "{list}: {text}");
        }
    }
}

fn block(life: &mut Life<'_>) {
    for name in ["block", "unblock"] {
        let items = ["enemy", "friend"].map(|who| format!("<item jid='{who}{}@h'/>", life.round));
        let items = if name == "block" { items.concat() } else { items[1].clone() };
        life.ask(
            life.romeo,
            "set",
            "",
            &format!("<{name} xmlns='{}'>{items}</{name}>", ns::BLOCKING),
        );
    }
}

fn check_blocked(life: &mut Life<'_>) {
    let list = life.ask(life.romeo, "get", "", &format!("<blocklist xmlns='{}'/>", ns::BLOCKING));
    let list = to_text(&list);
    for round in 0..=life.round {
        assert!(list.contains(&format!("jid='enemy{round}@h'")), "{list}");
    }
    assert!(!list.contains("friend"), "{list}");
}

fn private(inner: &str) -> String {
    format!("<query xmlns='{}'><x xmlns='urn:example:notes'>{inner}</x></query>", ns::PRIVATE)
}

fn set_private(life: &mut Life<'_>) {
    let text = format!("note {}", life.round);
    life.ask(life.romeo, "set", "", &private(&text));
}

fn check_private(life: &mut Life<'_>) {
    let text = to_text(&life.ask(life.romeo, "get", "", &private("")));
    assert!(text.contains(&format!(">note {}</x>", life.round)), "{text}");
}

fn card(note: &str) -> String {
    format!("<vCard xmlns='{}'><NOTE>{note}</NOTE></vCard>", ns::VCARD_TEMP)
}

fn set_card(life: &mut Life<'_>) {
    life.ask(life.romeo, "set", "", &card(&format!("card {}", life.round)));
}

fn check_card(life: &mut Life<'_>) {
    let get = format!("<vCard xmlns='{}'/>", ns::VCARD_TEMP);
    let text = to_text(&life.ask(life.juliet, "get", "romeo@localhost", &get));
    assert!(text.contains(&format!("<NOTE>card {}</NOTE>", life.round)), "{text}");
}

/// Logs in over TLS with a password, and gets a token for the client of this id.
#[track_caller]
fn ask_token(life: &mut Life<'_>, client_id: &str) -> String {
    let identity = Identity { with_tls: true, ..life.party.identity("juliet") };
    let inline = format!(
        "<user-agent id='{client_id}'/>\
         <request-token xmlns='{}' mechanism='HT-SHA-256-NONE'/>",
        ns::FAST
    );
    let client = Client::login_with(identity, inline);
    let who = life.party.connect(client).expect("the server accepts");
    let success = format!("<success xmlns='{}'>{{etc}}</success>", ns::SASL2);
    let success = life.party.receive(who, &success);
    let token = success.child("token", ns::FAST).and_then(|token| token.attr("token"));
    token.expect("a token").to_owned()
}

/// The answer to a login with a token: the name of the element.
#[track_caller]
fn use_token(life: &mut Life<'_>, client_id: &str, token: &str, fast: &str) -> String {
    let client = Client::raw_over_tls(life.party.identity("juliet"));
    let who = life.party.connect(client).expect("the server accepts");
    life.party.receive(who, "<stream:features/>");
    let message = token_message("juliet", token);
    life.party.send(
        who,
        &format!(
            "<authenticate xmlns='{}' mechanism='HT-SHA-256-NONE'>\
             <initial-response>{message}</initial-response><user-agent id='{client_id}'/>\
             <fast xmlns='{}' {fast}/></authenticate>",
            ns::SASL2,
            ns::FAST
        ),
    );
    life.party.wait_until("an answer", |party| !party.guests[who].client.inbox.is_empty());
    life.party.take_elements(who).remove(0).name.to_string()
}

fn client_id(life: &Life<'_>, number: usize) -> String {
    format!("d4565fa7-4d72-4749-b3d3-7400000000{}{number}", life.round)
}

/// Three tokens: one that is only given, one that is used with a count, one that is given back.
fn get_token(life: &mut Life<'_>) {
    for (number, fast) in [(0, None), (1, Some("count='5'")), (2, Some("invalidate='true'"))] {
        let id = client_id(life, number);
        let token = ask_token(life, &id);
        if let Some(fast) = fast {
            assert_eq!(use_token(life, &id, &token, fast), "success");
        }
        life.note(&format!("token {number}"), token);
    }
}

fn check_token(life: &mut Life<'_>) {
    let uses = [
        (0, "", "success"),
        (1, "count='5'", "failure"),
        (1, "count='6'", "success"),
        (2, "", "failure"),
    ];
    for (number, fast, answer) in uses {
        let id = client_id(life, number);
        let token = life.noted_now(&format!("token {number}"));
        assert_eq!(use_token(life, &id, &token, fast), answer, "token {number} with {fast}");
    }
}

/// An invitation of the server to an account of this name.
#[track_caller]
fn invitation(life: &mut Life<'_>, name: &str) -> String {
    let form = form_of(ns::INVITATION, &[("username", name)]);
    let command = format!(
        "<command xmlns='{}' node='urn:xmpp:invite#create-account'>{form}</command>",
        ns::COMMANDS
    );
    let text = to_text(&life.ask(life.romeo, "set", "localhost", &command));
    let token = text.split("preauth=").nth(1).and_then(|rest| rest.split(['<', ';']).next());
    token.unwrap_or_else(|| panic!("no invitation: {text}")).to_owned()
}

/// Shows an invitation on a stream of its own; the type of the answer.
#[track_caller]
fn show(life: &mut Life<'_>, token: &str) -> (Who, String) {
    let who = life.party.open_stream();
    let preauth = format!("<preauth xmlns='{}' token='{token}'/>", ns::PREAUTH);
    life.party.send(who, &format!("<iq type='set' id='p' to='localhost'>{preauth}</iq>"));
    let answer = life.party.receive(who, "<iq id='p'/>");
    (who, answer.attr("type").expect("an iq").to_owned())
}

/// Asks for an account on a stream before login.
#[track_caller]
fn register(life: &mut Life<'_>, who: Who, name: &str) {
    let query = format!(
        "<query xmlns='{}'><username>{name}</username><password>{PASSWORD}</password></query>",
        ns::REGISTER
    );
    life.party.send(who, &format!("<iq type='set' id='r'>{query}</iq>"));
    life.party.receive(who, "<iq type='result' id='r'/>");
}

/// One invitation that nobody has used, and one that somebody has.
fn invite(life: &mut Life<'_>) {
    for name in ["invited", "arrived"] {
        let full = format!("{name}{}", life.round);
        let token = invitation(life, &full);
        if name == "arrived" {
            let (who, answer) = show(life, &token);
            assert_eq!(answer, "result");
            register(life, who, &full);
        }
        life.note(name, token);
    }
}

fn check_invited(life: &mut Life<'_>) {
    let (who, answer) = show(life, &life.noted_now("invited"));
    assert_eq!(answer, "result");
    let name = format!("invited{}", life.round);
    register(life, who, &name);
    life.party.login(&name);
    for used in [life.noted("arrived"), life.noted("invited")].concat() {
        assert_eq!(show(life, &used).1, "error", "it is used up");
    }
    life.party.login(&format!("arrived{}", life.round));
}

/// The answer to a login: success, or the condition.
#[track_caller]
fn log_in(life: &mut Life<'_>, user: &str, password: &str) -> String {
    let who = life.party.open_stream();
    life.party.send(who, &plain(user, password));
    life.party.wait_until("an answer", |party| !party.guests[who].client.inbox.is_empty());
    let answer = life.party.take_elements(who).remove(0);
    let condition = answer.elements().next().map(|condition| condition.name.to_string());
    condition.unwrap_or(answer.name.to_string())
}

/// The password of Mercutio's friend, in a round and before the first.
fn password_of(round: usize) -> String {
    round.checked_sub(1).map_or(PASSWORD.to_owned(), |last| format!("password {last}"))
}

fn change_password(life: &mut Life<'_>) {
    let (old, new) = (password_of(life.round), password_of(life.round + 1));
    let who = life.party.open();
    let header = crate::party::HEADER;
    life.party.send(who, header);
    life.party.receive(who, "<stream:features/>");
    life.party.send(who, &plain("changer", &old));
    life.party.receive(who, &format!("<success xmlns='{}'/>", ns::SASL));
    let bind = format!("<iq type='set' id='b'><bind xmlns='{}'/></iq>", ns::BIND);
    life.party.send(who, &format!("{header}{bind}"));
    life.party.receive(who, "<iq type='result' id='b'/>");
    let query = format!(
        "<query xmlns='{}'><username>changer</username><password>{new}</password></query>",
        ns::REGISTER
    );
    life.ask(who, "set", "localhost", &query);
}

fn check_password(life: &mut Life<'_>) {
    let (old, new) = (password_of(life.round), password_of(life.round + 1));
    assert_eq!(log_in(life, "changer", &new), "success");
    assert_eq!(log_in(life, "changer", &old), "not-authorized");
}

/// The account of this round goes out of use, that of the round before comes into use again.
fn disable(life: &mut Life<'_>) {
    let data = data_of(life.party);
    let order = |verb: &str, round: usize| {
        let name = format!("disabled{round}@localhost");
        let done = control(&data, &format!("user {verb} {name}\n"));
        assert_eq!(done, format!("ok {verb}d {name}"));
    };
    order("disable", life.round);
    if let Some(last) = life.round.checked_sub(1) {
        order("enable", last);
    }
}

fn check_disabled(life: &mut Life<'_>) {
    for round in 0..=life.round {
        let want = if round == life.round { "account-disabled" } else { "success" };
        assert_eq!(log_in(life, &format!("disabled{round}"), PASSWORD), want);
    }
}

fn remove(life: &mut Life<'_>) {
    let who = life.party.login(&format!("removed{}", life.round));
    life.ask(who, "set", "", &card("of old"));
    life.ask(who, "set", "", &private("of old"));
    let remove = format!("<query xmlns='{}'><remove/></query>", ns::REGISTER);
    life.ask(who, "set", "localhost", &remove);
}

/// It is gone, and the next of its name finds nothing of it.
fn check_removed(life: &mut Life<'_>) {
    let name = format!("removed{}", life.round);
    assert_eq!(log_in(life, &name, PASSWORD), "not-authorized");
    let who = life.party.open_stream();
    register(life, who, &name);
    let heir = life.party.login(&name);
    let get = format!("<vCard xmlns='{}'/>", ns::VCARD_TEMP);
    life.party.send(heir, &format!("<iq type='get' id='card'>{get}</iq>"));
    let card = to_text(&life.party.receive(heir, "<iq id='card'/>"));
    let notes = to_text(&life.ask(heir, "get", "", &private("")));
    assert!(!card.contains("of old") && !notes.contains("of old"), "{card} {notes}");
}
