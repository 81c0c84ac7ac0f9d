//! Binding a resource by an iq (RFC 6120 §7): what the request says, and the answers. Which
//! resource is free is the server's to say.

use super::{Negotiation, Stage, Step, push};
use crate::cx::Cx;
use crate::ids::SessionId;
use crate::xml::Element;
use crate::xmpp::jid::prepare_resource;
use crate::xmpp::{Condition, Jid, StanzaError, ns};

impl Negotiation {
    /// RFC 6120 §7.6, §7.7
    pub(super) fn bind(&mut self, cx: &mut Cx, session: SessionId, iq: &Element) -> Step {
        match parse_bind(iq) {
            Some((id, resource)) => Step::Bind { id, resource },
            None => {
                let error = StanzaError::from(Condition::BadRequest);
                self.refuse_bind(cx, session, iq.attr("id"), &error);
                Step::Continue
            }
        }
    }

    /// The resource is bound: queues the iq result, and the negotiation is over.
    pub fn bound(&mut self, cx: &mut Cx, session: SessionId, id: &str, full_jid: &Jid) {
        let Stage::Bind(account) = &self.stage else { return };
        self.stage = Stage::Bound(account.clone());
        let jid = Element::new("jid", ns::BIND).with_text(full_jid.as_str());
        let result = Element::new("iq", ns::CLIENT)
            .with_attr("type", "result")
            .with_attr("id", id)
            .with_child(Element::new("bind", ns::BIND).with_child(jid));
        push(cx, session, &result);
    }

    /// The resource cannot be bound (RFC 6120 §7.6.2): the client may try again.
    pub fn refuse_bind(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        id: Option<&str>,
        error: &StanzaError,
    ) {
        let reply = Element::new("iq", ns::CLIENT)
            .with_attr("type", "error")
            .with_attr_opt("id", id)
            .with_child(error.to_element());
        push(cx, session, &reply);
    }
}

/// The id and the resource of a bind request; `None` for one that cannot be processed: without an
/// id (RFC 6120 §8.1.3), with a second payload (§8.2.3), or with a resource that resourceprep
/// refuses (§7.7.2.1). An empty resource leaves the choice to the server, as none does.
fn parse_bind(iq: &Element) -> Option<(String, Option<String>)> {
    let id = iq.attr("id").filter(|id| !id.is_empty())?;
    let mut payloads = iq.elements();
    let (bind, None) = (payloads.next()?, payloads.next()) else { return None };
    let wish = bind.child("resource", ns::BIND).map(Element::text).unwrap_or_default();
    let resource = match wish.as_str() {
        "" => None,
        _ => Some(prepare_resource(&wish).ok()?),
    };
    Some((id.to_owned(), resource))
}
