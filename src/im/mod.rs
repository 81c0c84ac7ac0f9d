//! Instant messaging between the accounts of this server: who is connected, presence, delivery,
//! rosters. (Owned by the im work package; this is the interface.)

use crate::cx::Cx;
use crate::ids::{SessionId, Target};
use crate::xml::Element;
use crate::xmpp::{BareJid, IqType, Jid, Stanza, StanzaError};

/// An iq get or set that is being answered.
pub struct Request<'a> {
    /// Who asks, and how to reach it.
    pub origin: Target,
    /// The whole stanza.
    pub stanza: &'a Stanza,
    /// Its one payload element.
    pub payload: &'a Element,
}

/// A handler of [`ROUTES`]: the payload of the result, `None` for an empty result.
pub type Handler = fn(&mut Im, &mut Cx, &Request<'_>) -> Result<Option<Element>, StanzaError>;

/// An iq service of an account: the table that dispatches is the table that advertises.
pub struct Route {
    /// Namespace of the payload.
    pub ns: &'static str,
    /// Name of the payload.
    pub name: &'static str,
    /// Get or set.
    pub kind: IqType,
    /// The disco feature, where the namespace is to be advertised (once per namespace).
    pub feature: Option<&'static str>,
    /// What answers.
    pub handler: Handler,
}

/// The iq services of the sender's own account (no `to`, or its own bare address).
pub const ROUTES: &[Route] = &[];

/// The accounts that are connected.
pub struct Im {}

impl Im {
    /// Nobody.
    pub fn new() -> Self {
        Self {}
    }

    /// Registers a bound session. The full address is free: the server has ended an older session
    /// of that address first. `Err` (`resource-constraint`) over `limits.sessions_per_account`.
    pub fn bind(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        full_jid: &Jid,
    ) -> Result<(), StanzaError> {
        let _ = (cx, session, full_jid);
        Ok(())
    }

    /// The session that is bound to a full address.
    pub fn session_at(&self, full_jid: &Jid) -> Option<SessionId> {
        let _ = full_jid;
        None
    }

    /// The sessions of an account, in the order they were bound.
    pub fn sessions_of(&self, account: &BareJid) -> Vec<SessionId> {
        let _ = (account,);
        Vec::new()
    }

    /// Presence without `to` from a session (RFC 6121 §4.2, §4.4, §4.5).
    pub fn handle_broadcast(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        presence: &Stanza,
    ) -> Result<(), StanzaError> {
        let _ = (cx, session, presence);
        Ok(())
    }

    /// A session sends presence (available or unavailable) to an address that is no room:
    /// remembers the target, to be told when the session ends (RFC 6121 §4.6).
    pub fn track_directed(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        presence: &Stanza,
    ) -> Result<(), StanzaError> {
        let _ = (cx, session, presence);
        Ok(())
    }

    /// Delivers a stanza to an account of this server or one of its sessions (RFC 6121 §8.5).
    /// Iq get and set to a bare address never come here.
    pub fn deliver(
        &mut self,
        cx: &mut Cx,
        origin: Target,
        stanza: &Stanza,
    ) -> Result<(), StanzaError> {
        let _ = (cx, origin, stanza);
        Ok(())
    }

    /// A session is over: its unavailable presence goes to its own other resources and to the
    /// targets of its directed presence, unless it said so itself; then it is forgotten.
    pub fn handle_session_end(&mut self, cx: &mut Cx, session: SessionId) {
        let _ = (cx, session);
    }

    /// Storage lost this turn's writes: cached rosters are read again.
    pub fn handle_storage_lost(&mut self) {}

    /// Bound sessions.
    pub fn sessions_count(&self) -> usize {
        0
    }
}
