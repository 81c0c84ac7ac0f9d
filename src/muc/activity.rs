//! How busy a room is (XEP-0502): messages per hour, for those who think of joining.

use super::room::Room;
use crate::cx::Cx;
use crate::storage::StorageError;
use crate::xmpp::Stanza;

/// Messages of the latest hours.
#[derive(Default)]
pub struct Activity {}

impl Room {
    /// Counts a message that was sent to all.
    pub fn count_message(&mut self, _cx: &mut Cx, _message: &Stanza) {}

    /// Reads the counts of a stored room.
    pub fn load_activity(&mut self, _cx: &mut Cx) -> Result<(), StorageError> {
        Ok(())
    }
}
