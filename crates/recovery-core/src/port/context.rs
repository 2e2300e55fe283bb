use async_trait::async_trait;
use serde_json::Value;

use super::StateError;
use crate::{OperationId, Progress};

/// Somebody asked the operation to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operation was cancelled")]
pub struct Cancelled;

/// What the code that carries out an operation sees of it.
#[async_trait]
pub trait OperationContext: Send + Sync {
    /// The operation's id.
    fn id(&self) -> OperationId;

    /// Says how far it is. Cheap: may be called many times a second.
    fn report(&self, progress: Progress);

    /// Whether somebody asked it to stop.
    fn is_cancelled(&self) -> bool;

    /// Returns when somebody asks it to stop; never, where nobody does.
    async fn cancelled(&self);

    /// From here on the operation cannot be cancelled: what follows must go to its end. Fails where it was cancelled
    /// before.
    fn seal(&self) -> Result<(), Cancelled>;

    /// Writes a step to the journal, durable when this returns, so that the next start knows how far it came.
    async fn record(&self, step: &str, facts: Value) -> Result<(), StateError>;
}

/// The context of an operation that nobody watches: never cancelled, progress unheard, steps unrecorded. For programs
/// that embed a crate and do not keep a journal.
#[derive(Clone, Debug)]
pub struct Unwatched(OperationId);

impl Unwatched {
    /// The context of a new operation.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each one has an id of its own")]
    pub fn new() -> Self {
        Self(OperationId::new())
    }
}

#[async_trait]
impl OperationContext for Unwatched {
    fn id(&self) -> OperationId {
        self.0
    }

    fn report(&self, _progress: Progress) {}

    fn is_cancelled(&self) -> bool {
        false
    }

    async fn cancelled(&self) {
        std::future::pending::<()>().await;
    }

    fn seal(&self) -> Result<(), Cancelled> {
        Ok(())
    }

    async fn record(&self, _step: &str, _facts: Value) -> Result<(), StateError> {
        Ok(())
    }
}
