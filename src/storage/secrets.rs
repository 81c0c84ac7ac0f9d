//! Secrets of this server: made once, by name, and kept (dialback, salts of unknown users, …).

use super::{Storage, StorageError};
use crate::cx::Entropy;

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

impl Storage {
    /// A secret of this server by name, made on first use (32 bytes).
    pub fn secret(
        &mut self,
        name: &str,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, StorageError> {
        let sql = "SELECT value FROM secret WHERE name = ?1";
        if let Some(value) = self.read_one(sql, [name], |row| row.get(0))? {
            return Ok(value);
        }
        let mut value = vec![0; SECRET_BYTES];
        entropy.fill(&mut value);
        self.write("INSERT INTO secret (name, value) VALUES (?1, ?2)", (name, &value))?;
        Ok(value)
    }
}
