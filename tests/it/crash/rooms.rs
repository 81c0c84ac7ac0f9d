//! Everything that a room keeps: the archive has what was said and not what was taken back, the
//! configuration every option, occupants their hats, members their nicks, the room its card,
//! clients that keep the list by versions (XEP-0463) get what is new and no more, and destroyed
//! rooms are remembered.

use std::collections::BTreeMap;

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::PERSISTENT;
use super::life::{Kept, Life, live};
use crate::matcher::to_text;
use crate::party::{Party, Who, over_sockets};
use crate::socket::Sockets;

const ROOM: &str = "room@conference.localhost";
/// Options of a room, with a value that is no default, and another.
const OPTIONS: [(&str, [&str; 2]); 16] = [
    ("muc#roomconfig_roomname", ["Name", "Other"]),
    ("muc#roomconfig_roomdesc", ["Words", "More words"]),
    ("muc#roomconfig_lang", ["it", "la"]),
    ("muc#roomconfig_enablelogging", ["1", "0"]),
    ("muc#roomconfig_membersonly", ["1", "0"]),
    ("muc#roomconfig_moderatedroom", ["1", "0"]),
    ("muc#roomconfig_publicroom", ["0", "1"]),
    ("muc#roomconfig_changesubject", ["1", "0"]),
    ("muc#roomconfig_allowpm", ["moderators", "none"]),
    ("muc#roomconfig_maxusers", ["20", "50"]),
    ("muc#roomconfig_roomsecret", ["s3", "s4"]),
    ("muc#roomconfig_slow_mode_duration", ["7", "9"]),
    ("{urn:tercet:room}messages_per_minute", ["5", "6"]),
    ("{urn:tercet:room}message_bytes", ["400", "500"]),
    ("{urn:tercet:room}registration", ["closed", "approval"]),
    ("muc#maxhistoryfetch", ["3", "4"]),
];

const KEPT: [Kept; 9] = [
    Kept { make: say, check: check_said },
    Kept { make: take_back, check: check_taken_back },
    Kept { make: moderate, check: check_moderated },
    Kept { make: give_hat, check: check_hat },
    Kept { make: set_card, check: check_card },
    Kept { make: register, check: check_registered },
    Kept { make: change_list, check: check_versions },
    Kept { make: destroy, check: check_destroyed },
    Kept { make: configure, check: check_configured },
];

#[test]
fn everything_that_a_room_keeps() {
    let mut party = over_sockets("", &["romeo", "juliet"]);
    live(&mut party, &KEPT, enter);
}

fn enter(party: &mut Party<Sockets>, round: usize) -> (Who, Who) {
    let romeo = party.join("romeo", "room");
    if round == 0 {
        party.configure(romeo, "room", PERSISTENT);
    }
    (romeo, party.join("juliet", "room"))
}

impl Life<'_> {
    /// A set to a room, up to its result.
    #[track_caller]
    fn set(&mut self, who: Who, room: &str, payload: &str) -> Element {
        self.ask(who, "set", &format!("{room}@conference.localhost"), payload)
    }

    /// A get to a room, as the text of its result.
    #[track_caller]
    fn get(&mut self, who: Who, room: &str, payload: &str) -> String {
        to_text(&self.ask(who, "get", &format!("{room}@conference.localhost"), payload))
    }

    /// Says something; returns its stanza id when it came back.
    #[track_caller]
    fn said(&mut self, who: Who, id: &str, inner: &str) -> String {
        let to = ROOM;
        let text = format!("<message type='groupchat' id='{id}' to='{to}'>{inner}</message>");
        self.party.send(who, &text);
        stanza_id(&self.party.receive(who, &format!("<message type='groupchat' id='{id}'/>")))
    }
}

fn say(life: &mut Life<'_>) {
    let body = format!("<body>said {}</body>", life.round);
    let id = life.said(life.juliet, "say", &body);
    life.note("said", id);
}

fn check_said(life: &mut Life<'_>) {
    let archive = archive(life.party, life.romeo, ROOM);
    for (round, id) in life.noted("said").iter().enumerate() {
        let text = archive.get(id).map(to_text).unwrap_or_default();
        assert!(text.contains(&format!("<body>said {round}</body>")), "{id}: {text}");
    }
}

