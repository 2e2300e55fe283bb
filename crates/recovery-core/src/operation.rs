//! Everything that takes longer than a second is an [`Operation`]: HTTP answers, event streams, progress bars and the
//! audit log are views of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Problem;

/// Names one operation for ever; sorts by the time of its start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(Uuid);

/// A text that is not the id of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an operation")]
pub struct InvalidOperationId;

impl OperationId {
    /// A new id.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default id would hide that each one is different")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The random end of the id, 12 hexadecimal digits: short enough to be part of a database's name.
    #[must_use]
    pub fn short(&self) -> String {
        let text = self.0.simple().to_string();
        text.chars().skip(20).collect()
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for OperationId {
    type Err = InvalidOperationId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidOperationId)
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OperationKind {
    /// Makes a backup.
    Backup,
    /// Checks a backup.
    Verify,
    /// Checks a backup by restoring it into a scratch database.
    Drill,
    /// Replaces the database by the contents of a backup.
    Restore,
    /// Takes a restore back.
    Rollback,
    /// Removes a database that a restore replaced.
    DropReplaced,
    /// Takes in a backup from elsewhere.
    Upload,
    /// Deletes a backup.
    DeleteBackup,
    /// Clears up what operations that were cut off have left.
    CleanUp,
    /// Restarts a service of the platform.
    RestartService,
    /// Restarts the services of the platform.
    RestartServices,
    /// Starts the services of a Compose profile.
    StartProfile,
    /// Stops the services of a Compose profile.
    StopProfile,
    /// Wipes the categories of data that are not kept.
    FactoryReset,
    /// Lets a server of language models serve, in the place of the one that does.
    StartBackend,
    /// Stops the server of language models that serves.
    StopBackend,
    /// Gives a server of language models another model.
    SwitchModel,
    /// Lets the server of language models that serves fetch a model.
    PullModel,
}

impl OperationKind {
    /// The name as it appears in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::Drill => "drill",
            Self::Restore => "restore",
            Self::Rollback => "rollback",
            Self::DropReplaced => "drop_replaced",
            Self::Upload => "upload",
            Self::DeleteBackup => "delete_backup",
            Self::CleanUp => "clean_up",
            Self::RestartService => "restart_service",
            Self::RestartServices => "restart_services",
            Self::StartProfile => "start_profile",
            Self::StopProfile => "stop_profile",
            Self::FactoryReset => "factory_reset",
            Self::StartBackend => "start_backend",
            Self::StopBackend => "stop_backend",
            Self::SwitchModel => "switch_model",
            Self::PullModel => "pull_model",
        }
    }
}

impl fmt::Display for OperationKind {
    /// In words, as part of a sentence: "a restore is running".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backup => "backup",
            Self::Verify => "verification",
            Self::Drill => "restore drill",
            Self::Restore => "restore",
            Self::Rollback => "rollback",
            Self::DropReplaced => "removal of a replaced database",
            Self::Upload => "upload",
            Self::DeleteBackup => "deletion of a backup",
            Self::CleanUp => "clean-up after an interruption",
            Self::RestartService => "restart of a service",
            Self::RestartServices => "restart of all services",
            Self::StartProfile => "start of a profile",
            Self::StopProfile => "stop of a profile",
            Self::FactoryReset => "factory reset",
            Self::StartBackend => "start of an inference server",
            Self::StopBackend => "stop of the inference server",
            Self::SwitchModel => "change of a model",
            Self::PullModel => "download of a model",
        })
    }
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// It is under way.
    Running,
    /// It did what it was to do.
    Succeeded,
    /// It failed; what it had changed was undone.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// The service ended while it ran.
    Interrupted,
}

impl OperationState {
    /// The name as it appears in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What the numbers of a [`Progress`] count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes.
    #[default]
    Bytes,
    /// Tables.
    Tables,
    /// Keys of Redis.
    Keys,
    /// Files.
    Files,
    /// Steps that are neither.
    Steps,
}

impl Unit {
    /// The name as it appears in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Tables => "tables",
            Self::Keys => "keys",
            Self::Files => "files",
            Self::Steps => "steps",
        }
    }
}

/// Where an operation is. `done` goes from 0 to `total` within each phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The phase, a stable word such as `dumping`.
    pub phase: String,
    /// How much of the phase is done.
    pub done: u64,
    /// How much the phase has in all, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What is counted.
    pub unit: Unit,
    /// Tables begun so far and tables in all, in the phases that go through tables while they count bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<(u64, u64)>,
}

impl Progress {
    /// The beginning of a phase whose length is not known.
    pub fn phase(phase: impl Into<String>) -> Self {
        Self { phase: phase.into(), done: 0, total: None, unit: Unit::Steps, tables: None }
    }

    /// So many bytes of so many.
    pub fn bytes(phase: impl Into<String>, done: u64, total: Option<u64>) -> Self {
        Self { phase: phase.into(), done, total, unit: Unit::Bytes, tables: None }
    }
}

/// Who asked for something, as it is written down: never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actor(String);

impl Actor {
    /// The longest text that is kept, in characters.
    pub const MAX_CHARS: usize = 200;

    /// Somebody, in a few words such as `admin secret from 127.0.0.1` or `command line (root)`. Control characters
    /// are dropped, so that a name cannot forge a line of a log.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().chars().filter(|c| !c.is_control()).take(Self::MAX_CHARS).collect())
    }

    /// The service itself: its schedule or its start.
    #[must_use]
    pub fn service() -> Self {
        Self("recovery service".to_owned())
    }

    /// The words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One long action: what it is, who asked for it, how far it is and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// How far it is.
    pub state: OperationState,
    /// When it began, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended, UTC.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<OffsetDateTime>,
    /// Who asked for it.
    pub actor: Actor,
    /// Where it is, or was when it ended.
    pub progress: Progress,
    /// What it is about, for example the name of a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

impl Operation {
    /// An operation that begins now.
    #[must_use]
    pub fn begin(
        id: OperationId,
        kind: OperationKind,
        actor: Actor,
        target: Option<String>,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            id,
            kind,
            state: OperationState::Running,
            started_at: now,
            finished_at: None,
            actor,
            progress: Progress::phase("starting"),
            target,
            result: None,
            error: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_have_a_short_form() {
        let (first, second) = (OperationId::new(), OperationId::new());
        assert!(first < second);
        assert_eq!(first.short().len(), 12);
        assert_ne!(first.short(), second.short());
        assert_eq!(first.to_string().parse(), Ok(first));
    }

    #[test]
    fn an_actor_cannot_forge_a_line() {
        assert_eq!(Actor::new("x\nadmin\u{7f}").as_str(), "xadmin");
        assert_eq!(Actor::new("é".repeat(900)).as_str().chars().count(), Actor::MAX_CHARS);
    }
}
