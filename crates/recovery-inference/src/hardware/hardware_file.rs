//! The file that the host's installer wrote (`HARDWARE_FILE`), in all the forms that installers have given it.

use serde_json::{Map, Value};

use super::{
    DockerGpuRuntime,
    gpu::{MOST_GPUS, SeenGpu, Unreadable, Vendor, name, unreadable},
    json,
    number::{Unit, mebibytes, number, whole},
};

/// The largest file that is read, in bytes.
pub const LARGEST: u64 = 256 * 1024;

/// What the file says. What it does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HardwareFile {
    /// The GPUs; none where it says that there is none.
    pub gpus: Vec<SeenGpu>,
    /// How Docker reaches them.
    pub docker_gpu_runtime: Option<DockerGpuRuntime>,
    /// The processors.
    pub cpu_cores: Option<u32>,
    /// The memory in MiB.
    pub memory_mib: Option<u64>,
}

/// Reads the file's text.
///
/// # Errors
/// It is no JSON object.
pub fn parse(text: &str) -> Result<HardwareFile, Unreadable> {
    let Ok(Value::Object(file)) = serde_json::from_str(text.trim_start_matches('\u{feff}')) else {
        return Err(unreadable("the hardware file is no JSON object"));
    };
    Ok(HardwareFile {
        gpus: gpus(&file),
        docker_gpu_runtime: json::field(&file, &["docker_gpu_runtime", "gpu_runtime"])
            .and_then(|runtime| runtime.parse().ok()),
        cpu_cores: json::field(&file, &["cpu_cores", "cpus"])
            .and_then(|text| number(&text))
            .and_then(whole)
            .and_then(|cores| u32::try_from(cores).ok())
            .filter(|&cores| cores > 0),
        memory_mib: json::field(&file, &["ram_gb", "memory_gb"])
            .and_then(|text| mebibytes(&text, Unit::Gibibytes))
            .filter(|&mib| mib > 0),
    })
}

/// `gpus` is a list; or there is one GPU, under `gpu` or spread over the names `gpu_vendor`, `gpu_model`,
/// `gpu_vram_gb`. Each of them may be `"none"`, null or missing.
fn gpus(file: &Map<String, Value>) -> Vec<SeenGpu> {
    match file.get("gpus").or_else(|| file.get("gpu")) {
        Some(Value::Array(gpus)) => (0..)
            .zip(gpus)
            .take(MOST_GPUS)
            .filter_map(|(index, value)| gpu(index, value.as_object()?, None))
            .collect(),
        Some(Value::Object(one)) => gpu(0, one, None).into_iter().collect(),
        Some(Value::String(vendor)) => gpu(0, file, Some(vendor)).into_iter().collect(),
        _ => gpu(0, file, None).into_iter().collect(),
    }
}

fn gpu(place: u32, object: &Map<String, Value>, vendor: Option<&str>) -> Option<SeenGpu> {
    let vendor = json::field(object, &["vendor", "gpu_vendor"]).or_else(|| vendor.map(str::to_owned))?;
    let vendor = match vendor.trim().to_ascii_lowercase().as_str() {
        "nvidia" | "cuda" => Vendor::Nvidia,
        "amd" | "rocm" | "ati" => Vendor::Amd,
        _ => return None,
    };
    let memory = json::field(object, &["vram_gb", "gpu_vram_gb"])
        .and_then(|text| mebibytes(&text, Unit::Gibibytes))
        .or_else(|| {
            let text = json::field(object, &["vram_mb", "gpu_vram_mb", "memory_mb"])?;
            mebibytes(&text, Unit::Mebibytes)
        });
    let index = json::field(object, &["index"]).and_then(|index| index.trim().parse().ok());
    Some(SeenGpu {
        model: json::field(object, &["model", "gpu_model", "name"]).and_then(|text| name(&text)),
        memory_mib: memory.filter(|&mib| mib > 0),
        ..SeenGpu::new(vendor, index.unwrap_or(place))
    })
}

#[cfg(test)]
#[path = "tests/hardware_file.rs"]
mod tests;
