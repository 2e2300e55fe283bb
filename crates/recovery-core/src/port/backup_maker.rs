use std::path::PathBuf;

use async_trait::async_trait;

use super::OperationContext;
use crate::{BackupInfo, BackupName, Problem, keys::KeySelection};

/// What a backup shall hold besides the database and the directories that belong to every backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Besides {
    /// Directories by their path. Those that belong to every backup may be among them.
    pub directories: Vec<PathBuf>,
    /// Keys of Redis.
    pub keys: Vec<KeySelection>,
}

/// The backups, as a factory reset needs them, under the lock that keeps every other operation away.
#[async_trait]
pub trait BackupMaker: Send + Sync {
    /// Makes a safety backup and proves it. Where this succeeds, the backup holds all that was asked for: a directory
    /// that does not exist holds nothing, and a key that is gone when its turn comes is not needed; whatever else cannot
    /// be read is an error, and then there is no backup. The operation can still be cancelled afterwards, and the steps
    /// that are recorded begin with `safety backup: `.
    async fn safety_backup(
        &self,
        besides: &Besides,
        context: &dyn OperationContext,
    ) -> Result<BackupInfo, Problem>;

    /// Every backup in the directory, newest first.
    async fn backups(&self) -> Result<Vec<BackupInfo>, Problem>;

    /// Removes a backup. Fails where somebody reads it ([`ErrorCode::Busy`](crate::ErrorCode::Busy)), and where it is
    /// pinned ([`ErrorCode::Conflict`](crate::ErrorCode::Conflict)), unless `even_pinned`.
    async fn remove(&self, name: &BackupName, even_pinned: bool) -> Result<(), Problem>;

    /// Fails where the lock is lost, which a broken connection does.
    async fn still_held(&self) -> Result<(), Problem>;
}
