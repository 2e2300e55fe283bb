//! What the machine has for language models, and what is recommended for it.

use recovery_inference::{
    Backend, catalogue,
    estimate::{self, Estimate, Room, Use},
    gpu_stats, hardware, recommend,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::timestamp;

/// What the machine has for language models. Sizes are in GiB.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Hardware {
    /// The GPUs that models can run on.
    gpus: Vec<Gpu>,
    /// GPUs inside processors, with a small piece of the system's memory: no model runs on them.
    integrated_gpus: Vec<Gpu>,
    /// How containers reach the GPUs: `nvidia`, `rocm` or `none`.
    #[schema(example = "nvidia")]
    docker_gpu_runtime: &'static str,
    /// Who says that.
    #[schema(example = "engine")]
    docker_gpu_runtime_source: &'static str,
    /// The logical processors of the machine.
    cpu_cores: u32,
    /// The memory of the machine.
    ram_gb: f64,
    /// What can be used of it now.
    ram_available_gb: f64,
    /// What is free on the disk of this service; `null` where that cannot be seen.
    disk_free_gb: Option<f64>,
    /// What is free where the container engine keeps images and volumes, and so models; `null` where that cannot be seen.
    docker_disk_free_gb: Option<f64>,
    /// What limits this service itself; models run in containers of their own.
    container_limits: ContainerLimits,
    /// When this was found out.
    #[schema(format = DateTime)]
    detected_at: String,
    /// The server of models that is recommended: `ollama`, `vllm` or `sglang`.
    #[schema(example = "vllm")]
    recommended_backend: &'static str,
    /// What could not be found out, and why.
    notes: Vec<String>,
}

/// What limits the container of this service; `null` where nothing does.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ContainerLimits {
    /// Processors, in fractions of one.
    cpu_cores: Option<f64>,
    /// Memory in GiB.
    ram_gb: Option<f64>,
}

/// A GPU.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Gpu {
    /// `nvidia` or `amd`.
    #[schema(example = "nvidia")]
    vendor: &'static str,
    /// What it is called.
    #[schema(example = "NVIDIA GeForce RTX 3090")]
    model: String,
    /// Who says that.
    #[schema(example = "nvidia-smi")]
    model_source: &'static str,
    /// Its memory in GiB; `null` where nobody says it.
    vram_gb: Option<f64>,
    /// Who says that.
    vram_source: Option<&'static str>,
    /// Its number, as its vendor's tools count.
    index: u32,
    /// Whether it has no memory of its own: then `vram_gb` is the system's.
    unified_memory: bool,
    /// Where it is on the PCI bus.
    pci: Option<String>,
    /// The parts that it is divided into (MIG).
    parts: Vec<GpuPart>,
}

/// A part of a divided GPU.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GpuPart {
    /// Its kind.
    #[schema(example = "3g.20gb")]
    profile: String,
    /// Its memory in GiB.
    vram_gb: Option<f64>,
}

impl Hardware {
    pub(crate) fn new(hardware: &hardware::Hardware, recommended: Option<Backend>) -> Self {
        let machine = &hardware.machine;
        Self {
            gpus: hardware.gpus.iter().map(Gpu::from).collect(),
            integrated_gpus: hardware.integrated.iter().map(Gpu::from).collect(),
            docker_gpu_runtime: hardware.docker_gpu_runtime.value.as_str(),
            docker_gpu_runtime_source: hardware.docker_gpu_runtime.source.as_str(),
            cpu_cores: machine.cpu_cores,
            ram_gb: hardware::gib(machine.memory_mib),
            ram_available_gb: hardware::gib(machine.available_mib),
            disk_free_gb: machine.disk_free_mib.map(hardware::gib),
            docker_disk_free_gb: hardware.docker_disk_free_mib.map(hardware::gib),
            container_limits: ContainerLimits {
                cpu_cores: machine.limits.cpus,
                ram_gb: machine.limits.memory_mib.map(hardware::gib),
            },
            detected_at: timestamp(hardware.detected_at),
            recommended_backend: recommended.unwrap_or(Backend::Ollama).as_str(),
            notes: hardware.notes.clone(),
        }
    }
}

