//! The session of RFC 3921 §3, which RFC 6121 has done away with: a no-op for old clients.

use super::Request;
use crate::cx::Cx;
use crate::xml::Element;
use crate::xmpp::StanzaError;

/// `<session/>`
pub(super) fn handle(_: &mut Cx, _: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    Ok(None)
}
