//! The limits that this program's own container sets it: control groups of version 2 and 1.
//!
//! They hold for this program. A language model runs in a container of its own, for which the host's totals count.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

/// What this program may use; `None` where nothing limits it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Processors, in fractions of one.
    pub cpus: Option<f64>,
    /// Memory in MiB.
    pub memory_mib: Option<u64>,
}

/// Version 1 says a number near 2^63 where there is no limit; no machine has as much as this.
const NO_LIMIT: u64 = 1 << 50;

/// Reads the limits below this root, which is `/` but in tests. Inside a container its own group is the root of what
/// is mounted at `/sys/fs/cgroup`; elsewhere the limits of all groups from this program's own up to the root count.
#[must_use]
pub fn read(root: &Path) -> Limits {
    let mount = root.join("sys/fs/cgroup");
    let own = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let path_of = |controller: &str| {
        own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            controllers.split(',').any(|name| name == controller).then(|| path.trim_start_matches('/'))
        })
    };
    let mut limits = Limits::default();
    let unified = path_of("").unwrap_or_default();
    for group in groups(&mount, unified) {
        limits.lower(cpu_max(&text(&group.join("cpu.max"))), bytes(&text(&group.join("memory.max"))));
    }
    for group in groups(&mount.join("memory"), path_of("memory").unwrap_or_default()) {
        limits.lower(None, bytes(&text(&group.join("memory.limit_in_bytes"))));
    }
    for name in ["cpu", "cpu,cpuacct"] {
        for group in groups(&mount.join(name), path_of("cpu").unwrap_or_default()) {
            let quota = text(&group.join("cpu.cfs_quota_us"));
            let period = text(&group.join("cpu.cfs_period_us"));
            limits.lower(cpu_max(&format!("{quota} {period}")), None);
        }
    }
    limits
}

impl Limits {
    fn lower(&mut self, cpus: Option<f64>, memory_bytes: Option<u64>) {
        let memory_mib = memory_bytes.map(|bytes| bytes / (1024 * 1024));
        self.cpus = self.cpus.into_iter().chain(cpus).reduce(f64::min);
        self.memory_mib = self.memory_mib.into_iter().chain(memory_mib).min();
    }
}

/// A group and all above it.
fn groups(mount: &Path, path: &str) -> Vec<std::path::PathBuf> {
    let own = mount.join(path);
    own.ancestors().take_while(|group| group.starts_with(mount)).map(Path::to_path_buf).collect()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// `QUOTA PERIOD`: so many microseconds of so many. `max` and negative ones limit nothing.
fn cpu_max(text: &str) -> Option<f64> {
    let (quota, period) = text.split_once(' ')?;
    let (quota, period): (u32, u32) = (quota.parse().ok()?, period.trim().parse().ok()?);
    (quota > 0 && period > 0).then(|| f64::from(quota) / f64::from(period))
}

/// A number of bytes. `max` limits nothing.
fn bytes(text: &str) -> Option<u64> {
    text.parse().ok().filter(|&bytes| bytes > 0 && bytes < NO_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], expect: Limits) {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        assert_eq!(read(root.path()), expect, "{files:?}");
    }

    #[test]
    fn a_container_with_version_2() {
        let mine = ("proc/self/cgroup", "0::/\n");
        let limited = Limits { cpus: Some(1.5), memory_mib: Some(2048) };
        check(
            &[
                mine,
                ("sys/fs/cgroup/cpu.max", "150000 100000\n"),
                ("sys/fs/cgroup/memory.max", "2147483648\n"),
            ],
            limited,
        );
        let unlimited =
            [mine, ("sys/fs/cgroup/cpu.max", "max 100000\n"), ("sys/fs/cgroup/memory.max", "max\n")];
        check(&unlimited, Limits::default());
        check(&[], Limits::default());
        check(
            &[mine, ("sys/fs/cgroup/cpu.max", "garbage"), ("sys/fs/cgroup/memory.max", "-1")],
            Limits::default(),
        );
    }

    #[test]
    fn a_service_of_systemd_is_limited_by_what_is_around_it_too() {
        check(
            &[
                ("proc/self/cgroup", "0::/system.slice/recovery.service\n"),
                ("sys/fs/cgroup/system.slice/memory.max", "1073741824\n"),
                ("sys/fs/cgroup/system.slice/recovery.service/memory.max", "4294967296\n"),
                ("sys/fs/cgroup/system.slice/recovery.service/cpu.max", "200000 100000\n"),
            ],
            Limits { cpus: Some(2.0), memory_mib: Some(1024) },
        );
    }

    #[test]
    fn a_container_with_version_1() {
        check(
            &[
                ("proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ],
            Limits { cpus: Some(0.5), memory_mib: Some(512) },
        );
        check(
            &[
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ],
            Limits::default(),
        );
    }
}
