//! Included directories in a restore and a rollback: staged beside their place while the old ones serve, and switched
//! right after the databases were.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use recovery_core::{Progress, database::DatabaseName, port::OperationContext};
use serde_json::json;
use time::OffsetDateTime;

use super::BackupService;
use crate::{
    BackupError, IncludeName, IncludedDirectory, IncludedFiles, IncludedKeys, KeptDirectory, Member,
    SwitchedDirectory,
    archive::{DATABASE, Extract, Flaw, Visitor},
    files::{Place, Sink, Stage, Staged, Switch, sweep},
    keys,
    records::PendingFiles,
    space,
    work::blocking,
};

/// The staged directories of a restore, and what there is to say about the others.
#[derive(Default)]
pub(super) struct StagedFiles {
    /// Those that are complete.
    pub staged: Vec<Staged>,
    /// In words.
    pub warnings: Vec<String>,
}

/// Directories that are to change together with the databases.
pub(super) trait Directories: Sync {
    /// What is to be done; what is replaced is named by this moment.
    fn switches(&self, at: OffsetDateTime) -> Result<Vec<Switch>, BackupError>;

    /// It is written down: from here on nothing of it may be removed, even if the operation goes away.
    fn announced(&self);
}

impl Directories for StagedFiles {
    fn switches(&self, at: OffsetDateTime) -> Result<Vec<Switch>, BackupError> {
        self.staged.iter().map(|staged| staged.switch(at)).collect()
    }

    fn announced(&self) {
        self.staged.iter().for_each(Staged::release);
    }
}

/// Files that a rollback brings back. Those that are gone are left out.
impl Directories for Vec<KeptDirectory> {
    fn switches(&self, at: OffsetDateTime) -> Result<Vec<Switch>, BackupError> {
        Ok(self.iter().filter_map(|kept| kept.switch(at).ok()).collect())
    }

    fn announced(&self) {}
}

/// A directory as a backup holds it.
pub(super) struct HeldFiles {
    /// What it is called.
    pub name: String,
    /// How many files it has.
    pub files: u64,
    /// How many bytes they take, about.
    pub size: u64,
}

impl From<&IncludedFiles> for HeldFiles {
    fn from(files: &IncludedFiles) -> Self {
        Self { name: files.name.to_string(), files: files.files, size: files.size }
    }
}

/// What is done with the files of an archive that is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// They are staged beside their places.
    Stage,
    /// They are read like everything else, and left.
    Leave,
}

/// An archive being unpacked: its dump into one directory, its included directories each beside its place.
pub(super) struct Unpack {
    dump: Extract,
    stages: BTreeMap<String, Mutex<Option<Stage>>>,
    warnings: Vec<String>,
}

impl Unpack {
    /// Unpacks the dump as `dump` says, and the directories that there is a stage for.
    pub(super) fn new(dump: Extract, (stages, warnings): (Vec<Stage>, Vec<String>)) -> Self {
        let stages = stages.into_iter().map(|stage| (stage.name().to_string(), Mutex::new(Some(stage))));
        Self { dump, stages: stages.collect(), warnings }
    }

    /// Where the files are put.
    pub(super) fn stages_in(&self) -> Vec<PathBuf> {
        self.stages.values().filter_map(|stage| Some(lock(stage).as_ref()?.path().to_owned())).collect()
    }

    /// Why an entry could not be put where it belongs, where one could not.
    pub(super) fn failure(&self) -> Option<BackupError> {
        self.stages.values().find_map(|stage| lock(stage).as_mut()?.failure())
    }

