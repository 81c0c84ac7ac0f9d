//! Ad-hoc commands (XEP-0050) as values: what a requester asks for, what it is answered, what goes
//! wrong (§4.4), and the ids of sessions. Which commands there are, who may run them and what they
//! do belongs to those who own them.
//!
//! Languages (§3.7): answers say that they are in English, and nobody is refused because of the
//! language of its stream, as §3.7 would have it: a client could not run a command at all then.
//!
//! A session has one stage beyond the first, so that nothing of it needs to be kept but its end:
//! its id is authenticated, names the two parties, the command and the time, and a short list
//! remembers which are over.

use std::collections::VecDeque;

use ring::hmac;

use super::dataform::{Submission, Submitted};
use super::{BareJid, Condition, ErrorType, Jid, StanzaError, hex, ns};
use crate::xml::Element;

/// A session that is not continued within this time is over.
const SESSION_MS: i64 = 10 * 60 * 1000;
/// Sessions known to be over, at most.
const ENDED_SESSIONS_MAX: usize = 64;
/// Hexadecimal digits of an id that authenticate the others.
const MAC_DIGITS: usize = 32;
/// The language of our answers.
const LANG: &str = "en";

/// What to do with a command (§4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// What the stage does by default; what is meant when nothing is said.
    Execute,
    /// The session ends.
    Cancel,
    /// The stage before.
    Prev,
    /// The next stage.
    Next,
    /// The last stage is done.
    Complete,
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "execute" => Self::Execute,
            "cancel" => Self::Cancel,
            "prev" => Self::Prev,
            "next" => Self::Next,
            "complete" => Self::Complete,
            _ => return None,
        })
    }
}

/// Why a command is not done (§4.4), besides `forbidden` and `item-not-found`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no such action.
    MalformedAction,
    /// The action does not fit.
    BadAction,
    /// The form does not fit.
    BadPayload,
    /// No such session was ever given.
    BadSessionId,
    /// The session was completed, cancelled, or took too long.
    SessionExpired,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::MalformedAction => "malformed-action",
            Self::BadAction => "bad-action",
            Self::BadPayload => "bad-payload",
            Self::BadSessionId => "bad-sessionid",
            Self::SessionExpired => "session-expired",
        }
    }
}

impl From<Fault> for StanzaError {
    fn from(fault: Fault) -> Self {
        let mut error = match fault {
            Fault::SessionExpired => Self::new(Condition::NotAllowed).with_type(ErrorType::Cancel),
            _ => Self::new(Condition::BadRequest).with_type(ErrorType::Modify),
        };
        error.extra_mut().application = Some(Element::new(fault.name(), ns::COMMANDS));
        error
    }
}

/// A form that cannot be accepted, and why.
pub fn bad_payload(why: &'static str) -> StanzaError {
    StanzaError::from(Fault::BadPayload).with_text(why)
}

/// A `<command/>` of a requester.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which command.
    pub node: &'a str,
    /// What to do with it.
    pub action: Action,
    /// The session that is continued.
    pub session: Option<&'a str>,
    /// The form that comes with it.
    x: Option<&'a Element>,
}

/// What a command that needs one form is to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Give the form.
    Ask,
    /// Do it, as the form says.
    Do(Submitted),
    /// End the session.
    Cancel,
}

impl<'a> Call<'a> {
    /// Reads a command. `status`, `<actions/>` and `<note/>` are the responder's: ignored.
    pub fn read(command: &'a Element) -> Result<Self, StanzaError> {
        let node = command.attr("node").filter(|node| !node.is_empty());
        let node = node.ok_or(Condition::BadRequest)?;
        let action = command.attr("action").map_or(Some(Action::Execute), Action::parse);
        let action = action.ok_or(Fault::MalformedAction)?;
        let mut forms = command.elements().filter(|element| element.is("x", ns::DATA));
        let x = forms.next();
        if forms.next().is_some() {
            return Err(bad_payload("more than one form"));
        }
        Ok(Self { node, action, session: command.attr("sessionid"), x })
    }

