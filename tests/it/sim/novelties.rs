//! What came to rooms after the first of them: requests for voice, moderation, registration, hats,
//! cards, lists in pages, probes. Each is used where the server says that it is there,
//! in a quiet moment, and what must come of it is known.

use std::collections::BTreeSet;

use ring::digest;
use tercet::xml::Element;
use tercet::xmpp::ns;

use super::acts::{NICKS, escape};
use super::deeds::{MODERATED, PERSISTENT};
use super::requests::voice_form;
use super::{OBSERVER, ROOMS, Sim};
use crate::matcher::to_text;

pub const PUBLIC: &str = "muc#roomconfig_publicroom";
pub const SLOW_MODE: &str = "muc#roomconfig_slow_mode_duration";

const SERVICE: &str = "conference.localhost";
const HATS: [&str; 3] = ["urn:example:host", "urn:example:guest", "urn:example:cook"];
/// Refusals of those who do too much of something.
const TOO_OFTEN: [&str; 3] =
    ["policy-violation wait", "resource-constraint", "resource-constraint wait"];

/// Rooms, and the mark of the last one.
pub type Listed = (Vec<String>, Option<String>);

impl Sim {
    /// One of them.
    pub(super) fn try_novelty(&mut self, who: usize, room: usize) -> Result<(), String> {
        self.settle()?;
        if !self.people[who].is_ready() || self.is_slow(who) || !self.is_known(room) {
            return Ok(());
        }
        // Mostly somebody for whom something comes of it.
        let with_role = |sim: &Self, role: &str| {
            let is_apt = |other: &usize| {
                let person = &sim.people[*other];
                let stay = person.stays.get(ROOMS[room]);
                let is_apt = stay.is_some_and(|stay| stay.role == role);
                *other != OBSERVER && is_apt && person.is_ready() && !sim.is_slow(*other)
            };
            (0..sim.people.len()).find(is_apt).unwrap_or(who)
        };
        let (visitor, speaker) = (with_role(self, "visitor"), with_role(self, "participant"));
        match self.rng.below(27) {
            0..3 if self.has_all(Some(ns::MUC_REQUEST)) => self.request_voice(visitor, room),
            3..6 if self.has_all(Some(ns::MODERATE)) => self.moderate(who, room),
            6..9 if self.has_all(Some(ns::REGISTER)) => self.register(who, room),
            9..12 if self.has_all(Some(ns::HATS)) => self.change_hats(room),
            12 | 13 if self.has_all(Some(ns::VCARD_TEMP)) => self.set_card(who, room),
            14 | 15 => self.slow_down(speaker, room),
            16 if self.has_all(Some(ns::MAM)) => self.pry_into_archive(speaker, room),
            17 if self.has_all(Some(ns::MAM)) => {
                self.audit_archive(room).map_err(|why| format!("{}: {why}", ROOMS[room]))
            }
            18 => self.probe(who, room),
            19..23 if self.has_all(Some(ns::RETRACT)) => self.take_back(speaker, room),
            23 if self.has_all(Some(ns::RETRACT)) => self.take_back(who, room),
            24 => self.bury_a_room(who),
            25 => self.come_back(visitor, room),
            _ => self.list_rooms(who),
        }
    }

