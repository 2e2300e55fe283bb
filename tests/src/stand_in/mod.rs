//! Stand-ins: what Ollama, vLLM and SGLang show to those who start, ask, drain and stop them, and a gateway before them.
//!
//! They make words instead of thoughts, at a steady pace, and are otherwise as strict as the real ones: they load for a
//! while, count or do not count what they have in hand, and end as each of them ends when it is told to. What they are
//! to do wrong is said in a file ([`mood`]).

pub mod gateway;
pub mod http;
pub mod mood;
pub mod server;

mod answers;
mod ollama;
mod redis;

use anyhow::Result;

/// What the program is.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Role {
    /// An Ollama
    Ollama(server::Settings),
    /// A vLLM
    Vllm(server::Settings),
    /// An SGLang
    Sglang(server::Settings),
    /// The gateway before them
    Gateway(gateway::Settings),
}

/// Serves until it is told to end.
///
/// # Errors
/// It cannot listen, or it was told to crash.
pub async fn run(role: Role) -> Result<()> {
    match role {
        Role::Ollama(settings) => server::run(server::Kind::Ollama, settings).await,
        Role::Vllm(settings) => server::run(server::Kind::Vllm, settings).await,
        Role::Sglang(settings) => server::run(server::Kind::Sglang, settings).await,
        Role::Gateway(settings) => gateway::run(settings).await,
    }
}
