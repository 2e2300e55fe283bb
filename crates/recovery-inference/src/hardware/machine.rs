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
        // sysinfo would look at every disk, and hang where one is on a server that is away.
        disk_free_mib: rustix::fs::statvfs(disk).ok().map(|disk| {
            u64::try_from((u128::from(disk.f_bavail) * u128::from(disk.f_frsize)) >> 20).unwrap_or(u64::MAX)
        }),
        limits: limits::read(Path::new("/")),
    }
}
