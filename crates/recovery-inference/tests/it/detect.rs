//! Detection over fakes of every source.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use recovery_core::port::{
    Command, CommandOutput, ContainerEngine as _, EngineError, ExecOutput, GpuRequest,
};
use recovery_inference::{
    Detector, Places, Tools,
    hardware::{DockerGpuRuntime, Hardware, Source, gib},
};
use recovery_testkit::{EngineContainer, EnginePoint, FakeClock, FakeEngine, FakeRunner, exits};
use tempfile::TempDir;

const RTX_4090: &str = include_str!("../../src/hardware/samples/nvidia_smi/rtx_4090.csv");
const NO_DRIVER: &str = include_str!("../../src/hardware/samples/nvidia_smi/no_driver.csv");
const WITH_RUNTIME: &str = include_str!("../../src/hardware/samples/docker_info/nvidia_runtime.json");
const WITH_CDI: &str = include_str!("../../src/hardware/samples/docker_info/cdi.json");
const FILE: &str = include_str!("../../src/hardware/samples/hardware_file/today.json");

struct World {
    engine: FakeEngine,
    runner: FakeRunner,
    root: TempDir,
    detector: Detector,
}

/// A machine without tools, GPUs and containers.
fn world() -> World {
    let (engine, runner) = (FakeEngine::new(), FakeRunner::new());
    let root = tempfile::tempdir().unwrap();
    let detector = Detector {
        tools: Tools::new(Arc::new(runner.clone()), &["/usr/bin".into()]),
        gpus: Arc::new(engine.clone()),
        containers: Arc::new(engine.clone()),
        clock: Arc::new(FakeClock::new(time::macros::datetime!(2026-01-31 12:00 UTC))),
        places: Places { hardware_file: root.path().join("hardware.json"), root: root.path().to_owned() },
    };
    World { engine, runner, root, detector }
}

