//! What the container engine says of itself (`GET /info`), as far as GPUs go.

use std::{convert::Infallible, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::gpu::{Unreadable, unreadable};

/// How containers reach GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DockerGpuRuntime {
    /// By NVIDIA's runtime, or its devices by CDI.
    Nvidia,
    /// By the devices of AMD's driver.
    Rocm,
    /// Not at all.
    #[default]
    None,
}

impl DockerGpuRuntime {
    /// The name in answers: `nvidia`, `rocm` or `none`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia",
            Self::Rocm => "rocm",
            Self::None => "none",
        }
    }
}

impl fmt::Display for DockerGpuRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DockerGpuRuntime {
    type Err = Infallible;

    /// What is not known is none.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.trim().to_ascii_lowercase().as_str() {
            "nvidia" | "cuda" | "nvidia-container-runtime" => Self::Nvidia,
            "rocm" | "amd" => Self::Rocm,
            _ => Self::None,
        })
    }
}

/// The engine, as far as GPUs go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerInfo {
    /// Whether there is a runtime of NVIDIA's.
    pub nvidia_runtime: bool,
    /// Whether there is a runtime of AMD's.
    pub amd_runtime: bool,
    /// The devices that can be asked for by their CDI names, for example `nvidia.com/gpu=0`.
    pub cdi_devices: Vec<String>,
    /// Where it keeps images and volumes, on its own machine.
    pub root_dir: Option<String>,
    /// The memory of its machine, in MiB: it tells whether that is this one.
    pub memory_mib: Option<u64>,
}

impl DockerInfo {
    /// How its containers reach NVIDIA's or AMD's GPUs, as far as the engine itself goes.
    #[must_use]
    pub fn gpu_runtime(&self) -> DockerGpuRuntime {
        if self.nvidia_runtime || self.has_cdi("nvidia.com/gpu=") {
            DockerGpuRuntime::Nvidia
        } else if self.amd_runtime || self.has_cdi("amd.com/gpu=") {
            DockerGpuRuntime::Rocm
        } else {
            DockerGpuRuntime::None
        }
    }

    fn has_cdi(&self, kind: &str) -> bool {
        self.cdi_devices.iter().any(|device| device.starts_with(kind))
    }
}

/// The most CDI devices that are kept.
const MOST_DEVICES: usize = 1024;

/// Reads the answer.
///
/// # Errors
/// It is no JSON object.
pub fn parse(answer: &str) -> Result<DockerInfo, Unreadable> {
    let Ok(Value::Object(info)) = serde_json::from_str(answer) else {
        return Err(unreadable("the container engine says nothing of itself that can be understood"));
    };
    let runtimes = info.get("Runtimes").and_then(Value::as_object);
    let has = |start: &str| runtimes.is_some_and(|all| all.keys().any(|name| name.starts_with(start)));
    let devices = info.get("DiscoveredDevices").and_then(Value::as_array);
    Ok(DockerInfo {
        nvidia_runtime: has("nvidia"),
        amd_runtime: has("amd") || has("rocm"),
        cdi_devices: devices
            .into_iter()
            .flatten()
            .filter_map(|device| device.get("ID")?.as_str().map(str::to_owned))
            .take(MOST_DEVICES)
            .collect(),
        root_dir: info.get("DockerRootDir").and_then(Value::as_str).map(str::to_owned),
        memory_mib: info.get("MemTotal").and_then(Value::as_u64).map(|bytes| bytes >> 20),
    })
}

#[cfg(test)]
#[path = "tests/docker_info.rs"]
mod tests;
