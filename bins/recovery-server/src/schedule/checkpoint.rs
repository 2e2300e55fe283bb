//! Checkpoints: backups that the service makes by itself.

use std::time::Duration;

use async_trait::async_trait;
use recovery_core::{Actor, BackupInfo, BackupKind, Problem, Verification, VerifyLevel};
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
            Ok(operation) => Outcome::of(app.operations.wait(operation.id).await, |operation| {
                let name = operation.target.as_deref().unwrap_or("A backup");
                format!("{name} was made.")
            }),
            Err(failure) => Outcome::not_begun(failure),
        }
    }
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
