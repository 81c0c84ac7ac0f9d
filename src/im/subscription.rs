//! Subscriptions (RFC 6121 §3, Appendix A): who may see whose presence.

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::xmpp::{BareJid, Condition, PresenceType, Stanza, StanzaError, StanzaKind};

use super::Im;

impl Im {
    /// A session asks for, grants, takes back or gives up a subscription: the roster of its account
    /// changes. `Ok(false)`: the stanza goes nowhere (Appendix A.2).
    pub(super) fn handle_sent_subscription(
        &mut self,
        _: &mut Cx,
        _: SessionId,
        _: &mut Stanza,
    ) -> Result<bool, StanzaError> {
        Ok(true)
    }

    /// The same from the other side (Appendix A.3): the account may have nobody connected, and may
    /// not exist.
    pub(super) fn handle_received_subscription(
        &mut self,
        _: &mut Cx,
        _: &BareJid,
        stanza: &Stanza,
    ) -> Result<(), StanzaError> {
        match stanza.kind {
            StanzaKind::Presence(PresenceType::Subscribe) => {
                Err(Condition::FeatureNotImplemented.into())
            }
            _ => Ok(()),
        }
    }

    /// A probe (§4.3.2) for an account or one of its resources.
    pub(super) fn handle_probe(
        &mut self,
        _: &mut Cx,
        _: &BareJid,
        _: &Stanza,
    ) -> Result<(), StanzaError> {
        Ok(())
    }

    /// An account is removed: its contacts are told (§3.2, §3.3).
    pub(super) fn end_subscriptions(&mut self, _: &mut Cx, _: &BareJid) {}
}
