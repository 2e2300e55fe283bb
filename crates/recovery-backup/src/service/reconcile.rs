//! Clearing up after operations that were cut off.

use recovery_core::database::DatabaseName;

use super::{BackupService, ExclusiveLock};
use crate::{
    BackupError,
    records::PendingSwap,
    work::{WorkDirectory, blocking},
};

impl BackupService {
    /// Clears up what operations that were cut off have left: partial archives, scratch databases, databases that a
    /// swap had closed to sessions. Returns what it found and did, in words.
    pub async fn reconcile(&self, _lock: &ExclusiveLock) -> Result<Vec<String>, BackupError> {
        let mut done = Vec::new();
        if let Some(swap) = self.records.pending_swap().await {
            done.push(self.finish_swap(&swap).await?);
            self.records.set_pending_swap(None).await?;
        }
        let live = self.database.target()?.database.clone();
        for scratch in self.sweep_scratch_databases(&live).await? {
            done.push(format!("dropped the scratch database {scratch}"));
        }
        let directory = self.settings.directory.clone();
        for partial in blocking(move || WorkDirectory::sweep(&directory)).await? {
            done.push(format!("removed the partial backup {partial}"));
        }
        Ok(done)
    }

    /// A swap is one transaction, so it was done or was not; but the databases may still be closed to sessions.
    async fn finish_swap(&self, step: &PendingSwap) -> Result<String, BackupError> {
        let databases = self.database.databases().await?;
        let entry = |name: &DatabaseName| databases.iter().find(|entry| entry.name == *name);
        for name in [&step.live, &step.retired, &step.incoming] {
            if entry(name).is_some_and(|entry| !entry.accepts_sessions) {
                self.database.open_to_sessions(name).await?;
            }
        }
        Ok(if entry(&step.incoming).is_none() {
            format!(
                "the swap had been done: {} is the new database, the one before is {}",
                step.live, step.retired
            )
        } else {
            format!("the swap had not been done: {} is the database that it was", step.live)
        })
    }
}
