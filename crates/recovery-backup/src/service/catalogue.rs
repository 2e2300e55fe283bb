//! Which backups there are.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use recovery_core::{
    BackupFiles, BackupInfo, BackupKind, BackupName, Verification, database::PostgresVersion,
};

use super::BackupService;
use crate::{
    BackupError, IncludedFiles, Manifest,
    archive::{Flaw, read_heading, read_manifest},
    directory::nofollow,
    records::{Checks, FileStamp, Pins},
    work::blocking,
};

/// A backup opened for reading; deleting the backup does not disturb the reader.
#[derive(Debug)]
pub struct BackupFile {
    /// The open file.
    pub file: File,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// A word that is another one as soon as the file is.
    pub version: String,
}

/// What the first member of an archive told, for as long as the file stays the same.
#[derive(Default)]
pub(super) struct ManifestCache(Mutex<HashMap<BackupName, (FileStamp, Summary)>>);

/// What a list shows of a manifest.
#[derive(Clone)]
enum Summary {
    Readable {
        renamed_from: Option<BackupName>,
        kind: BackupKind,
        database: String,
        server_version: PostgresVersion,
        client_version: PostgresVersion,
        files: Vec<BackupFiles>,
        keys: u64,
        warnings: Vec<String>,
    },
    Legacy,
    Unreadable {
        why: String,
    },
    Unavailable,
}

impl BackupService {
    /// Every backup, newest first. Reads only the first member of each archive, and that only once.
    pub async fn list(&self) -> Result<Vec<BackupInfo>, BackupError> {
        let known = self.known().await;
        let (directory, cache) = (self.settings.directory.clone(), Arc::clone(&self.manifests));
        blocking(move || list(&directory, &cache, &known)).await
    }

    /// One backup.
    pub async fn find(&self, name: &BackupName) -> Result<BackupInfo, BackupError> {
        let known = self.known().await;
        let (path, name, cache) = (self.path(name), name.clone(), Arc::clone(&self.manifests));
        blocking(move || {
            let data = plain_file(&path, &name)?;
            Ok(info(&path, &name, &data, &cache, &known))
        })
        .await
    }

    /// What is remembered of backups. Where it cannot be read who is pinned, nobody seems to be: what goes on to remove
    /// one asks again, and does not then.
    async fn known(&self) -> Known {
        let pins = self.records.pins().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "it cannot be read which backups are pinned");
            Pins::new()
        });
        Known { checks: self.records.checks().await, pins }
    }

    /// A backup's manifest, as it stands in the file and unproven.
    pub async fn manifest(&self, name: &BackupName) -> Result<Manifest, BackupError> {
        if name.kind() == BackupKind::Legacy {
            return Err(legacy(name));
        }
        let mut file = self.open(name).await?.file;
        let name = name.clone();
        blocking(move || read_manifest(&mut file).map_err(|flaw| flawed(&name, flaw))).await
    }

    /// Opens a backup for reading. As long as the file is open, in this process or another, it does not go by itself.
    pub async fn open(&self, name: &BackupName) -> Result<BackupFile, BackupError> {
        let (path, name) = (self.path(name), name.clone());
        blocking(move || {
            plain_file(&path, &name)?;
            let file = OpenOptions::new()
                .read(true)
                .custom_flags(nofollow())
                .open(&path)
                .map_err(|error| missing_or("open a backup", &path, &name, error))?;
            match file.try_lock_shared() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(BackupError::NotFound { name }),
                // Reading must go on where a file system knows no locks.
                Err(TryLockError::Error(error)) => tracing::debug!(%error, "a backup is read without a lock"),
            }
            let data = file.metadata().map_err(BackupError::storage("look at a backup", &path))?;
            // It went between the opening and the lock.
            if data.nlink() == 0 {
                return Err(BackupError::NotFound { name });
            }
            let version = FileStamp::from(&data).to_string();
            Ok(BackupFile { file, size_bytes: data.len(), version })
        })
        .await
    }
}

/// What is remembered of backups.
struct Known {
    checks: Arc<Checks>,
    pins: Pins,
}

fn list(directory: &Path, cache: &ManifestCache, known: &Known) -> Result<Vec<BackupInfo>, BackupError> {
    let failed = || BackupError::storage("list the files", directory);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // It is created by the first backup.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed()(error)),
    };
    let names: Vec<_> =
        entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>().map_err(failed())?;
    let look = |name: &OsString| {
        let name: BackupName = name.to_str()?.parse().ok()?;
        let path = directory.join(name.as_str());
        // A link is no backup of this directory; a file that is deleted meanwhile is no error.
        let data = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
        Some(info(&path, &name, &data, cache, known))
    };
    let mut backups = in_parallel(&names, look);
    backups
        .sort_by_key(|backup: &BackupInfo| std::cmp::Reverse((backup.created_at, backup.filename.attempt())));
    let names: HashSet<&BackupName> = backups.iter().map(|backup| &backup.filename).collect();
    cache.retain(|name| names.contains(name));
    Ok(backups)
}

