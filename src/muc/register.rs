//! Registering with a room (XEP-0045 §7.10) and how it is approved (§9.9): membership, and a nick
//! that is reserved (nicks.rs).
//!
//! In an open room whoever is not banned becomes a member at once. In a members-only room, or where
//! the owner wants it so (`registration` of the options), an admin must approve: the request goes
//! to the admins and owners who are in the room, and to those who come later while it waits. It
//! waits in memory, a day at most, and is gone with the live room; where nobody could approve it is
//! refused, to be tried again. Who is approved hears of it as of any change: by presence when in
//! the room, by an invitation to a members-only room (§9.5), else by a message with 101 (§18.1). Of
//! a denial nobody hears: the text has no word for it.
//!
//! Only the nick is kept; what else the form holds is shown to those who approve, and forgotten.
//! Members, admins and owners are registered already; without a nick they get the form all the
//! same, to reserve one. `<remove/>` ends a membership; admins and owners lose the nick alone.

use std::collections::BTreeMap;

use super::changes::{AffiliationChanges, RoleChanges};
use super::dispatch::Request;
use super::nicks::{NickChanges, check_reservable};
use super::occupant::Occupant;
use super::presence::{self, Actor};
use super::room::Room;
use super::{invite, not_in_room};
use crate::config::RoomRegistration;
use crate::cx::{Cx, Now};
use crate::storage::AffiliationEntry;
use crate::xml::Element;
use crate::xmpp::dataform::{Form, Submission, Submitted};
use crate::xmpp::jid::nick_key;
use crate::xmpp::{
    Affiliation, BareJid, Condition, ErrorType, Jid, MessageType, Stanza, StanzaError, ns,
};

/// Requests that wait for approval in one room.
const APPLICANTS_MAX: usize = 50;
/// Lines of text that those who approve are shown.
const FAQ_LINES_MAX: usize = 100;
/// How long one waits.
const WAITING_MS_MAX: u64 = 24 * 60 * 60 * 1000;

const NICK: &str = "muc#register_roomnick";
const FAQ: &str = "muc#register_faqentry";
const ALLOW: &str = "muc#register_allow";
/// Whom an approval is about; the form of §9.9 may have further fields (this one is registered for
/// the approval of voice, §16.5.2).
const JID: &str = "muc#jid";
/// Lines of text (§16.5.1), in the order of the examples, with their labels for the user and for
/// those who approve.
const TEXTS: [(&str, &str, &str); 4] = [
    ("muc#register_first", "Given Name", "Given Name"),
    ("muc#register_last", "Family Name", "Family Name"),
    ("muc#register_url", "Your URL", "User URL"),
    ("muc#register_email", "Email Address", "Email Address"),
];

/// Somebody who waits for approval.
struct Applicant {
    nick: String,
    /// What those who approve are shown.
    form: Element,
    since_ms: u64,
}

/// Those who wait for approval.
#[derive(Default)]
pub struct Applicants {
    /// Invariant: at most `APPLICANTS_MAX`.
    waiting: BTreeMap<BareJid, Applicant>,
}

impl Applicants {
    /// An account is a member now, or is no more.
    pub fn forget(&mut self, account: &BareJid) {
        self.waiting.remove(account);
    }

    fn forget_old(&mut self, now: Now) {
        let is_new = |since_ms: u64| now.mono_ms.saturating_sub(since_ms) < WAITING_MS_MAX;
        self.waiting.retain(|_, applicant| is_new(applicant.since_ms));
    }

    /// The one that an approval names: by its address, else by the nick, when only one has it.
    fn named(&self, form: &Submitted) -> Result<BareJid, StanzaError> {
        if let Some(jid) = form.text(JID)?.filter(|jid| !jid.is_empty()) {
            let account = Jid::parse(jid.trim()).map_err(|_| Condition::JidMalformed)?.to_bare();
            let is_waiting = self.waiting.contains_key(&account);
            return if is_waiting { Ok(account) } else { Err(Condition::ItemNotFound.into()) };
        }
        let nick = form.text(NICK)?.filter(|nick| !nick.is_empty());
        let key = nick_key(nick.ok_or(Condition::BadRequest)?);
        let mut found = self.waiting.iter().filter(|(_, who)| nick_key(&who.nick) == key);
        match (found.next(), found.next()) {
            (Some((account, _)), None) => Ok(account.clone()),
            _ => Err(Condition::ItemNotFound.into()),
        }
    }
}

