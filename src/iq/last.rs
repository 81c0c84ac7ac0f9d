//! Last activity of a domain (XEP-0012 §5): how long the server has been running.

use super::Request;
use crate::cx::Cx;
use crate::xml::Element;
use crate::xmpp::{StanzaError, ns};

/// `jabber:iq:last`
pub(super) fn handle(cx: &mut Cx, _: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    let seconds = cx.now.mono_ms / 1000;
    Ok(Some(Element::new("query", ns::LAST).with_attr("seconds", seconds.to_string())))
}
