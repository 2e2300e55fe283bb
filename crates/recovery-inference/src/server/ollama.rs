//! Ollama's own interface.

use async_trait::async_trait;
use recovery_core::port::{InferenceServer, OnProgress, PullError, Remaining, ServerError};
use serde::Deserialize;
use serde_json::json;

use super::{
    BackendSpec, InFlight, counters,
    http::{Client, read_json},
    pull,
};

/// An Ollama.
#[derive(Debug)]
pub(super) struct Ollama {
    client: Client,
    health: String,
    in_flight: InFlight,
}

impl Ollama {
    pub(super) fn new(client: Client, spec: &BackendSpec) -> Self {
        Self { client, health: spec.health().to_owned(), in_flight: spec.in_flight().clone() }
    }

    /// The models that are in memory.
    async fn loaded(&self) -> Result<Vec<Model>, ServerError> {
        Ok(self.client.json::<Models>("/api/ps").await?.models)
    }

    async fn installed(&self) -> Result<Vec<Model>, ServerError> {
        Ok(self.client.json::<Models>("/api/tags").await?.models)
    }
}

#[async_trait]
impl InferenceServer for Ollama {
    async fn health(&self) -> Result<(), ServerError> {
        self.client.answers(&self.health).await
    }

    /// Asks the model that is in memory; where none is, the smallest, which is there soonest and takes the least room.
    async fn ready(&self) -> Result<Option<String>, ServerError> {
        let installed = self.installed().await?;
        let loaded = self.loaded().await?.into_iter().next();
        let smallest = || installed.into_iter().min_by_key(|model| model.size);
        let Some(model) = loaded.or_else(smallest) else { return Ok(None) };
        let body = json!({
            "model": model.name, "prompt": "Hi", "stream": false, "options": { "num_predict": 1 },
        });
        let answer = self.client.post("/api/generate", body, self.client.limits.token).await?;
        let answer: Generated = read_json(&answer)?;
        if answer.done {
            Ok(Some(model.name))
        } else {
            Err(ServerError::Unreadable { what: "it does not say that it is done" })
        }
    }

    async fn remaining(&self) -> Result<Remaining, ServerError> {
        if let InFlight::Metrics { path, counters, .. } = &self.in_flight {
            return counters::remaining(&self.client.text(path).await?, counters);
        }
        let loaded = self.loaded().await?;
        for model in &loaded {
            let body = json!({ "model": model.name, "keep_alive": 0 });
            // One that is at work puts itself away when it is done, and may answer only then.
            match self.client.post("/api/generate", body, self.client.limits.quick).await {
                Ok(_) | Err(ServerError::Hung { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let left = if loaded.is_empty() { loaded } else { self.loaded().await? };
        Ok(if left.is_empty() { Remaining::Nothing } else { Remaining::Something })
    }

    async fn tokens(&self) -> Result<Option<u64>, ServerError> {
        Ok(None)
    }

    async fn models(&self) -> Result<Vec<String>, ServerError> {
        Ok(self.installed().await?.into_iter().map(|model| model.name).collect())
    }

    async fn pull(&self, model: &str, progress: OnProgress<'_>) -> Result<(), PullError> {
        pull::pull(&self.client, model, progress).await
    }
}

/// The answer of `/api/ps` and `/api/tags`.
#[derive(Deserialize)]
struct Models {
    /// Ollama says `null` where there is none.
    #[serde(default, deserialize_with = "null_is_none")]
    models: Vec<Model>,
}

fn null_is_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Model>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Model {
    name: String,
    #[serde(default)]
    size: u64,
}

#[derive(Deserialize)]
struct Generated {
    #[serde(default)]
    done: bool,
}
