//! What a backup is: an archive that is proven or does not exist, and a restore that cannot lose anything.
//!
//! [`BackupService`] does the work: [`create`](BackupService::create) runs `pg_dump` against one snapshot and packs
//! its output with a [`Manifest`] that holds the SHA-256 of every member; [`restore`](BackupService::restore) loads an
//! archive into a scratch database, compares it with the manifest and swaps names in one transaction;
//! [`rollback`](BackupService::rollback) swaps back. The crate reaches PostgreSQL and external programs only through
//! the ports of `recovery-core`.

mod archive;
mod complaint;
mod directory;
mod error;
mod files;
mod keys;
mod legacy;
mod manifest;
mod records;
mod report;
mod retention;
mod service;
mod settings;
mod space;
mod tools;
mod work;

pub use error::BackupError;
pub use files::{IncludeName, IncludedDirectory, InvalidIncludeName, KeptDirectory};
pub use manifest::{IncludedFiles, IncludedKeys, Manifest, Member};
pub use report::{
    KeptKeys, ReplacedDatabase, RestoreReport, RetentionReport, RollbackReport, SwitchedDirectory,
    VerifyReport,
};
pub use retention::{Removal, RemovalReason, RetentionPolicy, to_remove};
pub use service::{BackupFile, BackupService, DirectoryLock, ExclusiveLock, LockedBackups, Reconciled};
pub use settings::{BackupSettings, Compression};
