//! Backups that go: because somebody says so, or because they have had their time.

use std::{
    fs::{self, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use recovery_core::{BackupInfo, BackupName, Progress, crash_point, port::OperationContext};
use serde_json::json;

use super::{
    BackupService, DirectoryLock,
    catalogue::{missing_or, plain_file, sync_directory},
};
use crate::{
    BackupError, Removal, RetentionReport,
    directory::nofollow,
    records::{DirectoryStamp, Pin, Pins},
    retention::to_remove,
    work::blocking,
};

impl BackupService {
    /// Deletes a backup that is not pinned. Who reads it goes on reading.
    pub async fn delete(&self, _lock: &DirectoryLock, name: &BackupName) -> Result<(), BackupError> {
        self.require_not_needed_for_keys(name).await?;
        let held = self.records.hold_pins().await?;
        let (path, owned) = (self.path(name), name.clone());
        let directory = self.settings.directory.clone();
        blocking(move || {
            plain_file(&path, &owned)?;
            if held.has(&owned) {
                return Err(BackupError::Pinned { name: owned });
            }
            fs::remove_file(&path).map_err(|error| missing_or("delete a backup", &path, &owned, error))?;
            crash_point("delete:removed");
            sync_directory(&directory)
        })
        .await?;
        self.forget(std::slice::from_ref(name)).await;
        Ok(())
    }

    /// Pins a backup, so that it stays until it is unpinned, or unpins it.
    pub async fn set_pinned(&self, name: &BackupName, pinned: bool) -> Result<BackupInfo, BackupError> {
        self.find(name).await?;
        let held = self.records.hold_pins().await?;
        // Nobody deletes it from here on.
        self.find(name).await?;
        let mut pins = held.pins().clone();
        let stamp = self.without_gone(&mut pins).await?;
        if pinned {
            pins.entry(name.to_string()).or_insert(Pin { at: self.clock.now(), directory: stamp });
        } else {
            pins.remove(name.as_str());
        }
        self.records.change_pins(held, &pins).await?;
        self.find(name).await
    }

    /// Deletes the backups that have had their time now that `made` was made. A pinned one stays, and so does one that
    /// somebody reads, in this process or another: it goes after the next success. What a crash leaves is whole: each
    /// backup is there or is not.
    ///
    /// # Errors
    /// Where it cannot be found out what may go; then nothing does.
    pub async fn retain(
        &self,
        _lock: &DirectoryLock,
        made: &BackupName,
        context: &dyn OperationContext,
    ) -> Result<RetentionReport, BackupError> {
        // Not the list's word that nothing is pinned, which also stands for not knowing.
        self.records.pins().await?;
        let live = self.database.target()?.database.to_string();
        let includes = self.include_names();
        let (list, policy) = (self.list().await?, &self.settings.retention);
        let due = to_remove(&list, &live, made, &includes, policy, self.clock.now());
        let mut report = RetentionReport::default();
        if due.is_empty() {
            return Ok(report);
        }
        context.report(Progress::phase("removing old backups"));
        let names: Vec<&BackupName> = due.iter().map(|removal| &removal.filename).collect();
        // Removing goes on where the journal cannot be written: it may be what makes room for it.
        context.record("removing", json!({ "filenames": names })).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the journal does not say which backups are removed");
        });
        for removal in due {
            match self.remove(&removal.filename, false).await {
                Ok(()) => {
                    tracing::info!(backup = %removal.filename, why = %removal.why, "removed");
                    report.removed.push(removal);
                }
                Err(error) => {
                    tracing::warn!(backup = %removal.filename, %error, "has had its time, and stays");
                    report.spared.push(removal);
                }
            }
        }
        let removed: Vec<BackupName> =
            report.removed.iter().map(|Removal { filename, .. }| filename.clone()).collect();
        self.forget(&removed).await;
        Ok(report)
    }

    /// Removes a backup that nobody reads.
    pub(super) async fn remove(&self, name: &BackupName, even_pinned: bool) -> Result<(), BackupError> {
        self.require_not_needed_for_keys(name).await?;
        let held = self.records.hold_pins().await?;
        let (path, directory, name) = (self.path(name), self.settings.directory.clone(), name.clone());
        blocking(move || {
            if !even_pinned && held.has(&name) {
                return Err(BackupError::Pinned { name });
            }
            remove_unless_read(&path, &name)?;
            crash_point("retain:removed");
            sync_directory(&directory)
        })
        .await
    }

    /// Forgets what was remembered of backups that are gone.
    pub(super) async fn forget(&self, names: &[BackupName]) {
        if let Err(error) = self.records.forget(names).await {
            // A record names the file's size and time, so it says nothing about another file of that name.
            tracing::warn!(%error, "the records of deleted backups stay");
        }
        let pins = async {
            let held = self.records.hold_pins().await?;
            let mut pins = held.pins().clone();
            self.without_gone(&mut pins).await?;
            self.records.change_pins(held, &pins).await
        };
        if let Err(error) = pins.await {
            tracing::warn!(%error, "the pins of backups that are gone stay");
        }
    }

    /// Takes away the pins of backups that are gone, and tells which directory this is.
    async fn without_gone(&self, pins: &mut Pins) -> Result<DirectoryStamp, BackupError> {
        let (directory, mut before) = (self.settings.directory.clone(), std::mem::take(pins));
        let (stamp, left) = blocking(move || {
            let data = fs::metadata(&directory).map_err(BackupError::storage("look", &directory))?;
            let stamp = DirectoryStamp::from(&data);
            let is_gone = |name: &str| {
                let found = fs::symlink_metadata(directory.join(name));
                found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
            };
            before.retain(|name, pin| pin.directory != stamp || !is_gone(name));
            Ok((stamp, before))
        })
        .await?;
        *pins = left;
        Ok(stamp)
    }
}

/// Who reads a backup holds its lock, shared.
fn remove_unless_read(path: &Path, name: &BackupName) -> Result<(), BackupError> {
    plain_file(path, name)?;
    let failed = |error| missing_or("delete a backup", path, name, error);
    // Some network file systems lock a file against others only where it may be written.
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(nofollow()).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => fs::remove_file(path).map_err(failed),
        Err(TryLockError::WouldBlock) => Err(BackupError::BeingRead { name: name.clone() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