impl World {
    fn write(&self, name: &str, content: &str) {
        let path = self.root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn nvidia_smi(&self, list: &'static str, parts: &'static str) {
        self.runner.install("nvidia-smi", move |command: &Command| {
            let stdout = if command.args[0] == "-L" { parts } else { list };
            CommandOutput { stdout: stdout.into(), ..exits(0, "") }
        });
    }

    async fn detect(&self) -> Hardware {
        self.detector.detect().await
    }

    /// The platform has a container, so that there is an image.
    async fn with_a_container(&self) {
        self.engine
            .add(EngineContainer::of("ollama").with(|container| container.image = "ollama:local".to_owned()));
        self.engine.has_image("ollama:local");
        self.engine.look().await.unwrap();
    }
}

fn gpus(hardware: &Hardware) -> Vec<String> {
    let told = |gpu: &recovery_inference::hardware::Gpu| {
        let memory = gpu.memory_mib.as_ref().map_or("?".to_owned(), |memory| {
            format!("{} GiB by {}", gib(memory.value), memory.source.as_str())
        });
        format!("{}: {memory}", gpu.model.value)
    };
    hardware.gpus.iter().map(told).collect()
}

#[tokio::test]
async fn a_machine_with_nothing() {
    let hardware = world().detect().await;
    assert_eq!(gpus(&hardware), [""; 0]);
    assert_eq!(hardware.docker_gpu_runtime.value, DockerGpuRuntime::None);
    assert_eq!(hardware.notes, [""; 0], "that tools are missing is nothing unusual");
    assert!(hardware.machine.cpu_cores > 0 && hardware.machine.memory_mib > 0);
    assert_eq!(hardware.detected_at, time::macros::datetime!(2026-01-31 12:00 UTC));
}

#[tokio::test]
async fn tools_kernel_file_and_engine_are_brought_together() {
    let world = world();
    let list = include_str!("../../src/hardware/samples/nvidia_smi/a100_mig.csv");
    world.nvidia_smi(list, include_str!("../../src/hardware/samples/nvidia_smi/a100_mig.list"));
    world.engine.says(WITH_RUNTIME);
    world.write("hardware.json", FILE);
    world.write("sys/bus/pci/devices/0000:07:00.0/vendor", "0x10de\n");
    world.write("sys/bus/pci/devices/0000:07:00.0/class", "0x030200\n");
    let hardware = world.detect().await;
    assert_eq!(gpus(&hardware), ["NVIDIA A100-SXM4-40GB: 40 GiB by nvidia-smi"; 2]);
    assert_eq!(hardware.gpus[0].parts.len(), 3);
    assert_eq!(hardware.docker_gpu_runtime.value, DockerGpuRuntime::Nvidia);
    assert_eq!(hardware.docker_gpu_runtime.source, Source::Engine);
    assert!(world.engine.probes().is_empty(), "what is known needs no container");
    assert!(hardware.notes.is_empty(), "{:?}", hardware.notes);
}

#[tokio::test]
async fn a_container_looks_where_nothing_here_knows_the_memory() {
    for (info, request) in [(WITH_RUNTIME, GpuRequest::Runtime), (WITH_CDI, GpuRequest::Cdi)] {
        let world = world();
        world.engine.says(info);
        world.with_a_container().await;
        world.engine.with_gpus(|_| ExecOutput {
            exit_code: 0,
            stdout: RTX_4090.into(),
            stderr: vec![],
            truncated: false,
        });
        let hardware = world.detect().await;
        assert_eq!(gpus(&hardware), ["NVIDIA GeForce RTX 4090: 24 GiB by probe"]);
        let probes = world.engine.probes();
        assert_eq!((probes.len(), probes[0].gpus, probes[0].image.as_str()), (1, request, "ollama:local"));
        assert!(hardware.notes.is_empty(), "{:?}", hardware.notes);
    }
}

#[tokio::test]
async fn a_container_that_cannot_look_is_a_note_and_the_file_still_counts() {
    let check = async |prepare: &dyn Fn(&World), containers: bool, expect: &str| {
        let world = world();
        world.engine.says(WITH_RUNTIME);
        world.write("hardware.json", FILE);
        if containers {
            world.with_a_container().await;
        }
        prepare(&world);
        let hardware = world.detect().await;
        assert_eq!(gpus(&hardware), ["NVIDIA GeForce RTX 3090: 24 GiB by hardware-file"; 2]);
        assert!(hardware.notes.len() == 1 && hardware.notes[0].contains(expect), "{:?}", hardware.notes);
    };
    check(&|_| {}, false, "there is no image").await;
    check(&|_| {}, true, "does not give it any").await;
    let slow = || EngineError::TimedOut { doing: "looking at the GPUs from a container" };
    check(&|world| world.engine.faults().fail_next(EnginePoint::Probe, slow), true, "did not answer in time")
        .await;
    let ended = |exit_code, stdout: &str| ExecOutput {
        exit_code,
        stdout: stdout.into(),
        stderr: vec![],
        truncated: false,
    };
    let (failed, garbage) = (ended(9, NO_DRIVER), ended(0, "garbage"));
    check(
        &move |world| {
            let out = failed.clone();
            world.engine.with_gpus(move |_| out.clone());
        },
        true,
        "exit status 9",
    )
    .await;
    check(
        &move |world| {
            let out = garbage.clone();
            world.engine.with_gpus(move |_| out.clone());
        },
        true,
        "no list of GPUs",
    )
    .await;
}

#[tokio::test]
async fn the_disk_of_the_engine_is_told_where_it_is_one_of_this_machine() {
    let here = recovery_inference::hardware::machine::look(Path::new("/")).memory_mib << 20;
    let check = async |memory: u64, place: &str, expect: bool| {
        let world = world();
        world.write("var/lib/docker/x", "");
        world.engine.says(format!(r#"{{"DockerRootDir": "{place}", "MemTotal": {memory}}}"#));
        let free = world.detect().await.docker_disk_free_mib;
        assert_eq!(free.is_some(), expect, "{memory} {place}: {free:?}");
    };
    check(here, "/var/lib/docker", true).await;
    check(here / 2, "/var/lib/docker", false).await;
    let world = world();
    world.engine.says(r#"{"DockerRootDir": "/var/lib/docker"}"#);
    assert_eq!(world.detect().await.docker_disk_free_mib, None);
    world.engine.away();
    assert_eq!(world.detect().await.docker_disk_free_mib, None);
}

#[tokio::test]
async fn gpus_of_amd_need_no_runtime() {
    let world = world();
    world.runner.install("rocm-smi", |_: &Command| CommandOutput {
        stdout: include_str!("../../src/hardware/samples/rocm_smi/rx_7900_xtx.json").into(),
        ..exits(0, "")
    });
    let without = world.detect().await;
    assert_eq!(gpus(&without), ["Radeon RX 7900 XTX: 24 GiB by rocm-smi"]);
    assert_eq!(without.docker_gpu_runtime.value, DockerGpuRuntime::None, "its driver is not loaded");
    world.write("dev/kfd", "");
    let with = world.detect().await;
    assert_eq!(
        (with.docker_gpu_runtime.value, with.docker_gpu_runtime.source),
        (DockerGpuRuntime::Rocm, Source::Kernel)
    );
    world.engine.away();
    let away = world.detect().await;
    assert_eq!(away.docker_gpu_runtime.value, DockerGpuRuntime::None, "nothing starts containers");
    assert!(away.notes[0].contains("How containers reach GPUs is not known"), "{:?}", away.notes);
}

#[tokio::test]
async fn tools_that_fail_are_notes_and_hide_nothing() {
    let check = async |output: fn() -> CommandOutput, expect: &str| {
        let world = world();
        world.write("hardware.json", FILE);
        world.runner.install("nvidia-smi", move |_: &Command| output());
        let hardware = world.detect().await;
        assert_eq!(hardware.gpus.len(), 2, "{expect}");
        assert!(hardware.notes.len() == 1 && hardware.notes[0].contains(expect), "{:?}", hardware.notes);
        assert!(hardware.notes[0].len() < 120, "{:?}", hardware.notes);
    };
    check(
        || CommandOutput { stdout: NO_DRIVER.into(), ..exits(9, "") },
        "nvidia-smi ended with exit status 9.",
    )
    .await;
    check(|| CommandOutput { stdout: b"garbage\xff\xfe".to_vec(), ..exits(0, "") }, "no list of GPUs").await;
    check(|| CommandOutput { stdout: vec![b'x'; 10 << 20], ..exits(0, "") }, "nvidia-smi printed more than")
        .await;
    let world = world();
    world.runner.install("nvidia-smi", |command: &Command| {
        let list = include_str!("../../src/hardware/samples/nvidia_smi/warnings.csv");
        CommandOutput { stdout: if command.args[0] == "-L" { vec![] } else { list.into() }, ..exits(15, "") }
    });
    assert_eq!(world.detect().await.gpus.len(), 2, "what it knew before it failed counts");
}

#[tokio::test]
async fn a_broken_file_is_a_note() {
    for (content, expect) in [("{\"gpus\": [", "no JSON object"), ("", "no JSON object")] {
        let world = world();
        world.write("hardware.json", content);
        let notes = world.detect().await.notes;
        assert!(notes.len() == 1 && notes[0].contains(expect), "{notes:?}");
    }
    let world = world();
    std::fs::create_dir(world.root.path().join("hardware.json")).unwrap();
    let notes = world.detect().await.notes;
    assert!(notes.len() == 1 && notes[0].starts_with("The hardware file cannot be read"), "{notes:?}");
}

/// A directory with a program of this name that runs this script.
fn stand_in(name: &str, script: &str) -> TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

#[tokio::test]
async fn real_tools_that_hang_are_not_waited_for() {
    let hangs = stand_in("nvidia-smi", "trap '' TERM; while :; do /bin/sleep 1; done");
    let mut world = world();
    let directories = [hangs.path().to_owned(), Path::new("/usr/bin").to_owned()];
    world.detector.tools = Tools::new(Arc::new(recovery_process::ProcessRunner::new()), &directories);
    world.engine.says(WITH_RUNTIME.replace("nvidia", "other"));
    let began = Instant::now();
    let hardware = world.detect().await;
    // Two seconds where nothing else runs, which `cargo xtask bench` measures.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(
        hardware.notes.len() == 1 && hardware.notes[0].contains("nvidia-smi did not end"),
        "{:?}",
        hardware.notes
    );
}
