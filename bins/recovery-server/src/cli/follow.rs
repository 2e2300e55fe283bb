//! Follows an operation to its end, and passes Ctrl-C on to it: the first cancels, the second leaves at once.

use std::{io, time::Duration};

use async_trait::async_trait;
use recovery_core::{ErrorCode, Operation, OperationId, OperationState, Problem};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

use super::{
    backend::{Backend, Task},
    failure::{Failure, Status},
    output::Output,
    progress::ProgressView,
};

/// A service that does not answer for this long is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Says when somebody wants to stop.
#[async_trait(?Send)]
pub(super) trait Interrupts {
    /// Returns when somebody asks to stop, each time once.
    async fn next(&mut self);
}

/// SIGINT and SIGTERM of this process.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on: neither ends the process any more.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }
}

#[async_trait(?Send)]
impl Interrupts for Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Begins something and follows it to its end. Returns the operation where it succeeded. Beginning may take long, as
/// where a database does not answer: an interrupt ends it at once.
///
/// # Errors
/// It could not be begun, did not succeed, or was left.
pub(super) async fn carry_out(
    backend: &dyn Backend,
    task: &Task,
    interrupts: &mut dyn Interrupts,
    output: &mut Output,
) -> Result<Operation, Failure> {
    let id = tokio::select! {
        begun = backend.begin(task) => begun?,
        () = interrupts.next() => return Err(not_begun()),
    };
    let mut view = ProgressView::new(output);
    let ended = to_the_end(backend, id, interrupts, &mut view, output).await;
    view.end();
    succeeded(ended?)
}

async fn to_the_end(
    backend: &dyn Backend,
    id: OperationId,
    interrupts: &mut dyn Interrupts,
    view: &mut ProgressView,
    output: &mut Output,
) -> Result<Operation, Failure> {
    let mut asked_to_stop = false;
    let mut heard = Instant::now();
    loop {
        match backend.operation(id).await {
            Ok(operation) => {
                heard = Instant::now();
                view.show(&operation, output.stderr());
                if operation.state != OperationState::Running {
                    return Ok(operation);
                }
            }
            // The service may be starting anew; the operation is journalled there.
            Err(failure) if failure.status == Status::Unavailable && heard.elapsed() < PATIENCE => {}
            Err(failure) => return Err(failure),
        }
        tokio::select! {
            () = tokio::time::sleep(backend.pace()) => {}
            () = interrupts.next() => {
                if asked_to_stop {
                    return Err(left(id));
                }
                asked_to_stop = true;
                let text = match backend.cancel(id).await {
                    Ok(()) => "Cancelling; interrupt again to leave at once.".to_owned(),
                    Err(failure) => format!("{} Waiting for its end; interrupt again to leave.", failure.problem.detail),
                };
                view.say(&text, output.stderr());
            }
        }
    }
}

fn not_begun() -> Failure {
    let detail = "Interrupted before it was known that the operation had begun.";
    Failure::from(Problem::new(ErrorCode::Cancelled, detail)).hint("Look at `nova-recovery status`.")
}

fn left(id: OperationId) -> Failure {
    let detail = "Left before the operation had ended.";
    Failure::from(Problem::new(ErrorCode::Cancelled, detail).operation(id)).hint(
        "Look at `nova-recovery status`; what an operation leaves half done is cleared up by the next one.",
    )
}

