//! One look at the health of the server that serves.

use std::{sync::Arc, time::Duration};

use recovery_core::{
    container::{Container, ContainerId, ContainerState, RestartPolicy, Snapshot, Standing},
    port::{InferenceServer, ServerError},
};

use crate::{
    lifecycle::{Parts, Sickness},
    server::{BackendSpec, InFlight},
};

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is well.
    Well {
        /// The model that answered, where one was asked.
        model: Option<String>,
    },
    /// It is sick.
    Sick(Sickness),
    /// Somebody has stopped its container: they will have wanted that.
    StoppedByHand,
}

/// A container, and how often the engine had restarted it.
pub(super) type Restarts = (ContainerId, u64);

/// One look.
pub(super) struct Look {
    pub(super) seen: Seen,
    /// What the next look has to know.
    pub(super) restarts: Option<Restarts>,
}

/// Looks; `before` is what the last look saw of its restarts.
pub(super) async fn look(parts: &Parts, spec: &BackendSpec, before: Option<&Restarts>) -> Look {
    let snapshot = containers(parts).await;
    let container = snapshot.as_ref().and_then(|snapshot| snapshot.of_service(spec.service()).next());
    let restarts = container.map(|container| (container.id.clone(), container.restart_count));
    let seen = match (&snapshot, container) {
        (Some(_), None) => Seen::Sick(Sickness::Gone),
        (_, Some(container)) => match of_container(container) {
            Some(seen) => seen,
            // It may be up at each look and have ended in between, with all that it had in hand.
            None if ended_since(before, restarts.as_ref()) => Seen::Sick(Sickness::EndsAgain),
            None => of_server(parts, spec).await,
        },
        // Where the engine does not say, the server is asked all the same.
        (None, None) => of_server(parts, spec).await,
    };
    Look { seen, restarts }
}

/// What the engine's watcher knows, without asking the engine again. `None` while the engine does not answer.
async fn containers(parts: &Parts) -> Option<Arc<Snapshot>> {
    let known = parts.engine.snapshot();
    match known.standing() {
        Standing::Up(_) => Some(known),
        // Nobody has looked yet.
        Standing::Unasked => parts.engine.look().await.ok(),
        Standing::Away(_) => None,
    }
}

fn of_container(container: &Container) -> Option<Seen> {
    match container.state {
        ContainerState::Exited | ContainerState::Created if was_stopped(container) => {
            Some(Seen::StoppedByHand)
        }
        ContainerState::Exited | ContainerState::Dead => Some(Seen::Sick(Sickness::Ended)),
        _ => None,
    }
}

fn ended_since(before: Option<&Restarts>, now: Option<&Restarts>) -> bool {
    matches!((before, now), (Some((id, before)), Some((same, now))) if id == same && now > before)
}

async fn of_server(parts: &Parts, spec: &BackendSpec) -> Seen {
    let server = parts.server(spec);
    let answer = match (server.health().await, spec.in_flight()) {
        // To ask a model of an Ollama would keep it in memory for ever.
        (Ok(()), InFlight::Metrics { .. }) => answers(server, patience(parts)).await,
        (Ok(()), InFlight::Unload) => Ok(None),
        (Err(error), _) => Err(error),
    };
    match answer {
        Ok(model) => Seen::Well { model },
        Err(ServerError::Closed { .. }) => Seen::Sick(Sickness::Closed),
        Err(ServerError::Status { status }) => Seen::Sick(Sickness::Status(status)),
        Err(ServerError::Hung { .. }) => Seen::Sick(Sickness::Hung),
        Err(ServerError::Broken { .. } | ServerError::Unreadable { .. }) => Seen::Sick(Sickness::Confused),
    }
}

/// How long a server that serves is waited for: a look that takes longer than the time to the next one is none.
fn patience(parts: &Parts) -> Duration {
    parts.timing.monitor.clamp(Duration::from_secs(5), Duration::from_secs(60))
}

/// Whether a model answers. Under a heavy load a request may wait longer than anybody wants to: a server that makes
/// tokens meanwhile does not hang, and to restart it would be to cut all of them off.
async fn answers(server: &dyn InferenceServer, within: Duration) -> Result<Option<String>, ServerError> {
    let before = server.tokens().await.ok().flatten();
    let asked = tokio::time::timeout(within, server.ready()).await;
    let answer = asked.unwrap_or(Err(ServerError::Hung { within }));
    if let (Err(ServerError::Hung { .. }), Some(before)) = (&answer, before)
        && let Ok(Some(after)) = server.tokens().await
        && after > before
    {
        return Ok(None);
    }
    answer
}

/// The engine starts a container again that ended by itself, where its policy says so; one that ended and stays so was
/// stopped. Without such a policy only the exit status tells: 0, or the signals that stop programs.
fn was_stopped(container: &Container) -> bool {
    match container.restart_policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure | RestartPolicy::No => {
            matches!(container.exit_code, None | Some(0 | 130 | 137 | 143))
        }
    }
}
