//! Restoring: load into a scratch database, compare, swap names. Until the swap the live database serves, and a
//! failure drops the scratch database and nothing else.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use recovery_core::{
    BackupKind, BackupName, OperationId, Progress,
    database::{DatabaseName, RowCounts, ServerFacts},
    port::{DatabaseAdmin, DatabaseError, OperationContext, Swap},
};
use serde_json::json;
use time::OffsetDateTime;

use super::{BackupService, ExclusiveLock, catalogue::legacy, tool_run::Watch};
use crate::{
    BackupError, Manifest, ReplacedDatabase, RestoreReport,
    archive::{ArchiveReader, DATABASE, Extract},
    tools::{LoadRequest, Tools},
    work::{WorkDirectory, blocking, check_cancelled, unless_cancelled},
};

/// How long undoing may take when PostgreSQL answers slowly or not at all.
const UNDO: Duration = Duration::from_secs(60);
/// How long the restored database may take to answer among all the clients that come back.
const PROBE: Duration = Duration::from_secs(10);

impl BackupService {
    /// Replaces the database by the contents of a backup. The one that was there is kept under another name for a
    /// rollback; whatever goes wrong before the swap leaves it as it is.
    pub async fn restore(
        &self,
        lock: &ExclusiveLock,
        name: &BackupName,
        context: &dyn OperationContext,
    ) -> Result<RestoreReport, BackupError> {
        if name.kind() == BackupKind::Legacy {
            return Err(legacy(name));
        }
        context.report(Progress::phase("preparing"));
        let server = self.database.server().await?;
        let manifest = self.manifest(name).await?;
        let tools = Tools::for_server(&self.settings, self.runner.as_ref(), server.version).await?;
        self.check_compatible(name, &manifest, &server, &tools).await?;
        let (work, manifest) = self.unpack(name, context).await?;

        let target = self.database.target()?;
        let live = target.database.clone();
        let scratch = live.scratch(&context.id());
        self.sweep_scratch_databases(&live).await?;
        let created_roles = self.database.create_missing_roles(&manifest.roles).await?;
        context.record("loading", json!({ "scratch": &scratch })).await?;
        let loaded = self.load(&tools, &work, &manifest, &scratch, context).await;
        // The disk is better used for the swap than for the unpacked dump.
        drop(work);
        let swapped = match loaded {
            Ok(()) => self.take_over(lock, &scratch, Some(name), context).await,
            Err(error) => Err(error),
        };
        let swapped = match swapped {
            Ok(swapped) => swapped,
            Err(error) => {
                self.undo(&scratch).await;
                return Err(error);
            }
        };
        Ok(RestoreReport {
            id: context.id(),
            filename: name.clone(),
            restored: true,
            strategy: "swap",
            restored_at: swapped.at,
            kept_until: swapped.replaced.as_ref().map(|replaced| replaced.kept_until),
            replaced_database: swapped.replaced.map(|replaced| replaced.replaced_database),
            tables: manifest.rows.tables.len() as u64,
            rows: manifest.rows.tables.values().sum(),
            warnings: role_warnings(&created_roles)
                .into_iter()
                .chain(silence_warning(swapped.answers))
                .collect(),
            created_roles,
        })
    }

