//! Checkpoints: backups that the service makes by itself.

use std::time::Duration;

use async_trait::async_trait;
use recovery_backup::IncludeName;
use recovery_core::{
    Actor, BackupInfo, BackupKind, ErrorCode, Operation, OperationState, Problem, Verification, VerifyLevel,
};
use time::OffsetDateTime;

use super::{Job, Outcome};
use crate::{alerts::Subject, app::App};

/// Makes a checkpoint one interval after the newest good one. What somebody asked for does not count: it may be gone
/// when its time is over, and the row of checkpoints has no hole.
pub(crate) struct Checkpoints {
    pub(crate) interval: Option<Duration>,
}

impl Checkpoints {
    /// What notices call them, and the key of what is remembered.
    pub(crate) const SUBJECT: Subject = Subject { name: "checkpoint", words: "the automatic backup" };
}

#[async_trait]
impl Job for Checkpoints {
    fn subject(&self) -> Subject {
        Self::SUBJECT
    }

    fn interval(&self) -> Option<Duration> {
        self.interval
    }

    async fn done(&self, app: &App) -> Result<Vec<OffsetDateTime>, Problem> {
        let backups = app.list_backups().await?;
        Ok(made_checkpoints(&backups, app.database_name.as_deref()).map(|backup| backup.created_at).collect())
    }

    async fn attempt(&self, app: &App) -> Outcome {
        match app.start_backup(Actor::service(), BackupKind::Checkpoint).await {
            Ok(operation) => outcome(app.operations.wait(operation.id).await, &app.backups.include_names()),
            Err(failure) => Outcome::not_begun(failure),
        }
    }
}

/// A backup without a directory is better than none, but somebody should know.
fn outcome(operation: Option<Operation>, includes: &[IncludeName]) -> Outcome {
    let name = |operation: &Operation| operation.target.clone().unwrap_or_else(|| "A backup".to_owned());
    if let Some(done) = operation.as_ref().filter(|operation| operation.state == OperationState::Succeeded) {
        let held = done.result.as_ref().and_then(|result| result.get("files")?.as_array());
        let is_held = |include: &&IncludeName| {
            held.is_some_and(|held| held.iter().any(|files| files["name"] == include.as_str()))
        };
        let missing: Vec<&str> =
            includes.iter().filter(|include| !is_held(include)).map(IncludeName::as_str).collect();
        if !missing.is_empty() {
            let detail = format!("{} was made without the files of {}.", name(done), missing.join(", "));
            let hint = "Check that BACKUP_INCLUDE names directories that exist, are mounted, and that the recovery \
                        service may read. The newest backup that has them is kept.";
            return Outcome::Bad(Problem::new(ErrorCode::StorageUnavailable, detail).hint(hint));
        }
    }
    Outcome::of(operation, |operation| format!("{} was made.", name(operation)))
}

/// The checkpoints of a database that need not be made again: the good ones, and those that failed a drill alone. Whatever
/// made that fail is likely to be there still, and would come to a new one in every pause.
pub(crate) fn made_checkpoints<'a>(
    backups: &'a [BackupInfo],
    database: Option<&'a str>,
) -> impl Iterator<Item = &'a BackupInfo> {
    checkpoints_of(backups, database).filter(|backup| {
        backup.verification != Verification::Failed || backup.verified_level == Some(VerifyLevel::Restore)
    })
}

/// The checkpoints of a database that are not known to be bad: what was published was read back before, also where
/// the record of that is lost.
pub(crate) fn good_checkpoints<'a>(
    backups: &'a [BackupInfo],
    database: Option<&'a str>,
) -> impl Iterator<Item = &'a BackupInfo> {
    checkpoints_of(backups, database).filter(|backup| backup.verification != Verification::Failed)
}

fn checkpoints_of<'a>(
    backups: &'a [BackupInfo],
    database: Option<&'a str>,
) -> impl Iterator<Item = &'a BackupInfo> {
    backups.iter().filter(move |backup| {
        backup.kind == BackupKind::Checkpoint
            && !backup.uploaded
            && database.is_some()
            && backup.database.as_deref() == database
    })
}
