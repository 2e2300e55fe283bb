use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A server of language models that the platform can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Ollama: runs GGUF files, on GPUs, on processors, or on both.
    Ollama,
    /// vLLM: runs the files of Hugging Face on GPUs.
    Vllm,
    /// SGLang: runs the files of Hugging Face on GPUs.
    Sglang,
}

/// A name that is none of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is none of ollama, vllm and sglang")]
pub struct UnknownBackend;

impl Backend {
    /// Every backend.
    pub const ALL: [Self; 3] = [Self::Ollama, Self::Vllm, Self::Sglang];

    /// The name in requests and answers, for example `vllm`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
        }
    }

    /// The name of its service in the Compose file.
    #[must_use]
    pub fn service(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::Vllm => "nova-vllm",
            Self::Sglang => "nova-sglang",
        }
    }
}

impl fmt::Display for Backend {
    /// As its makers write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ollama => "Ollama",
            Self::Vllm => "vLLM",
            Self::Sglang => "SGLang",
        })
    }
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|backend| backend.as_str() == text).ok_or(UnknownBackend)
    }
}
