//! Backups, and what comes of what is done with them.

use recovery_backup::{Removal, ReplacedDatabase, RestoreReport, RollbackReport, VerifyReport};
use recovery_core::{BackupFiles, BackupInfo, BackupKind, Drill};
use serde::Serialize;
use utoipa::ToSchema;

use super::timestamp;

/// One backup.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BackupInfo)]
pub struct Backup {
    /// The name of its file.
    #[schema(example = "nova-backup-2026-01-31_23-59-59.tar")]
    filename: String,
    /// The size of its file.
    size_bytes: u64,
    /// The moment of the snapshot that it holds.
    #[schema(format = DateTime)]
    created_at: String,
    /// `manual`, `checkpoint`, `safety` or `legacy`.
    kind: &'static str,
    /// What the last check found: `verified`, `unverified` or `failed`.
    verification: &'static str,
    /// How thorough that check was: `hashes`, `contents` or `restore`.
    verified_level: Option<&'static str>,
    /// When that check was.
    #[schema(format = DateTime)]
    verified_at: Option<String>,
    /// What is wrong with it, in words; to those who are not admins only how much.
    problems: Vec<String>,
    /// The database that it is a backup of.
    database: Option<String>,
    /// The version of the server that it came from.
    server_version: Option<String>,
    /// The version of the `pg_dump` that made it.
    client_version: Option<String>,
    /// What there is to know before it is restored; to those who are not admins only how much.
    warnings: Vec<String>,
    /// The last drill of it; null where there was none.
    last_drill: Option<DrillRecord>,
    /// Whether it was uploaded, as far as that is known.
    uploaded: bool,
    /// Whether it is kept until somebody unpins it.
    pinned: bool,
    /// The directories that it holds besides the database.
    files: Vec<Directory>,
    /// How many keys of Redis it holds besides the database.
    keys: u64,
}

/// A directory in a backup.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BackupFiles)]
pub struct Directory {
    /// What `BACKUP_INCLUDE` calls it.
    #[schema(example = "sources")]
    name: String,
    /// How many files it holds.
    files: u64,
    /// Their bytes, holes left out.
    bytes: u64,
}

/// A directory whose contents were replaced.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SwitchedDirectory {
    /// What `BACKUP_INCLUDE` calls it.
    #[schema(example = "sources")]
    name: String,
    /// What is called now what was there before: a directory beside it, or one in it where it is a mount point.
    #[schema(example = "sources.before-20260131_235959")]
    kept_as: String,
}

fn switched(directories: Vec<recovery_backup::SwitchedDirectory>) -> Vec<SwitchedDirectory> {
    let shown = |directory: recovery_backup::SwitchedDirectory| SwitchedDirectory {
        name: directory.name.into(),
        kept_as: directory.kept_as,
    };
    directories.into_iter().map(shown).collect()
}

impl From<BackupInfo> for Backup {
    fn from(info: BackupInfo) -> Self {
        Self {
            filename: info.filename.to_string(),
            size_bytes: info.size_bytes,
            created_at: timestamp(info.created_at),
            kind: match info.kind {
                BackupKind::Manual => "manual",
                BackupKind::Checkpoint => "checkpoint",
                BackupKind::Safety => "safety",
                BackupKind::Legacy => "legacy",
            },
            verification: info.verification.as_str(),
            verified_level: info.verified_level.map(|level| level.as_str()),
            verified_at: info.verified_at.map(timestamp),
            problems: info.problems,
            database: info.database,
            server_version: info.server_version,
            pinned: info.pinned,
            client_version: info.client_version,
            warnings: info.warnings,
            last_drill: info.last_drill.map(DrillRecord::from),
            uploaded: info.uploaded,
            files: info
                .files
                .into_iter()
                .map(|BackupFiles { name, files, bytes }| Directory { name, files, bytes })
                .collect(),
            keys: info.keys,
        }
    }
}

