//! Filling a scratch database from an archive, and proving that it holds what the manifest says.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use recovery_core::{
    BackupName, OperationId, Progress, crash_point,
    database::{DatabaseName, RowCounts},
    port::{DatabaseAdmin, DatabaseError, OperationContext},
};

use super::{
    BackupService,
    files::{Files, HeldFiles, StagedFiles, Unpack},
    tool_run::{Watch, session_name},
};
use crate::{
    BackupError, Manifest,
    archive::{ArchiveReader, DATABASE, Extract, Room},
    space,
    tools::{LoadRequest, Tools},
    work::{WorkDirectory, blocking, check_cancelled, unless_cancelled},
};

/// How long undoing may take when PostgreSQL answers slowly or not at all.
const UNDO: Duration = Duration::from_secs(60);

impl BackupService {
    /// Unpacks the dump and proves the whole archive on the way.
    pub(super) async fn unpack(
        &self,
        name: &BackupName,
        files: Files,
        context: &dyn OperationContext,
    ) -> Result<(WorkDirectory, Manifest, StagedFiles), BackupError> {
        let file = self.open(name).await?;
        let (directory, id) = (self.settings.directory.clone(), context.id());
        let size = file.size_bytes;
        let instead = self.settings.temporary_directory.clone();
        let file = file.file;
        let name_of_flaw = name.clone();
        let (work, file, claimed, dump) = blocking(move || {
            // What the manifest claims is compared with the file's size here, before room is asked for.
            let again = file.try_clone().map_err(BackupError::storage("open a backup", &directory))?;
            let archive =
                ArchiveReader::open(file).map_err(|flaw| super::catalogue::flawed(&name_of_flaw, flaw))?;
            let claimed = archive.manifest().clone();
            let needed = size.saturating_sub(claimed.size_besides_dump());
            Ok((WorkDirectory::with_room(&directory, &instead, id, needed)?, again, claimed, needed))
        })
        .await?;
        crash_point("unpack:room-found");
        rewind(&file).map_err(BackupError::storage("read a backup", self.path(name)))?;
        let pass = async |file, inflate: Option<Arc<Room>>| {
            let stages = match files {
                Files::Stage => {
                    let held = claimed.files.iter().map(HeldFiles::from).collect();
                    self.begin_staging(held, self.further_directories(), Some((work.path(), dump)), context)
                        .await?
                }
                Files::Leave => Default::default(),
            };
            let into = work.path().to_owned();
            let extract = Extract { into, only: |_| true, decode: false, inflate };
            let unpack = Arc::new(Unpack::new(extract, stages));
            let writes_to = unpack.stages_in().into_iter().chain([work.path().to_owned()]).collect();
            let checked = self.check_hashes(name, file, Arc::clone(&unpack) as _, writes_to, context).await;
            let manifest = checked.map_err(|error| unpack.failure().unwrap_or(error))?;
            Ok::<_, BackupError>((manifest, blocking(move || unpack.finish()).await?))
        };
        let staged = if files == Files::Stage { claimed.size_of_files() } else { 0 };
        if let Some(room) = room_to_inflate(claimed.database_size_bytes, staged, work.path())? {
            let again = file.try_clone().map_err(BackupError::storage("read a backup", self.path(name)))?;
            match pass(again, Some(Arc::clone(&room))).await {
                Err(_) if room.is_exceeded() => {}
                done => return done.map(|(manifest, files)| (work, manifest, files)),
            }
            tracing::info!("the dump is larger than it seemed; it is unpacked as it is");
            let unpacked = work.path().join(DATABASE);
            blocking(move || {
                fs::remove_dir_all(&unpacked).map_err(BackupError::storage("unpack a backup", &unpacked))
            })
            .await?;
            rewind(&file).map_err(BackupError::storage("read a backup", self.path(name)))?;
        }
        let (manifest, files) = pass(file, None).await?;
        Ok((work, manifest, files))
    }

    /// Fills the scratch database and proves that it holds what the manifest says.
    pub(super) async fn load(
        &self,
        tools: &Tools,
        work: &WorkDirectory,
        manifest: &Manifest,
        scratch: &DatabaseName,
        context: &dyn OperationContext,
    ) -> Result<(), BackupError> {
        self.database.create_database(scratch, &manifest.profile).await?;
        crash_point("load:created");
        let server = self.database.server().await?.version;
        if tools.cannot_load_into(server) {
            self.load_by_script(tools, work, scratch, context).await?;
        } else {
            self.load_by_program(tools, work, manifest, scratch, context).await?;
        }
        crash_point("load:loaded");

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

    async fn load_by_program(
        &self,
        tools: &Tools,
        work: &WorkDirectory,
        manifest: &Manifest,
        scratch: &DatabaseName,
        context: &dyn OperationContext,
    ) -> Result<(), BackupError> {
        let application_name = session_name("load", context.id());
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
        match self.run_tool("pg_restore", command, &application_name, context, &mut watch).await {
            Err(failed @ BackupError::ToolFailed { .. }) => Err(self.or_the_server(failed).await),
            done => done,
        }
    }

    /// A load fails when the server's disk is full, and what `pg_restore` says of it depends on the server's language;
    /// so the server is asked to write a little more, while what was loaded is still there. Where it does not do even
    /// that, for whatever reason, the failure may be the server's.
    async fn or_the_server(&self, mut failure: BackupError) -> BackupError {
        let writes_a_little = async {
            let target = self.database.target()?;
            let probe = target.database.scratch(&OperationId::new());
            let profile = self.database.profile(&target.database).await?;
            let made = self.database.create_database(&probe, &profile).await;
            self.undo(&probe).await;
            made
        };
        match writes_a_little.await {
            Err(error @ DatabaseError::DiskFull { .. }) => return error.into(),
            Err(error) => {
                tracing::warn!(%error, "after the failure of a load the server made no database, either");
                if let BackupError::ToolFailed { circumstances, .. } = &mut failure {
                    *circumstances = true;
                }
            }
            Ok(()) => {}
        }
        failure
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

    /// Drops a scratch database that is not needed.
    pub(super) async fn undo(&self, scratch: &DatabaseName) {
        let dropped = tokio::time::timeout(UNDO, self.database.drop_database(scratch)).await;
        if !matches!(dropped, Ok(Ok(()))) {
            tracing::warn!(%scratch, "the scratch database is left over; it is dropped when PostgreSQL answers again");
        }
    }
}

/// How much may be written to inflate the dump of a database of this size, beside files of `staged` bytes that may go to
/// the same disk; `None` where it is left compressed. It
/// must fit into memory together with what the server needs: from a disk, fewer bytes are read faster.
fn room_to_inflate(
    database_size: u64,
    staged: u64,
    directory: &Path,
) -> Result<Option<Arc<Room>>, BackupError> {
    const LARGEST_DATABASE: u64 = 2 * 1024 * 1024 * 1024;
    // A dump has no indexes, but it has what the database stores compressed, and numbers as text.
    let room = database_size.saturating_mul(2);
    let wanted = database_size <= LARGEST_DATABASE
        && space::require(directory, room.saturating_mul(2).saturating_add(staged)).is_ok();
    Ok(wanted.then(|| Room::new(room)))
}

fn rewind(mut file: &std::fs::File) -> std::io::Result<()> {
    std::io::Seek::rewind(&mut file)
}

/// Says where the rows differ, naming at most three tables.
pub(super) fn compare_rows(expected: &RowCounts, found: &RowCounts) -> Result<(), BackupError> {
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

    fn writes_to(&self) -> Option<&Path> {
        None
    }

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