/// The form to fill in (§7.10).
fn registration_form() -> Element {
    let instructions = "Please provide the following information to register with this room.";
    let [first, last, url, email] = TEXTS;
    let text = |form: Form, (var, label, _): (&str, &str, &str)| form.text(var, label, "");
    let form = Form::to_fill_in(ns::MUC_REGISTER, "Registration", instructions);
    let form = text(text(form, first), last).text(NICK, "Desired Nickname", "").required();
    text(text(form, url), email).lines(FAQ, "FAQ Entry", &[]).into_element()
}

/// The form for those who approve (§9.9).
fn approval_form(account: &BareJid, nick: &str, form: &Submitted) -> Result<Element, StanzaError> {
    let instructions = "To approve this registration request, select the \"Allow this person to \
                        register with the room?\" checkbox and click OK. To skip this request, \
                        click the cancel button.";
    let [first, last, url, email] = TEXTS;
    let text = |x: Form, (var, _, label): (&str, &str, &str)| -> Result<Form, StanzaError> {
        Ok(x.text(var, label, form.text(var)?.unwrap_or_default()))
    };
    let x = Form::to_fill_in(ns::MUC_REGISTER, "Registration request", instructions).jid(
        JID,
        "User ID",
        account.as_str(),
    );
    let x = text(text(x, first)?, last)?.text(NICK, "Desired Nickname", nick);
    let entry: Vec<_> = form.lines(FAQ).iter().map(String::as_str).collect();
    let x = text(text(x, url)?, email)?.lines(FAQ, "FAQ Entry", &entry);
    Ok(x.boolean(ALLOW, "Allow this person to register with the room?", false).into_element())
}

impl Room {
    /// Who is registered has an entry of its own; that of a domain is not enough.
    fn registered(&self, account: &BareJid) -> Option<&AffiliationEntry> {
        let entry = self.affiliations.get(account);
        entry.filter(|entry| entry.affiliation >= Affiliation::Member)
    }

    /// §7.10, §5.2.1: outcasts never; others unless only admins add members.
    fn check_may_register(&self, account: &BareJid) -> Result<(), Condition> {
        let is_closed = self.options.registration == RoomRegistration::Closed;
        let may = match self.affiliation_of(account) {
            Affiliation::Outcast => false,
            _ => !is_closed || self.registered(account).is_some(),
        };
        if may { Ok(()) } else { Err(Condition::NotAllowed) }
    }

    /// A get: how things stand, or the form.
    pub fn registration(&self, account: &BareJid) -> Result<Element, StanzaError> {
        self.check_may_register(account)?;
        let query = Element::new("query", ns::REGISTER);
        let Some(entry) = self.registered(account) else {
            let text = "Use the enclosed form to register with this room.";
            let instructions = Element::new("instructions", ns::REGISTER).with_text(text);
            return Ok(query.with_child(instructions).with_child(registration_form()));
        };
        let query = query.with_child(Element::new("registered", ns::REGISTER));
        Ok(match &entry.nick {
            Some(nick) => {
                query.with_child(Element::new("username", ns::REGISTER).with_text(nick.as_str()))
            }
            None => query.with_child(registration_form()),
        })
    }