fn take_back(life: &mut Life<'_>) {
    let body = format!("<body>slip {}</body>", life.round);
    let id = life.said(life.juliet, "slip", &body);
    let retract = format!("<retract xmlns='{}' id='{id}'/>", ns::RETRACT);
    life.said(life.juliet, "back", &retract);
    life.note("taken back", id);
}

fn check_taken_back(life: &mut Life<'_>) {
    check_tombstones(life, "taken back", "slip");
}

/// Of what is gone from the archive a tombstone is left.
fn check_tombstones(life: &mut Life<'_>, what: &str, body: &str) {
    let archive = archive(life.party, life.romeo, ROOM);
    for id in life.noted(what) {
        let text = archive.get(&id).map(to_text).unwrap_or_default();
        let is_gone = text.contains("<retracted") && !text.contains(&format!("<body>{body}"));
        assert!(is_gone, "{id}: {text}");
    }
}

fn moderate(life: &mut Life<'_>) {
    let body = format!("<body>spam {}</body>", life.round);
    let id = life.said(life.juliet, "spam", &body);
    let retract = format!("<retract xmlns='{}'/>", ns::RETRACT);
    let payload = format!("<moderate xmlns='{}' id='{id}'>{retract}</moderate>", ns::MODERATE);
    life.set(life.romeo, "room", &payload);
    life.note("moderated", id);
}

fn check_moderated(life: &mut Life<'_>) {
    check_tombstones(life, "moderated", "spam");
}

fn give_hat(life: &mut Life<'_>) {
    let hat = format!("urn:example:hat:{}", life.round);
    life.set(life.romeo, "room", &hat_command("create", "", &hat));
    life.set(life.romeo, "room", &hat_command("assign", "juliet@localhost", &hat));
    life.note("hat", hat);
}

fn check_hat(life: &mut Life<'_>) {
    let assigned = assigned_hats(life.party, life.romeo, "room");
    for hat in life.noted("hat") {
        assert!(assigned.contains(&hat) && assigned.contains("juliet@localhost"), "{assigned}");
    }
}

fn set_card(life: &mut Life<'_>) {
    let note = format!("card {}", life.round);
    life.set(life.romeo, "room", &format!("<vCard xmlns='vcard-temp'><NOTE>{note}</NOTE></vCard>"));
    life.note("card", note);
}

fn check_card(life: &mut Life<'_>) {
    let card = life.get(life.juliet, "room", "<vCard xmlns='vcard-temp'/>");
    assert!(card.contains(&format!("<NOTE>card {}</NOTE>", life.round)), "{card}");
}

fn register(life: &mut Life<'_>) {
    let nick = format!("Capulet {}", life.round);
    life.set(life.juliet, "room", &registration(&nick));
}

fn check_registered(life: &mut Life<'_>) {
    let query = format!("<query xmlns='{}'/>", ns::REGISTER);
    let told = life.get(life.juliet, "room", &query);
    let nick = format!("<username>Capulet {}</username>", life.round);
    assert!(told.contains("<registered/>") && told.contains(&nick), "{told}");
    let item = "<item affiliation='member'/>";
    let query = format!("<query xmlns='{}'>{item}</query>", ns::MUC_ADMIN);
    let members = life.get(life.romeo, "room", &query);
    assert!(members.contains("juliet@localhost"), "{members}");
}

/// Affiliations are changed in a room of their own, by somebody who gets the list by versions.
fn change_list(life: &mut Life<'_>) {
    let resource = format!("romeo/list{}", life.round);
    let keeper = life.party.login(&resource);
    if life.round == 0 {
        life.party.enter(keeper, "list", "romeo");
        life.party.configure(keeper, "list", PERSISTENT);
    }
    let before = list_since(life.party, keeper, "");
    let before = before.last().expect("the whole list").clone();
    let first = version_of(&before, "until");
    for name in ["member", "outcast"] {
        let jid = format!("{name}{}@localhost", life.round);
        let item = format!("<item jid='{jid}' affiliation='{name}'/>");
        let query = format!("<query xmlns='{}'>{item}</query>", ns::MUC_ADMIN);
        life.set(keeper, "list", &query);
    }
    life.note("version", first);
}

