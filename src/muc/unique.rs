//! Names of rooms that nobody has (XEP-0307): drawn at random, so nobody guesses one before the
//! room is made. Only who may make a room is told one, and each is counted like other requests
//! that make the service work.

use super::Muc;
use crate::allowance::DEAR_ROW;
use crate::cx::Cx;
use crate::xml::Element;
use crate::xmpp::{Condition, Jid, Stanza, StanzaError, ns};

/// Random bytes of a name: too many for two names ever to be the same.
const NAME_BYTES: usize = 20;
/// Names that are drawn for one request, should the first be taken after all.
const DRAWS_MAX: usize = 4;

impl Muc {
    /// A get of `<unique/>`.
    pub(super) fn unique_name(
        &mut self,
        cx: &mut Cx,
        iq: &Stanza,
        domain: &str,
    ) -> Result<Element, StanzaError> {
        let account = iq.from.to_bare();
        self.allowances.check(&account, cx.now)?;
        self.allowances.charge(&account, DEAR_ROW, cx.now);
        self.check_creation(cx, &iq.from)?;
        for _ in 0..DRAWS_MAX {
            let name = cx.random_hex(NAME_BYTES);
            let Ok(jid) = Jid::from_parts(Some(&name), domain, None) else { break };
            let is_taken = self.live(&jid).is_some() || cx.storage.room(&jid.to_bare())?.is_some();
            if !is_taken {
                return Ok(Element::new("unique", ns::MUC_UNIQUE).with_text(name));
            }
        }
        Err(Condition::ResourceConstraint.into())
    }
}
