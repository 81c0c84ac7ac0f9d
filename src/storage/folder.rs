//! The data folder: private to its owner (0700), and held by one server at a time through a lock
//! on a file in it. The lock is the kernel's: it goes with the process, however that ends.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file that is locked; it holds the process id, for people.
const LOCK_NAME: &str = "tercet.lock";

/// Bytes of the lock file that are read for the message.
const LOCK_BYTES_MAX: u64 = 20;

/// A data folder that this process holds, until it is dropped.
pub struct DataFolder {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

/// Why the data folder cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub enum FolderError {
    /// Another server holds it; its process id as it wrote it down.
    Held(String),
    /// Anything else, with the path.
    Unusable(String),
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(pid) => write!(f, "a running server holds the data folder (process {pid})"),
            Self::Unusable(text) => f.write_str(text),
        }
    }
}

impl DataFolder {
    /// Makes the folder where it is missing, closes it to others, and locks it.
    pub fn hold(path: &Path) -> Result<Self, FolderError> {
        let wrong = |what: &Path, error: &dyn fmt::Display| {
            FolderError::Unusable(format!("{}: {error}", what.display()))
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| wrong(path, &error))?;
        let mode = std::fs::metadata(path).map_err(|error| wrong(path, &error))?;
        if mode.permissions().mode() & 0o077 != 0 {
            std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(|error| {
                wrong(path, &format!("is open to others and cannot be made private: {error}"))
            })?;
            log::warn!("{}: was open to others, now 0700", path.display());
        }
        let lock_path = path.join(LOCK_NAME);
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| wrong(&lock_path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Only for the message: what cannot be read is left out.
                let _ = (&lock).take(LOCK_BYTES_MAX).read_to_string(&mut pid);
                return Err(FolderError::Held(pid.trim().to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(wrong(&lock_path, &error)),
        }
        let noted = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        noted.map_err(|error| wrong(&lock_path, &error))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::TempFolder;
    use super::*;

    #[test]
    fn one_server_per_folder_and_private() {
        let temp = TempFolder::new("folder");
        let path = temp.path().join("data");
        std::fs::create_dir(&path).expect("folder");
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("mode");
        let held = DataFolder::hold(&path).expect("free");
        let mode = std::fs::metadata(held.path()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let second = DataFolder::hold(&path).err();
        assert_eq!(second, Some(FolderError::Held(std::process::id().to_string())));
        drop(held);
        assert!(DataFolder::hold(&path).is_ok());
    }
}
