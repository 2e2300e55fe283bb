//! Databases that were replaced: which there are, bringing one back, letting one go.

use recovery_core::{OperationId, Progress, crash_point, database::DatabaseName, port::OperationContext};
use serde_json::json;

use super::{
    BackupService, ExclusiveLock,
    files::{unsettled, words_about_gone},
    take_over::{Following, id_from_name},
};
use crate::{BackupError, KeptDirectory, KeptKeys, ReplacedDatabase, RollbackReport};

impl BackupService {
    /// The databases that restores and rollbacks replaced and that still exist, newest first. The databases themselves
    /// are what counts: one whose history is lost is listed all the same.
    pub async fn replaced(&self) -> Result<Vec<ReplacedDatabase>, BackupError> {
        let live = &self.database.target()?.database;
        let known = self.records.replaced().await;
        let mut replaced: Vec<ReplacedDatabase> = self
            .database
            .databases()
            .await?
            .into_iter()
            .filter(|entry| entry.name.is_replaced_of(live))
            .filter_map(|entry| {
                let record = known.iter().find(|record| record.replaced_database == entry.name).cloned();
                record.or_else(|| self.without_history(&entry.name))
            })
            .collect();
        replaced.sort_by(|a, b| {
            (b.restored_at, &b.replaced_database).cmp(&(a.restored_at, &a.replaced_database))
        });
        Ok(replaced)
    }

    /// Takes a restore back: the database that it replaced becomes the live one again, and the present one is kept in
    /// its turn.
    pub async fn rollback(
        &self,
        lock: &ExclusiveLock,
        restore: OperationId,
        context: &dyn OperationContext,
    ) -> Result<RollbackReport, BackupError> {
        context.report(Progress::phase("preparing"));
        let target = self.find_replaced(restore).await?;
        self.require_whole(&target.replaced_database).await?;
        self.require_settled_files().await?;
        let (keys, keys_gone) = self.keys_before(restore, target.keys.as_ref()).await?;
        let superseded = keys.is_none() && target.keys.is_some();
        let mut gone = words_about_gone(&target.files);
        gone.extend(keys_gone);
        context.record("rolling back", json!({ "database": &target.replaced_database })).await?;
        let following = Following { directories: &target.files, keys };
        let swapped = self.take_over(lock, &target.replaced_database, None, following, context).await?;
        if superseded && let Err(error) = self.records.set_pending_keys(None).await {
            tracing::warn!(%error, "keys of the restore that was rolled back are still to be written");
        }
        self.forget_replaced(&target.replaced_database).await;
        Ok(RollbackReport {
            id: context.id(),
            rolled_back: restore,
            restored_at: swapped.at,
            kept_until: swapped.replaced.as_ref().map(|replaced| replaced.kept_until),
            replaced_database: swapped.replaced.map(|replaced| replaced.replaced_database),
            files: swapped.files,
            keys_restored: swapped.keys,
            warnings: gone.into_iter().chain(swapped.warnings).collect(),
        })
    }

    /// Drops a replaced database, and the files that were replaced with it; its restore can then no longer be rolled back.
    pub async fn drop_replaced(
        &self,
        _lock: &ExclusiveLock,
        restore: OperationId,
        context: &dyn OperationContext,
    ) -> Result<ReplacedDatabase, BackupError> {
        let target = self.find_replaced(restore).await?;
        for done in self.settle_files().await? {
            tracing::warn!("{done}");
        }
        if let Some(name) = self.needed_by_unfinished(&target.files).await? {
            return Err(unsettled(name));
        }
        context.record("dropping", json!({ "database": &target.replaced_database })).await?;
        self.database.drop_database(&target.replaced_database).await?;
        crash_point("drop-replaced:dropped");
        // Its history is forgotten last: while it is there, the next start finds files that are still kept.
        self.remove_kept(target.files.clone()).await?;
        self.forget_kept_keys(target.keys.as_ref()).await?;
        self.forget_replaced(&target.replaced_database).await;
        Ok(target)
    }

    async fn require_whole(&self, database: &DatabaseName) -> Result<(), BackupError> {
        let databases = self.database.databases().await?;
        if databases.iter().any(|entry| entry.name == *database && entry.is_invalid) {
            return Err(BackupError::HalfDropped { database: database.clone() });
        }
        Ok(())
    }

    /// What is kept of a restore. Fails where nothing is, or never was.
    pub async fn find_replaced(&self, restore: OperationId) -> Result<ReplacedDatabase, BackupError> {
        let replaced = self.replaced().await?;
        replaced
            .into_iter()
            .find(|entry| entry.id == restore)
            .ok_or(BackupError::NoSuchRestore { id: restore })
    }

    async fn forget_replaced(&self, database: &DatabaseName) {
        let forgotten =
            self.records.update_replaced(|list| list.retain(|entry| entry.replaced_database != *database));
        if let Err(error) = forgotten.await {
            // Harmless: an entry whose database does not exist is shown to nobody.
            tracing::warn!(%error, %database, "the history of restores still names a database that is gone");
        }
    }

    fn without_history(&self, name: &DatabaseName) -> Option<ReplacedDatabase> {
        let restored_at = name.replaced_at()?;
        Some(ReplacedDatabase {
            id: id_from_name(name)?,
            filename: None,
            restored_at,
            replaced_database: name.clone(),
            kept_until: restored_at + self.settings.keep_replaced,
            files: Vec::new(),
            keys: None,
        })
    }

    /// Removes files that were kept for databases that do not exist any more, once their time is over. Returns what was
    /// removed, in words.
    pub(super) async fn sweep_kept_files(&self) -> Result<Vec<String>, BackupError> {
        let now = self.clock.now();
        let existing = self.database.databases().await?;
        let (exist, gone): (Vec<_>, Vec<_>) = self
            .records
            .replaced()
            .await
            .into_iter()
            .filter(|entry| !entry.files.is_empty() || entry.keys.is_some())
            .partition(|entry| existing.iter().any(|database| database.name == entry.replaced_database));
        let mut done = Vec::new();
        for entry in gone.into_iter().filter(|entry| entry.kept_until <= now) {
            // The name may have been given anew.
            let files =
                entry.files.iter().filter(|kept| !exist.iter().any(|other| other.files.contains(kept)));
            let files: Vec<KeptDirectory> = files.cloned().collect();
            let mut names: Vec<String> = files.iter().map(KeptDirectory::kept_as).collect();
            names.extend(entry.keys.as_ref().map(KeptKeys::kept_as));
            if self.needed_by_unfinished(&files).await?.is_some() {
                continue;
            }
            self.forget_kept_keys(entry.keys.as_ref()).await?;
            match self.remove_kept(files).await {
                Ok(()) => {
                    self.forget_replaced(&entry.replaced_database).await;
                    done.push(format!("removed the kept files {}", names.join(", ")));
                }
                Err(error) => tracing::warn!(%error, "files that nobody can bring back are still kept"),
            }
        }
        Ok(done)
    }
}