fn succeeded(operation: Operation) -> Result<Operation, Failure> {
    match (operation.state, operation.error) {
        (OperationState::Succeeded, _) => Ok(Operation { error: None, ..operation }),
        (_, Some(problem)) => Err(problem.into()),
        (state, None) => {
            let code = match state {
                OperationState::Cancelled => ErrorCode::Cancelled,
                OperationState::Interrupted => ErrorCode::Interrupted,
                _ => ErrorCode::Internal,
            };
            let detail = format!("The {} ended as {}.", operation.kind, state.as_str());
            Err(Problem::new(code, detail).operation(operation.id).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use recovery_core::{Actor, BackupName, OperationKind};
    use time::macros::datetime;

    use std::collections::BTreeMap;

    use secrecy::SecretString;
    use serde_json::Value;

    use super::*;
    use crate::cli::{
        args::Global,
        reset::ResetOrder,
        view::{Backup, Contents, Restore, Status as Overview},
    };

    /// A backend whose operation goes through the given answers, the last again and again, and that ends as cancelled
    /// once it is asked to.
    struct Scripted {
        answers: RefCell<Vec<Result<Operation, Failure>>>,
        may_begin: bool,
        may_cancel: bool,
        cancelled: Cell<u32>,
    }

    fn operation(state: OperationState, error: Option<Problem>) -> Operation {
        let at = datetime!(2026-01-31 12:00 UTC);
        let begun = Operation::begin(OperationId::new(), OperationKind::Backup, Actor::service(), None, at);
        Operation { state, error, ..begun }
    }

    fn scripted(mut answers: Vec<Result<Operation, Failure>>) -> Scripted {
        answers.reverse();
        Scripted {
            answers: RefCell::new(answers),
            may_begin: true,
            may_cancel: true,
            cancelled: Cell::new(0),
        }
    }

    #[async_trait(?Send)]
    impl Backend for Scripted {
        async fn backups(&self) -> Result<Vec<Backup>, Failure> {
            unreachable!()
        }
        async fn contents(&self, _: &BackupName) -> Result<Option<Contents>, Failure> {
            unreachable!()
        }
        async fn delete(&self, _: &BackupName) -> Result<(), Failure> {
            unreachable!()
        }
        async fn set_pinned(&self, _: &BackupName, _: bool) -> Result<Backup, Failure> {
            unreachable!()
        }
        async fn restores(&self) -> Result<Vec<Restore>, Failure> {
            unreachable!()
        }
        async fn status(&self) -> Result<Overview, Failure> {
            unreachable!()
        }
        async fn environment(&self) -> Result<BTreeMap<String, String>, Failure> {
            unreachable!()
        }
        async fn change_environment(
            &self,
            _: Vec<(String, SecretString)>,
        ) -> Result<BTreeMap<String, String>, Failure> {
            unreachable!()
        }
        async fn kept_by_default(&self) -> Result<Vec<String>, Failure> {
            unreachable!()
        }
        async fn preview_reset(&self, _: &ResetOrder, _: bool) -> Result<Value, Failure> {
            unreachable!()
        }
        async fn inference(&self) -> Result<Value, Failure> {
            unreachable!()
        }
        async fn begin(&self, _: &Task) -> Result<OperationId, Failure> {
            if !self.may_begin {
                std::future::pending::<()>().await;
            }
            Ok(OperationId::new())
        }
        async fn operation(&self, _: OperationId) -> Result<Operation, Failure> {
            if self.may_cancel && self.cancelled.get() > 0 {
                let problem = Problem::new(ErrorCode::Cancelled, "The operation was cancelled.");
                return Ok(operation(OperationState::Cancelled, Some(problem)));
            }
            let mut answers = self.answers.borrow_mut();
            answers.pop().unwrap_or_else(|| Ok(operation(OperationState::Running, None)))
        }
        async fn cancel(&self, id: OperationId) -> Result<(), Failure> {
            self.cancelled.set(self.cancelled.get() + 1);
            let sealed = Problem::new(ErrorCode::Conflict, "It has passed the point.").operation(id);
            if self.may_cancel { Ok(()) } else { Err(sealed.into()) }
        }
        fn pace(&self) -> Duration {
            Duration::from_millis(100)
        }
    }

    /// Interrupts this often.
    struct Presses(u32);

    #[async_trait(?Send)]
    impl Interrupts for Presses {
        async fn next(&mut self) {
            if self.0 == 0 {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.0 -= 1;
        }
    }

    async fn follow(backend: &Scripted, presses: u32) -> Result<OperationState, Status> {
        let mut output = Output::new(&Global { quiet: true, ..Global::default() });
        carry_out(backend, &Task::Backup, &mut Presses(presses), &mut output)
            .await
            .map(|operation| operation.state)
            .map_err(|failure| failure.status)
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_is_followed_to_its_end() {
        let running = || Ok(operation(OperationState::Running, None));
        let backend = scripted(vec![running(), running(), Ok(operation(OperationState::Succeeded, None))]);
        assert_eq!(follow(&backend, 0).await, Ok(OperationState::Succeeded));

        let problem = Problem::new(ErrorCode::BackupDamaged, "Damaged.");
        let backend = scripted(vec![running(), Ok(operation(OperationState::Failed, Some(problem)))]);
        assert_eq!(follow(&backend, 0).await, Err(Status::Damaged));

        let backend = scripted(vec![Ok(operation(OperationState::Interrupted, None))]);
        assert_eq!(follow(&backend, 0).await, Err(Status::Failed));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_interrupt_cancels_and_waits_for_the_end() {
        let backend = scripted(Vec::new());
        assert_eq!(follow(&backend, 1).await, Err(Status::Cancelled));
        assert_eq!(backend.cancelled.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interrupt_ends_what_does_not_begin() {
        let backend = Scripted { may_begin: false, ..scripted(Vec::new()) };
        let ended = tokio::time::timeout(Duration::from_secs(60), follow(&backend, 1)).await;
        assert_eq!(ended.unwrap(), Err(Status::Cancelled));
        assert_eq!(backend.cancelled.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn past_the_point_of_no_return_the_second_interrupt_leaves() {
        let backend = Scripted { may_cancel: false, ..scripted(Vec::new()) };
        assert_eq!(follow(&backend, 2).await, Err(Status::Cancelled));
        assert_eq!(backend.cancelled.get(), 1);

        let running = || Ok(operation(OperationState::Running, None));
        let ends = vec![running(), running(), Ok(operation(OperationState::Succeeded, None))];
        let backend = Scripted { may_cancel: false, ..scripted(ends) };
        assert_eq!(follow(&backend, 1).await, Ok(OperationState::Succeeded));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_away_for_a_moment_is_waited_for() {
        let away = || Err(Failure::unavailable("away"));
        let backend = scripted(vec![away(), away(), Ok(operation(OperationState::Succeeded, None))]);
        assert_eq!(follow(&backend, 0).await, Ok(OperationState::Succeeded));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_service_refuses_is_not_asked_again() {
        let refused = Problem::new(ErrorCode::Unauthorized, "No.");
        let backend = scripted(vec![Err(refused.into()), Ok(operation(OperationState::Succeeded, None))]);
        assert_eq!(follow(&backend, 0).await, Err(Status::Failed));
    }
}
