//! Requests whose outcome privileges.rs knows: how they are written, what came back, and whether it
//! is what was due. They are made in a quiet moment.

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::acts::{NICKS, escape};
use super::deeds::{MEMBERS_ONLY, MODERATED, SECRET};
use super::ledger::Key;
use super::oracle::{FAULTS, Invitation, outcome_of};
use super::privileges::{DEFAULT_ROLES, Obstacle, ROWS, Request, join_outcome};
use super::retractions::TOO_MUCH;
use super::rules::{AFFILIATIONS, Standing};
use super::{OBSERVER, ROOMS, Sim};
use crate::matcher::to_text;

pub const MAX_USERS: &str = "muc#roomconfig_maxusers";
/// An account that nobody has.
const NOBODY: &str = "nobody@localhost";

impl Sim {
    /// Sends a stanza that `make` writes with an id, lets everything come to rest, and returns what
    /// came back to that id: the outcome and the stanza. `None`: the client does not read, or its
    /// stream has ended.
    pub(super) fn attempt(
        &mut self,
        who: usize,
        make: impl FnOnce(&str) -> String,
    ) -> Result<Option<(String, Option<Element>)>, String> {
        let id = format!("try-{}", self.next_number());
        self.people[who].tried = Some((id.clone(), Vec::new()));
        let xml = make(&id);
        self.note_right(who, &id, &xml);
        self.send(who, &xml);
        self.settle()?;
        let replies = self.people[who].tried.take().map(|(_, replies)| replies);
        let is_slow = self.is_slow(who);
        if !self.people[who].is_ready() || is_slow {
            return Ok(None);
        }
        let mut replies = replies.unwrap_or_default();
        if replies.iter().filter(|reply| reply.attr("type") == Some("error")).count() > 1 {
            return Err(format!("{}: refused twice: {id}", self.people[who].jid()));
        }
        if replies.is_empty() {
            return Ok(Some(("silence".to_owned(), None)));
        }
        let first = replies.remove(0);
        let is_out_of_step = first.name == "presence" && first.attr("type") == Some("unavailable");
        let outcome = if is_out_of_step { "out of step".to_owned() } else { outcome_of(&first) };
        Ok(Some((outcome, Some(first))))
    }

    /// Who does not read now will read the answer when its rights may be others; what it is shown
    /// there it is shown by those that it has now.
    fn note_right(&mut self, who: usize, id: &str, xml: &str) {
        let is_to = |jid: &str| xml.starts_with("<iq") && xml.contains(&format!("to='{jid}'"));
        let Some(room) = ROOMS.iter().position(|jid| is_to(jid)) else { return };
        if self.is_slow(who) && self.standing(who, room).sees_addresses() {
            self.people[who].asked_by_right.insert((ROOMS[room].to_owned(), id.to_owned()));
        }
    }

    pub(super) fn is_slow(&self, who: usize) -> bool {
        self.people[who].link.is_some_and(|link| self.world.pace.slow.contains(&link))
    }

    /// Makes an attempt that must come to one of `expected` (none: anything).
    pub(super) fn attempt_expecting(
        &mut self,
        who: usize,
        make: impl FnOnce(&str) -> String,
        expected: &[&str],
    ) -> Result<Option<(String, Option<Element>)>, String> {
        let mut sent = String::new();
        let tried = self.attempt(who, |id| {
            sent = make(id);
            sent.clone()
        })?;
        let Some((outcome, reply)) = tried else { return Ok(None) };
        let is_excused = self.is_faulty && FAULTS.contains(&outcome.as_str());
        if !expected.is_empty() && !expected.contains(&outcome.as_str()) && !is_excused {
            let jid = self.people[who].jid();
            let reply = reply.as_ref().map(to_text);
            return Err(format!("{jid}: {outcome} where {expected:?} is due: {sent}: {reply:?}"));
        }
        let is_done = matches!(outcome.as_str(), "result" | "silence");
        self.oracle.count(if is_done { "attempts granted" } else { "attempts refused" });
        Ok(Some((outcome, reply)))
    }

    /// Who asks: the session from its seat, or the account.
    pub(super) fn standing_for(&mut self, who: usize, room: usize, request: Request) -> Standing {
        let mut standing = self.standing(who, room);
        if request.is_from_seat() {
            let jid = self.people[who].jid();
            let book = self.ledger.room(ROOMS[room]);
            let seen = book.nick_of(&jid).and_then(|nick| book.occupants.get(nick));
            standing.role = seen.map_or("none", |seen| seen.role.as_str()).to_owned();
        }
        standing
    }