    /// What a command without a form is to do: nothing but give its answer.
    pub fn check_without_form(&self) -> Result<(), Fault> {
        match self.action {
            Action::Execute | Action::Complete => Ok(()),
            Action::Cancel | Action::Prev | Action::Next => Err(Fault::BadAction),
        }
    }

    /// What a command with one form is to do. The form may come at once, without a session.
    pub fn step(&self, form_type: &str) -> Result<Step, StanzaError> {
        match (self.action, self.x) {
            (Action::Cancel, _) if self.session.is_some() => Ok(Step::Cancel),
            (Action::Cancel | Action::Prev | Action::Next, _) => Err(Fault::BadAction.into()),
            (Action::Execute | Action::Complete, Some(x)) => Ok(Step::Do(submitted(x, form_type)?)),
            (Action::Execute, None) if self.session.is_none() => Ok(Step::Ask),
            (Action::Execute | Action::Complete, None) => Err(bad_payload("the form is missing")),
        }
    }
}

/// The fields of a form. Its type `cancel` counts as `submit` (§3.5.1): the action cancels.
fn submitted(x: &Element, form_type: &str) -> Result<Submitted, StanzaError> {
    let read = match x.attr("type") {
        Some("cancel") => Submission::read(&x.clone().with_attr("type", "submit"), form_type),
        _ => Submission::read(x, form_type),
    };
    match read {
        Ok(Submission::Submit(form)) => Ok(form),
        Ok(Submission::Cancel) | Err(_) => Err(bad_payload("not the form of this command")),
    }
}

/// How bad a note is (§4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// For information.
    Info,
    /// Valid, but it makes little sense.
    Warn,
    /// It has failed.
    Error,
}

/// The `<command/>` of a responder (builder).
#[derive(Clone, Debug)]
pub struct Answer {
    command: Element,
}

impl Answer {
    fn new(node: &str, session: &str, status: &str) -> Self {
        let command = Element::new("command", ns::COMMANDS)
            .with_attr("node", node)
            .with_attr("sessionid", session)
            .with_attr("status", status)
            .with_lang(Some(LANG));
        Self { command }
    }

    /// The only form of a command is to be filled in; then it can be completed (§3.4).
    pub fn executing(node: &str, session: &str, form: Element) -> Self {
        let actions = Element::new("actions", ns::COMMANDS)
            .with_attr("execute", "complete")
            .with_child(Element::new("complete", ns::COMMANDS));
        let mut answer = Self::new(node, session, "executing");
        answer.command.push(actions);
        answer.with_payload(form)
    }

    /// The command is done.
    pub fn completed(node: &str, session: &str) -> Self {
        Self::new(node, session, "completed")
    }

    /// The session was cancelled.
    pub fn canceled(node: &str, session: &str) -> Self {
        Self::new(node, session, "canceled")
    }

    /// The same with a payload.
    #[must_use]
    pub fn with_payload(mut self, payload: Element) -> Self {
        self.command.push(payload);
        self
    }

    /// The same with words for a person.
    #[must_use]
    pub fn with_note(mut self, kind: Note, text: &str) -> Self {
        let kind = match kind {
            Note::Info => "info",
            Note::Warn => "warn",
            Note::Error => "error",
        };
        let note = Element::new("note", ns::COMMANDS).with_attr("type", kind);
        self.command.push(note.with_text(text));
        self
    }

    /// The element.
    pub fn into_element(self) -> Element {
        self.command
    }
}

/// Between whom a session is, and about what: its id is good for nothing else (§3.3).
#[derive(Clone, Copy, Debug)]
pub struct Parties<'a> {
    /// What authenticates the ids of the responder.
    pub secret: &'a [u8],
    /// Who asks.
    pub requester: &'a Jid,
    /// Who is asked.
    pub responder: &'a BareJid,
    /// The command.
    pub node: &'a str,
}

