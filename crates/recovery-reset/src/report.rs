//! What a reset did.

use std::{collections::BTreeMap, path::PathBuf};

use recovery_core::{BackupInfo, BackupName, port::DirectorySize, schema::WipedRows};

use crate::{CategoryKey, plan::Reseed};

/// What a reset did. Its rows are gone all or none; of the rest, `errors` says what is still there.
#[derive(Debug)]
pub struct ResetReport {
    /// The categories that were wiped, in the order of the file.
    pub wiped: Vec<CategoryKey>,
    /// The categories that were kept, in the order of the file.
    pub kept: Vec<CategoryKey>,
    /// What should be gone and is not, in sentences that say why and what to do.
    pub errors: Vec<String>,
    /// How many tables were emptied.
    pub tables: u64,
    /// Which rows went.
    pub rows: WipedRows,
    /// How many keys went, by numbered database.
    pub keys: BTreeMap<u8, u64>,
    /// What went of each directory.
    pub directories: Vec<(PathBuf, DirectorySize)>,
    /// The backups that went, and their sizes in bytes.
    pub backups: Vec<(BackupName, u64)>,
    /// Backups that did not go, because they are pinned.
    pub pinned: Vec<BackupName>,
    /// The backup that holds what went.
    pub safety_backup: Option<BackupInfo>,
    /// Whether migrations are to run again; where that is planned, their table is empty now.
    pub reseed: Reseed,
}
