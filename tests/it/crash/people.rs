//! What accounts have with others: contacts and subscriptions as both sides see them, requests that
//! wait, what was said to those who are away, the archive, when somebody was here last. (What is
//! theirs alone: `belongings`.)

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::life::{Kept, Life, ROUNDS, live};
use super::rooms::{archive, stanza_id};
use super::{belongings, rooms};
use crate::matcher::to_text;
use crate::party::{Party, Who, over_sockets};
use crate::socket::Sockets;

const KEPT: [Kept; 8] = [
    Kept { make: change_roster, check: check_roster },
    Kept { make: subscribe, check: check_subscribed },
    Kept { make: ask_absent, check: check_pending },
    Kept { make: approve_before, check: check_approved_before },
    Kept { make: write_to_absent, check: check_offline },
    Kept { make: talk, check: check_archives },
    Kept { make: prefer, check: check_preferences },
    Kept { make: go, check: check_last },
];

/// Accounts of which each round has one of its own.
const EACH_ROUND: [&str; 5] = ["contact", "absent", "disabled", "removed", "gone"];

#[test]
fn everything_that_accounts_keep() {
    let toml = "admin.jids = ['romeo@localhost']\nregistration.in_band = 'anyone'";
    let mut users: Vec<String> =
        ["romeo", "juliet", "rosaline", "benvolio", "away", "balthasar", "mercutio", "changer"]
            .map(str::to_owned)
            .into();
    for round in 0..ROUNDS {
        users.extend(EACH_ROUND.iter().map(|name| format!("{name}{round}")));
    }
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut party = over_sockets(toml, &users);
    let kept: Vec<Kept> = KEPT.into_iter().chain(belongings::KEPT).collect();
    live(&mut party, &kept, enter);
}