    /// §7.13, §8.6: each moderator gets a form, nobody else does; one of them answers.
    fn request_voice(&mut self, who: usize, room: usize) -> Result<(), String> {
        let jid = ROOMS[room];
        let is_visitor = self.people[who].stays.get(jid).is_some_and(|stay| stay.role == "visitor");
        let is_moderated = self.ledger.option(jid, MODERATED) == Some("1");
        if !is_visitor || !is_moderated {
            return Ok(());
        }
        self.people.iter_mut().for_each(|person| person.forms.clear());
        let make = |id: &str| format!("<message id='{id}' to='{jid}'>{}</message>", voice_form(""));
        let mut due = vec!["silence"];
        due.extend(TOO_OFTEN);
        let tried = self.attempt_expecting(who, make, &due)?;
        if !matches!(tried, Some((outcome, _)) if outcome == "silence") {
            return Ok(());
        }
        for person in 0..self.people.len() {
            if self.is_slow(person) || !self.people[person].is_ready() {
                continue;
            }
            let role = self.people[person].stays.get(jid).map_or("", |stay| stay.role.as_str());
            let forms = self.people[person].forms.len();
            if forms != usize::from(role == "moderator") {
                return Err(format!("{} ({role}): {forms} requests", self.people[person].jid()));
            }
        }
        self.oracle.count("requests for voice");
        let Some(stay) = self.people[who].stays.get(jid) else { return Ok(()) };
        let nick = stay.nick.clone();
        let is_granted = self.rng.one_in(2);
        let field =
            |var: &str, value: &str| format!("<field var='{var}'><value>{value}</value></field>");
        let fields = field("muc#jid", &self.people[who].jid())
            + &field("muc#roomnick", &escape(&nick))
            + &field("muc#request_allow", ["false", "true"][usize::from(is_granted)]);
        let make =
            |id: &str| format!("<message id='{id}' to='{jid}'>{}</message>", voice_form(&fields));
        let tried = self.attempt_expecting(OBSERVER, make, &["silence"])?;
        let role = self.people[who].stays.get(jid).map_or("gone", |stay| stay.role.as_str());
        let is_right = role == if is_granted { "participant" } else { "visitor" };
        let is_silent = matches!(tried, Some((outcome, _)) if outcome == "silence");
        if is_silent && !is_right && self.people[who].is_ready() {
            return Err(format!("granted: {is_granted}, but {nick} is {role}"));
        }
        self.oracle.count("requests for voice answered");
        Ok(())
    }

    /// XEP-0425: a moderator takes back what somebody said; others cannot.
    fn moderate(&mut self, who: usize, room: usize) -> Result<(), String> {
        let jid = ROOMS[room];
        let back = self.rng.below(4);
        let log = self.oracle.logs.entry(jid.to_owned()).or_default();
        let Some(text) = log.latest(back).map(str::to_owned) else { return Ok(()) };
        let Some(stanza_id) = self.oracle.identities.stanza_id(&text) else { return Ok(()) };
        if text.starts_with('s') {
            return Ok(());
        }
        let who = if self.rng.one_in(2) { OBSERVER } else { who };
        if !self.people[who].stays.contains_key(jid) {
            return Ok(());
        }
        let stanza_id = stanza_id.to_owned();
        // An account that has several seats may what one of them may, as with roles.
        let is_moderator = self.standing(who, room).role == "moderator";
        let (moderate, retract) = (ns::MODERATE, ns::RETRACT);
        let payload = format!(
            "<moderate xmlns='{moderate}' id='{stanza_id}'><retract xmlns='{retract}'/>\
             <reason>enough</reason></moderate>"
        );
        let make = |id: &str| format!("<iq type='set' id='{id}' to='{jid}'>{payload}</iq>");
        // What is neither stored nor in the history any more cannot be found.
        let due: &[&str] = match is_moderator {
            true => &["result", "item-not-found"],
            false => &["forbidden", "forbidden modify"],
        };
        self.people.iter_mut().for_each(|person| person.retracted.clear());
        let tried = self.attempt_expecting(who, make, due)?;
        if !matches!(tried, Some((outcome, _)) if outcome == "result") {
            return Ok(());
        }
        for person in self.people.iter().filter(|person| person.stays.contains_key(jid)) {
            let is_slow = person.link.is_some_and(|link| self.world.pace.slow.contains(&link));
            if !is_slow && person.is_ready() && !person.retracted.contains(&stanza_id) {
                return Err(format!("{}: not told of a retraction", person.jid()));
            }
        }
        let count = self.next_number();
        let log = self.oracle.logs.entry(jid.to_owned()).or_default();
        log.retract(&text, count);
        self.oracle.orders.entry(jid.to_owned()).or_default().retract(&text);
        self.oracle.count("messages taken back");
        Ok(())
    }

    /// The nick that somebody has reserved (§7.12).
    fn reserved_nick(&mut self, who: usize, room: usize) -> Result<Option<String>, String> {
        let query = format!("<query xmlns='{}' node='x-roomuser-item'/>", ns::DISCO_INFO);
        let to = ROOMS[room];
        let make = |id: &str| format!("<iq type='get' id='{id}' to='{to}'>{query}</iq>");
        let Some((_, Some(answer))) = self.attempt(who, make)? else { return Ok(None) };
        let query = answer.child("query", ns::DISCO_INFO);
        let identity = query.and_then(|query| query.child("identity", ns::DISCO_INFO));
        Ok(identity.and_then(|identity| identity.attr("name")).map(str::to_owned))
    }

