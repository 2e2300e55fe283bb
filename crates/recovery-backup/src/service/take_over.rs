//! Taking over: the swap of two names, in one transaction, and what is written down around it.

use std::time::{Duration, Instant};

use recovery_core::{
    BackupName, OperationId, Progress, crash_point,
    database::DatabaseName,
    port::{DatabaseError, OperationContext, Swap},
};
use serde_json::json;
use time::OffsetDateTime;

use super::{BackupService, ExclusiveLock, files::Directories};
use crate::{BackupError, ReplacedDatabase, SwitchedDirectory, files::Switch, records::KeySource};

/// How long the restored database may take to answer among all the clients that come back.
const PROBE: Duration = Duration::from_secs(10);

/// What is said of a database that is in place and does not answer.
const SILENT: &str = "The database that is live now is in place, but has not answered a query since. Look at the \
                      server's log; a rollback brings the one before back.";
/// Said where files are kept without a database.
const ORPHANED: &str = "There was no database before, so this cannot be rolled back. The files that were replaced are \
                        kept until somebody removes them.";

impl BackupService {
    /// Makes `incoming` the live database, and keeps the present one. `backup` is what `incoming` holds; `following` is
    /// what changes with it.
    pub(super) async fn take_over(
        &self,
        lock: &ExclusiveLock,
        incoming: &DatabaseName,
        backup: Option<&BackupName>,
        following: Following<'_>,
        context: &dyn OperationContext,
    ) -> Result<Swapped, BackupError> {
        let live = self.database.target()?.database.clone();
        let mut warnings = self.check_replaceable().await?;
        let at = self.clock.now();
        let existing = self.database.databases().await?;
        let taken = |name: &DatabaseName| existing.iter().any(|entry| entry.name == *name);
        let retired =
            (1..=9999).map(|attempt| live.replaced(at, attempt)).find(|name| !taken(name)).ok_or_else(
                || DatabaseError::TimedOut { doing: "looking for a free database name".to_owned() },
            )?;
        let switches = following.directories.switches(at)?;
        let replaced = taken(&live).then(|| ReplacedDatabase {
            id: context.id(),
            filename: backup.cloned(),
            restored_at: at,
            replaced_database: retired.clone(),
            kept_until: at + self.settings.keep_replaced,
            files: switches.iter().map(Switch::keeps).collect(),
            keys: following.keys.as_ref().map(|_| self.kept_keys(context.id())),
        });
        // Written before the swap, so that no crash can leave a kept database without its history. Until the database
        // exists, nobody is shown the entry.
        if let Some(replaced) = replaced.clone() {
            self.records.update_replaced(move |list| list.push(replaced)).await?;
        }
        crash_point("take-over:remembered");
        self.database.probe(incoming).await?;
        lock.still_held().await?;
        context.seal()?;
        context.report(Progress::phase("swapping"));
        let swap = Swap { live: live.clone(), incoming: incoming.clone(), retired };
        context
            .record(
                "swapping",
                json!({
                    "live": &swap.live, "incoming": &swap.incoming, "retired": &swap.retired,
                    "replaces": replaced.is_some(),
                }),
            )
            .await?;
        let before = replaced.is_some().then_some(&swap.retired);
        let files = self.announce_files(&live, before, switches, following.directories).await?;
        let keys = self.announce_keys(context.id(), &live, before, following.keys.as_ref()).await;
        let announced = match keys {
            Ok(keys) => self.records.set_pending_swap(Some(&swap)).await.map(|()| keys),
            Err(error) => Err(error),
        };
        let keys = match announced {
            Ok(keys) => keys,
            Err(error) => {
                self.forget_announced_files(files.as_ref()).await;
                self.forget_announced_keys().await;
                return Err(error);
            }
        };
        crash_point("take-over:pending");
        let swapped = self.database.swap(&swap).await;
        crash_point("take-over:swapped");
        self.forget_pending_swap().await;
        if let Err(error) = swapped {
            self.forget_announced_files(files.as_ref()).await;
            self.forget_announced_keys().await;
            return Err(error.into());
        }
        context.record("swapped", json!({})).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the journal does not say that the swap was done");
        });
        let (files, of_files) = match files {
            Some(files) => self.switch_files(files, context).await,
            None => Default::default(),
        };
        warnings.extend(of_files);
        let (keys, of_keys) = match keys {
            Some(keys) => self.write_keys(keys, context).await,
            None => Default::default(),
        };
        warnings.extend(of_keys);
        if replaced.is_none() && !files.is_empty() {
            warnings.push(ORPHANED.to_owned());
        }
        if !self.answers(&live).await {
            warnings.push(SILENT.to_owned());
        }
        Ok(Swapped { at, replaced, files, keys, warnings })
    }

    /// Forgets a swap that is over, unless it has left a database closed to sessions: then the next start opens it.
    async fn forget_pending_swap(&self) {
        let open = self.database.databases().await.is_ok_and(|databases| {
            let live = self.database.target().map(|target| &target.database);
            databases
                .iter()
                .all(|entry| entry.accepts_sessions || live.as_ref().is_ok_and(|live| entry.name != **live))
        });
        if open && let Err(error) = self.records.set_pending_swap(None).await {
            tracing::warn!(%error, "the swap that is over is still written down; the next start looks at it again");
        }
    }

    /// Whether the new live database lets us in. It did before the swap; now every client comes back at once, so it is
    /// given a moment. It is not taken back where it does not: clients may have written to it.
    async fn answers(&self, live: &DatabaseName) -> bool {
        let give_up = Instant::now() + PROBE;
        loop {
            match self.database.probe(live).await {
                Ok(()) => return true,
                Err(error) if Instant::now() > give_up => {
                    tracing::error!(%error, "the restored database is in place, but does not answer");
                    return false;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
}

/// What changes together with the databases.
pub(super) struct Following<'a> {
    /// Directories.
    pub directories: &'a dyn Directories,
    /// What keys of Redis are to hold.
    pub keys: Option<KeySource>,
}

/// A swap that was done.
pub(super) struct Swapped {
    /// When, UTC.
    pub at: OffsetDateTime,
    /// The database that was live before, where there was one.
    pub replaced: Option<ReplacedDatabase>,
    /// The directories that were switched with it.
    pub files: Vec<SwitchedDirectory>,
    /// How many keys of Redis were written.
    pub keys: u64,
    /// What the reader should know besides.
    pub warnings: Vec<String>,
}

/// What an operation id stands for where the history of a replaced database is lost: the same id for the same name.
pub(super) fn id_from_name(name: &DatabaseName) -> Option<OperationId> {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(name.as_str().as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    hex.parse().ok()
}
