//! Changes of the servers of language models that somebody asks for, as operations.

use std::{sync::Arc, time::Duration};

use recovery_core::{Actor, ErrorCode, Operation, OperationId, OperationKind, Problem};
use recovery_inference::{
    lifecycle::{Begun, Done, Refusal, State, Wish},
    server::{BackendName, BackendSpec},
};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::context::Awaited;
use crate::{
    actions::to_value,
    app::App,
    compose::ProfilesFollow,
    operations::{Failure, NewOperation, Operations},
    view::BackendChanged,
};

/// How long the owner is given to say whether it agrees: it is at work only while it looks at what runs.
const PATIENCE: Duration = Duration::from_secs(20);

/// The operations that change servers of language models.
pub(crate) const KINDS: [OperationKind; 3] =
    [OperationKind::StartBackend, OperationKind::StopBackend, OperationKind::SwitchModel];

/// A change that somebody asks for.
pub(crate) struct Change {
    pub(crate) actor: Actor,
    pub(crate) wish: Wish,
    /// How long the server that has to go is given for its requests; otherwise as the settings say.
    pub(crate) drain: Option<Duration>,
}

/// What became of the question.
pub(crate) enum Answer {
    /// It is under way.
    Accepted(Box<Operation>),
    /// The same server is being started already, by this operation where it is known.
    AlreadyStarting(Option<OperationId>),
}

impl App {
    /// Changes which server of language models serves, or its model. Returns at once; `result` makes the operation's
    /// result of what came of it.
    ///
    /// # Errors
    /// It is refused, and nothing has changed.
    pub(crate) async fn change_backend<R, F>(&self, change: Change, result: R) -> Result<Answer, Failure>
    where
        R: FnOnce(Done, Option<Problem>) -> F + Send + 'static,
        F: Future<Output = Result<Value, Failure>> + Send + 'static,
    {
        let Change { actor, wish, drain } = change;
        let new =
            NewOperation { id: OperationId::new(), kind: kind(&wish), actor, target: self.target_of(&wish) };
        let context = Awaited::new(new.id, self.stopping.clone());
        let (lifecycle, operations) = (self.backends.lifecycle.clone(), self.operations.clone());
        let deadline = drain.unwrap_or(self.backends.drain);
        let follow = ProfilesFollow::new(self.environment.clone(), &self.backends.specs);
        let stopping = self.stopping.clone();
        let asked = self.begun(async move {
            let asked = lifecycle.ask(wish, deadline, Arc::clone(&context) as Arc<_>);
            let Ok(asked) = tokio::time::timeout(PATIENCE, asked).await else {
                return Err(Problem::new(
                    ErrorCode::DependencyUnavailable,
                    "It is still being looked at which inference server runs.",
                )
                .hint("Try again in a moment.")
                .into());
            };
            let end = match asked {
                Ok(Begun::Accepted(end)) => end,
                Ok(Begun::AlreadyStarting) => return Ok(None),
                Err(refusal) => return Err(refused(refusal, &operations).into()),
            };
            let begun = Arc::clone(&context);
            let started = operations.start(new, move |context| async move {
                begun.begins(context);
                let done = ended(end, &stopping).await?;
                let warning = follow.serving(done.serving.as_ref()).await.err();
                result(done, warning).await
            });
            started.await.map(Some).inspect_err(|_| context.never_begins())
        });
        Ok(match asked.await? {
            Some(operation) => Answer::Accepted(Box::new(operation)),
            None => Answer::AlreadyStarting(self.backend_change().map(|running| running.id)),
        })
    }

    /// The change of a server of language models that is under way.
    pub(crate) fn backend_change(&self) -> Option<Operation> {
        under_way(&self.operations)
    }

    /// Whether its owner has this server in hand, so that nobody else may stop it: it serves, or failed to.
    ///
    /// # Errors
    /// Servers are being changed: which of them may be stopped is known afterwards.
    pub(crate) fn is_owned(&self, spec: &BackendSpec) -> Result<bool, Problem> {
        let status = self.backends.lifecycle.status();
        match status.state {
            State::Starting | State::Draining | State::Switching => {
                Err(self.with_backend_change(Refusal::Busy.into()))
            }
            State::Ready | State::Error => Ok(status.backend.as_ref() == Some(spec.name())),
            State::Stopped => Ok(false),
        }
    }

    /// A refusal that names the change that is in the way.
    pub(crate) fn with_backend_change(&self, problem: Problem) -> Problem {
        in_the_way(problem, &self.operations)
    }

    /// The server of language models of this name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn backend(&self, name: &str) -> Result<&BackendSpec, Problem> {
        let found = name.parse::<BackendName>().ok().and_then(|name| self.backends.specs.get(&name));
        found.ok_or_else(|| {
            let known = self.backends.in_order().into_iter().map(|spec| spec.name().clone()).collect();
            Problem::from(Refusal::UnknownBackend { known })
        })
    }

    fn target_of(&self, wish: &Wish) -> Option<String> {
        match wish {
            Wish::Stop => self.backends.lifecycle.status().backend.map(|name| name.to_string()),
            _ => target(wish),
        }
    }
}

fn under_way(operations: &Operations) -> Option<Operation> {
    operations.running().into_iter().find(|operation| KINDS.contains(&operation.kind))
}

fn refused(refusal: Refusal, operations: &Operations) -> Problem {
    let busy = refusal == Refusal::Busy;
    let problem = Problem::from(refusal);
    if busy { in_the_way(problem, operations) } else { problem }
}

fn in_the_way(problem: Problem, operations: &Operations) -> Problem {
    match under_way(operations) {
        Some(running) => problem.operation(running.id),
        None => problem,
    }
}

/// What kind of operation a wish is.
pub(super) fn kind(wish: &Wish) -> OperationKind {
    match wish {
        Wish::Start { .. } => OperationKind::StartBackend,
        Wish::Stop => OperationKind::StopBackend,
        Wish::SwitchModel { .. } => OperationKind::SwitchModel,
    }
}

/// What a wish is about.
pub(super) fn target(wish: &Wish) -> Option<String> {
    match wish {
        Wish::Start { backend } => Some(backend.to_string()),
        Wish::SwitchModel { backend, model } => Some(format!("{backend} {model}")),
        Wish::Stop => None,
    }
}

/// Waits for the end of a change, or of the service, after which the next process goes on with it.
pub(super) async fn ended(
    end: oneshot::Receiver<Result<Done, Problem>>,
    stopping: &CancellationToken,
) -> Result<Done, Failure> {
    let interrupted =
        || Problem::new(ErrorCode::Interrupted, "The service ends; the next start goes on with it.");
    tokio::select! {
        biased;
        ended = end => Ok(ended.unwrap_or_else(|_| Err(interrupted()))?),
        () = stopping.cancelled() => Err(interrupted().into()),
    }
}

/// The result of an operation that changed a server.
pub(crate) fn to_result(done: Done, warning: Option<Problem>) -> Result<Value, Failure> {
    to_value(BackendChanged::new(done, warning))
}
