use super::*;

#[test]
fn runtimes_and_devices() {
    for (answer, expect) in [
        (include_str!("../samples/docker_info/plain.json"), DockerGpuRuntime::None),
        (include_str!("../samples/docker_info/nvidia_runtime.json"), DockerGpuRuntime::Nvidia),
        (include_str!("../samples/docker_info/cdi.json"), DockerGpuRuntime::Nvidia),
        (include_str!("../samples/docker_info/amd.json"), DockerGpuRuntime::Rocm),
        ("{}", DockerGpuRuntime::None),
        (
            r#"{"Runtimes": null, "DiscoveredDevices": [{}, 1, {"ID": "vendor.com/net=0"}]}"#,
            DockerGpuRuntime::None,
        ),
    ] {
        assert_eq!(parse(answer).unwrap().gpu_runtime(), expect, "{answer}");
    }
    let plain = parse(include_str!("../samples/docker_info/plain.json")).unwrap();
    assert_eq!((plain.root_dir.as_deref(), plain.memory_mib), (Some("/var/lib/docker"), Some(32_012)));
    for answer in ["", "[]", "<html>", "{\"Runtimes\":"] {
        assert!(parse(answer).is_err(), "{answer}");
    }
}