    /// A set: a form, or the end of a registration.
    pub fn register(&mut self, cx: &mut Cx, request: &Request<'_>) -> Result<(), StanzaError> {
        self.check_may_register(&request.account)?;
        if request.payload.child("remove", ns::REGISTER).is_some() {
            return self.unregister(cx, request);
        }
        let x = request.payload.child("x", ns::DATA).ok_or(Condition::BadRequest)?;
        let form = match Submission::read(x, ns::MUC_REGISTER)? {
            Submission::Submit(form) => form,
            Submission::Cancel => {
                cx.reply(request.origin, request.stanza, None);
                return Ok(());
            }
        };
        let account = &request.account;
        let nick = form.text(NICK)?.filter(|nick| !nick.is_empty());
        let nick = check_reservable(&cx.config, nick.ok_or(Condition::NotAcceptable)?)?;
        for (var, ..) in TEXTS {
            super::check_text_len(&cx.config, form.text(var)?.map_or(0, str::len))?;
        }
        super::check_text_len(&cx.config, form.lines(FAQ).iter().map(String::len).sum())?;
        if form.lines(FAQ).len() > FAQ_LINES_MAX {
            return Err(Condition::NotAcceptable.into());
        }
        self.check_not_reserved(&nick, account)?;
        let is_approved = self.affiliation_of(account) >= Affiliation::Member
            || self.options.registration == RoomRegistration::Open && !self.options.members_only;
        // Who may not know who is here learns nothing of it; the approval checks it again (§14.4).
        if is_approved || self.shows_inside_to(account) {
            self.check_not_used(&nick, account)?;
        }
        if !is_approved {
            return self.apply(cx, request, nick, &form);
        }
        self.spend(cx, account)?;
        let changes = self.admit(cx, account, nick)?;
        cx.reply(request.origin, request.stanza, None);
        self.tell_registered(cx, &changes, &request.stanza.from);
        Ok(())
    }

    /// Nobody takes a nick by registering that another is using now (§14.6).
    fn check_not_used(&self, nick: &str, account: &BareJid) -> Result<(), Condition> {
        match self.occupant_like(nick) {
            Some(holder) if holder.account != *account => Err(Condition::Conflict),
            _ => Ok(()),
        }
    }

    /// XEP-0077 §3.2.
    fn unregister(&mut self, cx: &mut Cx, request: &Request<'_>) -> Result<(), StanzaError> {
        if request.payload.elements().count() != 1 {
            return Err(Condition::BadRequest.into());
        }
        let account = &request.account;
        let entry = self.registered(account).ok_or(Condition::RegistrationRequired)?;
        let (before, reason) = (entry.affiliation, entry.reason.clone());
        let after = match before {
            Affiliation::Member => Affiliation::None,
            _ if entry.nick.is_none() => return Err(Condition::RegistrationRequired.into()),
            _ => before,
        };
        let changes = AffiliationChanges::from([(account.clone(), (after, reason))]);
        let nicks = NickChanges::from([(account.clone(), None)]);
        self.backlog.check()?;
        self.spend(cx, account)?;
        self.store_affiliations(cx, &changes)?;
        self.store_nicks(cx, &changes, &nicks)?;
        self.take_affiliations(&changes);
        self.take_nicks(&nicks);
        cx.reply(request.origin, request.stanza, None);
        self.tell_registered(cx, &changes, &request.stanza.from);
        Ok(())
    }

    /// Makes a member of an account that is less, and reserves its nick. Returns what has changed;
    /// nobody has heard of it yet.
    fn admit(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        nick: String,
    ) -> Result<AffiliationChanges, StanzaError> {
        let entry = self.affiliations.get(account);
        let before = entry.map_or(Affiliation::None, |entry| entry.affiliation);
        let reason = entry.and_then(|entry| entry.reason.clone());
        let after = before.max(Affiliation::Member);
        let changes = AffiliationChanges::from([(account.clone(), (after, reason))]);
        let nicks = NickChanges::from([(account.clone(), Some(nick))]);
        self.backlog.check()?;
        self.check_list(cx, &changes)?;
        self.check_nicks(&changes, &nicks)?;
        self.check_list_bytes(cx, &changes, &nicks)?;
        self.store_affiliations(cx, &changes)?;
        self.store_nicks(cx, &changes, &nicks)?;
        self.take_affiliations(&changes);
        self.take_nicks(&nicks);
        Ok(changes)
    }

    /// Those who are in the room hear of a changed affiliation (§7.10).
    fn tell_registered(&mut self, cx: &mut Cx, changes: &AffiliationChanges, from: &Jid) {
        let actor = self.actor(from);
        let verdicts = self.verdicts(&RoleChanges::new(), changes, &[321]);
        self.execute(cx, verdicts, Some(&actor));
        for (account, (affiliation, _)) in changes {
            if self.versions.is_untold(account) {
                self.tell_absent(cx, account, *affiliation, None);
            }
        }
    }

