//! In-band registration (XEP-0077): an account before login, its password and its end after it.
//!
//! Whether a connection may register at all (`registration.in_band`, the limit per address, TLS)
//! is the session layer's to check before it comes here; that an account exists and whom it
//! belongs to is checked here. Data forms are not used: user name and password are all there is.

use crate::accounts::{self, invitations::TokenHash};
use crate::cx::{AccountEnd, Cx};
use crate::storage::Invitation;
use crate::xml::Element;
use crate::xmpp::{BareJid, Condition, Jid, StanzaError, ns};

use super::Request;

/// What an iq of registration before login has come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The payload of the result.
    pub payload: Option<Element>,
    /// Who has invited, and who has come: they become contacts of each other.
    pub contacts: Option<(BareJid, BareJid)>,
}

/// An iq of registration on a stream that is not authenticated: `domain` is the stream's, `iq` the
/// whole get or set, `invitation` what the stream has shown (XEP-0445 §4): a registration uses it
/// up. Results and errors must not come here: they have no answer.
pub fn handle_unauthenticated(
    cx: &mut Cx,
    domain: &BareJid,
    iq: &Element,
    invitation: Option<&TokenHash>,
) -> Result<Answer, StanzaError> {
    // RFC 6120 §8.2.3: exactly one payload.
    let mut payloads = iq.elements();
    let (Some(query), None) = (payloads.next(), payloads.next()) else {
        return Err(Condition::BadRequest.into());
    };
    if !query.is("query", ns::REGISTER) {
        return Err(Condition::NotAuthorized.into());
    }
    if let Some(to) = iq.attr("to") {
        let to = Jid::parse(to).map_err(|_| StanzaError::new(Condition::JidMalformed))?;
        if to != *domain.as_jid() {
            return Err(Condition::ServiceUnavailable.into());
        }
    }
    match iq.attr("type") {
        Some("get") => Ok(Answer { payload: Some(fields()), contacts: None }),
        Some("set") => {
            let contacts = register(cx, domain, query, invitation)?;
            Ok(Answer { payload: None, contacts })
        }
        _ => Err(Condition::BadRequest.into()),
    }
}

/// What is asked for (§3.1).
fn fields() -> Element {
    let instructions = "Choose a user name and a password for an account on this server.";
    Element::new("query", ns::REGISTER)
        .with_child(Element::new("instructions", ns::REGISTER).with_text(instructions))
        .with_child(Element::new("username", ns::REGISTER))
        .with_child(Element::new("password", ns::REGISTER))
}

/// Creates an account (§3.1), with an invitation or without; returns who become contacts.
fn register(
    cx: &mut Cx,
    domain: &BareJid,
    query: &Element,
    invitation: Option<&TokenHash>,
) -> Result<Option<(BareJid, BareJid)>, StanzaError> {
    if query.child("remove", ns::REGISTER).is_some() {
        // §3.2: nobody is registered on this stream.
        return Err(Condition::UnexpectedRequest.into());
    }
    let (Some(username), Some(password)) = (field(query, "username"), field(query, "password"))
    else {
        return Err(Condition::NotAcceptable.into());
    };
    let account = Jid::from_parts(Some(&username), domain.domain(), None)
        .map_err(|_| StanzaError::new(Condition::NotAcceptable))?
        .to_bare();
    let invitation = match invitation {
        Some(hash) => Some(use_up(cx, hash, &account)?),
        None => None,
    };
    let is_meant = invitation.as_ref().is_some_and(|found| found.account.is_some());
    // Whoever comes first must not become an administrator of the server by the choice of a name.
    if cx.config.is_admin(account.as_str()) && !is_meant {
        let error = StanzaError::new(Condition::NotAllowed);
        return Err(error.with_text("An administrator's account is not registered in band"));
    }
    accounts::check_not_reserved(&mut cx.storage, &account, cx.now.unix_ms)?;
    // Deriving keys takes milliseconds: a turn has room for one.
    cx.out.end_turn_early();
    accounts::add(&mut cx.storage, &cx.config, &mut *cx.entropy, &account, &password)?;
    log::info!("account {account} registered in band");
    let inviter = invitation.filter(|found| found.is_subscribed).and_then(|found| found.inviter);
    Ok(inviter.map(|inviter| (inviter, account)))
}

