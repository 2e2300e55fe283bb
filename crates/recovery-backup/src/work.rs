//! Work on files that takes long: done on a thread of its own, watched from the operation, stopped with it.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use recovery_core::{
    OperationId, Progress,
    port::{Cancelled, OperationContext},
};

use crate::{BackupError, space};

/// How often progress is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// Counts what is done, and says when to stop.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    done: AtomicU64,
    stopped: AtomicBool,
}

impl Meter {
    /// So many bytes more.
    pub(crate) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Relaxed);
    }

    /// Whether the work is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }
}

/// Stops the work when the operation that waits for it goes away.
struct StopOnDrop(Arc<Meter>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stopped.store(true, Relaxed);
    }
}

/// Runs `work` on a blocking thread and reports its meter as progress of `phase`, out of `total` bytes.
pub(crate) async fn watched<T: Send + 'static>(
    context: &dyn OperationContext,
    phase: &'static str,
    total: Option<u64>,
    work: impl FnOnce(&Meter) -> T + Send + 'static,
) -> Result<T, BackupError> {
    watch(context, phase, total, std::future::pending(), work).await
}

/// Like [`watched`], for work that writes: it is stopped before the disk of one of the `directories` is full.
pub(crate) async fn watched_on<T: Send + 'static>(
    directories: Vec<PathBuf>,
    context: &dyn OperationContext,
    phase: &'static str,
    total: Option<u64>,
    work: impl FnOnce(&Meter) -> T + Send + 'static,
) -> Result<T, BackupError> {
    watch(context, phase, total, space::runs_out(directories), work).await
}

async fn watch<T: Send + 'static>(
    context: &dyn OperationContext,
    phase: &'static str,
    total: Option<u64>,
    runs_out: impl Future<Output = BackupError>,
    work: impl FnOnce(&Meter) -> T + Send + 'static,
) -> Result<T, BackupError> {
    let meter = Arc::new(Meter::default());
    let stop = StopOnDrop(Arc::clone(&meter));
    context.report(Progress::bytes(phase, 0, total));
    let mut task = tokio::task::spawn_blocking(move || work(&meter));
    let mut runs_out = pin!(runs_out);
    let mut full = None;
    loop {
        tokio::select! {
            joined = &mut task => {
                return match (joined, full) {
                    (_, Some(full)) => Err(full),
                    (joined, None) => joined.map_err(|error| BackupError::Storage {
                        doing: "work",
                        path: PathBuf::new(),
                        source: io::Error::other(error),
                    }),
                };
            }
            error = &mut runs_out, if full.is_none() => {
                full = Some(error);
                stop.0.stopped.store(true, Relaxed);
            }
            () = context.cancelled(), if !stop.0.is_stopped() => stop.0.stopped.store(true, Relaxed),
            () = tokio::time::sleep(TICK) => {
                let done = stop.0.done.load(Relaxed);
                context.report(Progress::bytes(phase, total.map_or(done, |total| done.min(total)), total));
            }
        }
    }
}

/// Runs quick file work on a blocking thread.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(BackupError::Storage { doing: "work", path: PathBuf::new(), source: io::Error::other(error) })
    })
}

/// Waits for something that can be given up at any moment, until the operation is cancelled.
pub(crate) async fn unless_cancelled<T>(
    context: &dyn OperationContext,
    work: impl Future<Output = Result<T, BackupError>>,
) -> Result<T, BackupError> {
    tokio::select! {
        done = work => done,
        () = context.cancelled() => Err(Cancelled.into()),
    }
}

/// Fails where the operation was cancelled.
pub(crate) fn check_cancelled(context: &dyn OperationContext) -> Result<(), Cancelled> {
    if context.is_cancelled() { Err(Cancelled) } else { Ok(()) }
}

/// A directory of one operation inside the backup directory, removed with everything in it when dropped. What a
/// crash leaves of it is swept by its name; a lock, which ends with its process, keeps that of an upload, which goes on
/// beside other operations, from being swept while it is in use.
#[derive(Debug)]
pub(crate) struct WorkDirectory {
    path: PathBuf,
    /// `None` on a file system that does not lock directories.
    _lock: Option<File>,
}

impl WorkDirectory {
    const PREFIX: &str = ".partial-";

    /// Creates it.
    pub(crate) fn create(directory: &Path, id: OperationId) -> Result<Self, BackupError> {
        let path = directory.join(format!("{}{}", Self::PREFIX, id.short()));
        fs::create_dir(&path).map_err(BackupError::storage("create a work directory", &path))?;
        let lock = File::open(&path).and_then(|lock| lock.try_lock().map(|()| lock).map_err(io::Error::from));
        Ok(Self { path, _lock: lock.ok() })
    }

    /// Creates it where there is room for so much: in the backup directory or, where that can only be read, in the
    /// other one. Sweeps what crashes left; the caller holds the lock of the directory.
    pub(crate) fn with_room(
        directory: &Path,
        instead: &Path,
        id: OperationId,
        needed: u64,
    ) -> Result<Self, BackupError> {
        let in_place = || {
            Self::sweep(directory)?;
            space::require(directory, needed)?;
            Self::create(directory, id)
        };
        match in_place() {
            Err(BackupError::Storage { source, .. })
                if source.kind() == io::ErrorKind::ReadOnlyFilesystem =>
            {
                space::require(instead, needed)?;
                Self::create(instead, id)
            }
            made_or_failed => made_or_failed,
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes those that operations of the past have left. The caller holds the lock of the directory.
    pub(crate) fn sweep(directory: &Path) -> Result<Vec<String>, BackupError> {
        let failed = || BackupError::storage("look for leftovers", directory);
        let mut swept = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with(Self::PREFIX) {
                continue;
            }
            let is_directory = fs::symlink_metadata(&path).is_ok_and(|data| data.is_dir());
            if is_directory && in_use(&path) {
                continue;
            }
            let removed = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Ok(()) => swept.push(name),
                Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                    return Err(failed()(error));
                }
                // What somebody else left takes room, but must not stand in the way of the next backup.
                Err(error) => tracing::warn!(path = %path.display(), %error, "cannot remove a leftover"),
            }
        }
        Ok(swept)
    }
}

/// Whether the process that made a work directory is at work in it.
fn in_use(path: &Path) -> bool {
    File::open(path).is_ok_and(|directory| matches!(directory.try_lock(), Err(TryLockError::WouldBlock)))
}

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a work directory; the next backup will");
        }
    }
}