    /// §7.10: somebody registers under a nick; from then on nobody else comes in under it.
    fn register(&mut self, who: usize, room: usize) -> Result<(), String> {
        let jid = ROOMS[room];
        let account = self.people[who].account();
        let nick = ["Registered", "Nurse", NICKS[self.rng.below(4)]][self.rng.below(3)];
        // Nicks are prepared before they are kept: what is held is the prepared one.
        let prepared = nick.replace('Ｒ', "R");
        let key = (jid.to_owned(), prepared.to_lowercase());
        let affiliation = self.ledger.room(jid).affiliation(&account).to_owned();
        let is_outcast = affiliation == "outcast";
        let form = format!(
            "<query xmlns='{}'><x xmlns='{}' type='submit'><field var='FORM_TYPE'><value>{}\
             </value></field><field var='muc#register_roomnick'><value>{nick}</value></field></x>\
             </query>",
            ns::REGISTER,
            ns::DATA,
            ns::MUC_REGISTER
        );
        let due: &[&str] = match is_outcast {
            true => &["forbidden", "not-allowed"],
            // One that has to be approved is asked for once a minute.
            false => &["result", "conflict", "not-allowed", "policy-violation wait"],
        };
        let book = self.ledger.room(jid);
        book.asked.push((account.clone(), "member".to_owned()));
        let make = |id: &str| format!("<iq type='set' id='{id}' to='{jid}'>{form}</iq>");
        let tried = self.attempt_expecting(who, make, due)?;
        if !matches!(tried, Some((outcome, _)) if outcome == "result") {
            return Ok(());
        }
        self.oracle.count("registrations");
        let held = self.reserved_nick(who, room)?;
        if held.as_deref() != Some(&prepared) {
            return Ok(()); // It has to be approved first.
        }
        self.reserved.retain(|(other, _), holder| other != jid || *holder != account);
        self.reserved.insert(key, account.clone());
        let occupants = &self.ledger.room(jid).occupants;
        if let Some(seen) = occupants.get(&prepared).filter(|seen| seen.account() != account) {
            return Err(format!("{nick} is reserved by {account}, and held by {seen:?}"));
        }
        let others = (1..self.people.len()).filter(|other| {
            let person = &self.people[*other];
            person.is_ready() && !self.is_slow(*other) && person.account() != account
        });
        let Some(other) = others.last() else { return Ok(()) };
        let x = format!("<x xmlns='{}'><password>pw</password></x>", ns::MUC);
        let id = format!("try-{}", self.count + 1);
        self.people[other].joins.push((jid.to_owned(), id));
        let make = |id: &str| format!("<presence id='{id}' to='{jid}/{nick}'>{x}</presence>");
        // Those who could not come in anyway are told so first.
        let due = ["conflict", "forbidden", "registration-required", "not-authorized"];
        self.attempt_expecting(other, make, &due)?;
        self.oracle.count("reserved nicks refused");
        Ok(())
    }

    pub(super) fn command(
        &mut self,
        jid: &str,
        node: &str,
        fields: &str,
    ) -> Result<Option<String>, String> {
        let form = format!(
            "<x xmlns='{}' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:hats:commands\
             </value></field>{fields}</x>",
            ns::DATA
        );
        let payload = format!(
            "<command xmlns='{}' action='execute' node='urn:xmpp:hats:commands:{node}'>{form}\
             </command>",
            ns::COMMANDS
        );
        let make = |id: &str| format!("<iq type='set' id='{id}' to='{jid}'>{payload}</iq>");
        // XEP-0050 §4.4 has another condition than one would think of.
        let due = ["result", "conflict", "item-not-found", "bad-request"];
        Ok(self.attempt_expecting(OBSERVER, make, &due)?.map(|(outcome, _)| outcome))
    }

