//! What the machine has for language models: the real binary, the real system, tools that stand in for the vendors'.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{Answer, Service, World, until};

/// Prints what the real one prints for these questions, on a machine with two GPUs of which one tells less.
const NVIDIA_SMI: &str = "#!/bin/sh
case \"$*\" in
  *utilization.gpu*)
    echo '0, 37, 20480, 24576, 61, 210.55, NVIDIA GeForce RTX 3090'
    echo '1, [N/A], 4096, 24576, [N/A], [Not Supported], NVIDIA GeForce RTX 3090' ;;
  *memory.total*)
    echo '0, GPU-a, 00000000:01:00.0, 24576, NVIDIA GeForce RTX 3090'
    echo '1, GPU-b, 00000000:41:00.0, 24576, NVIDIA GeForce RTX 3090' ;;
  -L) echo 'GPU 0: NVIDIA GeForce RTX 3090 (UUID: GPU-a)' ;;
  *) exit 2 ;;
esac
";

/// A world in which these programs are the vendors' tools.
fn world(tools: &[(&str, &str)]) -> World {
    let world = World::new();
    let directory = world.directory.path().join("tools");
    fs::create_dir(&directory).unwrap();
    for (name, script) in tools {
        fs::write(directory.join(name), script).unwrap();
        fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let file = world.directory.path().join("hardware.json");
    world
        .with("GPU_TOOL_DIRS", format!("{}:/usr/bin:/bin", directory.display()))
        .with("HARDWARE_FILE", file.to_str().unwrap())
        // Nobody listens there.
        .with("DOCKER_HOST", "unix:///does/not/exist.sock")
}

async fn get(service: &Service, path: &str) -> Answer {
    service.send(service.admin(Method::GET, path)).await
}

/// The value of a key in the system database.
fn in_redis(port: u16, key: &str) -> Option<Value> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let _ = connection.set_read_timeout(Some(Duration::from_secs(5)));
    connection.write_all(format!("SELECT 7\r\nGET {key}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let json = answer.lines().find(|line| line.starts_with('{'))?;
    Some(serde_json::from_str(json).unwrap())
}

#[tokio::test]
async fn a_machine_with_gpus_is_told_and_written_to_redis() {
    let world = world(&[("nvidia-smi", NVIDIA_SMI)]);
    fs::write(world.directory.path().join("hardware.json"), r#"{"docker_gpu_runtime": "nvidia"}"#).unwrap();
    let service = world.serve().await;
    let hardware = get(&service, "/inference/hardware").await.assert_ok();
    let gpus: Vec<_> =
        hardware["gpus"].as_array().unwrap().iter().map(|gpu| (&gpu["index"], &gpu["vram_gb"])).collect();
    assert_eq!(gpus, [(&json!(0), &json!(24.0)), (&json!(1), &json!(24.0))]);
    assert_eq!(hardware["docker_gpu_runtime"], "nvidia", "there is no engine, so the file says it");
    assert_eq!(hardware["docker_gpu_runtime_source"], "hardware-file");
    assert_eq!(hardware["recommended_backend"], "vllm");
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap();
    let cpus = cpus.lines().filter(|line| line.starts_with("processor")).count();
    assert_eq!(hardware["cpu_cores"], cpus);

    until("the hardware in Redis", async || in_redis(world.redis.port(), "nova:system:hardware").is_some())
        .await;
    assert_eq!(in_redis(world.redis.port(), "nova:system:hardware"), Some(hardware));

    let recommendation = get(&service, "/inference/recommendation").await.assert_ok();
    assert_eq!(recommendation["backend"], "vllm");
    let reason = recommendation["reason"].as_str().unwrap();
    assert!(reason.starts_with("2 GPUs (NVIDIA GeForce RTX 3090) have 48 GiB together"), "{reason}");

    for path in ["hardware/gpu-stats", "inference/hardware/gpu-stats"] {
        let stats = get(&service, &format!("/{path}")).await.assert_ok();
        assert_eq!((&stats["vram_used_gb"], &stats["vram_total_gb"]), (&json!(24.0), &json!(48.0)));
        assert_eq!((&stats["gpu_utilization_pct"], &stats["temperature_c"]), (&json!(37.0), &json!(61.0)));
        assert_eq!(stats["gpus"][1]["power_draw_w"], Value::Null);
    }
}

#[tokio::test]
async fn tools_that_hang_and_print_garbage_hold_nobody_up() {
    let world = world(&[
        ("nvidia-smi", "#!/bin/sh\ntrap '' TERM\nwhile :; do /bin/sleep 1; done\n"),
        ("amd-smi", "#!/bin/sh\nhead -c 10000000 /dev/zero\n"),
        ("rocm-smi", "#!/bin/sh\necho 'WARNING: all is well'; echo '{\"card0\": {\"VRAM'\n"),
    ]);
    fs::write(world.directory.path().join("hardware.json"), "{\"gpus\": [").unwrap();
    let service = world.serve().await;
    get(&service, "/inference/hardware").await.assert_ok();
    let began = Instant::now();
    let hardware = service.send(service.admin(Method::POST, "/inference/hardware/detect")).await.assert_ok();
    // Two seconds where nothing else runs, which `cargo xtask bench` measures.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(hardware["gpus"], json!([]));
    let notes = hardware["notes"].to_string();
    for expect in [
        "nvidia-smi did not end",
        "amd-smi printed more than",
        "rocm-smi printed something",
        "The hardware file",
    ] {
        assert!(notes.contains(expect), "{expect}: {notes}");
    }
    assert_eq!(hardware["recommended_backend"], "ollama");
}
