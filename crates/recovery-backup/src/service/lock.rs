//! Who may work: one operation at a time on a backup directory, and one instance at a time on a database.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use recovery_core::{Actor, OperationId, OperationKind, port::DatabaseLock};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::BackupService;
use crate::{
    BackupError,
    directory::{create_missing, open_lock_file},
    work::blocking,
};

const FILE: &str = ".lock";
/// How long a holder that will be gone in a moment is waited for.
const BRIEF_WAIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// Held while somebody changes the backup directory. Dropping it gives it back.
#[derive(Debug)]
pub struct DirectoryLock {
    /// `None` on a file system that can only be read.
    file: Option<File>,
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // So that the next one in line is not told of an operation that is over.
        let _ = self.file.as_ref().map(|file| file.set_len(0));
    }
}

/// Held while somebody works on the backup directory and the database. Dropping it gives both back.
pub struct ExclusiveLock {
    directory: DirectoryLock,
    database: Box<dyn DatabaseLock>,
}

impl ExclusiveLock {
    /// Fails where the connection that holds the database's half of the lock is gone.
    pub(super) async fn still_held(&self) -> Result<(), BackupError> {
        Ok(self.database.still_held().await?)
    }
}

impl std::ops::Deref for ExclusiveLock {
    type Target = DirectoryLock;

    fn deref(&self) -> &DirectoryLock {
        &self.directory
    }
}

/// What the holder of the directory's lock writes into it for those who find it taken.
#[derive(Serialize, Deserialize)]
struct Holder {
    id: OperationId,
    kind: OperationKind,
    actor: Actor,
    #[serde(with = "time::serde::rfc3339")]
    started_at: OffsetDateTime,
}

impl BackupService {
    /// Takes the lock that making, restoring and rolling back need: in the backup directory against other processes,
    /// in PostgreSQL against other instances.
    ///
    /// # Errors
    /// [`BackupError::Busy`] names the operation in the way.
    pub async fn lock(
        &self,
        kind: OperationKind,
        id: OperationId,
        actor: &Actor,
    ) -> Result<ExclusiveLock, BackupError> {
        let directory = self.lock_directory(kind, id, actor).await?;
        let database = self.database.lock(&format!("{} by {actor}", kind.as_str())).await?;
        Ok(ExclusiveLock { directory, database })
    }

    /// The operation that holds the lock of the backup directory now, in this process or another one.
    pub async fn holder(&self) -> Option<OperationId> {
        let path = self.settings.directory.join(FILE);
        let look = blocking(move || {
            // A file that cannot be opened is held by nobody whom we could name.
            let Ok(mut file) = File::open(path) else { return Ok(None) };
            match file.try_lock_shared() {
                Err(TryLockError::WouldBlock) => Ok(Some(busy(&mut file))),
                Ok(()) | Err(TryLockError::Error(_)) => Ok(None),
            }
        });
        match look.await {
            Ok(Some(BackupError::Busy { id, .. })) => Some(id),
            _ => None,
        }
    }

    /// Takes the lock of the backup directory alone: enough to delete, and to be had while PostgreSQL is down.
    ///
    /// # Errors
    /// [`BackupError::Busy`] names the operation in the way.
    pub async fn lock_directory(
        &self,
        kind: OperationKind,
        id: OperationId,
        actor: &Actor,
    ) -> Result<DirectoryLock, BackupError> {
        let directory = self.settings.directory.clone();
        let holder = Arc::new(Holder { id, kind, actor: actor.clone(), started_at: self.clock.now() });
        let give_up = Instant::now() + BRIEF_WAIT;
        loop {
            let (directory, holder) = (directory.clone(), Arc::clone(&holder));
            match blocking(move || take(&directory, &holder)).await {
                Err(error) if is_brief(&error) && Instant::now() < give_up => tokio::time::sleep(POLL).await,
                taken_or_refused => return taken_or_refused,
            }
        }
    }
}

/// Whether whoever is in the way will be gone in a moment: the service clearing up after its start, of which nobody
/// was told, or a holder that has not yet written who it is.
fn is_brief(error: &BackupError) -> bool {
    matches!(error, BackupError::Busy { kind: OperationKind::CleanUp, .. } | BackupError::DirectoryBusy)
}

fn take(directory: &Path, holder: &Holder) -> Result<DirectoryLock, BackupError> {
    create_missing(directory)?;
    let path = directory.join(FILE);
    let failed = || BackupError::storage("take the lock", &path);
    let Some(mut file) = open_lock_file(&path).map_err(failed())? else {
        return Ok(DirectoryLock { file: None });
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy(&mut file)),
        Err(TryLockError::Error(error)) => return Err(failed()(error)),
    }
    // The lock is what counts; who has it is a courtesy, which a full disk does not allow. Deleting must go on there.
    let text = serde_json::to_vec(holder).unwrap_or_default();
    if let Err(error) = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&text)) {
        tracing::debug!(%error, "the lock does not say who holds it");
    }
    Ok(DirectoryLock { file: Some(file) })
}

fn busy(file: &mut File) -> BackupError {
    let mut text = String::new();
    let holder = file
        .take(64 * 1024)
        .read_to_string(&mut text)
        .ok()
        .and_then(|_| serde_json::from_str::<Holder>(&text).ok());
    match holder {
        Some(Holder { id, kind, actor, started_at }) => BackupError::Busy { kind, id, actor, started_at },
        None => BackupError::DirectoryBusy,
    }
}