/// Joins once more and returns what is told of versions.
fn list_since(party: &mut Party<Sockets>, who: Who, since: &str) -> Vec<Element> {
    let mav = format!("<mav xmlns='{}'{since}/>", ns::MUC_AFFILIATIONS);
    let x = format!("<x xmlns='{}'>{mav}</x>", ns::MUC);
    party.send(who, &format!("<presence to='list@conference.localhost/romeo'>{x}</presence>"));
    party.fence(who);
    let elements = party.take_elements(who);
    elements.into_iter().filter(|e| e.name == "message" && mav_of(e).is_some()).collect()
}

fn mav_of(stanza: &Element) -> Option<&Element> {
    stanza.child("x", ns::MUC_USER)?.child("mav", ns::MUC_AFFILIATIONS)
}

fn version_of(stanza: &Element, end: &str) -> String {
    let mav = mav_of(stanza).expect("a version");
    mav.attr(end).expect("one that begins or ends").to_owned()
}

fn check_versions(life: &mut Life<'_>) {
    let (round, juliet) = (life.round, life.juliet);
    let keeper = life.party.login("romeo/keeper");
    let first = &life.noted("version")[round];
    let changes = list_since(life.party, keeper, &format!(" since='{first}'"));
    let text: String = changes.iter().map(to_text).collect();
    for name in ["member", "outcast"] {
        assert!(text.contains(&format!("jid='{name}{round}@localhost'")), "{name}: {text}");
    }
    assert!(!text.contains("jid='romeo@localhost'"), "not changes alone: {text}");
    let last = version_of(changes.last().expect("changes"), "until");
    let told = list_since(life.party, keeper, &format!(" since='{last}'"));
    assert!(told.is_empty(), "nothing has changed: {told:?}");
    life.party.fence(juliet);
}

fn destroy(life: &mut Life<'_>) {
    let room = format!("grave{}", life.round);
    life.party.enter(life.romeo, &room, "romeo");
    life.party.configure(life.romeo, &room, PERSISTENT);
    let venue = "<destroy jid='venue@conference.localhost'><reason>cold</reason></destroy>";
    let query = format!("<query xmlns='{}'>{venue}</query>", ns::MUC_OWNER);
    life.set(life.romeo, &room, &query);
}

fn check_destroyed(life: &mut Life<'_>) {
    for round in 0..=life.round {
        life.party.send_join(life.juliet, &format!("grave{round}"), "juliet");
        let from = format!("grave{round}@conference.localhost/juliet");
        let refusal = format!("<presence type='error' from='{from}'/>");
        let refusal = to_text(&life.party.receive(life.juliet, &refusal));
        let is_told = refusal.contains("xmpp:venue@conference.localhost?join");
        assert!(refusal.contains("<gone") && is_told && refusal.contains("cold"), "{refusal}");
    }
}

fn configure(life: &mut Life<'_>) {
    if life.round == 0 {
        life.party.enter(life.romeo, "options", "romeo");
        life.party.configure(life.romeo, "options", PERSISTENT);
    }
    let fields: Vec<_> = OPTIONS.iter().map(|(var, v)| (*var, v[life.round % 2])).collect();
    let form = form_of("muc#roomconfig", &fields);
    life.set(life.romeo, "options", &format!("<query xmlns='{}'>{form}</query>", ns::MUC_OWNER));
}

fn check_configured(life: &mut Life<'_>) {
    let form = form(life.party, life.romeo, "options");
    for (var, values) in OPTIONS {
        let value = values[life.round % 2];
        assert_eq!(form.get(var).map(String::as_str), Some(value), "{var}");
    }
}

/// The id that a room gave to a message.
#[track_caller]
pub fn stanza_id(message: &Element) -> String {
    let id = message.child("stanza-id", ns::SID).and_then(|id| id.attr("id"));
    id.unwrap_or_else(|| panic!("no stanza id: {}", to_text(message))).to_owned()
}