fn enter(party: &mut Party<Sockets>, _: usize) -> (Who, Who) {
    let (romeo, juliet) = (party.login("romeo/orchard"), party.login("juliet/balcony"));
    for who in [romeo, juliet] {
        party.send(who, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>");
        party.fence(who);
    }
    (romeo, juliet)
}

/// The roster of somebody who gets pushes from then on, as text.
#[track_caller]
fn roster(life: &mut Life<'_>, who: Who) -> String {
    to_text(&life.ask(who, "get", "", "<query xmlns='jabber:iq:roster' ver=''/>"))
}

#[track_caller]
fn check_item(roster: &str, jid: &str, words: &[&str]) {
    let item = roster.split("<item ").find(|item| item.contains(&format!("jid='{jid}'")));
    let item = item.unwrap_or_else(|| panic!("{jid} is not in {roster}"));
    for word in words {
        assert!(item.contains(word), "{word}: {item}");
    }
}

/// Waits for a push about a contact.
#[track_caller]
fn await_push(life: &mut Life<'_>, who: Who, jid: &str, attributes: &str) -> Element {
    let item = format!("<item jid='{jid}' {attributes}/>");
    // The version is any, and so are the other attributes of the item: looked at one by one.
    loop {
        let push = life.party.receive(who, "<iq type='set'/>");
        let text = to_text(&push);
        let is_it = item.split(' ').filter(|word| word.contains('='));
        if is_it.map(|word| word.trim_end_matches("/>")).all(|word| text.contains(word)) {
            return push;
        }
    }
}

fn change_roster(life: &mut Life<'_>) {
    let (round, who) = (life.round, life.party.login("rosaline/a"));
    let query = |item: String| format!("<query xmlns='{}'>{item}</query>", ns::ROSTER);
    let friend = format!(
        "<item jid='friend{round}@localhost' name='Friend {round}'><group>G{round}</group></item>"
    );
    let slip = format!("<item jid='slip{round}@localhost'/>");
    let remove = format!("<item jid='slip{round}@localhost' subscription='remove'/>");
    life.ask(who, "set", "", &query(slip));
    life.ask(who, "set", "", &query(friend));
    let before = life.ask(who, "get", "", "<query xmlns='jabber:iq:roster' ver=''/>");
    let before = before.child("query", ns::ROSTER).and_then(|query| query.attr("ver"));
    life.note("version", before.expect("RFC 6121 §2.6.2").to_owned());
    life.ask(who, "set", "", &query(remove));
}

fn check_roster(life: &mut Life<'_>) {
    let who = life.party.login("rosaline/b");
    // What has changed since: one is gone.
    let since = life.noted_now("version");
    life.ask(who, "get", "", &format!("<query xmlns='jabber:iq:roster' ver='{since}'/>"));
    await_push(life, who, &format!("slip{}@localhost", life.round), "subscription='remove'");
    let roster = roster(life, who);
    assert!(!roster.contains("slip"), "{roster}");
    for round in 0..=life.round {
        let (name, group) = (format!("name='Friend {round}'"), format!("<group>G{round}</group>"));
        check_item(&roster, &format!("friend{round}@localhost"), &[&name, &group]);
    }
}

/// A subscription comes to be, and that of the round before ends.
fn subscribe(life: &mut Life<'_>) {
    let benvolio = life.party.login("benvolio/a");
    roster(life, benvolio);
    if let Some(last) = life.round.checked_sub(1) {
        let jid = format!("contact{last}@localhost");
        life.party.send(benvolio, &format!("<presence type='unsubscribe' to='{jid}'/>"));
        await_push(life, benvolio, &jid, "subscription='none'");
    }
    let name = format!("contact{}", life.round);
    let jid = format!("{name}@localhost");
    let contact = life.party.login(&name);
    roster(life, contact);
    life.party.send(contact, "<presence/>");
    life.party.send(benvolio, &format!("<presence type='subscribe' to='{jid}'/>"));
    life.party.receive(contact, "<presence type='subscribe' from='benvolio@localhost'/>");
    life.party.send(contact, "<presence type='subscribed' to='benvolio@localhost'/>");
    await_push(life, contact, "benvolio@localhost", "subscription='from'");
    await_push(life, benvolio, &jid, "subscription='to'");
}

fn check_subscribed(life: &mut Life<'_>) {
    let benvolio = life.party.login("benvolio/b");
    let own = roster(life, benvolio);
    for round in 0..=life.round {
        let name = format!("contact{round}");
        let contact = life.party.login(&name);
        let theirs = roster(life, contact);
        let (to, from) = match round == life.round {
            true => ("subscription='to'", "subscription='from'"),
            false => ("subscription='none'", "subscription='none'"),
        };
        check_item(&own, &format!("{name}@localhost"), &[to]);
        check_item(&theirs, "benvolio@localhost", &[from]);
    }
}

fn ask_absent(life: &mut Life<'_>) {
    let benvolio = life.party.login("benvolio/c");
    roster(life, benvolio);
    let jid = format!("absent{}@localhost", life.round);
    let request =
        format!("<presence type='subscribe' to='{jid}'><status>Please</status></presence>");
    life.party.send(benvolio, &request);
    await_push(life, benvolio, &jid, "ask='subscribe'");
}

fn check_pending(life: &mut Life<'_>) {
    let benvolio = life.party.login("benvolio/d");
    let own = roster(life, benvolio);
    for round in 0..=life.round {
        let name = format!("absent{round}");
        check_item(&own, &format!("{name}@localhost"), &["subscription='none'", "ask='subscribe'"]);
        let absent = life.party.login(&name);
        life.party.send(absent, "<presence/>");
        let request = "<presence type='subscribe' from='benvolio@localhost'>\
                       <status>Please</status></presence>";
        life.party.receive(absent, request);
    }
}

/// RFC 6121 §3.4
fn approve_before(life: &mut Life<'_>) {
    let benvolio = life.party.login("benvolio/e");
    roster(life, benvolio);
    let jid = format!("later{}@localhost", life.round);
    life.party.send(benvolio, &format!("<presence type='subscribed' to='{jid}'/>"));
    await_push(life, benvolio, &jid, "approved='true'");
}

fn check_approved_before(life: &mut Life<'_>) {
    let benvolio = life.party.login("benvolio/f");
    let own = roster(life, benvolio);
    for round in 0..=life.round {
        check_item(&own, &format!("later{round}@localhost"), &["approved='true'"]);
    }
}

/// Sends a message on a stream that is managed, up to the word that it is handled (XEP-0198 §4).
#[track_caller]
fn say(life: &mut Life<'_>, who: Who, message: &str) {
    life.party.send(who, &format!("<enable xmlns='{}'/>", ns::SM));
    life.party.receive(who, &format!("<enabled xmlns='{}'/>", ns::SM));
    life.party.send(who, &format!("{message}<r xmlns='{}'/>", ns::SM));
    life.party.receive(who, &format!("<a xmlns='{}' h='1'/>", ns::SM));
}

fn write_to_absent(life: &mut Life<'_>) {
    let balthasar = life.party.login("balthasar/a");
    let body = format!("<body>kept {}</body>", life.round);
    say(life, balthasar, &format!("<message to='away@localhost' type='chat'>{body}</message>"));
}

/// It is given once: what was given before the server died last is not given again.
fn check_offline(life: &mut Life<'_>) {
    let away = life.party.login("away");
    life.party.send(away, "<presence/>");
    life.party.fence(away);
    let elements = life.party.take_elements(away);
    let messages = elements.iter().filter(|element| element.name == "message");
    let bodies: Vec<_> =
        messages.filter_map(|m| Some(m.child("body", ns::CLIENT)?.text())).collect();
    assert_eq!(bodies, [format!("kept {}", life.round)]);
}

fn talk(life: &mut Life<'_>) {
    let body = format!("<body>said {}</body>", life.round);
    let sender = life.party.login("juliet/talk");
    say(life, sender, &format!("<message to='romeo@localhost' type='chat'>{body}</message>"));
    let heard = format!("<message from='juliet@localhost/talk'>{body}</message>");
    let heard = life.party.receive(life.romeo, &heard);
    life.note("heard", stanza_id(&heard));
}

fn check_archives(life: &mut Life<'_>) {
    let received = archive(life.party, life.romeo, "romeo@localhost");
    let sent = archive(life.party, life.juliet, "juliet@localhost");
    let sent: String = sent.values().map(to_text).collect();
    for (round, id) in life.noted("heard").iter().enumerate() {
        let body = format!("<body>said {round}</body>");
        let found = received.get(id).map(to_text).unwrap_or_default();
        assert!(found.contains(&body), "{id}: {found}");
        assert!(sent.contains(&body), "{sent}");
    }
}

fn prefer(life: &mut Life<'_>) {
    let who = life.party.login("mercutio/a");
    let default = ["roster", "never", "roster"][life.round];
    let lists = format!(
        "<always><jid>yes{0}@localhost</jid></always><never><jid>no{0}@localhost</jid></never>",
        life.round
    );
    let prefs = format!("<prefs xmlns='{}' default='{default}'>{lists}</prefs>", ns::MAM);
    life.ask(who, "set", "", &prefs);
    life.note("preferences", format!("default='{default}'>{lists}</prefs>"));
}

fn check_preferences(life: &mut Life<'_>) {
    let who = life.party.login("mercutio/b");
    let prefs = to_text(&life.ask(who, "get", "", &format!("<prefs xmlns='{}'/>", ns::MAM)));
    assert!(prefs.contains(&life.noted_now("preferences")), "{prefs}");
}

/// Somebody says goodbye: that it is heard is in the end of its stream.
fn go(life: &mut Life<'_>) {
    let name = format!("gone{}", life.round);
    let who = life.party.login(&name);
    let romeo = life.romeo;
    life.party.send(who, "<presence type='subscribed' to='romeo@localhost'/>");
    life.party.fence(who);
    life.party.send(romeo, &format!("<presence type='subscribe' to='{name}@localhost'/>"));
    life.party.receive(romeo, &format!("<presence type='subscribed' from='{name}@localhost'/>"));
    let words = format!("<status>Gone {}</status>", life.round);
    life.party.send(who, "<presence/>");
    life.party.send(who, &format!("<presence type='unavailable'>{words}</presence>"));
    life.party.send(who, "</stream:stream>");
    life.party.end(who);
}

fn check_last(life: &mut Life<'_>) {
    for round in 0..=life.round {
        let to = format!("gone{round}@localhost");
        let query = format!("<query xmlns='{}'/>", ns::LAST);
        let last = to_text(&life.ask(life.romeo, "get", &to, &query));
        assert!(last.contains(&format!(">Gone {round}<")), "{last}");
        assert!(rooms::number_in(&last, "seconds='") < 600, "{last}");
    }
}
