//! Processors, memory and disk of the machine that this program runs on.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use super::limits::{self, Limits};

/// The machine: what it has in all, and what the container of this program leaves it of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Its logical processors, as `lscpu` counts them; 0 where they cannot be counted.
    pub cpu_cores: u32,
    /// Its memory in MiB, as `free` shows it; 0 where it cannot be seen.
    pub memory_mib: u64,
    /// What can be used of that now without swapping, in MiB.
    pub available_mib: u64,
    /// What is free for ordinary users on the disk of the directory that was asked about, in MiB; `None` where that
    /// cannot be seen.
    pub disk_free_mib: Option<u64>,
    /// What limits this program itself.
    pub limits: Limits,
}

/// Looks at the machine. `disk` is a directory on the disk that models are to be stored on.
#[must_use]
pub fn look(disk: &Path) -> Machine {
    const MIB: u64 = 1024 * 1024;
    let what = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(what).ok();
    let of = |figure: fn(&System) -> u64| system.as_ref().map_or(0, figure);
    Machine {
        cpu_cores: system
            .as_ref()
            .and_then(|system| u32::try_from(system.cpus().len()).ok())
            .unwrap_or_default(),
        memory_mib: of(System::total_memory) / MIB,
        available_mib: of(System::available_memory) / MIB,
        disk_free_mib: disk_free(disk),
        limits: limits::read(Path::new("/")),
    }
}

/// What is free for ordinary users on the disk of a directory, in MiB; `None` where that cannot be seen. It may hang where
/// the disk is on a server that is away.
#[must_use]
pub fn disk_free(directory: &Path) -> Option<u64> {
    // sysinfo would look at every disk.
    let disk = rustix::fs::statvfs(directory).ok()?;
    let free = (u128::from(disk.f_bavail) * u128::from(disk.f_frsize)) >> 20;
    Some(u64::try_from(free).unwrap_or(u64::MAX))
}

/// What is free where a container engine on this machine keeps images and volumes, in MiB. Inside a container that place
/// cannot be seen, but the container's own files lie there, as a layer over those of its image.
#[must_use]
pub fn docker_disk_free(root: &Path, docker_root: &str) -> Option<u64> {
    let place = root.join(docker_root.trim_start_matches('/'));
    if place.is_dir() {
        return disk_free(&place);
    }
    // OVERLAYFS_SUPER_MAGIC of <linux/magic.h>.
    const OVERLAY: u64 = 0x794c_7630;
    let kind = rustix::fs::statfs(root).ok()?.f_type;
    (u64::try_from(kind).ok()? == OVERLAY).then(|| disk_free(root)).flatten()
}
