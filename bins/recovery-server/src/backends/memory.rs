//! What is known of the memory when one server of language models is to take the place of another.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use recovery_env::{EnvDocument, EnvKey, Environment};
use recovery_inference::{
    Backend,
    estimate::estimate,
    gpu_stats::GpuStats,
    hardware::{DockerGpuRuntime, Hardware, machine},
    lifecycle::{MemoryFacts, MemoryView},
    recommend::{RecommendedModel, RecommendedModels},
    server::BackendSpec,
};

use crate::inference::Inference;

/// The part of a GPU's memory that vLLM and SGLang take at their start, whatever the model, where nothing else is said.
const USUAL_SHARE: f64 = 0.9;
const MIB: u64 = 1024 * 1024;

/// The memory of this machine.
pub(super) struct MachineMemory {
    pub(super) inference: Arc<Inference>,
    pub(super) environment: Environment,
}

#[async_trait]
impl MemoryView for MachineMemory {
    async fn facts(&self, _old: &BackendSpec, new: &BackendSpec) -> MemoryFacts {
        let Ok(known) = self.inference.known().await else { return MemoryFacts::default() };
        let on_gpu = works_on_gpu(&known.hardware);
        // Where the file cannot be read, it is not known which model it is.
        let document = self.environment.document().await.ok().map(|(document, _)| document);
        let needed_mib = need(new, &known.hardware, on_gpu, &self.inference.models, document.as_ref());
        let gpu_free_mib = match on_gpu {
            true => self.inference.gpu_stats().await.as_deref().and_then(free_on_each),
            false => None,
        };
        let available = machine::look(Path::new("/")).available_mib;
        MemoryFacts {
            on_gpu,
            gpu_free_mib,
            system_free_mib: Some(available).filter(|mib| *mib > 0),
            needed_mib,
        }
    }
}

/// Whether models run on GPUs with a memory of their own.
fn works_on_gpu(hardware: &Hardware) -> bool {
    let own_memory = hardware.gpus.iter().any(|gpu| !gpu.unified && gpu.usable_mib() > 0);
    own_memory && hardware.docker_gpu_runtime.value != DockerGpuRuntime::None
}

/// What is free on the fullest GPU: which of them a server takes is its own affair.
fn free_on_each(stats: &GpuStats) -> Option<u64> {
    let free = stats.gpus.iter().map(|gpu| Some(gpu.memory_total_mib?.saturating_sub(gpu.memory_used_mib?)));
    free.collect::<Option<Vec<u64>>>()?.into_iter().min()
}

/// What a server takes, in MiB; `None` where that is not known.
fn need(
    new: &BackendSpec,
    hardware: &Hardware,
    on_gpu: bool,
    models: &RecommendedModels,
    document: Option<&EnvDocument>,
) -> Option<u64> {
    let backend: Backend = new.name().as_str().parse().ok()?;
    if on_gpu && backend != Backend::Ollama {
        let largest = hardware.gpus.iter().map(|gpu| gpu.usable_mib()).max()?;
        return Some(share_of(largest, share(backend, document)));
    }
    // Ollama loads the model that a request names; most name this one.
    let variable = new.model_variable().unwrap_or("DEFAULT_CHAT_MODEL");
    let name = value(document?, variable)?;
    let name = name.strip_prefix("ollama/").unwrap_or(&name);
    let model = models.all().iter().find(|model| model.id_for(backend) == name || model.id == name)?;
    size(model, backend)
}

/// The part of a GPU's memory that a server takes at its start.
fn share(backend: Backend, document: Option<&EnvDocument>) -> f64 {
    let said = match backend {
        Backend::Vllm => document.and_then(|document| value(document, "VLLM_GPU_MEMORY_UTILIZATION")),
        Backend::Ollama | Backend::Sglang => None,
    };
    let said = said.and_then(|text| text.trim().parse().ok());
    said.filter(|share: &f64| *share > 0.0 && *share <= 1.0).unwrap_or(USUAL_SHARE)
}

fn share_of(mib: u64, share: f64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "no memory has 2^53 MiB")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a part of a whole")]
    let part = (mib as f64 * share).ceil() as u64;
    part
}

/// What a model takes, in MiB: what is written of it, and where that is nothing what it is estimated to take.
fn size(model: &RecommendedModel, backend: Backend) -> Option<u64> {
    let written = if model.needs_no_gpu() { model.min_ram_gb } else { Some(model.min_vram_gb) };
    let written = written.filter(|gib| *gib > 0.0 && *gib < 1e6);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within bounds")]
    let written = written.map(|gib| (gib * 1024.0).ceil() as u64);
    let estimated = || {
        let (model, how) = model.estimated_as(backend)?;
        Some(estimate(&model, how).total().div_ceil(MIB))
    };
    written.or_else(estimated)
}

fn value(document: &EnvDocument, name: &str) -> Option<String> {
    let key: EnvKey = name.parse().ok()?;
    document.get(&key).filter(|value| !value.is_empty())
}
