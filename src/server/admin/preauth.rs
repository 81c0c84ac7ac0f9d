//! An invitation that is shown before login (XEP-0445 §4): the stream may register an account then,
//! whatever `registration.in_band` says.

use crate::accounts::invitations;
use crate::ids::SessionId;
use crate::xml::Element;
use crate::xmpp::{BareJid, Condition, Jid, StanzaError, ns};

use super::super::Server;

impl Server {
    /// `<preauth/>` on a stream of `domain` that nobody has logged in on. The token is not used up
    /// by it: the registration does that.
    pub(in super::super) fn handle_preauth(
        &mut self,
        id: SessionId,
        domain: &BareJid,
        iq: &Element,
    ) -> Result<(), StanzaError> {
        let mut payloads = iq.elements();
        let (Some(preauth), None) = (payloads.next(), payloads.next()) else {
            return Err(Condition::BadRequest.into());
        };
        if iq.attr("type") != Some("set") {
            return Err(Condition::BadRequest.into());
        }
        if let Some(to) = iq.attr("to") {
            let to = Jid::parse(to).map_err(|_| StanzaError::new(Condition::JidMalformed))?;
            if to != *domain.as_jid() {
                return Err(Condition::ServiceUnavailable.into());
            }
        }
        let token = preauth.attr("token").ok_or(Condition::BadRequest)?;
        let unix_ms = self.cx.now.unix_ms;
        let hash = invitations::check(&mut self.cx.storage, domain.domain(), token, unix_ms)?;
        if let Some(session) = self.sessions.get_mut(id) {
            session.invitation = Some(Box::new(hash));
            session.negotiation.set_invited(true);
        }
        Ok(())
    }
}

/// True for an iq that shows an invitation.
pub(in super::super) fn is_preauth(iq: &Element) -> bool {
    iq.child("preauth", ns::PREAUTH).is_some()
}
