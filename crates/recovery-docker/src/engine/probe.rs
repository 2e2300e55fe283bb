//! A program in a container of its own, which is removed whatever becomes of it.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use recovery_core::{
    container::ContainerId,
    port::{EngineError, ExecOutput, GpuRequest, MAX_INFO, Probe},
};
use serde_json::{Value, json};

use super::{PATIENCE, error, exec::Keep as _, output::Frames, session::Session, within};

const DOING: &str = "looking at the GPUs from a container";
/// The label of such containers, by which those are found that a crash left. Its value is the time, in Unix seconds, after
/// which nobody looks after the container any more.
const LABEL: &str = "io.nova-recovery.probe";
/// No probe lives as long: whatever its label says, one this old was left by a crash.
const LEFT: Duration = Duration::from_secs(300);
/// How long making a container may go on after nobody waits for it any more.
const MAKING: Duration = Duration::from_secs(60);
/// How long removing one may take.
const REMOVAL: Duration = Duration::from_secs(15);

/// What the engine says of itself.
pub(super) async fn info(session: &Session) -> Result<String, EngineError> {
    let doing = "asking the container engine about itself";
    let asked = async {
        let mut answer = pin!(session.raw().get("/info"));
        let mut bytes = Vec::new();
        while let Some(piece) = answer.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| error::of_engine(doing, error))?);
            if bytes.len() > MAX_INFO {
                let source = format!("more than {MAX_INFO} bytes").into();
                return Err(EngineError::Broken { doing, source });
            }
        }
        String::from_utf8(bytes).map_err(|error| EngineError::Broken { doing, source: error.into() })
    };
    within(PATIENCE, doing, asked).await
}

/// Runs a program in a container that is made for it.
pub(super) async fn run(session: &Arc<Session>, probe: Probe) -> Result<ExecOutput, EngineError> {
    if let Err(error) = remove_leftovers(session).await {
        // It is tried again at the next look.
        tracing::warn!("containers that looked at GPUs earlier cannot be looked for: {error}");
    }
    let limit = probe.timeout;
    let most = probe.max_output;
    let removal = within(limit.min(PATIENCE), DOING, make_removable(session, probe)).await?;
    let ran = within(limit, DOING, follow(session, &removal.id, most)).await;
    // Who waits for the answer waits for the removal too: the container is gone when it is there.
    removal.now().await;
    ran
}

/// Makes the container in a task of its own: the engine makes it also where nobody waits for its answer any more, and
/// then it is removed as soon as there is one.
async fn make_removable(session: &Arc<Session>, probe: Probe) -> Result<RemoveOnDrop, EngineError> {
    let session = Arc::clone(session);
    let making = tokio::spawn(async move {
        let id = within(MAKING, DOING, make(&session, probe)).await?;
        Ok(RemoveOnDrop { session: Some(session), id })
    });
    making.await.map_err(|error| EngineError::Broken { doing: DOING, source: error.into() })?
}

async fn make(session: &Session, probe: Probe) -> Result<ContainerId, EngineError> {
    let dead = now().saturating_add_unsigned((probe.timeout + MAKING + REMOVAL * 2).as_secs());
    let mut command = probe.command.into_iter();
    let devices = match probe.gpus {
        GpuRequest::Runtime => json!([{ "Driver": "", "Count": -1, "Capabilities": [["gpu"]] }]),
        GpuRequest::Cdi => json!([{ "Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"] }]),
        GpuRequest::None => Value::Null,
    };
    let body = json!({
        "Image": probe.image,
        "Entrypoint": [command.next()],
        "Cmd": command.collect::<Vec<String>>(),
        "User": "0",
        "Tty": false,
        // The runtime mounts its tools for this capability.
        "Env": ["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=utility"],
        "Labels": { LABEL: dead.to_string() },
        "NetworkDisabled": true,
        "HostConfig": {
            "NetworkMode": "none",
            "RestartPolicy": { "Name": "no" },
            "CapDrop": ["ALL"],
            "LogConfig": { "Type": "json-file", "Config": { "max-size": "2m" } },
            "DeviceRequests": devices,
        },
    });
    let made = session.raw().make_container(body.to_string()).await;
    let id = made.map_err(|error| error::of_engine(DOING, error))?;
    id.parse().map_err(|error| EngineError::Broken { doing: DOING, source: Box::new(error) })
}

/// Starts it, waits for its end, and reads what it printed.
async fn follow(session: &Session, id: &ContainerId, most: usize) -> Result<ExecOutput, EngineError> {
    let of_container = |error| error::of_container(DOING, id, error);
    session.raw().start_container(id).await.map_err(of_container)?;
    let exit_code = session.raw().wait_for_container(id).await.map_err(of_container)?;
    let mut output = ExecOutput { exit_code, stdout: vec![], stderr: vec![], truncated: false };
    let endpoint = format!("/containers/{}/logs?stdout=true&stderr=true", id.as_str());
    let mut pieces = pin!(session.raw().get(&endpoint));
    let mut frames = Frames::default();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(of_container)?;
        let taken = frames.take(&piece, |stream, piece| output.keep(stream, piece, most));
        taken.map_err(|error| EngineError::Broken { doing: DOING, source: error.into() })?;
        if output.truncated {
            break;
        }
    }
    Ok(output)
}

/// Removes what a crash left.
pub(super) async fn remove_leftovers(session: &Session) -> Result<(), EngineError> {
    let doing = "looking for containers that looked at GPUs";
    let found = async {
        session.raw().containers_with_label(LABEL).await.map_err(|error| error::of_engine(doing, error))
    };
    let now = now();
    for found in within(PATIENCE, doing, found).await? {
        let id = found.id.parse().ok().filter(|_| is_left(&found.label, found.created, now));
        if let Some(id) = id {
            remove(session, &id).await;
        }
    }
    Ok(())
}

/// Whether nobody looks after a container with this label any more, which was made at this time. Another service may be
/// looking at the GPUs just now.
fn is_left(label: &str, created: i64, now: i64) -> bool {
    let is_dead = label.parse().is_ok_and(|dead: i64| now > dead);
    is_dead || now.saturating_sub(created).unsigned_abs() > LEFT.as_secs()
}

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

async fn remove(session: &Session, id: &ContainerId) {
    match tokio::time::timeout(REMOVAL, session.raw().remove_container(id)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(container = %id, "a container that looked at GPUs is left: {error}"),
        Err(_) => tracing::warn!(container = %id, "a container that looked at GPUs is not removed in time"),
    }
}

/// Removes the container also where nobody waits any more.
struct RemoveOnDrop {
    session: Option<Arc<Session>>,
    id: ContainerId,
}

impl RemoveOnDrop {
    async fn now(mut self) {
        if let Some(session) = &self.session {
            remove(session, &self.id).await;
        }
        // Only now: whoever is cancelled while it removes removes in the background.
        self.session = None;
    }
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        if let (Some(session), Ok(runtime)) = (self.session.take(), tokio::runtime::Handle::try_current()) {
            let id = self.id.clone();
            runtime.spawn(async move { remove(&session, &id).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_looks_after_any_more_is_left() {
        for (label, created, left) in [
            ("1100", 1000, false),
            ("1000", 1000, false),
            ("999", 1000, true),
            ("1000000", 600, true),
            ("true", 900, false),
            ("true", 600, true),
            ("", 600, true),
            // A clock that was set back.
            ("2000", 1900, true),
        ] {
            assert_eq!(is_left(label, created, 1000), left, "{label} {created}");
        }
    }
}