    /// Asks the admins and owners who are here (§9.9).
    fn apply(
        &mut self,
        cx: &mut Cx,
        request: &Request<'_>,
        nick: String,
        form: &Submitted,
    ) -> Result<(), StanzaError> {
        let account = &request.account;
        if !self.occupants().any(may_approve) {
            let error = StanzaError::new(Condition::RecipientUnavailable);
            return Err(error.with_text("nobody who could approve it is in the room"));
        }
        self.registration_asked.check(account, cx.now)?;
        self.applicants.forget_old(cx.now);
        let waiting = &self.applicants.waiting;
        if waiting.len() >= APPLICANTS_MAX && !waiting.contains_key(account) {
            let error = StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait);
            return Err(error.with_text("too many wait for approval"));
        }
        let applicant = Applicant {
            form: approval_form(account, &nick, form)?,
            nick,
            since_ms: cx.now.mono_ms,
        };
        self.registration_asked.note(account, cx.now);
        cx.reply(request.origin, request.stanza, None);
        let message = self.question(cx, &applicant);
        self.applicants.waiting.insert(account.clone(), applicant);
        for approver in self.occupants().filter(|occupant| may_approve(occupant)) {
            for seat in &approver.seats {
                seat.send(cx, message.clone());
            }
        }
        Ok(())
    }

    fn question(&self, cx: &mut Cx, applicant: &Applicant) -> Stanza {
        self.own_message(cx, MessageType::Normal, applicant.form.clone())
    }

    /// Shows those who wait to a session that has come and may approve.
    pub fn show_applicants(&self, cx: &mut Cx, session_jid: &Jid) {
        let approver = self.occupant_at(session_jid).filter(|occupant| may_approve(occupant));
        let Some(seat) = approver.and_then(|approver| approver.seat(session_jid)) else { return };
        for applicant in self.applicants.waiting.values() {
            let question = self.question(cx, applicant);
            seat.send(cx, question);
        }
    }

    /// An admin has decided (§9.9).
    pub fn decide_registration(
        &mut self,
        cx: &mut Cx,
        message: &Stanza,
        x: &Element,
    ) -> Result<(), StanzaError> {
        let is_admin = self.affiliation_of(&message.from.to_bare()) >= Affiliation::Admin;
        if !is_admin {
            let is_here = self.occupant_at(&message.from).is_some();
            return Err(if is_here { Condition::Forbidden.into() } else { not_in_room() });
        }
        let Submission::Submit(form) = Submission::read(x, ns::MUC_REGISTER)? else {
            return Ok(()); // The request is skipped.
        };
        let is_allowed = form.boolean(ALLOW)?.ok_or(Condition::BadRequest)?;
        self.applicants.forget_old(cx.now);
        let account = self.applicants.named(&form)?;
        if !is_allowed {
            self.applicants.forget(&account);
            return Ok(());
        }
        if self.affiliation_of(&account) == Affiliation::Outcast {
            return Err(Condition::NotAllowed.into()); // Banned since; a ban is lifted first.
        }
        let applicant = self.applicants.waiting.get(&account).ok_or(Condition::ItemNotFound)?;
        let nick = applicant.nick.clone();
        self.check_not_used(&nick, &account)?;
        let changes = self.admit(cx, &account, nick)?;
        let is_here = !self.present_among(&changes).is_empty();
        let actor = self.actor(&message.from);
        self.tell_registered(cx, &changes, &message.from);
        if !is_here {
            self.tell_approved(cx, &actor, &account);
        }
        Ok(())
    }

    /// Somebody who is not here was made a member.
    fn tell_approved(&mut self, cx: &mut Cx, actor: &Actor, account: &BareJid) {
        if self.options.members_only {
            invite::invite_member(self, cx, actor, account, None); // §9.5
            return;
        }
        let x = Element::new("x", ns::MUC_USER).with_child(presence::status(101));
        let courtesy = self.own_message(cx, MessageType::Normal, x); // §18.1
        cx.route(Stanza { to: Some(account.clone().into()), ..courtesy });
    }
}

/// Those who may approve are those who may add members.
fn may_approve(occupant: &Occupant) -> bool {
    occupant.affiliation >= Affiliation::Admin
}
