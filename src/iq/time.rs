//! Entity time (XEP-0202): the time of this turn. The server's own time zone is nobody's business.

use super::Request;
use crate::cx::Cx;
use crate::xml::Element;
use crate::xmpp::{StanzaError, datetime, ns};

/// `<time/>`
pub(super) fn handle(cx: &mut Cx, _: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    let utc = datetime::format_utc(cx.now.unix_ms);
    let time = Element::new("time", ns::TIME)
        .with_child(Element::new("tzo", ns::TIME).with_text("Z"))
        .with_child(Element::new("utc", ns::TIME).with_text(utc));
    Ok(Some(time))
}
