//! The commands on the database and the backup directory themselves, with the parts that the service is made of, in
//! this process and under the locks that a service takes.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use recovery_core::{
    Actor, BackupKind, BackupName, ErrorCode, Operation, OperationId, OperationKind, OperationState, Problem,
    port::{AuditEntry, AuditOutcome},
};
use recovery_env::Expected;
use recovery_reset::Order;
use secrecy::SecretString;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    backend::{Backend, Task},
    failure::{self, Failure},
    inference,
    reset::ResetOrder,
    view::{Backup, Contents, Directory, HeldKeys, Restore, Rows, Status},
};
use crate::{
    app::App,
    operations,
    settings::{DatabaseSetting, Settings},
    view,
};

/// The parts, in this process.
pub(super) struct Direct {
    app: Arc<App>,
    actor: Actor,
    database: DatabaseSetting,
    backup_dir: PathBuf,
    state_dir: PathBuf,
}

impl Direct {
    /// Wires the parts together; nothing is connected yet.
    pub(super) async fn open(settings: &Settings) -> Result<Self, Failure> {
        Ok(Self {
            app: App::build_for_command(settings).await.map_err(failure::of)?,
            actor: actor(),
            database: settings.database.clone(),
            backup_dir: settings.backup_dir.clone(),
            state_dir: settings.state_dir.clone(),
        })
    }

    /// A directory that is not there has no backups, but the one who asks for them has most likely another one in mind.
    fn check_directory(&self) -> Result<(), Failure> {
        if !matches!(self.backup_dir.try_exists(), Ok(false)) {
            return Ok(());
        }
        let detail = format!("The backup directory {} does not exist.", self.backup_dir.display());
        let hint =
            "Set BACKUP_DIR to the directory that holds the backups; `nova-recovery backup` creates it.";
        Err(Problem::new(ErrorCode::StorageUnavailable, detail).hint(hint).into())
    }

    /// Why the setting of the database cannot be used, if it cannot: more than the parts, which were told of no
    /// database, could say.
    fn check_database(&self) -> Result<(), Failure> {
        match &self.database {
            DatabaseSetting::Invalid(why) => {
                let problem = Problem::new(ErrorCode::DatabaseUnavailable, format!("{why}."));
                Err(problem.hint("It looks like postgresql://user:password@host:5432/database.").into())
            }
            DatabaseSetting::Unset | DatabaseSetting::Target(_) => Ok(()),
        }
    }

    /// What an earlier run left half done is cleared up before something new is begun, and what is in the way is
    /// named.
    async fn clear_up(&self) -> Result<(), Failure> {
        let done = self.app.clear_up().await.map_err(failure::of)?;
        done.iter().for_each(|done| tracing::warn!("cleared up: {done}"));
        Ok(())
    }

    async fn start(&self, task: &Task) -> Result<Operation, operations::Failure> {
        let actor = self.actor.clone();
        match task.clone() {
            Task::Backup => self.app.start_backup(actor, BackupKind::Manual).await,
            Task::Verify(name, level) => self.app.start_verify(actor, name, level).await,
            Task::Restore(name) => self.app.start_restore(actor, name).await,
            Task::Rollback(restore) => self.app.start_rollback(actor, restore).await,
            Task::Inference(_) => Err(inference::needs_a_service().into()),
            Task::Reset(order) => self.app.start_reset(actor, self.order(&order)?).await,
            Task::Upload(path, name) => {
                let (file, size) = super::file::open(&path).await?;
                self.app.start_upload(actor, name, Some(size), file).await
            }
        }
    }

    /// What a reset is asked to do, checked.
    fn order(&self, order: &ResetOrder) -> Result<Order, Problem> {
        let ResetOrder { keep, reseed, safety_backup, accept_partial, include_pinned } = order.clone();
        let selection = self.app.keeping(&keep)?;
        Ok(Order { selection, safety_backup, accept_partial, include_pinned, reseed })
    }

    /// Writes down who did what. That it cannot be written down keeps nobody from bringing a database back.
    async fn audit(&self, kind: OperationKind, target: Option<String>, operation: Option<&Operation>) {
        let outcome = if operation.is_some() { AuditOutcome::Accepted } else { AuditOutcome::Refused };
        self.audit_as(kind.as_str(), target, outcome, operation.map(|operation| operation.id)).await;
    }

