use super::*;

/// The number, the memory and the name of each GPU.
fn check(output: &str, expect: &[(u32, Option<u64>, Option<&str>)]) -> Vec<SeenGpu> {
    let gpus = list(output).unwrap();
    let seen: Vec<_> = gpus.iter().map(|gpu| (gpu.index, gpu.memory_mib, gpu.model.as_deref())).collect();
    assert_eq!(seen, expect);
    gpus
}

#[test]
fn one_gpu() {
    let gpus = check(
        include_str!("../samples/nvidia_smi/rtx_4090.csv"),
        &[(0, Some(24564), Some("NVIDIA GeForce RTX 4090"))],
    );
    assert_eq!(gpus[0].pci.as_deref(), Some("0000:01:00.0"));
    assert_eq!(gpus[0].uuid.as_deref(), Some("GPU-1f3f7a0e-6d3b-1a55-9d2e-7c0b0f6c1d11"));
}

#[test]
fn several_gpus_are_a_row_each() {
    let h100 = Some("NVIDIA H100 80GB HBM3");
    check(
        include_str!("../samples/nvidia_smi/two_and_a_small_one.csv"),
        &[(0, Some(81559), h100), (1, Some(81559), h100), (2, Some(4096), Some("NVIDIA T400 4GB"))],
    );
}

#[test]
fn a_gpu_without_memory_of_its_own_uses_the_systems() {
    let gpus = check(include_str!("../samples/nvidia_smi/gb10.csv"), &[(0, None, Some("NVIDIA GB10"))]);
    assert!(gpus[0].unified);
    assert_eq!(gpus[0].pci.as_deref(), Some("000f:01:00.0"));
}

#[test]
fn memory_that_may_not_be_seen_is_neither_0_nor_the_systems() {
    let gpus =
        check(include_str!("../samples/nvidia_smi/no_permission.csv"), &[(0, None, Some("NVIDIA A10"))]);
    assert!(!gpus[0].unified);
}

#[test]
fn what_is_not_supported_is_none() {
    let gpus =
        check(include_str!("../samples/nvidia_smi/old.csv"), &[(0, Some(2002), Some("GeForce GTX 660"))]);
    assert_eq!(gpus[0].uuid, None);
}

#[test]
fn warnings_between_the_rows_are_passed_over() {
    check(
        include_str!("../samples/nvidia_smi/warnings.csv"),
        &[(0, Some(15360), Some("Tesla T4")), (1, None, None)],
    );
}

#[test]
fn numbers_and_names_with_commas_and_blanks() {
    check(
        include_str!("../samples/nvidia_smi/thousands.csv"),
        &[(0, Some(24564), Some("NVIDIA GeForce RTX 4090, OEM"))],
    );
}

#[test]
fn parts_belong_to_the_gpu_above_them() {
    let mut gpus = list(include_str!("../samples/nvidia_smi/a100_mig.csv")).unwrap();
    add_parts(&mut gpus, include_str!("../samples/nvidia_smi/a100_mig.list"));
    let parts: Vec<_> = gpus[0].parts.iter().map(|part| (part.profile.as_str(), part.memory_mib)).collect();
    assert_eq!(parts, [("3g.20gb", Some(20480)), ("2g.10gb", Some(10240)), ("1g.5gb+me", Some(5120))]);
    assert!(gpus[1].parts.is_empty());
    add_parts(&mut gpus, "MIG 1g.5gb Device 0\nGPU x: what\n  MIG 7g.40gb\nGPU 99: none\n  MIG 7g.40gb\n");
    assert_eq!((gpus[0].parts.len(), gpus[1].parts.len()), (3, 0), "a part of nobody is passed over");
}

#[test]
fn the_memory_of_a_part_is_in_its_name() {
    for (profile, expect) in [
        ("1g.10gb", Some(10240)),
        ("1c.3g.40gb", Some(40960)),
        ("1g.6gb+gfx", Some(6144)),
        ("7g", None),
        ("x.0gb", None),
    ] {
        assert_eq!(memory_of(profile), expect, "{profile}");
    }
}

#[test]
fn a_machine_without_gpus() {
    check(include_str!("../samples/nvidia_smi/no_devices.csv"), &[]);
    check("", &[]);
    check("\n \n", &[]);
}

#[test]
fn what_is_no_list_is_an_error_that_repeats_nothing_of_it() {
    let long = "garbage, garbage\n".repeat(10 * 1024 * 1024 / 17);
    let one_line = ",".repeat(10 << 20);
    let driver = include_str!("../samples/nvidia_smi/no_driver.csv");
    for output in [driver, "<html></html>", "\u{0}\u{1}\u{fffd}", &long, &one_line] {
        let error = list(output).unwrap_err().to_string();
        assert!(error.len() < 100 && error.contains("no list of GPUs"), "{error}");
    }
}

#[test]
fn no_list_is_without_end() {
    let row = "0, u, 0000:01:00.0, 1, x\n";
    assert_eq!(list(&row.repeat(100_000)).unwrap().len(), MOST_GPUS);
}
