//! What the machine has for language models, over HTTP.

use std::time::{Duration, Instant};

use recovery_core::port::{Command, CommandOutput, ContainerEngine as _, ExecOutput, KeyValue as _};
use recovery_inference::recommend::RecommendedModels;
use recovery_testkit::{EngineContainer, exits};
use serde_json::{Value, json};

use crate::world::{Call, World};

const HARDWARE: &str = "inference/hardware";

fn with_gpu(world: &World) {
    world.engine.says(r#"{"Runtimes": {"nvidia": {}}}"#);
    world.runner.install("nvidia-smi", |command: &Command| {
        let row = "0, GPU-1, 00000000:01:00.0, 24564, NVIDIA GeForce RTX 4090\n";
        CommandOutput { stdout: if command.args[0] == "-L" { vec![] } else { row.into() }, ..exits(0, "") }
    });
}

async fn get(world: &World, path: &str) -> Value {
    let answer = world.send(Call::get(path).admin()).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json
}

#[actix_web::test]
async fn the_hardware_is_found_out_at_start_and_anew_on_request() {
    let world = World::new();
    world.app.start().await;
    let hardware = get(&world, HARDWARE).await;
    assert_eq!(hardware["gpus"], json!([]));
    assert_eq!(hardware["docker_gpu_runtime"], "none");
    assert_eq!(hardware["recommended_backend"], "ollama");
    assert_eq!(hardware["detected_at"], "2026-01-31T12:00:00Z");
    for field in ["cpu_cores", "ram_gb", "disk_free_gb"] {
        assert!(hardware[field].as_f64().unwrap() > 0.0, "{field}: {hardware}");
    }
    with_gpu(&world);
    assert_eq!(get(&world, HARDWARE).await["gpus"], json!([]), "it is told from memory");
    let detected = world.send(Call::post("inference/hardware/detect").admin().json("")).await;
    assert_eq!(detected.status, 200, "{}", detected.text);
    let gpu = &detected.json["gpus"][0];
    assert_eq!((&gpu["vendor"], &gpu["index"], &gpu["vram_gb"]), (&json!("nvidia"), &json!(0), &json!(24.0)));
    assert_eq!(
        (&gpu["model"], &gpu["vram_source"]),
        (&json!("NVIDIA GeForce RTX 4090"), &json!("nvidia-smi"))
    );
    assert_eq!(detected.json["recommended_backend"], "vllm");
    assert_eq!(get(&world, HARDWARE).await, detected.json);
}

#[actix_web::test]
async fn how_containers_reach_gpus_is_told_as_the_engine_says_it() {
    macro_rules! sample {
        ($name:literal) => {
            include_str!(concat!(
                "../../../../crates/recovery-inference/src/hardware/samples/docker_info/",
                $name
            ))
        };
    }
    for (info, expect) in [
        (sample!("plain.json"), "none"),
        (sample!("nvidia_runtime.json"), "nvidia"),
        (sample!("cdi.json"), "nvidia"),
        (sample!("amd.json"), "rocm"),
    ] {
        let world = World::new();
        world.engine.says(info);
        world.app.start().await;
        let hardware = get(&world, HARDWARE).await;
        assert_eq!(
            (&hardware["docker_gpu_runtime"], &hardware["docker_gpu_runtime_source"]),
            (&json!(expect), &json!("engine")),
            "{info}"
        );
        assert_eq!(hardware["docker_disk_free_gb"], Value::Null, "it is none of this machine: {hardware}");
    }
}

#[actix_web::test]
async fn what_looks_left_that_a_crash_ended_is_removed_at_the_start() {
    let world = World::new();
    world.engine.leaves_probe(true);
    world.engine.leaves_probe(false);
    world.app.start().await;
    let removed = async {
        while world.engine.left_probes() > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), removed).await.expect("it is removed without a look");
    assert!(world.engine.probes().is_empty());
}