    /// Refuses what could not succeed, before anything is touched.
    async fn check_compatible(
        &self,
        name: &BackupName,
        manifest: &Manifest,
        server: &ServerFacts,
        tools: &Tools,
    ) -> Result<(), BackupError> {
        let refuse = |why: String, hint: &str| {
            Err(BackupError::Incompatible { name: name.clone(), why, hint: hint.to_owned() })
        };
        if manifest.server_version.major() > server.version.major() {
            return refuse(
                format!(
                    "it was made on PostgreSQL {}, and the server is {}",
                    manifest.server_version, server.version
                ),
                "Restore it on a server of the same or a newer major version.",
            );
        }
        if manifest.client_version.major() > tools.version.major() {
            return refuse(
                format!(
                    "it was made by pg_dump {}, which pg_restore {} cannot read",
                    manifest.client_version, tools.version
                ),
                "Restore it on a server of that major version, with its client programs.",
            );
        }
        if !server.may_create_databases {
            return refuse(
                "the role that recovery signs in as may not create databases".to_owned(),
                "Give the role CREATEDB, or let recovery sign in as a superuser.",
            );
        }
        let available = self.database.available_extensions().await?;
        let missing: Vec<&str> = manifest
            .extensions
            .keys()
            .filter(|name| !available.contains_key(*name))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            return refuse(
                format!("the server lacks the extension(s) {}", missing.join(", ")),
                "Install the packages of these extensions on the database server.",
            );
        }
        Ok(())
    }

    /// Unpacks the dump and proves it on the way.
    async fn unpack(
        &self,
        name: &BackupName,
        context: &dyn OperationContext,
    ) -> Result<(WorkDirectory, Manifest), BackupError> {
        let file = self.open(name).await?;
        let (directory, id, needed) = (self.settings.directory.clone(), context.id(), file.size_bytes);
        let instead = self.settings.temporary_directory.clone();
        let file = file.file;
        let name_of_flaw = name.clone();
        let (work, file) = blocking(move || {
            // What the manifest claims is compared with the file's size here, before room is asked for.
            let again = file.try_clone().map_err(BackupError::storage("open a backup", &directory))?;
            ArchiveReader::open(file).map_err(|flaw| super::catalogue::flawed(&name_of_flaw, flaw))?;
            Ok((WorkDirectory::with_room(&directory, &instead, id, needed)?, again))
        })
        .await?;
        rewind(&file).map_err(BackupError::storage("read a backup", self.path(name)))?;
        let extract = Extract { into: work.path().to_owned(), only: |_| true, decode: false };
        let manifest = self.check_hashes(name, file, Some(extract), context).await?;
        Ok((work, manifest))
    }

    /// Fills the scratch database and proves that it holds what the manifest says.
    async fn load(
        &self,
        tools: &Tools,
        work: &WorkDirectory,
        manifest: &Manifest,
        scratch: &DatabaseName,
        context: &dyn OperationContext,
    ) -> Result<(), BackupError> {
        self.database.create_database(scratch, &manifest.profile).await?;
        let application_name = format!("nova-recovery-load-{}", context.id().short());
        let directory = work.path().join(DATABASE);
        let command = tools.load(&LoadRequest {
            target: self.database.target()?,
            application_name: &application_name,
            database: scratch,
            directory: &directory,
            jobs: self.settings.jobs,
        });
        let mut watch = LoadWatch {
            database: self.database.as_ref(),
            scratch,
            total: manifest.database_size_bytes,
            largest: 0,
            context,
        };
        self.run_tool("pg_restore", command, &application_name, context, &mut watch).await?;

        check_cancelled(context)?;
        context.report(Progress::phase("comparing and analyzing"));
        let compare = async {
            let found = self.database.row_counts(scratch, self.settings.jobs).await?;
            compare_rows(&manifest.rows, &found)
        };
        let analyze = async { Ok(self.database.analyze(scratch, self.settings.jobs).await?) };
        unless_cancelled(context, async { tokio::try_join!(compare, analyze).map(drop) }).await?;
        Ok(self.database.apply_profile(scratch, &manifest.profile).await?)
    }

    /// Makes `incoming` the live database, and keeps the present one. `backup` is what `incoming` holds.
    pub(super) async fn take_over(
        &self,
        lock: &ExclusiveLock,
        incoming: &DatabaseName,
        backup: Option<&BackupName>,
        context: &dyn OperationContext,
    ) -> Result<Swapped, BackupError> {
        let live = self.database.target()?.database.clone();
        let at = self.clock.now();
        let existing = self.database.databases().await?;
        let taken = |name: &DatabaseName| existing.iter().any(|entry| entry.name == *name);
        let retired =
            (1..=9999).map(|attempt| live.replaced(at, attempt)).find(|name| !taken(name)).ok_or_else(
                || DatabaseError::TimedOut { doing: "looking for a free database name".to_owned() },
            )?;
        let replaced = taken(&live).then(|| ReplacedDatabase {
            id: context.id(),
            filename: backup.cloned(),
            restored_at: at,
            replaced_database: retired.clone(),
            kept_until: at + self.settings.keep_replaced,
        });
        // Written before the swap, so that no crash can leave a kept database without its history. Until the database
        // exists, nobody is shown the entry.
        if let Some(replaced) = replaced.clone() {
            self.records.update_replaced(move |list| list.push(replaced)).await?;
        }
        self.database.probe(incoming).await?;
        lock.still_held().await?;
        context.seal()?;
        context.report(Progress::phase("swapping"));
        let swap = Swap { live: live.clone(), incoming: incoming.clone(), retired };
        context
            .record(
                "swapping",
                json!({ "live": &swap.live, "incoming": &swap.incoming, "retired": &swap.retired }),
            )
            .await?;
        self.records.set_pending_swap(Some(&swap)).await?;
        let swapped = self.database.swap(&swap).await;
        self.forget_pending_swap().await;
        swapped?;
        context.record("swapped", json!({})).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the journal does not say that the swap was done");
        });
        Ok(Swapped { at, replaced, answers: self.answers(&live).await })
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

    /// Drops scratch databases that restores of the past have left. The caller holds the database's lock, so nobody
    /// works on them.
    pub(super) async fn sweep_scratch_databases(
        &self,
        live: &DatabaseName,
    ) -> Result<Vec<DatabaseName>, BackupError> {
        let mut swept = Vec::new();
        for entry in self.database.databases().await? {
            if entry.name.is_scratch_of(live) {
                match self.database.drop_database(&entry.name).await {
                    Ok(()) => swept.push(entry.name),
                    // It takes room, but must not stand in the way of what comes next.
                    Err(error) => {
                        tracing::warn!(database = %entry.name, %error, "cannot drop a scratch database");
                    }
                }
            }
        }
        Ok(swept)
    }

    async fn undo(&self, scratch: &DatabaseName) {
        let dropped = tokio::time::timeout(UNDO, self.database.drop_database(scratch)).await;
        if !matches!(dropped, Ok(Ok(()))) {
            tracing::warn!(%scratch, "the scratch database is left over; it is dropped when PostgreSQL answers again");
        }
    }
}

