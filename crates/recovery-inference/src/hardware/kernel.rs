//! What the kernel shows of GPUs: the files under `/sys` and `/proc` that need no tool and can be read from inside a
//! container.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{
    gpu::{MOST_GPUS, SeenGpu, Vendor, name, pci_address},
    number::{Unit, mebibytes},
};

/// The most bytes of one of these files that are read.
const LARGEST_FILE: u64 = 16 * 1024;
/// The most entries of a directory that are looked at.
const MOST_ENTRIES: usize = 4096;

/// The GPUs below this root, which is `/` but in tests. Those of whom there is a trace in several places are one, by
/// their place on the PCI bus; all of NVIDIA come before all of AMD, in order of that place.
#[must_use]
pub fn look(root: &Path) -> Vec<SeenGpu> {
    let mut seen: BTreeMap<(Vendor, String), SeenGpu> = BTreeMap::new();
    for directory in entries(&root.join("sys/bus/pci/devices")) {
        let Some(pci) = file_name(&directory).and_then(|name| pci_address(&name)) else { continue };
        // Display controllers: VGA (0x0300), 3D (0x0302), others (0x0380); and the accelerators of AMD (0x1200).
        let class = read(&directory.join("class")).unwrap_or_default();
        let is_gpu = class.starts_with("0x03") || class.starts_with("0x1200");
        if let Some(vendor) = vendor(&directory).filter(|_| is_gpu) {
            note(&mut seen, vendor, pci, &directory);
        }
    }
    for card in entries(&root.join("sys/class/drm")) {
        let is_card = file_name(&card).is_some_and(|name| {
            name.strip_prefix("card").is_some_and(|number| number.parse::<u32>().is_ok())
        });
        let device = card.join("device");
        if let Some(vendor) = vendor(&device).filter(|_| is_card) {
            let pci = slot(&device).unwrap_or_else(|| file_name(&card).unwrap_or_default());
            note(&mut seen, vendor, pci, &device);
        }
    }
    for directory in entries(&root.join("proc/driver/nvidia/gpus")) {
        let Some(pci) = file_name(&directory).and_then(|name| pci_address(&name)) else { continue };
        let gpu = seen
            .entry((Vendor::Nvidia, pci.clone()))
            .or_insert_with(|| SeenGpu { pci: Some(pci), ..SeenGpu::new(Vendor::Nvidia, 0) });
        let information = read(&directory.join("information")).unwrap_or_default();
        gpu.model = information_field(&information, "Model").or(gpu.model.take());
        gpu.uuid = information_field(&information, "GPU UUID").filter(|uuid| !uuid.contains('?'));
    }
    let mut counts = BTreeMap::<Vendor, u32>::new();
    seen.into_values()
        .take(MOST_GPUS)
        .map(|gpu| {
            let count = counts.entry(gpu.vendor).or_default();
            let index = *count;
            *count += 1;
            SeenGpu { index, ..gpu }
        })
        .collect()
}

/// Whether the driver that programs in containers reach AMD's GPUs through is loaded.
#[must_use]
pub fn has_kfd(root: &Path) -> bool {
    root.join("sys/class/kfd").exists() || root.join("dev/kfd").exists()
}

fn note(seen: &mut BTreeMap<(Vendor, String), SeenGpu>, vendor: Vendor, pci: String, device: &Path) {
    let gpu = seen.entry((vendor, pci.clone())).or_insert_with(|| SeenGpu::new(vendor, 0));
    gpu.pci = pci_address(&pci);
    gpu.model = gpu.model.take().or_else(|| read(&device.join("product_name")).and_then(|text| name(&text)));
    // Only AMD's driver says it; NVIDIA's memory is known to its tools alone.
    gpu.memory_mib = gpu.memory_mib.or_else(|| {
        let bytes = read(&device.join("mem_info_vram_total"))?;
        mebibytes(&bytes, Unit::Bytes).filter(|&mib| mib > 0)
    });
}

fn vendor(device: &Path) -> Option<Vendor> {
    Vendor::of_pci_id(&read(&device.join("vendor"))?)
}

/// The place on the bus, as the device's `uevent` says it.
fn slot(device: &Path) -> Option<String> {
    let uevent = read(&device.join("uevent"))?;
    pci_address(uevent.lines().find_map(|line| line.strip_prefix("PCI_SLOT_NAME="))?)
}

fn information_field(information: &str, field: &str) -> Option<String> {
    information.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        if key.trim() == field { name(value) } else { None }
    })
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut entries: Vec<PathBuf> = entries.flatten().take(MOST_ENTRIES).map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

fn file_name(path: &Path) -> Option<String> {
    path.file_name().and_then(|name| name.to_str()).map(str::to_owned)
}

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(LARGEST_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

#[cfg(test)]
#[path = "tests/kernel.rs"]
mod tests;
