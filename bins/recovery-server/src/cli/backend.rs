//! What the commands need, whichever way they get it: from the parts of this process, or from a running service.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use recovery_core::{BackupName, Operation, OperationId, OperationKind, VerifyLevel};
use secrecy::SecretString;
use serde_json::Value;

use super::{
    failure::Failure,
    inference::InferenceOrder,
    reset::ResetOrder,
    view::{Backup, Contents, Restore, Status},
};
use crate::factory_reset;

/// Something that takes long and is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Make a backup.
    Backup,
    /// Check a backup.
    Verify(BackupName, VerifyLevel),
    /// Replace the database by a backup.
    Restore(BackupName),
    /// Take a restore back.
    Rollback(OperationId),
    /// Take in the archive at this path, under this name where it has one.
    Upload(PathBuf, Option<BackupName>),
    /// Wipe what is not kept.
    Reset(ResetOrder),
    /// Change which server of language models serves, or its model.
    Inference(InferenceOrder),
}

impl Task {
    /// The kind of its operation.
    #[must_use]
    pub(super) fn kind(&self) -> OperationKind {
        match self {
            Self::Backup => OperationKind::Backup,
            Self::Verify(_, VerifyLevel::Restore) => OperationKind::Drill,
            Self::Verify(..) => OperationKind::Verify,
            Self::Restore(_) => OperationKind::Restore,
            Self::Rollback(_) => OperationKind::Rollback,
            Self::Upload(..) => OperationKind::Upload,
            Self::Reset(_) => OperationKind::FactoryReset,
            Self::Inference(order) => order.kind,
        }
    }

    /// What it is about.
    #[must_use]
    pub(super) fn target(&self) -> Option<String> {
        match self {
            Self::Backup => None,
            Self::Verify(name, _) | Self::Restore(name) => Some(name.to_string()),
            Self::Rollback(id) => Some(id.to_string()),
            Self::Upload(_, name) => name.as_ref().map(BackupName::to_string),
            Self::Reset(order) => Some(factory_reset::target(&order.keep.join(","))),
            Self::Inference(order) => order.path.first().cloned(),
        }
    }
}

/// A way to get things done.
#[async_trait(?Send)]
pub(super) trait Backend {
    /// Every backup, newest first.
    async fn backups(&self) -> Result<Vec<Backup>, Failure>;

    /// What a backup's manifest says; `None` where the backup has none.
    async fn contents(&self, backup: &BackupName) -> Result<Option<Contents>, Failure>;

    /// Deletes a backup.
    async fn delete(&self, backup: &BackupName) -> Result<(), Failure>;

    /// Pins a backup, or unpins it.
    async fn set_pinned(&self, backup: &BackupName, pinned: bool) -> Result<Backup, Failure>;

    /// Every restore that can be rolled back, newest first.
    async fn restores(&self) -> Result<Vec<Restore>, Failure>;

    /// The overview.
    async fn status(&self) -> Result<Status, Failure>;

    /// The variables of the `.env` that may be seen, secrets masked.
    async fn environment(&self) -> Result<BTreeMap<String, String>, Failure>;

    /// Gives variables new values, all of them or none, and returns them as they may be seen.
    async fn change_environment(
        &self,
        updates: Vec<(String, SecretString)>,
    ) -> Result<BTreeMap<String, String>, Failure>;

    /// The categories that a reset keeps where nobody says anything else.
    async fn kept_by_default(&self) -> Result<Vec<String>, Failure>;

    /// What a reset would do, counted where `exact`.
    async fn preview_reset(&self, order: &ResetOrder, exact: bool) -> Result<Value, Failure>;

    /// Which server of language models serves, and what is being done.
    async fn inference(&self) -> Result<Value, Failure>;

    /// Begins something.
    async fn begin(&self, task: &Task) -> Result<OperationId, Failure>;

    /// An operation as it is now.
    async fn operation(&self, id: OperationId) -> Result<Operation, Failure>;

    /// Asks an operation to stop.
    async fn cancel(&self, id: OperationId) -> Result<(), Failure>;

    /// How often it is worth while to ask for an operation.
    fn pace(&self) -> Duration;
}
