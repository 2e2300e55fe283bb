//! Which of the GPUs a server can use together.

use std::collections::BTreeMap;

use crate::{
    Backend,
    estimate::Room,
    hardware::{Gpu, Vendor, gib},
};

/// GPUs that a server uses together.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuSet {
    /// Who made them.
    pub vendor: Vendor,
    /// What they are called: that of the first.
    pub model: String,
    /// Their memory, as the server can use it.
    pub room: Room,
}

impl GpuSet {
    /// The largest set that a server can use; `None` where there is no GPU whose memory is known.
    ///
    /// vLLM and SGLang cut a model into equal pieces: for GPUs of one model, and two, four or eight of them. Ollama puts
    /// layers on GPUs of one vendor, of whatever size; a set is counted as if each had the memory of its smallest, so a
    /// small one beside a large one adds nothing. A GPU that is divided (MIG) is used for one of its parts alone.
    #[must_use]
    pub fn largest(gpus: &[Gpu], backend: Backend) -> Option<Self> {
        let mut groups: BTreeMap<(Vendor, String), Vec<&Gpu>> = BTreeMap::new();
        for gpu in gpus.iter().filter(|gpu| gpu.usable_mib() > 0) {
            let key = match backend {
                Backend::Ollama => String::new(),
                Backend::Vllm | Backend::Sglang => format!("{} {}", gpu.model.value, gpu.usable_mib()),
            };
            groups.entry((gpu.vendor.value, key)).or_default().push(gpu);
        }
        groups
            .into_values()
            .flat_map(|group| sets(group, backend))
            // Of two of the same size the one with fewer GPUs.
            .max_by_key(|set| {
                (set.room.each_mib * u64::from(set.room.gpus), std::cmp::Reverse(set.room.gpus))
            })
    }

    /// In words, for example `2 × NVIDIA GeForce RTX 3090 with 48 GiB in all`.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { model, room, .. } = self;
        match room.gpus {
            1 => format!("the {model} has {} GiB", gib(room.each_mib)),
            gpus => {
                format!("{gpus} GPUs ({model}) have {} GiB together", gib(room.each_mib * u64::from(gpus)))
            }
        }
    }
}

fn sets(mut group: Vec<&Gpu>, backend: Backend) -> Vec<GpuSet> {
    group.sort_by_key(|gpu| std::cmp::Reverse(gpu.usable_mib()));
    let whole: Vec<&Gpu> = group.iter().copied().filter(|gpu| gpu.parts.is_empty()).collect();
    let set = |gpus: u32, first: &Gpu, smallest: &Gpu| GpuSet {
        vendor: first.vendor.value,
        model: first.model.value.clone(),
        room: Room { gpus, each_mib: smallest.usable_mib(), utilization: Room::usual(backend) },
    };
    let together = (1_u32..).zip(&whole).filter_map(|(gpus, smallest)| {
        let possible = backend == Backend::Ollama || gpus.is_power_of_two();
        whole.first().filter(|_| possible).map(|first| set(gpus, first, smallest))
    });
    let alone = group.iter().filter(|gpu| !gpu.parts.is_empty()).map(|gpu| set(1, gpu, gpu));
    together.chain(alone).collect()
}
