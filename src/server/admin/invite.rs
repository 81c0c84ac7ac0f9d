//! The commands of XEP-0401: an invitation is answered with its URI. A landing page is left to
//! clients (§5.1): there is no web server here that would show one.

use crate::accounts::invitations::{self, InviteError, Issued, Wish};
use crate::xmpp::command::bad_payload;
use crate::xmpp::dataform::{Form, Submitted};
use crate::xmpp::{Condition, Jid, StanzaError, datetime, ns};

use super::super::Server;
use super::{Asked, Outcome, deeds};

/// §5.1
pub(super) fn invite_contact(
    server: &mut Server,
    asked: &Asked<'_>,
) -> Result<Outcome, StanzaError> {
    let (cx, inviter) = (&mut server.cx, asked.requester.to_bare());
    let (storage, unix_ms) = (&mut cx.storage, cx.now.unix_ms);
    let entropy = &mut *cx.entropy;
    invitations::invite_contact(storage, &cx.config, entropy, unix_ms, &inviter)
        .map(outcome)
        .map_err(refusal)
}

/// §5.4
pub(super) fn invite_account(
    server: &mut Server,
    asked: &Asked<'_>,
    form: &Submitted,
) -> Result<Outcome, StanzaError> {
    let domain = asked.domain.domain();
    let name = form.text("username").map_err(|_| bad_payload("more than one name"))?;
    let account = match name.map(str::trim).filter(|name| !name.is_empty()) {
        Some(name) => {
            let account = Jid::from_parts(Some(name), domain, None);
            Some(account.map_err(|_| bad_payload("not the name of an account"))?.to_bare())
        }
        None => None,
    };
    let is_subscribed = form.boolean("roster-subscription");
    let is_subscribed = is_subscribed.map_err(|_| bad_payload("neither yes nor no"))?;
    let wish = Wish {
        inviter: Some(asked.requester.to_bare()),
        domain: domain.to_owned(),
        account,
        is_subscribed: is_subscribed.unwrap_or(false),
    };
    let cx = &mut server.cx;
    let (storage, unix_ms) = (&mut cx.storage, cx.now.unix_ms);
    invitations::invite_account(storage, &cx.config, &mut *cx.entropy, unix_ms, wish)
        .map(outcome)
        .map_err(refusal)
}

fn outcome(issued: Issued) -> Outcome {
    let expires = datetime::format_utc(issued.expires_unix_ms);
    let form = Form::result(ns::INVITATION).text("uri", "Invitation URI", &issued.uri).text(
        "expire",
        "Good until",
        &expires,
    );
    Outcome { form: Some(form), ..Outcome::default() }
}

fn refusal(error: InviteError) -> StanzaError {
    match error {
        InviteError::Account(error) => deeds::refusal(error),
        InviteError::TooMany => {
            StanzaError::new(Condition::ResourceConstraint).with_text(error.to_string())
        }
    }
}
