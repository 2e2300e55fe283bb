//! Whether a machine has the memory that a model needs.

use super::{Estimate, GIB, MIB, Model, Use, estimate};
use crate::Backend;

/// A context shorter than this, in tokens, is of no use in a chat.
pub(crate) const SHORTEST_CONTEXT: u32 = 2048;

/// The memory that a model can be given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// The GPUs that it is spread over, all of them with as much memory as the smallest.
    pub gpus: u32,
    /// The memory of each, in MiB; of the system where there is no GPU.
    pub each_mib: u64,
    /// The share of it that may be used: `--gpu-memory-utilization` of vLLM, `--mem-fraction-static` of SGLang.
    pub utilization: f64,
}

impl Room {
    /// The share of a GPU's memory that vLLM takes where nothing else is said.
    pub const USUAL_UTILIZATION: f64 = 0.9;

    /// One GPU, as a server uses it.
    #[must_use]
    pub fn one_gpu(memory_mib: u64, backend: Backend) -> Self {
        Self { gpus: 1, each_mib: memory_mib, utilization: Self::usual(backend) }
    }

    /// The share of memory that a server uses where nothing else is said. Ollama leaves a little for the display.
    #[must_use]
    pub fn usual(backend: Backend) -> f64 {
        match backend {
            Backend::Vllm | Backend::Sglang => Self::USUAL_UTILIZATION,
            Backend::Ollama => 0.95,
        }
    }

    /// How many bytes may be used.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let whole = self.each_mib.saturating_mul(u64::from(self.gpus)).saturating_mul(MIB);
        let share = if self.utilization.is_finite() { self.utilization.clamp(0.0, 1.0) } else { 0.0 };
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is a share of what fits"
        )]
        let usable = (whole as f64 * share) as u64;
        usable
    }

    /// What each GPU beyond the first costs: CUDA and the graphs are there once more.
    fn spread(&self) -> u64 {
        u64::from(self.gpus.saturating_sub(1)).saturating_mul(GIB / 2)
    }
}

/// Whether a model can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It can, as asked.
    Fits {
        /// What it needs.
        need: Estimate,
    },
    /// It can with a shorter context than was asked for.
    ShorterContext {
        /// What it needs with that.
        need: Estimate,
    },
    /// It cannot.
    DoesNotFit {
        /// What it needs as asked.
        need: Estimate,
        /// What there is, in bytes.
        room: u64,
    },
}

impl Fit {
    /// The name in answers: `fits`, `fits_with_shorter_context` or `does_not_fit`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Fits { .. } => "fits",
            Self::ShorterContext { .. } => "fits_with_shorter_context",
            Self::DoesNotFit { .. } => "does_not_fit",
        }
    }

    /// Whether a model fits there, used this way.
    #[must_use]
    pub fn of(model: &Model, how: Use, room: Room) -> Self {
        let usable = room.bytes().saturating_sub(room.spread());
        let need = estimate(model, how);
        if need.total() <= usable {
            return Self::Fits { need };
        }
        match longest_context(model, Use { context: need.context, ..how }, usable) {
            Some(context) => Self::ShorterContext { need: estimate(model, Use { context, ..how }) },
            None => Self::DoesNotFit { need, room: usable },
        }
    }
}

/// The longest context with which the model fits, in steps of 256 tokens; `None` where even the shortest useful one
/// does not.
fn longest_context(model: &Model, how: Use, usable: u64) -> Option<u32> {
    let fits = |context: u32| estimate(model, Use { context, ..how }).total() <= usable;
    if how.context <= SHORTEST_CONTEXT || !fits(SHORTEST_CONTEXT) {
        return None;
    }
    let (mut good, mut bad) = (SHORTEST_CONTEXT / 256, how.context.div_ceil(256));
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        if fits(middle * 256) { good = middle } else { bad = middle }
    }
    Some(good * 256)
}
