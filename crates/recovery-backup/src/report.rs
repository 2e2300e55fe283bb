//! What came of an operation.

use std::path::PathBuf;

use recovery_core::{BackupName, Drill, OperationId, Verification, VerifyLevel, database::DatabaseName};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{IncludeName, KeptDirectory, Removal};

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The backup.
    pub filename: BackupName,
    /// Whether it is good.
    pub verification: Verification,
    /// How thoroughly it was checked.
    pub level: VerifyLevel,
    /// When, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub checked_at: OffsetDateTime,
    /// What is wrong with it.
    pub problems: Vec<String>,
    /// The drill that it was, where it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<Drill>,
    /// What else there is to know about the check, for example what it could not prove.
    pub notes: Vec<String>,
}

/// What became of the backups that had had their time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetentionReport {
    /// Those that are gone.
    pub removed: Vec<Removal>,
    /// Those that stay for now, because somebody reads them or they cannot be deleted.
    pub spared: Vec<Removal>,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// The id under which the restore can be rolled back.
    pub id: OperationId,
    /// The backup.
    pub filename: BackupName,
    /// Always true: a restore that did not happen is an error.
    pub restored: bool,
    /// How it was done: `swap` (loaded into a scratch database that then took the live one's name) or `in_place` (in one
    /// transaction in the live database, where our role may not create another).
    pub strategy: &'static str,
    /// When the restored database took over, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub restored_at: OffsetDateTime,
    /// The name under which the database that was there before is kept; `None` where there was none.
    pub replaced_database: Option<DatabaseName>,
    /// Until when it is kept.
    #[serde(with = "time::serde::rfc3339::option")]
    pub kept_until: Option<OffsetDateTime>,
    /// The backup of what was there before, made first where nothing else keeps it.
    pub safety_backup: Option<BackupName>,
    /// Roles that were missing and were created without the right to sign in.
    pub created_roles: Vec<String>,
    /// How many tables were restored.
    pub tables: u64,
    /// How many rows they have together.
    pub rows: u64,
    /// The included directories whose contents were replaced.
    pub files: Vec<SwitchedDirectory>,
    /// How many keys of Redis were written back.
    pub keys_restored: u64,
    /// What the reader should know besides.
    pub warnings: Vec<String>,
}

/// An included directory whose contents a restore or rollback has replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SwitchedDirectory {
    /// What it is called in archives.
    pub name: IncludeName,
    /// What is called now what was there before: a directory beside it, or one in it where it is a mount point.
    pub kept_as: String,
}

/// What a rollback did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RollbackReport {
    /// The id under which the rollback itself can be taken back.
    pub id: OperationId,
    /// The restore that was taken back.
    pub rolled_back: OperationId,
    /// When, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub restored_at: OffsetDateTime,
    /// The name under which the database that was there before is kept; `None` where there was none.
    pub replaced_database: Option<DatabaseName>,
    /// Until when it is kept.
    #[serde(with = "time::serde::rfc3339::option")]
    pub kept_until: Option<OffsetDateTime>,
    /// The included directories whose contents were brought back.
    pub files: Vec<SwitchedDirectory>,
    /// How many keys of Redis hold again what they held; others that there were not before are removed.
    pub keys_restored: u64,
    /// What the reader should know besides.
    pub warnings: Vec<String>,
}

/// A database that a restore or rollback replaced, and that can be brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedDatabase {
    /// The operation that replaced it: what a rollback is asked for by.
    pub id: OperationId,
    /// The backup that took its place; `None` where a rollback replaced it or its history is lost.
    pub filename: Option<BackupName>,
    /// When it was replaced, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub restored_at: OffsetDateTime,
    /// Its name now.
    pub replaced_database: DatabaseName,
    /// Until when it is kept, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub kept_until: OffsetDateTime,
    /// The files that were replaced with it, and come back with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<KeptDirectory>,
    /// What the keys of Redis held that were written then, and hold again after a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeptKeys>,
}

/// What keys of Redis held before a restore or rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptKeys {
    /// Where that is noted.
    pub(crate) directory: PathBuf,
}

impl KeptKeys {
    /// The name of the directory in the backup directory in which that is noted.
    #[must_use]
    pub fn kept_as(&self) -> String {
        self.directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}
