//! Whether the disk has room: asked before something is written, and again and again while it is.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::BackupError;

/// How often a disk that is being written to is asked.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long it may take to answer: a network share can hang.
const PATIENCE: Duration = Duration::from_secs(2);

const MIB: u64 = 1024 * 1024;

/// The state of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    /// How many bytes we may still write to it.
    available: u64,
    /// How many bytes it has in all.
    total: u64,
}

impl Room {
    fn of(directory: &Path) -> Result<Self, BackupError> {
        let stat = rustix::fs::statvfs(directory)
            .map_err(|error| BackupError::storage("ask for the free space", directory)(error.into()))?;
        Ok(Self {
            available: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    /// What must be free besides what is to be written: other programs, PostgreSQL perhaps, write to the disk too.
    fn reserve(self) -> u64 {
        (self.total / 50).clamp(8 * MIB, 128 * MIB)
    }

    /// Less than this is a full disk for us.
    fn low(self) -> u64 {
        self.reserve() / 2
    }
}

/// How many bytes can still be written to the disk of a directory, and how many it has.
pub(crate) async fn of(directory: PathBuf) -> Result<(u64, u64), BackupError> {
    let silent = BackupError::storage("ask for the free space", directory.clone());
    let asked = tokio::task::spawn_blocking(move || Room::of(&directory));
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(room)) => room.map(|room| (room.available, room.total)),
        _ => Err(silent(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Fails where fewer than `needed` bytes are free, and some to spare.
pub(crate) fn require(directory: &Path, needed: u64) -> Result<(), BackupError> {
    let room = Room::of(directory)?;
    let needed = needed.saturating_add(room.reserve());
    if room.available < needed {
        let available = room.available;
        return Err(BackupError::NoSpace { place: "for the files of this operation", needed, available });
    }
    Ok(())
}

/// Fails where the disk is nearly full.
pub(crate) fn check(directory: &Path) -> Result<(), BackupError> {
    let room = Room::of(directory)?;
    if room.available < room.low() {
        return Err(BackupError::SpaceRunsOut { available: room.available });
    }
    Ok(())
}

/// Returns once the disk of one of these directories is nearly full; never, where none becomes so or can be asked.
pub(crate) async fn runs_out(directories: Vec<PathBuf>) -> BackupError {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        for directory in &directories {
            let directory = directory.clone();
            let looked = tokio::task::spawn_blocking(move || check(&directory));
            if let Ok(Ok(Err(error @ BackupError::SpaceRunsOut { .. }))) =
                tokio::time::timeout(PATIENCE, looked).await
            {
                return error;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_every_disk_stays_free() {
        for (total, reserve) in [(24 * MIB, 8 * MIB), (1000 * MIB, 20 * MIB), (u64::MAX, 128 * MIB)] {
            let room = Room { available: 0, total };
            assert_eq!((room.reserve(), room.low()), (reserve, reserve / 2), "{total}");
        }
    }
}
