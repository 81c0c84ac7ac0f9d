//! Blocking (XEP-0191): what somebody has blocked neither comes nor goes.
//!
//! The list of a connected account is read when it is first needed, and then lies in `cx.blocks`,
//! where rooms look too. Blocking is polite (§4): subscriptions stay, and nobody is told but by
//! presence. What is let through nonetheless: a farewell to a blocked room, since nobody could
//! leave it otherwise; and presence that a room gives its occupants, whose list stays right.

use std::collections::BTreeSet;

use crate::blocks::{self, BlockList};
use crate::cx::Cx;
use crate::ids::SessionId;
use crate::outbound::Envelope;
use crate::storage::{RosterItem, Subscription};
use crate::xml::Element;
use crate::xmpp::{
    BareJid, Condition, ErrorType, IqType, Jid, MessageType, PresenceType, Stanza, StanzaError,
    StanzaKind, ns,
};

use super::{Im, Request};

/// The block list (§3.2): the session is told of changes from now on.
pub(super) fn handle_list(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    im.read_blocks(cx, &request.account)?;
    let mut list = Element::new("blocklist", ns::BLOCKING);
    for jid in cx.blocks.of(&request.account).into_iter().flat_map(BlockList::iter) {
        list.push(Element::new("item", ns::BLOCKING).with_attr("jid", jid));
    }
    let session = im.session_at(&request.stanza.from);
    if let Some(session) = session.and_then(|session| im.sessions.get_mut(session)) {
        session.wants_blocks = true;
    }
    Ok(Some(list))
}

/// `<block/>` (§3.3). What is reported with it (XEP-0377) is not kept.
pub(super) fn handle_block(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    let (account, items) = (&request.account, parse_items(request.payload)?);
    if items.is_empty() {
        return Err(Condition::BadRequest.into());
    }
    im.read_blocks(cx, account)?;
    let before = cx.blocks.of(account).cloned().unwrap_or_default();
    let mut list = before.clone();
    items.iter().for_each(|jid| list.insert(jid));
    let addresses_max = cx.config.limits.blocked_addresses;
    if addresses_max > 0 && list.len() > addresses_max.max(before.len()) {
        return Err(Condition::ResourceConstraint.into());
    }
    for jid in &items {
        cx.storage.block(account, jid)?;
    }
    let hidden = newly_covered(account, &cx.storage.roster(account)?, sees, &before, &list);
    cx.blocks.put(account, list);
    im.push_blocks(cx, account, "block", &items);
    im.hide_from(cx, account, &hidden);
    im.hide_from_directed(cx, account, &before, &items);
    Ok(None)
}

/// `<unblock/>` of some addresses (§3.4), or of all (§3.5).
pub(super) fn handle_unblock(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    let (account, items) = (&request.account, parse_items(request.payload)?);
    im.read_blocks(cx, account)?;
    let before = cx.blocks.of(account).cloned().unwrap_or_default();
    let mut list = before.clone();
    if items.is_empty() {
        list = BlockList::default();
        cx.storage.unblock_all(account)?;
    }
    for jid in &items {
        list.remove(jid);
        cx.storage.unblock(account, jid)?;
    }
    let contacts = cx.storage.roster(account)?;
    let shown = newly_covered(account, &contacts, sees, &list, &before);
    let seen = newly_covered(account, &contacts, is_seen, &list, &before);
    cx.blocks.put(account, list);
    im.push_blocks(cx, account, "unblock", &items);
    im.show_to(cx, account, &shown);
    im.probe_again(cx, account, &seen);
    Ok(None)
}

/// The addresses of a `<block/>` or `<unblock/>`, each once.
fn parse_items(payload: &Element) -> Result<Vec<Jid>, StanzaError> {
    let mut items = Vec::new();
    for child in payload.elements() {
        if !child.is("item", ns::BLOCKING) {
            return Err(Condition::BadRequest.into());
        }
        let jid = Jid::parse(child.attr("jid").ok_or(Condition::BadRequest)?);
        items.push(jid.map_err(|_| StanzaError::new(Condition::JidMalformed))?);
    }
    items.sort_unstable();
    items.dedup();
    Ok(items)
}

/// Such a contact sees the user's presence.
fn sees(contact: &RosterItem) -> bool {
    matches!(contact.subscription, Subscription::From | Subscription::Both)
}

/// The user sees the presence of such a contact.
fn is_seen(contact: &RosterItem) -> bool {
    matches!(contact.subscription, Subscription::To | Subscription::Both)
}