    /// XEP-0317 §3: the owner gives a hat or takes it away; the audit looks at who wears what.
    fn change_hats(&mut self, room: usize) -> Result<(), String> {
        let uri = HATS[self.rng.below(HATS.len())];
        let people = self.people.len();
        let account = self.people[self.rng.below(people)].account();
        let field =
            |var: &str, value: &str| format!("<field var='{var}'><value>{value}</value></field>");
        let both = field("hats#jid", &account) + &field("hats#uri", uri);
        match self.rng.below(8) {
            0 => self.define_hat(room, uri)?,
            2 => {
                if self.command(ROOMS[room], "destroy", &field("hats#uri", uri))?.as_deref()
                    == Some("result")
                {
                    self.ledger.room(ROOMS[room]).hats.remove(uri);
                }
            }
            3 => {
                if self.command(ROOMS[room], "unassign", &both)?.as_deref() == Some("result")
                    && let Some(worn) = self.ledger.room(ROOMS[room]).hats.get_mut(uri)
                {
                    worn.remove(&account);
                }
            }
            _ => {
                let is_there = |sim: &mut Self| sim.ledger.room(ROOMS[room]).hats.contains_key(uri);
                if !is_there(self) && !self.rng.one_in(4) {
                    self.define_hat(room, uri)?;
                }
                let is_there = is_there(self);
                let outcome = self.command(ROOMS[room], "assign", &both)?;
                if outcome.as_deref() == Some("result") {
                    if !is_there {
                        return Err(format!("{uri} was given, but there is no such hat"));
                    }
                    let hats = &mut self.ledger.room(ROOMS[room]).hats;
                    hats.entry(uri.to_owned()).or_default().insert(account);
                    self.oracle.count("hats given");
                }
            }
        }
        self.check_hats(ROOMS[room])
    }

    fn define_hat(&mut self, room: usize, uri: &str) -> Result<(), String> {
        let fields = format!(
            "<field var='hats#uri'><value>{uri}</value></field>\
             <field var='hats#title'><value>A hat</value></field>"
        );
        if self.command(ROOMS[room], "create", &fields)?.as_deref() == Some("result") {
            self.ledger.room(ROOMS[room]).hats.entry(uri.to_owned()).or_default();
        }
        Ok(())
    }

    /// Every occupant is seen with its hats.
    pub(super) fn check_hats(&mut self, jid: &str) -> Result<(), String> {
        if !self.has_all(Some(ns::HATS)) {
            return Ok(());
        }
        let book = self.ledger.room(jid);
        for (nick, seen) in &book.occupants {
            let is_worn = |worn: &BTreeSet<String>| worn.contains(seen.account());
            let due = book.hats.iter().filter(|(_, worn)| is_worn(worn)).map(|(uri, _)| uri);
            let due: BTreeSet<String> = due.cloned().collect();
            if seen.hats != due {
                return Err(format!("{nick} wears {:?}, not {due:?}", seen.hats));
            }
        }
        Ok(())
    }

    /// XEP-0486: the owner sets a picture, others read it, and its hash is told.
    fn set_card(&mut self, who: usize, room: usize) -> Result<(), String> {
        let jid = ROOMS[room];
        let picture = format!("picture {}", self.next_number());
        let data = crate::sasl::base64(picture.as_bytes());
        let photo = format!("<PHOTO><TYPE>image/png</TYPE><BINVAL>{data}</BINVAL></PHOTO>");
        let card = format!("<vCard xmlns='{}'>{photo}</vCard>", ns::VCARD_TEMP);
        let make = |id: &str| format!("<iq type='set' id='{id}' to='{jid}'>{card}</iq>");
        let tried = self.attempt_expecting(OBSERVER, make, &["result"])?;
        if !matches!(tried, Some((outcome, _)) if outcome == "result") {
            return Ok(());
        }
        let query = format!("<query xmlns='{}'/>", ns::DISCO_INFO);
        let make = |id: &str| format!("<iq type='get' id='{id}' to='{jid}'>{query}</iq>");
        let algorithm = &digest::SHA1_FOR_LEGACY_USE_ONLY;
        let hash: String = digest::digest(algorithm, picture.as_bytes())
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if let Some((_, Some(answer))) = self.attempt(who, make)?
            && !to_text(&answer).contains(&hash)
        {
            return Err(format!("{hash} is not told: {}", to_text(&answer)));
        }
        let query = format!("<vCard xmlns='{}'/>", ns::VCARD_TEMP);
        let make = |id: &str| format!("<iq type='get' id='{id}' to='{jid}'>{query}</iq>");
        if let Some((outcome, Some(answer))) = self.attempt(OBSERVER, make)?
            && (outcome != "result" || !to_text(&answer).contains(&data))
        {
            return Err(format!("{data} is not in the card: {}", to_text(&answer)));
        }
        self.oracle.count("cards set");
        Ok(())
    }

