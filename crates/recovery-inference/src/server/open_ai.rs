//! The interface of OpenAI, as vLLM, SGLang and llama.cpp have it.

use async_trait::async_trait;
use recovery_core::port::{InferenceServer, OnProgress, PullError, Remaining, ServerError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    BackendSpec, InFlight, counters,
    http::{Client, read_json},
};

/// A server with this interface.
#[derive(Debug)]
pub(super) struct OpenAi {
    client: Client,
    health: String,
    in_flight: InFlight,
}

impl OpenAi {
    pub(super) fn new(client: Client, spec: &BackendSpec) -> Self {
        Self { client, health: spec.health().to_owned(), in_flight: spec.in_flight().clone() }
    }
}

#[async_trait]
impl InferenceServer for OpenAi {
    async fn health(&self) -> Result<(), ServerError> {
        self.client.answers(&self.health).await
    }

    async fn ready(&self) -> Result<Option<String>, ServerError> {
        let Some(model) = self.models().await?.into_iter().next() else {
            return Err(ServerError::Unreadable { what: "it has no model" });
        };
        let body = json!({ "model": model, "prompt": "Hi", "max_tokens": 1, "stream": false });
        let answer = self.client.post("/v1/completions", body, self.client.limits.token).await?;
        let answer: Completion = read_json(&answer)?;
        if answer.choices.is_empty() {
            return Err(ServerError::Unreadable { what: "it has no choices" });
        }
        Ok(Some(model))
    }

    async fn remaining(&self) -> Result<Remaining, ServerError> {
        match &self.in_flight {
            InFlight::Metrics { path, counters, .. } => {
                counters::remaining(&self.client.text(path).await?, counters)
            }
            // The description of a backend allows it for Ollama only.
            InFlight::Unload => Ok(Remaining::Something),
        }
    }

    async fn tokens(&self) -> Result<Option<u64>, ServerError> {
        let InFlight::Metrics { path, tokens: Some(tokens), .. } = &self.in_flight else { return Ok(None) };
        let metrics = self.client.text(path).await?;
        // It is a help only: a version without it is served as well.
        Ok(counters::sum(&metrics, std::slice::from_ref(tokens)).ok())
    }

    async fn models(&self) -> Result<Vec<String>, ServerError> {
        let list: Models = self.client.json("/v1/models").await?;
        Ok(list.data.into_iter().map(|model| model.id).collect())
    }

    async fn pull(&self, _model: &str, _progress: OnProgress<'_>) -> Result<(), PullError> {
        Err(PullError::Unsupported)
    }
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Value>,
}
