//! Last activity (XEP-0012): how long ago somebody logged out, for those who may see its presence.
//! Others are told `forbidden`, whether there is such an account or not (§8).
//!
//! When the last session of an account becomes unavailable or ends, the time is noted, with what
//! the user said of it. It is written at the end of the turn, apart from what others are told: if
//! that is lost, an older time stands. The same holds when the server is killed.

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::storage::{LastSeen, StorageError};
use crate::xml::Element;
use crate::xmpp::{BareJid, Condition, IqType, Stanza, StanzaError, StanzaKind, ns};

use super::{Im, Request};

/// Bytes of a status that is kept; a longer one is left out.
const STATUS_BYTES_MAX: usize = 1_024;

/// An account whose last session has become unavailable or ended.
pub(super) struct Departure {
    account: BareJid,
    last: LastSeen,
    /// It has nothing to say of the status: the one that is known stands.
    keeps_status: bool,
}

/// An iq get to an account (§3).
pub(super) fn handle(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    let account = &request.account;
    im.check_may_ask(cx, account, request.stanza)?;
    let query = Element::new("query", ns::LAST);
    if im.accounts.contains_key(account) {
        return Ok(Some(query.with_attr("seconds", "0")));
    }
    let last = im.last_seen(cx, account)?.ok_or(Condition::ItemNotFound)?;
    let seconds = cx.now.unix_ms.saturating_sub(last.unix_ms).max(0) / 1000;
    let query = query.with_attr("seconds", seconds.to_string());
    Ok(Some(query.with_text(last.status.unwrap_or_default())))
}

impl Im {
    /// A session is asked how long it has been idle (§4): it answers itself, to those who may ask.
    pub(super) fn check_last(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        stanza: &Stanza,
    ) -> Result<(), StanzaError> {
        let asks = stanza.kind == StanzaKind::Iq(IqType::Get)
            && stanza.iq_payload().is_some_and(|payload| payload.is("query", ns::LAST));
        if asks { self.check_may_ask(cx, account, stanza) } else { Ok(()) }
    }

    fn check_may_ask(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        stanza: &Stanza,
    ) -> Result<(), StanzaError> {
        if self.is_subscriber(cx, account, &stanza.from.to_bare())? {
            return Ok(());
        }
        Err(Condition::Forbidden.into())
    }

    /// What is noted, whether it is written yet or not.
    fn last_seen(&self, cx: &mut Cx, account: &BareJid) -> Result<Option<LastSeen>, StorageError> {
        let stored = cx.storage.last_seen(account)?;
        let noted = self.departures.iter().filter(|departure| departure.account == *account);
        Ok(noted.fold(stored, |known, departure| {
            let mut last = departure.last.clone();
            if departure.keeps_status {
                last.status = known.and_then(|known| known.status);
            }
            Some(last)
        }))
    }

    /// A session has become unavailable by itself, or has ended (`presence` is `None`): notes it
    /// when no other is left.
    pub(super) fn note_departure(
        &mut self,
        cx: &Cx,
        account: &BareJid,
        session: SessionId,
        was_available: bool,
        presence: Option<&Stanza>,
    ) {
        let is_left = match presence {
            Some(_) => self.available_in(account).all(|(id, ..)| id == session),
            None => !self.accounts.contains_key(account),
        };
        if !is_left {
            return;
        }
        let status = presence.and_then(|presence| presence.child("status", ns::CLIENT));
        let status = status.map(Element::text);
        let last = LastSeen {
            unix_ms: cx.now.unix_ms,
            status: status.filter(|text| !text.is_empty() && text.len() <= STATUS_BYTES_MAX),
        };
        let keeps_status = presence.is_none() && !was_available;
        self.departures.push(Departure { account: account.clone(), last, keeps_status });
    }

    /// At the end of a turn: writes down who has gone in it.
    pub fn write_departures(&mut self, cx: &mut Cx) {
        if self.departures.is_empty() {
            return;
        }
        cx.storage.begin_handler();
        for Departure { account, last, keeps_status } in std::mem::take(&mut self.departures) {
            if cx.storage.last_seen_put(&account, &last, keeps_status).is_err() {
                log::debug!("when {account} was here last is not written down");
            }
        }
    }
}
