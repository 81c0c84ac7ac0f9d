//! Stream management (XEP-0198): acknowledgements, and sessions that outlive their connection.

use crate::ids::SessionId;
use crate::xml::Element;
use crate::xmpp::ns;

use super::Server;

impl Server {
    /// `<enable/>` of a bound session, by itself or within XEP-0386: returns `<enabled/>` or
    /// `<failed/>`.
    pub(super) fn enable_management(&mut self, _: SessionId, _: &Element) -> Element {
        Element::new("failed", ns::SM)
    }

    /// `<resume/>` of a session that has logged in and has no resource, by itself or within
    /// XEP-0388: it goes on as the earlier session, whose number is returned with `<resumed/>`.
    /// `Err`: `<failed/>`, and the session may bind.
    pub(super) fn resume_session(
        &mut self,
        _: SessionId,
        _: &Element,
    ) -> Result<(SessionId, Element), Element> {
        Err(Element::new("failed", ns::SM))
    }

    /// XEP-0352: the client is looked at (`true`) or not.
    pub(super) fn set_client_active(&mut self, _: SessionId, _: bool) {}
}
