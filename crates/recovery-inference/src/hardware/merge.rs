//! Bringing together what several sources say of the GPUs.

use super::{Fact, Gpu, Machine, SeenGpu, Source, Vendor};

/// The most memory in MiB that a GPU inside a processor of AMD's is given and that does not count as a GPU's.
const CARVE_OUT_MIB: u64 = 1024;

/// The GPUs of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gpus {
    /// Those that models can run on.
    pub usable: Vec<Gpu>,
    /// Those inside processors, with a small piece of the system's memory.
    pub integrated: Vec<Gpu>,
}

/// A GPU that is being put together.
struct Merging {
    vendor: Vendor,
    first: Source,
    model: Option<Fact<String>>,
    memory_mib: Option<Fact<u64>>,
    uuid: Option<String>,
    seen: SeenGpu,
}

/// Brings together what the sources say, the most trusted first: a later one fills in what those before it did not
/// say. It adds a GPU only where none before it saw any of that vendor, or where its place on the PCI bus shows that it
/// is another one.
#[must_use]
pub fn merge(reports: &[(Source, Vec<SeenGpu>)], machine: &Machine) -> Gpus {
    let mut merged: Vec<Merging> = Vec::new();
    for (source, gpus) in reports {
        let known = merged.len();
        for (place, gpu) in places(gpus) {
            // Only what earlier sources saw: two GPUs of one source are never one.
            let earlier = merged.get(..known).unwrap_or_default();
            let of_vendor: Vec<usize> = (0..)
                .zip(earlier)
                .filter(|(_, other)| other.vendor == gpu.vendor)
                .map(|(at, _)| at)
                .collect();
            match find(earlier, &of_vendor, gpu, place) {
                Some(at) => {
                    if let Some(one) = merged.get_mut(at) {
                        one.fill(*source, gpu);
                    }
                }
                None if of_vendor.is_empty() || is_another(earlier, &of_vendor, gpu) => {
                    merged.push(Merging::new(*source, gpu));
                }
                None => {}
            }
        }
    }
    let (integrated, usable) = merged.into_iter().map(|one| one.finish(machine)).partition(is_integrated);
    Gpus { usable, integrated }
}

/// Each GPU with its place among those of its vendor.
fn places(gpus: &[SeenGpu]) -> impl Iterator<Item = (usize, &SeenGpu)> {
    gpus.iter().enumerate().map(|(at, gpu)| {
        let before = gpus.iter().take(at).filter(|other| other.vendor == gpu.vendor).count();
        (before, gpu)
    })
}

/// The GPU that this one is: by what identifies it, or else by its place among those of its vendor.
fn find(earlier: &[Merging], of_vendor: &[usize], gpu: &SeenGpu, place: usize) -> Option<usize> {
    let by = |same: &dyn Fn(&Merging) -> bool| {
        of_vendor.iter().copied().find(|&at| earlier.get(at).is_some_and(same))
    };
    let by_pci = || by(&|other| gpu.pci.is_some() && other.seen.pci == gpu.pci);
    let by_uuid = || by(&|other| gpu.uuid.is_some() && other.uuid == gpu.uuid);
    let by_place = || {
        let at = of_vendor.get(place).copied()?;
        let other = earlier.get(at)?;
        (gpu.pci.is_none() || other.seen.pci.is_none()).then_some(at)
    };
    by_pci().or_else(by_uuid).or_else(by_place)
}

/// Whether its place on the bus shows that it is none of those that are known.
fn is_another(earlier: &[Merging], of_vendor: &[usize], gpu: &SeenGpu) -> bool {
    let placed = |&at: &usize| earlier.get(at).is_some_and(|other| other.seen.pci.is_some());
    gpu.pci.is_some() && of_vendor.iter().all(placed)
}

fn is_integrated(gpu: &Gpu) -> bool {
    let small = gpu.memory_mib.as_ref().is_some_and(|memory| memory.value <= CARVE_OUT_MIB);
    gpu.vendor.value == Vendor::Amd && small
}

impl Merging {
    fn new(source: Source, gpu: &SeenGpu) -> Self {
        let mut new = Self {
            vendor: gpu.vendor,
            first: source,
            model: None,
            memory_mib: None,
            uuid: None,
            seen: SeenGpu { index: gpu.index, ..SeenGpu::new(gpu.vendor, gpu.index) },
        };
        new.fill(source, gpu);
        new
    }

    fn fill(&mut self, source: Source, gpu: &SeenGpu) {
        let fact = |value: &Option<String>| value.clone().map(|value| Fact::new(value, source));
        self.model = self.model.take().or_else(|| fact(&gpu.model));
        self.memory_mib = self.memory_mib.take().or_else(|| gpu.memory_mib.map(|mib| Fact::new(mib, source)));
        self.uuid = self.uuid.take().or_else(|| gpu.uuid.clone());
        self.seen.pci = self.seen.pci.take().or_else(|| gpu.pci.clone());
        self.seen.unified |= gpu.unified;
        if self.seen.parts.is_empty() {
            self.seen.parts.clone_from(&gpu.parts);
        }
    }

    fn finish(self, machine: &Machine) -> Gpu {
        let unified = self.seen.unified && self.memory_mib.is_none();
        let of_system = || {
            let known = unified && machine.memory_mib > 0;
            known.then(|| Fact::new(machine.memory_mib, Source::System))
        };
        Gpu {
            vendor: Fact::new(self.vendor, self.first),
            model: self.model.unwrap_or_else(|| Fact::new(format!("{} GPU", self.vendor), self.first)),
            memory_mib: self.memory_mib.or_else(of_system),
            unified,
            index: self.seen.index,
            pci: self.seen.pci,
            parts: self.seen.parts,
        }
    }
}

#[cfg(test)]
#[path = "tests/merge.rs"]
mod tests;
