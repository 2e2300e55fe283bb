//! What `amd-smi … --json` prints: a list of GPUs, bare or under `gpu_data`, with figures as numbers, as text, or as
//! objects of value and unit.

use serde_json::Value;

use super::{
    gpu::{MOST_GPUS, SeenGpu, Unreadable, Vendor, name, pci_address, unreadable},
    json,
    number::{Unit, mebibytes},
};

/// The arguments that list the GPUs.
pub const LIST: [&str; 5] = ["static", "--asic", "--bus", "--vram", "--json"];

/// The GPUs in what [`LIST`] prints.
///
/// # Errors
/// There is no JSON in it, or no GPU in the JSON.
pub fn list(output: &str) -> Result<Vec<SeenGpu>, Unreadable> {
    Ok(gpus(output)?.iter().map(|(index, value)| gpu(*index, value)).collect())
}

/// The objects of the GPUs with their numbers.
pub(crate) fn gpus(output: &str) -> Result<Vec<(u32, Value)>, Unreadable> {
    let nothing = || unreadable("amd-smi printed something that is no list of GPUs");
    let all = match json::after_warnings(output) {
        Some(Value::Array(all)) => all,
        Some(Value::Object(mut object)) => match object.remove("gpu_data") {
            Some(Value::Array(all)) => all,
            _ => return Err(nothing()),
        },
        _ => return Err(nothing()),
    };
    let gpus: Vec<(u32, Value)> = (0..)
        .zip(all)
        .filter(|(_, value)| value.is_object())
        .map(|(place, value)| {
            let index = value.get("gpu").and_then(Value::as_u64).and_then(|index| index.try_into().ok());
            (index.unwrap_or(place), value)
        })
        .take(MOST_GPUS)
        .collect();
    if gpus.is_empty() { Err(nothing()) } else { Ok(gpus) }
}

fn gpu(index: u32, value: &Value) -> SeenGpu {
    let first = |paths: &[&[&str]]| paths.iter().find_map(|path| json::at(value, path));
    SeenGpu {
        model: [["asic", "market_name"], ["board", "product_name"]]
            .iter()
            .find_map(|path| name(&json::at(value, path)?)),
        memory_mib: first(&[
            &["vram", "size"],
            &["vram", "vram_size_mb"],
            &["vram", "size_mb"],
            &["vram", "vram_size"],
        ])
        .and_then(|text| mebibytes(&text, Unit::Mebibytes))
        .filter(|&mib| mib > 0),
        pci: first(&[&["bus", "bdf"], &["bdf"]]).and_then(|text| pci_address(&text)),
        uuid: first(&[&["asic", "asic_serial"], &["uuid"]]).and_then(|text| name(&text)),
        ..SeenGpu::new(Vendor::Amd, index)
    }
}

#[cfg(test)]
#[path = "tests/amd_smi.rs"]
mod tests;
