//! Databases that were replaced: which there are, bringing one back, letting one go.

use recovery_core::{OperationId, Progress, crash_point, database::DatabaseName, port::OperationContext};
use serde_json::json;

use super::{BackupService, ExclusiveLock, take_over::id_from_name};
use crate::{BackupError, ReplacedDatabase, RollbackReport};

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
        context.record("rolling back", json!({ "database": &target.replaced_database })).await?;
        let swapped = self.take_over(lock, &target.replaced_database, None, context).await?;
        self.forget_replaced(&target.replaced_database).await;
        Ok(RollbackReport {
            id: context.id(),
            rolled_back: restore,
            restored_at: swapped.at,
            kept_until: swapped.replaced.as_ref().map(|replaced| replaced.kept_until),
            replaced_database: swapped.replaced.map(|replaced| replaced.replaced_database),
            warnings: swapped.warnings,
        })
    }

    /// Drops a replaced database; its restore can then no longer be rolled back.
    pub async fn drop_replaced(
        &self,
        _lock: &ExclusiveLock,
        restore: OperationId,
        context: &dyn OperationContext,
    ) -> Result<ReplacedDatabase, BackupError> {
        let target = self.find_replaced(restore).await?;
        context.record("dropping", json!({ "database": &target.replaced_database })).await?;
        self.database.drop_database(&target.replaced_database).await?;
        crash_point("drop-replaced:dropped");
        self.forget_replaced(&target.replaced_database).await;
        Ok(target)
    }

    async fn find_replaced(&self, restore: OperationId) -> Result<ReplacedDatabase, BackupError> {
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
        })
    }
}
