//! The included directories of this server, as a backup takes them.

use recovery_core::port::OperationContext;

use super::BackupService;
use crate::{
    BackupError, IncludeName, IncludedFiles,
    files::{PackError, Source},
    work::{blocking, watched},
};

/// What an entry takes in an archive besides its contents, in bytes: two headers, a piece of padding, and its line in
/// the list of checksums.
const PER_ENTRY: u64 = 2048;

impl BackupService {
    /// What the directories are called that belong to every backup.
    #[must_use]
    pub fn include_names(&self) -> Vec<IncludeName> {
        self.settings.include.iter().map(|directory| directory.name.clone()).collect()
    }

    /// How many bytes the included directories take in an archive, going by what they hold now.
    pub(super) async fn expected_size_of_includes(
        &self,
        context: &dyn OperationContext,
    ) -> Result<u64, BackupError> {
        if self.settings.include.is_empty() {
            return Ok(0);
        }
        let (sources, _) = self.open_includes().await?;
        let measured = watched(context, "measuring files", None, move |meter| {
            sources.iter().try_fold(0_u64, |sum, source| {
                let tally = source.measure(meter)?;
                Ok(sum.saturating_add(tally.bytes).saturating_add(tally.entries.saturating_mul(PER_ENTRY)))
            })
        });
        measured.await?.map_err(|error| match error {
            PackError::Stopped => recovery_core::port::Cancelled.into(),
            PackError::Io(source) => BackupError::Storage {
                doing: "look at the included directories",
                path: self.settings.directory.clone(),
                source,
            },
        })
    }

    /// Opens the included directories. One that is missing or may not be read is no reason to have no backup of the
    /// database; the second result says so, in words.
    pub(super) async fn open_includes(&self) -> Result<(Vec<Source>, Vec<String>), BackupError> {
        let include = self.settings.include.clone();
        blocking(move || {
            let (mut sources, mut warnings) = (Vec::new(), Vec::new());
            for directory in include {
                let (name, path) = (directory.name.clone(), directory.path.clone());
                match Source::open(directory) {
                    Ok(source) => sources.push(source),
                    Err(error) => {
                        tracing::warn!(path = %path.display(), %error, "an included directory cannot be read");
                        warnings.push(format!("{name}: the directory cannot be read, and is left out: {error}"));
                    }
                }
            }
            Ok((sources, warnings))
        })
        .await
    }
}

/// How many bytes of an archive are not of the database.
pub(super) fn size_of_files(files: &[IncludedFiles]) -> u64 {
    files.iter().fold(0, |sum, files| sum.saturating_add(files.size).saturating_add(files.sums.size))
}
