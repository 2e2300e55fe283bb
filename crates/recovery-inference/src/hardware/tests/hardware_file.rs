use super::*;

fn check(
    text: &str,
    gpus: &[(Vendor, Option<&str>, Option<u64>, u32)],
    rest: (Option<DockerGpuRuntime>, Option<u32>, Option<u64>),
) {
    let file = parse(text).unwrap();
    let seen: Vec<_> =
        file.gpus.iter().map(|gpu| (gpu.vendor, gpu.model.as_deref(), gpu.memory_mib, gpu.index)).collect();
    assert_eq!(seen, gpus, "{text}");
    assert_eq!((file.docker_gpu_runtime, file.cpu_cores, file.memory_mib), rest, "{text}");
}

#[test]
fn the_form_of_today() {
    let model = Some("NVIDIA GeForce RTX 3090");
    check(
        include_str!("../samples/hardware_file/today.json"),
        &[(Vendor::Nvidia, model, Some(24576), 0), (Vendor::Nvidia, model, Some(24576), 1)],
        (Some(DockerGpuRuntime::Nvidia), Some(16), Some(64205)),
    );
}

#[test]
fn older_forms_with_one_gpu() {
    check(
        include_str!("../samples/hardware_file/one_gpu.json"),
        &[(Vendor::Nvidia, Some("NVIDIA GeForce RTX 3060"), Some(12288), 0)],
        (Some(DockerGpuRuntime::Nvidia), Some(8), Some(31949)),
    );
    check(
        include_str!("../samples/hardware_file/vendor_only.json"),
        &[(Vendor::Amd, None, Some(16368), 0)],
        (Some(DockerGpuRuntime::Rocm), None, None),
    );
    check(
        r#"{"gpu": {"vendor": "NVIDIA", "name": "L4", "vram_gb": 22.5}}"#,
        &[(Vendor::Nvidia, Some("L4"), Some(23040), 0)],
        (None, None, None),
    );
}

#[test]
fn no_gpu_in_many_words() {
    check(
        include_str!("../samples/hardware_file/none.json"),
        &[],
        (Some(DockerGpuRuntime::None), Some(4), Some(16384)),
    );
    for text in [
        "{}",
        r#"{"gpus": []}"#,
        r#"{"gpus": null}"#,
        r#"{"gpus": "none"}"#,
        r#"{"gpus": [null, 1, "x", {}]}"#,
        r#"{"gpus": [{"vendor": "intel"}]}"#,
        r#"{"gpu": null, "cpu_cores": "none", "ram_gb": -1}"#,
    ] {
        check(text, &[], (None, None, None));
    }
}

#[test]
fn memory_that_is_not_said_is_not_0() {
    for text in [
        r#"{"gpus": [{"vendor": "nvidia"}]}"#,
        r#"{"gpus": [{"vendor": "nvidia", "vram_gb": 0}]}"#,
        r#"{"gpus": [{"vendor": "nvidia", "vram_gb": "none", "model": "none"}]}"#,
        r#"{"gpus": [{"vendor": "nvidia", "vram_gb": -24, "index": -1}]}"#,
        r#"{"gpus": [{"vendor": "nvidia", "vram_gb": 1e300}]}"#,
    ] {
        check(text, &[(Vendor::Nvidia, None, None, 0)], (None, None, None));
    }
}

#[test]
fn a_broken_file_is_an_error() {
    for text in ["", "none", "[]", "{", "\"x\"", "{\"gpus\": [}"] {
        assert_eq!(parse(text).unwrap_err().to_string(), "the hardware file is no JSON object", "{text}");
    }
}
