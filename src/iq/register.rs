//! In-band registration (XEP-0077): an account before login, its password and its end after it.
//!
//! Whether a connection may register at all (`registration.in_band`, the limit per address, TLS)
//! is the session layer's to check before it comes here; that an account exists and whom it
//! belongs to is checked here. Data forms are not used: user name and password are all there is.

use crate::accounts;
use crate::cx::Cx;
use crate::xml::Element;
use crate::xmpp::{BareJid, Condition, Jid, StanzaError, ns};

use super::Request;

/// An iq of registration on a stream that is not authenticated: `domain` is the stream's, and `iq`
/// the whole get or set. Results and errors must not come here: they have no answer.
pub fn handle_unauthenticated(
    cx: &mut Cx,
    domain: &BareJid,
    iq: &Element,
) -> Result<Option<Element>, StanzaError> {
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
        Some("get") => Ok(Some(fields())),
        Some("set") => register(cx, domain, query).map(|()| None),
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

/// Creates an account (§3.1).
fn register(cx: &mut Cx, domain: &BareJid, query: &Element) -> Result<(), StanzaError> {
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
    // Whoever comes first must not become an administrator of the server by the choice of a name.
    if cx.config.is_admin(account.as_str()) {
        let error = StanzaError::new(Condition::NotAllowed);
        return Err(error.with_text("An administrator's account is not registered in band"));
    }
    accounts::add(&mut cx.storage, &cx.config, &mut *cx.entropy, &account, &password)?;
    log::info!("account {account} registered in band");
    Ok(())
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
    if request.payload.child("remove", ns::REGISTER).is_some() {
        // §3.2, table 1: the only child.
        if request.payload.elements().count() != 1 {
            return Err(Condition::BadRequest.into());
        }
        accounts::remove(&mut cx.storage, &account)?;
        log::info!("account {account} removed in band");
    } else {
        change_password(cx, &account, request.payload)?;
        log::info!("password of {account} changed in band");
    }
    cx.end_account(account);
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