/// The whole archive of a room or an account, by stanza id.
#[track_caller]
pub fn archive(party: &mut Party<Sockets>, who: Who, to: &str) -> BTreeMap<String, Element> {
    let (mut found, mut after) = (BTreeMap::new(), String::new());
    loop {
        let set = format!("<set xmlns='{}'><max>100</max>{after}</set>", ns::RSM);
        let query = format!("<query xmlns='{}'>{set}</query>", ns::MAM);
        party.fence(who);
        party.take(who);
        party.send(who, &format!("<iq type='set' id='archive' to='{to}'>{query}</iq>"));
        party.fence(who);
        let (mut last, mut is_complete) = (None, false);
        for element in party.take_elements(who) {
            if let Some(result) = element.child("result", ns::MAM) {
                let id = result.attr("id").expect("XEP-0313 §4.2").to_owned();
                last = Some(id.clone());
                found.insert(id, element);
            } else if element.attr("id") == Some("archive") {
                assert_eq!(element.attr("type"), Some("result"), "{}", to_text(&element));
                is_complete = to_text(&element).contains("complete='true'");
            }
        }
        let Some(last) = last.filter(|_| !is_complete) else { return found };
        after = format!("<after>{last}</after>");
    }
}

/// Who wears what, as text (XEP-0317 §3.7).
#[track_caller]
pub fn assigned_hats(party: &mut Party<Sockets>, who: Who, room: &str) -> String {
    let to = format!("{room}@conference.localhost");
    let node = "urn:xmpp:hats:commands:list-assigned";
    let command = format!("<command xmlns='{}' action='execute' node='{node}'/>", ns::COMMANDS);
    party.send(who, &format!("<iq type='set' id='hats' to='{to}'>{command}</iq>"));
    to_text(&party.receive(who, "<iq type='result' id='hats'/>"))
}

/// The values of a room's configuration.
#[track_caller]
pub fn form(party: &mut Party<Sockets>, who: Who, room: &str) -> BTreeMap<String, String> {
    let to = format!("{room}@conference.localhost");
    let query = format!("<query xmlns='{}'/>", ns::MUC_OWNER);
    party.send(who, &format!("<iq type='get' id='form' to='{to}'>{query}</iq>"));
    let answer = party.receive(who, "<iq type='result' id='form'/>");
    let form = answer.child("query", ns::MUC_OWNER).and_then(|query| query.child("x", ns::DATA));
    let fields = form.expect("a form").elements().filter(|field| field.name == "field");
    let value = |field: &Element| field.child("value", ns::DATA).map(Element::text);
    let pairs = fields.filter_map(|field| Some((field.attr("var")?.to_owned(), value(field)?)));
    pairs.collect()
}

/// A form that is submitted, of a type in the namespace of rooms or of another.
pub fn form_of(form_type: &str, fields: &[(&str, &str)]) -> String {
    let form_type = match form_type.strip_prefix("muc#") {
        Some(name) => format!("{}#{name}", ns::MUC),
        None => form_type.to_owned(),
    };
    let field =
        |(var, value): &(&str, &str)| format!("<field var='{var}'><value>{value}</value></field>");
    let fields: String = fields.iter().map(field).collect();
    let form_type = field(&("FORM_TYPE", &form_type));
    format!("<x xmlns='{}' type='submit'>{form_type}{fields}</x>", ns::DATA)
}

/// A command of XEP-0317 §3: a hat is made, or given to an account.
pub fn hat_command(name: &str, account: &str, hat: &str) -> String {
    let mut fields = vec![("hats#uri", hat)];
    fields.push(if account.is_empty() { ("hats#title", "A hat") } else { ("hats#jid", account) });
    let form = form_of("urn:xmpp:hats:commands", &fields);
    let node = format!("urn:xmpp:hats:commands:{name}");
    format!("<command xmlns='{}' action='execute' node='{node}'>{form}</command>", ns::COMMANDS)
}

/// Somebody registers a nick with a room (XEP-0045 §7.10).
pub fn registration(nick: &str) -> String {
    let form = form_of("muc#register", &[("muc#register_roomnick", nick)]);
    format!("<query xmlns='{}'>{form}</query>", ns::REGISTER)
}

/// The number that follows some text; 0 when it is not there.
pub fn number_in(text: &str, before: &str) -> usize {
    let rest = text.split_once(before).map_or("", |(_, rest)| rest);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}
