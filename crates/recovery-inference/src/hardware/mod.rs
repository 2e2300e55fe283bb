//! What the machine has for language models: GPUs from whatever source knows of them, processors, memory, disk.
//!
//! Each parser is a pure function of a source's output. [`merge`] brings what they found together and keeps for each
//! fact where it comes from.

pub mod amd_smi;
pub mod docker_info;
mod gpu;
pub mod hardware_file;
pub(crate) mod json;
pub mod kernel;
pub mod limits;
pub mod machine;
mod merge;
pub(crate) mod number;
pub mod nvidia_smi;
pub mod rocm_smi;
#[cfg(test)]
#[path = "tests/rows.rs"]
mod rows;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use docker_info::{DockerGpuRuntime, DockerInfo};
pub(crate) use gpu::name;
pub use gpu::{GpuPart, SeenGpu, Source, Unreadable, Vendor};
pub use hardware_file::HardwareFile;
pub use limits::Limits;
pub use machine::Machine;
pub use merge::{Gpus, merge};

/// A fact, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact<T> {
    /// The fact.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

impl<T> Fact<T> {
    /// A fact from this source.
    pub fn new(value: T, source: Source) -> Self {
        Self { value, source }
    }
}

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// Who made it, and who saw it first.
    pub vendor: Fact<Vendor>,
    /// What it is called; in general words where no source says it.
    pub model: Fact<String>,
    /// Its memory in MiB; `None` where no source says it.
    pub memory_mib: Option<Fact<u64>>,
    /// Whether it has no memory of its own: then `memory_mib` is the system's.
    pub unified: bool,
    /// Its number, as its vendor's tools count.
    pub index: u32,
    /// Where it is on the PCI bus.
    pub pci: Option<String>,
    /// The parts that it is divided into (MIG); programs use these in its place.
    pub parts: Vec<GpuPart>,
}

impl Gpu {
    /// The most memory that one program can have on it without being spread, in MiB: that of its largest part where it
    /// is divided. 0 where it is not known.
    #[must_use]
    pub fn usable_mib(&self) -> u64 {
        let whole = self.memory_mib.as_ref().map_or(0, |memory| memory.value);
        match self.parts.iter().filter_map(|part| part.memory_mib).max() {
            Some(part) => part.min(whole.max(part)),
            None => whole,
        }
    }
}

/// What the machine has for language models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hardware {
    /// The GPUs that models can run on.
    pub gpus: Vec<Gpu>,
    /// GPUs inside processors that have a small piece of the system's memory: no model runs on them.
    pub integrated: Vec<Gpu>,
    /// How containers reach the GPUs.
    pub docker_gpu_runtime: Fact<DockerGpuRuntime>,
    /// Processors, memory and disk.
    pub machine: Machine,
    /// What is free where the container engine keeps images and volumes, in MiB; `None` where that cannot be seen.
    pub docker_disk_free_mib: Option<u64>,
    /// What could not be found out and why, in sentences.
    pub notes: Vec<String>,
    /// When this was found out.
    pub detected_at: OffsetDateTime,
}

/// A size in GiB, with one decimal, as answers give it.
#[must_use]
pub fn gib(mib: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "no memory has 2^53 MiB")]
    let gib = mib as f64 / 1024.0;
    (gib * 10.0).round() / 10.0
}
