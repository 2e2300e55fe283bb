use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Changed, Failed, Left, LifecycleError, Parts, Step, Witness,
    drain::Drain,
    make_before_break::finishes,
    routing::{Route, RouteState, Routed},
    start::start,
};
use crate::server::BackendSpec;

/// A model that a server is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelChange {
    /// The variable of the `.env` that names it.
    pub variable: String,
    /// The new model.
    pub model: String,
    /// The model before, where it is known from an earlier attempt that was cut off.
    pub previous: Option<String>,
}

/// The old server is stopped before the new one is started, which may be the same one again. Meanwhile the gateway has
/// its fallback. Where the new one does not come up, the old one does.
pub struct BreakBeforeMake<'a> {
    /// The one that serves, where one does.
    pub old: Option<&'a BackendSpec>,
    /// The one that is to serve.
    pub new: &'a BackendSpec,
    /// The model that it is to have; otherwise the one that it has.
    pub model: Option<ModelChange>,
    /// How long the old one is given to finish.
    pub deadline: Duration,
    /// Why the change is made this way, in half a sentence.
    pub reason: &'a str,
}

impl BreakBeforeMake<'_> {
    /// Makes the change. May be run again after it was cut off anywhere.
    ///
    /// # Errors
    /// The new one did not come up. Whether the old one serves again stands in the error.
    pub async fn run(&self, parts: &Parts, witness: &dyn Witness) -> Result<Changed, Failed> {
        let mut left = Left::Nothing;
        if let Some(old) = self.old {
            // The gateway may still lead requests to the old one: nobody has told it anything else.
            if let Ok(Routed::Elsewhere) = parts.routing.keep().await {
                let serving = Some(old.name().clone());
                return Err(Failed { error: LifecycleError::Elsewhere, serving });
            }
            left = match drain(parts, old, self.deadline, self.reason, witness).await {
                Ok(left) => left,
                Err(error) => return Err(serves_on(parts, old, error).await),
            };
            if let Err(error) = halt(parts, old, witness).await {
                return Err(self.back(parts, witness, None, error).await);
            }
        }
        let (previous, made) = self.make(parts, witness).await;
        match made {
            Ok(model) => Ok(Changed { model, left, warning: None }),
            Err(error) => Err(self.back(parts, witness, previous, error).await),
        }
    }

    /// Starts the new one. Returns the model before, where it was changed.
    async fn make(
        &self,
        parts: &Parts,
        witness: &dyn Witness,
    ) -> (Option<String>, Result<Option<String>, LifecycleError>) {
        let mut previous = None;
        if let Some(change) = &self.model {
            let words = format!("{} is given the model {}.", self.new.label(), change.model);
            witness.note(Step::Updating, words).await;
            let set = async {
                let before = match &change.previous {
                    Some(previous) => previous.clone(),
                    None => parts.models.get(&change.variable).await.map_err(LifecycleError::Model)?,
                };
                // What cannot be brought back after a crash is not changed.
                witness.previous(&before).await?;
                parts.models.set(&change.variable, &change.model).await.map_err(LifecycleError::Model)?;
                Ok::<_, LifecycleError>(before)
            };
            match set.await {
                Ok(before) => previous = Some(before),
                Err(error) => return (None, Err(error)),
            }
        }
        // A model may take an hour to be fetched: whoever waits for it may have enough.
        let made = tokio::select! {
            made = serve(parts, self.new, witness) => made,
            cancelled = witness.cancelled() => Err(cancelled.into()),
        };
        (previous, made.and_then(|model| Ok(witness.seal().map(|()| model)?)))
    }

    /// The way back: the old one, with the model that it had.
    async fn back(
        &self,
        parts: &Parts,
        witness: &dyn Witness,
        previous: Option<String>,
        error: LifecycleError,
    ) -> Failed {
        let label = self.new.label();
        let words = match &error {
            LifecycleError::Cancelled(_) => {
                format!("The start of {label} was cancelled; what was before is brought back.")
            }
            _ => format!("{label} did not come up; what was before is brought back."),
        };
        witness.note(Step::Error, words).await;
        if let (Some(change), Some(previous)) = (&self.model, &previous) {
            // Where that fails too, the old model cannot come up either, which is then what is told.
            let _ = parts.models.set(&change.variable, previous).await;
        }
        parts.remove(self.new).await;
        // Nothing else can be started than what has just failed.
        let same = |old: &&BackendSpec| old.name() == self.new.name() && self.model.is_none();
        let Some(old) = self.old.filter(|old| !same(old)) else { return Failed { error, serving: None } };
        let serving = serve(parts, old, witness).await.is_ok().then(|| old.name().clone());
        Failed { error, serving }
    }
}

