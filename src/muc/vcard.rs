//! The card of a room and its avatar (XEP-0054, XEP-0153, XEP-0486).

use super::room::Room;
use crate::cx::Cx;
use crate::storage::StorageError;

/// A room's card.
#[derive(Default)]
pub struct Vcard {}

impl Room {
    /// Writes the card of a room that has just been stored.
    pub fn store_vcard(&mut self, _cx: &mut Cx) -> Result<(), StorageError> {
        Ok(())
    }

    /// Reads the card of a stored room.
    pub fn load_vcard(&mut self, _cx: &mut Cx) -> Result<(), StorageError> {
        Ok(())
    }
}
