//! The login of one client stream, by either profile: which message of which mechanism is due, who
//! it is about, and how often it has failed. The mechanisms themselves are pure (`plain`, `scram`,
//! `ht`); this part asks storage for keys and draws the nonce.
//!
//! Whether an account exists must not show (advisory a13): an unknown name gets stand-in keys, the
//! same for ever, and runs through the same work as a known one. Keys are looked up again at the
//! end of an exchange, so that a password changed meanwhile is refused.

use std::fmt;

use super::profile::{Message, Profile};
use super::scram::{ClientFirst, Exchange};
use super::tokens::{self, Attempt};
use super::{
    ChannelBindings, Condition, Failure, Mechanism, account_of, announced, check_authzid, ht, plain,
};
use crate::credentials::{Credentials, SALT_BYTES, ScramHash, ScramKeys};
use crate::cx::Cx;
use crate::storage::StorageError;
use crate::stream::inline::Inline;
use crate::xml::Element;
use crate::xmpp::{BareJid, base64};

/// Failed logins of one stream after which it ends: four retries (RFC 6120 §6.4.5: two to five).
const LOGIN_FAILURES_MAX: u32 = 5;
/// Bytes of a SASL message, decoded.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// Random bytes of the server's part of a nonce.
const NONCE_BYTES: usize = 18;

/// What the login depends on: the terms under which the features were sent.
pub struct Terms<'a> {
    /// The domain of the stream.
    pub host: &'a BareJid,
    /// What can be bound; empty: no -PLUS was offered.
    pub bindings: &'a ChannelBindings,
    /// No login before TLS.
    pub needs_tls: bool,
}

/// What to tell the client, or to do, when a message was in order.
pub enum Answer {
    /// `<challenge/>` with this message.
    Challenge(String),
    /// A password is to be checked: call [`Login::check_password`] when its turn has come.
    CheckPassword,
    /// `<success/>`
    Success(Box<Granted>),
}

/// A login that has succeeded.
pub struct Granted {
    /// Who is logged in.
    pub account: BareJid,
    /// What the mechanism says last, where it says something.
    pub data: Option<Vec<u8>>,
    /// What the client asked for along with it; nothing with [`Profile::Sasl1`].
    pub inline: Inline,
    /// The token that the client is given (XEP-0484 §3.3).
    pub token: Option<Element>,
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Granted({})", self.account)
    }
}

/// A failed login and whom it was about, as far as that is known.
#[derive(Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub failure: Failure,
    /// The account that was tried, whether or not it exists.
    pub account: Option<BareJid>,
}

impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        Self { failure, account: None }
    }
}

impl From<Condition> for Rejection {
    fn from(condition: Condition) -> Self {
        Failure::from(condition).into()
    }
}

impl Rejection {
    fn of(account: &Option<BareJid>) -> impl Fn(Failure) -> Self {
        let account = account.clone();
        move |failure| Self { failure, account: account.clone() }
    }
}

/// Where stored keys are asked for: storage, or a table in tests.
pub type Lookup = fn(&mut Cx, &BareJid) -> Result<Option<Credentials>, StorageError>;

/// What is due.
enum State {
    /// `<auth/>`.
    Idle,
    /// The first message of this mechanism, asked for by an empty challenge.
    First(Mechanism),
    /// `client-final-message`.
    Scram(Box<Exchange>, Option<BareJid>),
    /// The check of this password.
    Password(Box<plain::Message>, Option<BareJid>),
    /// The `<failure/>` that is held back.
    Held(Failure),
}

/// The state of a stream's login.
pub struct Login {
    state: State,
    /// The profile of the exchange that runs or ran last.
    profile: Profile,
    /// What the exchange that runs asks for beside.
    inline: Inline,
    /// Who the client said it is, in its header: it must not log in as somebody else by XEP-0388.
    claimed: Option<BareJid>,
    /// Failures so far, held back or sent.
    failures: u32,
    lookup: Lookup,
}

impl Login {
    /// Nothing tried yet.
    pub fn new(lookup: Lookup) -> Self {
        let (state, profile) = (State::Idle, Profile::Sasl1);
        Self { state, profile, inline: Inline::default(), claimed: None, failures: 0, lookup }
    }

