//! What an operation was about to do when it passed the step that cannot be undone.

use std::path::PathBuf;

use recovery_core::{BackupName, OperationId, database::DatabaseName};
use serde::{Deserialize, Serialize};

use super::FileStamp;
use crate::files::Switch;

/// The names of a swap that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingSwap {
    pub live: DatabaseName,
    pub incoming: DatabaseName,
    pub retired: DatabaseName,
}

/// Directories that change together with databases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingFiles {
    /// The name of the live database.
    pub live: DatabaseName,
    /// What the present one is called once the other has taken over; `None` where there is none.
    pub retired: Option<DatabaseName>,
    /// The directories.
    pub switches: Vec<Switch>,
    /// Whether it is known that the databases have changed. Until then their names tell it; but a database that was
    /// replaced may be dropped later, and the directories must follow all the same.
    #[serde(default)]
    pub swapped: bool,
}

/// Keys of Redis that change together with databases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingKeys {
    /// The operation.
    pub id: OperationId,
    /// As in [`PendingFiles`].
    pub live: DatabaseName,
    /// As in [`PendingFiles`].
    pub retired: Option<DatabaseName>,
    /// What they are to hold.
    pub source: KeySource,
    /// The directory for what they held before, complete once it is there; `None` where nobody would bring it back.
    pub keep_in: Option<PathBuf>,
    /// As in [`PendingFiles`].
    #[serde(default)]
    pub swapped: bool,
    /// Whether all of them are written, so that only tidying up is left.
    #[serde(default)]
    pub written: bool,
}

/// What keys are to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeySource {
    /// What they hold in this backup, if it still is this file.
    Backup {
        /// Its name.
        name: BackupName,
        /// The file.
        stamp: FileStamp,
    },
    /// What they held before a restore or rollback, as that has noted it in this directory.
    Kept {
        /// The directory.
        directory: PathBuf,
    },
}
