//! The end of a room (XEP-0045 §10.9), and what is remembered of it. The name of a stored room is
//! kept for `rooms.tombstone_days`: whoever comes is told that the room is gone, where people meet
//! now and why, as far as its owner said so. Its owners and server admins may make a room of that
//! name at once, and it is remembered until that is configured; all others when the time is over.
//! A temporary room leaves nothing.
//!
//! Each account has a share of what is remembered (storage/graves.rs), so that whoever makes and
//! destroys many rooms makes those of others no sooner forgotten; operators and server admins have
//! all of it.

use std::borrow::Cow;

use super::Muc;
use super::room::Room;
use crate::cx::Cx;
use crate::storage::{Grave, StorageError};
use crate::xml::Element;
use crate::xmpp::{Affiliation, BareJid, Condition, Jid, StanzaError, ns};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Room {
    /// Destroys the room: it is no longer stored, its name is kept, and those who are in hear of
    /// it by `destroy` (`muc#user`). `by` is who wants it, if not the operator.
    pub fn end(
        &mut self,
        cx: &mut Cx,
        by: Option<&BareJid>,
        destroy: &Element,
    ) -> Result<(), StorageError> {
        if self.is_stored {
            let by = by.filter(|account| !self.is_server_admin(account));
            self.bury(cx, by, destroy)?;
            cx.storage.room_remove(&self.jid)?;
        }
        self.remove_all(cx, destroy);
        Ok(())
    }

    /// The room that waits for its configuration is about to be one: what had its name before is
    /// no longer remembered. One that is never configured has changed nothing.
    pub fn take_name(&self, cx: &mut Cx) -> Result<(), StorageError> {
        if self.lock.as_ref().is_some_and(|lock| lock.has_grave) {
            cx.storage.grave_remove(&self.jid)?;
        }
        Ok(())
    }

    fn bury(
        &self,
        cx: &mut Cx,
        by: Option<&BareJid>,
        destroy: &Element,
    ) -> Result<(), StorageError> {
        let days = i64::from(cx.config.rooms.tombstone_days);
        if days == 0 {
            return Ok(());
        }
        // Everybody can read what stands on a grave: nothing of rooms that were not for everybody.
        let is_open = !self.options.members_only && self.options.password.is_empty();
        let said = Some(destroy).filter(|_| is_open);
        let venue = said.and_then(|destroy| Jid::parse(destroy.attr("jid")?).ok());
        let reason = said.and_then(|destroy| destroy.child("reason", ns::MUC_USER));
        let grave = Grave {
            room: self.jid.clone(),
            until_unix_ms: cx.now.unix_ms.saturating_add(days * DAY_MS),
            venue: venue.map(|venue| venue.to_bare()),
            reason: reason.map(Element::text),
            owners: self.accounts_with(Affiliation::Owner).cloned().collect(),
        };
        cx.storage.grave_put(&grave, by, cx.now.unix_ms)
    }
}

impl Muc {
    /// The refusal of somebody who addresses a room that is neither live nor stored.
    pub(super) fn nothing_at(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        room: &BareJid,
    ) -> StanzaError {
        self.allowances.charge(account, 1, cx.now);
        match grave_of(cx, room) {
            Ok(Some(grave)) => gone(&grave),
            Ok(None) => Condition::ItemNotFound.into(),
            Err(error) => error.into(),
        }
    }
}

/// Refuses an account that may not have the name of a destroyed room. True when it may, and there
/// was one: it is to be forgotten once the new room is configured.
pub fn check_name(cx: &mut Cx, account: &BareJid, room: &BareJid) -> Result<bool, StanzaError> {
    let Some(grave) = grave_of(cx, room)? else { return Ok(false) };
    let may = grave.owners.contains(account) || cx.config.is_admin(account.as_str());
    if may { Ok(true) } else { Err(gone(&grave)) }
}

/// What is remembered of a room, while anything is to be remembered.
pub fn grave_of(cx: &mut Cx, room: &BareJid) -> Result<Option<Grave>, StorageError> {
    if cx.config.rooms.tombstone_days == 0 {
        return Ok(None);
    }
    cx.storage.grave(room, cx.now.unix_ms)
}

/// RFC 6120 §8.3.3.5: the new address as a URI, if there is one.
fn gone(grave: &Grave) -> StanzaError {
    let mut error = StanzaError::new(Condition::Gone);
    error.text = grave.reason.clone().map(Cow::Owned);
    if let Some(venue) = &grave.venue {
        error.extra_mut().condition_text = Some(join_uri(venue));
    }
    error
}

/// `xmpp:room@service?join` (RFC 5122 §2.2, XEP-0045 §16.7).
fn join_uri(room: &BareJid) -> String {
    let mut uri = "xmpp:".to_owned();
    for byte in room.as_str().bytes() {
        // Unreserved, `nodeallow`, the separator, and what an IPv6 address has.
        if byte.is_ascii_alphanumeric() || b"-._~!$()*+,;=@:[]".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri + "?join"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_uris() {
        for (room, want) in [
            ("tea@rooms.example", "xmpp:tea@rooms.example?join"),
            ("a#b?c%d@rooms", "xmpp:a%23b%3Fc%25d@rooms?join"),
            ("tee-stübchen@rooms", "xmpp:tee-st%C3%BCbchen@rooms?join"),
        ] {
            let room = BareJid::parse(room).expect("an address");
            assert_eq!(join_uri(&room), want);
        }
    }
}