    /// The header of a stream came, with this `from`.
    pub fn set_claimed(&mut self, claimed: Option<BareJid>) {
        self.claimed = claimed;
    }

    /// The profile that the client has used last.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// True when no exchange runs, no password waits and no failure is held back.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// True when nothing may come in: a check or a failure waits for its turn.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Password(..) | State::Held(_))
    }

    /// True when the stream must end.
    pub fn is_exhausted(&self) -> bool {
        self.failures >= LOGIN_FAILURES_MAX
    }

    /// Counts a failure that is sent at once. What was asked for beside the login is forgotten.
    pub fn count_failure(&mut self) {
        self.failures += 1;
        self.inline = Inline::default();
    }

    /// True when an element may not come now, and ends the stream. While an exchange runs only
    /// its own elements may: XEP-0388 §2.4 wants that, and RFC 6120 §6 knows no other.
    pub fn forbids(&self, profile: Profile, element: &Element) -> bool {
        let is_running = matches!(self.state, State::First(_) | State::Scram(..));
        let begins_again = profile == Profile::Sasl2 && profile.starts(element);
        is_running && (profile != self.profile || begins_again)
    }

    /// Refuses a login before it is looked at, and holds that back.
    pub fn refuse(&mut self, profile: Profile, failure: Failure) {
        self.profile = profile;
        self.hold_failure(failure);
    }

    /// Counts a failure and holds it back.
    pub fn hold_failure(&mut self, failure: Failure) {
        self.count_failure();
        self.state = State::Held(failure);
    }

    /// The failure that was held back.
    pub fn take_held(&mut self) -> Option<Failure> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Held(failure) => Some(failure),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// An element of SASL came: the start of a login, a response, or an end.
    pub fn handle(
        &mut self,
        cx: &mut Cx,
        terms: &Terms<'_>,
        profile: Profile,
        element: &Element,
    ) -> Result<Answer, Rejection> {
        // Whatever goes wrong below ends the exchange.
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.profile = profile;
        let message = profile.read(element).ok_or(Condition::MalformedRequest)?;
        match (message, state) {
            (Message::Start { mechanism, initial }, State::Idle) => {
                if terms.needs_tls {
                    return Err(Condition::EncryptionRequired.into());
                }
                self.inline = match profile {
                    Profile::Sasl1 => Inline::default(),
                    Profile::Sasl2 => Inline::parse(element, terms.bindings)?,
                };
                self.start(cx, terms, mechanism, initial.as_deref())
            }
            (Message::Response(text), State::First(mechanism)) => {
                let message = decode(&text)?;
                self.first(cx, terms, mechanism, &message)
            }
            (Message::Response(text), State::Scram(exchange, account)) => match decode(&text) {
                Ok(message) => self.finish_scram(cx, &exchange, account, &message),
                Err(failure) => Err(Rejection { failure, account }),
            },
            (Message::Abort, State::First(_) | State::Scram(..)) => Err(Condition::Aborted.into()),
            // A start within an exchange, anything else outside of one.
            _ => Err(Condition::MalformedRequest.into()),
        }
    }

    /// `<auth/>` (RFC 6120 §6.4.2), `<authenticate/>` (XEP-0388 §2.3).
    fn start(
        &mut self,
        cx: &mut Cx,
        terms: &Terms<'_>,
        name: &str,
        initial: Option<&str>,
    ) -> Result<Answer, Rejection> {
        let mechanism = match self.inline.fast {
            Some(_) => ht::Kind::parse(name, terms.bindings).map(Mechanism::Token),
            None => Mechanism::parse(name, !terms.bindings.is_empty()),
        };
        let mechanism = mechanism.ok_or(Condition::InvalidMechanism)?;
        let Some(initial) = initial else {
            // No initial response: all of our mechanisms want the client to speak first.
            self.state = State::First(mechanism);
            return Ok(Answer::Challenge(String::new()));
        };
        let message = decode(initial)?;
        self.first(cx, terms, mechanism, &message)
    }

    /// The first message of a mechanism.
    fn first(
        &mut self,
        cx: &mut Cx,
        terms: &Terms<'_>,
        mechanism: Mechanism,
        message: &[u8],
    ) -> Result<Answer, Rejection> {
        match mechanism {
            Mechanism::Plain => {
                let message = plain::Message::parse(message)?;
                let account = account_of(terms.host, &message.username);
                self.check_identity(message.authzid.as_deref(), account.as_ref())
                    .map_err(Rejection::of(&account))?;
                self.state = State::Password(Box::new(message), account);
                Ok(Answer::CheckPassword)
            }
            Mechanism::Scram { hash, is_plus } => {
                let first = ClientFirst::parse(message)?;
                let account = account_of(terms.host, &first.username);
                self.begin_scram(cx, terms, (hash, is_plus), &first, account.as_ref())
                    .map_err(Rejection::of(&account))
            }
            Mechanism::Token(kind) => {
                let message = ht::Message::parse(message)?;
                let account = account_of(terms.host, &message.username);
                self.check_token(cx, terms, kind, &message, account.as_ref())
                    .map_err(Rejection::of(&account))
            }
        }
    }

    /// Who the client wants to be is the account, and with XEP-0388 (§2.3, §4.4) who its header
    /// says it is.
    fn check_identity(
        &self,
        authzid: Option<&str>,
        account: Option<&BareJid>,
    ) -> Result<(), Failure> {
        check_authzid(authzid, account)?;
        let is_other = self.claimed.is_some() && self.claimed.as_ref() != account;
        if self.profile == Profile::Sasl2 && is_other {
            return Err(Condition::InvalidAuthzid.into());
        }
        Ok(())
    }

    /// The one message of a login by a token.
    fn check_token(
        &mut self,
        cx: &mut Cx,
        terms: &Terms<'_>,
        kind: ht::Kind,
        message: &ht::Message,
        account: Option<&BareJid>,
    ) -> Result<Answer, Failure> {
        self.check_identity(None, account)?;
        let (Some(client), Some(fast)) = (self.inline.client, self.inline.fast) else {
            return Err(Condition::MalformedRequest.into());
        };
        let binding = kind.data(terms.bindings).ok_or(Condition::InvalidMechanism)?;
        let attempt = Attempt { account, client: &client, kind, binding, message, fast };
        let token = attempt.check(cx)?;
        let account = account.ok_or(Condition::NotAuthorized)?;
        (self.lookup)(cx, account).map_err(temporary)?.ok_or(Condition::NotAuthorized)?;
        let next = attempt.settle(cx, account, &token).map_err(temporary)?;
        // What the client asks for itself goes before what is due.
        self.inline.token = self.inline.token.or(next);
        let data = ht::answer(&token.token, binding);
        self.grant(cx, account, Some(data))
    }

    /// Somebody has proved who they are: the login has succeeded, unless the account is disabled
    /// (RFC 6120 §6.5.2), which nobody else learns. A token that cannot be stored is not given:
    /// that is no reason to refuse the login.
    fn grant(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        data: Option<Vec<u8>>,
    ) -> Result<Answer, Failure> {
        if cx.storage.account_is_disabled(account).map_err(temporary)? {
            return Err(Condition::AccountDisabled.into());
        }
        let inline = std::mem::take(&mut self.inline);
        let token = match (inline.client, inline.token) {
            (Some(client), Some(kind)) => tokens::issue(cx, account, &client, kind).ok(),
            _ => None,
        };
        Ok(Answer::Success(Box::new(Granted { account: account.clone(), data, inline, token })))
    }

    /// `client-first-message`: the salt and the nonce go out.
    fn begin_scram(
        &mut self,
        cx: &mut Cx,
        terms: &Terms<'_>,
        (hash, is_plus): (ScramHash, bool),
        first: &ClientFirst,
        account: Option<&BareJid>,
    ) -> Result<Answer, Failure> {
        let binding = first.check_binding(is_plus, terms.bindings)?;
        self.check_identity(first.authzid.as_deref(), account)?;
        let (credentials, _) = self.credentials(cx, terms, account, &first.username)?;
        let mut nonce = [0; NONCE_BYTES];
        cx.entropy.fill(&mut nonce);
        let nonce = base64::encode(&nonce);
        let keys = credentials.keys(hash).clone();
        let announced = announced(terms.bindings);
        let (exchange, challenge) =
            Exchange::begin(hash, first, binding, keys, &nonce, Some(&announced));
        self.state = State::Scram(Box::new(exchange), account.cloned());
        Ok(Answer::Challenge(challenge))
    }

    /// `client-final-message`: the proof.
    fn finish_scram(
        &mut self,
        cx: &mut Cx,
        exchange: &Exchange,
        account: Option<BareJid>,
        message: &[u8],
    ) -> Result<Answer, Rejection> {
        let checked = exchange.finish(message).and_then(|data| {
            let current = match &account {
                Some(account) => (self.lookup)(cx, account).map_err(temporary)?,
                None => None,
            };
            let is_current = current.is_some_and(|c| c.keys(exchange.hash()) == exchange.keys());
            if is_current { Ok(data) } else { Err(Condition::NotAuthorized.into()) }
        });
        match (checked, account) {
            (Ok(data), Some(account)) => {
                let granted = self.grant(cx, &account, Some(data.into_bytes()));
                granted.map_err(Rejection::of(&Some(account)))
            }
            (Ok(_), None) => Err(Condition::NotAuthorized.into()),
            (Err(failure), account) => Err(Rejection { failure, account }),
        }
    }

    /// Checks the password that [`Answer::CheckPassword`] announced.
    pub fn check_password(&mut self, cx: &mut Cx, terms: &Terms<'_>) -> Result<Answer, Rejection> {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let State::Password(message, account) = state else {
            self.state = state;
            return Err(Condition::MalformedRequest.into());
        };
        let found = self.credentials(cx, terms, account.as_ref(), &message.username);
        let checked = found.map(|(credentials, is_known)| {
            // The work is done in any case, before it matters whether there is such an account.
            credentials.verify(&message.password) && is_known
        });
        match (checked, account) {
            (Ok(true), Some(account)) => {
                self.grant(cx, &account, None).map_err(Rejection::of(&Some(account)))
            }
            (Ok(_), account) => {
                Err(Rejection { failure: Condition::NotAuthorized.into(), account })
            }
            (Err(failure), account) => Err(Rejection { failure, account }),
        }
    }

    /// The keys of an account, or stand-ins; and whether they are an account's. The stand-ins are
    /// made in both cases, so that both take the same time.
    fn credentials(
        &self,
        cx: &mut Cx,
        terms: &Terms<'_>,
        account: Option<&BareJid>,
        username: &str,
    ) -> Result<(Credentials, bool), Failure> {
        let secret = cx
            .storage
            .secret(crate::stream::UNKNOWN_USERS_SECRET, &mut *cx.entropy)
            .map_err(temporary)?;
        // The prepared name where there is one: its spellings must all get the same salt.
        let name = account.and_then(BareJid::local).unwrap_or(username);
        let name = format!("{name}@{}", terms.host);
        let stand_in = stand_in(&secret, &name, cx.config.sasl.iterations);
        let found = match account {
            Some(account) => (self.lookup)(cx, account).map_err(temporary)?,
            None => None,
        };
        let is_known = found.is_some();
        Ok((found.unwrap_or(stand_in), is_known))
    }
}

