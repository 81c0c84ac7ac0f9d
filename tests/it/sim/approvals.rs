//! Registering with a room where an admin has to approve it (XEP-0045 §7.10, §9.9): in a
//! members-only room, or where the owner wants it so. All who may approve are asked, they alone,
//! and whoever of them comes while a request waits; who asked is a member when it is approved, and
//! not a moment before.

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::aside::{admin_query, has_status, item_of};
use super::deeds::{MEMBERS_ONLY, PERSISTENT};
use super::{OBSERVER, Sim};
use crate::matcher::to_text;

const REGISTRATION: &str = "{urn:tercet:room}registration";
const NICK: &str = "Applied";

/// A room where somebody wants to register.
struct Office {
    jid: String,
    is_closed: bool,
    /// Who asks, and whether it is in the room.
    applicant: usize,
    is_inside: bool,
    /// Another that may approve.
    admin: usize,
    /// Nobody: in the room where it is open.
    other: usize,
}

/// A form of `muc#register`.
fn form(fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    format!(
        "<x xmlns='{}' type='submit'><field var='FORM_TYPE'><value>{}</value></field>{fields}</x>",
        ns::DATA,
        ns::MUC_REGISTER
    )
}

fn is_registered(answer: &Element) -> bool {
    let query = answer.child("query", ns::REGISTER);
    query.is_some_and(|query| query.child("registered", ns::REGISTER).is_some())
}

impl Office {
    fn seat(&self, who: usize) -> String {
        format!("{}/N{who}", self.jid)
    }
}

impl Sim {
    /// Somebody registers with a room that the observer has made, and it is approved or denied.
    pub(super) fn approve_registrations(&mut self) -> Result<(), String> {
        let [applicant, admin, other] = self.choose(3)[..] else { return Ok(()) };
        let jid = format!("office{}@conference.localhost", self.next_number());
        let is_closed = self.rng.one_in(2);
        let is_inside = !is_closed && self.rng.one_in(2);
        let office = Office { jid: jid.clone(), is_closed, applicant, is_inside, admin, other };
        self.apply_and_decide(&office).map_err(|why| format!("{jid}: {why}"))?;
        self.leave_aside(&jid)
    }

    fn open_office(&mut self, office: &Office) -> Result<bool, String> {
        let closed = if office.is_closed { "1" } else { "0" };
        let registration = if office.is_closed { "open" } else { "approval" };
        let fields = [(PERSISTENT, "0"), (MEMBERS_ONLY, closed), (REGISTRATION, registration)];
        let admin = self.people[office.admin].account();
        let admins = admin_query(&format!("<item jid='{admin}' affiliation='admin'/>"));
        if !self.make_aside(OBSERVER, &office.jid, &fields)?
            || !self.is_granted(OBSERVER, "set", &office.jid, &admins)?
        {
            return Ok(false);
        }
        for (who, is_in) in
            [(office.applicant, office.is_inside), (office.other, !office.is_closed)]
        {
            if is_in && !self.enter_aside(who, &office.seat(who), "", &["result"])? {
                return Ok(false);
            }
        }
        // An approval may reach it by its account.
        if !self.people[office.applicant].is_available {
            self.turn_available(office.applicant);
        }
        Ok(true)
    }

    fn apply_and_decide(&mut self, office: &Office) -> Result<(), String> {
        if !self.open_office(office)? {
            return Ok(());
        }
        if !office.is_closed && self.rng.one_in(5) {
            return self.find_nobody(office);
        }
        let is_early = self.rng.one_in(2);
        let admin_seat = office.seat(office.admin);
        if is_early && !self.enter_aside(office.admin, &admin_seat, "", &["result"])? {
            return Ok(());
        }
        self.stop_hearing();
        let register = form(&[("muc#register_roomnick", NICK), ("muc#register_first", "Given")]);
        let register = format!("<query xmlns='{}'>{register}</query>", ns::REGISTER);
        if !self.is_granted(office.applicant, "set", &office.jid, &register)? {
            return Ok(());
        }
        self.check_asked(office, &[(OBSERVER, true), (office.admin, is_early)])?;
        if !is_early {
            if !self.enter_aside(office.admin, &admin_seat, "", &["result"])? {
                return Ok(());
            }
            self.check_asked(office, &[(office.admin, true)])?;
        }
        if self.is_member(office)? == Some(true) {
            return Err("a member without approval".to_owned());
        }
        self.forge_approval(office)?;
        self.decide(office)
    }

    /// No approval, where nobody is who could give it.
    fn find_nobody(&mut self, office: &Office) -> Result<(), String> {
        self.send(OBSERVER, &format!("<presence type='unavailable' to='{}'/>", office.jid));
        self.settle()?;
        let register = form(&[("muc#register_roomnick", NICK)]);
        let register = format!("<query xmlns='{}'>{register}</query>", ns::REGISTER);
        let due = ["recipient-unavailable"];
        self.ask_aside(office.applicant, "set", &office.jid, &register, &due)?;
        self.oracle.count("registrations that nobody could approve");
        Ok(())
    }

    /// Who should has the request, once, and nobody else has.
    fn check_asked(&mut self, office: &Office, asked: &[(usize, bool)]) -> Result<(), String> {
        let others = [(office.applicant, false), (office.other, false)];
        let account = self.people[office.applicant].account();
        for (who, is_asked) in asked.iter().copied().chain(others) {
            let person = &self.people[who];
            let requests = person.messages_of(&office.jid);
            let is_right = match requests.as_slice() {
                [] => !is_asked,
                [one] => {
                    let text = to_text(one);
                    is_asked && [&*account, NICK, "Given"].iter().all(|part| text.contains(part))
                }
                _ => false,
            };
            if !is_right && person.is_ready() {
                return Err(format!("{} is asked {is_asked}: {requests:?}", person.jid()));
            }
        }
        Ok(())
    }

