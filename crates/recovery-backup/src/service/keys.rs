//! Keys of Redis in a restore and a rollback: written back right after the databases were swapped. What they held
//! before is noted first, for a rollback.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use recovery_core::{
    BackupName, ErrorCode, OperationId, Problem, Progress, crash_point,
    database::DatabaseName,
    port::{KeyValueError, OperationContext},
};
use serde_json::json;

use super::{
    BackupService, ExclusiveLock,
    catalogue::{flawed, sync_directory},
};
use crate::{
    BackupError, KeptKeys, Manifest,
    archive::{ArchiveReader, Flaw},
    keys::{Batch, Batches, StoredKeys, write_restore, write_unlink},
    records::{FileStamp, KeySource, PendingKeys},
    space,
    work::{Meter, blocking},
};

/// The name of the directory in which is noted what keys held before an operation, without its id.
const BEFORE: &str = ".keys-before-";
/// The same, while it is written: swept like everything else that is not complete.
const NOTING: &str = ".partial-keys-";

impl BackupService {
    /// Refuses an archive whose keys could not be written back, before anything is done. Returns where they come from;
    /// `None` where it has none.
    pub(super) async fn keys_of_archive(
        &self,
        name: &BackupName,
        manifest: &Manifest,
    ) -> Result<Option<KeySource>, BackupError> {
        if manifest.redis.is_empty() {
            return Ok(None);
        }
        manifest.redis.iter().try_for_each(|keys| self.check_database(keys.database))?;
        self.keys()?.databases().await?;
        self.require_settled_keys().await?;
        Ok(Some(KeySource::Backup { name: name.clone(), stamp: self.stamp(name).await? }))
    }

    /// What a rollback of this restore writes back, with what the reader should know; refuses where that cannot be done
    /// now.
    pub(super) async fn keys_before(
        &self,
        restore: OperationId,
        kept: Option<&KeptKeys>,
    ) -> Result<(Option<KeySource>, Vec<String>), BackupError> {
        let Some(KeptKeys { directory }) = kept else { return Ok((None, Vec::new())) };
        self.keys()?.databases().await?;
        if let Err(error) = self.require_settled_keys().await {
            // What this very restore has not written need not be written to be taken back.
            let own = self.records.pending_keys().await?.is_some_and(|pending| pending.id == restore);
            if !own {
                return Err(error);
            }
            tracing::warn!(%error, "keys that the restore has not written are taken back as far as it has");
        }
        if is_there(directory.clone()).await? {
            return Ok((Some(KeySource::Kept { directory: directory.clone() }), Vec::new()));
        }
        let unwritten = self.records.pending_keys().await?.is_some_and(|pending| pending.id == restore);
        // Nothing was noted, so nothing was written: they are what they were.
        let gone = "What the keys of Redis held before cannot be brought back: it is not there any more. They are left as \
                    they are.";
        Ok((None, if unwritten { Vec::new() } else { vec![gone.to_owned()] }))
    }

    /// What there will be of the keys for a rollback of this operation.
    pub(super) fn kept_keys(&self, id: OperationId) -> KeptKeys {
        KeptKeys { directory: self.settings.directory.join(format!("{BEFORE}{}", id.short())) }
    }

    /// Notes that keys change together with these databases; before the databases do.
    pub(super) async fn announce_keys(
        &self,
        id: OperationId,
        live: &DatabaseName,
        retired: Option<&DatabaseName>,
        source: Option<&KeySource>,
    ) -> Result<Option<PendingKeys>, BackupError> {
        let Some(source) = source else { return Ok(None) };
        let pending = self.pending_keys(id, live, retired, source);
        self.records.set_pending_keys(Some(&pending)).await?;
        Ok(Some(pending))
    }

    /// What is written down of keys before they follow.
    pub(super) fn pending_keys(
        &self,
        id: OperationId,
        live: &DatabaseName,
        retired: Option<&DatabaseName>,
        source: &KeySource,
    ) -> PendingKeys {
        PendingKeys {
            id,
            live: live.clone(),
            retired: retired.cloned(),
            source: source.clone(),
            keep_in: Some(self.kept_keys(id).directory),
            swapped: false,
            written: false,
        }
    }

