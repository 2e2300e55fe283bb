//! Making a backup: dump, pack, read back, publish.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use recovery_core::{
    BackupInfo, BackupKind, BackupName, Progress, Verification, VerifyLevel, crash_point,
    database::RowCounts,
    port::{DatabaseSnapshot, OperationContext},
};
use serde_json::json;
use time::OffsetDateTime;

use super::{
    BackupService, ExclusiveLock,
    catalogue::flawed,
    safety::Holds,
    tool_run::{Watch, session_name},
};
use crate::{
    BackupError, Compression, Manifest, Member,
    archive::{ArchiveReader, DATABASE, WriteError, write_archive},
    files::Source,
    records::CheckRecord,
    space,
    tools::{DumpRequest, Tools},
    work::{WorkDirectory, blocking, check_cancelled, unless_cancelled, watched, watched_on},
};

impl BackupService {
    /// Makes a backup of the database as it is at one moment. It is listed only once it is complete, on disk, and was
    /// read back; whatever goes wrong before leaves nothing behind.
    pub async fn create(
        &self,
        lock: &ExclusiveLock,
        kind: BackupKind,
        context: &dyn OperationContext,
    ) -> Result<BackupInfo, BackupError> {
        self.create_with(lock, kind, &Holds::default(), context).await
    }