/// A swap that was done.
pub(super) struct Swapped {
    /// When, UTC.
    pub at: OffsetDateTime,
    /// The database that was live before, where there was one.
    pub replaced: Option<ReplacedDatabase>,
    /// Whether the new live database has answered since.
    pub answers: bool,
}

fn rewind(mut file: &std::fs::File) -> std::io::Result<()> {
    std::io::Seek::rewind(&mut file)
}

fn silence_warning(answers: bool) -> Option<String> {
    let words = "The restored database is in place, but has not answered a query since. Look at the server's log; a \
                 rollback brings the one before back.";
    (!answers).then(|| words.to_owned())
}

fn role_warnings(created: &[String]) -> Vec<String> {
    if created.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "The server lacked the role(s) {}. They were created without the right to sign in; give them LOGIN and a \
         password where programs need them.",
        created.join(", ")
    )]
}

/// Says where the rows differ, naming at most three tables.
fn compare_rows(expected: &RowCounts, found: &RowCounts) -> Result<(), BackupError> {
    let mut differences = Vec::new();
    let names: BTreeMap<&String, ()> =
        expected.tables.keys().chain(found.tables.keys()).map(|name| (name, ())).collect();
    for name in names.into_keys() {
        match (expected.tables.get(name), found.tables.get(name)) {
            (Some(expected), Some(found)) if expected == found => {}
            (Some(expected), Some(found)) => {
                differences.push(format!("{name} has {found} rows instead of {expected}"));
            }
            (Some(_), None) => differences.push(format!("{name} is missing")),
            (None, _) => differences.push(format!("{name} is in no manifest")),
        }
    }
    if expected.large_objects != found.large_objects {
        differences.push(format!(
            "there are {} large objects instead of {}",
            found.large_objects, expected.large_objects
        ));
    }
    let rest = differences.len().saturating_sub(3);
    differences.truncate(3);
    if rest > 0 {
        differences.push(format!("and {rest} more"));
    }
    if differences.is_empty() { Ok(()) } else { Err(BackupError::RowsDiffer { why: differences.join("; ") }) }
}

/// Watches the scratch database grow.
struct LoadWatch<'a> {
    database: &'a dyn DatabaseAdmin,
    scratch: &'a DatabaseName,
    total: u64,
    largest: u64,
    context: &'a dyn OperationContext,
}

#[async_trait::async_trait]
impl Watch for LoadWatch<'_> {
    // Each look asks the server for a size, which it has to add up.
    const EVERY: Duration = Duration::from_secs(2);
    // The size stands still while a foreign key is checked or an index sorted, for hours where the tables are large.
    // Meanwhile the live database serves, and the operation can be cancelled.
    const STALL: Option<Duration> = None;

    async fn look(&mut self) -> u64 {
        let databases = self.database.databases().await.unwrap_or_default();
        let size = databases
            .into_iter()
            .find(|entry| entry.name == *self.scratch)
            .and_then(|entry| entry.size_bytes);
        self.largest = self.largest.max(size.unwrap_or(0));
        self.context.report(Progress::bytes("loading", self.largest.min(self.total), Some(self.total)));
        self.largest
    }
}

/// What an operation id stands for where the history of a replaced database is lost: the same id for the same name.
pub(super) fn id_from_name(name: &DatabaseName) -> Option<OperationId> {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(name.as_str().as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    hex.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(tables: &[(&str, u64)]) -> RowCounts {
        RowCounts {
            tables: tables.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect(),
            large_objects: 0,
        }
    }

    fn check(expected: &[(&str, u64)], found: &[(&str, u64)], difference: Option<&str>) {
        let result = compare_rows(&counts(expected), &counts(found));
        assert_eq!(
            result.err().map(|error| error.to_string()),
            difference.map(|why| format!("what was loaded differs from the backup: {why}"))
        );
    }

    #[test]
    fn rows_are_compared_table_by_table() {
        check(&[("a", 1), ("b", 2)], &[("a", 1), ("b", 2)], None);
        check(&[("a", 1)], &[("a", 0)], Some("a has 0 rows instead of 1"));
        check(&[("a", 1), ("b", 2)], &[("a", 1)], Some("b is missing"));
        check(&[], &[("a", 1)], Some("a is in no manifest"));
        check(
            &[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)],
            &[],
            Some("a is missing; b is missing; c is missing; and 2 more"),
        );
    }
}
