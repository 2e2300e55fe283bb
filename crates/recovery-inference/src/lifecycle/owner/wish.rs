//! What the owner can be asked for, and why it refuses.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use recovery_core::{ErrorCode, Problem, port::OperationContext};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::super::Left;
use crate::server::BackendName;

/// The name of a model, as Hugging Face and Ollama have them: letters, digits, `.`, `_`, `-`, `/`, `:` and `@`,
/// beginning with a letter or digit, at most 200. It becomes a value of the `.env` and an argument of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

/// A text that is not the name of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a model: such names are made of letters, digits and `.`, `_`, `-`, `/`, `:`, `@`")]
pub struct InvalidModelName;

impl ModelName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelName {
    type Err = InvalidModelName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let begins = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        let of_name = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b':' | b'@')
        };
        let is_name = begins && text.len() <= 200 && text.bytes().all(of_name);
        if is_name { Ok(Self(text.to_owned())) } else { Err(InvalidModelName) }
    }
}

impl TryFrom<String> for ModelName {
    type Error = InvalidModelName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "snake_case")]
pub enum Wish {
    /// This backend is to serve; the one that serves is started anew.
    Start {
        /// Which one.
        backend: BackendName,
    },
    /// None is to serve.
    Stop,
    /// The backend that serves is to have this model.
    SwitchModel {
        /// Which one.
        backend: BackendName,
        /// The model.
        model: ModelName,
    },
}

/// A wish that is granted.
#[derive(Debug)]
pub enum Begun {
    /// It is under way; here its end is heard.
    Accepted(oneshot::Receiver<Result<Done, Problem>>),
    /// The same backend is being started already.
    AlreadyStarting,
}

/// How a change ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The backend that serves, where one does.
    pub serving: Option<BackendName>,
    /// The model that answered.
    pub model: Option<String>,
    /// What the one before still had to do when it was stopped.
    pub left: Left,
    /// What did not work afterwards.
    pub warning: Option<Problem>,
}

/// Why a wish is refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such backend.
    #[error("there is no such backend")]
    UnknownBackend {
        /// Those that there are.
        known: Vec<BackendName>,
    },
    /// A change is under way.
    #[error("a change of the inference servers is under way")]
    Busy,
    /// Its model is not chosen here.
    #[error("the model of {backend} is not chosen here")]
    NoModelVariable {
        /// Its name for people.
        backend: String,
    },
    /// Another one serves, or none.
    #[error("{backend} does not serve")]
    NotActive {
        /// Its name for people.
        backend: String,
    },
    /// None serves that could do it.
    #[error("no inference server serves")]
    NothingServes,
    /// The one that serves fetches no models.
    #[error("{backend} fetches no models: it has the one that it was started with")]
    FetchesNothing {
        /// Its name for people.
        backend: String,
    },
    /// The container engine does not answer, so that nobody knows what runs.
    #[error("the container engine does not answer yet")]
    EngineAway,
    /// The owner has ended with the service.
    #[error("the service is ending")]
    Ending,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = |code| Self::from_words(code, &refusal);
        match &refusal {
            Refusal::UnknownBackend { known } => {
                let known: Vec<&str> = known.iter().map(BackendName::as_str).collect();
                problem(ErrorCode::InvalidRequest).hint(format!("Backends are {}.", known.join(", ")))
            }
            Refusal::Busy => problem(ErrorCode::Busy).hint("Wait until it is done."),
            Refusal::NoModelVariable { .. } => problem(ErrorCode::InvalidRequest)
                .hint("Ollama loads the model that a request names; pull it first."),
            Refusal::NotActive { .. } => {
                problem(ErrorCode::InvalidRequest).hint("Start it first; it takes the model of the .env.")
            }
            Refusal::NothingServes => problem(ErrorCode::InvalidRequest).hint("Start Ollama first."),
            Refusal::FetchesNothing { .. } => problem(ErrorCode::InvalidRequest)
                .hint("Switch its model instead: it fetches the new one when it is started with it."),
            Refusal::EngineAway => problem(ErrorCode::DependencyUnavailable)
                .hint("Check that it runs; what runs in it is then looked at first."),
            Refusal::Ending => problem(ErrorCode::DependencyUnavailable).hint("Try again in a moment."),
        }
    }
}

/// A wish on its way to the owner.
pub(super) struct Command {
    pub(super) wish: Wish,
    pub(super) deadline: Duration,
    pub(super) context: Arc<dyn OperationContext>,
    pub(super) reply: oneshot::Sender<Result<Begun, Refusal>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models_can_do_no_harm_in_a_file_of_variables() {
        for name in ["Qwen/Qwen2.5-7B-Instruct-AWQ", "llama3.1:8b-q4_K_M", "hf.co/org/name:Q4", "a@b"] {
            assert_eq!(name.parse::<ModelName>().unwrap().as_str(), name);
        }
        let long = "a".repeat(2_000);
        for name in ["", " ", "a;b", "a\nb", "a b", "$(x)", "-v", "/etc", "../a", "a\"", "ü", long.as_str()]
        {
            assert!(name.parse::<ModelName>().is_err(), "{name:?}");
        }
    }
}
