//! Operations and the audit log.

use recovery_core::port::{AuditEntry, AuditOutcome};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{ProblemBody, timestamp};

/// Something that takes long: how far it is, and what came of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Operation {
    /// Its id.
    id: String,
    /// What it does: `backup`, `verify`, `restore`, `rollback`, `drop_replaced`, `delete_backup`, …
    kind: &'static str,
    /// `running`, `succeeded`, `failed`, `cancelled`, or `interrupted` by the end of the service.
    state: &'static str,
    /// When it began.
    #[schema(format = DateTime)]
    started_at: String,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    /// Who asked for it.
    actor: String,
    /// Where it is, or was when it ended.
    progress: Progress,
    /// What it is about, for example the name of a backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    /// Why it did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ProblemBody>,
}

/// Where an operation is. `done` goes from 0 to `total` within each phase.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Progress {
    /// The phase.
    phase: String,
    /// How much of it is done.
    done: u64,
    /// How much it has in all, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// What is counted: `bytes`, `tables`, `keys`, `files` or `steps`.
    unit: &'static str,
    /// In phases that go through tables while they count bytes: how many are begun, and how many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    tables: Option<[u64; 2]>,
}

impl From<recovery_core::Operation> for Operation {
    fn from(operation: recovery_core::Operation) -> Self {
        Self::from(&operation)
    }
}

impl From<&recovery_core::Operation> for Operation {
    fn from(operation: &recovery_core::Operation) -> Self {
        Self {
            id: operation.id.to_string(),
            kind: operation.kind.as_str(),
            state: operation.state.as_str(),
            started_at: timestamp(operation.started_at),
            finished_at: operation.finished_at.map(timestamp),
            actor: operation.actor.to_string(),
            progress: Progress::from(&operation.progress),
            target: operation.target.clone(),
            result: operation.result.clone(),
            error: operation.error.as_ref().map(ProblemBody::from),
        }
    }
}

impl From<&recovery_core::Progress> for Progress {
    fn from(progress: &recovery_core::Progress) -> Self {
        Self {
            phase: progress.phase.clone(),
            done: progress.done,
            total: progress.total,
            unit: progress.unit.as_str(),
            tables: progress.tables.map(<[u64; 2]>::from),
        }
    }
}

/// Who did what, when.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct AuditRecord {
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// Who.
    actor: String,
    /// What, for example `restore`.
    action: String,
    /// To what.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// `accepted` (its operation tells the rest), `succeeded`, `refused` or `failed`.
    outcome: &'static str,
    /// The operation that it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<String>,
}

impl From<AuditEntry> for AuditRecord {
    fn from(entry: AuditEntry) -> Self {
        Self {
            at: timestamp(entry.at),
            actor: entry.actor.to_string(),
            action: entry.action,
            target: entry.target,
            outcome: match entry.outcome {
                AuditOutcome::Accepted => "accepted",
                AuditOutcome::Succeeded => "succeeded",
                AuditOutcome::Refused => "refused",
                AuditOutcome::Failed => "failed",
            },
            operation_id: entry.operation_id.map(|id| id.to_string()),
        }
    }
}
