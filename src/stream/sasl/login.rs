//! The login of one client stream: which message of which mechanism is due, who it is about, and
//! how often it has failed. The mechanisms themselves are pure (`plain`, `scram`); this part asks
//! storage for keys and draws the nonce.
//!
//! Whether an account exists must not show (advisory a13): an unknown name gets stand-in keys, the
//! same for ever, and runs through the same work as a known one. Keys are looked up again at the
//! end of an exchange, so that a password changed meanwhile is refused.

use super::scram::{ClientFirst, Exchange};
use super::{ChannelBindings, Condition, Failure, Mechanism, account_of, check_authzid, plain};
use crate::credentials::{Credentials, SALT_BYTES, ScramHash, ScramKeys};
use crate::cx::Cx;
use crate::storage::StorageError;
use crate::xml::Element;
use crate::xmpp::{BareJid, base64, ns};

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
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// `<challenge/>` with this message.
    Challenge(String),
    /// A password is to be checked: call [`Login::check_password`] when its turn has come.
    CheckPassword,
    /// `<success/>`, with additional data where the mechanism has it.
    Success {
        /// Who is logged in.
        account: BareJid,
        /// `server-final-message`.
        data: Option<String>,
    },
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
    /// Failures so far, held back or sent.
    failures: u32,
    lookup: Lookup,
}

impl Login {
    /// Nothing tried yet.
    pub fn new(lookup: Lookup) -> Self {
        Self { state: State::Idle, failures: 0, lookup }
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

    /// Counts a failure that is sent at once.
    pub fn count_failure(&mut self) {
        self.failures += 1;
    }

    /// Counts a failure and holds it back.
    pub fn hold_failure(&mut self, failure: Failure) {
        self.failures += 1;
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

    /// An element of the SASL namespace came: `auth`, `response` or `abort`.
    pub fn handle(
        &mut self,
        cx: &mut Cx,
        terms: &Terms<'_>,
        element: &Element,
    ) -> Result<Answer, Rejection> {
        // Whatever goes wrong below ends the exchange.
        let state = std::mem::replace(&mut self.state, State::Idle);
        if element.elements().next().is_some() {
            return Err(Condition::MalformedRequest.into());
        }
        match (element.name.as_ref(), state) {
            ("auth", State::Idle) => self.start(cx, terms, element),
            ("response", State::First(mechanism)) => {
                let message = decode(element)?;
                self.first(cx, terms, mechanism, &message)
            }
            ("response", State::Scram(exchange, account)) => match decode(element) {
                Ok(message) => self.finish_scram(cx, &exchange, account, &message),
                Err(failure) => Err(Rejection { failure, account }),
            },
            ("abort", State::First(_) | State::Scram(..)) => Err(Condition::Aborted.into()),
            // `auth` within an exchange, `response` or `abort` outside of one.
            _ => Err(Condition::MalformedRequest.into()),
        }
    }

    /// `<auth/>` (RFC 6120 §6.4.2).
    fn start(
        &mut self,
        cx: &mut Cx,
        terms: &Terms<'_>,
        auth: &Element,
    ) -> Result<Answer, Rejection> {
        if terms.needs_tls {
            return Err(Condition::EncryptionRequired.into());
        }
        let name = auth.attr("mechanism").unwrap_or_default();
        let mechanism = Mechanism::parse(name, !terms.bindings.is_empty())
            .ok_or(Condition::InvalidMechanism)?;
        match auth.text().as_str() {
            // No initial response: all of our mechanisms want the client to speak first.
            "" => {
                self.state = State::First(mechanism);
                Ok(Answer::Challenge(String::new()))
            }
            "=" => self.first(cx, terms, mechanism, &[]),
            _ => {
                let message = decode(auth)?;
                self.first(cx, terms, mechanism, &message)
            }
        }
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
                if let Err(failure) = check_authzid(message.authzid.as_deref(), account.as_ref()) {
                    return Err(Rejection { failure, account });
                }
                self.state = State::Password(Box::new(message), account);
                Ok(Answer::CheckPassword)
            }
            Mechanism::Scram { hash, is_plus } => {
                let first = ClientFirst::parse(message)?;
                let account = account_of(terms.host, &first.username);
                self.begin_scram(cx, terms, (hash, is_plus), &first, account.as_ref())
                    .map_err(|failure| Rejection { failure, account })
            }
        }
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
        check_authzid(first.authzid.as_deref(), account)?;
        let (credentials, _) = self.credentials(cx, terms, account, &first.username)?;
        let mut nonce = [0; NONCE_BYTES];
        cx.entropy.fill(&mut nonce);
        let nonce = base64::encode(&nonce);
        let keys = credentials.keys(hash).clone();
        let (exchange, challenge) = Exchange::begin(hash, first, binding, keys, &nonce);
        self.state = State::Scram(Box::new(exchange), account.cloned());
        Ok(Answer::Challenge(challenge))
    }

    /// `client-final-message`: the proof.
    fn finish_scram(
        &self,
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
                check_enabled(cx, &account)?;
                Ok(Answer::Success { account, data: Some(data) })
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
                check_enabled(cx, &account)?;
                Ok(Answer::Success { account, data: None })
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

/// Refuses whoever may not log in for now (RFC 6120 §6.5.2), once the password was right: nobody
/// else learns that there is such an account.
fn check_enabled(cx: &mut Cx, account: &BareJid) -> Result<(), Rejection> {
    let failure = match cx.storage.account_is_disabled(account) {
        Ok(false) => return Ok(()),
        Ok(true) => Condition::AccountDisabled.into(),
        Err(error) => temporary(error),
    };
    Err(Rejection { failure, account: Some(account.clone()) })
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

/// The message in an element: strict base64 (RFC 6120 §6.5.5, §13.9.1), bounded.
fn decode(element: &Element) -> Result<Vec<u8>, Failure> {
    let message = base64::decode(&element.text()).ok_or(Condition::IncorrectEncoding)?;
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Condition::MalformedRequest.into());
    }
    Ok(message)
}

/// Storage did not answer: nobody's fault but ours, and worth a retry.
fn temporary(_: StorageError) -> Failure {
    Condition::TemporaryAuthFailure.into()
}

/// The elements of the SASL namespace that a client sends.
pub fn is_client_element(element: &Element) -> bool {
    element.ns == ns::SASL && matches!(element.name.as_ref(), "auth" | "response" | "abort")
}
