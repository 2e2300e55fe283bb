//! How others speak with the owner.

use std::{sync::Arc, time::Duration};

use recovery_core::{
    ErrorCode, Problem,
    port::{InferenceServer, OnProgress, OperationContext, PullError},
};
use tokio::sync::{mpsc, oneshot, watch};

use super::wish::{Begun, Command, ModelName, Refusal, Wish};
use crate::lifecycle::{Parts, State, Status};

/// Speaks with the owner. Clones speak with the same one.
#[derive(Clone)]
pub struct Lifecycle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) parts: Arc<Parts>,
}

impl Lifecycle {
    /// How things stand. Never waits.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Hears of every change of the status.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Asks for something. The server that has to go is given `deadline` for the requests that it has; `context` is
    /// told how far it is.
    ///
    /// # Errors
    /// It is refused, and nothing has changed.
    pub async fn ask(
        &self,
        wish: Wish,
        deadline: Duration,
        context: Arc<dyn OperationContext>,
    ) -> Result<Begun, Refusal> {
        let (reply, answer) = oneshot::channel();
        let command = Command { wish, deadline, context, reply };
        self.commands.send(command).await.map_err(|_| Refusal::Ending)?;
        answer.await.unwrap_or(Err(Refusal::Ending))
    }

    /// The server that serves, where it fetches models when it is asked to.
    ///
    /// # Errors
    /// None serves, it is just being changed, or it is one that fetches none.
    pub fn puller(&self) -> Result<Puller, Refusal> {
        let status = self.status();
        let spec = status.backend.and_then(|name| self.parts.backends.get(&name));
        match (status.state, spec) {
            (State::Starting | State::Draining | State::Switching, _) => Err(Refusal::Busy),
            (State::Stopped, _) | (_, None) => Err(Refusal::NothingServes),
            (State::Ready | State::Error, Some(spec)) => match self.parts.servers.get(spec.name()) {
                Some(server) if spec.fetches_models() => {
                    Ok(Puller { label: spec.label().to_owned(), server: Arc::clone(server) })
                }
                _ => Err(Refusal::FetchesNothing { backend: spec.label().to_owned() }),
            },
        }
    }
}

/// A server that fetches models.
pub struct Puller {
    label: String,
    server: Arc<dyn InferenceServer>,
}

impl Puller {
    /// Its name for people.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Fetches a model. When the future is dropped, it stops; what it has so far it need not fetch again.
    ///
    /// # Errors
    /// The server says that it cannot, in words that may hold anything, or does not do what it should.
    pub async fn pull(&self, model: &ModelName, progress: OnProgress<'_>) -> Result<(), Problem> {
        let label = &self.label;
        let Err(error) = self.server.pull(model.as_str(), progress).await else { return Ok(()) };
        let problem =
            |code, words: String| Problem::new(code, format!("{label} has not fetched {model}: {words}."));
        Err(match error {
            PullError::Server(error) => problem(ErrorCode::DependencyUnavailable, error.to_string())
                .hint("Check that it runs, then try again: what it has so far it need not fetch again."),
            PullError::Stalled { .. } => problem(ErrorCode::TimedOut, error.to_string())
                .hint("Check its connection, then try again: what it has so far it need not fetch again."),
            PullError::Refused { said } => {
                problem(ErrorCode::ServiceFailed, format!("it says \u{201c}{said}\u{201d}")).hint(
                    "Check the name of the model, and whether the machine reaches where models come from.",
                )
            }
            PullError::Unsupported => problem(ErrorCode::InvalidRequest, error.to_string()),
        })
    }
}
