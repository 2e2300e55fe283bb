//! The included directories of this server, as a backup takes them.

use std::io;

use recovery_core::port::OperationContext;

use super::{BackupService, safety::Holds};
use crate::{
    BackupError, IncludeName,
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
        holds: &Holds,
        context: &dyn OperationContext,
    ) -> Result<u64, BackupError> {
        if self.settings.include.is_empty() && holds.directories.is_empty() {
            return Ok(0);
        }
        let (sources, _) = self.open_includes(holds).await?;
        let measured = watched(context, "measuring files", None, move |meter| {
            sources.iter().try_fold(0_u64, |sum, source| {
                let tally = source.measure(meter)?;
                Ok(sum.saturating_add(tally.bytes).saturating_add(tally.entries.saturating_mul(PER_ENTRY)))
            })
        });
        measured.await?.map_err(|error| match error {
            PackError::Stopped => recovery_core::port::Cancelled.into(),
            PackError::LeftOut { name, path, why } => BackupError::LeftOut { name, path, source: why },
            PackError::Io(source) => BackupError::Storage {
                doing: "look at the included directories",
                path: self.settings.directory.clone(),
                source,
            },
        })
    }

    /// Opens the included directories, and those that this backup holds besides. One that is missing or may not be read
    /// is no reason to have no backup of the database; the second result says so, in words. Of one that must be held
    /// whole, it is a reason that it cannot be read, but not that it is missing.
    pub(super) async fn open_includes(
        &self,
        holds: &Holds,
    ) -> Result<(Vec<Source>, Vec<String>), BackupError> {
        let (include, holds) = (self.settings.include.clone(), holds.clone());
        blocking(move || {
            let (mut sources, mut warnings) = (Vec::new(), Vec::new());
            for directory in include.into_iter().chain(holds.directories.iter().cloned()) {
                let (name, path) = (directory.name.clone(), directory.path.clone());
                let whole = holds.must_be_whole(&name);
                match Source::open(directory) {
                    Ok(source) if whole => sources.push(source.whole()),
                    Ok(source) => sources.push(source),
                    Err(error) if whole && error.kind() != io::ErrorKind::NotFound => {
                        return Err(BackupError::include("read", &name)(error));
                    }
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
