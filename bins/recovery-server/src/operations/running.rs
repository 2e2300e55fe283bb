//! The task of one operation: publishes how far it is, at a bounded pace, and decides how it ended.

use std::{sync::Arc, time::Duration};

use recovery_core::{ErrorCode, Operation, OperationState, Problem};
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use super::{
    Failure, Happening,
    context::StopReason,
    history,
    registry::{Entry, Inner},
};

/// Progress is published this often at most.
const PACE: Duration = Duration::from_millis(200);

/// Runs an operation to its end, whatever that end is.
pub(super) async fn drive<F>(inner: &Inner, entry: &Entry, work: F)
where
    F: Future<Output = Result<Value, Failure>> + Send + 'static,
{
    // In a task of its own, so that a panic ends the operation and nothing else.
    let mut task = inner.runtime.spawn(work);
    entry.control.may_abort(task.abort_handle());
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut published = entry.state.borrow().progress.clone();
    let ended = loop {
        tokio::select! {
            ended = &mut task => break ended,
            _ = pace.tick() => {
                let operation = Arc::clone(&entry.state.borrow());
                if operation.progress != published {
                    published = operation.progress.clone();
                    inner.events.publish(Happening::Operation(operation));
                }
            }
        }
    };
    let mut operation = (**entry.state.borrow()).clone();
    operation.finished_at = Some(inner.clock.now());
    let stopped = entry.control.stopped();
    let operation = match ended {
        Ok(Ok(result)) => Operation { state: OperationState::Succeeded, result: Some(result), ..operation },
        Ok(Err(failure)) => failed(operation, failure.log(), stopped),
        Err(lost) if lost.is_panic() => {
            tracing::error!("an operation panicked; what it had changed may need clearing up");
            let problem = Problem::new(ErrorCode::Internal, "Something went wrong that should not happen.")
                .hint("The log of the recovery service has the details; please report them.");
            failed(operation, problem, stopped)
        }
        Err(_) => {
            let at = inner.clock.now();
            history::interrupted(operation, at)
        }
    };
    inner.finish(entry, operation).await;
}

fn failed(operation: Operation, problem: Problem, stopped: Option<StopReason>) -> Operation {
    let state = match (problem.code, stopped) {
        (ErrorCode::Cancelled, Some(StopReason::ServiceEnds)) => {
            let at = operation.finished_at.unwrap_or(operation.started_at);
            return history::interrupted(operation, at);
        }
        // What it is about goes on in the next process.
        (ErrorCode::Interrupted, _) => {
            let at = operation.finished_at.unwrap_or(operation.started_at);
            return history::interrupted(operation, at);
        }
        (ErrorCode::Cancelled, _) => OperationState::Cancelled,
        _ => OperationState::Failed,
    };
    let problem = match problem.operation_id {
        // A failure that names another operation, the one in the way, goes on naming that one.
        Some(_) => problem,
        None => problem.operation(operation.id),
    };
    Operation { state, error: Some(problem), ..operation }
}