impl Parties<'_> {
    /// The id of a session that begins now; `nonce` makes it unique. One that `is_over` ends with
    /// the answer that tells it.
    pub fn session_id(&self, nonce: &str, unix_ms: i64, is_over: bool) -> String {
        let state = if is_over { "over" } else { "open" };
        let body = format!("{state}-{unix_ms:x}-{nonce}");
        format!("{body}-{}", self.mac(&body))
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.secret)
    }

    fn mac(&self, body: &str) -> String {
        let Self { requester, responder, node, .. } = self;
        let text = format!("command\0{requester}\0{responder}\0{node}\0{body}");
        let tag = hmac::sign(&self.key(), text.as_bytes());
        let mut digits = hex::encode(tag.as_ref());
        digits.truncate(MAC_DIGITS);
        digits
    }

    /// When the session of an id began, and whether it was over at once.
    fn read(&self, id: &str) -> Result<(i64, bool), Fault> {
        let (body, mac) = id.rsplit_once('-').ok_or(Fault::BadSessionId)?;
        // Compared by their tags, so that the time it takes says nothing.
        let ours = hmac::sign(&self.key(), self.mac(body).as_bytes());
        hmac::verify(&self.key(), mac.as_bytes(), ours.as_ref())
            .map_err(|_| Fault::BadSessionId)?;
        let mut parts = body.split('-');
        let (Some(state), Some(began)) = (parts.next(), parts.next()) else {
            return Err(Fault::BadSessionId);
        };
        let began_ms = i64::from_str_radix(began, 16).map_err(|_| Fault::BadSessionId)?;
        Ok((began_ms, state == "over"))
    }
}

/// The sessions of a responder that are over before their time, as far as they are remembered:
/// when one must be forgotten, all that began before it count as over too.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    /// When each began, and its id; in the order of their end.
    ended: VecDeque<(i64, String)>,
    /// Those that began then or earlier are over.
    over_until_ms: i64,
}

impl Sessions {
    /// Refuses an id that was not given to these parties, or whose session is over.
    pub fn check(&self, parties: &Parties<'_>, id: &str, unix_ms: i64) -> Result<(), Fault> {
        let (began_ms, was_over) = parties.read(id)?;
        let is_over = was_over
            || began_ms <= self.over_until_ms
            || unix_ms.abs_diff(began_ms) > SESSION_MS.unsigned_abs()
            || self.ended.iter().any(|(_, ended)| ended == id);
        if is_over { Err(Fault::SessionExpired) } else { Ok(()) }
    }