impl From<&hardware::Gpu> for Gpu {
    fn from(gpu: &hardware::Gpu) -> Self {
        Self {
            vendor: gpu.vendor.value.as_str(),
            model: gpu.model.value.clone(),
            model_source: gpu.model.source.as_str(),
            vram_gb: gpu.memory_mib.as_ref().map(|memory| hardware::gib(memory.value)),
            vram_source: gpu.memory_mib.as_ref().map(|memory| memory.source.as_str()),
            index: gpu.index,
            unified_memory: gpu.unified,
            pci: gpu.pci.clone(),
            parts: gpu
                .parts
                .iter()
                .map(|part| GpuPart {
                    profile: part.profile.clone(),
                    vram_gb: part.memory_mib.map(hardware::gib),
                })
                .collect(),
        }
    }
}

/// What GPUs do now. What their tool does not say is `null`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GpuStats {
    /// How busy they are on average, in hundredths.
    gpu_utilization_pct: Option<f64>,
    /// The memory in use on all of them, in GiB.
    vram_used_gb: Option<f64>,
    /// The memory of all of them, in GiB.
    vram_total_gb: Option<f64>,
    /// The temperature of the hottest, in °C.
    temperature_c: Option<f64>,
    /// What all of them draw, in watts.
    power_draw_w: Option<f64>,
    /// Each of them.
    gpus: Vec<GpuStat>,
}

/// What one GPU does now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GpuStat {
    /// Its number, as its tool counts.
    index: u32,
    /// What it is called.
    model: Option<String>,
    /// How busy it is, in hundredths.
    gpu_utilization_pct: Option<f64>,
    /// Its memory in use, in GiB.
    vram_used_gb: Option<f64>,
    /// Its memory, in GiB.
    vram_total_gb: Option<f64>,
    /// Its temperature in °C.
    temperature_c: Option<f64>,
    /// What it draws, in watts.
    power_draw_w: Option<f64>,
}

/// With one decimal.
fn short(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

impl From<&gpu_stats::GpuStats> for GpuStats {
    fn from(stats: &gpu_stats::GpuStats) -> Self {
        Self {
            gpu_utilization_pct: stats.utilization_pct().map(short),
            vram_used_gb: stats.memory_used_mib().map(hardware::gib),
            vram_total_gb: stats.memory_total_mib().map(hardware::gib),
            temperature_c: stats.temperature_c().map(short),
            power_draw_w: stats.power_draw_w().map(short),
            gpus: stats
                .gpus
                .iter()
                .map(|gpu| GpuStat {
                    index: gpu.index,
                    model: gpu.model.clone(),
                    gpu_utilization_pct: gpu.utilization_pct.map(short),
                    vram_used_gb: gpu.memory_used_mib.map(hardware::gib),
                    vram_total_gb: gpu.memory_total_mib.map(hardware::gib),
                    temperature_c: gpu.temperature_c.map(short),
                    power_draw_w: gpu.power_draw_w.map(short),
                })
                .collect(),
        }
    }
}

/// A recommended model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecommendedModel {
    /// Its name at Hugging Face, or at Ollama where it is for that alone.
    #[schema(example = "Qwen/Qwen2.5-7B-Instruct-AWQ")]
    id: String,
    /// Its name at Ollama.
    #[serde(skip_serializing_if = "Option::is_none")]
    ollama_id: Option<String>,
    /// What people call it.
    name: String,
    /// `chat`, `coding`, `reasoning`, `vision` or `embedding`.
    #[schema(example = "chat")]
    category: &'static str,
    /// The least GPU memory in GiB that it runs well in; 0 where it needs no GPU.
    min_vram_gb: f64,
    /// Where it needs no GPU, the least memory of the system in GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_ram_gb: Option<f64>,
    /// How many billion parameters it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_b: Option<f64>,
    /// Who can run it: `ollama`, `vllm`, `sglang`.
    backends: Vec<&'static str>,
    /// What it is good for.
    description: String,
}

impl From<&recommend::RecommendedModel> for RecommendedModel {
    fn from(model: &recommend::RecommendedModel) -> Self {
        Self {
            id: model.id.clone(),
            ollama_id: model.ollama_id.clone(),
            name: model.name.clone(),
            category: model.category.as_str(),
            min_vram_gb: model.min_vram_gb,
            min_ram_gb: model.min_ram_gb,
            parameters_b: model.parameters_b,
            backends: model.backends.iter().map(|backend| backend.as_str()).collect(),
            description: model.description.clone(),
        }
    }
}

