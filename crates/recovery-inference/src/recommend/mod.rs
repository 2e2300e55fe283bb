//! Which server and which model to run on a machine: a pure function of what was found out about it and of the list of
//! recommended models.

mod models;
mod room;

pub use models::{BadList, Category, RecommendedModel, RecommendedModels};
pub use room::GpuSet;

use crate::{
    Backend,
    estimate::{Estimate, Fit, Room, estimate},
    hardware::{DockerGpuRuntime, Hardware, Vendor, gib},
};

/// From this much GPU memory on, vLLM is recommended: below it, what it needs besides the weights leaves too little.
const ENOUGH_FOR_VLLM_MIB: u64 = 15 * 1024;
/// How much of the system's memory a model on the processor may take, in hundredths: the platform needs the rest.
const SHARE_OF_RAM: u64 = 60;
/// The most billion parameters that a processor answers with in a bearable time.
const MOST_ON_A_PROCESSOR: f64 = 9.0;
/// The most alternatives that are named.
const MOST_ALTERNATIVES: usize = 3;

/// What to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// The server.
    pub backend: Backend,
    /// The model, by its name for that server.
    pub model: String,
    /// Why, in one sentence with its figures.
    pub reason: String,
    /// What could be done to make more of the machine.
    pub hints: Vec<String>,
    /// What else would do.
    pub alternatives: Vec<Alternative>,
}

/// Something else that could be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// The server.
    pub backend: Backend,
    /// The model, by its name for that server.
    pub model: String,
    /// What it needs, in words.
    pub reason: String,
}

/// A model for a server, and what it needs.
struct Choice<'a> {
    backend: Backend,
    model: &'a RecommendedModel,
    need: Option<Estimate>,
}

impl Choice<'_> {
    /// In words, for example `Llama 3.1 8B needs about 7 GiB`.
    fn words(&self) -> String {
        let name = &self.model.name;
        match self.need {
            Some(need) => format!(
                "{name} needs about {} GiB (weights {}, a context of {} tokens {}, the server {})",
                need.total_gib(),
                gib(need.weights >> 20),
                need.context,
                gib(need.kv_cache >> 20),
                gib(need.overhead >> 20),
            ),
            None => format!("{name} needs {} GiB", self.model.min_vram_gb),
        }
    }

    fn alternative(&self) -> Alternative {
        Alternative {
            backend: self.backend,
            model: self.model.id_for(self.backend).to_owned(),
            reason: format!("With {}, {}.", self.backend, self.words()),
        }
    }
}

/// Recommends a server and a model. `None` where the list has nothing for this machine, not even for its processors.
#[must_use]
pub fn recommend(hardware: &Hardware, models: &RecommendedModels) -> Option<Recommendation> {
    let mut hints = hints(hardware);
    let on_gpu = |backend: Backend| {
        let set = GpuSet::largest(&hardware.gpus, backend).filter(|set| reaches(hardware, set.vendor))?;
        let choices = on_gpus(models, backend, set.room);
        (!choices.is_empty()).then_some((set, choices))
    };
    let vllm = on_gpu(Backend::Vllm).filter(|(set, _)| {
        let enough = set.room.each_mib.saturating_mul(set.room.gpus.into()) >= ENOUGH_FOR_VLLM_MIB;
        // Its image for AMD is another one than the platform's.
        set.vendor == Vendor::Nvidia && enough
    });
    let ollama = on_gpu(Backend::Ollama);
    let mut choices: Vec<Choice<'_>> = Vec::new();
    let (head, tail) = if let Some((set, fitting)) = vllm {
        choices.extend(fitting);
        choices.extend(ollama.into_iter().flat_map(|(_, fitting)| fitting).take(1));
        (set.words(), "vLLM answers many requests at once")
    } else if let Some((set, fitting)) = ollama {
        choices.extend(fitting);
        let tail = match set.vendor {
            Vendor::Amd => "Ollama runs on GPUs of AMD",
            Vendor::Nvidia => "Ollama needs the least besides the model",
        };
        (set.words(), tail)
    } else {
        let (fitting, tight) = on_processor(models, hardware.machine.memory_mib);
        if tight {
            hints.push(
                "The memory is hardly enough for any model: close other programs, or use a provider."
                    .to_owned(),
            );
        }
        choices.extend(fitting);
        (without_gpu(hardware), "Ollama runs on processors")
    };
    let mut choices = choices.into_iter();
    let best = choices.next()?;
    let sentence = capital(&format!("{head}; {}, and {tail}.", best.words()));
    Some(Recommendation {
        backend: best.backend,
        model: best.model.id_for(best.backend).to_owned(),
        reason: sentence,
        hints,
        alternatives: choices.map(|choice| choice.alternative()).take(MOST_ALTERNATIVES).collect(),
    })
}

