//! GPUs as single sources see them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who made a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// NVIDIA.
    Nvidia,
    /// AMD.
    Amd,
}

impl Vendor {
    /// The name in answers: `nvidia` or `amd`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia",
            Self::Amd => "amd",
        }
    }

    /// The vendor with this PCI id, such as `0x10de`.
    pub(crate) fn of_pci_id(id: &str) -> Option<Self> {
        match id.trim().trim_start_matches("0x").to_ascii_lowercase().as_str() {
            "10de" => Some(Self::Nvidia),
            "1002" => Some(Self::Amd),
            _ => None,
        }
    }
}

impl fmt::Display for Vendor {
    /// As the vendor writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nvidia => "NVIDIA",
            Self::Amd => "AMD",
        })
    }
}

/// Where a fact comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// `nvidia-smi`, run where this program runs.
    NvidiaSmi,
    /// `amd-smi`, run where this program runs.
    AmdSmi,
    /// `rocm-smi`, run where this program runs.
    RocmSmi,
    /// What the kernel shows under `/sys` and `/proc`.
    Kernel,
    /// A container that was started with the GPUs to look at them.
    Probe,
    /// The file that the host's installer wrote.
    HardwareFile,
    /// The container engine.
    Engine,
    /// The operating system.
    System,
}

impl Source {
    /// The name in answers, for example `nvidia-smi`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NvidiaSmi => "nvidia-smi",
            Self::AmdSmi => "amd-smi",
            Self::RocmSmi => "rocm-smi",
            Self::Kernel => "kernel",
            Self::Probe => "probe",
            Self::HardwareFile => "hardware-file",
            Self::Engine => "engine",
            Self::System => "system",
        }
    }
}

/// A GPU as one source sees it. What the source does not say is `None`, never 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenGpu {
    /// Who made it.
    pub vendor: Vendor,
    /// What it is called, for example `NVIDIA GeForce RTX 4090`.
    pub model: Option<String>,
    /// Its memory in MiB.
    pub memory_mib: Option<u64>,
    /// Whether the source says that it has no memory of its own and uses the system's.
    pub unified: bool,
    /// Its number, as the source counts.
    pub index: u32,
    /// Where it is on the PCI bus, as `0000:01:00.0`.
    pub pci: Option<String>,
    /// What identifies it for its vendor's tools.
    pub uuid: Option<String>,
    /// The parts that it is divided into (MIG).
    pub parts: Vec<GpuPart>,
}

impl SeenGpu {
    pub(crate) fn new(vendor: Vendor, index: u32) -> Self {
        Self {
            vendor,
            model: None,
            memory_mib: None,
            unified: false,
            index,
            pci: None,
            uuid: None,
            parts: Vec::new(),
        }
    }
}

/// A part of a divided GPU (MIG), which programs use as if it were a GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuPart {
    /// Its kind, for example `3g.20gb`.
    pub profile: String,
    /// Its memory in MiB, as its kind says it.
    pub memory_mib: Option<u64>,
}

/// What a source said cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unreadable {
    /// What is wrong with it, without any of its text.
    pub why: &'static str,
}

/// A source says it wrongly: `why` without any of its text.
pub(crate) fn unreadable(why: &'static str) -> Unreadable {
    Unreadable { why }
}

/// More GPUs than any machine has: what lists more is no list of GPUs.
pub(crate) const MOST_GPUS: usize = 256;

/// The longest name of a GPU that is kept, in characters.
const LONGEST_NAME: usize = 120;

/// A name as it may be shown: without control characters, of bounded length; `None` where it says nothing.
pub(crate) fn name(text: &str) -> Option<String> {
    let plain: String = text.trim().chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    let says_nothing = plain.is_empty()
        || plain.starts_with('[')
        || ["n/a", "none", "unknown", "null"].iter().any(|nothing| plain.eq_ignore_ascii_case(nothing));
    (!says_nothing).then_some(plain)
}

/// A PCI address in one form: `0000:01:00.0`. nvidia-smi writes `00000000:01:00.0`, lspci `01:00.0`.
pub(crate) fn pci_address(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let (domain, rest) = match text.matches(':').count() {
        1 => (0, text.as_str()),
        2 => {
            let (domain, rest) = text.split_once(':')?;
            (u32::from_str_radix(domain, 16).ok()?, rest)
        }
        _ => return None,
    };
    let (bus, slot) = rest.split_once(':')?;
    let (device, function) = slot.split_once('.')?;
    let hex = |text: &str| u8::from_str_radix(text, 16).ok();
    Some(format!("{domain:04x}:{:02x}:{:02x}.{:x}", hex(bus)?, hex(device)?, hex(function)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_have_one_form() {
        for text in ["00000000:0A:00.0", "0000:0a:00.0", "0a:00.0", " 0000:0A:00.0\n"] {
            assert_eq!(pci_address(text).as_deref(), Some("0000:0a:00.0"), "{text}");
        }
        for text in ["", "N/A", "0a", "0a:00", "zz:00.0", "1:2:3:4.0"] {
            assert_eq!(pci_address(text), None, "{text}");
        }
    }

    #[test]
    fn names_that_say_nothing_are_none() {
        for text in ["", "[N/A]", "N/A", "none", "Unknown", "\u{1b}"] {
            assert_eq!(name(text), None, "{text}");
        }
        assert_eq!(name(" NVIDIA L4\u{7}\n").as_deref(), Some("NVIDIA L4"));
        assert_eq!(name(&"x".repeat(1000)).map(|name| name.len()), Some(LONGEST_NAME));
    }
}
