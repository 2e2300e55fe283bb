//! Whether the disk has room.

use std::path::Path;

use crate::BackupError;

/// What an empty disk needs at least: less is a full disk, whatever is to be written.
pub(crate) const FLOOR: u64 = 16 * 1024 * 1024;

/// How many bytes we may still write to the file system of a directory.
pub(crate) fn available(directory: &Path) -> Result<u64, BackupError> {
    let stat = rustix::fs::statvfs(directory)
        .map_err(|error| BackupError::storage("ask for the free space", directory)(error.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Fails where fewer than `needed` bytes are free, and some to spare.
pub(crate) fn require(directory: &Path, needed: u64) -> Result<(), BackupError> {
    let (needed, available) = (needed.saturating_add(FLOOR), available(directory)?);
    if available < needed {
        return Err(BackupError::NoSpace { place: "for the files of this operation", needed, available });
    }
    Ok(())
}
