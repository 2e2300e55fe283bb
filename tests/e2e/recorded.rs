//! Each sample of what the vendors' tools print, printed by a program that stands in for the tool, and what the service
//! says of the machine then. And a real container that stands in for an inference server.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use recovery_testkit::servers::{DockerEngine, DockerProject};
use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{Service, World, until};

/// The samples.
macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../../crates/recovery-inference/src/hardware/samples/", $name))
    };
}

/// Prints the file of the question that it is asked, and ends as `status` says.
const TOOL: &str = "#!/bin/sh
cd \"$(dirname \"$0\")\" || exit 3
case \"$*\" in
  -L) cat parts ;;
  *) cat list ;;
esac
exit \"$(cat status)\"
";

/// A machine whose tools can be exchanged.
struct Machine {
    world: World,
    tools: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let world = World::new();
        let tools = world.directory.path().join("tools");
        fs::create_dir(&tools).unwrap();
        let file = world.directory.path().join("hardware.json");
        let world = world
            .with("GPU_TOOL_DIRS", format!("{}:/usr/bin:/bin", tools.display()))
            .with("HARDWARE_FILE", file.to_str().unwrap())
            // Nobody listens there.
            .with("DOCKER_HOST", "unix:///does/not/exist.sock");
        Self { world, tools }
    }

    /// Installs this tool alone.
    fn tool(&self, name: &str, list: &str, parts: &str, status: u8) {
        self.nothing();
        fs::write(self.tools.join("list"), list).unwrap();
        fs::write(self.tools.join("parts"), parts).unwrap();
        fs::write(self.tools.join("status"), status.to_string()).unwrap();
        fs::write(self.tools.join(name), TOOL).unwrap();
        fs::set_permissions(self.tools.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn nothing(&self) {
        for entry in fs::read_dir(&self.tools).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        let _ = fs::remove_file(self.world.directory.path().join("hardware.json"));
    }

    fn file(&self, content: &str) {
        self.nothing();
        fs::write(self.world.directory.path().join("hardware.json"), content).unwrap();
    }
}

async fn detect(service: &Service) -> Value {
    service.send(service.admin(Method::POST, "/inference/hardware/detect")).await.assert_ok()
}

/// Model, memory in GiB and its source, number, bus, parts.
fn gpu(model: &str, vram: Value, source: Value, index: u32, pci: Value) -> Value {
    json!({ "model": model, "vram_gb": vram, "vram_source": source, "index": index, "pci": pci })
}

/// The same of what the service says.
fn told(gpus: &Value) -> Value {
    let picked = |gpu: &Value| {
        let fields = ["model", "vram_gb", "vram_source", "index", "pci"];
        fields.into_iter().map(|field| (field.to_owned(), gpu[field].clone())).collect::<Value>()
    };
    gpus.as_array().unwrap().iter().map(picked).collect()
}

#[tokio::test]
async fn nvidia_smi_in_every_variant() {
    let machine = Machine::new();
    let service = machine.world.serve().await;
    let smi = || json!("nvidia-smi");
    let h100 = |index, pci: &str| gpu("NVIDIA H100 80GB HBM3", json!(79.6), smi(), index, json!(pci));
    let a100 = |index, pci: &str| gpu("NVIDIA A100-SXM4-40GB", json!(40.0), smi(), index, json!(pci));
    let unknown = Value::Null;
    for (list, parts, status, expect) in [
        (
            sample!("nvidia_smi/rtx_4090.csv"),
            "",
            0,
            json!([gpu("NVIDIA GeForce RTX 4090", json!(24.0), smi(), 0, json!("0000:01:00.0"))]),
        ),
        (
            sample!("nvidia_smi/two_and_a_small_one.csv"),
            "",
            0,
            json!([
                h100(0, "0000:17:00.0"),
                h100(1, "0000:65:00.0"),
                gpu("NVIDIA T400 4GB", json!(4.0), smi(), 2, json!("0000:b3:00.0"))
            ]),
        ),
        (
            sample!("nvidia_smi/a100_mig.csv"),
            sample!("nvidia_smi/a100_mig.list"),
            0,
            json!([a100(0, "0000:07:00.0"), a100(1, "0000:0f:00.0")]),
        ),
        (
            sample!("nvidia_smi/no_permission.csv"),
            "",
            0,
            json!([gpu("NVIDIA A10", unknown.clone(), unknown.clone(), 0, json!("0000:01:00.0"))]),
        ),
        (
            sample!("nvidia_smi/old.csv"),
            "",
            0,
            json!([gpu("GeForce GTX 660", json!(2.0), smi(), 0, json!("0000:01:00.0"))]),
        ),
        (
            sample!("nvidia_smi/warnings.csv"),
            "",
            15,
            json!([
                gpu("Tesla T4", json!(15.0), smi(), 0, json!("0000:3b:00.0")),
                gpu("NVIDIA GPU", unknown.clone(), unknown.clone(), 1, json!("0000:5e:00.0"))
            ]),
        ),
        (
            sample!("nvidia_smi/thousands.csv"),
            "",
            0,
            json!([gpu("NVIDIA GeForce RTX 4090, OEM", json!(24.0), smi(), 0, json!("0000:01:00.0"))]),
        ),
        (sample!("nvidia_smi/no_devices.csv"), "", 0, json!([])),
        (sample!("nvidia_smi/no_driver.csv"), "", 9, json!([])),
    ] {
        machine.tool("nvidia-smi", list, parts, status);
        let hardware = detect(&service).await;
        assert_eq!(told(&hardware["gpus"]), expect, "{list}");
        let vendors = hardware["gpus"].as_array().unwrap().iter().all(|gpu| gpu["vendor"] == "nvidia");
        assert!(vendors && hardware["detected_at"].is_string(), "{hardware}");
        let notes = hardware["notes"].to_string();
        assert_eq!(notes.contains("nvidia-smi ended with exit status 9"), status == 9, "{notes}");
        if !parts.is_empty() {
            let profiles: Vec<&Value> = hardware["gpus"][0]["parts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|part| &part["profile"])
                .collect();
            assert_eq!(profiles, ["3g.20gb", "2g.10gb", "1g.5gb+me"]);
            assert_eq!(hardware["gpus"][0]["parts"][0]["vram_gb"], 20.0);
        }
    }
    // A GPU without memory of its own has the system's.
    machine.tool("nvidia-smi", sample!("nvidia_smi/gb10.csv"), "", 0);
    let hardware = detect(&service).await;
    let gpu = &hardware["gpus"][0];
    assert_eq!((&gpu["unified_memory"], &gpu["vram_source"]), (&json!(true), &json!("system")));
    assert_eq!((&gpu["model"], &gpu["vram_gb"]), (&json!("NVIDIA GB10"), &hardware["ram_gb"]));
}

#[tokio::test]
async fn the_tools_of_amd_and_the_file_of_the_installer_in_every_variant() {
    let machine = Machine::new();
    let service = machine.world.serve().await;
    let of = |tool: &'static str| {
        move |model: &str, vram: f64, index, pci: &str| {
            gpu(model, json!(vram), json!(tool), index, json!(pci))
        }
    };
    let (amd, rocm) = (of("amd-smi"), of("rocm-smi"));
    for (tool, list, expect, integrated) in [
        (
            "amd-smi",
            sample!("amd_smi/mi300x.json"),
            json!([
                amd("AMD Instinct MI300X OAM", 192.0, 0, "0000:05:00.0"),
                amd("AMD Instinct MI300X OAM", 192.0, 1, "0000:26:00.0")
            ]),
            json!([]),
        ),
        (
            "amd-smi",
            sample!("amd_smi/gpu_data.json"),
            json!([amd("Radeon RX 7900 XT", 20.0, 0, "0000:03:00.0")]),
            json!([amd("AMD Radeon Graphics", 0.5, 1, "0000:0d:00.0")]),
        ),
        (
            "amd-smi",
            sample!("amd_smi/old.json"),
            json!([amd("Radeon PRO W7900", 48.0, 0, "0000:83:00.0")]),
            json!([]),
        ),
        (
            "rocm-smi",
            sample!("rocm_smi/rx_7900_xtx.json"),
            json!([rocm("Radeon RX 7900 XTX", 24.0, 0, "0000:03:00.0")]),
            json!([]),
        ),
        (
            "rocm-smi",
            sample!("rocm_smi/old_with_warnings.json"),
            json!([rocm("Vega 20 [Radeon VII]", 16.0, 0, "0000:03:00.0")]),
            json!([rocm("AMD GPU", 0.5, 1, "0000:0e:00.0")]),
        ),
        (
            "rocm-smi",
            sample!("rocm_smi/device_name.json"),
            json!([rocm("AMD Instinct MI300X", 192.0, 0, "0000:1b:00.0")]),
            json!([]),
        ),
    ] {
        machine.tool(tool, list, "", 0);
        let hardware = detect(&service).await;
        assert_eq!(
            (told(&hardware["gpus"]), told(&hardware["integrated_gpus"])),
            (expect, integrated),
            "{list}"
        );
        assert_eq!(hardware["gpus"][0]["vendor"], "amd");
        assert_eq!(hardware["notes"].as_array().unwrap().len(), 1, "the engine alone: {}", hardware["notes"]);
    }
    let file = |model: &str, vram: Value, index| gpu(model, vram, json!("hardware-file"), index, Value::Null);
    let rtx_3090 = |index| file("NVIDIA GeForce RTX 3090", json!(24.0), index);
    for (content, expect, runtime) in [
        (sample!("hardware_file/today.json"), json!([rtx_3090(0), rtx_3090(1)]), "nvidia"),
        (
            sample!("hardware_file/one_gpu.json"),
            json!([file("NVIDIA GeForce RTX 3060", json!(12.0), 0)]),
            "nvidia",
        ),
        (sample!("hardware_file/vendor_only.json"), json!([file("AMD GPU", json!(16.0), 0)]), "rocm"),
        (sample!("hardware_file/none.json"), json!([]), "none"),
    ] {
        machine.file(content);
        let hardware = detect(&service).await;
        assert_eq!((told(&hardware["gpus"]), &hardware["docker_gpu_runtime"]), (expect, &json!(runtime)));
    }
}

/// Two inference servers, in which a program stands in for NVIDIA's.
const SERVERS: &str = r#"
x-server: &server
  image: debian:trixie-slim
  init: true
  command: [sleep, infinity]
  network_mode: none
  stop_grace_period: 0s
services:
  ollama:
    <<: *server
    volumes: ["./ollama:/usr/local/bin:ro"]
  nova-vllm:
    <<: *server
    volumes: ["./vllm:/usr/local/bin:ro"]
"#;

fn stand_in(project: &DockerProject, directory: &str, model: &str) {
    let path = project.path(directory);
    fs::create_dir(&path).unwrap();
    let script = format!("#!/bin/sh\necho '0, 37, 20480, 24576, 61, [N/A], {model}'\n");
    fs::write(path.join("nvidia-smi"), script).unwrap();
    fs::set_permissions(path.join("nvidia-smi"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn gpus_are_asked_in_the_container_of_the_active_server() {
    let engine = DockerEngine::shared();
    let project = engine.project(SERVERS);
    stand_in(&project, "ollama", "seen by Ollama");
    stand_in(&project, "vllm", "seen by vLLM");
    project.compose(&["up", "--detach"]);
    let serve = async |chosen: &str| {
        let world = World::new()
            .with("DOCKER_HOST", engine.host())
            .with("COMPOSE_PROJECT_NAME", project.name())
            .with("COMPOSE_PROJECT_DIR", project.directory().to_str().unwrap())
            .with("GPU_TOOL_DIRS", "/does/not/exist");
        world.redis.session(1).ok(&["SET", "nova:config:inference.backend", chosen]);
        let service = world.serve().await;
        (world, service)
    };
    let asked = async |service: &Service, path: &str, model: &str| {
        let mut last = Value::Null;
        until(&format!("the figures {model}"), async || {
            last = service.send(service.admin(Method::GET, path)).await.assert_ok();
            last["gpus"][0]["model"] == model
        })
        .await;
        last
    };
    let (_world, service) = serve("\"ollama\"").await;
    let stats = asked(&service, "/hardware/gpu-stats", "seen by Ollama").await;
    assert_eq!((&stats["gpu_utilization_pct"], &stats["vram_used_gb"]), (&json!(37.0), &json!(20.0)));
    assert_eq!((&stats["temperature_c"], &stats["power_draw_w"]), (&json!(61.0), &Value::Null));
    drop(service);
    let (_world, service) = serve("vllm").await;
    asked(&service, "/inference/hardware/gpu-stats", "seen by vLLM").await;
    drop(service);
    // None of them is the active one, and nobody starts one again: any that runs.
    let (_world, service) = serve("custom").await;
    project.compose(&["stop", "nova-vllm"]);
    asked(&service, "/hardware/gpu-stats", "seen by Ollama").await;
    project.compose(&["stop", "ollama"]);
    until("nobody to be asked", async || {
        service.send(service.admin(Method::GET, "/hardware/gpu-stats")).await.assert_ok().is_null()
    })
    .await;
}
