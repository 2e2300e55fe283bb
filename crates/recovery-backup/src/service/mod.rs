//! The service: what can be done with backups. Each file adds one of its abilities.

mod after_commit;
mod catalogue;
mod check;
mod create;
mod cut_off;
mod drill;
mod files;
mod in_place;
mod includes;
mod keys;
mod legacy;
mod legacy_files;
mod load;
mod lock;
mod reconcile;
mod remove;
mod replaceable;
mod restore;
mod rollback;
mod safety;
mod script;
mod sql;
mod take_over;
mod tool_run;
mod upload;

use std::{path::PathBuf, sync::Arc};

use recovery_core::{
    BackupName,
    port::{Clock, CommandRunner, DatabaseAdmin, DocumentStore, KeySpace},
};

pub use catalogue::BackupFile;
pub use lock::{DirectoryLock, ExclusiveLock};
pub use reconcile::Reconciled;
pub use safety::LockedBackups;

use crate::{BackupSettings, records::Records};
use catalogue::ManifestCache;

/// Makes, checks, restores and removes backups of one database.
///
/// What changes something takes a lock that the caller got before ([`BackupService::lock`]), so that a refusal comes
/// at once and code that forgets the lock does not compile.
pub struct BackupService {
    settings: BackupSettings,
    database: Arc<dyn DatabaseAdmin>,
    runner: Arc<dyn CommandRunner>,
    clock: Arc<dyn Clock>,
    /// Redis; `None` where the service has nothing to do with it.
    keys: Option<Arc<dyn KeySpace>>,
    records: Records,
    manifests: Arc<ManifestCache>,
}

impl BackupService {
    /// A service over these ports. Touches nothing yet.
    #[must_use]
    pub fn new(
        settings: BackupSettings,
        database: Arc<dyn DatabaseAdmin>,
        runner: Arc<dyn CommandRunner>,
        documents: Arc<dyn DocumentStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let records = Records::new(documents, settings.directory.join(".records.lock"));
        Self { settings, database, runner, clock, keys: None, records, manifests: Arc::default() }
    }

    /// With the keys of this Redis, which safety backups may hold and restores of these bring back.
    #[must_use]
    pub fn with_keys(self, keys: Arc<dyn KeySpace>) -> Self {
        Self { keys: Some(keys), ..self }
    }

    /// How many bytes can still be written to the disk with the backups, and how many it has in all.
    ///
    /// # Errors
    /// Where the disk does not answer, within two seconds.
    pub async fn room(&self) -> Result<(u64, u64), crate::BackupError> {
        crate::space::of(self.settings.directory.clone()).await
    }

    /// The path of a backup's file. A [`BackupName`] is a plain file name, so this stays in the directory.
    fn path(&self, name: &BackupName) -> PathBuf {
        self.settings.directory.join(name.as_str())
    }
}
