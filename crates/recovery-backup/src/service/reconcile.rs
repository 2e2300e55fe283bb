//! Clearing up after operations that were cut off: what exists is compared with what the journal says of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use recovery_core::{
    BackupName, OperationId, OperationKind, VerifyLevel, crash_point,
    database::{DatabaseEntry, DatabaseName},
    port::JournalEntry,
};
use time::OffsetDateTime;

use super::{
    BackupService, ExclusiveLock,
    cut_off::{CutOff, Found},
    tool_run::session_name,
};
use crate::{
    BackupError,
    records::{CheckRecord, FileStamp, PendingSwap},
    work::{WorkDirectory, blocking},
};

/// How long the programs of an operation that was cut off are given to end once their sessions are ended.
const PROGRAMS_END: Duration = Duration::from_secs(5);

/// What clearing up found and did.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// Everything that was done, in words, whoever had left it.
    pub done: Vec<String>,
    /// What became of each of the operations that were cut off, in words.
    pub operations: BTreeMap<OperationId, String>,
}

impl BackupService {
    /// Clears up what operations that were cut off have left: their programs, partial archives, scratch databases,
    /// databases that they had closed to sessions. `unfinished` is what the journal says of them; what it does not know
    /// of is found by its name and cleared up as well. May itself be cut off at any moment, and is then begun anew.
    pub async fn reconcile(
        &self,
        _lock: &ExclusiveLock,
        unfinished: &[JournalEntry],
    ) -> Result<Reconciled, BackupError> {
        let cut_off = CutOff::of(unfinished);
        let mut done = Vec::new();
        for operation in &cut_off {
            self.end_programs(operation.id).await?;
        }
        if let Some(swap) = self.records.pending_swap().await {
            done.push(self.finish_swap(&swap).await?);
            crash_point("clear-up:swap-finished");
            self.records.set_pending_swap(None).await?;
        }
        done.extend(self.settle_files().await?);
        done.extend(self.settle_keys().await?);
        done.extend(self.sweep_staged_files().await?);
        done.extend(self.sweep_kept_files().await?);
        let live = self.database.target()?.database.clone();
        let databases = self.database.databases().await?;
        let gone = self.settle_kept(&live, &databases).await;
        done.extend(gone.iter().map(|name| format!("dropped what was left of the replaced database {name}")));
        let mut found = Found {
            half_dropped: databases
                .iter()
                .filter(|entry| entry.is_invalid && !gone.contains(&entry.name))
                .map(|entry| entry.name.clone())
                .collect(),
            databases: databases
                .into_iter()
                .map(|entry| entry.name)
                .filter(|name| !gone.contains(name))
                .collect(),
            dropped: self.sweep_scratch_databases(&live).await?,
            ..Found::default()
        };
        done.extend(found.dropped.iter().map(|scratch| format!("dropped the scratch database {scratch}")));
        crash_point("clear-up:scratch-dropped");
        let directory = self.settings.directory.clone();
        found.removed = blocking(move || WorkDirectory::sweep(&directory)).await?;
        done.extend(found.removed.iter().map(|partial| format!("removed the partial backup {partial}")));
        crash_point("clear-up:partials-removed");
        for operation in &cut_off {
            let Some(name) = operation.backup().and_then(|name| name.parse::<BackupName>().ok()) else {
                continue;
            };
            let uploaded = operation.kind == OperationKind::Upload;
            if self.finish_backup(&name, operation.proven_at(), uploaded).await? {
                found.backups.push(name.to_string());
            }
        }
        let words = |operation: &CutOff| Some((operation.id, operation.words(&found)?));
        Ok(Reconciled { done, operations: cut_off.iter().filter_map(words).collect() })
    }

    /// A program outlives a service that was killed. It ends when its sessions do.
    async fn end_programs(&self, operation: OperationId) -> Result<(), BackupError> {
        for tool in ["dump", "load", "reset"] {
            let (name, give_up) = (session_name(tool, operation), Instant::now() + PROGRAMS_END);
            while self.database.terminate_application(&name).await? > 0 && Instant::now() < give_up {
                tracing::info!(name, "ended the sessions of a program that was left behind");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// A swap is one transaction, so it was done or was not; but the databases may still be closed to sessions.
    async fn finish_swap(&self, step: &PendingSwap) -> Result<String, BackupError> {
        let databases = self.database.databases().await?;
        let entry = |name: &DatabaseName| databases.iter().find(|entry| entry.name == *name);
        for name in [&step.live, &step.retired, &step.incoming] {
            if entry(name).is_some_and(|entry| !entry.accepts_sessions) {
                self.database.open_to_sessions(name).await?;
            }
        }
        Ok(if entry(&step.incoming).is_none() {
            format!(
                "the swap had been done: {} is the new database, the one before is {}",
                step.live, step.retired
            )
        } else {
            format!("the swap had not been done: {} is the database that it was", step.live)
        })
    }

    /// A removal that was cut off has closed its database, which is still good to roll back to; where the server had
    /// begun to drop it, it is good for nothing, and dropped wholly. Says what is gone now.
    async fn settle_kept(&self, live: &DatabaseName, databases: &[DatabaseEntry]) -> BTreeSet<DatabaseName> {
        let mut gone = BTreeSet::new();
        for DatabaseEntry { name, accepts_sessions, is_invalid, .. } in databases {
            if !name.is_replaced_of(live) || (*accepts_sessions && !is_invalid) {
                continue;
            }
            let settled = if *is_invalid {
                self.database.drop_database(name).await
            } else {
                self.database.open_to_sessions(name).await
            };
            match settled {
                Ok(()) if *is_invalid => drop(gone.insert(name.clone())),
                Ok(()) => {}
                Err(error) => tracing::warn!(database = %name, %error, "a replaced database cannot be used"),
            }
        }
        gone
    }

    /// Whether there is this backup. One that got its name after it was proven is noted down as that.
    async fn finish_backup(
        &self,
        name: &BackupName,
        proven_at: Option<OffsetDateTime>,
        uploaded: bool,
    ) -> Result<bool, BackupError> {
        let path = self.path(name);
        let data = blocking(move || match fs::symlink_metadata(&path) {
            Ok(data) => Ok(data.is_file().then_some(data)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BackupError::storage("look at a backup", path)(error)),
        })
        .await?;
        let Some(data) = data else { return Ok(false) };
        if let Some(at) = proven_at {
            let record = CheckRecord::verified(FileStamp::from(&data), VerifyLevel::Hashes, at);
            let record = CheckRecord { uploaded, ..record };
            let noted = self.records.update_checks(|checks| {
                checks.entry(name.to_string()).or_insert(record);
            });
            noted.await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the check of a backup is not recorded");
            });
        }
        Ok(true)
    }
}