/// Takes an invitation out of storage: it is good for one account. It may be for a certain one
/// (XEP-0401 §6.2), and somebody else may have used it since it was shown. What goes wrong later
/// puts it back with the rest of the handler.
fn use_up(cx: &mut Cx, hash: &TokenHash, account: &BareJid) -> Result<Invitation, StanzaError> {
    let Some(invitation) = cx.storage.invitation(hash)? else {
        let error = StanzaError::new(Condition::ItemNotFound);
        return Err(error.with_text("The invitation has been used"));
    };
    if invitation.account.as_ref().is_some_and(|meant| meant != account) {
        let error = StanzaError::new(Condition::NotAcceptable);
        return Err(error.with_text("The invitation is for another name"));
    }
    cx.storage.invitation_remove(hash)?;
    Ok(invitation)
}

/// What is on file of the sender (§3.1): never the password.
pub(super) fn handle_get(
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    let account = registered(cx, request)?;
    let username = account.local().unwrap_or_default();
    let instructions = "You are registered. Send a new password to change it.";
    let query = Element::new("query", ns::REGISTER)
        .with_child(Element::new("registered", ns::REGISTER))
        .with_child(Element::new("instructions", ns::REGISTER).with_text(instructions))
        .with_child(Element::new("username", ns::REGISTER).with_text(username))
        .with_child(Element::new("password", ns::REGISTER));
    Ok(Some(query))
}

/// Removes the sender's account (§3.2), or changes its password (§3.3). Either way its sessions
/// end, this one after its result.
pub(super) fn handle_set(
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    let account = registered(cx, request)?;
    let why = if request.payload.child("remove", ns::REGISTER).is_some() {
        // §3.2, table 1: the only child.
        if request.payload.elements().count() != 1 {
            return Err(Condition::BadRequest.into());
        }
        accounts::remove(&mut cx.storage, &account)?;
        log::info!("account {account} removed in band");
        AccountEnd::Removed
    } else {
        change_password(cx, &account, request.payload)?;
        log::info!("password of {account} changed in band");
        AccountEnd::PasswordChanged
    };
    cx.end_account(account, why);
    Ok(None)
}

fn change_password(cx: &mut Cx, account: &BareJid, query: &Element) -> Result<(), StanzaError> {
    let (Some(username), Some(password)) = (field(query, "username"), field(query, "password"))
    else {
        // §3.3, table 2: incomplete information.
        return Err(Condition::BadRequest.into());
    };
    let named = Jid::from_parts(Some(&username), account.domain(), None);
    if !named.is_ok_and(|named| named == *account.as_jid()) {
        return Err(Condition::Forbidden.into());
    }
    cx.out.end_turn_early();
    accounts::change_password(&mut cx.storage, &cx.config, &mut *cx.entropy, account, &password)?;
    Ok(())
}

/// The sender's account, when it is one of the domain that is asked; others are not served.
fn registered(cx: &Cx, request: &Request<'_>) -> Result<BareJid, StanzaError> {
    let account = request.stanza.from.to_bare();
    let is_ours = account.local().is_some() && cx.config.is_account_domain(account.domain());
    let is_asked = match &request.stanza.to {
        None => true,
        Some(to) => to == account.as_jid() || to.as_str() == account.domain(),
    };
    if is_ours && is_asked { Ok(account) } else { Err(Condition::ServiceUnavailable.into()) }
}

