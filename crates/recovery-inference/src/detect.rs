//! Finding out what the machine has: every source is asked at once, each within bounds, and what one of them cannot
//! say is a note and never an error.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use recovery_core::port::{Clock, ContainerEngine, EngineError, GpuEngine, GpuRequest, Probe};

use crate::{
    Backend,
    hardware::{
        DockerGpuRuntime, DockerInfo, Fact, Hardware, HardwareFile, Machine, SeenGpu, Source, Unreadable,
        Vendor, amd_smi, docker_info, hardware_file, kernel, machine, merge, nvidia_smi, rocm_smi,
    },
    tools::{ToolError, Tools},
};

/// How long each source may take. Without a container to look from, a detection takes no longer.
const LIMIT: Duration = Duration::from_millis(1800);
/// How long a look that follows from another one may take at least.
const LEAST_LIMIT: Duration = Duration::from_millis(100);
/// How long a container that looks at the GPUs may take.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The file that the host's installer wrote.
    pub hardware_file: PathBuf,
    /// The root of the file system whose `/sys` and `/proc` are looked at: `/` but in tests.
    pub root: PathBuf,
}

/// Finds out what the machine has.
#[derive(Clone)]
pub struct Detector {
    /// The vendors' tools.
    pub tools: Tools,
    /// The engine, for what it says of itself and for containers that look at the GPUs.
    pub gpus: Arc<dyn GpuEngine>,
    /// The engine, for the images of the containers that there are.
    pub containers: Arc<dyn ContainerEngine>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where things are.
    pub places: Places,
}

/// What the files and the system say.
struct Local {
    kernel: Vec<SeenGpu>,
    has_kfd: bool,
    file: HardwareFile,
    machine: Machine,
}

impl Detector {
    /// Finds it out. Takes two seconds at most, and up to twenty more where a container has to look.
    pub async fn detect(&self) -> Hardware {
        let began = Instant::now();
        let mut notes = Vec::new();
        let (nvidia, amd, rocm, info, local) = tokio::join!(
            self.nvidia_smi(),
            self.tool("amd-smi", &amd_smi::LIST, amd_smi::list),
            self.tool("rocm-smi", &rocm_smi::LIST, rocm_smi::list),
            self.engine_info(),
            self.local(),
        );
        let mut taken = |seen: Result<Vec<SeenGpu>, Option<String>>| {
            seen.unwrap_or_else(|why| {
                notes.extend(why);
                Vec::new()
            })
        };
        let mut reports = vec![
            (Source::NvidiaSmi, taken(nvidia)),
            (Source::AmdSmi, taken(amd)),
            (Source::RocmSmi, taken(rocm)),
        ];
        let (local, local_notes) = local;
        notes.extend(local_notes);
        let info = info.map_err(|why| notes.push(why)).ok();
        let docker_disk_free_mib = match &info {
            Some(info) => self.docker_disk_free(info, &local.machine, began).await,
            None => None,
        };
        reports.push((Source::Kernel, local.kernel));
        let known = |reports: &[(Source, Vec<SeenGpu>)]| {
            let mut seen = reports.iter().flat_map(|(_, gpus)| gpus);
            seen.any(|gpu| gpu.vendor == Vendor::Nvidia && (gpu.memory_mib.is_some() || gpu.unified))
        };
        if let Some(info) = info.as_ref().filter(|info| info.gpu_runtime() == DockerGpuRuntime::Nvidia)
            && !known(&reports)
        {
            match self.probe(info).await {
                Ok(gpus) => reports.push((Source::Probe, gpus)),
                Err(why) => notes.push(why),
            }
        }
        // What a tool saw goes before what the kernel shows, wherever it looked from.
        reports.sort_by_key(|(source, _)| matches!(source, Source::Kernel));
        reports.push((Source::HardwareFile, local.file.gpus.clone()));
        let gpus = merge(&reports, &local.machine);
        let has_amd = gpus.usable.iter().any(|gpu| gpu.vendor.value == Vendor::Amd);
        Hardware {
            docker_gpu_runtime: runtime(info.as_ref(), has_amd && local.has_kfd, &local.file),
            gpus: gpus.usable,
            integrated: gpus.integrated,
            machine: local.machine,
            docker_disk_free_mib,
            notes,
            detected_at: self.clock.now(),
        }
    }

