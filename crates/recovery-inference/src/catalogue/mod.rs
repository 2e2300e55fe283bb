//! Looking for models where they are published: Hugging Face for vLLM and SGLang, Ollama's library for Ollama.
//!
//! What was found is kept and shown with its age; where a catalogue is down, what was found earlier is told with a mark.
//! Those who ask for the same at once share one question to the catalogue.

mod error;
mod hugging_face;
mod ollama;
mod shared;
mod text;

use std::{sync::Arc, time::Duration};

use recovery_core::port::{Clock, WebClient};
use secrecy::SecretString;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use crate::{
    Backend,
    estimate::{Fit, Model, Room, Use},
};

pub use error::{CatalogueError, Failure, Place};
use shared::Shared;

/// How long a search takes at most.
pub const LIMIT: Duration = Duration::from_secs(10);
/// How many different searches are asked of catalogues at once.
const AT_ONCE: usize = 8;

/// Where the catalogues are.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Hugging Face, or a server like it.
    pub hugging_face: String,
    /// A token for it.
    pub token: Option<SecretString>,
    /// Ollama's library.
    pub ollama_library: String,
    /// Ollama's registry.
    pub ollama_registry: String,
    /// How long a search may take: [`LIMIT`] but in tests.
    pub limit: Duration,
}

impl Default for Addresses {
    /// The public ones.
    fn default() -> Self {
        Self {
            hugging_face: "https://huggingface.co".to_owned(),
            token: None,
            ollama_library: "https://ollama.com".to_owned(),
            ollama_registry: "https://registry.ollama.ai".to_owned(),
            limit: LIMIT,
        }
    }
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    text: String,
}

/// A text that cannot be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuery {
    /// It is too long.
    #[error("must not be longer than {} characters", Query::LONGEST)]
    TooLong,
    /// It holds control characters.
    #[error("must not hold control characters")]
    Control,
}

impl Query {
    /// The longest text, in characters.
    pub const LONGEST: usize = 200;

    /// Looks for this text; for what is popular where it is empty.
    ///
    /// # Errors
    /// It is too long or holds control characters.
    pub fn new(text: &str) -> Result<Self, InvalidQuery> {
        let text = text.trim();
        if text.chars().count() > Self::LONGEST {
            Err(InvalidQuery::TooLong)
        } else if text.chars().any(char::is_control) {
            Err(InvalidQuery::Control)
        } else {
            Ok(Self { text: text.to_owned() })
        }
    }
}

/// A model in a catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundModel {
    /// Its name there.
    pub id: String,
    /// What its makers say of it.
    pub description: String,
    /// How often it was fetched.
    pub downloads: u64,
    /// How many people like it.
    pub likes: u64,
    /// Whether its weights are stored with less than they were made with.
    pub quantized: bool,
    /// How they are stored, where that is known: `awq`, `gptq`, `fp8`, `gguf`, …
    pub quantization: Option<String>,
    /// The longest context, in tokens, where that is known.
    pub max_context: Option<u32>,
    /// Whether it is given only to those who accepted its terms.
    pub gated: bool,
    /// Words that describe it.
    pub tags: Vec<String>,
    /// What an estimate of its need takes; `None` where nothing says how large it is.
    pub facts: Option<Model>,
}

impl FoundModel {
    /// Whether it fits into this room, used for a chat; `None` where nothing says how large it is.
    #[must_use]
    pub fn fit(&self, backend: Backend, room: Room) -> Option<Fit> {
        self.facts.as_ref().map(|facts| Fit::of(facts, Use::chat(backend), room))
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The models, in the catalogue's order.
    pub models: Arc<Vec<FoundModel>>,
    /// When they were found.
    pub at: OffsetDateTime,
    /// Why nothing newer could be found, where that was tried.
    pub stale: Option<CatalogueError>,
}

/// The catalogues.
pub struct Catalogues {
    web: Arc<dyn WebClient>,
    addresses: Addresses,
    shared: Shared,
    at_once: Semaphore,
}

impl Catalogues {
    /// The catalogues at these addresses.
    #[must_use]
    pub fn new(web: Arc<dyn WebClient>, addresses: Addresses, clock: Arc<dyn Clock>) -> Self {
        Self { web, addresses, shared: Shared::new(clock), at_once: Semaphore::new(AT_ONCE) }
    }

    /// Looks for models that this server can run. Ends within [`LIMIT`].
    ///
    /// # Errors
    /// The catalogue says nothing that can be used, and nothing was found earlier.
    pub async fn search(&self, backend: Backend, query: &Query) -> Result<Found, CatalogueError> {
        let place = match backend {
            Backend::Ollama => Place::Ollama,
            Backend::Vllm | Backend::Sglang => Place::HuggingFace,
        };
        let asking = async {
            let asked = async {
                let _permit = self.at_once.acquire().await.map_err(|_| Failure::TimedOut)?;
                match place {
                    Place::HuggingFace => {
                        hugging_face::search(self.web.as_ref(), &self.addresses, query).await
                    }
                    Place::Ollama => ollama::search(self.web.as_ref(), &self.addresses, query).await,
                }
            };
            let answer =
                tokio::time::timeout(self.addresses.limit, asked).await.unwrap_or(Err(Failure::TimedOut));
            answer.map(Arc::new).map_err(|failure| CatalogueError { place, failure })
        };
        self.shared.get((place, query.clone()), asking).await
    }
}

#[cfg(test)]
mod tests;