impl Backup {
    /// What everybody may know of it: words about it can name files and what is in the database, so of these there is
    /// only the number.
    #[must_use]
    pub fn for_strangers(mut self) -> Self {
        withhold(&mut self.problems);
        withhold(&mut self.warnings);
        self.last_drill = self.last_drill.map(DrillRecord::for_strangers);
        self
    }
}

/// Leaves only the number of what there is to say.
fn withhold(words: &mut Vec<String>) {
    if !words.is_empty() {
        *words = vec![format!("{}; the list of backups tells admins more.", words.len())];
    }
}

/// A drill: a restore into a scratch database, whose rows were compared with what the backup promises.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Drill)]
pub struct DrillRecord {
    /// The backup.
    filename: String,
    /// When it ended.
    #[schema(format = DateTime)]
    at: String,
    /// `verified`, `failed`, or `could_not_verify`, which says nothing about the backup.
    result: &'static str,
    /// What is wrong with the backup, or why nothing can be said about it.
    problems: Vec<String>,
    /// How long it took.
    duration_seconds: u64,
}

impl From<Drill> for DrillRecord {
    fn from(drill: Drill) -> Self {
        Self {
            filename: drill.filename.to_string(),
            at: timestamp(drill.at),
            result: drill.result.as_str(),
            problems: drill.problems,
            duration_seconds: drill.duration_seconds,
        }
    }
}

impl DrillRecord {
    /// What everybody may know of it, like [`Backup::for_strangers`].
    #[must_use]
    pub fn for_strangers(mut self) -> Self {
        withhold(&mut self.problems);
        self
    }
}

/// A backup was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Made {
    /// The backup.
    #[serde(flatten)]
    backup: Backup,
    /// The backups that had had their time and were deleted after it.
    removed: Vec<Removed>,
}

impl Made {
    pub(crate) fn new(info: BackupInfo, removed: Vec<Removal>) -> Self {
        let removed = removed.into_iter().map(|Removal { filename, why }| Removed {
            filename: filename.to_string(),
            why: why.to_string(),
        });
        Self { backup: info.into(), removed: removed.collect() }
    }
}

/// A backup had had its time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Removed {
    /// The name that its file had.
    filename: String,
    /// Why it was deleted, in words.
    why: String,
}

/// A backup was deleted.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Deleted {
    /// The name that its file had.
    filename: String,
    /// Always true.
    deleted: bool,
}

impl Deleted {
    pub(crate) fn new(filename: String) -> Self {
        Self { filename, deleted: true }
    }
}

/// What a check found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Verified {
    /// The backup.
    filename: String,
    /// `verified`, `unverified` (it could not be checked) or `failed`.
    verification: &'static str,
    /// `hashes`, `contents` or `restore`.
    level: &'static str,
    /// When.
    #[schema(format = DateTime)]
    checked_at: String,
    /// What is wrong with it, in words.
    problems: Vec<String>,
    /// At the level `restore`: the drill that it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    drill: Option<DrillRecord>,
    /// What else there is to know, for example what a check of an archive without hashes cannot prove.
    notes: Vec<String>,
}

impl From<VerifyReport> for Verified {
    fn from(report: VerifyReport) -> Self {
        Self {
            filename: report.filename.to_string(),
            verification: report.verification.as_str(),
            level: report.level.as_str(),
            checked_at: timestamp(report.checked_at),
            problems: report.problems,
            drill: report.drill.map(DrillRecord::from),
            notes: report.notes,
        }
    }
}

/// What a restore did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Restored {
    /// The id under which it can be rolled back.
    id: String,
    /// The backup.
    filename: String,
    /// Always true: a restore that did not happen is an error.
    restored: bool,
    /// How it was done: `swap` loaded the backup into a scratch database that then took the live one's name; `in_place`
    /// replaced the contents of the live one in one transaction, where recovery may not create databases.
    strategy: &'static str,
    /// When the restored database took over.
    #[schema(format = DateTime)]
    restored_at: String,
    /// The name under which the database that was there before is kept; null where there was none.
    replaced_database: Option<String>,
    /// Until when it is kept.
    #[schema(format = DateTime)]
    kept_until: Option<String>,
    /// The backup of what was there before, where no replaced database is kept; else null.
    safety_backup: Option<String>,
    /// Roles that were missing, and were created without the right to sign in.
    created_roles: Vec<String>,
    /// How many tables were restored.
    tables: u64,
    /// How many rows they have together.
    rows: u64,
    /// The directories of `BACKUP_INCLUDE` and of factory resets whose contents were replaced.
    files: Vec<SwitchedDirectory>,
    /// How many keys of Redis were written back.
    keys_restored: u64,
    /// What there is to know besides.
    warnings: Vec<String>,
}

