//! Blocking (XEP-0191): what somebody has blocked neither comes nor goes.

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::xmpp::{BareJid, Stanza, StanzaError};

use super::Im;

impl Im {
    /// `Err`: the sender has blocked the address that it sends to (§3.5).
    pub(super) fn check_sent(
        &mut self,
        _: &mut Cx,
        _: SessionId,
        _: &Stanza,
    ) -> Result<(), StanzaError> {
        Ok(())
    }

    /// `Ok(false)`: the account has blocked the sender, and nobody is told. `Err`: it has, and the
    /// sender is told what it would hear from an account that nobody is connected to.
    pub(super) fn check_received(
        &mut self,
        _: &mut Cx,
        _: &BareJid,
        _: &Stanza,
    ) -> Result<bool, StanzaError> {
        Ok(true)
    }
}
