//! The directories that an archive of the earlier service may hold beside its script, on their way to their places.

use std::{
    io::{self, Read},
    path::PathBuf,
};

use recovery_core::port::OperationContext;

use super::{
    BackupService,
    files::{HeldFiles, StagedFiles},
};
use crate::{
    BackupError,
    archive::Flaw,
    files::{Entry, Sink, Stage, shown},
    legacy::{FileEntry, Item, Survey},
};

/// How many things that were left out are named.
const NAMED: usize = 5;

/// Directories of an archive being staged.
#[derive(Default)]
pub(super) struct LegacyFiles {
    stages: Vec<Stage>,
    warnings: Vec<String>,
    left_out: Vec<String>,
    left_out_count: usize,
}

impl LegacyFiles {
    /// Puts one thing where it belongs; what there is no directory for is let go.
    pub(super) fn take(&mut self, entry: FileEntry, contents: &mut dyn Read) -> Result<(), Flaw> {
        let Some(stage) = self.stages.iter_mut().find(|stage| stage.name().as_str() == entry.directory)
        else {
            return Ok(());
        };
        let (path, put) = match entry.item {
            Item::Entry(entry) => {
                let put = stage.entry(&entry, contents);
                let Entry { path, .. } = entry;
                (path, put)
            }
            Item::SecondName { path, of } => {
                let put = stage.second_name(&path, &of);
                (path, put)
            }
            Item::LeftOut(what) => {
                self.left_out_count += 1;
                if self.left_out.len() < NAMED {
                    self.left_out.push(what);
                }
                return Ok(());
            }
        };
        put.map_err(|error| match error.kind() {
            // In the empty directory that is being filled, only the archive itself can be the reason.
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory | io::ErrorKind::NotFound => {
                Flaw::Damaged(format!(
                    "{}/{} stands where it cannot be: twice, below what is no directory, or as another name of \
                     nothing",
                    entry.directory,
                    shown(&path)
                ))
            }
            _ => Flaw::Io(error),
        })
    }

    /// Where they are put.
    pub(super) fn stages_in(&self) -> Vec<PathBuf> {
        self.stages.iter().map(|stage| stage.path().to_owned()).collect()
    }

    /// What is said where the archive could not be read to its end, or not be staged.
    pub(super) fn failure(&mut self, flaw: &Flaw) -> Option<BackupError> {
        match flaw {
            Flaw::Io(_) => self.stages.iter_mut().find_map(Stage::failure),
            _ => None,
        }
    }

    /// What was staged; takes a while, until it is on disk.
    pub(super) fn finish(mut self) -> Result<StagedFiles, BackupError> {
        if self.left_out_count > 0 {
            let more = if self.left_out_count > self.left_out.len() { ", …" } else { "" };
            self.warnings.push(format!(
                "{} link(s), device(s) or pipe(s) of the archive that lead out of their directory or hold no data \
                 were left out: {}{more}.",
                self.left_out_count,
                self.left_out.join(", "),
            ));
        }
        let staged: Result<_, BackupError> = self.stages.into_iter().map(Stage::finish).collect();
        Ok(StagedFiles { staged: staged?, warnings: self.warnings })
    }
}

impl BackupService {
    /// Makes ready for the directories of an archive, and refuses what could not succeed.
    pub(super) async fn begin_legacy_files(
        &self,
        survey: &Survey,
        context: &dyn OperationContext,
    ) -> Result<LegacyFiles, BackupError> {
        let held = survey.directories.iter().map(|(name, (files, bytes))| HeldFiles {
            name: (*name).to_owned(),
            files: *files,
            size: *bytes,
        });
        let (stages, warnings) = self.begin_staging(held.collect(), Vec::new(), None, context).await?;
        Ok(LegacyFiles { stages, warnings, ..LegacyFiles::default() })
    }
}
