//! Messages for those who are away (XEP-0160): kept, and given to the next resource that is ready
//! for them.
//!
//! A message is stored as it will be sent, with its `<delay/>`. Giving it and removing it are one
//! transaction: a commit that is lost takes the output back and leaves the message where it is, and
//! what a session has not had when it ends comes back through `redeliver`.
//!
//! A long backlog comes in slices: the next one when the client has read enough of the last.
//!
//! Most of what waits is in the account's archive as well (`archives::chats`: what has a body and
//! no hint against it). Who binds by XEP-0386 has said that it reads the archive: what is there is
//! not delivered, the rest is (§3.2 there; clearing all would lose messages). Who binds otherwise
//! gets everything, even if it has queried the archive before it became available: XEP-0313 §6.1.1
//! allows to spare it that, but a page that was sent is not one that was kept, and both copies
//! carry one id (XEP-0359) by which clients know them.

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::storage::{OfflineBounds, OfflineMessage, OfflinePut};
use crate::xml::{Element, Node};
use crate::xmpp::delay::{delay, is_delay_by};
use crate::xmpp::{BareJid, Jid, MessageType, Stanza, StanzaError, StanzaKind, ns};

use super::Im;

/// What one slice holds, and what may wait in an outbox before it gets one.
const SLICE_BYTES_MAX: usize = 128 * 1024;
/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Im {
    /// Keeps a message that none of the account's resources gets, accepted at `unix_ms`.
    /// `Ok(false)`: it is none that is kept, or too much is kept already, or there is no such
    /// account.
    pub(super) fn keep_offline(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        stanza: &Stanza,
        unix_ms: i64,
    ) -> Result<bool, StanzaError> {
        if !is_kept(stanza) {
            return Ok(false);
        }
        let mut stanza = stanza.clone();
        stamp(&mut stanza, account, unix_ms);
        let mut xml = Vec::with_capacity(512);
        stanza.write(&mut xml);
        let is_archived = is_archived(&stanza, account);
        let message = OfflineMessage { unix_ms, sender: stanza.from.to_string(), xml, is_archived };
        let limits = &cx.config.limits;
        let bounds = OfflineBounds {
            messages_max: limits.offline_messages,
            bytes_max: limits.offline_bytes,
            oldest_ms: oldest_ms(cx),
        };
        Ok(cx.storage.offline_put(account, &message, bounds)? == OfflinePut::Kept)
    }

    /// A resource has become ready for messages: it gets what was kept. Its presence is accepted
    /// whatever becomes of that: what cannot be given now stays where it is.
    pub(super) fn deliver_offline(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
    ) -> Result<(), StanzaError> {
        if self.give_slice(cx, session) && !self.awaiting.contains(&session) {
            self.awaiting.push(session);
        }
        Ok(())
    }

    /// Forgets what was kept and is archived too: a client that binds by XEP-0386 (§3.2) finds it
    /// in the archive. The rest is delivered, or it would be lost.
    pub fn clear_offline(&mut self, cx: &mut Cx, account: &BareJid) {
        if cx.storage.offline_remove_archived(account).is_err() {
            // It comes twice then; clients know the archive's id of it.
            log::warn!("{account}: what waits for it is delivered, though it is archived");
        }
    }

    /// True when some session is to get more of what was kept.
    pub fn has_backlog(&self) -> bool {
        !self.awaiting.is_empty()
    }

    /// Gives those that have read enough the next of what was kept for them.
    pub fn deliver_backlog(&mut self, cx: &mut Cx) {
        let mut awaiting = std::mem::take(&mut self.awaiting);
        awaiting.retain(|&session| self.give_slice(cx, session));
        self.awaiting = awaiting;
    }

    /// Now, when [`Self::deliver_backlog`] has something to do.
    pub fn poll_timeout(&self, cx: &Cx) -> Option<u64> {
        let has_room = |session| room_in(cx, session) > 0;
        let is_due = !cx.storage.is_read_only() && self.awaiting.iter().copied().any(has_room);
        is_due.then_some(cx.now.mono_ms)
    }

    /// Gives a session the oldest of what was kept. True: there is more for it, later.
    fn give_slice(&mut self, cx: &mut Cx, id: SessionId) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        if session.presence.as_ref().is_none_or(|presence| presence.priority < 0) {
            return false;
        }
        let account = session.account.clone();
        let bytes_max = room_in(cx, id);
        if bytes_max == 0 {
            return true;
        }
        self.take_slice(cx, id, &account, bytes_max).unwrap_or_else(|_| {
            // Read-only storage is asked again when it is mended, what failed otherwise with the
            // next presence: else every turn would try.
            log::warn!("{account}: what waits for it cannot be delivered now");
            cx.storage.is_read_only()
        })
    }

    /// Pushes a slice and removes it, or neither. `Ok(true)`: there is more.
    fn take_slice(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        account: &BareJid,
        bytes_max: usize,
    ) -> Result<bool, StanzaError> {
        let slice = cx.storage.offline_slice(account, oldest_ms(cx), bytes_max)?;
        if slice.messages.is_empty() {
            return Ok(false);
        }
        self.read_blocks(cx, account)?;
        cx.storage.offline_remove(account, &slice)?;
        for message in &slice.messages {
            // Whom the user has blocked since: nothing of it is delivered (XEP-0191 §3.3).
            let sender = Jid::parse(&message.sender);
            if !sender.is_ok_and(|sender| cx.blocks.has_blocked(account, &sender)) {
                cx.out.push_written(session, &message.xml);
            }
        }
        Ok(slice.has_more)
    }
}