    /// What was staged; takes a while, until it is on disk. Nobody reads the archive any more.
    pub(super) fn finish(&self) -> Result<StagedFiles, BackupError> {
        let stages = self.stages.values().filter_map(|stage| lock(stage).take());
        let staged: Result<_, BackupError> = stages.map(Stage::finish).collect();
        Ok(StagedFiles { staged: staged?, warnings: self.warnings.clone() })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Visitor for Unpack {
    fn member(&self, member: &Member, contents: &mut dyn io::Read) -> Result<(), Flaw> {
        // The lists of checksums are for people.
        if Path::new(&member.path).starts_with(DATABASE) {
            self.dump.member(member, contents)
        } else {
            ().member(member, contents)
        }
    }

    fn keys(&self, keys: &IncludedKeys, contents: &mut dyn io::Read) -> Result<(), Flaw> {
        // Before anything is touched: nothing but keys must come out of it when it is too late to turn back.
        keys::check(&keys.commands.path, keys.keys, contents)
    }

    fn directory(&self, files: &IncludedFiles) -> Box<dyn Sink + '_> {
        match self.stages.get(files.name.as_str()) {
            Some(stage) => Box::new(lock(stage)),
            None => Box::new(()),
        }
    }
}

impl BackupService {
    /// Makes ready for the files of a backup, and refuses what could not succeed. Those that there is no directory for
    /// are left out, and so are those that the backup does not have. `further` are directories that not every backup
    /// has; `besides` is where so many bytes more will be written meanwhile.
    pub(super) async fn begin_staging(
        &self,
        files: Vec<HeldFiles>,
        further: Vec<IncludedDirectory>,
        besides: Option<(&Path, u64)>,
        context: &dyn OperationContext,
    ) -> Result<(Vec<Stage>, Vec<String>), BackupError> {
        let include = self.settings.include.clone();
        let unfinished = self.unfinished_switches().await?;
        let besides = besides.map(|(directory, size)| (directory.to_owned(), size));
        let (backups, id) = (self.settings.directory.clone(), context.id());
        if files.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        blocking(move || {
            let mut warnings = Vec::new();
            let mut places = Vec::new();
            for directory in &include {
                match files.iter().find(|files| files.name == directory.name.as_str()) {
                    Some(files) => places.push((Place::find(directory, &backups)?, files.size)),
                    None => warnings.push(format!(
                        "The backup has no files of {}; that directory is left as it is.",
                        directory.name
                    )),
                }
            }
            for directory in &further {
                let Some(files) = files.iter().find(|files| files.name == directory.name.as_str()) else {
                    continue;
                };
                let place = Place::find(directory, &backups)?;
                match places.iter().find(|(other, _)| other.is_around_or_in(&place)) {
                    Some((other, _)) => warnings.push(format!(
                        "The files of {} are not restored: {} is restored, and one of the two lies in the other.",
                        directory.name, other.name
                    )),
                    None => places.push((place, files.size)),
                }
            }
            let known: Vec<_> = include.iter().chain(&further).cloned().collect();
            for files in
                files.iter().filter(|files| known.iter().all(|known| known.name.as_str() != files.name))
            {
                warnings.push(format!(
                    "The {} file(s) of {} are not restored: BACKUP_INCLUDE names no directory for them here.",
                    files.files, files.name
                ));
            }
            sweep(&known, &unfinished);
            require_room(&places, besides.as_ref())?;
            let stages: Result<_, BackupError> =
                places.into_iter().map(|(place, _)| Stage::begin(place, id)).collect();
            Ok((stages?, warnings))
        })
        .await
    }

    /// The directories that not every backup has, but those of factory resets. None of them has the name of another.
    pub(super) fn further_directories(&self) -> Vec<IncludedDirectory> {
        let include = &self.settings.include;
        let is_further = |directory: &&IncludedDirectory| {
            include.iter().all(|known| known.name != directory.name && known.path != directory.path)
        };
        self.settings.reset_directories.iter().filter(is_further).cloned().collect()
    }

    /// Notes which directories change together with these databases; before the databases do.
    pub(super) async fn announce_files(
        &self,
        live: &DatabaseName,
        retired: Option<&DatabaseName>,
        switches: Vec<Switch>,
        directories: &dyn Directories,
    ) -> Result<Option<PendingFiles>, BackupError> {
        if switches.is_empty() {
            return Ok(None);
        }
        let pending =
            PendingFiles { live: live.clone(), retired: retired.cloned(), switches, swapped: false };
        self.records.set_pending_files(Some(&pending)).await?;
        directories.announced();
        Ok(Some(pending))
    }

    /// Forgets that directories were to follow a database that did not change. Where it is not certain that it did not,
    /// the next start looks.
    pub(super) async fn forget_announced_files(&self, files: Option<&PendingFiles>) {
        if files.is_some()
            && let Err(error) = self.settle_files().await
        {
            tracing::warn!(%error, "whether files are to follow the database is looked at again at the next start");
        }
    }

