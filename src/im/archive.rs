//! The archive of an account (XEP-0313): what it sends and gets is kept, and what it may ask.
//!
//! Only the owner reads it; anybody else is told `forbidden` (§8.1), whether there is such an
//! account or not. How queries are answered is in `archives`, what is kept in `archives::chats`.

use std::collections::HashMap;

use crate::archives::{self, Archive, Asker, chats};
use crate::cx::Cx;
use crate::ids::SessionId;
use crate::storage::{ArchiveFilter, ArchiveOwner, ArchiveWish, StorageError};
use crate::xml::{Element, Node};
use crate::xmpp::mam::{self, Query};
use crate::xmpp::{BareJid, Condition, Stanza, StanzaError, ns};

use super::{Account, Im, Request};

/// What an account with an archive advertises, and no other address for it (§6.1, §7): its server
/// has none.
pub(super) const FEATURES: &[&str] = &[ns::MAM, archives::EXTENDED, ns::SID];

/// A get: the form of a query (§4.1.5).
pub(super) fn handle_form(
    _: &mut Im,
    _: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    check_owner(request)?;
    check_node(request)?;
    Ok(Some(mam::form()))
}

/// A get: the first and the last message (§5).
pub(super) fn handle_metadata(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    check_owner(request)?;
    im.allowances.check(&request.account, cx.now)?;
    Ok(Some(im.read_metadata(cx, &request.account)?))
}

/// A set: sends a page to the owner, and says which it was (§4).
pub(super) fn handle_query(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    check_owner(request)?;
    im.allowances.check(&request.account, cx.now)?;
    check_node(request)?;
    let query = mam::read(request.payload)?;
    let matching = matching(&request.account, &query);
    let asker = Asker { origin: request.origin, jid: &request.stanza.from };
    let mut archive = archive_of(cx, &request.account);
    let fin = archive.answer(cx, asker, &query, matching, |_, _| {});
    im.allowances.charge(&request.account, archive.rows_read, cx.now);
    fin.map(Some)
}

/// Nobody else may know of an account that it has an archive, nor that it is there.
pub(super) fn check_owner(request: &Request<'_>) -> Result<(), StanzaError> {
    if request.stanza.from.bare_str() == request.account.as_str() {
        return Ok(());
    }
    Err(Condition::Forbidden.into())
}

/// §6.1.3: an account's archive has no nodes.
fn check_node(request: &Request<'_>) -> Result<(), StanzaError> {
    match request.payload.attr("node") {
        None | Some("") => Ok(()),
        Some(_) => Err(Condition::ItemNotFound.into()),
    }
}

fn archive_of<'a>(cx: &Cx, account: &'a BareJid) -> Archive<'a> {
    Archive::new(ArchiveOwner::Account(account), chats::retention(cx))
}

/// What `with` means here (§4.1.1): a bare address all its resources; the account's own bare
/// address what it said to itself, but one of its own full addresses all that was sent from there
/// and to it.
fn matching(account: &BareJid, query: &Query) -> ArchiveFilter {
    let Some(with) = &query.with else { return ArchiveFilter::default() };
    let resource = with.resource().map(str::to_owned);
    let is_own = with.bare_str() == account.as_str();
    ArchiveFilter {
        nick: Some(with.bare_str().to_owned()),
        own_resource: resource.clone().filter(|_| is_own),
        resource,
        ..ArchiveFilter::default()
    }
}

/// What an account wants archived, read once while it has sessions. Of others storage is asked each
/// time, and of an account that was removed in this turn, whose sessions are about to end.
fn wish_of(
    accounts: &mut HashMap<BareJid, Account>,
    cx: &mut Cx,
    account: &BareJid,
) -> Result<ArchiveWish, StorageError> {
    let Some(record) = accounts.get_mut(account) else { return Ok(ArchiveWish::Depends) };
    if record.archive_wish.is_none() {
        record.archive_wish = cx.storage.archive_wish(account)?;
    }
    Ok(record.archive_wish.unwrap_or(ArchiveWish::Depends))
}

impl Im {
    /// Archives a message that a session sends, for its own account, and runs `tell` with the
    /// message as the user's other sessions may see it: with the id by which it is kept.
    pub(super) fn archive_sent(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        stanza: &mut Stanza,
        tell: impl FnOnce(&mut Self, &mut Cx, &Stanza),
    ) -> Result<(), StanzaError> {
        let Some(record) = self.sessions.get(session) else { return Ok(()) };
        let wish = wish_of(&mut self.accounts, cx, &record.account)?;
        let id = chats::keep_sent(cx, &record.account, wish, stanza)?;
        let children_count = stanza.children.len();
        stanza.children.extend(id.map(Node::Element));
        tell(self, cx, stanza);
        stanza.children.truncate(children_count);
        Ok(())
    }

    /// Archives a message to an account; it gets the id of that (XEP-0313 §3.5, XEP-0359), and
    /// loses one that somebody has forged.
    pub(super) fn archive_received(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        stanza: &mut Stanza,
    ) -> Result<(), StanzaError> {
        let wish = wish_of(&mut self.accounts, cx, account)?;
        Ok(chats::keep_received(cx, account, wish, stanza)?)
    }

    /// The state of an account's archive (§5), for a session that is being bound (XEP-0386 §3.2);
    /// `None` when it cannot be read.
    pub fn archive_metadata(&mut self, cx: &mut Cx, account: &BareJid) -> Option<Element> {
        self.read_metadata(cx, account).ok()
    }

    fn read_metadata(&mut self, cx: &mut Cx, account: &BareJid) -> Result<Element, StorageError> {
        let mut archive = archive_of(cx, account);
        let metadata = archive.metadata(cx);
        self.allowances.charge(account, archive.rows_read, cx.now);
        metadata
    }
}