    async fn audit_as(
        &self,
        action: &str,
        target: Option<String>,
        outcome: AuditOutcome,
        operation_id: Option<OperationId>,
    ) {
        let (at, actor) = (self.app.clock.now(), self.actor.clone());
        let entry = AuditEntry { at, actor, action: action.to_owned(), target, outcome, operation_id };
        if let Err(error) = self.app.audit.append(entry).await {
            tracing::error!("the audit log cannot be written: {}", operations::chain(&error));
        }
    }
}

/// Who runs this process.
fn actor() -> Actor {
    let user = rustix::process::getuid();
    if user.is_root() {
        Actor::new("command line (root)")
    } else {
        Actor::new(format!("command line (user {})", user.as_raw()))
    }
}

/// Turns what the service would answer into what the commands show, so that both ways look alike.
fn shown<T: DeserializeOwned>(answer: impl Serialize) -> Result<T, Failure> {
    serde_json::to_value(answer).and_then(serde_json::from_value).map_err(|error| {
        Failure::from(Problem::new(ErrorCode::Internal, "A result cannot be shown.")).caused_by(&error)
    })
}

#[async_trait(?Send)]
impl Backend for Direct {
    async fn backups(&self) -> Result<Vec<Backup>, Failure> {
        self.check_directory()?;
        let backups = self.app.backups.list().await.map_err(failure::of)?;
        shown(backups.into_iter().map(view::Backup::from).collect::<Vec<_>>())
    }

    async fn contents(&self, backup: &BackupName) -> Result<Option<Contents>, Failure> {
        self.check_directory()?;
        if backup.kind() == BackupKind::Legacy {
            return Ok(None);
        }
        let manifest = self.app.backups.manifest(backup).await.map_err(failure::of)?;
        Ok(Some(Contents {
            database: manifest.database.to_string(),
            database_size_bytes: manifest.database_size_bytes,
            files: manifest
                .files
                .into_iter()
                .map(|files| Directory {
                    name: files.name.into(),
                    files: files.files,
                    bytes: files.bytes,
                    kept_as: None,
                })
                .collect(),
            redis: manifest.redis.into_iter().map(|held| HeldKeys { keys: held.keys }).collect(),
            rows: Rows { tables: manifest.rows.tables },
        }))
    }

    async fn delete(&self, backup: &BackupName) -> Result<(), Failure> {
        self.check_directory()?;
        let started = self.app.start_delete(self.actor.clone(), backup.clone()).await;
        self.audit(OperationKind::DeleteBackup, Some(backup.to_string()), started.as_ref().ok()).await;
        let id = started.map_err(begun)?.id;
        match self.app.operations.wait(id).await {
            Some(Operation { error: Some(problem), .. }) => Err(problem.into()),
            Some(Operation { state: OperationState::Succeeded, .. }) => Ok(()),
            Some(_) | None => {
                Err(Problem::new(ErrorCode::Internal, "The backup was not deleted.").operation(id).into())
            }
        }
    }

    async fn set_pinned(&self, backup: &BackupName, pinned: bool) -> Result<Backup, Failure> {
        self.check_directory()?;
        let done = self.app.set_pinned(backup.clone(), pinned).await;
        let outcome = if done.is_ok() { AuditOutcome::Succeeded } else { AuditOutcome::Refused };
        self.audit_as(if pinned { "pin" } else { "unpin" }, Some(backup.to_string()), outcome, None).await;
        shown(view::Backup::from(done.map_err(begun)?))
    }

    async fn restores(&self) -> Result<Vec<Restore>, Failure> {
        self.check_database()?;
        if !self.state_dir.exists() {
            self.check_directory()?;
        }
        let replaced = self.app.backups.replaced().await.map_err(failure::of)?;
        shown(replaced.into_iter().map(view::Replaced::from).collect::<Vec<_>>())
    }

    async fn status(&self) -> Result<Status, Failure> {
        self.check_directory()?;
        let mut status: Status = shown(self.app.status().await)?;
        if let Err(failure) = self.check_database() {
            status.database.error = Some(failure.problem.detail);
        }
        Ok(status)
    }

