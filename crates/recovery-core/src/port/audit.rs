use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::StateError;
use crate::{Actor, OperationId};

/// How an audited action went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// It was begun: its operation tells the rest.
    Accepted,
    /// It was done.
    Succeeded,
    /// It was refused: the request was wrong, or something was in the way.
    Refused,
    /// It was tried, and failed.
    Failed,
}

/// Who did what, when. Never a secret, never the body of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Who.
    pub actor: Actor,
    /// What: a stable word such as `restore` or `sign_in`.
    pub action: String,
    /// To what, for example the name of a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How it went.
    pub outcome: AuditOutcome,
    /// The operation that it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
}

/// The audit log: append-only, bounded in size by dropping the oldest.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Appends an entry; durable when this returns.
    async fn append(&self, entry: AuditEntry) -> Result<(), StateError>;

    /// The newest entries, newest first, at most `limit`.
    async fn newest(&self, limit: usize) -> Result<Vec<AuditEntry>, StateError>;
}
