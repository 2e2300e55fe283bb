use time::macros::datetime;

use super::*;
use crate::hardware::{Fact, Gpu, GpuPart, Machine, Source};

fn gpu(vendor: Vendor, model: &str, memory_mib: u64, index: u32) -> Gpu {
    Gpu {
        vendor: Fact::new(vendor, Source::NvidiaSmi),
        model: Fact::new(model.to_owned(), Source::NvidiaSmi),
        memory_mib: (memory_mib > 0).then(|| Fact::new(memory_mib, Source::NvidiaSmi)),
        unified: false,
        index,
        pci: None,
        parts: Vec::new(),
    }
}

fn nvidia(memory_mib: &[u64]) -> Vec<Gpu> {
    (0..)
        .zip(memory_mib)
        .map(|(index, &mib)| gpu(Vendor::Nvidia, &format!("GPU of {mib}"), mib, index))
        .collect()
}

fn machine(gpus: Vec<Gpu>, runtime: DockerGpuRuntime, memory_gib: u64) -> Hardware {
    Hardware {
        gpus,
        integrated: Vec::new(),
        docker_gpu_runtime: Fact::new(runtime, Source::Engine),
        machine: Machine { cpu_cores: 8, memory_mib: memory_gib * 1024, ..Machine::default() },
        docker_disk_free_mib: None,
        notes: Vec::new(),
        detected_at: datetime!(2026-01-31 12:00 UTC),
    }
}

fn recommended(hardware: &Hardware) -> Recommendation {
    recommend(hardware, &RecommendedModels::built_in()).unwrap()
}

fn check(hardware: &Hardware, backend: Backend, model: &str, reason: &[&str]) -> Recommendation {
    let recommendation = recommended(hardware);
    assert_eq!(
        (recommendation.backend, recommendation.model.as_str()),
        (backend, model),
        "{recommendation:?}"
    );
    for part in reason {
        assert!(recommendation.reason.contains(part), "{part}: {}", recommendation.reason);
    }
    let sentence = &recommendation.reason;
    assert!(sentence.ends_with('.') && sentence.matches(". ").count() == 0, "one sentence: {sentence}");
    recommendation
}

#[test]
fn machines_without_a_gpu_go_by_their_memory() {
    let on = |gib| machine(vec![], DockerGpuRuntime::None, gib);
    check(&on(2), Backend::Ollama, "qwen2.5:0.5b", &["There is no GPU", "8 processors have 2 GiB"]);
    check(&on(4), Backend::Ollama, "llama3.2:1b", &[]);
    check(&on(8), Backend::Ollama, "llama3.2:3b", &[]);
    check(&on(16), Backend::Ollama, "llama3.1:8b-instruct-q4_K_M", &["needs about 6"]);
    check(&on(512), Backend::Ollama, "llama3.1:8b-instruct-q4_K_M", &["Ollama runs on processors"]);
    let tight = check(&on(0), Backend::Ollama, "qwen2.5:0.5b", &[]);
    assert!(tight.hints[0].contains("hardly enough"), "{tight:?}");
}

#[test]
fn gpus_of_nvidia_go_by_their_memory() {
    let with = |mib: &[u64]| machine(nvidia(mib), DockerGpuRuntime::Nvidia, 64);
    check(&with(&[4096]), Backend::Ollama, "qwen2.5:3b", &["has 4 GiB"]);
    check(&with(&[8188]), Backend::Ollama, "llama3.1:8b", &["has 8 GiB", "needs about"]);
    check(&with(&[12288]), Backend::Ollama, "qwen2.5:14b", &[]);
    let on_24 =
        check(&with(&[24564]), Backend::Vllm, "Qwen/Qwen2.5-14B-Instruct-AWQ", &["has 24 GiB", "vLLM"]);
    assert!(on_24.alternatives.len() == 3 && on_24.hints.is_empty(), "{on_24:?}");
    check(&with(&[81559]), Backend::Vllm, "Qwen/Qwen2.5-72B-Instruct-AWQ", &["has 79.6 GiB"]);
    check(
        &with(&[81559, 81559]),
        Backend::Vllm,
        "Qwen/Qwen2.5-72B-Instruct-AWQ",
        &["2 GPUs", "159.3 GiB together"],
    );
    let tiny = check(&with(&[1024]), Backend::Ollama, "llama3.1:8b-instruct-q4_K_M", &["has only 1 GiB"]);
    assert!(tiny.hints.is_empty());
}

