//! Versions of the affiliation list (XEP-0463): who comes back hears only what has changed.

use super::room::Room;
use crate::cx::Cx;
use crate::storage::StorageError;

/// The latest changes of an affiliation list.
#[derive(Default)]
pub struct Versions {}

impl Room {
    /// Writes the versions of a room that has just been stored.
    pub fn store_versions(&mut self, _cx: &mut Cx) -> Result<(), StorageError> {
        Ok(())
    }

    /// Reads the versions of a stored room.
    pub fn load_versions(&mut self, _cx: &mut Cx) -> Result<(), StorageError> {
        Ok(())
    }
}
