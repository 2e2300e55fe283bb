//! Running the servers of language models: one at a time, and changes between them that drop no request.
//!
//! An [`Owner`] does all of it, and a [`Lifecycle`] is how others speak with it.
//!
//! The gateway caches what it routes by, so that nothing it was told holds at once: [`Drain`] waits that out before it
//! believes a count. [`MakeBeforeBreak`] and [`BreakBeforeMake`] are the two ways of changing, [`choose`] says which,
//! and why. [`Routing`] is what the gateway is told. [`Monitor`] says when a server that does not answer is restarted.

mod break_before_make;
mod choice;
mod drain;
mod error;
mod make_before_break;
mod monitor;
mod owner;
pub(crate) mod routing;
mod start;
mod status;
mod timing;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use recovery_core::{
    Problem, Progress,
    port::{
        Cancelled, Compose, ContainerEngine, Gateway, InferenceServer, OnProgress, PullError, Remaining,
        ServerError, StateError,
    },
};

pub use break_before_make::{BreakBeforeMake, ModelChange};
pub use choice::{Choice, MemoryFacts, Protocol, choose};
pub use drain::{Drain, Left};
pub use error::LifecycleError;
pub use make_before_break::MakeBeforeBreak;
pub use monitor::{Monitor, Sickness, Verdict};
pub use owner::{
    Begun, Done, Herald, InvalidModelName, Lifecycle, Memory, MemoryView, ModelName, Owner, Puller, Refusal,
    STATE_KEY, Wish,
};
pub use routing::{Route, RouteState, Routed, Routing, Selection};
pub use status::{State, Status, Step};
pub use timing::Timing;

use crate::server::{BackendName, BackendSpec, Backends};

/// The variables of the `.env` that name models.
#[async_trait]
pub trait ModelVariables: Send + Sync {
    /// What one says; empty where it is not there.
    async fn get(&self, variable: &str) -> Result<String, Problem>;

    /// Changes one.
    async fn set(&self, variable: &str, model: &str) -> Result<(), Problem>;
}

/// Hears how far a change is, and writes it down.
#[async_trait]
pub trait Witness: Send + Sync {
    /// A step is about to be made that matters after a crash: durable when this returns. Fails where it cannot be
    /// written down; nothing of the step has been done then.
    async fn step(&self, step: Step, detail: String) -> Result<(), StateError>;

    /// A step is about to be made that must be made in any case: it is written down if that is possible.
    async fn note(&self, step: Step, detail: String) {
        // The change goes on: to stop here would leave it half done.
        let _ = self.step(step, detail).await;
    }

    /// The model that a server had before it is given another one: durable when this returns, so that it comes back
    /// whatever happens next.
    async fn previous(&self, model: &str) -> Result<(), StateError>;

    /// Something to show, many times a second if need be.
    fn tell(&self, step: Step, detail: String);

    /// The same while an image is fetched, of which so much is there.
    fn fetching(&self, detail: String, progress: Progress);

    /// Returns when somebody wants the change taken back; never, where nobody does.
    async fn cancelled(&self) -> Cancelled;

    /// From here on the change cannot be taken back. Fails where somebody wanted that before.
    fn seal(&self) -> Result<(), Cancelled>;
}

/// What a change works with.
pub struct Parts {
    /// The servers that there are.
    pub backends: Backends,
    /// A client for each of them.
    pub servers: BTreeMap<BackendName, Arc<dyn InferenceServer>>,
    /// The gateway before them.
    pub gateway: Arc<dyn Gateway>,
    /// Starts and stops their containers. Nobody else may use it while a change is made.
    pub compose: Arc<dyn Compose>,
    /// Tells how their containers fare.
    pub engine: Arc<dyn ContainerEngine>,
    /// The variables that name their models.
    pub models: Arc<dyn ModelVariables>,
    /// What the gateway is told.
    pub routing: Routing,
    /// How long things take.
    pub timing: Timing,
}

/// How much longer than it needs itself a server is given to stop: the engine must not kill it before its own time is
/// over.
const MORE_GRACE: Duration = Duration::from_secs(5);

impl Parts {
    /// The client of a server.
    fn server(&self, spec: &BackendSpec) -> &dyn InferenceServer {
        self.servers.get(spec.name()).map_or(&Nowhere, AsRef::as_ref)
    }

    /// Stops a server, which cuts off what it still has to do. It is given at least as long as its container says.
    async fn stop(&self, spec: &BackendSpec) -> Result<(), LifecycleError> {
        let snapshot = self.engine.snapshot();
        let own = snapshot.of_service(spec.service()).map(|container| container.stop_timeout).max();
        let grace = own.unwrap_or_default().max(spec.stop_grace() + MORE_GRACE);
        self.compose.stop(std::slice::from_ref(spec.service()), Some(grace)).await?;
        Ok(())
    }

    /// Stops a server that did not come up. Where that fails too, what made it fail is what is told.
    async fn remove(&self, spec: &BackendSpec) {
        let _ = self.stop(spec).await;
    }
}

/// Stands for a server without a client: nothing listens there.
struct Nowhere;

#[async_trait]
impl InferenceServer for Nowhere {
    async fn health(&self) -> Result<(), ServerError> {
        Err(nowhere())
    }

    async fn ready(&self) -> Result<Option<String>, ServerError> {
        Err(nowhere())
    }

    async fn remaining(&self) -> Result<Remaining, ServerError> {
        Err(nowhere())
    }

    async fn tokens(&self) -> Result<Option<u64>, ServerError> {
        Err(nowhere())
    }

    async fn models(&self) -> Result<Vec<String>, ServerError> {
        Err(nowhere())
    }

    async fn pull(&self, _model: &str, _progress: OnProgress<'_>) -> Result<(), PullError> {
        Err(nowhere().into())
    }
}

fn nowhere() -> ServerError {
    ServerError::Closed { source: "there is no client for it".into() }
}

/// A change that was made.
#[derive(Debug)]
pub struct Changed {
    /// The model that answered.
    pub model: Option<String>,
    /// What the server before still had to do when it was stopped.
    pub left: Left,
    /// What did not work afterwards: the server before may still run.
    pub warning: Option<LifecycleError>,
}

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failed {
    /// Why.
    pub error: LifecycleError,
    /// The one that serves now: the one before, where it could be kept or brought back.
    pub serving: Option<BackendName>,
}