#[test]
fn what_gpus_can_do_together_is_no_blind_sum() {
    let largest = |mib: &[u64], backend| {
        let set = GpuSet::largest(&nvidia(mib), backend).unwrap();
        (set.room.gpus, set.room.each_mib)
    };
    for (mib, vllm, ollama) in [
        (&[24576_u64, 24576][..], (2, 24576), (2, 24576)),
        (&[24576, 24576, 24576], (2, 24576), (3, 24576)),
        (&[81559, 81559, 4096], (2, 81559), (2, 81559)),
        (&[24576, 8192], (1, 24576), (1, 24576)),
        (&[24576, 16384], (1, 24576), (2, 16384)),
        (&[8192, 24576, 8192, 8192, 8192], (4, 8192), (5, 8192)),
    ] {
        assert_eq!(largest(mib, Backend::Vllm), vllm, "{mib:?}");
        assert_eq!(largest(mib, Backend::Ollama), ollama, "{mib:?}");
    }
    let mixed = [gpu(Vendor::Nvidia, "a", 8192, 0), gpu(Vendor::Amd, "b", 16384, 0)];
    let set = GpuSet::largest(&mixed, Backend::Ollama).unwrap();
    assert_eq!((set.vendor, set.room.gpus), (Vendor::Amd, 1), "two vendors are never together");
    let mut divided = nvidia(&[40960, 40960]);
    let part = GpuPart { profile: "3g.20gb".to_owned(), memory_mib: Some(20480) };
    divided[0].parts = vec![part.clone(), part.clone()];
    divided[1].parts = vec![part];
    let set = GpuSet::largest(&divided, Backend::Vllm).unwrap();
    assert_eq!((set.room.gpus, set.room.each_mib), (1, 20480), "parts are used alone");
    assert_eq!(GpuSet::largest(&nvidia(&[0]), Backend::Ollama), None);
}

#[test]
fn a_gpu_that_containers_do_not_reach_is_not_used_and_the_way_to_it_is_said() {
    let hardware = machine(nvidia(&[24564]), DockerGpuRuntime::None, 32);
    let on_processor = check(
        &hardware,
        Backend::Ollama,
        "llama3.1:8b-instruct-q4_K_M",
        &["Containers do not reach the GPU of 24564", "32 GiB"],
    );
    assert!(on_processor.hints[0].contains("NVIDIA Container Toolkit"), "{on_processor:?}");
    let amd = machine(vec![gpu(Vendor::Amd, "Radeon", 20464, 0)], DockerGpuRuntime::Nvidia, 32);
    assert!(recommended(&amd).hints[0].contains("/dev/kfd"));
}

#[test]
fn a_gpu_of_amd_runs_ollama() {
    let hardware =
        machine(vec![gpu(Vendor::Amd, "Radeon RX 7900 XTX", 24560, 0)], DockerGpuRuntime::Rocm, 32);
    check(
        &hardware,
        Backend::Ollama,
        "qwen2.5:32b",
        &["the Radeon RX 7900 XTX has 24 GiB".trim_start_matches("the "), "GPUs of AMD"],
    );
}

#[test]
fn a_gpu_whose_memory_is_not_known_is_not_guessed() {
    let hardware = machine(nvidia(&[0]), DockerGpuRuntime::Nvidia, 8);
    let recommendation = check(&hardware, Backend::Ollama, "llama3.2:3b", &["is not known"]);
    assert!(recommendation.hints[0].contains("HARDWARE_FILE"), "{recommendation:?}");
}

#[test]
fn a_list_with_nothing_for_the_machine_recommends_nothing() {
    let hardware = machine(vec![], DockerGpuRuntime::None, 64);
    assert_eq!(recommend(&hardware, &RecommendedModels::parse("[]").unwrap()), None);
}