/// Keys that look like an account's and that nothing matches: the same for a name at any time,
/// from a secret of the server.
fn stand_in(secret: &[u8], name: &str, iterations: u32) -> Credentials {
    let keys = |hash: ScramHash| {
        let derive = |label: &str| {
            ScramHash::Sha256.hmac(secret, format!("{label}\0{hash:?}\0{name}").as_bytes())
        };
        let of_size = |mut bytes: Vec<u8>, size| {
            bytes.truncate(size);
            bytes
        };
        ScramKeys {
            salt: of_size(derive("salt"), SALT_BYTES),
            iterations: iterations.max(1),
            stored_key: of_size(derive("stored"), hash.output_bytes()),
            server_key: of_size(derive("server"), hash.output_bytes()),
        }
    };
    Credentials { sha1: keys(ScramHash::Sha1), sha256: keys(ScramHash::Sha256) }
}

/// A message: strict base64 (RFC 6120 §6.5.5, §13.9.1), bounded.
fn decode(text: &str) -> Result<Vec<u8>, Failure> {
    let message = base64::decode(text).ok_or(Condition::IncorrectEncoding)?;
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Condition::MalformedRequest.into());
    }
    Ok(message)
}

/// Storage did not answer: nobody's fault but ours, and worth a retry.
fn temporary(_: StorageError) -> Failure {
    Condition::TemporaryAuthFailure.into()
}
