//! How fast and how much an occupant may speak: slow mode (XEP-0500), the room's own limits, those
//! of the service.

use super::occupant::Occupant;
use super::room::Room;
use crate::cx::Cx;
use crate::xmpp::{Stanza, StanzaError};

/// When users have spoken.
#[derive(Default)]
pub struct Paces {}

impl Room {
    /// Refuses a message that comes too early, or is too large; counts it otherwise.
    pub fn check_pace(
        &mut self,
        _cx: &mut Cx,
        _speaker: &Occupant,
        _message: &Stanza,
    ) -> Result<(), StanzaError> {
        Ok(())
    }
}