/// What was accepted before is too old.
fn oldest_ms(cx: &Cx) -> i64 {
    match cx.config.accounts.offline_days {
        0 => i64::MIN,
        days => cx.now.unix_ms - i64::from(days) * DAY_MS,
    }
}

/// Bytes that a slice for this session may have.
fn room_in(cx: &Cx, session: SessionId) -> usize {
    let bytes_max = match cx.config.limits.outbox_bytes {
        0 => SLICE_BYTES_MAX,
        outbox_bytes_max => SLICE_BYTES_MAX.min(outbox_bytes_max / 2),
    };
    let waiting = cx.out.get(session).map_or(0, |outbox| outbox.len());
    bytes_max.saturating_sub(waiting)
}

/// Says since when a message has been on its way, unless it says so already: it may have waited
/// before. Nobody else says so in our name (`take_forged_delays`).
pub(super) fn stamp(stanza: &mut Stanza, account: &BareJid, unix_ms: i64) {
    let domain = account.domain();
    if !stanza.children.iter().any(|node| is_delay_by(node, domain)) {
        stanza.children.push(Node::Element(delay(domain, unix_ms)));
    }
}

/// Takes out of a message what only this server may say of its way (XEP-0203 §5).
pub(super) fn take_forged_delays(stanza: &mut Stanza, account: &BareJid) {
    stanza.children.retain(|node| !is_delay_by(node, account.domain()));
}

/// Whether the archive of the account has a message: it says so itself, since the archive has put
/// its id there, and nobody else's is left there in the account's name (XEP-0359 §3).
fn is_archived(stanza: &Stanza, account: &BareJid) -> bool {
    let is_id = |child: &Element| child.is("stanza-id", ns::SID);
    stanza.elements().any(|child| is_id(child) && child.attr("by") == Some(account.as_str()))
}

/// Which messages are kept (XEP-0160 §3): normal and chat, but nothing that is a chat state and no
/// more, and nothing that its sender does not want to be kept (XEP-0334 §4.2) nor has to be. One
/// that is not to be kept permanently is kept: it is gone when it is delivered (§3.3 there).
fn is_kept(stanza: &Stanza) -> bool {
    let is_hinted = |hint| stanza.child(hint, ns::HINTS).is_some();
    match stanza.kind {
        StanzaKind::Message(MessageType::Normal | MessageType::Chat) => {
            !is_hinted("no-store") && (is_hinted("store") || !is_chat_state(stanza))
        }
        _ => false,
    }
}

/// A chat state, with nothing beside it but what never stands for itself (XEP-0085 §5.1).
fn is_chat_state(stanza: &Stanza) -> bool {
    let is_state = |child: &Element| child.ns == ns::CHAT_STATES;
    stanza.elements().any(is_state)
        && stanza.elements().all(|child| {
            is_state(child)
                || child.is("thread", ns::CLIENT)
                || matches!(&*child.ns, ns::HINTS | ns::SID)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// XEP-0160 §3, XEP-0334 §4.
    #[test]
    fn which_messages_are_kept() {
        use MessageType::{Chat, Error, Groupchat, Headline, Normal};
        let from = Jid::parse("romeo@localhost/o").expect("an address");
        let body = || Element::new("body", ns::CLIENT).with_text("x");
        let hint = |name: &'static str| Element::new(name, ns::HINTS);
        let state = || Element::new("composing", ns::CHAT_STATES);
        let thread = || Element::new("thread", ns::CLIENT);
        let rows = [
            (Normal, vec![body()], true),
            (Normal, vec![], true),
            (Chat, vec![body()], true),
            (Chat, vec![Element::new("received", ns::RECEIPTS)], true),
            (Groupchat, vec![body()], false),
            (Headline, vec![body(), hint("store")], false),
            (Error, vec![body(), hint("store")], false),
            (Chat, vec![state()], false),
            (Normal, vec![state()], false),
            (Chat, vec![state(), thread(), hint("no-copy")], false),
            (Chat, vec![state(), hint("store")], true),
            (Chat, vec![state(), body()], true),
            (Chat, vec![body(), hint("no-store")], false),
            (Chat, vec![body(), hint("no-store"), hint("store")], false),
            (Chat, vec![body(), hint("no-permanent-store")], true),
        ];
        for (kind, children, want) in rows {
            let mut stanza = Stanza::new(StanzaKind::Message(kind), from.clone(), None);
            stanza.children = children.into_iter().map(Node::Element).collect();
            assert_eq!(is_kept(&stanza), want, "{stanza:?}");
        }
    }
}
