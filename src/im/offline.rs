//! Messages for those who are away (XEP-0160): kept, and given to the next resource that is ready
//! for them.

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::xmpp::{BareJid, Stanza, StanzaError};

use super::Im;

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

    /// A resource has become ready for messages: it gets what was kept.
    pub(super) fn deliver_offline(&mut self, _: &mut Cx, _: SessionId) -> Result<(), StanzaError> {
        Ok(())
    }

    /// Forgets what was kept: a client that binds by XEP-0386 (§3.2) finds it in the archive.
    pub fn clear_offline(&mut self, _: &mut Cx, _: &BareJid) {}
}
