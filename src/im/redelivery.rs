//! What a session had not got when it ended: stanzas that waited in its outbox, or that it has not
//! acknowledged (XEP-0198 §5). They were accepted, blocked, archived and copied once; none of that
//! happens again. Whether to ask for it is decided elsewhere.

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::xmpp::{Condition, IqType, Jid, MessageType, Stanza, StanzaError, StanzaKind};

use super::{Im, carbons, message, offline};

impl Im {
    /// A stanza that was on its way to a session of this server, `full_jid`, since `queued_unix_ms`,
    /// and the session is no more. A message is given to the user's other resources, or kept, with the time
    /// when it was first accepted; but not when one of them has it already, as its own or as a
    /// copy. `Err`: what the sender is to be told.
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
