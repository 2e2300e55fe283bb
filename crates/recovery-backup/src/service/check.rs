//! Checking a backup.

use recovery_core::{BackupKind, BackupName, Progress, Verification, VerifyLevel, port::OperationContext};

use super::{
    BackupService,
    catalogue::{flawed, legacy, renamed},
};
use crate::{
    BackupError, Manifest, VerifyReport,
    archive::{ArchiveReader, DATABASE, Extract},
    records::{CheckRecord, FileStamp},
    tools::{self, Tools},
    work::{WorkDirectory, blocking, unless_cancelled, watched},
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
        if name.kind() == BackupKind::Legacy {
            return Err(legacy(name));
        }
        let file = self.open(name).await?.file;
        let data = file.metadata().map_err(BackupError::storage("look at a backup", self.path(name)))?;
        let checked = match level {
            VerifyLevel::Hashes => self.check_hashes(name, file, None, context).await.map(drop),
            VerifyLevel::Contents => self.check_contents(name, file, context).await,
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
        };
        self.remember(&report, FileStamp::from(&data)).await;
        Ok(report)
    }

    /// Reads every byte; hands the members to `extract`, where one is given.
    pub(super) async fn check_hashes(
        &self,
        name: &BackupName,
        file: std::fs::File,
        extract: Option<Extract>,
        context: &dyn OperationContext,
    ) -> Result<Manifest, BackupError> {
        let total = file.metadata().map(|data| data.len()).ok();
        let read = watched(context, "verifying", total, move |meter| {
            let reader = ArchiveReader::open(file)?;
            match extract {
                Some(extract) => reader.read_to_end(&extract, meter),
                None => reader.read_to_end(&(), meter),
            }
        });
        let manifest = read.await?.map_err(|flaw| flawed(name, flaw))?;
        if manifest.filename != *name {
            return Err(BackupError::Damaged { name: name.clone(), why: renamed(&manifest.filename) });
        }
        Ok(manifest)
    }

    /// Besides, decodes every dump file and lets `pg_restore` read the table of contents.
    async fn check_contents(
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
        let manifest = self.check_hashes(name, file, Some(extract), context).await?;
        context.report(Progress::phase("reading the table of contents"));
        let tools =
            Tools::able_to_read(&self.settings, self.runner.as_ref(), manifest.client_version).await?;
        let list = tools.list(&scratch.path().join(DATABASE));
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

    async fn remember(&self, report: &VerifyReport, stamp: FileStamp) {
        let recorded = self.records.update_checks(|checks| {
            let name = report.filename.as_str();
            // A quick look that finds nothing does not take away what a thorough one has proven of the same file.
            let kept = checks.get(name).filter(|known| {
                known.stamp == stamp
                    && known.verification == Verification::Verified
                    && report.verification == Verification::Verified
                    && known.level > report.level
            });
            if kept.is_none() {
                checks.insert(
                    name.to_owned(),
                    CheckRecord {
                        stamp,
                        verification: report.verification,
                        level: report.level,
                        at: report.checked_at,
                        problems: report.problems.clone(),
                    },
                );
            }
        });
        if let Err(error) = recorded.await {
            tracing::warn!(%error, "the result of a verification is not recorded");
        }
    }
}