    /// Removes what earlier looks left that a crash ended.
    ///
    /// # Errors
    /// The container engine cannot be asked.
    pub async fn clear_up(&self) -> Result<(), EngineError> {
        self.gpus.remove_left_probes().await
    }

    /// What one tool says; `Err(None)` where it is not installed.
    async fn tool(
        &self,
        tool: &'static str,
        arguments: &[&str],
        parse: fn(&str) -> Result<Vec<SeenGpu>, Unreadable>,
    ) -> Result<Vec<SeenGpu>, Option<String>> {
        let printed = self.tools.run(tool, arguments, LIMIT).await.map_err(|error| match error {
            ToolError::Missing => None,
            ToolError::Failed(how) => Some(format!("{tool} {how}.")),
        })?;
        match (parse(&printed.text), printed.failed) {
            // One that fails over one GPU may know the others.
            (Ok(gpus), None) => Ok(gpus),
            (Ok(gpus), Some(_)) if !gpus.is_empty() => Ok(gpus),
            (_, Some(how)) => Err(Some(format!("{tool} {how}."))),
            (Err(unreadable), None) => Err(Some(sentence(&unreadable))),
        }
    }

    async fn nvidia_smi(&self) -> Result<Vec<SeenGpu>, Option<String>> {
        let (listed, parts) = tokio::join!(
            self.tool("nvidia-smi", &nvidia_smi::LIST, nvidia_smi::list),
            self.tools.run("nvidia-smi", &nvidia_smi::PARTS, LIMIT),
        );
        let mut gpus = listed?;
        if let Ok(parts) = parts {
            nvidia_smi::add_parts(&mut gpus, &parts.text);
        }
        Ok(gpus)
    }

    async fn engine_info(&self) -> Result<DockerInfo, String> {
        let asked = tokio::time::timeout(LIMIT, self.gpus.info()).await;
        let answer = match asked {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(format!("How containers reach GPUs is not known: {error}.")),
            Err(_) => {
                return Err(
                    "How containers reach GPUs is not known: the container engine did not answer in time."
                        .to_owned(),
                );
            }
        };
        docker_info::parse(&answer).map_err(|error| sentence(&error))
    }

    /// What the files and the system say. They are read on a thread of their own, which is left to itself where a file
    /// system hangs.
    async fn local(&self) -> (Local, Vec<String>) {
        let places = self.places.clone();
        let reading = tokio::task::spawn_blocking(move || read(&places));
        match tokio::time::timeout(LIMIT, reading).await {
            Ok(Ok(read)) => read,
            _ => {
                let note = "The files of the system could not be read in time.".to_owned();
                let nothing = Local {
                    kernel: Vec::new(),
                    has_kfd: false,
                    file: HardwareFile::default(),
                    machine: Machine::default(),
                };
                (nothing, vec![note])
            }
        }
    }

    /// What is free where the engine keeps its things; `None` where it runs on another machine. Nobody waits for a disk
    /// that hangs longer than for everything else.
    async fn docker_disk_free(&self, info: &DockerInfo, machine: &Machine, began: Instant) -> Option<u64> {
        let place = info.root_dir.clone()?;
        if info.memory_mib? != machine.memory_mib {
            return None;
        }
        let root = self.places.root.clone();
        let looking = tokio::task::spawn_blocking(move || machine::docker_disk_free(&root, &place));
        let left = LIMIT.saturating_sub(began.elapsed()).max(LEAST_LIMIT);
        tokio::time::timeout(left, looking).await.ok()?.ok()?
    }

