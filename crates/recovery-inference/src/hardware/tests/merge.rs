use super::*;
use crate::hardware::{amd_smi, gib, hardware_file, nvidia_smi, rocm_smi};

const MACHINE: Machine = Machine {
    cpu_cores: 8,
    memory_mib: 122_880,
    available_mib: 100_000,
    disk_free_mib: None,
    limits: crate::hardware::Limits { cpus: None, memory_mib: None },
};

fn gpu(vendor: Vendor, index: u32) -> SeenGpu {
    SeenGpu::new(vendor, index)
}

fn at(pci: &str, gpu: SeenGpu) -> SeenGpu {
    SeenGpu { pci: Some(pci.to_owned()), ..gpu }
}

/// Name, its source, memory in GiB and its source of each GPU.
fn told(gpus: &[Gpu]) -> Vec<String> {
    gpus.iter()
        .map(|gpu| {
            let memory = gpu.memory_mib.as_ref().map_or("?".to_owned(), |memory| {
                format!("{} ({})", gib(memory.value), memory.source.as_str())
            });
            format!("{} {} ({}): {memory}", gpu.index, gpu.model.value, gpu.model.source.as_str())
        })
        .collect()
}

#[test]
fn a_later_source_fills_in_what_earlier_ones_do_not_say() {
    let kernel = vec![at("0000:01:00.0", gpu(Vendor::Nvidia, 0))];
    let file = hardware_file::parse(include_str!("../samples/hardware_file/one_gpu.json")).unwrap().gpus;
    let merged = merge(&[(Source::Kernel, kernel.clone()), (Source::HardwareFile, file.clone())], &MACHINE);
    assert_eq!(
        told(&merged.usable),
        ["0 NVIDIA GeForce RTX 3060 (hardware-file): 12 (hardware-file)"],
        "one GPU, seen twice"
    );
    let smi = nvidia_smi::list(include_str!("../samples/nvidia_smi/rtx_4090.csv")).unwrap();
    let merged =
        merge(&[(Source::NvidiaSmi, smi), (Source::Kernel, kernel), (Source::HardwareFile, file)], &MACHINE);
    assert_eq!(
        told(&merged.usable),
        ["0 NVIDIA GeForce RTX 4090 (nvidia-smi): 24 (nvidia-smi)"],
        "a file of long ago changes nothing"
    );
    assert_eq!(merged.usable[0].vendor.source, Source::NvidiaSmi);
}

#[test]
fn the_place_on_the_bus_tells_gpus_apart() {
    let smi = nvidia_smi::list(include_str!("../samples/nvidia_smi/rtx_4090.csv")).unwrap();
    let kernel = vec![
        at("0000:01:00.0", gpu(Vendor::Nvidia, 0)),
        at("0000:02:00.0", SeenGpu { model: Some("Tesla K80".to_owned()), ..gpu(Vendor::Nvidia, 1) }),
        at("0000:0e:00.0", SeenGpu { memory_mib: Some(512), ..gpu(Vendor::Amd, 0) }),
    ];
    let merged = merge(&[(Source::NvidiaSmi, smi), (Source::Kernel, kernel)], &MACHINE);
    assert_eq!(
        told(&merged.usable),
        ["0 NVIDIA GeForce RTX 4090 (nvidia-smi): 24 (nvidia-smi)", "1 Tesla K80 (kernel): ?"]
    );
    assert_eq!(told(&merged.integrated), ["0 AMD GPU (kernel): 0.5 (kernel)"]);
}

#[test]
fn a_file_does_not_add_to_what_tools_see() {
    let smi = nvidia_smi::list(include_str!("../samples/nvidia_smi/rtx_4090.csv")).unwrap();
    let file = hardware_file::parse(include_str!("../samples/hardware_file/today.json")).unwrap().gpus;
    let merged = merge(&[(Source::NvidiaSmi, smi), (Source::HardwareFile, file)], &MACHINE);
    assert_eq!(merged.usable.len(), 1);
}

#[test]
fn twins_of_one_source_are_two() {
    let file = hardware_file::parse(include_str!("../samples/hardware_file/today.json")).unwrap().gpus;
    assert_eq!(merge(&[(Source::HardwareFile, file)], &MACHINE).usable.len(), 2);
}

#[test]
fn the_tools_of_amd_agree_on_one_gpu() {
    let amd = amd_smi::list(include_str!("../samples/amd_smi/gpu_data.json")).unwrap();
    let rocm = rocm_smi::list(include_str!("../samples/rocm_smi/rx_7900_xtx.json")).unwrap();
    let merged = merge(&[(Source::AmdSmi, amd), (Source::RocmSmi, rocm)], &MACHINE);
    assert_eq!(told(&merged.usable), ["0 Radeon RX 7900 XT (amd-smi): 20 (amd-smi)"]);
    assert_eq!(told(&merged.integrated), ["1 AMD Radeon Graphics (amd-smi): 0.5 (amd-smi)"]);
}

#[test]
fn a_gpu_that_shares_the_systems_memory_has_that() {
    let smi = nvidia_smi::list(include_str!("../samples/nvidia_smi/gb10.csv")).unwrap();
    let merged = merge(&[(Source::NvidiaSmi, smi)], &MACHINE);
    assert_eq!(told(&merged.usable), ["0 NVIDIA GB10 (nvidia-smi): 120 (system)"]);
    assert!(merged.usable[0].unified);
    let hidden = nvidia_smi::list(include_str!("../samples/nvidia_smi/no_permission.csv")).unwrap();
    let merged = merge(&[(Source::NvidiaSmi, hidden)], &MACHINE);
    assert_eq!(told(&merged.usable), ["0 NVIDIA A10 (nvidia-smi): ?"], "what may not be seen is not known");
}

#[test]
fn a_divided_gpu_has_the_memory_of_its_largest_part() {
    let mut smi = nvidia_smi::list(include_str!("../samples/nvidia_smi/a100_mig.csv")).unwrap();
    nvidia_smi::add_parts(&mut smi, include_str!("../samples/nvidia_smi/a100_mig.list"));
    let merged = merge(&[(Source::NvidiaSmi, smi)], &MACHINE);
    let usable: Vec<u64> = merged.usable.iter().map(Gpu::usable_mib).collect();
    assert_eq!(usable, [20480, 40960]);
}
