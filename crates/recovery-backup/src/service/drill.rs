//! Drills: a restore rehearsed to the last step before the swap, in a scratch database that is dropped again.

use std::time::Instant;

use recovery_core::{
    BackupKind, BackupName, Drill, DrillHistory, DrillResult, Progress, Verification, VerifyLevel,
    port::{LockError, OperationContext},
};
use serde_json::json;

use super::{BackupService, ExclusiveLock, files::Files};
use crate::{
    BackupError, VerifyReport,
    records::{CheckRecord, FileStamp},
    tools::Tools,
};

/// What a drill that ended with an error says of the backup.
enum Verdict {
    /// It is bad, for this reason; the level is that of the least thorough check that could find it good again.
    Bad(String, VerifyLevel),
    /// Nothing, for this reason.
    Unknown(String),
    /// Nothing, and nobody need be told: it was called off, or not begun.
    CalledOff,
}

impl BackupService {
    /// Loads a backup into a scratch database, compares its rows with the manifest, and drops the database: everything
    /// that a restore does, but for the swap. That the backup is bad is no error, but a report; an error says that it
    /// could not be found out. Then what was known of the backup stands, and its last drill says why.
    pub async fn drill(
        &self,
        lock: &ExclusiveLock,
        name: &BackupName,
        context: &dyn OperationContext,
    ) -> Result<VerifyReport, BackupError> {
        let begun = Instant::now();
        // Of the file as it is now: one that changes meanwhile is another file, of which nothing is known.
        let stamp = self.stamp(name).await?;
        let rehearsed = self.rehearse(lock, name, context).await;
        let verdict = rehearsed.as_ref().err().map(judge);
        let drill = |result, problems| Drill {
            filename: name.clone(),
            at: self.clock.now(),
            result,
            problems,
            duration_seconds: begun.elapsed().as_secs(),
        };
        match (rehearsed, verdict) {
            (Ok(()), _) => {
                self.tell(drill(DrillResult::Verified, Vec::new()), stamp, VerifyLevel::Restore).await
            }
            (Err(_), Some(Verdict::Bad(why, redeemed_by))) => {
                self.tell(drill(DrillResult::Failed, vec![why]), stamp, redeemed_by).await
            }
            (Err(error), Some(Verdict::Unknown(why))) => {
                self.note_drill(drill(DrillResult::CouldNotVerify, vec![why]), stamp).await;
                Err(error)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Remembers that a drill could not even begin, unless that is because something else is running.
    pub async fn note_no_drill(&self, name: &BackupName, error: &BackupError) {
        if let Verdict::Unknown(why) | Verdict::Bad(why, _) = judge(error) {
            let (result, problems) = (DrillResult::CouldNotVerify, vec![why]);
            let (filename, at) = (name.clone(), self.clock.now());
            let drill = Drill { filename, at, result, problems, duration_seconds: 0 };
            if let Ok(stamp) = self.stamp(name).await {
                self.note_drill(drill, stamp).await;
            }
        }
    }

    /// The drills that are remembered, whatever has become of their backups.
    pub async fn drills(&self) -> DrillHistory {
        self.records.drills().await
    }

    async fn rehearse(
        &self,
        lock: &ExclusiveLock,
        name: &BackupName,
        context: &dyn OperationContext,
    ) -> Result<(), BackupError> {
        if name.kind() == BackupKind::Legacy {
            return self.rehearse_legacy(name, context).await;
        }
        context.report(Progress::phase("preparing"));
        let server = self.database.server().await?;
        let manifest = self.manifest(name).await?;
        let client = manifest.client_version;
        let tools = Tools::for_loading(&self.settings, self.runner.as_ref(), server.version, client).await?;
        self.check_compatible(name, &manifest, &server, &tools).await?;
        let (work, manifest, _) = self.unpack(name, Files::Leave, context).await?;

        let live = self.database.target()?.database.clone();
        let scratch = live.scratch(&context.id());
        self.sweep_scratch_databases(&live).await?;
        let created_roles = self.database.create_missing_roles(&manifest.roles).await?;
        if !created_roles.is_empty() {
            tracing::warn!(roles = created_roles.join(", "), "a drill created roles that the server lacked");
        }
        context.record("drilling", json!({ "scratch": &scratch })).await?;
        let mut loaded = self.load(&tools, &work, &manifest, &scratch, context).await;
        if let Err(failed @ BackupError::ToolFailed { .. }) = loaded {
            // Only the same failure twice, on a server that was there all the time and has room, is the backup's fault:
            // somebody may have ended the session.
            self.undo(&scratch).await;
            lock.still_held().await?;
            tracing::warn!(error = %failed, "the load of a drill failed; it is tried once more");
            loaded = self.load(&tools, &work, &manifest, &scratch, context).await;
        }
        self.undo(&scratch).await;
        match loaded {
            Err(failed @ BackupError::ToolFailed { .. }) => {
                lock.still_held().await?;
                Err(failed)
            }
            loaded => loaded,
        }
    }

    /// Reports and remembers what is now known of a backup.
    async fn tell(
        &self,
        drill: Drill,
        stamp: FileStamp,
        redeemed_by: VerifyLevel,
    ) -> Result<VerifyReport, BackupError> {
        let report = VerifyReport {
            filename: drill.filename.clone(),
            verification: match drill.result {
                DrillResult::Verified => Verification::Verified,
                DrillResult::Failed => Verification::Failed,
                DrillResult::CouldNotVerify => Verification::Unverified,
            },
            level: VerifyLevel::Restore,
            checked_at: drill.at,
            problems: drill.problems.clone(),
            drill: Some(drill.clone()),
            notes: Vec::new(),
        };
        self.remember(&report, stamp, redeemed_by).await;
        self.add_to_history(drill).await;
        Ok(report)
    }

    /// Remembers a drill that says nothing about its backup.
    async fn note_drill(&self, drill: Drill, stamp: FileStamp) {
        let (name, at, noted) = (drill.filename.to_string(), drill.at, Some(drill.clone()));
        let recorded = self.records.update_checks(move |checks| {
            let known = checks.remove(&name).filter(|known| known.stamp == stamp);
            let record = known.unwrap_or_else(|| CheckRecord::unverified(stamp, at));
            checks.insert(name, CheckRecord { drill: noted, ..record });
        });
        if let Err(error) = recorded.await {
            tracing::warn!(%error, "a drill that could not be made is not recorded");
        }
        self.add_to_history(drill).await;
    }

    async fn add_to_history(&self, drill: Drill) {
        if let Err(error) = self.records.add_drill(drill).await {
            tracing::warn!(%error, "a drill is missing in the history of drills");
        }
    }

    pub(super) async fn stamp(&self, name: &BackupName) -> Result<FileStamp, BackupError> {
        let file = self.open(name).await?.file;
        let data = file.metadata().map_err(BackupError::storage("look at a backup", self.path(name)))?;
        Ok(FileStamp::from(&data))
    }
}

/// What an error says of the backup that was to be loaded.
fn judge(error: &BackupError) -> Verdict {
    match error {
        BackupError::Damaged { why, .. } => Verdict::Bad(why.clone(), VerifyLevel::Contents),
        BackupError::RowsDiffer { .. } => Verdict::Bad(error.to_string(), VerifyLevel::Restore),
        // The server is there, has room and lets us do what we need, so it is the dump that cannot be loaded.
        BackupError::ToolFailed { circumstances: false, .. } => {
            Verdict::Bad(error.to_string(), VerifyLevel::Restore)
        }
        BackupError::Cancelled(_)
        | BackupError::NotFound { .. }
        | BackupError::Busy { .. }
        | BackupError::DirectoryBusy
        | BackupError::Lock(LockError::Held { .. }) => Verdict::CalledOff,
        other => Verdict::Unknown(other.to_string()),
    }
}
