//! The login of a stream, by either profile: what is read, and how it is answered.
//!
//! A failed login is not answered at once but held back, until the server calls
//! [`Negotiation::send_failure`]; errors that say nothing about a password are answered at once,
//! and count as well. XEP-0388 is for TLS only, whatever the configuration says (§3).

use super::{Negotiation, Stage, Step, push};
use crate::cx::Cx;
use crate::ids::SessionId;
use crate::stream::features;
use crate::stream::sasl::login::{Answer, Granted, Rejection, Terms};
use crate::stream::sasl::profile::{self, Profile};
use crate::stream::sasl::{ChannelBindings, Condition};
use crate::xml::Element;
use crate::xmpp::{Jid, StreamCondition, StreamError};

impl Negotiation {
    /// Does the check that [`Step::CheckPassword`] announced.
    pub fn check_password(&mut self, cx: &mut Cx, session: SessionId) -> Result<Step, StreamError> {
        let needs_tls = self.needs_tls(cx);
        let (Stage::Login(login), Some(host)) = (&mut self.stage, &self.host) else {
            return Ok(Step::Continue);
        };
        let answer = login.check_password(cx, &Terms { host, bindings: &self.bindings, needs_tls });
        self.answer(cx, session, answer)
    }

    /// Queues the `<failure/>` that [`Step::LoginFailed`] held back; `policy-violation` ends the
    /// stream after too many.
    pub fn send_failure(&mut self, cx: &mut Cx, session: SessionId) -> Result<(), StreamError> {
        let Stage::Login(login) = &mut self.stage else { return Ok(()) };
        let Some(failure) = login.take_held() else { return Ok(()) };
        let is_exhausted = login.is_exhausted();
        let failure = login.profile().failure(failure);
        push(cx, session, &failure);
        check_failures(is_exhausted)
    }

    /// Refuses an element that begins a login, because of too many failures of this address, before
    /// looking at it (`temporary-auth-failure`); also held back, until [`Self::send_failure`].
    /// False: it is no such element, or not its time.
    pub fn refuse_login(&mut self, element: &Element) -> bool {
        let profile = Profile::of(element).filter(|profile| profile.starts(element));
        let (Some(profile), Stage::Login(login)) = (profile, &mut self.stage) else {
            return false;
        };
        let is_time = self.is_open && !login.is_waiting() && !login.forbids(profile, element);
        if is_time {
            login.refuse(profile, Condition::TemporaryAuthFailure.into());
        }
        is_time
    }

    pub(super) fn handle_sasl(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        profile: Profile,
        element: &Element,
    ) -> Result<Step, StreamError> {
        let needs_tls = match profile {
            Profile::Sasl1 => self.needs_tls(cx),
            Profile::Sasl2 => !self.is_secure,
        };
        let (Stage::Login(login), Some(host)) = (&mut self.stage, &self.host) else {
            // Logged in already (XEP-0388 §4.8).
            return Err(StreamCondition::UnsupportedStanzaType.into());
        };
        if login.forbids(profile, element) {
            return Err(StreamCondition::NotAuthorized.into());
        }
        let terms = Terms { host, bindings: &self.bindings, needs_tls };
        let answer = login.handle(cx, &terms, profile, element);
        self.answer(cx, session, answer)
    }

    /// Tells the client how its login goes on.
    fn answer(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        answer: Result<Answer, Rejection>,
    ) -> Result<Step, StreamError> {
        let Stage::Login(login) = &self.stage else { return Ok(Step::Continue) };
        let profile = login.profile();
        match answer {
            Ok(Answer::CheckPassword) => Ok(Step::CheckPassword),
            Ok(Answer::Challenge(message)) => {
                push(cx, session, &profile.challenge(message.as_bytes()));
                Ok(Step::Continue)
            }
            Ok(Answer::Success(granted)) => {
                self.stage = Stage::Bind(granted.account.clone());
                self.bindings = ChannelBindings::default();
                if profile == Profile::Sasl2 {
                    return Ok(Step::Granted(granted));
                }
                push(cx, session, &profile::success(granted.data.as_deref()));
                self.is_open = false;
                Ok(Step::Authenticated)
            }
            Err(rejection) => self.reject(cx, session, rejection),
        }
    }

    /// A login by XEP-0388 is done, and so is what came along with it, with these results: queues
    /// `<success/>` and the features that are left (§2.6.1). `full_jid` is what was bound.
    pub fn send_success(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        granted: Granted,
        full_jid: Option<&Jid>,
        mut results: Vec<Element>,
    ) {
        if full_jid.is_some() {
            self.stage = Stage::Bound(granted.account.clone());
        }
        let identity = full_jid.map_or(granted.account.as_str(), Jid::as_str);
        results.extend(granted.token);
        let success = profile::success_inline(granted.data.as_deref(), identity, results);
        push(cx, session, &success);
        let features = features::write_after_login(cx, full_jid.is_some());
        cx.out.push_raw(session, &features);
    }

    /// Holds back what is about a password or a token; answers anything else at once.
    fn reject(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        Rejection { failure, account }: Rejection,
    ) -> Result<Step, StreamError> {
        let Stage::Login(login) = &mut self.stage else { return Ok(Step::Continue) };
        if matches!(failure.condition, Condition::NotAuthorized | Condition::CredentialsExpired) {
            login.hold_failure(failure);
            return Ok(Step::LoginFailed { account });
        }
        login.count_failure();
        let is_exhausted = login.is_exhausted();
        let failure = login.profile().failure(failure);
        push(cx, session, &failure);
        check_failures(is_exhausted)?;
        Ok(Step::Continue)
    }
}

/// Ends the stream after too many failed logins (RFC 6120 §6.4.5).
fn check_failures(is_exhausted: bool) -> Result<(), StreamError> {
    if is_exhausted {
        let error = StreamError::new(StreamCondition::PolicyViolation);
        return Err(error.with_text("too many failed logins"));
    }
    Ok(())
}
