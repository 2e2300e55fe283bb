use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::{Operation, OperationId};

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read.
    #[error("cannot read {what} in the state directory")]
    Read {
        /// What was to be read.
        what: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {what} in the state directory")]
    Write {
        /// What was to be written.
        what: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// What stands there is not what this version wrote or can read.
    #[error("{what} in the state directory is not readable: {why}")]
    Format {
        /// What was read.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// When it was written, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The operation.
    pub operation: OperationId,
    /// What happened.
    #[serde(flatten)]
    pub event: JournalEvent,
}

/// What happened to an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum JournalEvent {
    /// It began; as it was then.
    Started {
        /// The operation.
        snapshot: Box<Operation>,
    },
    /// It is about to do, or has done, something that matters after a crash.
    Step {
        /// The step, a stable word such as `swapping`.
        step: String,
        /// What the next start needs to know, for example the names of databases.
        facts: Value,
    },
    /// It ended; as it was then.
    Finished {
        /// The operation.
        snapshot: Box<Operation>,
    },
}

/// The journal of operations: append-only, durable.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends an entry; durable when this returns.
    async fn append(&self, entry: JournalEntry) -> Result<(), StateError>;

    /// Everything that is still kept, oldest first. A last line that a crash cut short is left out.
    async fn entries(&self) -> Result<Vec<JournalEntry>, StateError>;
}
