//! Ping (XEP-0199): the answer is that there is an answer.

use super::Request;
use crate::cx::Cx;
use crate::xml::Element;
use crate::xmpp::StanzaError;

/// `<ping/>` (XEP-0199 §4.2, client to server).
pub(super) fn handle(_: &mut Cx, _: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    Ok(None)
}
