//! How much memory a model needs, in its parts, and whether a machine has it.
//!
//! The need is what the weights take, what the context takes (the KV cache) and what the server takes besides. Each is
//! counted from the best that is known, and [`Certainty`] says how good that is.

mod fit;
mod weights;

use serde::{Deserialize, Serialize};

pub use fit::{Fit, Room};
pub use weights::{Dtype, Quantization, Weights};

use crate::Backend;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// The shape of a model, as its `config.json` or the head of its GGUF file says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// How many layers keep keys and values of the whole context.
    pub layers: u32,
    /// How many further layers keep only those of a window, and how many tokens that window has.
    pub windowed: Option<(u32, u32)>,
    /// The heads that have keys and values of their own.
    pub kv_heads: u32,
    /// The numbers of a key or value, of one head.
    pub head_dim: u32,
    /// The longest context that the model was made for, in tokens.
    pub max_context: u32,
}

impl Shape {
    /// How many bytes one token takes in layers that keep the whole context; `kv_bytes` a number.
    fn bytes_per_token(self, layers: u32, kv_bytes: u64) -> u64 {
        // A key and a value.
        2 * u64::from(layers) * u64::from(self.kv_heads) * u64::from(self.head_dim) * kv_bytes
    }

    /// How many bytes a context of so many tokens takes.
    fn kv_cache(self, context: u32, kv_bytes: u64) -> u64 {
        let whole = self.bytes_per_token(self.layers, kv_bytes).saturating_mul(u64::from(context));
        let windowed = self.windowed.map_or(0, |(layers, window)| {
            self.bytes_per_token(layers, kv_bytes).saturating_mul(u64::from(context.min(window)))
        });
        whole.saturating_add(windowed)
    }
}

/// A model, as far as its need of memory goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// What its weights take.
    pub weights: Weights,
    /// Its shape, where it is known.
    pub shape: Option<Shape>,
}

/// How a model is to be run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Use {
    /// By which server.
    pub backend: Backend,
    /// With how long a context, in tokens.
    pub context: u32,
    /// For how many requests at once, each with a context of its own.
    pub parallel: u32,
    /// With how many bytes for each number of the KV cache: 2, or 1 for `fp8` and `q8_0`.
    pub kv_bytes: u8,
}

impl Use {
    /// By this server, one request at a time, with a context of 8,192 tokens: what a chat needs.
    #[must_use]
    pub fn chat(backend: Backend) -> Self {
        Self { backend, context: 8192, parallel: 1, kv_bytes: 2 }
    }
}

/// How sure an estimate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// From the size of the very files, and the model's shape.
    High,
    /// From the number of parameters and how many bits each has, or without the shape.
    Medium,
    /// From the name of the model, or from a mixture that was guessed.
    Low,
}

impl Certainty {
    /// The name in answers: `high`, `medium` or `low`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// How much memory a model needs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// For the weights.
    pub weights: u64,
    /// For the contexts.
    pub kv_cache: u64,
    /// For what the server needs besides.
    pub overhead: u64,
    /// How sure that is.
    pub certainty: Certainty,
    /// For how long a context it is: the one asked for, or the model's longest where that is less.
    pub context: u32,
}

impl Estimate {
    /// All of it, in bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.kv_cache).saturating_add(self.overhead)
    }

    /// All of it, in GiB with one decimal.
    #[must_use]
    pub fn total_gib(&self) -> f64 {
        crate::hardware::gib(self.total().div_ceil(MIB))
    }
}

/// Estimates what a model needs.
#[must_use]
pub fn estimate(model: &Model, how: Use) -> Estimate {
    let (weights, certainty) = model.weights.bytes();
    let context = model.shape.map_or(how.context, |shape| how.context.min(shape.max_context.max(1)));
    let parallel = u64::from(how.parallel.max(1));
    let (kv_cache, certainty) = match model.shape {
        Some(shape) => (shape.kv_cache(context, how.kv_bytes.into()), certainty),
        None => (guessed_kv_cache(weights, &model.weights, context), certainty.max(Certainty::Medium)),
    };
    Estimate {
        weights,
        kv_cache: kv_cache.saturating_mul(parallel),
        overhead: overhead(how.backend, weights),
        certainty,
        context,
    }
}

/// What the server needs besides weights and cache.
///
/// llama.cpp, which Ollama is built on, needs half a GiB of buffers.
///
/// vLLM and SGLang need two GiB, which is what GPUStack reckons for such a server, and here is what it is made of: some
/// 0.5 GiB for CUDA itself on a GPU, 0.2 to 0.3 for the graphs of CUDA that are recorded, and for the largest batch about
/// 1.2 (8,192 tokens through a layer 28,672 wide, and the logits of 1,024 requests over 128,256 words, are 0.45 and 0.5;
/// the rest is what the allocator keeps). The batch alone grows with the model, in width and not in layers: a fiftieth of
/// the weights is 0.3 GiB for 8 billion parameters and 2.6 for 70 billion, of which each layer is twice as wide.
///
/// GPUStack adds a fifth of the weights in place of the cache, as EleutherAI's "Transformer Math 101" has it; here the
/// cache is counted itself.
fn overhead(backend: Backend, weights: u64) -> u64 {
    match backend {
        Backend::Ollama => GIB / 2,
        Backend::Vllm | Backend::Sglang => 2 * GIB + weights / 50,
    }
}

/// A cache where the shape is not known. It grows with the root of the number of parameters: of models that were made
/// since 2023, one of 8 billion needs 128 KiB a token, one of 32 billion 256 KiB, one of 70 billion 320 KiB.
fn guessed_kv_cache(weights: u64, known: &Weights, context: u32) -> u64 {
    const ROOT_OF_8_BILLION: u64 = 89_443;
    let parameters = known.parameters().unwrap_or(weights / 2);
    let per_token = parameters.isqrt().saturating_mul(128 * 1024) / ROOT_OF_8_BILLION;
    per_token.saturating_mul(u64::from(context))
}

#[cfg(test)]
#[path = "tests/published.rs"]
mod published;
#[cfg(test)]
#[path = "tests/estimates.rs"]
mod tests;
