//! What the commands show, whichever way it came: read from the parts of this process, or from the answers of a
//! service. Fields that this version does not know are passed on.

use recovery_core::{
    BackupKind, BackupName, Drill, OperationId, OperationKind, Progress, Verification, VerifyLevel,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// A backup in the list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Backup {
    /// Its name.
    pub(super) filename: BackupName,
    /// The size of its file in bytes.
    pub(super) size_bytes: u64,
    /// When it was begun, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) created_at: OffsetDateTime,
    /// Why it was made.
    pub(super) kind: BackupKind,
    /// What the last check found.
    pub(super) verification: Verification,
    /// How thorough that check was.
    #[serde(default)]
    pub(super) verified_level: Option<VerifyLevel>,
    /// What is wrong with it.
    #[serde(default)]
    pub(super) problems: Vec<String>,
    /// The database that it is a backup of.
    #[serde(default)]
    pub(super) database: Option<String>,
    /// The last drill of it.
    #[serde(default)]
    pub(super) last_drill: Option<Drill>,
    /// Whether it is kept until it is unpinned.
    #[serde(default)]
    pub(super) pinned: bool,
    /// The rest.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// A restore that can be rolled back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Restore {
    /// Its id.
    pub(super) id: OperationId,
    /// The backup that was restored; a rollback has none.
    pub(super) filename: Option<BackupName>,
    /// When, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) restored_at: OffsetDateTime,
    /// The name under which the database that was there before is kept.
    pub(super) replaced_database: String,
    /// Until when, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) kept_until: OffsetDateTime,
    /// The rest.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// The overview.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Status {
    /// The database.
    pub(super) database: DatabaseStatus,
    /// The backups.
    pub(super) backups: BackupsStatus,
    /// The backups that the service makes by itself.
    #[serde(default)]
    pub(super) checkpoints: Checkpoints,
    /// The newest operation that is running.
    #[serde(default)]
    pub(super) operation: Option<Running>,
    /// The rest.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// A running operation in the overview.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Running {
    /// What it does.
    pub(super) kind: OperationKind,
    /// When it began, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) started_at: OffsetDateTime,
    /// Where it is.
    pub(super) progress: Progress,
    /// The rest.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// The database in the overview.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct DatabaseStatus {
    /// Whether it answers.
    pub(super) connected: bool,
    /// Its name.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// Its size in words.
    #[serde(default)]
    pub(super) size: Option<String>,
    /// How many tables it has.
    #[serde(default)]
    pub(super) table_count: Option<u64>,
    /// Why it does not answer.
    #[serde(default)]
    pub(super) error: Option<String>,
    /// The rest.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// The backups in the overview.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BackupsStatus {
    /// How many there are.
    pub(super) count: u64,
    /// The newest.
    pub(super) latest: Option<Backup>,
    /// The size of all in bytes.
    pub(super) total_size_bytes: u64,
    /// The rest.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// The backups that the service makes by itself, in the overview.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Checkpoints {
    /// Whether it makes any.
    pub(super) enabled: bool,
    /// When the newest good one was made, UTC.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) last: Option<OffsetDateTime>,
    /// When the next one is due, UTC.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) next_due: Option<OffsetDateTime>,
    /// Why there is none since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_error: Option<LastError>,
    /// The rest.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// Why the last try did not succeed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LastError {
    /// What happened.
    pub(super) detail: String,
    /// The rest.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// What of a backup's manifest a person wants to know before a restore.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Contents {
    /// The database that it is a backup of.
    pub(super) database: String,
    /// The size of the database on its server, in bytes.
    pub(super) database_size_bytes: u64,
    /// Its rows.
    pub(super) rows: Rows,
    /// The directories that it holds besides.
    #[serde(default)]
    pub(super) files: Vec<Directory>,
    /// The keys of Redis that it holds besides.
    #[serde(default)]
    pub(super) redis: Vec<HeldKeys>,
}

/// Keys of one numbered database of Redis in a backup.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct HeldKeys {
    /// How many there are.
    pub(super) keys: u64,
}

/// A directory in a backup, or one that was replaced.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Directory {
    /// What it is called.
    pub(super) name: String,
    /// How many files it holds.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// What is called now what was there before.
    pub(super) kept_as: Option<String>,
}

/// The rows of a manifest.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rows {
    /// Per table.
    pub(super) tables: std::collections::BTreeMap<String, u64>,
}

/// What a successful operation says of itself. Which of the fields it has depends on its kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Outcome {
    /// The backup.
    pub(super) filename: Option<BackupName>,
    /// Its size in bytes.
    pub(super) size_bytes: Option<u64>,
    /// What a check found.
    pub(super) verification: Option<Verification>,
    /// How thorough it was.
    #[serde(alias = "verified_level")]
    pub(super) level: Option<VerifyLevel>,
    /// What is wrong with the backup.
    pub(super) problems: Vec<String>,
    /// What else there is to know about the check.
    pub(super) notes: Vec<String>,
    /// The id under which it can be rolled back.
    pub(super) id: Option<OperationId>,
    /// The name under which the database that was there before is kept.
    pub(super) replaced_database: Option<String>,
    /// Until when, UTC.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) kept_until: Option<OffsetDateTime>,
    /// Roles that were missing and were created.
    pub(super) created_roles: Vec<String>,
    /// How many tables were restored.
    pub(super) tables: Option<u64>,
    /// How many rows they have together.
    pub(super) rows: Option<u64>,
    /// Backups that had had their time and were deleted after a backup was made.
    pub(super) removed: Vec<Removed>,
    /// The directories of a backup, or those that were replaced.
    pub(super) files: Vec<Directory>,
    /// How many keys of Redis a backup holds.
    pub(super) keys: u64,
    /// How many keys of Redis were written back.
    pub(super) keys_restored: u64,
    /// What the reader should know besides.
    pub(super) warnings: Vec<String>,
}

/// A backup that had had its time.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Removed {
    /// Its name.
    pub(super) filename: BackupName,
    /// Why it was deleted.
    pub(super) why: String,
}