    /// Writes keys back after the databases were swapped, and says how many. There is no way back from here: what
    /// cannot be done now is said, and done later.
    pub(super) async fn write_keys(
        &self,
        pending: PendingKeys,
        context: &dyn OperationContext,
    ) -> (u64, Vec<String>) {
        let pending = PendingKeys { swapped: true, ..pending };
        if let Err(error) = self.records.set_pending_keys(Some(&pending)).await {
            tracing::warn!(%error, "it is not written down that keys are to follow now; the databases' names tell it");
        }
        context.report(Progress::phase("writing keys"));
        self.note(context, "writing keys", json!({ "kept": &pending.keep_in.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy()) })).await;
        match self.carry_keys_out(&pending).await {
            Ok(keys) => {
                self.note(context, "wrote keys", json!({ "keys": keys })).await;
                let orphaned = pending.retired.is_none().then(|| {
                    format!(
                        "What the keys of Redis held before is in {} in the backup directory, as commands for redis-cli -n N \
                         --pipe, and stays there until somebody removes it.",
                        self.kept_keys(pending.id).kept_as()
                    )
                });
                (keys, orphaned.into_iter().collect())
            }
            Err(error) => {
                let why = Problem::from_words(ErrorCode::Internal, &error).detail;
                tracing::error!(%error, "keys of Redis could not be written back");
                let words = format!(
                    "The keys of Redis are not all written back: {why} The recovery service tries again every ten \
                     minutes and at each start."
                );
                (0, vec![words])
            }
        }
    }

    /// Forgets that keys were to follow a database that did not change. Where it is not certain that it did not, the
    /// next start looks.
    pub(super) async fn forget_announced_keys(&self) {
        if let Err(error) = self.settle_keys().await {
            tracing::warn!(%error, "whether keys are to follow the database is looked at again at the next start");
        }
    }

    /// Whether keys of Redis are still to be written back after a restore or rollback, because Redis was away.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub async fn has_unwritten_keys(&self) -> Result<bool, BackupError> {
        Ok(self.records.pending_keys().await?.is_some())
    }

    /// Writes back what keys of Redis a restore or rollback could not. Returns what was done, in words.
    ///
    /// # Errors
    /// Where PostgreSQL or the state directory does not answer; that Redis does not is no error, but said.
    pub async fn finish_keys(&self, _lock: &ExclusiveLock) -> Result<Vec<String>, BackupError> {
        self.settle_keys().await
    }

    /// Finishes or forgets what an operation that was cut off, or a Redis that was away, has left of keys. Returns what
    /// was done, in words.
    pub(super) async fn settle_keys(&self) -> Result<Vec<String>, BackupError> {
        Ok(match self.settle_or_fail().await? {
            (done, None) => done,
            (done, Some(error)) => {
                let words = format!("the keys of Redis are still not all written back: {error}");
                done.into_iter().chain([words]).collect()
            }
        })
    }

    /// What was done, in words, and why it could not be.
    async fn settle_or_fail(&self) -> Result<(Vec<String>, Option<BackupError>), BackupError> {
        let Some(pending) = self.records.pending_keys().await? else { return Ok((Vec::new(), None)) };
        let databases = self.database.databases().await?;
        let exists = |name: &DatabaseName| databases.iter().any(|entry| entry.name == *name);
        // As with files: where the old database has its new name, the other has taken over.
        if !pending.swapped && !exists(pending.retired.as_ref().unwrap_or(&pending.live)) {
            self.records.set_pending_keys(None).await?;
            return Ok((vec!["the keys of Redis are as they were, like the database".to_owned()], None));
        }
        match self.carry_keys_out(&PendingKeys { swapped: true, ..pending }).await {
            Ok(keys) => Ok((vec![format!("{keys} keys of Redis followed the database")], None)),
            Err(error) if is_hopeless(&error) => {
                tracing::error!(%error, "keys of Redis cannot be written back any more");
                self.records.set_pending_keys(None).await?;
                Ok((vec![format!("the keys of Redis cannot be written back any more: {error}")], None))
            }
            Err(error) => Ok((Vec::new(), Some(error))),
        }
    }

    /// Before other keys are written: those of an earlier operation must not be left, unless Redis does not take them.
    async fn require_settled_keys(&self) -> Result<(), BackupError> {
        let (done, failed) = self.settle_or_fail().await?;
        for done in done {
            tracing::warn!("{done}");
        }
        match failed {
            Some(BackupError::Keys(KeyValueError::Refused { source })) => {
                tracing::warn!(%source, "keys of an earlier restore that Redis does not take are given up");
                Ok(())
            }
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Refuses to remove a backup whose keys are still to be written back.
    pub(super) async fn require_not_needed_for_keys(&self, name: &BackupName) -> Result<(), BackupError> {
        match self.records.pending_keys().await?.map(|pending| pending.source) {
            Some(KeySource::Backup { name: needed, .. }) if needed == *name => {
                Err(BackupError::BeingRead { name: needed })
            }
            _ => Ok(()),
        }
    }

    /// Does what is left to do, from whatever moment on, and says how many keys hold again what they are to hold.
    async fn carry_keys_out(&self, pending: &PendingKeys) -> Result<u64, BackupError> {
        let mut written = 0;
        if !pending.written {
            let stored = self.stored_keys(&pending.source).await?;
            if let Some(keep_in) = &pending.keep_in
                && !is_there(keep_in.clone()).await?
            {
                self.note_present(&stored, pending.id, keep_in).await?;
            }
            crash_point("keys:kept");
            for keys in &stored {
                let mut batches = Reading::begin(keys, &pending.source)?;
                while let Some(Batch { restore, unlink }) = batches.next().await? {
                    written += restore.len() as u64;
                    self.keys()?.restore(keys.database, &restore).await?;
                    self.keys()?.unlink(keys.database, &unlink).await?;
                }
            }
            crash_point("keys:written");
            let done = PendingKeys { written: true, ..pending.clone() };
            self.records.set_pending_keys(Some(&done)).await?;
        }
        if let KeySource::Kept { directory } = &pending.source {
            remove_kept_keys(directory.clone()).await?;
        }
        self.records.set_pending_keys(None).await?;
        Ok(written)
    }

    /// The keys of a source, proven as far as they can be.
    async fn stored_keys(&self, source: &KeySource) -> Result<Vec<StoredKeys>, BackupError> {
        match source.clone() {
            KeySource::Kept { directory } => {
                blocking(move || {
                    StoredKeys::in_directory(&directory)
                        .map_err(BackupError::storage("read what keys held", directory))
                })
                .await
            }
            KeySource::Backup { name, stamp } => {
                let file = self.open(&name).await?.file;
                blocking(move || {
                    let data =
                        file.metadata().map_err(BackupError::storage("look at a backup", name.as_str()))?;
                    if FileStamp::from(&data) != stamp {
                        return Err(BackupError::NotFound { name });
                    }
                    let keys = ArchiveReader::open(file).and_then(|archive| archive.keys(&Meter::default()));
                    keys.map_err(|flaw| flawed(&name, flaw))
                })
                .await
            }
        }
    }

    /// Notes what these keys hold now, for a rollback; complete and on disk when it has its name.
    async fn note_present(
        &self,
        stored: &[StoredKeys],
        id: OperationId,
        keep_in: &Path,
    ) -> Result<(), BackupError> {
        let noting = self.settings.directory.join(format!("{NOTING}{}", id.short()));
        remove_kept_keys(noting.clone()).await?;
        let directory = noting.clone();
        blocking(move || fs::create_dir(&directory).map_err(noting_failed(&directory))).await?;
        for keys in stored {
            let path = noting.join(StoredKeys::file_name(keys.database));
            let created = path.clone();
            let mut file =
                blocking(move || fs::File::create_new(&created).map_err(noting_failed(&created))).await?;
            let mut batches = Reading::of(keys, "what keys are to hold")?;
            while let Some(batch) = batches.next().await? {
                let bytes = self.present(keys.database, &batch).await?;
                let path = path.clone();
                file = blocking(move || {
                    space::check(path.parent().unwrap_or(Path::new("/")))?;
                    file.write_all(&bytes).map_err(noting_failed(&path))?;
                    Ok(file)
                })
                .await?;
            }
            blocking(move || file.sync_all().map_err(noting_failed(&path))).await?;
        }
        let (directory, keep_in) = (self.settings.directory.clone(), keep_in.to_owned());
        blocking(move || {
            sync_directory(&noting)?;
            fs::rename(&noting, &keep_in).map_err(noting_failed(&noting))?;
            sync_directory(&directory)
        })
        .await
    }

    /// Commands that make these keys what they are now.
    async fn present(&self, database: u8, batch: &Batch) -> Result<Vec<u8>, BackupError> {
        let failed = || noting_failed(&self.settings.directory);
        let (mut bytes, names) = (Vec::new(), batch.names());
        let mut left = names.as_slice();
        while !left.is_empty() {
            let dump = self.keys()?.dump(database, left).await?;
            let (asked, rest) = left.split_at(dump.answered.clamp(1, left.len()));
            for key in &dump.keys {
                write_restore(&mut bytes, key).map_err(failed())?;
            }
            for key in asked.iter().filter(|key| dump.keys.iter().all(|there| there.key != **key)) {
                write_unlink(&mut bytes, key).map_err(failed())?;
            }
            left = rest;
        }
        Ok(bytes)
    }

    /// Removes what was noted for a rollback that is not possible any more, and does not note it any more where that is
    /// still to be done.
    pub(super) async fn forget_kept_keys(&self, kept: Option<&KeptKeys>) -> Result<(), BackupError> {
        let Some(KeptKeys { directory }) = kept else { return Ok(()) };
        if let Some(pending) = self.records.pending_keys().await?
            && pending.keep_in.as_ref() == Some(directory)
        {
            let pending = PendingKeys { keep_in: None, ..pending };
            self.records.set_pending_keys(Some(&pending)).await?;
        }
        remove_kept_keys(directory.clone()).await
    }
}

fn noting_failed(path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    BackupError::storage("note what keys held", path.to_owned())
}

async fn is_there(directory: PathBuf) -> Result<bool, BackupError> {
    blocking(move || match fs::symlink_metadata(&directory) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(BackupError::storage("look for what keys held", directory)(error)),
    })
    .await
}

