//! The list of recommended models (`data/recommended_models.json`, or a file in its place).

use serde::{Deserialize, Serialize};

use crate::{
    Backend,
    estimate::{Model, Quantization, Use, Weights},
};

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Conversation.
    Chat,
    /// Writing programs.
    Coding,
    /// Thinking in steps.
    Reasoning,
    /// Reading images.
    Vision,
    /// Turning text into vectors, for search and memory.
    Embedding,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 5] = [Self::Chat, Self::Coding, Self::Reasoning, Self::Vision, Self::Embedding];

    /// The name in answers, for example `chat`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Coding => "coding",
            Self::Reasoning => "reasoning",
            Self::Vision => "vision",
            Self::Embedding => "embedding",
        }
    }
}

/// A recommended model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecommendedModel {
    /// Its name at Hugging Face, or at Ollama where it is for that alone.
    pub id: String,
    /// Its name at Ollama.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ollama_id: Option<String>,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub category: Category,
    /// The least GPU memory in GiB that it runs well in, with a context of 8,192 tokens; 0 where it needs no GPU.
    pub min_vram_gb: f64,
    /// Where it needs no GPU, the least memory of the system in GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ram_gb: Option<f64>,
    /// How many billion parameters it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_b: Option<f64>,
    /// The size of its files in GB, where that does not follow from its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_gb: Option<f64>,
    /// Who can run it.
    pub backends: Vec<Backend>,
    /// What it is good for.
    pub description: String,
}

impl RecommendedModel {
    /// Whether it runs without a GPU.
    #[must_use]
    pub fn needs_no_gpu(&self) -> bool {
        self.min_vram_gb <= 0.0
    }

    /// Its name for this server.
    #[must_use]
    pub fn id_for(&self, backend: Backend) -> &str {
        match (backend, &self.ollama_id) {
            (Backend::Ollama, Some(id)) => id,
            _ => &self.id,
        }
    }

    /// What an estimate of its need takes, run by this server; `None` where the list does not say how large it is.
    #[must_use]
    pub fn estimated_as(&self, backend: Backend) -> Option<(Model, Use)> {
        let count = bytes(self.parameters_b?)?;
        let quantization = match backend {
            Backend::Ollama => Quantization::gguf("q4_k_m"),
            Backend::Vllm | Backend::Sglang => Quantization::of_name(&self.id),
        };
        let weights = match self.weights_gb {
            Some(gb) => Weights::Files { bytes: bytes(gb)?, parameters: Some(count) },
            None => Weights::Parameters {
                count,
                quantization: quantization.unwrap_or(Quantization::Half),
                guessed: false,
            },
        };
        let chat = Use::chat(backend);
        let context = if self.category == Category::Embedding { 2048 } else { chat.context };
        Some((Model { weights, shape: None }, Use { context, ..chat }))
    }
}

fn bytes(billions: f64) -> Option<u64> {
    crate::hardware::number::whole(billions * 1e9)
}

/// The list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadList {
    /// It is no JSON of that form.
    #[error("the list of recommended models is no JSON of the expected form")]
    Form(#[source] serde_json::Error),
    /// An entry says something that cannot be.
    #[error("entry {} of the list of recommended models {what}", at + 1)]
    Entry {
        /// Which, from 0.
        at: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// The recommended models.
#[derive(Clone, Debug, PartialEq)]
pub struct RecommendedModels(Vec<RecommendedModel>);

impl RecommendedModels {
    /// The list that this program was built with.
    #[must_use]
    pub fn built_in() -> Self {
        // A test reads it; an empty list would recommend nothing and break nothing.
        Self::parse(include_str!("../../../../data/recommended_models.json")).unwrap_or(Self(Vec::new()))
    }

    /// Reads a list.
    ///
    /// # Errors
    /// It has another form, or an entry cannot be.
    pub fn parse(text: &str) -> Result<Self, BadList> {
        let models: Vec<RecommendedModel> = serde_json::from_str(text).map_err(BadList::Form)?;
        for (at, model) in models.iter().enumerate() {
            let size = |size: f64| size.is_finite() && (0.0..=100_000.0).contains(&size);
            let sizes = [Some(model.min_vram_gb), model.min_ram_gb, model.parameters_b, model.weights_gb];
            let what = if model.id.trim().is_empty() || model.name.trim().is_empty() {
                "has no id or no name"
            } else if model.backends.is_empty() {
                "names no backend"
            } else if !sizes.into_iter().flatten().all(size) {
                "has a size that cannot be"
            } else if models.iter().take(at).any(|other| other.id == model.id) {
                "has the id of another one"
            } else {
                continue;
            };
            return Err(BadList::Entry { at, what });
        }
        Ok(Self(models))
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[RecommendedModel] {
        &self.0
    }

    /// Those that this server can run and that need no more than this, each where it is given.
    pub fn filtered(
        &self,
        backend: Option<Backend>,
        max_vram_gb: Option<f64>,
    ) -> impl Iterator<Item = &RecommendedModel> {
        self.0.iter().filter(move |model| {
            backend.is_none_or(|backend| model.backends.contains(&backend))
                && max_vram_gb.is_none_or(|most| model.min_vram_gb <= most)
        })
    }
}

#[cfg(test)]
#[path = "tests/models.rs"]
mod tests;