/// What is in `after` but not in `before`: contacts of which `is_meant` is true, and single
/// resources of them.
fn newly_covered(
    account: &BareJid,
    contacts: &[RosterItem],
    is_meant: fn(&RosterItem) -> bool,
    before: &BlockList,
    after: &BlockList,
) -> Vec<Jid> {
    let is_new = |jid: &Jid| after.covers(account, jid) && !before.covers(account, jid);
    let resources = after.iter().filter_map(|jid| Jid::parse(jid).ok());
    let resources: Vec<_> = resources.filter(|jid| !jid.is_bare() && is_new(jid)).collect();
    let mut found = Vec::new();
    for contact in contacts.iter().filter(|item| is_meant(item)).map(|item| &item.jid) {
        if is_new(contact.as_jid()) {
            found.push(contact.as_jid().clone());
        } else if !after.covers(account, contact.as_jid()) {
            let of_contact = |jid: &&Jid| jid.bare_str() == contact.as_str();
            found.extend(resources.iter().filter(of_contact).cloned());
        }
    }
    found
}

/// What a room tells its occupants, or one of them: an error would throw the user out of it
/// (XEP-0045 §18.1.2).
fn is_from_room(stanza: &Stanza) -> bool {
    stanza.kind == StanzaKind::Message(MessageType::Groupchat)
        || stanza.child("x", ns::MUC_USER).is_some()
}

/// Who invites into a room, as the room says (XEP-0045 §7.8.2).
fn inviter(stanza: &Stanza) -> Option<Jid> {
    let invite = stanza.child("x", ns::MUC_USER)?.child("invite", ns::MUC_USER)?;
    Jid::parse(invite.attr("from")?).ok()
}

impl Im {
    /// `Err`: the sender has blocked the address that it sends to (§3.3).
    pub(super) fn check_sent(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        stanza: &Stanza,
    ) -> Result<(), StanzaError> {
        let (Some(to), Some(session)) = (&stanza.to, self.sessions.get(session)) else {
            return Ok(());
        };
        let account = session.account.clone();
        self.read_blocks(cx, &account)?;
        let leaves_room = stanza.kind == StanzaKind::Presence(PresenceType::Unavailable)
            && cx.config.is_room_domain(to.domain());
        if leaves_room || !cx.blocks.has_blocked(&account, to) {
            return Ok(());
        }
        let mut error = StanzaError::new(Condition::NotAcceptable).with_type(ErrorType::Cancel);
        error.extra_mut().application = Some(Element::new("blocked", ns::BLOCKING_ERRORS));
        Err(error)
    }

    /// `Ok(false)`: the account has blocked the sender, and nobody is told. `Err`: it has, and the
    /// sender is told what it would hear from an account that nobody is connected to (§3.3).
    pub fn check_received(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        stanza: &Stanza,
    ) -> Result<bool, StanzaError> {
        use {MessageType as M, PresenceType as P, StanzaKind as K};
        let goes_nowhere = matches!(
            stanza.kind,
            K::Presence(P::Available | P::Unavailable | P::Error)
                | K::Iq(IqType::Result | IqType::Error)
                | K::Message(M::Error | M::Headline)
        );
        if goes_nowhere && !self.accounts.contains_key(account) {
            return Ok(true);
        }
        if self.blocks(cx, account, &stanza.from)? {
            return match stanza.kind {
                K::Iq(IqType::Get | IqType::Set) => Err(Condition::ServiceUnavailable.into()),
                K::Message(kind) if kind != M::Error && !is_from_room(stanza) => {
                    Err(Condition::ServiceUnavailable.into())
                }
                _ => Ok(false),
            };
        }
        match inviter(stanza) {
            Some(inviter) => Ok(!self.blocks(cx, account, &inviter)?),
            None => Ok(true),
        }
    }

    /// Has the list of a connected account in `cx.blocks`.
    pub(super) fn read_blocks(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
    ) -> Result<(), StanzaError> {
        if let Some(record) = self.accounts.get_mut(account)
            && !record.knows_blocks
        {
            cx.blocks.put(account, BlockList::new(cx.storage.blocked(account)?));
            record.knows_blocks = true;
        }
        Ok(())
    }

    /// Whether an account, connected or not, blocks an address.
    pub(super) fn blocks(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        other: &Jid,
    ) -> Result<bool, StanzaError> {
        if self.accounts.contains_key(account) {
            self.read_blocks(cx, account)?;
            return Ok(cx.blocks.has_blocked(account, other));
        }
        Ok(blocks::is_stored(&mut cx.storage, account, other)?)
    }