    /// Somebody asks for something, and gets the answer that the tables have.
    pub(super) fn request_quietly(&mut self, who: usize, room: usize) -> Result<(), String> {
        self.settle()?;
        if !self.people[who].is_ready() || !self.is_known(room) {
            return Ok(());
        }
        let row = &ROWS[self.rng.below(ROWS.len())];
        let option = |var| self.ledger.option(ROOMS[room], var).map(str::to_owned);
        if row.holds(option) != Some(true) || !self.has_all(row.needs) {
            return Ok(());
        }
        let standing = self.standing_for(who, room, row.request);
        if row.request == Request::Destroy && standing.affiliation == "owner" {
            return Ok(());
        }
        let due = row.outcomes(&standing);
        let is_speech = matches!(row.request, Request::Speak | Request::ChangeSubject);
        let is_slowed = is_speech && self.is_slowed(room);
        let mut due = due.to_vec();
        if is_slowed && due.contains(&"result") {
            due.extend(TOO_MUCH);
        }
        self.ask_for(who, room, row.request, &due)
    }

    /// True when the room may have a limit on how often somebody speaks.
    pub(super) fn is_slowed(&self, room: usize) -> bool {
        let is_set = |var| {
            let key = Key::Option(ROOMS[room].to_owned(), var);
            self.ledger.cells.get(&key).is_some_and(|cell| cell.known() != Some("0"))
        };
        super::paces::PACE.into_iter().any(is_set)
    }

    pub(super) fn has_all(&self, feature: Option<&str>) -> bool {
        feature.is_none_or(|feature| self.features.contains(feature))
    }

    /// Asks for it: the answer is one of those that are due.
    pub(super) fn ask_for(
        &mut self,
        who: usize,
        room: usize,
        request: Request,
        due: &[&str],
    ) -> Result<(), String> {
        let number = self.next_number();
        let xml = self.written(who, room, request, number);
        let is_invitation = matches!(request, Request::InviteObserver | Request::Decline);
        if is_invitation {
            let person = &self.people[who];
            let (jid, account) = (person.jid(), person.account());
            let seat = self.ledger.room(ROOMS[room]).nick_of(&jid).map(str::to_owned);
            let seat = seat.map(|nick| format!("{}/{nick}", ROOMS[room]));
            let is_decline = request == Request::Decline;
            let own = (is_decline || seat.is_none()).then_some(account);
            let from = seat.into_iter().chain(own).collect();
            let invitation = Invitation { to: self.people[OBSERVER].account(), from };
            self.oracle.invitations.insert(format!("try-{}", self.count + 1), invitation);
        }
        let wrong = |why: String| format!("{request:?}: {why}");
        let tried =
            self.attempt_expecting(who, |id| xml.replace("{id}", id), due).map_err(wrong)?;
        if tried.is_some() {
            self.oracle.count("requests of the tables");
        }
        Ok(())
    }

    /// The stanza, `{id}` for its id.
    fn written(&mut self, who: usize, room: usize, request: Request, number: usize) -> String {
        let own_nick = self.people[who].stays.get(ROOMS[room]).map(|stay| stay.nick.clone());
        let own_nick = escape(&own_nick.unwrap_or_else(|| self.people[who].resource.clone()));
        let account = self.people[who].account();
        let text = match request {
            Request::Speak => format!("m{number}"),
            Request::ChangeSubject => format!("s{number}"),
            _ => format!("p{number}"),
        };
        self.oracle.spoken(&text, ROOMS[room], account);
        let (kind, seat, payload) = iq_of(request, &own_nick, number);
        match kind {
            "" => stanza_of(request, ROOMS[room], &text, &self.people[OBSERVER].account()),
            _ => format!("<iq type='{kind}' id='{{id}}' to='{}{seat}'>{payload}</iq>", ROOMS[room]),
        }
    }

    /// Somebody who is not in the room tries to come in, and it is known what comes of it (§7.2).
    pub(super) fn join_quietly(&mut self, who: usize, room: usize) -> Result<(), String> {
        self.settle()?;
        let number = self.rng.below(NICKS.len());
        let nick = ["", NICKS[number], "Observer", "Free", " "][self.rng.below(5)];
        let password = ["pw", "wrong", ""][self.rng.below(3)];
        self.join_as(who, room, nick, password)
    }

