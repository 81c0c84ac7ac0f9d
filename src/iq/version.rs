//! Software version (XEP-0092). The operating system is left out (§4: it helps attackers only).

use super::Request;
use crate::cx::Cx;
use crate::xml::Element;
use crate::xmpp::{StanzaError, ns};

/// `jabber:iq:version`
pub(super) fn handle(_: &mut Cx, _: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    let query = Element::new("query", ns::VERSION)
        .with_child(Element::new("name", ns::VERSION).with_text("Tercet"))
        .with_child(Element::new("version", ns::VERSION).with_text(env!("CARGO_PKG_VERSION")));
    Ok(Some(query))
}
