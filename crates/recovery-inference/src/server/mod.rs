//! The servers of language models, and the gateway before them, over HTTP.
//!
//! Which paths a server has and how it counts its requests stands in its [`BackendSpec`]; what it answers is read by
//! pure functions. Nothing is asked without a limit in time, and no answer is read without one in size.

mod counters;
mod gateway;
mod http;
mod ollama;
mod open_ai;
mod pull;
mod spec;

use std::{sync::Arc, time::Duration};

use recovery_core::port::InferenceServer;

pub use counters::{UnreadableMetrics, sum};
pub use gateway::HttpGateway;
pub use spec::{
    BackendName, BackendSpec, Backends, Dialect, InFlight, InvalidBackend, InvalidBackendName, SpecChanges,
};

use http::Client;

/// How long a server may take to answer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A question that needs no model.
    pub quick: Duration,
    /// One token. A server that is at work lets it wait behind others, and an Ollama loads its model first, which it
    /// gives up where nobody waits for it any more.
    pub token: Duration,
    /// The next sign that a model is being fetched. A large file that is checked gives none for minutes.
    pub pull: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            quick: Duration::from_secs(5),
            token: Duration::from_secs(600),
            pull: Duration::from_secs(600),
        }
    }
}

/// The server that a description leads to.
///
/// # Errors
/// No connections can be made at all on this system.
pub fn connect(spec: &BackendSpec, limits: Limits) -> Result<Arc<dyn InferenceServer>, reqwest::Error> {
    let client = Client::new(spec.address(), limits)?;
    Ok(match spec.dialect() {
        Dialect::Ollama => Arc::new(ollama::Ollama::new(client, spec)),
        Dialect::OpenAi => Arc::new(open_ai::OpenAi::new(client, spec)),
    })
}
