//! Who can be asked: the local Ollama, then whoever the `.env` has a key for.

use std::time::Duration;

use recovery_env::{EnvDocument, EnvKey};
use reqwest::Url;

use super::client::{ChatError, Dialect, Endpoint, ollama_models};

/// How long the local Ollama has to say which models it has.
const OLLAMA_PATIENCE: Duration = Duration::from_secs(3);

/// Where the models are that are not here.
#[derive(Clone, Debug)]
pub struct ProviderAddresses {
    /// Ollama, where the `.env` says nothing else.
    pub ollama: String,
    /// Anthropic.
    pub anthropic: String,
    /// OpenAI.
    pub openai: String,
    /// Groq.
    pub groq: String,
}

impl Default for ProviderAddresses {
    fn default() -> Self {
        Self {
            ollama: "http://ollama:11434".to_owned(),
            anthropic: "https://api.anthropic.com/v1".to_owned(),
            openai: "https://api.openai.com/v1".to_owned(),
            groq: "https://api.groq.com/openai/v1".to_owned(),
        }
    }
}

/// Somebody who can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Ollama,
    Anthropic,
    OpenAi,
    Groq,
}

/// What is known of a provider that needs a key.
struct Keyed {
    provider: Provider,
    key: &'static str,
    dialect: Dialect,
    model: &'static str,
    /// How the names of its models begin.
    families: &'static [&'static str],
}

/// In the order in which they are asked.
const KEYED: [Keyed; 3] = [
    Keyed {
        provider: Provider::Anthropic,
        key: "ANTHROPIC_API_KEY",
        dialect: Dialect::Anthropic,
        model: "claude-haiku-4-5",
        families: &["claude-"],
    },
    Keyed {
        provider: Provider::OpenAi,
        key: "OPENAI_API_KEY",
        dialect: Dialect::OpenAi,
        model: "gpt-4o-mini",
        families: &["gpt-", "o1", "o3", "o4"],
    },
    Keyed {
        provider: Provider::Groq,
        key: "GROQ_API_KEY",
        dialect: Dialect::OpenAi,
        model: "llama-3.3-70b-versatile",
        families: &[],
    },
];

impl Provider {
    /// As programs know it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Groq => "groq",
        }
    }

    /// As people know it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ollama => "Ollama",
            Self::Anthropic => "Anthropic",
            Self::OpenAi => "OpenAI",
            Self::Groq => "Groq",
        }
    }
}

/// The value of a variable, unless it is empty.
fn value(document: Option<&EnvDocument>, name: &str) -> Option<String> {
    let key: EnvKey = name.parse().ok()?;
    document?.get(&key).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The local Ollama with one of its models: the one that is set, else its first.
pub(super) fn ollama(
    document: Option<&EnvDocument>,
    addresses: &ProviderAddresses,
) -> Result<Endpoint, ChatError> {
    let set = value(document, "OLLAMA_BASE_URL").filter(|url| is_address(url));
    let base = set.unwrap_or_else(|| addresses.ollama.clone());
    let base = base.trim_end_matches('/').trim_end_matches("/v1").to_owned();
    let models = ollama_models(&base, OLLAMA_PATIENCE)?;
    let wanted = value(document, "DEFAULT_CHAT_MODEL");
    let is_wanted = |model: &&String| {
        wanted
            .as_ref()
            .is_some_and(|wanted| *model == wanted || model.strip_suffix(":latest") == Some(wanted))
    };
    // Models that only make embeddings cannot speak.
    let can_speak = |model: &&String| !model.contains("embed");
    let model = models.iter().find(is_wanted).or_else(|| models.iter().find(can_speak));
    let model = model.ok_or(ChatError::NoModel)?.clone();
    Ok(Endpoint { dialect: Dialect::OpenAi, base: format!("{base}/v1"), key: None, model })
}

fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Those that there is a key for.
pub(super) fn keyed(
    document: Option<&EnvDocument>,
    addresses: &ProviderAddresses,
) -> Vec<(Provider, Endpoint)> {
    let wanted = value(document, "DEFAULT_CHAT_MODEL");
    KEYED
        .iter()
        .filter_map(|keyed| {
            let key = value(document, keyed.key)?;
            let fits = |model: &&String| keyed.families.iter().any(|family| model.starts_with(family));
            let base = match keyed.provider {
                Provider::Ollama => &addresses.ollama,
                Provider::Anthropic => &addresses.anthropic,
                Provider::OpenAi => &addresses.openai,
                Provider::Groq => &addresses.groq,
            };
            let endpoint = Endpoint {
                dialect: keyed.dialect,
                base: base.clone(),
                key: Some((keyed.key, key.into())),
                model: wanted.as_ref().filter(fits).map_or_else(|| keyed.model.to_owned(), Clone::clone),
            };
            Some((keyed.provider, endpoint))
        })
        .collect()
}