/// What to run on this machine.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Recommendation {
    /// The server: `ollama`, `vllm` or `sglang`.
    #[schema(example = "vllm")]
    backend: &'static str,
    /// The model, by its name for that server.
    #[schema(example = "Qwen/Qwen2.5-14B-Instruct-AWQ")]
    model: String,
    /// Why, in one sentence with its figures.
    reason: String,
    /// What could be done to make more of the machine.
    hints: Vec<String>,
    /// What else would do.
    alternatives: Vec<Alternative>,
}

/// Something else that could be run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Alternative {
    /// The server.
    backend: &'static str,
    /// The model, by its name for that server.
    model: String,
    /// What it needs.
    reason: String,
}

impl From<&recommend::Recommendation> for Recommendation {
    fn from(recommendation: &recommend::Recommendation) -> Self {
        Self {
            backend: recommendation.backend.as_str(),
            model: recommendation.model.clone(),
            reason: recommendation.reason.clone(),
            hints: recommendation.hints.clone(),
            alternatives: recommendation
                .alternatives
                .iter()
                .map(|other| Alternative {
                    backend: other.backend.as_str(),
                    model: other.model.clone(),
                    reason: other.reason.clone(),
                })
                .collect(),
        }
    }
}

/// A model in a catalogue.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FoundModel {
    /// Its name there.
    #[schema(example = "Qwen/Qwen2.5-7B-Instruct")]
    id: String,
    /// What is said of it.
    description: String,
    /// How often it was fetched.
    downloads: u64,
    /// How many people like it.
    likes: u64,
    /// How much memory it needs in GiB, with a context of 8,192 tokens; `null` where nothing says how large it is.
    vram_estimate_gb: Option<f64>,
    /// The parts of that.
    estimate: Option<VramEstimate>,
    /// Whether it fits on the GPUs of this machine: `fits`, `fits_with_shorter_context`, `does_not_fit`; `null` where
    /// that is not known.
    #[schema(example = "fits")]
    fit: Option<&'static str>,
    /// Whether its weights are stored with less than they were made with.
    quantized: bool,
    /// How they are stored, where that is known.
    #[schema(example = "awq")]
    quantization: Option<String>,
    /// The longest context in tokens, where that is known.
    max_context: Option<u32>,
    /// Whether it is given only to those who accepted its terms.
    gated: bool,
    /// Words that describe it.
    tags: Vec<String>,
    /// When the catalogue said this.
    #[schema(format = DateTime)]
    fetched_at: String,
    /// Whether the catalogue could not be asked again since.
    stale: bool,
}

/// How much memory a model needs, in GiB.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VramEstimate {
    /// For the weights.
    weights_gb: f64,
    /// For the context.
    kv_cache_gb: f64,
    /// For what the server needs besides.
    overhead_gb: f64,
    /// The context in tokens.
    context: u32,
    /// How sure that is: `high`, `medium` or `low`.
    #[schema(example = "medium")]
    certainty: &'static str,
}

impl From<Estimate> for VramEstimate {
    fn from(estimate: Estimate) -> Self {
        Self {
            weights_gb: hardware::gib(estimate.weights >> 20),
            kv_cache_gb: hardware::gib(estimate.kv_cache >> 20),
            overhead_gb: hardware::gib(estimate.overhead >> 20),
            context: estimate.context,
            certainty: estimate.certainty.as_str(),
        }
    }
}

impl FoundModel {
    /// A model, for this server, on a machine with this room.
    pub(crate) fn new(
        model: &catalogue::FoundModel,
        found: &catalogue::Found,
        backend: Backend,
        room: Option<Room>,
    ) -> Self {
        let need = model.facts.as_ref().map(|facts| estimate::estimate(facts, Use::chat(backend)));
        Self {
            id: model.id.clone(),
            description: model.description.clone(),
            downloads: model.downloads,
            likes: model.likes,
            vram_estimate_gb: need.map(|need| need.total_gib()),
            estimate: need.map(VramEstimate::from),
            fit: room.and_then(|room| model.fit(backend, room)).map(|fit| fit.as_str()),
            quantized: model.quantized,
            quantization: model.quantization.clone(),
            max_context: model.max_context,
            gated: model.gated,
            tags: model.tags.clone(),
            fetched_at: timestamp(found.at),
            stale: found.stale.is_some(),
        }
    }
}