/// Looks at each of them, at many at once: with thousands of backups the first list has as many files to open.
fn in_parallel<T: Sync, U: Send>(all: &[T], look: impl Fn(&T) -> Option<U> + Sync) -> Vec<U> {
    /// Fewer are not worth a thread of their own.
    const SHARE: usize = 64;
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
    let share = all.len().div_ceil(cores).max(SHARE);
    thread::scope(|scope| {
        let look = &look;
        let threads: Vec<_> = all
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().filter_map(look).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}

fn info(
    path: &Path,
    name: &BackupName,
    data: &fs::Metadata,
    cache: &ManifestCache,
    known: &Known,
) -> BackupInfo {
    let stamp = FileStamp::from(data);
    let check = known.checks.get(name.as_str()).filter(|check| check.stamp == stamp);
    let checked = check.filter(|check| check.verification != Verification::Unverified);
    let mut info = BackupInfo {
        filename: name.clone(),
        size_bytes: data.len(),
        created_at: name.created_at(),
        kind: name.kind(),
        verification: check.map_or(Verification::Unverified, |check| check.verification),
        verified_level: checked.map(|check| check.level),
        verified_at: checked.map(|check| check.at),
        problems: check.map(|check| check.problems.clone()).unwrap_or_default(),
        database: None,
        server_version: None,
        client_version: None,
        warnings: Vec::new(),
        last_drill: check.and_then(|check| check.drill.clone()),
        uploaded: check.is_some_and(|check| check.uploaded),
        pinned: known.pins.contains_key(name.as_str()),
        files: Vec::new(),
        keys: 0,
    };
    match cache.summary(path, name, stamp) {
        Summary::Readable {
            renamed_from,
            kind,
            database,
            server_version,
            client_version,
            files,
            keys,
            warnings,
        } => {
            info.kind = kind;
            (info.files, info.keys, info.warnings) = (files, keys, warnings);
            (info.database, info.server_version) = (Some(database), Some(server_version.to_string()));
            info.client_version = Some(client_version.to_string());
            if client_version.major() > server_version.major() {
                let major = client_version.major();
                info.warnings.push(format!(
                    "It was made with a pg_dump newer than the server: restoring it takes pg_restore {major} or newer."
                ));
            }
            if let Some(original) = renamed_from {
                info.verification = Verification::Failed;
                info.problems = vec![renamed(&original)];
            }
        }
        Summary::Legacy => {}
        Summary::Unavailable => {
            info.verification = Verification::Unverified;
            info.problems = vec!["the file cannot be read".to_owned()];
        }
        Summary::Unreadable { why } => {
            info.verification = Verification::Failed;
            info.problems = vec![why];
        }
    }
    info
}

impl ManifestCache {
    fn summary(&self, path: &Path, name: &BackupName, stamp: FileStamp) -> Summary {
        if let Some((known, summary)) = self.lock().get(name)
            && *known == stamp
        {
            return summary.clone();
        }
        // Not under the lock: several are read at once.
        let summary = read_summary(path, name);
        // A file that cannot be read now may be readable in a moment, without having changed.
        if !matches!(summary, Summary::Unavailable) {
            self.lock().insert(name.clone(), (stamp, summary.clone()));
        }
        summary
    }

    fn retain(&self, keep: impl Fn(&BackupName) -> bool) {
        self.lock().retain(|name, _| keep(name));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BackupName, (FileStamp, Summary)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_summary(path: &Path, name: &BackupName) -> Summary {
    if name.kind() == BackupKind::Legacy {
        return Summary::Legacy;
    }
    match File::open(path).map_err(Flaw::from).and_then(|mut file| read_heading(&mut file)) {
        Ok(manifest) => Summary::Readable {
            renamed_from: (manifest.filename != *name).then_some(manifest.filename),
            kind: manifest.kind,
            database: manifest.database.to_string(),
            server_version: manifest.server_version,
            client_version: manifest.client_version,
            files: manifest
                .files
                .into_iter()
                .map(|IncludedFiles { name, files, bytes, .. }| BackupFiles {
                    name: name.into(),
                    files,
                    bytes,
                })
                .collect(),
            keys: manifest.redis.iter().map(|keys| keys.keys).fold(0, u64::saturating_add),
            warnings: manifest.warnings,
        },
        Err(Flaw::Io(error)) => {
            tracing::warn!(path = %path.display(), %error, "a backup cannot be read");
            Summary::Unavailable
        }
        Err(flaw) => Summary::Unreadable { why: flaw.to_string() },
    }
}

/// Why an archive cannot be used, told of the backup that it is.
pub(super) fn flawed(name: &BackupName, flaw: Flaw) -> BackupError {
    match flaw {
        Flaw::Damaged(why) => BackupError::Damaged { name: name.clone(), why },
        Flaw::UnknownFormat(_) => BackupError::Incompatible {
            name: name.clone(),
            why: flaw.to_string(),
            hint: "Use the version of nova-recovery that made it, or a newer one.".to_owned(),
        },
        Flaw::Unusable { why, hint } => BackupError::Incompatible { name: name.clone(), why, hint },
        Flaw::Io(source) => {
            BackupError::Storage { doing: "read or unpack a backup", path: name.as_str().into(), source }
        }
        Flaw::Stopped => recovery_core::port::Cancelled.into(),
    }
}

/// An archive of the earlier service.
fn legacy(name: &BackupName) -> BackupError {
    BackupError::Incompatible {
        name: name.clone(),
        why: "an archive of the earlier service has no manifest".to_owned(),
        hint: "Verify it to see what it holds. It can be restored like any other.".to_owned(),
    }
}

/// A file that does not have the name that it was made with.
pub(super) fn renamed(original: &BackupName) -> String {
    format!("the file was renamed: it was made as {original}")
}

pub(super) fn plain_file(path: &Path, name: &BackupName) -> Result<fs::Metadata, BackupError> {
    let data =
        fs::symlink_metadata(path).map_err(|error| missing_or("look at a backup", path, name, error))?;
    if data.is_file() { Ok(data) } else { Err(BackupError::NotFound { name: name.clone() }) }
}

pub(super) fn missing_or(
    doing: &'static str,
    path: &Path,
    name: &BackupName,
    error: io::Error,
) -> BackupError {
    match error.kind() {
        io::ErrorKind::NotFound => BackupError::NotFound { name: name.clone() },
        _ => BackupError::storage(doing, path)(error),
    }
}

/// Makes a rename or removal in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> Result<(), BackupError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(BackupError::storage("sync the directory", directory))
}
