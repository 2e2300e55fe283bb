//! What a running operation sees of the registry.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use recovery_core::{
    Operation, OperationId, OperationKind, Progress, crash_point,
    port::{Cancelled, Clock, Journal, JournalEntry, JournalEvent, OperationContext, StateError},
};
use serde_json::Value;
use tokio::{sync::watch, task::AbortHandle};
use tokio_util::sync::CancellationToken;

/// Who asked an operation to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// A person.
    Cancelled,
    /// The service, because it ends.
    ServiceEnds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    Sealed,
    Stopped(StopReason),
}

/// The gate that either a cancellation or the seal passes first, never both.
#[derive(Debug)]
pub(super) struct Control {
    gate: Mutex<Gate>,
    token: CancellationToken,
    task: OnceLock<AbortHandle>,
}

/// The operation has passed the point from which it must go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IsSealed;

impl Control {
    pub(super) fn new() -> Self {
        Self { gate: Mutex::new(Gate::Open), token: CancellationToken::new(), task: OnceLock::new() }
    }

    /// Asks the operation to stop; the first reason stays.
    pub(super) fn stop(&self, reason: StopReason) -> Result<(), IsSealed> {
        let mut gate = self.gate();
        match *gate {
            Gate::Sealed => return Err(IsSealed),
            Gate::Open => *gate = Gate::Stopped(reason),
            Gate::Stopped(_) => {}
        }
        drop(gate);
        self.token.cancel();
        Ok(())
    }

    /// Why it was asked to stop, if it was.
    pub(super) fn stopped(&self) -> Option<StopReason> {
        match *self.gate() {
            Gate::Stopped(reason) => Some(reason),
            Gate::Open | Gate::Sealed => None,
        }
    }

    /// Names the task that carries the operation out.
    pub(super) fn may_abort(&self, task: AbortHandle) {
        let _ = self.task.set(task);
    }

    /// Cuts the operation off where it stands, unless it must go on.
    pub(super) fn abort_unless_sealed(&self) {
        let gate = self.gate();
        if let (Gate::Open | Gate::Stopped(_), Some(task)) = (*gate, self.task.get()) {
            task.abort();
        }
    }

    fn seal(&self) -> Result<(), Cancelled> {
        let mut gate = self.gate();
        match *gate {
            Gate::Stopped(_) => Err(Cancelled),
            Gate::Open | Gate::Sealed => {
                *gate = Gate::Sealed;
                Ok(())
            }
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The context of one running operation.
pub(super) struct Context {
    pub(super) id: OperationId,
    pub(super) kind: OperationKind,
    pub(super) state: watch::Sender<Arc<Operation>>,
    pub(super) control: Arc<Control>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl OperationContext for Context {
    fn id(&self) -> OperationId {
        self.id
    }

    fn report(&self, progress: Progress) {
        // Whoever waits for the end is not woken; the task that runs the operation publishes what changed, at its
        // own pace.
        self.state.send_if_modified(|operation| {
            if operation.finished_at.is_none() {
                Arc::make_mut(operation).progress = progress;
            }
            false
        });
    }

    fn is_cancelled(&self) -> bool {
        self.control.stopped().is_some()
    }

    async fn cancelled(&self) {
        self.control.token.cancelled().await;
    }

    fn seal(&self) -> Result<(), Cancelled> {
        self.control.seal()?;
        crash_point(format_args!("{}:sealed", self.kind.as_str()));
        Ok(())
    }

    async fn record(&self, step: &str, facts: Value) -> Result<(), StateError> {
        // A backup gets its name only once it runs; who asks for the operation is to see it.
        if let Some(filename) = facts.get("filename").and_then(Value::as_str) {
            self.state.send_if_modified(|operation| {
                let operation = Arc::make_mut(operation);
                operation.target.get_or_insert_with(|| filename.to_owned());
                false
            });
        }
        let event = JournalEvent::Step { step: step.to_owned(), facts };
        let entry = JournalEntry { at: self.clock.now(), operation: self.id, event };
        crash_point(format_args!("{}:{step}:before", self.kind.as_str()));
        self.journal.append(entry).await?;
        crash_point(format_args!("{}:{step}:after", self.kind.as_str()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_the_seal_or_the_cancellation_wins() {
        let control = Control::new();
        assert_eq!(control.seal(), Ok(()));
        assert_eq!(control.stop(StopReason::Cancelled), Err(IsSealed));
        assert!(!control.token.is_cancelled());

        let control = Control::new();
        assert_eq!(control.stop(StopReason::Cancelled), Ok(()));
        assert_eq!(control.stop(StopReason::ServiceEnds), Ok(()));
        assert_eq!(control.seal(), Err(Cancelled));
        assert_eq!(control.stopped(), Some(StopReason::Cancelled));
        assert!(control.token.is_cancelled());
    }
}