    /// Switches directories after the databases were. There is no way back from here: what cannot be done is said.
    pub(super) async fn switch_files(
        &self,
        pending: PendingFiles,
        context: &dyn OperationContext,
    ) -> (Vec<SwitchedDirectory>, Vec<String>) {
        let pending = PendingFiles { swapped: true, ..pending };
        if let Err(error) = self.records.set_pending_files(Some(&pending)).await {
            tracing::warn!(%error, "it is not written down that files are to follow now; the databases' names tell it");
        }
        let (mut switched, mut warnings, mut left) = (Vec::new(), Vec::new(), Vec::new());
        context.report(Progress::phase("switching files"));
        for switch in pending.switches.iter().cloned() {
            let name = switch.name.clone();
            let kept = switch.keeps().kept_as();
            let step = json!({ "directory": &name, "kept": &kept });
            self.note(context, "switching files", step.clone()).await;
            let outcome = blocking(move || Ok(settle(&switch))).await;
            match outcome {
                Ok(Outcome::Switched) => {
                    self.note(context, "switched files", step).await;
                    switched.push(SwitchedDirectory { name, kept_as: kept });
                }
                Ok(Outcome::AsBefore(error)) => {
                    tracing::error!(%name, %error, "the files of a directory could not be switched");
                    warnings.push(format!(
                        "The files of {name} could not be replaced and are as before: {error}."
                    ));
                }
                Ok(Outcome::Between(error)) => {
                    tracing::error!(%name, %error, "the files of a directory were switched in part");
                    warnings.push(format!(
                        "The files of {name} were replaced only in part: {error}. Nothing is lost; a restart of the \
                         recovery service carries on."
                    ));
                    left.extend(pending.switches.iter().find(|switch| switch.name == name).cloned());
                }
                Err(error) => {
                    tracing::error!(%name, %error, "the files of a directory were switched in part");
                    left.extend(pending.switches.iter().find(|switch| switch.name == name).cloned());
                }
            }
        }
        let left = (!left.is_empty()).then_some(PendingFiles { switches: left, ..pending });
        if let Err(error) = self.records.set_pending_files(left.as_ref()).await {
            tracing::warn!(%error, "files that were switched are still written down; the next start looks again");
        }
        (switched, warnings)
    }

    pub(super) async fn note(&self, context: &dyn OperationContext, step: &str, facts: serde_json::Value) {
        context.record(step, facts).await.unwrap_or_else(|error| {
            tracing::warn!(%error, step, "the journal does not have a step");
        });
    }

    /// Finishes or undoes what an operation that was cut off, or a swap that failed, has left of included directories.
    /// Returns what was done, in words.
    pub(super) async fn settle_files(&self) -> Result<Vec<String>, BackupError> {
        let Some(pending) = self.records.pending_files().await? else { return Ok(Vec::new()) };
        let databases = self.database.databases().await?;
        let exists = |name: &DatabaseName| databases.iter().any(|entry| entry.name == *name);
        // The names change in one transaction: where the old database has its new name, the other has taken over.
        let swapped = pending.swapped || exists(pending.retired.as_ref().unwrap_or(&pending.live));
        let mut done = Vec::new();
        let mut left = Vec::new();
        for switch in pending.switches.iter().cloned() {
            let name = switch.name.clone();
            if !swapped {
                blocking(move || {
                    switch.abandon();
                    Ok(())
                })
                .await?;
                done.push(format!("the files of {name} are as they were, like the database"));
                continue;
            }
            let again = switch.clone();
            match blocking(move || Ok(settle(&switch))).await? {
                Outcome::Switched => done.push(format!("the files of {name} followed the database")),
                Outcome::AsBefore(error) => done.push(format!(
                    "the files of {name} could not follow the database and are as before: {error}"
                )),
                Outcome::Between(error) => {
                    done.push(format!("the files of {name} are still replaced only in part: {error}"));
                    left.push(again);
                }
            }
        }
        let left = (!left.is_empty()).then_some(PendingFiles { switches: left, swapped, ..pending });
        self.records.set_pending_files(left.as_ref()).await?;
        Ok(done)
    }

