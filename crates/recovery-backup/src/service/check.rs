//! Checking a backup.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use recovery_core::{BackupKind, BackupName, Progress, Verification, VerifyLevel, port::OperationContext};

use super::{
    BackupService,
    catalogue::{flawed, renamed},
};
use crate::{
    BackupError, Manifest, VerifyReport,
    archive::{ArchiveReader, DATABASE, Extract, Visitor},
    records::{CheckRecord, FileStamp},
    tools::{self, Tools},
    work::{Meter, WorkDirectory, blocking, unless_cancelled, watched_on},
};

impl BackupService {
    /// Checks a backup and remembers the result. That it is bad is no error, but a report; an error says that it could
    /// not be checked, and then the last result stands.
    pub async fn verify(
        &self,
        name: &BackupName,
        level: VerifyLevel,
        context: &dyn OperationContext,
    ) -> Result<VerifyReport, BackupError> {
        if name.kind() == BackupKind::Legacy && level != VerifyLevel::Restore {
            return self.verify_legacy(name, level, context).await;
        }
        let file = self.open(name).await?.file;
        let data = file.metadata().map_err(BackupError::storage("look at a backup", self.path(name)))?;
        let checked = match level {
            VerifyLevel::Hashes => {
                self.check_hashes(name, file, Arc::new(()), Vec::new(), context).await.map(drop)
            }
            VerifyLevel::Contents => self.check_contents(name, file, context).await,
            VerifyLevel::Restore => {
                let hint = "Ask for a drill, which takes the lock that it needs.".to_owned();
                let why = "a restore-level check works on the database server".to_owned();
                return Err(BackupError::Incompatible { name: name.clone(), why, hint });
            }
        };
        let problems = match checked {
            Ok(()) => Vec::new(),
            Err(BackupError::Damaged { why, .. }) => vec![why],
            Err(error) => return Err(error),
        };
        let report = VerifyReport {
            filename: name.clone(),
            verification: if problems.is_empty() { Verification::Verified } else { Verification::Failed },
            level,
            checked_at: self.clock.now(),
            problems,
            drill: None,
            notes: Vec::new(),
        };
        self.remember(&report, FileStamp::from(&data), level).await;
        Ok(report)
    }

    /// Reads every byte, and hands the members and files to `visitor`; `writes_to` is where that writes, so that the
    /// disk is watched.
    pub(super) async fn check_hashes(
        &self,
        name: &BackupName,
        file: std::fs::File,
        visitor: Arc<dyn Visitor + Send>,
        writes_to: Vec<PathBuf>,
        context: &dyn OperationContext,
    ) -> Result<Manifest, BackupError> {
        let total = file.metadata().map(|data| data.len()).ok();
        let reading = move |meter: &Meter| ArchiveReader::open(file)?.read_to_end(visitor.as_ref(), meter);
        let read = watched_on(writes_to, context, "verifying", total, reading).await?;
        let manifest = read.map_err(|flaw| flawed(name, flaw))?;
        if manifest.filename != *name {
            return Err(BackupError::Damaged { name: name.clone(), why: renamed(&manifest.filename) });
        }
        Ok(manifest)
    }

    /// Besides, decodes every dump file and lets `pg_restore` read the table of contents.
    pub(super) async fn check_contents(
        &self,
        name: &BackupName,
        file: std::fs::File,
        context: &dyn OperationContext,
    ) -> Result<(), BackupError> {
        let scratch = self.scratch_directory(context).await?;
        let extract = Extract {
            into: scratch.path().to_owned(),
            only: |member| member.path == format!("{DATABASE}/toc.dat"),
            decode: true,
            inflate: None,
        };
        let manifest = self
            .check_hashes(name, file, Arc::new(extract), vec![scratch.path().to_owned()], context)
            .await?;
        context.report(Progress::phase("reading the table of contents"));
        let tools =
            Tools::able_to_read(&self.settings, self.runner.as_ref(), manifest.client_version).await?;
        let list = tools.list(&scratch.path().join(DATABASE), Path::new("/dev/null"));
        let list = async { self.runner.run(list).await.map_err(BackupError::Command) };
        let output = unless_cancelled(context, list).await?;
        if output.exit.success() {
            return Ok(());
        }
        tracing::warn!(error = ?tools::failure("pg_restore", &output), "a table of contents cannot be read");
        Err(BackupError::Damaged {
            name: name.clone(),
            why: "pg_restore cannot read its table of contents".to_owned(),
        })
    }

    /// A place for a small file, away from the backup directory: that one may be read-only, and others may be at work.
    async fn scratch_directory(&self, context: &dyn OperationContext) -> Result<WorkDirectory, BackupError> {
        let (parent, id) = (self.settings.temporary_directory.clone(), context.id());
        blocking(move || WorkDirectory::create(&parent, id)).await
    }

    /// Remembers what a check of the file with this stamp has found. `redeemed_by` counts where it was found bad.
    pub(super) async fn remember(&self, report: &VerifyReport, stamp: FileStamp, redeemed_by: VerifyLevel) {
        let recorded = self.records.update_checks(|checks| {
            let known = checks.remove(report.filename.as_str()).filter(|known| known.stamp == stamp);
            let drill = report.drill.clone().or_else(|| known.as_ref()?.drill.clone());
            let uploaded = known.as_ref().is_some_and(|known| known.uploaded);
            let record = match known {
                Some(known) if known.outlasts(report.verification, report.level) => known,
                _ => CheckRecord {
                    stamp,
                    verification: report.verification,
                    level: report.level,
                    at: report.checked_at,
                    problems: report.problems.clone(),
                    redeemed_by,
                    drill: None,
                    uploaded,
                },
            };
            checks.insert(report.filename.as_str().to_owned(), CheckRecord { drill, ..record });
        });
        if let Err(error) = recorded.await {
            tracing::warn!(%error, "the result of a verification is not recorded");
        }
    }
}
