//! One look at the health of the server that serves.

use recovery_core::{
    container::{Container, ContainerState, RestartPolicy},
    port::{InferenceServer, ServerError},
};

use crate::{
    lifecycle::{Parts, Sickness},
    server::{BackendSpec, InFlight},
};

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is well.
    Well,
    /// It is sick.
    Sick(Sickness),
    /// Somebody has stopped its container: they will have wanted that.
    StoppedByHand,
}

pub(super) async fn look(parts: &Parts, spec: &BackendSpec) -> Seen {
    // Where the engine does not say, the server is asked all the same.
    if let Ok(snapshot) = parts.engine.look().await {
        let Some(container) = snapshot.of_service(spec.service()).next() else {
            return Seen::Sick(Sickness::Gone);
        };
        match container.state {
            ContainerState::Exited | ContainerState::Created if was_stopped(container) => {
                return Seen::StoppedByHand;
            }
            ContainerState::Exited | ContainerState::Dead => return Seen::Sick(Sickness::Ended),
            _ => {}
        }
    }
    let server = parts.server(spec);
    let answer = match (server.health().await, spec.in_flight()) {
        // To ask a model of an Ollama would keep it in memory for ever.
        (Ok(()), InFlight::Metrics { .. }) => answers(server).await,
        (answer, _) => answer,
    };
    match answer {
        Ok(()) => Seen::Well,
        Err(ServerError::Closed { .. }) => Seen::Sick(Sickness::Closed),
        Err(ServerError::Status { status }) => Seen::Sick(Sickness::Status(status)),
        Err(ServerError::Hung { .. }) => Seen::Sick(Sickness::Hung),
        Err(ServerError::Broken { .. } | ServerError::Unreadable { .. }) => Seen::Sick(Sickness::Confused),
    }
}

/// Whether a model answers. Under a heavy load a request may wait longer than anybody wants to: a server that makes
/// tokens meanwhile does not hang, and to restart it would be to cut all of them off.
async fn answers(server: &dyn InferenceServer) -> Result<(), ServerError> {
    let before = server.tokens().await.ok().flatten();
    let answer = server.ready().await.map(drop);
    if let (Err(ServerError::Hung { .. }), Some(before)) = (&answer, before)
        && let Ok(Some(after)) = server.tokens().await
        && after > before
    {
        return Ok(());
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
