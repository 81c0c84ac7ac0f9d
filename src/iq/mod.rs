//! Small services by iq, and the table that dispatches and advertises them. (Owned by the im work
//! package; this is the interface.)

use crate::cx::Cx;
use crate::ids::Target;
use crate::xml::Element;
use crate::xmpp::{IqType, Stanza, StanzaError};

/// An iq get or set that is being answered.
pub struct Request<'a> {
    /// Who asks.
    pub origin: Target,
    /// The whole stanza.
    pub stanza: &'a Stanza,
    /// Its one payload element.
    pub payload: &'a Element,
}

/// A handler of [`ROUTES`]: the payload of the result, `None` for an empty result.
pub type Handler = fn(&mut Cx, &Request<'_>) -> Result<Option<Element>, StanzaError>;

/// To which of our addresses a route belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A domain with accounts.
    Server,
    /// A room domain (the service itself, not its rooms).
    RoomService,
}

/// An iq service: the table that dispatches is the table that advertises.
pub struct Route {
    /// Where it answers.
    pub scopes: &'static [Scope],
    /// Namespace of the payload.
    pub ns: &'static str,
    /// Name of the payload.
    pub name: &'static str,
    /// Get or set.
    pub kind: IqType,
    /// The disco feature (advertised once).
    pub feature: Option<&'static str>,
    /// What answers.
    pub handler: Handler,
}

/// All small services.
pub const ROUTES: &[Route] = &[];
