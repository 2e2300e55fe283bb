//! The servers of language models: which one serves, and what is being done about it.

use recovery_core::{OperationId, Problem, ServiceName, container::ServiceState};
use recovery_inference::{
    lifecycle::{Done, Left, State, Status, Step},
    server::{BackendName, BackendSpec},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::ContainerBrief;

/// How the servers of language models stand, all together: at most one serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BackendStatus {
    /// The server that serves; during a change the one that is to serve; `none` where none is looked after.
    #[schema(example = "vllm")]
    backend: String,
    /// `ready`, `stopped`, `draining` (it finishes its requests, or is being stopped), `starting` or `error`. During a
    /// change it is never `ready`; after a failure it is `error`, even where the server before serves on.
    #[schema(example = "ready")]
    state: &'static str,
    /// Its container; `null` where there is no server.
    container_status: Option<ContainerBrief>,
    /// The model that it answered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Qwen/Qwen2.5-7B-Instruct-AWQ")]
    active_model: Option<String>,
    /// What is being done, or was done last.
    #[serde(skip_serializing_if = "Option::is_none")]
    switch_progress: Option<SwitchProgress>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The operation that changes something now.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<String>,
}

/// What is being done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SwitchProgress {
    /// `pulling`, `starting`, `loading`, `draining`, `stopping`, `updating`, `ready` or `error`.
    #[schema(example = "draining")]
    step: &'static str,
    /// The same in a sentence.
    #[schema(example = "Ollama finishes 3 requests.")]
    detail: String,
}

impl BackendStatus {
    pub(crate) fn new(
        status: &Status,
        container: Option<(&ServiceName, ServiceState)>,
        running: Option<OperationId>,
    ) -> Self {
        Self {
            backend: status.backend.as_ref().map_or("none", BackendName::as_str).to_owned(),
            state: match status.state {
                State::Stopped => "stopped",
                State::Starting => "starting",
                State::Ready => "ready",
                State::Draining => "draining",
                // Existing programs take `switching` for stopped.
                State::Switching => match status.progress {
                    Some((Step::Stopping, _)) => "draining",
                    _ => "starting",
                },
                State::Error => "error",
            },
            container_status: container.map(|(name, state)| ContainerBrief::new(name.as_str(), Some(state))),
            active_model: status.model.clone(),
            switch_progress: status
                .progress
                .as_ref()
                .map(|(step, detail)| SwitchProgress { step: step.as_str(), detail: detail.clone() }),
            error: status.error.as_ref().map(|problem| problem.detail.clone()),
            hint: status.error.as_ref().and_then(|problem| problem.hint.clone()),
            operation_id: running.map(|id| id.to_string()),
        }
    }
}

/// A server of language models that can be started.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BackendEntry {
    /// Its name in requests.
    #[schema(example = "vllm")]
    name: String,
    /// Its name as its makers write it.
    #[schema(example = "vLLM")]
    label: String,
    /// Its Compose profile.
    #[schema(example = "local-vllm")]
    profile: String,
    /// Its service in the Compose file.
    #[schema(example = "nova-vllm")]
    service: String,
    /// Whether its container runs.
    container_running: bool,
    /// Whether it is the one that serves, or is to.
    active: bool,
    /// Whether its model is chosen by `switch-model`.
    switches_model: bool,
}

impl BackendEntry {
    pub(crate) fn new(spec: &BackendSpec, container_running: bool, active: bool) -> Self {
        Self {
            name: spec.name().to_string(),
            label: spec.label().to_owned(),
            profile: spec.profile().to_string(),
            service: spec.service().to_string(),
            container_running,
            active,
            switches_model: spec.model_variable().is_some(),
        }
    }
}

/// A change of the servers of language models is under way.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BackendAccepted {
    /// `accepted`, or `already_starting` where the same server is being started.
    #[schema(example = "accepted")]
    pub(crate) status: &'static str,
    /// The server.
    #[schema(example = "vllm")]
    pub(crate) backend: String,
    /// The model that it is to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    /// The operation that does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operation_id: Option<String>,
}

/// What came of a change of the servers of language models.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BackendChanged {
    /// The server that serves; `null` where none does.
    backend: Option<String>,
    /// The model that it answered with.
    model: Option<String>,
    /// How many requests the server before still had when it was stopped, which were cut off; `null` where nobody could
    /// tell.
    requests_cut_off: Option<u64>,
    /// What did not go as it should.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl BackendChanged {
    pub(crate) fn new(done: Done, warning: Option<Problem>) -> Self {
        let words = |problem: Problem| match problem.hint {
            Some(hint) => format!("{} {hint}", problem.detail),
            None => problem.detail,
        };
        Self {
            backend: done.serving.map(String::from),
            model: done.model,
            requests_cut_off: match done.left {
                Left::Nothing => Some(0),
                Left::Requests(requests) => Some(requests),
                Left::Unknown => None,
            },
            warnings: done.warning.into_iter().chain(warning).map(words).collect(),
        }
    }
}

/// A model was fetched.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelPulled {
    /// The model.
    #[schema(example = "llama3.2:3b")]
    pub(crate) model: String,
    /// The server that has it now, as its makers write its name.
    #[schema(example = "Ollama")]
    pub(crate) server: String,
}