impl From<RestoreReport> for Restored {
    fn from(report: RestoreReport) -> Self {
        Self {
            id: report.id.to_string(),
            filename: report.filename.to_string(),
            restored: report.restored,
            strategy: report.strategy,
            restored_at: timestamp(report.restored_at),
            replaced_database: report.replaced_database.map(String::from),
            kept_until: report.kept_until.map(timestamp),
            safety_backup: report.safety_backup.map(|name| name.to_string()),
            created_roles: report.created_roles,
            tables: report.tables,
            rows: report.rows,
            files: switched(report.files),
            keys_restored: report.keys_restored,
            warnings: report.warnings,
        }
    }
}

/// What a rollback did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RolledBack {
    /// The id under which the rollback itself can be taken back.
    id: String,
    /// The restore that was taken back.
    rolled_back: String,
    /// When.
    #[schema(format = DateTime)]
    restored_at: String,
    /// The name under which the database that was there before is kept; null where there was none.
    replaced_database: Option<String>,
    /// Until when it is kept.
    #[schema(format = DateTime)]
    kept_until: Option<String>,
    /// The directories of `BACKUP_INCLUDE` and of factory resets whose contents were brought back.
    files: Vec<SwitchedDirectory>,
    /// How many keys of Redis hold again what they held before the restore.
    keys_restored: u64,
    /// What there is to know besides.
    warnings: Vec<String>,
}

impl From<RollbackReport> for RolledBack {
    fn from(report: RollbackReport) -> Self {
        Self {
            id: report.id.to_string(),
            rolled_back: report.rolled_back.to_string(),
            restored_at: timestamp(report.restored_at),
            replaced_database: report.replaced_database.map(String::from),
            kept_until: report.kept_until.map(timestamp),
            files: switched(report.files),
            keys_restored: report.keys_restored,
            warnings: report.warnings,
        }
    }
}

/// A database that a restore or rollback replaced, and that can be brought back.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Replaced {
    /// What a rollback is asked for by.
    id: String,
    /// The backup that took its place; null where it was a rollback, or that is not known any more.
    filename: Option<String>,
    /// When it was replaced.
    #[schema(format = DateTime)]
    restored_at: String,
    /// Its name now.
    replaced_database: String,
    /// Until when it is kept.
    #[schema(format = DateTime)]
    kept_until: String,
    /// The directories that come back with it.
    files: Vec<String>,
    /// Whether keys of Redis come back with it.
    keys: bool,
}

impl From<ReplacedDatabase> for Replaced {
    fn from(replaced: ReplacedDatabase) -> Self {
        Self {
            id: replaced.id.to_string(),
            filename: replaced.filename.map(String::from),
            restored_at: timestamp(replaced.restored_at),
            replaced_database: replaced.replaced_database.into(),
            kept_until: timestamp(replaced.kept_until),
            files: replaced.files.into_iter().map(|directory| directory.name.into()).collect(),
            keys: replaced.keys.is_some(),
        }
    }
}

/// A replaced database was dropped.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DroppedReplaced {
    /// The restore or rollback that had replaced it, and that can no longer be taken back.
    id: String,
    /// The name that it had.
    replaced_database: String,
    /// Always true.
    dropped: bool,
}

impl From<ReplacedDatabase> for DroppedReplaced {
    fn from(replaced: ReplacedDatabase) -> Self {
        Self {
            id: replaced.id.to_string(),
            replaced_database: replaced.replaced_database.into(),
            dropped: true,
        }
    }
}
