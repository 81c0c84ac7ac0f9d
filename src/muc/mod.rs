//! The room service (XEP-0045). (Owned by the muc work package; this is the interface.)

use crate::cx::Cx;
use crate::ids::{SessionId, Target};
use crate::xmpp::{BareJid, Jid, Stanza, StanzaError};

/// All rooms of this server.
pub struct Muc {}

impl Muc {
    /// A service without live rooms; stored ones are loaded when somebody comes.
    pub fn new() -> Self {
        Self {}
    }

    /// A stanza addressed to a room domain, a room or an occupant. `origin` is who sent it; an
    /// error that is returned is answered by the router.
    pub fn handle(
        &mut self,
        cx: &mut Cx,
        origin: Target,
        stanza: Stanza,
    ) -> Result<(), StanzaError> {
        let _ = (cx, origin, stanza);
        Ok(())
    }

    /// A session is gone, or sent unavailable presence to nobody in particular: it leaves all its
    /// rooms (XEP-0045 §7.14). `presence` is its unavailable presence, when there was one.
    pub fn handle_session_end(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        presence: Option<&Stanza>,
    ) {
        let _ = (cx, session, presence);
    }

    /// A room's timer fired.
    pub fn handle_timer(&mut self, cx: &mut Cx, room: u64) {
        let _ = (cx, room);
    }

    /// Storage lost this turn's writes: rooms that were written in it are read again.
    pub fn handle_storage_lost(&mut self, cx: &mut Cx) {
        let _ = cx;
    }

    /// An account was removed: its affiliations stay, as those of anyone absent. (Its sessions end
    /// by themselves.)
    pub fn handle_account_removed(&mut self, cx: &mut Cx, account: &BareJid) {
        let _ = (cx, account);
    }

    /// Shutdown, phase 3: one unavailable with 332 and 110 to each session of each occupant, no
    /// broadcast; from then on everything that comes is dropped silently, joins are refused.
    pub fn shut_down(&mut self, cx: &mut Cx) {
        let _ = cx;
    }

    /// Live rooms.
    pub fn rooms_count(&self) -> usize {
        0
    }

    /// Seats of all rooms (0 when nobody is connected: the simulation checks it).
    pub fn seats_count(&self) -> usize {
        0
    }

    /// Rooms that a session is in, as `room@service/nick`.
    pub fn rooms_of(&self, session: SessionId) -> Vec<Jid> {
        let _ = session;
        Vec::new()
    }
}