async fn remove_kept_keys(directory: PathBuf) -> Result<(), BackupError> {
    blocking(move || match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BackupError::storage("remove what keys held", directory)(error))
        }
        _ => Ok(()),
    })
    .await
}

/// Whether trying again cannot help: what the keys are to hold is gone or damaged.
fn is_hopeless(error: &BackupError) -> bool {
    match error {
        BackupError::NotFound { .. } | BackupError::Damaged { .. } | BackupError::Incompatible { .. } => true,
        BackupError::Storage { doing: "read what keys held", source, .. } => {
            source.kind() == io::ErrorKind::NotFound
        }
        _ => false,
    }
}

/// Keys that are read a few at a time, away from the tasks.
struct Reading {
    batches: Option<Batches>,
    what: String,
}

impl Reading {
    fn begin(keys: &StoredKeys, source: &KeySource) -> Result<Self, BackupError> {
        match source {
            KeySource::Backup { name, .. } => Self::of(keys, name.as_str()),
            KeySource::Kept { .. } => Self::of(keys, "what keys held"),
        }
    }

    fn of(keys: &StoredKeys, what: &str) -> Result<Self, BackupError> {
        let batches = keys.batches().map_err(BackupError::storage("read keys", what))?;
        Ok(Self { batches: Some(batches), what: what.to_owned() })
    }

    async fn next(&mut self) -> Result<Option<Batch>, BackupError> {
        let Some(mut batches) = self.batches.take() else { return Ok(None) };
        let what = self.what.clone();
        let (batches, batch) = blocking(move || {
            let batch = batches.next().map_err(|flaw| match flaw {
                Flaw::Io(error) => BackupError::storage("read keys", what)(error),
                flaw => BackupError::storage("read keys", what)(io::Error::other(flaw)),
            })?;
            Ok((batches, batch))
        })
        .await?;
        self.batches = Some(batches);
        Ok(batch)
    }
}
