//! Asking a language model: one client for everything that speaks the interface of OpenAI, Ollama included, and one
//! for Anthropic. Bounded in time and in what is read.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::{
    Agent,
    http::{HeaderValue, Request, header},
};

use crate::alerts::why_unreachable;

/// The most that is read of an answer, in bytes.
const LARGEST_ANSWER: u64 = 1024 * 1024;
/// The most that is shown of what a model says, in characters.
const LONGEST_TEXT: usize = 20_000;
/// How much a model may say, in its own units.
const MAX_TOKENS: u32 = 1024;

/// A model could not be asked. Holds no key and no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChatError {
    /// Nobody answers.
    #[error("{0}")]
    Unreachable(String),
    /// It does not accept the key.
    #[error("it does not accept the key in {0}")]
    KeyRefused(&'static str),
    /// It answered that it will not.
    #[error("it answered with status {0}")]
    Refused(u16),
    /// What it answered cannot be understood.
    #[error("its answer cannot be understood")]
    Unreadable,
    /// It has no model.
    #[error("it has no model yet")]
    NoModel,
}

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// The person who asks.
    User,
    /// The model that answered.
    Assistant,
}

/// Something that was said.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) by: Speaker,
    pub(crate) text: String,
}

/// What a model is given.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    /// What it is to do, and what it is to know.
    pub(super) instructions: String,
    /// The conversation so far, the question last.
    pub(super) said: Vec<Said>,
}

/// How a model is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `POST /chat/completions`.
    OpenAi,
    /// `POST /messages`.
    Anthropic,
}

/// A model behind an interface.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) dialect: Dialect,
    /// Up to the version: `https://api.openai.com/v1`.
    pub(super) base: String,
    /// The variable that its key stands in, and the key; Ollama needs none.
    pub(super) key: Option<(&'static str, SecretString)>,
    pub(super) model: String,
}

impl Endpoint {
    /// What the model says, within this time.
    pub(super) fn ask(&self, conversation: &Conversation, limit: Duration) -> Result<String, ChatError> {
        let (path, body) = match self.dialect {
            Dialect::OpenAi => ("chat/completions", self.open_ai(conversation)),
            Dialect::Anthropic => ("messages", self.anthropic(conversation)),
        };
        let body = serde_json::to_vec(&body).map_err(|_| ChatError::Unreadable)?;
        let mut request =
            Request::post(format!("{}/{path}", self.base)).header(header::CONTENT_TYPE, "application/json");
        if let Some((_, key)) = &self.key {
            let (name, value) = match self.dialect {
                Dialect::OpenAi => ("authorization", format!("Bearer {}", key.expose_secret())),
                Dialect::Anthropic => ("x-api-key", key.expose_secret().to_owned()),
            };
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_| ChatError::Unreachable("its key cannot be sent".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        if self.dialect == Dialect::Anthropic {
            request = request.header("anthropic-version", "2023-06-01");
        }
        let request =
            request.body(body).map_err(|_| ChatError::Unreachable("its address is none".to_owned()))?;
        let answer = agent(limit).run(request);
        let answer = read(answer).map_err(|error| match (error, &self.key) {
            (ChatError::Refused(401 | 403), Some((variable, _))) => ChatError::KeyRefused(variable),
            (error, _) => error,
        })?;
        self.text(&answer).ok_or(ChatError::Unreadable)
    }

    fn open_ai(&self, conversation: &Conversation) -> Value {
        let mut messages = vec![json!({ "role": "system", "content": conversation.instructions })];
        messages.extend(conversation.said.iter().map(message));
        json!({ "model": self.model, "messages": messages, "max_tokens": MAX_TOKENS, "stream": false })
    }

    fn anthropic(&self, conversation: &Conversation) -> Value {
        let messages: Vec<Value> = conversation.said.iter().map(message).collect();
        json!({
            "model": self.model,
            "system": conversation.instructions,
            "messages": messages,
            "max_tokens": MAX_TOKENS,
        })
    }

    fn text(&self, answer: &[u8]) -> Option<String> {
        let text = match self.dialect {
            Dialect::OpenAi => {
                let completion: Completion = serde_json::from_slice(answer).ok()?;
                completion.choices.into_iter().next()?.message.content?
            }
            Dialect::Anthropic => {
                let reply: Reply = serde_json::from_slice(answer).ok()?;
                reply.content.into_iter().filter_map(|block| block.text).collect::<Vec<_>>().join("\n")
            }
        };
        let text: String = text.trim().chars().take(LONGEST_TEXT).collect();
        (!text.is_empty()).then_some(text)
    }
}

/// The names of the models that an Ollama has.
pub(super) fn ollama_models(base: &str, limit: Duration) -> Result<Vec<String>, ChatError> {
    let answer = agent(limit).get(format!("{base}/api/tags")).call();
    let tags: Tags = serde_json::from_slice(&read(answer)?).map_err(|_| ChatError::Unreadable)?;
    Ok(tags.models.into_iter().map(|model| model.name).collect())
}

fn message(said: &Said) -> Value {
    let role = match said.by {
        Speaker::User => "user",
        Speaker::Assistant => "assistant",
    };
    json!({ "role": role, "content": said.text })
}

/// Questions are rare: nothing of a connection is kept between two of them.
fn agent(limit: Duration) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        // Neither a proxy of the environment nor a redirection is to see the key.
        .proxy(None)
        .max_redirects(0)
        .user_agent(concat!("nova-recovery/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Vec<u8>, ChatError> {
    let mut answer = answer.map_err(|error| ChatError::Unreachable(why_unreachable(&error)))?;
    if !answer.status().is_success() {
        return Err(ChatError::Refused(answer.status().as_u16()));
    }
    let body = answer.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec();
    body.map_err(|error| match error {
        ureq::Error::BodyExceedsLimit(_) => ChatError::Unreadable,
        error => ChatError::Unreachable(why_unreachable(&error)),
    })
}

#[derive(Deserialize)]
struct Tags {
    models: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    name: String,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Content,
}

#[derive(Deserialize)]
struct Content {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Reply {
    content: Vec<Block>,
}

#[derive(Deserialize)]
struct Block {
    text: Option<String>,
}
