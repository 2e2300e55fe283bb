//! What `rocm-smi --json` prints: one object a GPU, under names that changed from release to release, with numbers
//! as text, after lines of warnings.

use serde_json::{Map, Value};

use super::{
    gpu::{MOST_GPUS, SeenGpu, Unreadable, Vendor, name, pci_address, unreadable},
    json,
    number::{Unit, mebibytes},
};

/// The arguments that list the GPUs.
pub const LIST: [&str; 5] = ["--showproductname", "--showmeminfo", "vram", "--showbus", "--json"];

/// The GPUs in what [`LIST`] prints.
///
/// # Errors
/// There is no JSON in it, or no GPU in the JSON.
pub fn list(output: &str) -> Result<Vec<SeenGpu>, Unreadable> {
    let gpus = cards(output)?;
    Ok(gpus.iter().map(|(index, card)| gpu(*index, card)).collect())
}

/// The number of a GPU, and what is said of it.
pub(crate) type Card = (u32, Map<String, Value>);

/// The objects of the GPUs with their numbers, in order of these.
pub(crate) fn cards(output: &str) -> Result<Vec<Card>, Unreadable> {
    let nothing = || unreadable("rocm-smi printed something that is no list of GPUs");
    let Some(Value::Object(all)) = json::after_warnings(output) else {
        return Err(nothing());
    };
    let mut cards: Vec<Card> = all
        .into_iter()
        .filter_map(|(key, value)| match value {
            Value::Object(card) => Some((key.strip_prefix("card")?.parse().ok()?, card)),
            _ => None,
        })
        .collect();
    cards.sort_by_key(|(index, _)| *index);
    cards.truncate(MOST_GPUS);
    if cards.is_empty() { Err(nothing()) } else { Ok(cards) }
}

fn gpu(index: u32, card: &Map<String, Value>) -> SeenGpu {
    SeenGpu {
        model: ["Card Series", "Card series", "Device Name", "Card Model", "Card model"]
            .into_iter()
            .filter_map(|key| json::text(card.get(key)?))
            // Some releases have the PCI id where others have the name.
            .find_map(|text| name(&text).filter(|name| !name.starts_with("0x"))),
        memory_mib: json::field(card, &["vram total memory (b)", "vram total (b)"])
            .and_then(|text| mebibytes(&text, Unit::Bytes))
            .filter(|&mib| mib > 0),
        pci: json::field(card, &["pci bus"]).and_then(|text| pci_address(&text)),
        uuid: json::field(card, &["unique id"]).and_then(|text| name(&text)),
        ..SeenGpu::new(Vendor::Amd, index)
    }
}

#[cfg(test)]
#[path = "tests/rocm_smi.rs"]
mod tests;
