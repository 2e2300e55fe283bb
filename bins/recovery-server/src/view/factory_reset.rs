//! Factory reset: its categories, and what went.

use std::collections::BTreeMap;

use recovery_reset::{Category, CategoryKey, ResetReport};
use serde::Serialize;
use utoipa::ToSchema;

use super::Backup;

/// What belongs together, and is wiped or kept as a whole.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ResetCategory {
    /// Its name for programs.
    #[schema(example = "chat_history")]
    key: String,
    /// Its name for people.
    label: String,
    /// What is in it, in words.
    description: String,
    /// Whether it is usually kept.
    default_keep: bool,
    /// What a person should know before it is wiped.
    destructive_warning: Option<String>,
}

impl From<&Category> for ResetCategory {
    fn from(category: &Category) -> Self {
        Self {
            key: category.key.to_string(),
            label: category.label.clone(),
            description: category.description.clone(),
            default_keep: category.default_keep,
            destructive_warning: category.destructive_warning.clone(),
        }
    }
}

/// What a factory reset did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ResetDone {
    /// The categories that were wiped.
    wiped: Vec<String>,
    /// The categories that were kept.
    kept: Vec<String>,
    /// What should be gone and is not, and how to go on; `null` where everything is.
    errors: Option<Vec<String>>,
    /// How much went.
    stats: ResetStats,
    /// What went, in detail.
    detail: ResetDetail,
    /// The backup that holds what went; `null` where none was to be made, or nothing went.
    safety_backup: Option<Backup>,
    /// Whether the platform's migrations run again.
    reseed: Reseeded,
}

/// How much went.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ResetStats {
    /// Tables that were emptied.
    tables_truncated: u64,
    /// Rows that were deleted, in these tables and in those that follow them.
    rows_deleted: u64,
    /// Keys of Redis that were removed.
    redis_keys_deleted: u64,
    /// Files that were removed.
    filesystem_files_removed: u64,
    /// Bytes of these files.
    filesystem_bytes_reclaimed: u64,
    /// Backups that were removed.
    backup_files_removed: u64,
    /// Bytes of these backups.
    backup_bytes_reclaimed: u64,
}

/// What went, in detail.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ResetDetail {
    /// How many rows each table has lost; a table that lost none is not there.
    rows: BTreeMap<String, u64>,
    /// References that rows have lost that are still there.
    references_cleared: Vec<ClearedRows>,
    /// How many keys each numbered database of Redis has lost.
    redis: BTreeMap<String, u64>,
    /// What each directory has lost.
    directories: Vec<EmptiedDirectory>,
    /// The backups that were removed.
    backups: Vec<String>,
    /// Backups that are still there because they are pinned.
    pinned_backups: Vec<String>,
}

/// Rows that have lost a reference to a row that went.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ClearedRows {
    /// Their table.
    table: String,
    /// The foreign key.
    foreign_key: String,
    /// How many.
    rows: u64,
}

/// A directory that was emptied.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct EmptiedDirectory {
    /// Its path.
    path: String,
    /// How many files are gone.
    files: u64,
    /// How many bytes they had.
    bytes: u64,
}

/// Whether the platform's migrations run again.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Reseeded {
    /// Whether they do: what the platform notes of them was emptied in the reset.
    done: bool,
    /// Why, or why not.
    why: String,
    /// What became of the orchestrator, which runs them when it starts: `restarted`, or why it was not and what to do;
    /// `null` where it was not to be restarted.
    orchestrator: Option<String>,
}

impl Reseeded {
    pub(crate) fn new(done: bool, why: String, orchestrator: Option<String>) -> Self {
        Self { done, why, orchestrator }
    }
}

impl ResetDone {
    pub(crate) fn new(report: ResetReport, reseed: Reseeded) -> Self {
        let keys = |keys: Vec<CategoryKey>| keys.iter().map(CategoryKey::to_string).collect();
        let files = report
            .directories
            .iter()
            .fold((0, 0), |(files, bytes): (u64, u64), (_, gone)| (files + gone.files, bytes + gone.bytes));
        Self {
            stats: ResetStats {
                tables_truncated: report.tables,
                rows_deleted: report.rows.deleted.values().sum(),
                redis_keys_deleted: report.keys.values().sum(),
                filesystem_files_removed: files.0,
                filesystem_bytes_reclaimed: files.1,
                backup_files_removed: report.backups.len() as u64,
                backup_bytes_reclaimed: report.backups.iter().map(|(_, size)| size).sum(),
            },
            detail: ResetDetail {
                rows: report.rows.deleted.iter().map(|(table, rows)| (table.to_string(), *rows)).collect(),
                references_cleared: report
                    .rows
                    .references_cleared
                    .iter()
                    .map(|(key, rows)| ClearedRows {
                        table: key.table.to_string(),
                        foreign_key: key.name.clone(),
                        rows: *rows,
                    })
                    .collect(),
                redis: report.keys.iter().map(|(database, keys)| (database.to_string(), *keys)).collect(),
                directories: report
                    .directories
                    .iter()
                    .map(|(path, gone)| EmptiedDirectory {
                        path: path.display().to_string(),
                        files: gone.files,
                        bytes: gone.bytes,
                    })
                    .collect(),
                backups: report.backups.iter().map(|(name, _)| name.to_string()).collect(),
                pinned_backups: report.pinned.iter().map(ToString::to_string).collect(),
            },
            wiped: keys(report.wiped),
            kept: keys(report.kept),
            errors: Some(report.errors).filter(|errors| !errors.is_empty()),
            safety_backup: report.safety_backup.map(Backup::from),
            reseed,
        }
    }
}