/// Whether containers reach GPUs of this vendor.
fn reaches(hardware: &Hardware, vendor: Vendor) -> bool {
    matches!(
        (vendor, hardware.docker_gpu_runtime.value),
        (Vendor::Nvidia, DockerGpuRuntime::Nvidia) | (Vendor::Amd, DockerGpuRuntime::Rocm)
    )
}

/// The chat models that fit into this room, the largest first.
fn on_gpus(models: &RecommendedModels, backend: Backend, room: Room) -> Vec<Choice<'_>> {
    let in_all = gib(room.each_mib.saturating_mul(room.gpus.into()));
    let fitting = models.filtered(Some(backend), Some(in_all)).filter(|model| !model.needs_no_gpu());
    let mut choices: Vec<Choice<'_>> = fitting
        .filter(|model| model.category == Category::Chat)
        .filter_map(|model| {
            let need = match model.estimated_as(backend) {
                Some((facts, how)) => match Fit::of(&facts, how, room) {
                    Fit::Fits { need } => Some(need),
                    Fit::ShorterContext { .. } | Fit::DoesNotFit { .. } => return None,
                },
                None => None,
            };
            Some(Choice { backend, model, need })
        })
        .collect();
    sort(&mut choices);
    choices
}

/// The chat models for processors, the largest first, and whether even the smallest hardly has room.
fn on_processor(models: &RecommendedModels, memory_mib: u64) -> (Vec<Choice<'_>>, bool) {
    let usable = memory_mib.saturating_mul(SHARE_OF_RAM) / 100;
    let small = |model: &&RecommendedModel| {
        model.needs_no_gpu() && model.parameters_b.is_none_or(|billions| billions <= MOST_ON_A_PROCESSOR)
    };
    let mut choices: Vec<Choice<'_>> = models
        .filtered(Some(Backend::Ollama), None)
        .filter(|model| model.category == Category::Chat)
        .filter(small)
        .map(|model| {
            let need = model.estimated_as(Backend::Ollama).map(|(facts, how)| estimate(&facts, how));
            Choice { backend: Backend::Ollama, model, need }
        })
        .collect();
    sort(&mut choices);
    let fits = |choice: &Choice<'_>| choice.need.is_some_and(|need| need.total() >> 20 <= usable);
    if choices.iter().any(fits) {
        choices.retain(fits);
        (choices, false)
    } else {
        choices.drain(..choices.len().saturating_sub(1));
        (choices, true)
    }
}

/// By how much a model knows, which goes with its parameters; of two with as many, that with more bits.
fn sort(choices: &mut [Choice<'_>]) {
    let key = |choice: &Choice<'_>| (choice.model.parameters_b.unwrap_or_default(), choice.model.min_vram_gb);
    choices.sort_by(|a, b| {
        let ((a, a_size), (b, b_size)) = (key(a), key(b));
        b.total_cmp(&a).then(b_size.total_cmp(&a_size))
    });
}

/// Why no GPU is used, and what there is in its place.
fn without_gpu(hardware: &Hardware) -> String {
    let memory = gib(hardware.machine.memory_mib);
    let cores = hardware.machine.cpu_cores;
    let there = match hardware.gpus.first() {
        None => "there is no GPU".to_owned(),
        Some(gpu) if gpu.usable_mib() == 0 => format!("the memory of the {} is not known", gpu.model.value),
        Some(gpu) if !reaches(hardware, gpu.vendor.value) => {
            format!("containers do not reach the {}", gpu.model.value)
        }
        Some(gpu) => format!("the {} has only {} GiB", gpu.model.value, gib(gpu.usable_mib())),
    };
    format!("{there}, and {cores} processors have {memory} GiB of memory")
}

fn hints(hardware: &Hardware) -> Vec<String> {
    let mut hints = Vec::new();
    let unreached = |vendor: Vendor| {
        hardware.gpus.iter().any(|gpu| gpu.vendor.value == vendor) && !reaches(hardware, vendor)
    };
    if unreached(Vendor::Nvidia) {
        hints.push(
            "Containers do not reach the NVIDIA GPU: install the NVIDIA Container Toolkit on the host, run `sudo \
             nvidia-ctk runtime configure --runtime=docker`, restart Docker, and detect the hardware anew."
                .to_owned(),
        );
    }
    if unreached(Vendor::Amd) {
        hints.push(
            "Containers do not reach the AMD GPU: install the amdgpu driver with ROCm on the host, so that there is \
             /dev/kfd, and detect the hardware anew."
                .to_owned(),
        );
    }
    if hardware.gpus.iter().any(|gpu| gpu.usable_mib() == 0) {
        hints.push(
            "The memory of a GPU is not known: install its vendor's tools on the host, or say it in HARDWARE_FILE."
                .to_owned(),
        );
    }
    hints
}

fn capital(words: &str) -> String {
    let mut chars = words.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", chars.as_str())
}

#[cfg(test)]
#[path = "tests/recommend.rs"]
mod tests;
