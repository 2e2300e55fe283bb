//! What the commands show of a reset, read from the answers of the parts or of a service.

use std::collections::BTreeMap;

use recovery_core::BackupName;
use serde::Deserialize;

/// What would go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Preview {
    pub(super) possible: bool,
    pub(super) wiped: Vec<String>,
    pub(super) kept: Vec<String>,
    pub(super) totals: Totals,
    pub(super) categories: Vec<Category>,
    pub(super) following: Vec<Following>,
    pub(super) references_cleared: Vec<Cleared>,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) reseed: Reseed,
    pub(super) redis_error: Option<String>,
    pub(super) warnings: Vec<String>,
}

/// How much would go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Totals {
    pub(super) rows: u64,
    pub(super) redis_keys: u64,
    pub(super) files: u64,
    pub(super) file_bytes: u64,
    pub(super) backups: u64,
    pub(super) backup_bytes: u64,
    pub(super) exact: bool,
}

/// What would go of a category.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Category {
    pub(super) key: String,
    pub(super) tables: Vec<Rows>,
    pub(super) redis: Vec<Keys>,
    pub(super) directories: Vec<Directory>,
    pub(super) backups: Option<Backups>,
}

/// A table and its rows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rows {
    pub(super) table: String,
    pub(super) rows: u64,
    pub(super) exact: bool,
}

/// Keys in a numbered database.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Keys {
    pub(super) database: u8,
    pub(super) keys: u64,
    pub(super) exact: bool,
}

/// A directory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Directory {
    pub(super) path: String,
    pub(super) exists: bool,
    pub(super) files: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) problem: Option<String>,
}

/// Backups.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Backups {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

/// A table in no category of which rows would go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Following {
    pub(super) table: String,
    pub(super) rows: u64,
    pub(super) of: u64,
    pub(super) exact: bool,
    pub(super) refers_to: Vec<String>,
}

/// Rows that would lose a reference.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cleared {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
    pub(super) refers_to: String,
    pub(super) rows: u64,
    pub(super) exact: bool,
}

/// Rows that are in the way.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Conflict {
    pub(super) message: String,
    pub(super) hint: String,
}

/// Whether migrations would run, or do run, again.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reseed {
    #[serde(alias = "done")]
    pub(super) planned: bool,
    pub(super) why: String,
    pub(super) orchestrator: Option<String>,
}

/// What went.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Done {
    pub(super) wiped: Vec<String>,
    pub(super) errors: Option<Vec<String>>,
    pub(super) stats: Stats,
    pub(super) detail: Detail,
    pub(super) safety_backup: Option<Safety>,
    pub(super) reseed: Reseed,
}

/// How much went.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stats {
    pub(super) tables_truncated: u64,
    pub(super) rows_deleted: u64,
    pub(super) redis_keys_deleted: u64,
    pub(super) filesystem_files_removed: u64,
    pub(super) filesystem_bytes_reclaimed: u64,
    pub(super) backup_files_removed: u64,
    pub(super) backup_bytes_reclaimed: u64,
}

/// What went, in detail.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Detail {
    pub(super) rows: BTreeMap<String, u64>,
    pub(super) pinned_backups: Vec<String>,
}

/// The backup that holds what went.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Safety {
    pub(super) filename: BackupName,
}
