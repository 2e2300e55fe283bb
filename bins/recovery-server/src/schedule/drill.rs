//! Drills: restores that the service rehearses by itself.

use std::time::Duration;

use async_trait::async_trait;
use recovery_core::{
    Actor, BackupInfo, BackupKind, ErrorCode, Operation, OperationState, Problem, Verification,
};
use time::OffsetDateTime;

use super::{Job, Outcome};
use crate::{alerts::Subject, app::App};

/// Rehearses a restore of the newest good backup one interval after the last good drill.
pub(crate) struct Drills {
    pub(crate) interval: Option<Duration>,
}

impl Drills {
    /// What notices call them, and the key of what is remembered.
    pub(crate) const SUBJECT: Subject = Subject { name: "drill", words: "the restore drill" };
}

#[async_trait]
impl Job for Drills {
    fn subject(&self) -> Subject {
        Self::SUBJECT
    }

    fn interval(&self) -> Option<Duration> {
        self.interval
    }

    async fn done(&self, app: &App) -> Result<Vec<OffsetDateTime>, Problem> {
        // What outlives the backups counts: retention removes a backup soon after it was drilled.
        let drills = app.drills().await.unwrap_or_default();
        Ok(drills.last_verified.map(|drill| drill.at).into_iter().collect())
    }

    async fn attempt(&self, app: &App) -> Outcome {
        let backups = match app.list_backups().await {
            Ok(backups) => backups,
            Err(problem) => return Outcome::Failed(problem),
        };
        let own: Vec<&BackupInfo> = own_backups(&backups, app.database_name.as_deref()).collect();
        let Some(newest) = own.iter().find(|backup| backup.verification == Verification::Verified) else {
            return nothing_to_try(own.iter().any(|backup| backup.verification == Verification::Failed));
        };
        match app.start_drill(Actor::service(), newest.filename.clone()).await {
            Ok(operation) => outcome(app.operations.wait(operation.id).await),
            Err(failure) => Outcome::not_begun(failure),
        }
    }
}

/// The backups of a database that were made here. What came from elsewhere may hold anything, and is loaded only where
/// somebody asks for it.
fn own_backups<'a>(
    backups: &'a [BackupInfo],
    database: Option<&'a str>,
) -> impl Iterator<Item = &'a BackupInfo> {
    backups.iter().filter(move |backup| {
        !backup.uploaded
            && backup.kind != BackupKind::Legacy
            && database.is_some()
            && backup.database.as_deref() == database
    })
}

/// Without any backup there is nothing to try yet; where all are bad, somebody should know.
fn nothing_to_try(some_are_bad: bool) -> Outcome {
    if !some_are_bad {
        return Outcome::Busy;
    }
    let problem =
        Problem::new(ErrorCode::BackupDamaged, "There is no good backup that a restore could be tried with.");
    Outcome::Failed(problem.hint("Make a backup, and find out what has damaged the others."))
}

fn outcome(operation: Option<Operation>) -> Outcome {
    let name = |operation: &Operation| operation.target.clone().unwrap_or_else(|| "A backup".to_owned());
    match operation {
        Some(operation) if operation.state == OperationState::Succeeded => {
            let result = operation.result.as_ref();
            let verification = result.and_then(|result| result.get("verification")?.as_str());
            if verification == Some(Verification::Verified.as_str()) {
                return Outcome::Done(format!(
                    "{} was restored into a scratch database, and is good.",
                    name(&operation)
                ));
            }
            let why =
                result.and_then(|result| result.get("problems")?.get(0)?.as_str()).unwrap_or("it is bad");
            let detail = format!("{} cannot be restored: {why}.", name(&operation));
            let hint = "Make a backup now and verify it at the level `restore`; by itself the next drill comes one \
                        interval later.";
            Outcome::Bad(Problem::new(ErrorCode::BackupDamaged, detail).hint(hint))
        }
        operation => Outcome::of(operation, name),
    }
}