    /// Makes a backup that holds more than others do. As [`BackupService::create`].
    pub(super) async fn create_with(
        &self,
        lock: &ExclusiveLock,
        kind: BackupKind,
        holds: &Holds,
        context: &dyn OperationContext,
    ) -> Result<BackupInfo, BackupError> {
        context.report(Progress::phase("preparing"));
        let server = self.database.server().await?;
        let tools = Tools::for_server(&self.settings, self.runner.as_ref(), server.version).await?;
        let expected = self.expected_dump_size().await;
        let needed = match expected {
            Some(bytes) => bytes,
            None => self.least_dump_size().await,
        };
        let needed = needed.saturating_add(self.expected_size_of_includes(holds, context).await?);
        let directory = self.settings.directory.clone();
        let id = context.id();
        let work = blocking(move || {
            WorkDirectory::sweep(&directory)?;
            space::require(&directory, needed)?;
            WorkDirectory::create(&directory, id)
        })
        .await?;

        let snapshot = unless_cancelled(context, async { Ok(self.database.snapshot().await?) }).await?;
        let created_at = self.clock.now();
        let filename = self.free_name(kind, created_at).await?;
        context.record("dumping", json!({ "filename": &filename })).await?;
        let dump = work.path().join(DATABASE);
        let rows = self.dump(&tools, snapshot.as_ref(), &dump, expected, context).await?;
        check_cancelled(context)?;

        let facts = snapshot.facts().clone();
        // From here on nothing is read from the database: its snapshot would only keep dead rows alive.
        drop(snapshot);
        // Read after the database was: no row of the backup is without the file that it tells of.
        let (includes, mut warnings) = self.open_includes(holds).await?;
        if self.records.pending_files().await.is_ok_and(|pending| pending.is_some()) {
            warnings.push("an earlier restore has replaced the files only in part".to_owned());
        }
        let redis = self.save_keys(holds, &work, context).await?;
        let manifest = Manifest {
            format_version: Manifest::PLAIN,
            filename: filename.clone(),
            kind,
            created_at: created_at.replace_nanosecond(0).unwrap_or(created_at),
            dumped_at: self.clock.now(),
            recovery_version: env!("CARGO_PKG_VERSION").to_owned(),
            server_version: server.version,
            client_version: tools.version,
            database: self.database.target()?.database.clone(),
            profile: facts.profile,
            extensions: facts.extensions,
            roles: facts.roles,
            schema_version: facts.schema_version,
            database_size_bytes: facts.size_bytes,
            rows,
            members: blocking(move || members(&dump)).await?,
            files: Vec::new(),
            redis,
            warnings,
        };
        crash_point("backup:dumped");
        let archive = self.pack(&work, manifest, includes, context).await?;
        crash_point("backup:packed");
        self.read_back(&archive, &filename, context).await?;

        lock.still_held().await?;
        context.seal()?;
        context.report(Progress::phase("publishing"));
        // Read back and proven: what has this name after a crash is a good backup.
        context.record("publishing", json!({ "filename": &filename })).await?;
        let stamp = self.publish_new(archive, &filename, "backup:renamed").await?;
        context.record("published", json!({ "filename": &filename })).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the journal does not say that the backup was published");
        });
        let at = self.clock.now();
        self.records
            .update_checks(|checks| {
                let record = CheckRecord::verified(stamp, VerifyLevel::Hashes, at);
                checks.insert(filename.as_str().to_owned(), record);
            })
            .await
            // The backup is good; that it was checked can be found out again.
            .unwrap_or_else(|error| tracing::warn!(%error, "the check of the new backup is not recorded"));
        self.find(&filename).await
    }

    /// Runs `pg_dump` and counts the rows of the same snapshot meanwhile.
    async fn dump(
        &self,
        tools: &Tools,
        snapshot: &dyn DatabaseSnapshot,
        dump: &Path,
        expected: Option<u64>,
        context: &dyn OperationContext,
    ) -> Result<RowCounts, BackupError> {
        let application_name = session_name("dump", context.id());
        let command = tools.dump(&DumpRequest {
            target: self.database.target()?,
            application_name: &application_name,
            snapshot: snapshot.id(),
            directory: dump,
            jobs: self.settings.jobs,
            compression: self.settings.compression,
        });
        let mut watch = DumpWatch {
            directory: dump.to_owned(),
            expected,
            largest: (0, 0),
            tables: snapshot.facts().table_count,
            context,
        };
        let run = self.run_tool("pg_dump", command, &application_name, context, &mut watch);
        // What a program says of a full disk depends on the program; the disk itself is asked.
        let failure =
            async |error: BackupError| space::check(&self.settings.directory).err().unwrap_or(error);
        match tokio::try_join!(run, async { Ok(snapshot.row_counts().await?) }) {
            Ok(((), rows)) => Ok(rows),
            Err(error @ BackupError::ToolFailed { .. }) => Err(failure(error).await),
            Err(error) => Err(error),
        }
    }

    async fn pack(
        &self,
        work: &WorkDirectory,
        mut manifest: Manifest,
        includes: Vec<Source>,
        context: &dyn OperationContext,
    ) -> Result<PathBuf, BackupError> {
        let archive = work.path().join("archive.tar");
        let (target, source) = (archive.clone(), work.path().to_owned());
        let directory = self.settings.directory.clone();
        let keys = manifest.redis.iter().map(|keys| &keys.commands);
        let dump = manifest.members.iter().chain(keys).map(|member| member.size).sum();
        let total = includes.is_empty().then_some(dump);
        let disk = self.settings.directory.clone();
        let written = watched_on(vec![disk], context, "archiving", total, move |meter| {
            write_archive(&target, &directory, &source, &mut manifest, &includes, meter)
        });
        match written.await? {
            Ok(()) => Ok(archive),
            Err(WriteError::Stopped) => Err(recovery_core::port::Cancelled.into()),
            Err(WriteError::LeftOut { name, path, why }) => {
                Err(BackupError::LeftOut { name, path, source: why })
            }
            Err(WriteError::Io(source)) => {
                Err(BackupError::Storage { doing: "write the archive", path: archive, source })
            }
            Err(changed @ WriteError::Changed(_)) => Err(BackupError::Storage {
                doing: "pack the dump",
                path: archive,
                source: io::Error::other(changed),
            }),
        }
    }

    /// Reads what is on the disk now, and compares every hash.
    async fn read_back(
        &self,
        archive: &Path,
        name: &BackupName,
        context: &dyn OperationContext,
    ) -> Result<(), BackupError> {
        let path = archive.to_owned();
        let total = fs::metadata(archive).map(|data| data.len()).ok();
        let checked = watched(context, "verifying", total, move |meter| {
            let file = File::open(&path)?;
            // Without this the page cache would vouch for the disk. Not every file system takes the advice.
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
            ArchiveReader::open(file)?.read_to_end(&(), meter)
        });
        checked.await?.map(drop).map_err(|flaw| flawed(name, flaw))
    }

    /// The first name of this second that is not taken. The lock is held, so it stays free. A name that was pinned and
    /// is gone is not taken anew: what is made now is not what somebody wanted to keep.
    async fn free_name(&self, kind: BackupKind, at: OffsetDateTime) -> Result<BackupName, BackupError> {
        let directory = self.settings.directory.clone();
        let pins = self.records.pins().await.unwrap_or_default();
        blocking(move || {
            let taken = |name: &BackupName| {
                pins.contains_key(name.as_str())
                    || fs::symlink_metadata(directory.join(name.as_str())).is_ok()
            };
            (1..=9999).map(|attempt| BackupName::new(kind, at, attempt)).find(|name| !taken(name)).ok_or_else(
                || BackupError::storage("find a free name", &directory)(io::ErrorKind::AlreadyExists.into()),
            )
        })
        .await
    }

    /// How many bytes the dump will have, going by the newest backup of this database that was found good. Never more
    /// than twice its file: what a manifest says must not be able to stop backups.
    async fn expected_dump_size(&self) -> Option<u64> {
        let live = &self.database.target().ok()?.database;
        let newest = self.list().await.ok()?.into_iter().find(|backup| {
            backup.verification == Verification::Verified && backup.database.as_deref() == Some(live.as_str())
        })?;
        let manifest = self.manifest(&newest.filename).await.ok()?;
        let before = manifest.database_size_bytes.max(1);
        let size = newest.size_bytes.saturating_sub(manifest.size_besides_dump());
        let now =
            self.database.databases().await.ok()?.into_iter().find(|entry| entry.name == *live)?.size_bytes?;
        let scaled = u128::from(size) * u128::from(now) / u128::from(before);
        u64::try_from(scaled).ok().map(|scaled| scaled.min(size.saturating_mul(2)))
    }

    /// How many bytes the dump will have at least, going by the database's size alone: much of that may be indexes and
    /// dead rows, and data that compresses well takes a tenth. What it needs besides is seen while it is written.
    async fn least_dump_size(&self) -> u64 {
        let Ok(target) = self.database.target() else { return 0 };
        let databases = self.database.databases().await.unwrap_or_default();
        let size =
            databases.into_iter().find(|entry| entry.name == target.database).and_then(|it| it.size_bytes);
        let share = if self.settings.compression == Compression::None { 3 } else { 10 };
        size.unwrap_or(0) / share
    }
}