#[actix_web::test]
async fn what_is_found_out_is_in_redis_later_where_that_is_away() {
    let world = World::new();
    world.key_value.away();
    world.app.start().await;
    let hardware = get(&world, HARDWARE).await;
    world.key_value.back();
    let written = async {
        loop {
            if let Some(text) = world.key_value.get(7, "nova:system:hardware").await.unwrap() {
                return serde_json::from_str::<Value>(&text).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let written = tokio::time::timeout(Duration::from_secs(20), written).await.unwrap();
    assert_eq!(written, hardware);
}

#[actix_web::test]
async fn the_recommendation_follows_the_hardware() {
    let world = World::new();
    with_gpu(&world);
    world.app.start().await;
    let recommendation = get(&world, "inference/recommendation").await;
    assert_eq!(recommendation["backend"], "vllm");
    assert_eq!(recommendation["model"], "Qwen/Qwen2.5-14B-Instruct-AWQ");
    let reason = recommendation["reason"].as_str().unwrap();
    assert!(reason.contains("24 GiB") && reason.ends_with('.'), "{reason}");
    assert!(recommendation["alternatives"].as_array().unwrap().len() > 1);

    let nothing = World::with(|settings| settings.inference.models = RecommendedModels::parse("[]").unwrap());
    nothing.app.start().await;
    let answer = nothing.send(Call::get("inference/recommendation").admin()).await;
    assert_eq!((answer.status, answer.code()), (404, "not_found"));
    assert_eq!(get(&nothing, HARDWARE).await["recommended_backend"], "ollama");
}

#[actix_web::test]
async fn recommended_models_are_filtered() {
    let world = World::new();
    let count = async |query: &str| {
        get(&world, &format!("inference/models/recommended{query}")).await.as_array().unwrap().len()
    };
    let all = count("").await;
    assert!(all >= 24);
    assert_eq!(count("?backend=&max_vram_gb=").await, all, "what is empty is absent");
    let (vllm, small) = (count("?backend=vllm").await, count("?max_vram_gb=8").await);
    assert!(vllm > 0 && vllm < all && small > 0 && small < all);
    assert!(count("?backend=vllm&max_vram_gb=24.5").await < vllm);
    let none = get(&world, "inference/models/recommended?max_vram_gb=0").await;
    assert!(
        none.as_array()
            .unwrap()
            .iter()
            .all(|model| model["min_vram_gb"] == 0.0 && model["min_ram_gb"].is_f64())
    );
    let first = &get(&world, "inference/models/recommended?backend=ollama").await[0];
    for field in ["id", "ollama_id", "name", "category", "description"] {
        assert!(first[field].is_string(), "{field}: {first}");
    }
    for query in [
        "?backend=tgi",
        "?backend=vllm%00",
        "?max_vram_gb=-1",
        "?max_vram_gb=NaN",
        "?max_vram_gb=inf",
        "?max_vram_gb=1e99",
        "?max_vram_gb=x",
    ] {
        let answer = world.send(Call::get(&format!("inference/models/recommended{query}")).admin()).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{query}: {}", answer.text);
    }
}

#[actix_web::test]
async fn gpu_figures_are_the_same_under_both_paths_and_among_the_metrics() {
    let world = World::new();
    world.app.start().await;
    get(&world, HARDWARE).await;
    let paths = ["hardware/gpu-stats", "inference/hardware/gpu-stats"];
    for path in paths {
        assert_eq!(get(&world, path).await, Value::Null);
    }
    let metrics = world.send(Call::get("/metrics").admin()).await.text;
    assert!(!metrics.contains("nova_recovery_gpu"), "{metrics}");

    let world = World::new();
    with_gpu(&world);
    world.engine.add(EngineContainer::of("ollama").program(|_| ExecOutput {
        exit_code: 0,
        stdout: b"0, 37, 20480, 24564, 61, 210.5, NVIDIA GeForce RTX 4090\n".to_vec(),
        stderr: vec![],
        truncated: false,
    }));
    world.engine.look().await.unwrap();
    world.app.start().await;
    get(&world, HARDWARE).await;
    for path in paths {
        let stats = get(&world, path).await;
        assert_eq!(
            (&stats["gpu_utilization_pct"], &stats["vram_used_gb"], &stats["vram_total_gb"]),
            (&json!(37.0), &json!(20.0), &json!(24.0))
        );
        assert_eq!((&stats["temperature_c"], &stats["power_draw_w"]), (&json!(61.0), &json!(210.5)));
        assert_eq!(stats["gpus"][0]["model"], "NVIDIA GeForce RTX 4090");
    }
    let metrics = world.send(Call::get("/metrics").admin()).await.text;
    assert!(metrics.contains("nova_recovery_gpu_utilization_ratio{gpu=\"0\"} 0.37"), "{metrics}");
    assert!(metrics.contains("nova_recovery_gpu_memory_used_bytes{gpu=\"0\"} 21474836480"), "{metrics}");
}

#[actix_web::test]
async fn strangers_are_told_nothing() {
    let world = World::new();
    for path in [
        HARDWARE,
        "inference/recommendation",
        "inference/models/recommended",
        "hardware/gpu-stats",
        "inference/hardware/gpu-stats",
    ] {
        assert_eq!(world.send(Call::get(path)).await.status, 401, "{path}");
    }
    assert_eq!(world.send(Call::post("inference/hardware/detect")).await.status, 401);
}

#[actix_web::test]
async fn many_who_ask_for_a_look_at_once_get_what_one_finds() {
    let world = World::new();
    world.app.start().await;
    get(&world, HARDWARE).await;
    let before = world.runner.calls_of("rocm-smi").len();
    let began = Instant::now();
    let ask = || world.send(Call::post("inference/hardware/detect").admin());
    let answers = futures_util::future::join_all((0..20).map(|_| ask())).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert!(world.runner.calls_of("rocm-smi").len() - before <= 3, "twenty questions are not twenty looks");
    assert!(began.elapsed() < Duration::from_secs(5));
}
