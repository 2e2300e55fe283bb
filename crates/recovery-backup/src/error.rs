//! What can go wrong with a backup, and what a person can do about it.

use std::path::PathBuf;

use recovery_core::{
    Actor, BackupName, ErrorCode, OperationId, OperationKind, Problem,
    database::DatabaseName,
    port::{Cancelled, CommandError, DatabaseError, KeyValueError, LockError, StateError},
};
use time::OffsetDateTime;

use crate::IncludeName;

/// A backup, a restore or what belongs to them could not be done. Nothing that was there before is changed or lost.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Another operation is in the way.
    #[error("a {kind} by {actor} is running since {since}", since = clock_time(*started_at))]
    Busy {
        /// What it does.
        kind: OperationKind,
        /// Its id.
        id: OperationId,
        /// Who asked for it.
        actor: Actor,
        /// When it began.
        started_at: OffsetDateTime,
    },
    /// Another process holds the lock of the backup directory and has not said what for.
    #[error("another process works in the backup directory")]
    DirectoryBusy,
    /// There is no such backup.
    #[error("there is no backup {name}")]
    NotFound {
        /// Its name.
        name: BackupName,
    },
    /// The backup is pinned.
    #[error("the backup {name} is pinned")]
    Pinned {
        /// Its name.
        name: BackupName,
    },
    /// Somebody reads the backup.
    #[error("the backup {name} is being read")]
    BeingRead {
        /// Its name.
        name: BackupName,
    },
    /// There is no such replaced database.
    #[error("there is no replaced database of the restore {id}")]
    NoSuchRestore {
        /// The restore.
        id: OperationId,
    },
    /// Dropping a replaced database was cut off: nothing can be done with it but to drop it.
    #[error("the replaced database {database} cannot be used any more: dropping it was cut off half-way")]
    HalfDropped {
        /// Its name.
        database: DatabaseName,
    },
    /// The archive is not what its manifest says, or has none.
    #[error("the backup {name} is damaged: {why}")]
    Damaged {
        /// Its name.
        name: BackupName,
        /// What is wrong, in words.
        why: String,
    },
    /// The archive is whole, and cannot be restored here.
    #[error("the backup {name} cannot be used here: {why}")]
    Incompatible {
        /// Its name.
        name: BackupName,
        /// Why not.
        why: String,
        /// What would help.
        hint: String,
    },
    /// `pg_dump` or `pg_restore` is missing, or of the wrong version.
    #[error("the program {tool} {needed} is not installed; {found}")]
    ToolUnavailable {
        /// The program.
        tool: &'static str,
        /// The version that is needed, for example `15`.
        needed: String,
        /// What is there instead.
        found: String,
    },
    /// A program ended with an error.
    #[error("the program {tool} failed ({exit}){}", said.as_deref().map(|said| format!(": {said}")).unwrap_or_default())]
    ToolFailed {
        /// The program.
        tool: String,
        /// How it ended.
        exit: String,
        /// Its own first error line.
        said: Option<String>,
        /// Whether that may be due to where it ran, and not to what it was given: it was killed, its connection was
        /// lost, a right or an extension is missing.
        circumstances: bool,
        /// The end of its standard error, for the log.
        stderr_tail: String,
    },
    /// A program could not be run to its end.
    #[error("{0}")]
    Command(#[source] CommandError),
    /// The restored rows are not those of the manifest.
    #[error("what was loaded differs from the backup: {why}")]
    RowsDiffer {
        /// Where.
        why: String,
    },
    /// The backup directory cannot be used.
    #[error("cannot {doing} in the backup directory")]
    Storage {
        /// What was being done.
        doing: &'static str,
        /// Where, for the log.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// An included directory cannot be used.
    #[error("cannot {doing} the included directory {name}")]
    Include {
        /// What was being done, for example `look at`.
        doing: &'static str,
        /// The directory.
        name: IncludeName,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Something in a directory that the backup must hold whole cannot be read.
    #[error("cannot read \"{path}\" in {name}, and what the backup lacks would be lost")]
    LeftOut {
        /// The directory.
        name: IncludeName,
        /// Where in it, as a person sees it; `.` for the directory itself.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A directory that the backup must hold is not among those that belong to the service.
    #[error("the directory {name:?} cannot be in a backup: {why}")]
    DirectoryUnknown {
        /// The last part of its path.
        name: String,
        /// Why not, in words.
        why: &'static str,
    },
    /// Keys of a numbered database of Redis are neither saved nor written back.
    #[error("the keys of database {database} of Redis are not for backups: {why}")]
    KeysRefused {
        /// The number.
        database: u8,
        /// Why not, in words.
        why: &'static str,
    },
    /// The service has no Redis.
    #[error("the backups are not connected to a Redis")]
    NoKeys,
    /// Redis did not do what was asked of it.
    #[error(transparent)]
    Keys(#[from] KeyValueError),
    /// An included directory is not one whose contents can be replaced.
    #[error("the files of {name} cannot be replaced: {why}")]
    IncludeUnusable {
        /// The directory.
        name: IncludeName,
        /// Why not, in words.
        why: String,
        /// What would help.
        hint: &'static str,
    },
    /// There is not enough disk space.
    #[error("not enough disk space {place}: {needed} bytes are needed, {available} are free")]
    NoSpace {
        /// Where.
        place: &'static str,
        /// How much is needed.
        needed: u64,
        /// How much there is.
        available: u64,
    },
    /// The disk filled up while it was written to.
    #[error("the disk of the backup directory is nearly full: {available} bytes are left")]
    SpaceRunsOut {
        /// How much there is.
        available: u64,
    },
    /// There is a backup of this name already.
    #[error("there is a backup {name} already")]
    NameTaken {
        /// Its name.
        name: BackupName,
    },
    /// What was sent is no archive.
    #[error("what was uploaded is not a backup: {why}")]
    NotABackup {
        /// Why not, in words.
        why: String,
    },
    /// What was sent did not arrive to its end.
    #[error("the upload broke off after {received} bytes")]
    BrokeOff {
        /// How much arrived.
        received: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// PostgreSQL did not do what was asked of it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Another instance works on the same database.
    #[error(transparent)]
    Lock(LockError),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Somebody stopped it.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<LockError> for BackupError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Database(error) => Self::Database(error),
            held @ LockError::Held { .. } => Self::Lock(held),
        }
    }
}

impl BackupError {
    /// A step on a file or directory failed; a full disk is told from the rest.
    pub(crate) fn storage(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Storage { doing, path, source }
    }
}

impl BackupError {
    /// A step on an included directory failed.
    pub(crate) fn include(
        doing: &'static str,
        name: &IncludeName,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let name = name.clone();
        move |source| Self::Include { doing, name, source }
    }
}

impl From<BackupError> for Problem {
    fn from(error: BackupError) -> Self {
        let text = error.to_string();
        let problem = |code, hint: &str| Problem::from_words(code, &text).hint(hint);
        match error {
            BackupError::Busy { id, .. } => {
                problem(ErrorCode::Busy, "Wait until it is done, or cancel it.").operation(id)
            }
            BackupError::DirectoryBusy => problem(ErrorCode::Busy, "Wait until it is done."),
            BackupError::NotFound { .. } => {
                problem(ErrorCode::NotFound, "List the backups to see which there are.")
            }
            BackupError::Pinned { .. } => problem(
                ErrorCode::Conflict,
                "Nothing was changed. Unpin it first (POST …/unpin, or `nova-recovery unpin`) if it may go.",
            ),
            BackupError::BeingRead { .. } => {
                problem(ErrorCode::Busy, "Wait until the download, check or restore is done.")
            }
            BackupError::NoSuchRestore { .. } => {
                problem(ErrorCode::NotFound, "List the restores to see which can be rolled back.")
            }
            BackupError::HalfDropped { .. } => problem(
                ErrorCode::Conflict,
                "Nothing was changed. Restore a backup instead; and remove what is left of it (DELETE …/restores/{id}).",
            ),
            BackupError::Damaged { .. } => problem(
                ErrorCode::BackupDamaged,
                "Nothing was changed. Use another backup, or another copy of this one.",
            ),
            BackupError::Incompatible { hint, .. } => problem(ErrorCode::BackupIncompatible, &hint),
            BackupError::ToolUnavailable { .. } => problem(
                ErrorCode::ToolUnavailable,
                "Install the PostgreSQL client programs of the server's major version (Debian: postgresql-client-<major>).",
            ),
            BackupError::ToolFailed { .. } => problem(
                ErrorCode::ToolFailed,
                "Nothing was changed. The log of the recovery service has all that it said.",
            ),
            BackupError::Command(CommandError::TimedOut { .. }) => problem(
                ErrorCode::TimedOut,
                "Nothing was changed. Look for locks that it waited for, then try again.",
            ),
            BackupError::Command(CommandError::Start { .. }) => problem(
                ErrorCode::ToolUnavailable,
                "Check that the PostgreSQL client programs are installed and executable.",
            ),
            BackupError::Command(_) => problem(ErrorCode::ToolFailed, "Nothing was changed. Try again."),
            BackupError::RowsDiffer { .. } => problem(
                ErrorCode::BackupDamaged,
                "Nothing was changed. Verify the backup, or use another one.",
            ),
            BackupError::Storage { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => problem(
                    ErrorCode::InsufficientStorage,
                    "Free space in the backup directory, then try again.",
                ),
                _ => problem(
                    ErrorCode::StorageUnavailable,
                    "Check that BACKUP_DIR exists, is mounted, and that the recovery service may read and write it.",
                ),
            },
            BackupError::Include { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => problem(
                    ErrorCode::InsufficientStorage,
                    "Free space where that directory lies, then try again.",
                ),
                _ => problem(
                    ErrorCode::StorageUnavailable,
                    "Check that BACKUP_INCLUDE names a directory that exists and that the recovery service may write.",
                ),
            },
            BackupError::LeftOut { .. } => problem(
                ErrorCode::StorageUnavailable,
                "Nothing was changed. Let the recovery service read everything in that directory, then try again.",
            ),
            BackupError::DirectoryUnknown { .. } => problem(
                ErrorCode::Conflict,
                "Nothing was changed. Make BACKUP_INCLUDE and the directories of the reset categories fit.",
            ),
            BackupError::KeysRefused { .. } => problem(
                ErrorCode::BackupIncompatible,
                "Nothing was changed. Keys are taken from and written to databases 0 to 15, but not the one that \
                 REDIS_URL names.",
            ),
            BackupError::NoKeys => {
                problem(ErrorCode::DependencyUnavailable, "Nothing was changed. Set REDIS_URL.")
            }
            BackupError::Keys(error) => error.into(),
            BackupError::IncludeUnusable { hint, .. } => problem(ErrorCode::StorageUnavailable, hint),
            BackupError::NoSpace { .. } => {
                problem(ErrorCode::InsufficientStorage, "Free that space, then try again.")
            }
            BackupError::SpaceRunsOut { .. } => problem(
                ErrorCode::InsufficientStorage,
                "Nothing was changed. Free space on the disk of the backup directory, then try again.",
            ),
            BackupError::NameTaken { .. } => problem(
                ErrorCode::Conflict,
                "A backup is never overwritten. Delete that one first if the other is to take its place.",
            ),
            BackupError::NotABackup { .. } => problem(
                ErrorCode::BackupDamaged,
                "Nothing was kept of it. Send the file of a backup, unchanged, as the body of the request.",
            ),
            BackupError::BrokeOff { .. } => {
                problem(ErrorCode::InvalidRequest, "Nothing was kept of it. Send the whole file again.")
            }
            BackupError::Database(error) => error.into(),
            BackupError::Lock(error) => error.into(),
            BackupError::State(error) => error.into(),
            BackupError::Cancelled(error) => error.into(),
        }
    }
}

fn clock_time(at: OffsetDateTime) -> String {
    format!("{:02}:{:02}:{:02} UTC", at.hour(), at.minute(), at.second())
}
