//! The service: what can be done with backups.

use std::{fs::File, sync::Arc};

use recovery_core::{
    Actor, BackupInfo, BackupKind, BackupName, OperationId, OperationKind, VerifyLevel,
    port::{
        Clock, CommandRunner, DatabaseAdmin, DatabaseLock, DocumentStore, JournalEntry, OperationContext,
    },
};

use crate::{
    BackupError, BackupSettings, Manifest, ReplacedDatabase, RestoreReport, RollbackReport, VerifyReport,
};

/// Makes, checks, restores and removes backups of one database.
pub struct BackupService {
    settings: BackupSettings,
    database: Arc<dyn DatabaseAdmin>,
    runner: Arc<dyn CommandRunner>,
    documents: Arc<dyn DocumentStore>,
    clock: Arc<dyn Clock>,
}

/// Held while somebody changes the backup directory. Dropping it gives it back.
pub struct DirectoryLock {
    _file: File,
}

/// Held while somebody works on the backup directory and the database. Dropping it gives both back.
pub struct ExclusiveLock {
    directory: DirectoryLock,
    database: Box<dyn DatabaseLock>,
}

impl std::ops::Deref for ExclusiveLock {
    type Target = DirectoryLock;

    fn deref(&self) -> &DirectoryLock {
        &self.directory
    }
}

/// A backup opened for reading; deleting the backup does not disturb the reader.
pub struct BackupFile {
    /// The open file.
    pub file: File,
    /// Its size in bytes.
    pub size_bytes: u64,
}

impl BackupService {
    /// A service over these ports.
    #[must_use]
    pub fn new(
        settings: BackupSettings,
        database: Arc<dyn DatabaseAdmin>,
        runner: Arc<dyn CommandRunner>,
        documents: Arc<dyn DocumentStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { settings, database, runner, documents, clock }
    }

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
        todo!()
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
        todo!()
    }

    /// Makes a backup. It is listed only once it is complete, on disk, and was read back.
    pub async fn create(
        &self,
        lock: &ExclusiveLock,
        kind: BackupKind,
        context: &dyn OperationContext,
    ) -> Result<BackupInfo, BackupError> {
        todo!()
    }

    /// Every backup, newest first. Reads only the first member of each archive.
    pub async fn list(&self) -> Result<Vec<BackupInfo>, BackupError> {
        todo!()
    }

    /// One backup.
    pub async fn find(&self, name: &BackupName) -> Result<BackupInfo, BackupError> {
        todo!()
    }

    /// A backup's manifest.
    pub async fn manifest(&self, name: &BackupName) -> Result<Manifest, BackupError> {
        todo!()
    }

    /// Checks a backup and remembers the result. That it is bad is no error, but a report.
    pub async fn verify(
        &self,
        name: &BackupName,
        level: VerifyLevel,
        context: &dyn OperationContext,
    ) -> Result<VerifyReport, BackupError> {
        todo!()
    }

    /// Replaces the database by the contents of a backup; the one that was there is kept for a rollback.
    pub async fn restore(
        &self,
        lock: &ExclusiveLock,
        name: &BackupName,
        context: &dyn OperationContext,
    ) -> Result<RestoreReport, BackupError> {
        todo!()
    }

    /// The databases that restores and rollbacks replaced and that still exist, newest first.
    pub async fn replaced(&self) -> Result<Vec<ReplacedDatabase>, BackupError> {
        todo!()
    }

    /// Takes a restore back: the database that it replaced becomes the live one again, and the present one is kept.
    pub async fn rollback(
        &self,
        lock: &ExclusiveLock,
        restore: OperationId,
        context: &dyn OperationContext,
    ) -> Result<RollbackReport, BackupError> {
        todo!()
    }

    /// Drops a replaced database; its restore can then no longer be rolled back.
    pub async fn drop_replaced(
        &self,
        lock: &ExclusiveLock,
        restore: OperationId,
    ) -> Result<ReplacedDatabase, BackupError> {
        todo!()
    }

    /// Deletes a backup.
    pub async fn delete(&self, lock: &DirectoryLock, name: &BackupName) -> Result<(), BackupError> {
        todo!()
    }

    /// Opens a backup for reading.
    pub async fn open(&self, name: &BackupName) -> Result<BackupFile, BackupError> {
        todo!()
    }

    /// Clears up what operations that were cut off have left: partial archives, scratch databases, a live database
    /// that is closed to sessions. Returns what it did, in words. `unfinished` are the journal entries of operations
    /// that began and did not end.
    pub async fn reconcile(
        &self,
        lock: &ExclusiveLock,
        unfinished: &[JournalEntry],
    ) -> Result<Vec<String>, BackupError> {
        todo!()
    }
}
