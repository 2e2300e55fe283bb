use super::*;

/// A root with these files.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

const NVIDIA_INFORMATION: &str = "Model: \t\t NVIDIA GeForce RTX 3060\nIRQ:   \t\t 154\nGPU UUID: \t GPU-b8ea3855-276c-c9cb-b366-c6fa655957c5\nVideo BIOS: \t 94.06.25.00.3f\nBus Location: \t 0000:01:00.0\n";

#[test]
fn a_gpu_of_nvidia_beside_one_of_amd_in_the_processor() {
    let root = root(&[
        ("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n"),
        ("sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n"),
        ("sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n"),
        ("sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n"),
        ("sys/bus/pci/devices/0000:02:00.0/vendor", "0x8086\n"),
        ("sys/bus/pci/devices/0000:02:00.0/class", "0x020000\n"),
        ("sys/bus/pci/devices/0000:0e:00.0/vendor", "0x1002\n"),
        ("sys/bus/pci/devices/0000:0e:00.0/class", "0x030000\n"),
        ("sys/class/drm/card0/device/vendor", "0x1002\n"),
        ("sys/class/drm/card0/device/uevent", "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:0e:00.0\n"),
        ("sys/class/drm/card0/device/mem_info_vram_total", "536870912\n"),
        ("sys/class/drm/card0-HDMI-A-1/device/vendor", "0x1002\n"),
        ("sys/class/drm/renderD128/device/vendor", "0x1002\n"),
        ("proc/driver/nvidia/gpus/0000:01:00.0/information", NVIDIA_INFORMATION),
    ]);
    let gpus = look(root.path());
    let seen: Vec<_> = gpus
        .iter()
        .map(|gpu| (gpu.vendor, gpu.index, gpu.model.as_deref(), gpu.memory_mib, gpu.pci.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            (Vendor::Nvidia, 0, Some("NVIDIA GeForce RTX 3060"), None, Some("0000:01:00.0")),
            (Vendor::Amd, 0, None, Some(512), Some("0000:0e:00.0")),
        ]
    );
    assert_eq!(gpus[0].uuid.as_deref(), Some("GPU-b8ea3855-276c-c9cb-b366-c6fa655957c5"));
}

#[test]
fn inside_a_container_the_drivers_own_files_are_enough() {
    let root = root(&[
        (
            "proc/driver/nvidia/gpus/0000:65:00.0/information",
            "Model: \t\t Unknown\nGPU UUID: \t GPU-????????\n",
        ),
        ("sys/class/drm/card1/device/vendor", "0x1002\n"),
        ("sys/class/drm/card1/device/product_name", "AMD Instinct MI210\n"),
        ("sys/class/drm/card1/device/mem_info_vram_total", "68702699520\n"),
    ]);
    let gpus = look(root.path());
    assert_eq!(gpus.len(), 2);
    assert_eq!((gpus[0].vendor, &gpus[0].model, &gpus[0].uuid), (Vendor::Nvidia, &None, &None));
    assert_eq!((gpus[1].model.as_deref(), gpus[1].memory_mib), (Some("AMD Instinct MI210"), Some(65520)));
    assert_eq!(gpus[1].pci, None);
}

#[test]
fn accelerators_count_and_garbage_does_not() {
    let root = root(&[
        ("sys/bus/pci/devices/0000:05:00.0/vendor", "0x1002\n"),
        ("sys/bus/pci/devices/0000:05:00.0/class", "0x120000\n"),
        ("sys/bus/pci/devices/what/vendor", "0x10de\n"),
        ("sys/class/drm/card9/device/vendor", "garbage"),
        ("sys/class/drm/card8/device/mem_info_vram_total", "-1"),
        ("proc/driver/nvidia/gpus/readme", "x"),
    ]);
    let gpus = look(root.path());
    assert_eq!(gpus.len(), 1);
    assert_eq!((gpus[0].vendor, gpus[0].memory_mib), (Vendor::Amd, None));
    assert!(!has_kfd(root.path()));
    fs::create_dir_all(root.path().join("dev/kfd")).unwrap();
    assert!(has_kfd(root.path()));
}

#[test]
fn a_machine_without_any_of_these_files() {
    assert_eq!(look(Path::new("/does/not/exist")), []);
}