    /// A session that was checked is over.
    pub fn end(&mut self, parties: &Parties<'_>, id: &str) {
        let Ok((began_ms, _)) = parties.read(id) else { return };
        self.ended.push_back((began_ms, id.to_owned()));
        if self.ended.len() > ENDED_SESSIONS_MAX
            && let Some((began_ms, _)) = self.ended.pop_front()
        {
            self.over_until_ms = self.over_until_ms.max(began_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Element {
        Element::new("command", ns::COMMANDS).with_attr("node", "n")
    }

    fn form(kind: &str) -> Element {
        Element::new("x", ns::DATA).with_attr("type", kind)
    }

    fn fault(error: &StanzaError) -> Option<&str> {
        Some(error.extra.as_deref()?.application.as_ref()?.name.as_ref())
    }

    #[test]
    fn calls() {
        let read = |element: &Element| Call::read(element).map(|call| call.action);
        assert_eq!(read(&command()), Ok(Action::Execute));
        assert_eq!(read(&command().with_attr("action", "prev")), Ok(Action::Prev));
        for action in ["", "EXECUTE", "finish"] {
            let error = read(&command().with_attr("action", action)).expect_err("no action");
            assert_eq!(fault(&error), Some("malformed-action"));
            assert_eq!((error.condition, error.kind), (Condition::BadRequest, ErrorType::Modify));
        }
        for node in [Element::new("command", ns::COMMANDS), command().with_attr("node", "")] {
            let error = read(&node).expect_err("no node");
            assert_eq!((error.condition, fault(&error)), (Condition::BadRequest, None));
        }
        let two = command().with_child(form("submit")).with_child(form("submit"));
        assert_eq!(fault(&read(&two).expect_err("two forms")), Some("bad-payload"));
    }

    #[test]
    fn steps() {
        let done = Ok(Step::Do(Submitted::default()));
        let refused = |name: &'static str| Err(name);
        for (action, session, kind, want) in [
            (None, None, None, Ok(Step::Ask)),
            (Some("execute"), None, None, Ok(Step::Ask)),
            (None, None, Some("submit"), done.clone()),
            (Some("complete"), None, Some("submit"), done.clone()),
            (Some("complete"), None, None, refused("bad-payload")),
            (Some("next"), None, None, refused("bad-action")),
            (Some("prev"), None, Some("submit"), refused("bad-action")),
            (Some("cancel"), None, None, refused("bad-action")),
            (None, Some("s"), Some("submit"), done.clone()),
            (Some("complete"), Some("s"), Some("submit"), done.clone()),
            (None, Some("s"), Some("cancel"), done),
            (None, Some("s"), Some("form"), refused("bad-payload")),
            (None, Some("s"), None, refused("bad-payload")),
            (Some("next"), Some("s"), Some("submit"), refused("bad-action")),
            (Some("prev"), Some("s"), None, refused("bad-action")),
            (Some("cancel"), Some("s"), None, Ok(Step::Cancel)),
        ] {
            let element = command()
                .with_attr_opt("action", action)
                .with_attr_opt("sessionid", session)
                .with_child_opt(kind.map(form));
            let step = Call::read(&element).and_then(|call| call.step("t"));
            let step = step.as_ref().map_err(|error| fault(error).expect("a fault"));
            assert_eq!(step, want.as_ref().map_err(|name| *name), "{element:?}");
        }
    }

    #[test]
    fn sessions_belong_to_their_parties() {
        let [romeo, juliet] = ["romeo@h/a", "juliet@h/b"].map(|jid| Jid::parse(jid).expect("jid"));
        let room = BareJid::parse("room@h").expect("jid");
        let parties = Parties { secret: b"secret", requester: &romeo, responder: &room, node: "n" };
        let id = parties.session_id("1", 1000, false);
        let mut sessions = Sessions::default();
        assert_eq!(sessions.check(&parties, &id, 1000 + SESSION_MS), Ok(()));
        let expired = Err(Fault::SessionExpired);
        assert_eq!(sessions.check(&parties, &id, 1001 + SESSION_MS), expired);
        let over = parties.session_id("1", 1000, true);
        assert_eq!(sessions.check(&parties, &over, 1000), expired);
        for other in [
            Parties { requester: &juliet, ..parties },
            Parties { node: "m", ..parties },
            Parties { secret: b"other", ..parties },
        ] {
            assert_eq!(sessions.check(&other, &id, 1000), Err(Fault::BadSessionId));
        }
        for forged in ["", "-", "x", "open-3e8-1", &id[1..], &id.replace("open", "over")] {
            assert_eq!(sessions.check(&parties, forged, 1000), Err(Fault::BadSessionId));
        }
        sessions.end(&parties, &id);
        assert_eq!(sessions.check(&parties, &id, 1000), expired);
    }

    #[test]
    fn forgotten_sessions_are_over() {
        let romeo = Jid::parse("romeo@h/a").expect("jid");
        let room = BareJid::parse("room@h").expect("jid");
        let parties = Parties { secret: b"s", requester: &romeo, responder: &room, node: "n" };
        let id = |number: i64| parties.session_id("x", 1000 + number, false);
        let mut sessions = Sessions::default();
        let count = 3 * ENDED_SESSIONS_MAX as i64;
        for number in 0..count {
            sessions.end(&parties, &id(number));
        }
        assert_eq!(sessions.ended.len(), ENDED_SESSIONS_MAX);
        for number in 0..count {
            assert_eq!(sessions.check(&parties, &id(number), 1000), Err(Fault::SessionExpired));
        }
        assert_eq!(sessions.check(&parties, &id(count), 1000), Ok(()));
    }
}