    /// What a container sees that has the GPUs: NVIDIA's runtime mounts `nvidia-smi` into it.
    async fn probe(&self, info: &DockerInfo) -> Result<Vec<SeenGpu>, String> {
        let Some(image) = self.local_image() else {
            return Err("No container could look at the GPUs: there is no image to make one of.".to_owned());
        };
        let probe = Probe {
            image,
            command: ["nvidia-smi"].into_iter().chain(nvidia_smi::LIST).map(str::to_owned).collect(),
            gpus: if info.nvidia_runtime { GpuRequest::Runtime } else { GpuRequest::Cdi },
            timeout: PROBE_LIMIT,
            max_output: 64 * 1024,
        };
        let output = self.gpus.probe(probe).await.map_err(|error| match error {
            EngineError::Refused { .. } => {
                "No container could look at the GPUs: the container engine does not give it any.".to_owned()
            }
            error => format!("No container could look at the GPUs: {error}."),
        })?;
        if output.exit_code != 0 {
            return Err(format!(
                "A container looked at the GPUs in vain: nvidia-smi ended with exit status {}.",
                output.exit_code
            ));
        }
        nvidia_smi::list(&String::from_utf8_lossy(&output.stdout)).map_err(|error| sentence(&error))
    }

    /// An image that is here already: that of an inference server where there is one, or of any other container of the
    /// platform. It is that of a container, so the engine need not be asked what else it has.
    fn local_image(&self) -> Option<String> {
        let snapshot = self.containers.snapshot();
        let containers = snapshot.containers();
        let of = |backend: Backend| {
            containers.iter().find(|container| container.service().as_str() == backend.service())
        };
        let found = Backend::ALL.into_iter().find_map(of).or_else(|| containers.first())?;
        (!found.image.is_empty()).then(|| found.image.clone())
    }
}

fn read(places: &Places) -> (Local, Vec<String>) {
    let mut notes = Vec::new();
    let file = match read_file(&places.hardware_file) {
        Ok(text) => hardware_file::parse(&text).unwrap_or_else(|error| {
            notes.push(sentence(&error));
            HardwareFile::default()
        }),
        // That there is none is nothing unusual.
        Err(error) => {
            if error.kind() != std::io::ErrorKind::NotFound {
                notes.push(format!("The hardware file cannot be read: {}.", error.kind()));
            }
            HardwareFile::default()
        }
    };
    let local = Local {
        kernel: kernel::look(&places.root),
        has_kfd: kernel::has_kfd(&places.root),
        machine: machine::look(Path::new("/")),
        file,
    };
    (local, notes)
}

fn read_file(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let file = std::fs::File::open(path)?;
    // A pipe in its place would be waited for.
    if !file.metadata()?.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let mut text = String::new();
    file.take(hardware_file::LARGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// How containers reach the GPUs: what the engine says, or the devices of AMD's driver, which need no runtime. Where the
/// engine says nothing, the installer's file.
fn runtime(info: Option<&DockerInfo>, has_amd_devices: bool, file: &HardwareFile) -> Fact<DockerGpuRuntime> {
    match (info.map(DockerInfo::gpu_runtime), file.docker_gpu_runtime) {
        (Some(DockerGpuRuntime::None), _) if has_amd_devices => {
            Fact::new(DockerGpuRuntime::Rocm, Source::Kernel)
        }
        (Some(runtime), _) => Fact::new(runtime, Source::Engine),
        (None, Some(runtime)) => Fact::new(runtime, Source::HardwareFile),
        (None, None) => Fact::new(DockerGpuRuntime::None, Source::Engine),
    }
}

fn sentence(error: &Unreadable) -> String {
    let why = error.why;
    let mut chars = why.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    // Names of programs stay as they are.
    if why.contains("-smi ") { format!("{why}.") } else { format!("{first}{}.", chars.as_str()) }
}