/// The text of the one child with this name; `None` when there is none, or more than one.
fn field(query: &Element, name: &str) -> Option<String> {
    let mut fields = query.elements().filter(|child| child.is(name, ns::REGISTER));
    let text = fields.next()?.text();
    fields.next().is_none().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ask, cx};
    use super::*;
    use crate::config::Config;
    use crate::storage::{Fault, StorageError};
    use crate::xmpp::IqType;

    const ORCHARD: &str = "romeo@localhost/orchard";

    fn bare(text: &str) -> BareJid {
        BareJid::parse(text).expect("a valid address")
    }

    /// The tools of a handler, with cheap keys.
    fn world() -> Cx {
        let mut config = Config::default();
        config.sasl.iterations = 1;
        config.admin.jids = [bare("admin@localhost")].into();
        cx(config)
    }

    fn query(fields: &[(&'static str, &str)]) -> Element {
        fields.iter().fold(Element::new("query", ns::REGISTER), |query, (name, text)| {
            query.with_child(Element::new(*name, ns::REGISTER).with_text(*text))
        })
    }

    fn credentials(username: &str, password: &str) -> Element {
        query(&[("username", username), ("password", password)])
    }

    fn iq(kind: &str, payload: Element) -> Element {
        Element::new("iq", ns::CLIENT).with_attr("type", kind).with_child(payload)
    }

    /// An iq before login.
    fn before(cx: &mut Cx, iq: &Element) -> Result<Option<Element>, Condition> {
        let result = handle_unauthenticated(cx, &bare("localhost"), iq, None);
        result.map(|answer| answer.payload).map_err(|error| error.condition)
    }

    /// An iq set after login, to nobody in particular.
    fn after(cx: &mut Cx, payload: Element) -> Result<Option<Element>, Condition> {
        let result = ask(cx, ORCHARD, None, IqType::Set, payload);
        result.map_err(|error| error.condition)
    }

    fn accepts(cx: &mut Cx, account: &str, password: &str) -> bool {
        let stored = cx.storage.account(&bare(account)).expect("storage works");
        stored.is_some_and(|credentials| credentials.verify(password))
    }

    fn register_romeo(cx: &mut Cx) {
        assert_eq!(before(cx, &iq("set", credentials("romeo", "secret"))), Ok(None));
    }

    #[test]
    fn before_login_the_fields_are_told() {
        let mut cx = world();
        let fields = before(&mut cx, &iq("get", query(&[]))).ok().flatten().expect("fields");
        let names: Vec<_> = fields.elements().map(|field| field.name.as_ref()).collect();
        assert_eq!(names, ["instructions", "username", "password"]);
        let to = iq("get", query(&[])).with_attr("to", "LOCALHOST");
        assert!(before(&mut cx, &to).is_ok());
    }

    #[test]
    fn an_account_is_made_once_and_its_name_prepared() {
        let mut cx = world();
        let set = iq("set", credentials("Romeo", "secret"));
        assert_eq!(before(&mut cx, &set), Ok(None));
        assert!(accepts(&mut cx, "romeo@localhost", "secret"));
        assert!(!accepts(&mut cx, "romeo@localhost", "other"));
        let again = iq("set", credentials("romeo", "other"));
        assert_eq!(before(&mut cx, &again), Err(Condition::Conflict));
        assert!(accepts(&mut cx, "romeo@localhost", "secret"), "still the first password");
        assert!(cx.take_ended_accounts().is_empty());
    }

    /// XEP-0077 §3.1: what is missing or cannot be used is not acceptable.
    #[test]
    fn registrations_that_are_refused() {
        use Condition as C;
        let mut cx = world();
        for (payload, want) in [
            (query(&[]), C::NotAcceptable),
            (query(&[("username", "romeo")]), C::NotAcceptable),
            (query(&[("password", "secret")]), C::NotAcceptable),
            (credentials("romeo", ""), C::NotAcceptable),
            (credentials("romeo", &"x".repeat(5000)), C::NotAcceptable),
            (credentials("", "secret"), C::NotAcceptable),
            (credentials("Admin", "secret"), C::NotAllowed),
            (query(&[("remove", "")]), C::UnexpectedRequest),
        ] {
            assert_eq!(before(&mut cx, &iq("set", payload.clone())), Err(want), "{payload:?}");
        }
        let twice = credentials("romeo", "secret")
            .with_child(Element::new("username", ns::REGISTER).with_text("other"));
        assert_eq!(before(&mut cx, &iq("set", twice)), Err(C::NotAcceptable));
        assert_eq!(cx.storage.accounts(), Ok(Vec::new()));
    }

    #[test]
    fn requests_before_login_that_are_none() {
        use Condition as C;
        let mut cx = world();
        let empty = Element::new("iq", ns::CLIENT).with_attr("type", "get");
        assert_eq!(before(&mut cx, &empty), Err(C::BadRequest));
        let two = iq("get", query(&[])).with_child(query(&[]));
        assert_eq!(before(&mut cx, &two), Err(C::BadRequest));
        assert_eq!(before(&mut cx, &iq("x", query(&[]))), Err(C::BadRequest));
        let ping = iq("get", Element::new("ping", ns::PING));
        assert_eq!(before(&mut cx, &ping), Err(C::NotAuthorized));
        let elsewhere = iq("get", query(&[])).with_attr("to", "example.org");
        assert_eq!(before(&mut cx, &elsewhere), Err(C::ServiceUnavailable));
        let malformed = iq("get", query(&[])).with_attr("to", "@");
        assert_eq!(before(&mut cx, &malformed), Err(C::JidMalformed));
    }

    #[test]
    fn after_login_the_account_is_told_without_its_password() {
        let mut cx = world();
        for to in [None, Some("localhost")] {
            let info = ask(&mut cx, ORCHARD, to, IqType::Get, query(&[]));
            let info = info.ok().flatten().expect("what is on file");
            assert!(info.child("registered", ns::REGISTER).is_some());
            assert_eq!(field(&info, "username").as_deref(), Some("romeo"));
            assert_eq!(field(&info, "password").as_deref(), Some(""));
        }
    }

    #[test]
    fn a_changed_password_ends_the_sessions() {
        let mut cx = world();
        register_romeo(&mut cx);
        assert_eq!(after(&mut cx, credentials("ROMEO", "new")), Ok(None));
        assert!(accepts(&mut cx, "romeo@localhost", "new"));
        let ended = (bare("romeo@localhost"), AccountEnd::PasswordChanged);
        assert_eq!(cx.take_ended_accounts(), [ended]);
        assert!(cx.take_ended_accounts().is_empty());
    }

    #[test]
    fn changes_that_are_refused_end_nothing() {
        use Condition as C;
        let mut cx = world();
        register_romeo(&mut cx);
        for (payload, want) in [
            (query(&[]), C::BadRequest),
            (query(&[("username", "romeo")]), C::BadRequest),
            (query(&[("password", "new")]), C::BadRequest),
            (credentials("romeo", ""), C::NotAcceptable),
            (credentials("juliet", "new"), C::Forbidden),
            (credentials("a@b", "new"), C::Forbidden),
            (query(&[("remove", ""), ("username", "romeo")]), C::BadRequest),
            (query(&[("remove", ""), ("remove", "")]), C::BadRequest),
        ] {
            assert_eq!(after(&mut cx, payload.clone()), Err(want), "{payload:?}");
        }
        cx.storage.begin_handler();
        cx.storage.inject(Fault::FailWrite(1));
        assert_eq!(after(&mut cx, credentials("romeo", "new")), Err(C::InternalServerError));
        cx.storage.roll_back_handler();
        assert!(accepts(&mut cx, "romeo@localhost", "secret"));
        assert!(cx.take_ended_accounts().is_empty());
    }

    #[test]
    fn a_removed_account_is_gone_and_its_name_free() {
        let mut cx = world();
        register_romeo(&mut cx);
        assert_eq!(after(&mut cx, query(&[("remove", "")])), Ok(None));
        assert_eq!(cx.storage.accounts(), Ok(Vec::new()));
        assert_eq!(cx.take_ended_accounts(), [(bare("romeo@localhost"), AccountEnd::Removed)]);
        let again = after(&mut cx, query(&[("remove", "")]));
        assert_eq!(again, Err(Condition::RegistrationRequired));
        assert!(cx.take_ended_accounts().is_empty());
        register_romeo(&mut cx);
    }

    /// Nobody but the accounts of a domain is served by it.
    #[test]
    fn others_are_not_served() {
        let mut config = Config::default();
        config.domains.push(bare("other.example"));
        let mut cx = cx(config);
        for (from, to) in [
            ("romeo@elsewhere.example/x", "localhost"),
            ("romeo@other.example/x", "localhost"),
            ("localhost", "localhost"),
        ] {
            let error = ask(&mut cx, from, Some(to), IqType::Set, query(&[("remove", "")]));
            assert_eq!(error, Err(Condition::ServiceUnavailable.into()), "{from}");
        }
    }

    /// The ways of the command line, over the same storage.
    #[test]
    fn accounts_without_a_session() {
        use crate::accounts::AccountError as E;
        let mut cx = world();
        let romeo = bare("romeo@localhost");
        let Cx { storage, config, entropy, .. } = &mut cx;
        let entropy = &mut **entropy;
        let missing = E::NotFound(romeo.clone());
        assert_eq!(accounts::remove(storage, &romeo), Err(missing.clone()));
        let changed = accounts::change_password(storage, config, entropy, &romeo, "x");
        assert_eq!(changed, Err(missing));
        assert_eq!(accounts::add(storage, config, entropy, &romeo, "x"), Ok(()));
        // Found out before the costly part, which would refuse this password.
        let again = accounts::add(storage, config, entropy, &romeo, "");
        assert_eq!(again, Err(E::Exists(romeo.clone())));
        let changed = accounts::change_password(storage, config, entropy, &romeo, "y");
        assert_eq!(changed, Ok(()));
        storage.inject(Fault::FailWrite(1));
        storage.begin_handler();
        let failed = accounts::remove(storage, &romeo);
        assert_eq!(failed, Err(E::Storage(StorageError::Failed)));
        storage.roll_back_handler();
        assert!(accepts(&mut cx, "romeo@localhost", "y"));
        assert_eq!(accounts::remove(&mut cx.storage, &romeo), Ok(()));
    }

    /// Rests on the full preparation of addresses (nodeprep, lengths).
    mod prepared_names {
        use super::*;

        #[test]
        fn names_that_cannot_be_part_of_an_address() {
            let mut cx = world();
            let long = "x".repeat(1024);
            for name in ["a@b", "a b", "a/b", "\u{7}", &long] {
                let refused = before(&mut cx, &iq("set", credentials(name, "secret")));
                assert_eq!(refused, Err(Condition::NotAcceptable), "{name:?}");
            }
            assert_eq!(cx.storage.accounts(), Ok(Vec::new()));
        }
    }
}