/// The files of a dump, as members: the table of contents first, then by name.
fn members(dump: &Path) -> Result<Vec<Member>, BackupError> {
    let failed = || BackupError::storage("read the dump", dump);
    let mut members = Vec::new();
    for entry in fs::read_dir(dump).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let size = entry.metadata().map_err(failed())?.len();
        let name = entry.file_name();
        let name = name.to_str().ok_or(io::ErrorKind::InvalidData.into()).map_err(failed())?;
        members.push(Member { path: format!("{DATABASE}/{name}"), size, sha256: String::new() });
    }
    members.sort_by(|a, b| {
        (!a.path.ends_with("/toc.dat"), &a.path).cmp(&(!b.path.ends_with("/toc.dat"), &b.path))
    });
    Ok(members)
}

/// Watches the files of a dump grow.
struct DumpWatch<'a> {
    directory: PathBuf,
    expected: Option<u64>,
    largest: (u64, u64),
    tables: u64,
    context: &'a dyn OperationContext,
}

#[async_trait::async_trait]
impl Watch for DumpWatch<'_> {
    const EVERY: Duration = Duration::from_millis(500);
    // A dump that hangs holds locks and keeps dead rows alive.
    const STALL: Option<Duration> = Some(Duration::from_secs(30 * 60));

    fn writes_to(&self) -> Option<&Path> {
        self.directory.parent()
    }

    async fn look(&mut self) -> u64 {
        let directory = self.directory.clone();
        let measured = tokio::task::spawn_blocking(move || measure(&directory)).await.unwrap_or_default();
        self.largest = (self.largest.0.max(measured.0), self.largest.1.max(measured.1));
        let (bytes, files) = self.largest;
        let total = self.expected.filter(|total| *total >= bytes);
        let mut progress = Progress::bytes("dumping", bytes, total);
        progress.tables = Some((files.min(self.tables), self.tables));
        self.context.report(progress);
        bytes + files
    }
}

/// Bytes and data files below a directory.
fn measure(directory: &Path) -> (u64, u64) {
    let sizes = fs::read_dir(directory).into_iter().flatten().filter_map(|entry| entry.ok()?.metadata().ok());
    sizes.fold((0, 0), |(bytes, files), data| (bytes + data.len(), files + 1))
}