    async fn environment(&self) -> Result<BTreeMap<String, String>, Failure> {
        shown(view::Variables::from(self.app.environment().await.map_err(begun)?))
    }

    async fn change_environment(
        &self,
        updates: Vec<(String, SecretString)>,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let changed = self.app.change_environment(updates, Expected::Any).await;
        let outcome = if changed.is_ok() { AuditOutcome::Succeeded } else { AuditOutcome::Refused };
        self.audit_as("change_environment", None, outcome, None).await;
        shown(view::Variables::from(changed.map_err(begun)?))
    }

    async fn kept_by_default(&self) -> Result<Vec<String>, Failure> {
        Ok(self.app.reset.categories().kept_by_default().iter().map(ToString::to_string).collect())
    }

    async fn preview_reset(&self, order: &ResetOrder, exact: bool) -> Result<Value, Failure> {
        self.check_database()?;
        shown(self.app.preview_reset(self.order(order)?, exact).await.map_err(begun)?)
    }

    async fn inference(&self) -> Result<Value, Failure> {
        Err(inference::needs_a_service().into())
    }

    async fn begin(&self, task: &Task) -> Result<OperationId, Failure> {
        if matches!(task, Task::Inference(_)) {
            return Err(inference::needs_a_service().into());
        }
        if matches!(task, Task::Verify(..) | Task::Restore(_)) {
            self.check_directory()?;
        }
        // What is asked for wrongly changes nothing, not even by clearing up.
        if let Task::Reset(order) = task {
            self.order(order)?;
        }
        if !matches!(task.kind(), OperationKind::Verify | OperationKind::Upload) {
            self.check_database()?;
            match self.clear_up().await {
                // The drill will find out the same, and remember it.
                Err(error) if task.kind() == OperationKind::Drill => {
                    tracing::info!("nothing is cleared up: {}", error.problem.detail);
                }
                cleared => cleared?,
            }
        }
        let started = self.start(task).await;
        self.audit(task.kind(), task.target(), started.as_ref().ok()).await;
        started.map(|operation| operation.id).map_err(begun)
    }

    async fn operation(&self, id: OperationId) -> Result<Operation, Failure> {
        self.app.operations.get(id).ok_or_else(|| {
            Problem::new(ErrorCode::Internal, "The operation is not known any more.").operation(id).into()
        })
    }

    async fn cancel(&self, id: OperationId) -> Result<(), Failure> {
        self.app.operations.cancel(id).map(drop).map_err(failure::of)
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(100)
    }
}

/// Something could not be begun.
fn begun(failure: operations::Failure) -> Failure {
    failure.log().into()
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, path::Path};

    use recovery_core::VerifyLevel;

    use super::*;
    use crate::cli::failure::Status as Exit;

    async fn direct(backup_dir: &Path) -> Direct {
        let directory = OsString::from(backup_dir);
        let loaded = Settings::from_lookup(|name| (name == "BACKUP_DIR").then(|| directory.clone()));
        Direct::open(&loaded.unwrap().settings).await.unwrap()
    }

    #[tokio::test]
    async fn a_missing_backup_directory_is_named_and_not_created() {
        let above = tempfile::tempdir().unwrap();
        let missing = above.path().join("typo");
        let direct = direct(&missing).await;
        let verify =
            Task::Verify("nova-backup-2026-01-01_00-00-00.tar".parse().unwrap(), VerifyLevel::Hashes);
        let failures = [
            direct.backups().await.map(drop).unwrap_err(),
            direct.status().await.map(drop).unwrap_err(),
            direct.begin(&verify).await.map(drop).unwrap_err(),
        ];
        for failure in failures {
            assert_eq!(failure.status, Exit::Unavailable);
            assert!(failure.problem.detail.contains(missing.to_str().unwrap()), "{}", failure.problem.detail);
        }
        assert!(!missing.exists());
    }

    #[tokio::test]
    async fn reading_writes_nothing() {
        let empty = tempfile::tempdir().unwrap();
        let direct = direct(empty.path()).await;
        assert!(direct.backups().await.unwrap().is_empty());
        assert!(!direct.status().await.unwrap().database.connected);
        assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
    }
}