    /// Storage lost this turn's writes: what is known of lists is read again, at once, since rooms
    /// do not ask for it.
    pub(super) fn read_blocks_again(&mut self, cx: &mut Cx) {
        for (account, record) in self.accounts.iter_mut().filter(|(_, record)| record.knows_blocks)
        {
            match cx.storage.blocked(account) {
                Ok(list) => cx.blocks.put(account, BlockList::new(list)),
                Err(_) => record.knows_blocks = false,
            }
        }
    }

    /// Tells the sessions that have asked for the list what has changed (§3.3 to §3.5).
    fn push_blocks(&self, cx: &mut Cx, account: &BareJid, change: &'static str, items: &[Jid]) {
        let mut payload = Element::new(change, ns::BLOCKING);
        for jid in items {
            payload.push(Element::new("item", ns::BLOCKING).with_attr("jid", jid.as_str()));
        }
        let id = cx.random_hex(8);
        let push = Stanza::new(StanzaKind::Iq(IqType::Set), account.as_jid().clone(), None)
            .with_id(Some(id));
        let envelope = Envelope::new(&push.with_child(payload));
        for (id, session) in self.sessions_in(account).filter(|(_, s)| s.wants_blocks) {
            cx.out.push_envelope(id, &envelope, &session.to);
        }
    }

    /// Somebody who may see the user sees it go (§3.3).
    fn hide_from(&self, cx: &mut Cx, account: &BareJid, targets: &[Jid]) {
        for (_, session, _) in self.available_in(account) {
            for target in targets {
                cx.route(farewell(&session.full_jid, target));
            }
        }
    }

    /// So does whoever has directed presence of one of its sessions, and is blocked by now: a
    /// resource that is blocked also where it went to all of them.
    fn hide_from_directed(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        before: &BlockList,
        items: &[Jid],
    ) {
        let resources = items.iter().filter(|jid| !jid.is_bare() && !before.covers(account, jid));
        let resources: Vec<&Jid> = resources.collect();
        let ids = self.accounts.get(account).map_or(&[][..], |account| &account.sessions);
        for &id in ids {
            let session = self.sessions.get_mut(id).expect("accounts hold bound sessions");
            let blocks = &cx.blocks;
            let (gone, kept) = std::mem::take(&mut session.directed)
                .into_iter()
                .partition(|target| blocks.has_blocked(account, target));
            session.directed = kept;
            let gone: BTreeSet<Jid> = gone;
            let has_all = |jid: &&&Jid| session.directed.contains(jid.to_bare().as_jid());
            for target in gone.iter().chain(resources.iter().filter(has_all).copied()) {
                cx.route(farewell(&session.full_jid, target));
            }
        }
    }

    /// Somebody who may see the user sees it again (§3.4); but not a session here that is not
    /// available, as it is with what is broadcast.
    fn show_to(&self, cx: &mut Cx, account: &BareJid, targets: &[Jid]) {
        let is_away = |jid| {
            let session = self.session_at(jid).and_then(|id| self.sessions.get(id));
            session.is_some_and(|session| session.presence.is_none())
        };
        let targets: Vec<&Jid> = targets.iter().filter(|jid| !is_away(jid)).collect();
        if targets.is_empty() {
            return;
        }
        for (_, session, presence) in self.available_in(account) {
            let Some(presence) = presence.envelope.to_presence(&session.full_jid) else { continue };
            for &target in &targets {
                cx.route(Stanza { to: Some(target.clone()), ..presence.clone() });
            }
        }
    }

    /// What these contacts have said of their presence meanwhile did not pass.
    fn probe_again(&self, cx: &mut Cx, account: &BareJid, contacts: &[Jid]) {
        let kind = StanzaKind::Presence(PresenceType::Probe);
        for (_, session, _) in self.available_in(account) {
            for contact in contacts {
                cx.route(Stanza::new(kind, session.full_jid.clone(), Some(contact.clone())));
            }
        }
    }
}

/// True when one of the two has blocked the other, so that neither hears of the other's presence
/// (§3.3). For what goes to sessions without being delivered one by one: the lists of available
/// sessions are all in `cx.blocks`.
pub(super) fn are_apart(cx: &Cx, one: &Jid, other: &Jid) -> bool {
    let blocks = &cx.blocks;
    !blocks.is_empty()
        && (blocks.has_blocked(&one.to_bare(), other) || blocks.has_blocked(&other.to_bare(), one))
}

/// Unavailable presence of a session.
fn farewell(full_jid: &Jid, target: &Jid) -> Stanza {
    let kind = StanzaKind::Presence(PresenceType::Unavailable);
    Stanza::new(kind, full_jid.clone(), Some(target.clone()))
}
