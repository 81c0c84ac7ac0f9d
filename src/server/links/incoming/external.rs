//! SASL EXTERNAL between servers (RFC 6120 §6, XEP-0178 §3): the certificate has shown already who
//! it is, and the stream begins anew.

use crate::config::Verify;
use crate::ids::SessionId;
use crate::peers::Pair;
use crate::xml::Element;
use crate::xmpp::{Jid, StreamCondition, StreamError, base64, ns};

use super::super::super::Server;
use super::Incoming;

/// Attempts that may fail on one connection (RFC 6120 §6.4.5).
const SASL_FAILURES_MAX: u32 = 3;

impl Server {
    /// A mechanism is offered when it will succeed (XEP-0178 §3, step 9).
    pub(super) fn offers_external(&self, part: &Incoming) -> bool {
        let Some(theirs) = part.theirs.as_ref().filter(|_| !part.is_legacy) else { return false };
        part.is_secure
            && !part.is_sasl_done
            && !part.has_begun()
            && self.cx.config.s2s.verify != Verify::Both
            && !self.is_served(theirs)
            && self.is_certified(part, theirs)
    }

    /// An element of SASL.
    pub(super) fn handle_external(
        &mut self,
        id: SessionId,
        element: &Element,
    ) -> Result<(), StreamError> {
        let Some(part) = self.incoming(id) else { return Ok(()) };
        let failure = match &*element.name {
            // RFC 6120 §6.4.4
            "abort" => "aborted",
            "auth" => match self.external_pair(part, element) {
                Ok(pair) => {
                    self.authenticate_pair(id, &pair);
                    return Ok(());
                }
                Err(failure) => failure,
            },
            _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
        };
        self.push_nonza(
            id,
            &Element::new("failure", ns::SASL).with_child(Element::new(failure, ns::SASL)),
        );
        let Some(part) = self.incoming_mut(id) else { return Ok(()) };
        part.sasl_failures += 1;
        if part.sasl_failures >= SASL_FAILURES_MAX {
            return Err(StreamError::new(StreamCondition::PolicyViolation)
                .with_text("too many attempts have failed"));
        }
        Ok(())
    }

    /// The pair that an attempt proves; `Err`: the condition of its failure (RFC 6120 §6.5).
    fn external_pair(&self, part: &Incoming, auth: &Element) -> Result<Pair, &'static str> {
        if !part.is_secure {
            return Err("encryption-required");
        }
        if auth.attr("mechanism") != Some("EXTERNAL") {
            return Err("invalid-mechanism");
        }
        let (Some(theirs), Some(ours)) = (&part.theirs, &part.ours) else {
            return Err("not-authorized");
        };
        if !self.offers_external(part) {
            return Err("not-authorized");
        }
        let text = auth.text();
        // XEP-0178 §3, step 10: nobody, or who the header says.
        if !matches!(text.trim(), "" | "=") {
            let identity = base64::decode(text.trim()).ok_or("incorrect-encoding")?;
            let identity = String::from_utf8(identity).map_err(|_| "invalid-authzid")?;
            let identity = Jid::parse(&identity).map_err(|_| "invalid-authzid")?;
            if identity.as_str() != &**theirs {
                return Err("invalid-authzid");
            }
        }
        if self.is_crowded_out(part, theirs) {
            return Err("temporary-auth-failure");
        }
        Ok(Pair { ours: ours.clone(), theirs: theirs.clone() })
    }

    fn authenticate_pair(&mut self, id: SessionId, pair: &Pair) {
        self.push_nonza(id, &Element::new("success", ns::SASL));
        if let Some(part) = self.incoming_mut(id) {
            part.is_sasl_done = true;
        }
        self.prove(id, pair);
        self.restart_link(id);
    }
}
