//! How things stand, and advice on it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Backup, DatabaseStatus, Service};
use crate::troubleshoot::Advice;

/// How things stand, for somebody who looks for what is wrong. Secrets are taken out.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Diagnostics {
    /// The core services, present or not, and the others that run or ought to.
    pub(crate) services: Vec<Service>,
    /// The last lines that each service printed.
    pub(crate) service_logs: BTreeMap<String, String>,
    /// The database.
    pub(crate) database: DatabaseStatus,
    /// The checkpoints.
    pub(crate) checkpoints: CheckpointCount,
    /// Lines of the logs that look like errors, with the service that printed each.
    #[schema(example = json!(["[chat-api] ERROR: connection refused"]))]
    pub(crate) error_patterns: Vec<String>,
    /// What could not be looked at, and why.
    pub(crate) unavailable: Vec<String>,
}

/// How many checkpoints there are.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CheckpointCount {
    /// How many there are.
    pub(crate) count: usize,
    /// The newest one.
    #[schema(required)]
    pub(crate) latest: Option<Backup>,
}

/// What a language model advises.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChatAnswer {
    /// What it said; where nobody could be asked, how to get somebody.
    response: String,
    /// Who said it: `ollama`, `anthropic`, `openai` or `groq`; null where nobody could be asked.
    #[schema(required, example = "ollama")]
    provider: Option<&'static str>,
}

impl From<Advice> for ChatAnswer {
    fn from(advice: Advice) -> Self {
        Self { response: advice.response, provider: advice.provider.map(|provider| provider.as_str()) }
    }
}