    /// Both the owner's lists and the room itself say whether the applicant is a member.
    fn is_member(&mut self, office: &Office) -> Result<Option<bool>, String> {
        let account = self.people[office.applicant].account();
        let Some(entries) = self.entries(OBSERVER, &office.jid)? else { return Ok(None) };
        let is_listed = entries.contains(&(account, "member"));
        let query = format!("<query xmlns='{}'/>", ns::REGISTER);
        let tried = self.ask_aside(office.applicant, "get", &office.jid, &query, &["result"])?;
        let Some((_, Some(answer))) = tried.filter(|(outcome, _)| outcome == "result") else {
            return Ok(None);
        };
        if is_registered(&answer) != is_listed || is_listed != to_text(&answer).contains(NICK) {
            return Err(format!("in the list: {is_listed}, told: {}", to_text(&answer)));
        }
        Ok(Some(is_listed))
    }

    fn approval(&self, office: &Office, is_allowed: bool) -> String {
        let account = self.people[office.applicant].account();
        let allow = if is_allowed { "1" } else { "0" };
        form(&[("muc#jid", &account), ("muc#register_allow", allow)])
    }

    /// Who may not approve says so.
    fn forge_approval(&mut self, office: &Office) -> Result<(), String> {
        let approval = self.approval(office, true);
        for (who, is_in) in
            [(office.applicant, office.is_inside), (office.other, !office.is_closed)]
        {
            let due = if is_in { "forbidden" } else { "not-acceptable cancel" };
            let make =
                |id: &str| format!("<message id='{id}' to='{}'>{approval}</message>", office.jid);
            self.attempt_expecting(who, make, &[due])?;
        }
        match self.is_member(office)? {
            Some(true) => Err("a member by a forged approval".to_owned()),
            _ => Ok(()),
        }
    }

    fn decide(&mut self, office: &Office) -> Result<(), String> {
        let is_allowed = self.rng.one_in(2);
        let approver = if self.rng.one_in(2) { OBSERVER } else { office.admin };
        let approval = self.approval(office, is_allowed);
        let make =
            |id: &str| format!("<message id='{id}' to='{}'>{approval}</message>", office.jid);
        self.stop_hearing();
        let before = self.storage_failures();
        let tried = self.attempt_expecting(approver, make, &["silence"])?;
        if !matches!(tried, Some((outcome, _)) if outcome == "silence") {
            return Ok(());
        }
        let is_sound = !before.0 && before == self.storage_failures();
        self.check_told(office, is_allowed, is_sound)?;
        let Some(is_member) = self.is_member(office)? else { return Ok(()) };
        if is_member != is_allowed {
            return Err(format!("allowed: {is_allowed}, a member: {is_member}"));
        }
        self.oracle.count(match is_allowed {
            true => "registrations approved",
            false => "registrations denied",
        });
        // It is decided.
        self.attempt_expecting(approver, make, &["item-not-found"])?;
        let seat = format!("{}/{NICK}", office.jid);
        let due = match (office.is_closed, is_allowed) {
            (true, _) => "registration-required",
            (false, true) => "conflict",
            (false, false) => "result",
        };
        // Who comes under the nick is nobody who is there under another.
        self.send(office.other, &format!("<presence type='unavailable' to='{}'/>", office.jid));
        self.enter_aside(office.other, &seat, "", &[due])?;
        Ok(())
    }

    /// A new member hears of it: by its presence (§7.10), by an invitation to a closed room (§9.5),
    /// else by a message (§18.1). Who is denied hears nothing.
    fn check_told(
        &mut self,
        office: &Office,
        is_allowed: bool,
        is_storage_sound: bool,
    ) -> Result<(), String> {
        let account = self.people[office.applicant].account();
        let is_own = |person: &&super::Person| person.account() == account;
        let own: Vec<_> = self.people.iter().filter(is_own).collect();
        let seat = office.seat(office.applicant);
        let is_new_member = |stanza: &&Element| {
            item_of(stanza, "affiliation") == "member" && has_status(stanza, "110")
        };
        let presences = own.iter().flat_map(|person| person.presences(&seat));
        let presences = presences.filter(is_new_member).count();
        let messages: Vec<_> =
            own.iter().flat_map(|person| person.messages_of(&office.jid)).collect();
        let invitations = messages.iter().filter(|one| to_text(one).contains("<invite")).count();
        let words = messages.iter().filter(|one| has_status(one, "101")).count();
        let is_right = match (is_allowed, office.is_inside, office.is_closed) {
            (false, ..) => (presences, messages.len()) == (0, 0),
            (true, true, _) => (presences, messages.len()) == (1, 0),
            // It is archived for whom it is for: what cannot be kept is not said.
            (true, false, true) if !is_storage_sound => (presences, words) == (0, 0),
            (true, false, true) => presences == 0 && invitations > 0 && words == 0,
            (true, false, false) => presences == 0 && words > 0 && invitations == 0,
        };
        let is_gone = !self.people[office.applicant].is_ready();
        if is_right || is_gone { Ok(()) } else { Err(format!("{account} hears {messages:?}")) }
    }

    /// Whether storage takes no writes now, and how many have failed so far.
    fn storage_failures(&mut self) -> (bool, usize) {
        let storage = self.world.server.storage();
        (storage.is_read_only(), storage.faults_met_count())
    }
}