/// Tells the gateway that this server takes no more requests, and waits until it has finished those it has.
///
/// # Errors
/// It cannot be written down, or somebody wants it taken back. The server has not been touched.
pub(super) async fn drain(
    parts: &Parts,
    old: &BackendSpec,
    deadline: Duration,
    reason: &str,
    witness: &dyn Witness,
) -> Result<Left, LifecycleError> {
    let label = old.label();
    let words = format!("{label} takes no new requests and finishes those it has: {reason}.");
    witness.step(Step::Draining, words).await?;
    let drained = async {
        let until = Instant::now() + deadline;
        // Without Redis the gateway cannot be told, and goes on leading requests here: the old one takes them meanwhile,
        // though not for longer than it is given to finish.
        while parts.routing.lead(Route::to(old, RouteState::Draining)).await.is_err()
            && Instant::now() < until
        {
            let words = format!("{label} serves on until Redis is back to tell the gateway.");
            witness.tell(Step::Draining, words);
            sleep(parts.timing.poll).await;
        }
        let since = Instant::now();
        let drain = Drain {
            server: parts.server(old),
            gateway: parts.gateway.as_ref(),
            timing: parts.timing,
            since,
            deadline: until.saturating_duration_since(since),
        };
        drain.wait(&|left| witness.tell(Step::Draining, finishes(label, left))).await
    };
    tokio::select! {
        left = drained => Ok(left),
        cancelled = witness.cancelled() => Err(cancelled.into()),
    }
}

/// Stops a server that takes no more requests.
///
/// # Errors
/// It could not be stopped.
pub(super) async fn halt(
    parts: &Parts,
    old: &BackendSpec,
    witness: &dyn Witness,
) -> Result<(), LifecycleError> {
    witness.note(Step::Stopping, format!("{} is stopped.", old.label())).await;
    parts.stop(old).await
}

/// Leads requests to a server again that was to be stopped and was not touched.
pub(super) async fn serves_on(parts: &Parts, old: &BackendSpec, error: LifecycleError) -> Failed {
    // Its address has not changed, so the gateway may go by any mixture. Where Redis is away, it is told later.
    let _ = parts.routing.lead(Route::to(old, RouteState::Ready)).await;
    Failed { error, serving: Some(old.name().clone()) }
}

/// Starts a server where none serves, and leads requests to it. The gateway learns its address before it may route by
/// it: otherwise it could go by the new `ready` with the address of the old one, which is gone.
pub(super) async fn serve(
    parts: &Parts,
    new: &BackendSpec,
    witness: &dyn Witness,
) -> Result<Option<String>, LifecycleError> {
    let _ = parts.routing.lead(Route::to(new, RouteState::Starting)).await;
    let model = start(parts, new, witness).await?;
    while let Ok(Routed::ReadyAt(at)) = parts.routing.lead(Route::to(new, RouteState::Ready)).await {
        let words = format!("{} answers; the gateway learns where it is.", new.label());
        witness.tell(Step::Loading, words);
        sleep_until(at).await;
    }
    Ok(model)
}
