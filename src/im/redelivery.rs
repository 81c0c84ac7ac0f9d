//! What a session had not got when it ended: stanzas that waited in its outbox, or that it has not
//! acknowledged (XEP-0198 §5). They were accepted, blocked, archived and copied once; none of that
//! happens again. Whether to ask for it is decided elsewhere.

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::xmpp::{Condition, IqType, Jid, MessageType, Stanza, StanzaError, StanzaKind, ns};

use super::{Im, carbons, message, offline};

impl Im {
    /// A stanza that was on its way to a session of this server, `full_jid`, since
    /// `queued_unix_ms`, and the session is no more. A message is given to the user's other
    /// resources, or kept, with the time when it was first accepted; but not when one of them has
    /// it already, as its own or as a copy. `Err`: what the sender is to be told.
    pub fn redeliver(
        &mut self,
        cx: &mut Cx,
        full_jid: &Jid,
        mut stanza: Stanza,
        queued_unix_ms: i64,
    ) -> Result<(), StanzaError> {
        match stanza.kind {
            StanzaKind::Message(MessageType::Normal | MessageType::Chat) => {}
            StanzaKind::Iq(IqType::Get | IqType::Set) => {
                return Err(Condition::ServiceUnavailable.into());
            }
            _ => return Ok(()),
        }
        let Some(to) = stanza.to.clone() else { return Ok(()) };
        let account = to.to_bare();
        // A copy that this session did not get is nobody else's.
        if carbons::is_copy(&account, &stanza)
            || is_for_session_alone(cx, &to, &stanza)
            || !self.check_received(cx, &account, &stanza)?
            || self.is_with_others(full_jid, &stanza, queued_unix_ms)
        {
            return Ok(());
        }
        let ready: Vec<SessionId> = self.ready_in(&account).map(|(id, ..)| id).collect();
        if ready.is_empty() {
            return self.keep_or_refuse(cx, &account, &stanza, queued_unix_ms);
        }
        offline::stamp(&mut stanza, &account, queued_unix_ms);
        message::push_to_all(cx, &stanza, &to, ready.into_iter());
        Ok(())
    }

    /// True when a session that is still there got the message at the time: since it went to all
    /// that were ready, not to `full_jid` by name, or as a copy.
    fn is_with_others(&self, full_jid: &Jid, stanza: &Stanza, queued_unix_ms: i64) -> bool {
        let is_to_all = stanza.to.as_ref() != Some(full_jid);
        self.ready_in(&full_jid.to_bare()).any(|(id, _, presence)| {
            presence.ready_since_ms <= queued_unix_ms
                && (is_to_all || self.has_copy(id, stanza, queued_unix_ms))
        })
    }
}

/// True for what nobody but that session may have, which has asked for it or was in a room:
/// results of an archive (XEP-0313 §4.2), private messages (XEP-0045 §7.5, which XEP-0280 §6.1
/// does not copy either) and whatever else a room says to its occupants, with the addresses that
/// moderators see. The user's other sessions need not be in the room, and the room has said to all
/// that this one is gone. What a room passes on to a user, in it or not, is for the user (§7.8.2).
fn is_for_session_alone(cx: &Cx, to: &Jid, stanza: &Stanza) -> bool {
    let x = stanza.child("x", ns::MUC_USER);
    let is_invitation = x.is_some_and(|x| {
        ["invite", "decline"].iter().any(|name| x.child(name, ns::MUC_USER).is_some())
    });
    let is_of_room = x.is_some() || cx.config.is_room_domain(stanza.from.domain());
    stanza.child("result", ns::MAM).is_some() || is_of_room && !is_invitation && !to.is_bare()
}
