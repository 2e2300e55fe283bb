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
/// The label of such containers, by which those are found that a crash left.
const LABEL: &str = "io.nova-recovery.probe";
/// A container this old was left by a crash: no probe takes as long.
const LEFT: Duration = Duration::from_secs(300);
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
    remove_leftovers(session).await;
    let limit = probe.timeout;
    let most = probe.max_output;
    let made = within(limit.min(PATIENCE), DOING, make(session, probe)).await?;
    let removal = RemoveOnDrop { session: Some(Arc::clone(session)), id: made.clone() };
    let ran = within(limit, DOING, follow(session, &made, most)).await;
    // Who waits for the answer waits for the removal too: the container is gone when it is there.
    removal.now().await;
    ran
}

async fn make(session: &Session, probe: Probe) -> Result<ContainerId, EngineError> {
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
        "Labels": { LABEL: "true" },
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

/// Removes what a crash left. That it fails is said in the log alone: it is tried again at the next look.
async fn remove_leftovers(session: &Session) {
    let removing = async {
        let found = session.raw().containers_with_label(LABEL).await;
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        for (id, created) in found.unwrap_or_default() {
            let old = now.saturating_sub(created).unsigned_abs() > LEFT.as_secs();
            if let Some(id) = id.parse().ok().filter(|_| old) {
                remove(session, &id).await;
            }
        }
    };
    if tokio::time::timeout(PATIENCE, removing).await.is_err() {
        tracing::warn!("containers that looked at GPUs earlier could not be looked for in time");
    }
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