    /// §17.3: whatever comes of it, the oracles look at it.
    fn probe(&mut self, who: usize, room: usize) -> Result<(), String> {
        let names: Vec<String> =
            self.ledger.room(ROOMS[room]).occupants.keys().map(|nick| escape(nick)).collect();
        let chance = self.rng.below(names.len() + 1);
        let to = names
            .get(chance)
            .map_or(ROOMS[room].to_owned(), |nick| format!("{}/{nick}", ROOMS[room]));
        self.people[who].is_probing = true;
        self.send(who, &format!("<presence type='probe' to='{to}'/>"));
        self.oracle.count("probes");
        let settled = self.settle();
        self.people[who].is_probing = false;
        settled
    }

    /// §6.3: public rooms are listed, hidden ones are not; in pages (XEP-0059) as at once.
    fn list_rooms(&mut self, who: usize) -> Result<(), String> {
        let Some((rooms, _)) = self.rooms_listed(who, "")? else { return Ok(()) };
        for (room, jid) in ROOMS.into_iter().enumerate() {
            let is_there = self.is_known(room) && self.ledger.option(jid, PERSISTENT).is_some();
            let is_listed = rooms.iter().any(|other| other == jid);
            match self.ledger.option(jid, PUBLIC) {
                Some("1") if is_there && !is_listed => {
                    return Err(format!("{jid} is not listed: {rooms:?}"));
                }
                Some("0") if is_there && is_listed => return Err(format!("{jid} is listed")),
                _ => {}
            }
        }
        self.oracle.count("lists of rooms");
        if !self.service_features.contains(ns::RSM) {
            return Ok(());
        }
        let (mut all, mut mark) = (Vec::new(), None);
        loop {
            let max = 1 + self.rng.below(2);
            let after =
                mark.map_or(String::new(), |id: String| format!("<after>{}</after>", escape(&id)));
            let set = format!("<set xmlns='{}'><max>{max}</max>{after}</set>", ns::RSM);
            let Some((page, last)) = self.rooms_listed(who, &set)? else { return Ok(()) };
            if page.len() > max || all.len() > rooms.len() {
                return Err(format!("{page:?} after {all:?}, of {rooms:?}"));
            }
            let is_last = page.is_empty() || last.is_none();
            all.extend(page);
            if is_last {
                break;
            }
            mark = last;
        }
        if all.iter().collect::<BTreeSet<_>>() != rooms.iter().collect() || all.len() != rooms.len()
        {
            return Err(format!("the pages are {all:?}, the list {rooms:?}"));
        }
        self.oracle.count("lists in pages");
        Ok(())
    }

    pub(super) fn rooms_listed(&mut self, who: usize, set: &str) -> Result<Option<Listed>, String> {
        let query = format!("<query xmlns='{}'>{set}</query>", ns::DISCO_ITEMS);
        let make = |id: &str| format!("<iq type='get' id='{id}' to='{SERVICE}'>{query}</iq>");
        let Some((_, Some(answer))) = self.attempt(who, make)? else { return Ok(None) };
        let Some(query) = answer.child("query", ns::DISCO_ITEMS) else { return Ok(None) };
        let items = query.elements().filter(|e| e.name == "item");
        let rooms = items.filter_map(|item| item.attr("jid")).map(str::to_owned).collect();
        let last = query.child("set", ns::RSM).and_then(|set| set.child("last", ns::RSM));
        Ok(Some((rooms, last.map(Element::text))))
    }

    /// What the rooms and their service say that they can do.
    pub(super) fn discover(&mut self) -> Result<(), String> {
        for (to, is_room) in [(ROOMS[1], true), (SERVICE, false)] {
            let query = format!("<query xmlns='{}'/>", ns::DISCO_INFO);
            let Some(answer) = self.question(OBSERVER, to, &query)? else { return Ok(()) };
            let query = answer.child("query", ns::DISCO_INFO);
            let parts = query.iter().flat_map(|query| query.elements());
            let features: BTreeSet<String> = parts
                .filter(|part| part.name == "feature")
                .filter_map(|part| part.attr("var").map(str::to_owned))
                .collect();
            if is_room {
                self.features = features;
            } else {
                self.service_features = features;
            }
        }
        let query = format!("<query xmlns='{}'/>", ns::MUC_OWNER);
        let Some(answer) = self.question(OBSERVER, ROOMS[1], &query)? else { return Ok(()) };
        let form = answer.child("query", ns::MUC_OWNER).and_then(|q| q.child("x", ns::DATA));
        let fields = form.iter().flat_map(|form| form.elements());
        self.fields = fields.filter_map(|field| field.attr("var").map(str::to_owned)).collect();
        Ok(())
    }
}
