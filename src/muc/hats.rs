//! Hats (XEP-0317): titles that owners make and give, shown in presence.

use super::room::Room;
use crate::cx::Cx;
use crate::storage::StorageError;

/// The hats of a room, and who wears them.
#[derive(Default)]
pub struct Hats {}

impl Room {
    /// Writes all hats of a room that has just been stored.
    pub fn store_hats(&mut self, _cx: &mut Cx) -> Result<(), StorageError> {
        Ok(())
    }

    /// Reads the hats of a stored room.
    pub fn load_hats(&mut self, _cx: &mut Cx) -> Result<(), StorageError> {
        Ok(())
    }
}