    /// The same under this nick and with this password.
    pub(super) fn join_as(
        &mut self,
        who: usize,
        room: usize,
        nick: &str,
        password: &str,
    ) -> Result<(), String> {
        let room_jid = ROOMS[room];
        let person = &self.people[who];
        let is_out = !person.stays.contains_key(room_jid) && !person.is_joining(room_jid);
        if !person.is_ready() || !is_out || self.is_slow(who) || !self.is_known(room) {
            return Ok(());
        }
        let moderated = self.ledger.option(room_jid, MODERATED).map(str::to_owned);
        let way_in = self.way_in(who, room, nick, password);
        let (Some(moderated), Some((obstacles, is_shared))) = (moderated, way_in) else {
            return Ok(());
        };
        let account = self.people[who].account();
        let affiliation = self.ledger.room(room_jid).affiliation(&account).to_owned();
        let prepared = nick.replace('Ｒ', "R");
        let mut due = vec![join_outcome(&obstacles)];
        if due[0] == "result" && self.may_be_reserved(room, &prepared, &account) {
            due.push("conflict");
        }
        let to = if nick.is_empty() { String::new() } else { format!("/{}", escape(nick)) };
        let x = format!("<x xmlns='{}'><password>{password}</password></x>", ns::MUC);
        let wrong = |why: String| format!("{obstacles:?}: {why}");
        let id = format!("try-{}", self.count + 1);
        self.people[who].joins.push((room_jid.to_owned(), id));
        let presence = |id: &str| format!("<presence id='{id}' to='{room_jid}{to}'>{x}</presence>");
        let tried = self.attempt_expecting(who, presence, &due).map_err(wrong)?;
        match tried {
            Some((outcome, _)) if outcome == "result" => {
                self.oracle.count("joins as predicted");
                let due = self.role_due(room, &account, &affiliation, &moderated);
                let stay = self.people[who].stays.get(room_jid);
                let is = stay.map(|stay| stay.role.as_str());
                let is_voice = matches!(is, Some("visitor" | "participant"));
                let is_right = is_shared || is == due || due.is_none() && is_voice;
                if is_right { Ok(()) } else { Err(format!("{due:?} is due, but {stay:?}")) }
            }
            Some(_) => {
                self.oracle.count("refused joins as predicted");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What stands in the way of somebody who would enter, in the order of being looked at; and
    /// whether the nick would be shared with another session. `None`: the room is not known well.
    fn way_in(
        &mut self,
        who: usize,
        room: usize,
        nick: &str,
        password: &str,
    ) -> Option<(Vec<Obstacle>, bool)> {
        let option = |var| self.ledger.option(ROOMS[room], var).map(str::to_owned);
        let (members, secret, max) = (option(MEMBERS_ONLY)?, option(SECRET)?, option(MAX_USERS)?);
        let account = self.people[who].account();
        let book = self.ledger.room(ROOMS[room]);
        let affiliation = book.affiliation(&account).to_owned();
        let prepared = nick.replace('Ｒ', "R");
        let folded = prepared.to_lowercase();
        let holder = book.occupants.iter().find(|(other, _)| other.to_lowercase() == folded);
        let is_taken = holder.is_some_and(|(_, seen)| seen.account() != account);
        let is_shared = holder.is_some_and(|(_, seen)| seen.account() == account);
        let is_admin = matches!(affiliation.as_str(), "admin" | "owner");
        let is_full = max.parse().is_ok_and(|max: usize| book.occupants.len() >= max);
        let obstacles: Vec<Obstacle> = [
            (Obstacle::NoNick, nick.is_empty()),
            (Obstacle::InvisibleNick, nick == " "),
            (Obstacle::Banned, affiliation == "outcast"),
            (Obstacle::NotMember, members == "1" && affiliation == "none"),
            (Obstacle::WrongPassword, !secret.is_empty() && secret != password),
            (Obstacle::NickTaken, is_taken),
            (Obstacle::Full, is_full && !is_admin && !is_shared),
        ]
        .into_iter()
        .filter_map(|(obstacle, is_there)| is_there.then_some(obstacle))
        .collect();
        Some((obstacles, is_shared))
    }

    /// The role with which somebody comes in: by the affiliation, or with the voice that it had.
    /// `None`: it is not known with or without voice.
    fn role_due(
        &mut self,
        room: usize,
        account: &str,
        affiliation: &str,
        moderated: &str,
    ) -> Option<&'static str> {
        let rank = AFFILIATIONS.iter().position(|name| *name == affiliation)?;
        let (_, roles) = DEFAULT_ROLES.iter().find(|(value, _)| *value == moderated)?;
        let role = roles[rank];
        if moderated != "1" || !matches!(role, "visitor" | "participant") {
            return Some(role);
        }
        // What a lost commit takes back was forgotten all the same.
        let voices = &self.ledger.room(ROOMS[room]).voices;
        let kept = voices.role(account, role).filter(|_| !self.is_faulty);
        if kept.is_some_and(|kept| kept != role) {
            self.oracle.count("voices kept");
        }
        kept
    }

    /// True when the nick may be reserved for another account.
    fn may_be_reserved(&mut self, room: usize, nick: &str, account: &str) -> bool {
        let reserved = &self.reserved;
        let holder = reserved.get(&(ROOMS[room].to_owned(), nick.to_lowercase()));
        holder.is_some_and(|holder| holder != account)
    }
}

/// A request for voice (§7.13), or with more fields its approval (§8.6).
pub fn voice_form(fields: &str) -> String {
    format!(
        "<x xmlns='{}' type='submit'><field var='FORM_TYPE'><value>{}</value></field>\
         <field var='muc#role'><value>participant</value></field>{fields}</x>",
        ns::DATA,
        ns::MUC_REQUEST
    )
}

/// A request that is an iq: its type (empty: it is none), whom of the room it is to, the payload.
fn iq_of(request: Request, own_nick: &str, number: usize) -> (&'static str, String, String) {
    let query = |ns: &str, inner: &str| format!("<query xmlns='{ns}'>{inner}</query>");
    let to_room = |kind: &'static str, payload: String| (kind, String::new(), payload);
    match request {
        Request::PingOwnSeat => {
            ("get", format!("/{own_nick}"), format!("<ping xmlns='{}'/>", ns::PING))
        }
        Request::DiscoverSeat => ("get", "/Observer".to_owned(), query(ns::DISCO_INFO, "")),
        Request::ReadRole(role) => {
            to_room("get", query(ns::MUC_ADMIN, &format!("<item role='{role}'/>")))
        }
        Request::ReadAffiliation(list) => {
            to_room("get", query(ns::MUC_ADMIN, &format!("<item affiliation='{list}'/>")))
        }
        Request::GetForm => to_room("get", query(ns::MUC_OWNER, "")),
        Request::CancelForm => {
            let form = format!("<x xmlns='{}' type='cancel'/>", ns::DATA);
            to_room("set", query(ns::MUC_OWNER, &form))
        }
        Request::Destroy => to_room("set", query(ns::MUC_OWNER, "<destroy/>")),
        Request::ModerateNothing => {
            let retract = format!("<retract xmlns='{}'/>", ns::RETRACT);
            let moderate = ns::MODERATE;
            let payload = format!("<moderate xmlns='{moderate}' id='no-id'>{retract}</moderate>");
            to_room("set", payload)
        }
        Request::ReadReservedNick => {
            to_room("get", format!("<query xmlns='{}' node='x-roomuser-item'/>", ns::DISCO_INFO))
        }
        Request::ReadRegistration => to_room("get", query(ns::REGISTER, "")),
        Request::QueryArchive => {
            let page = format!("<set xmlns='{}'><max>2</max></set>", ns::RSM);
            to_room("set", query(ns::MAM, &page))
        }
        Request::ReadCard => to_room("get", format!("<vCard xmlns='{}'/>", ns::VCARD_TEMP)),
        Request::SetCard => {
            let name = format!("<FN>Card {number}</FN>");
            to_room("set", format!("<vCard xmlns='{}'>{name}</vCard>", ns::VCARD_TEMP))
        }
        Request::ListAssignedHats => {
            let node = "urn:xmpp:hats:commands:list-assigned";
            let command = ns::COMMANDS;
            let payload = format!("<command xmlns='{command}' action='execute' node='{node}'/>");
            to_room("set", payload)
        }
        _ => to_room("", String::new()),
    }
}

/// A request that is a message or a presence.
fn stanza_of(request: Request, room: &str, text: &str, observer: &str) -> String {
    let seat = format!("{room}/Observer");
    let message = |kind: &str, to: &str, payload: String| {
        format!("<message type='{kind}' id='{{id}}' to='{to}'>{payload}</message>")
    };
    let to_user = |payload: String| {
        message("normal", room, format!("<x xmlns='{}'>{payload}</x>", ns::MUC_USER))
    };
    let body = format!("<body>{text}</body>");
    match request {
        Request::Speak => message("groupchat", room, body),
        Request::SpeakNormally => message("normal", room, body),
        Request::ChangeSubject => message("groupchat", room, format!("<subject>{text}</subject>")),
        Request::Whisper => message("chat", &seat, body),
        Request::WhisperToAll => message("groupchat", &seat, body),
        Request::WhisperToNobody => message("chat", &format!("{room}/Nobody"), body),
        Request::ChangeNick => format!("<presence id='{{id}}' to='{room}/new-{text}'/>"),
        Request::TakeNick => format!("<presence id='{{id}}' to='{seat}'/>"),
        Request::InviteObserver => to_user(format!("<invite to='{observer}'/>")),
        Request::InviteNobody => to_user(format!("<invite to='{NOBODY}'/>")),
        Request::Decline => to_user(format!("<decline to='{seat}'/>")),
        Request::AskForVoice => message("normal", room, voice_form("")),
        _ => String::new(),
    }
}