    /// Before something else happens to these directories: no work of an earlier operation may be left.
    pub(super) async fn require_settled_files(&self) -> Result<(), BackupError> {
        for done in self.settle_files().await? {
            tracing::warn!("{done}");
        }
        match self.records.pending_files().await?.and_then(|pending| pending.switches.into_iter().next()) {
            None => Ok(()),
            Some(switch) => Err(unsettled(switch.name)),
        }
    }

    /// What is left to do with included directories.
    async fn unfinished_switches(&self) -> Result<Vec<Switch>, BackupError> {
        Ok(self.records.pending_files().await?.map(|pending| pending.switches).unwrap_or_default())
    }

    /// Which directory of these still needs what is kept of it, where one does.
    pub(super) async fn needed_by_unfinished(
        &self,
        kept: &[KeptDirectory],
    ) -> Result<Option<IncludeName>, BackupError> {
        let unfinished = self.unfinished_switches().await?;
        let needed = |kept: &&KeptDirectory| unfinished.iter().any(|switch| kept.is_needed_by(switch));
        Ok(kept.iter().find(needed).map(|kept| kept.name.clone()))
    }

    /// Removes what restores that were cut off have staged. Returns what was removed, in words.
    pub(super) async fn sweep_staged_files(&self) -> Result<Vec<String>, BackupError> {
        let include: Vec<_> =
            self.settings.include.iter().cloned().chain(self.further_directories()).collect();
        let unfinished = self.unfinished_switches().await?;
        let swept = blocking(move || Ok(sweep(&include, &unfinished))).await?;
        Ok(swept.into_iter().map(|name| format!("removed the staged files {name}")).collect())
    }

    /// Removes files that were kept for a rollback that is not possible any more.
    pub(super) async fn remove_kept(&self, kept: Vec<KeptDirectory>) -> Result<(), BackupError> {
        blocking(move || {
            for directory in kept {
                directory
                    .remove()
                    .map_err(BackupError::include("remove the kept files of", &directory.name))?;
            }
            Ok(())
        })
        .await
    }
}

/// Which of these files cannot be brought back, in words.
pub(super) fn words_about_gone(kept: &[KeptDirectory]) -> Vec<String> {
    let gone = |directory: &KeptDirectory| {
        let error = directory.look().err()?;
        Some(format!(
            "The files that {} had before cannot be brought back: {error}. It is left as it is.",
            directory.name
        ))
    };
    kept.iter().filter_map(gone).collect()
}

/// Said where the work of an earlier operation is not done.
pub(super) fn unsettled(name: IncludeName) -> BackupError {
    BackupError::IncludeUnusable {
        name,
        why: "an earlier restore has replaced its files only in part".to_owned(),
        hint: "The log of the recovery service says what is in the way. Mend that, then try again.",
    }
}

/// What became of a switch.
enum Outcome {
    Switched,
    AsBefore(io::Error),
    Between(io::Error),
}

/// Carries a switch out; where it cannot be, takes it back if it is not too late for that.
fn settle(switch: &Switch) -> Outcome {
    let Err(error) = switch.carry_out(&|_| Ok(())) else { return Outcome::Switched };
    match switch.take_back() {
        Ok(true) => {
            switch.abandon();
            Outcome::AsBefore(error)
        }
        Ok(false) | Err(_) => Outcome::Between(error),
    }
}

/// Asks each file system for the room that all directories on it need together, and what is written there besides.
fn require_room(places: &[(Place, u64)], besides: Option<&(PathBuf, u64)>) -> Result<(), BackupError> {
    let mut needed: BTreeMap<u64, (&Path, u64)> = BTreeMap::new();
    if let Some((directory, size)) = besides {
        let data = fs::metadata(directory).map_err(BackupError::storage("look at", directory))?;
        needed.insert(data.dev(), (directory, *size));
    }
    for (place, size) in places {
        let on = if place.target.exists() { Some(place.target.as_path()) } else { place.target.parent() };
        let on = on.unwrap_or(Path::new("/"));
        let device = fs::metadata(on).map_err(BackupError::include("look at", &place.name))?.dev();
        let sum = needed.entry(device).or_insert((on, 0));
        sum.1 = sum.1.saturating_add(*size);
    }
    needed.into_values().try_for_each(|(on, size)| space::require(on, size))
}
