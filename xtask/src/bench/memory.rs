//! How much memory the service's own process holds: at rest, and at the worst moment of a backup and of a restore.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};

use super::{ADMIN_SECRET, Bench, gap::run_operation, report::Report};
use crate::http;

const IDLE_LIMIT: f64 = 20.0;
const WORK_LIMIT: f64 = 48.0;

/// Measures a fresh service: idle, after some use, during a backup, during a restore, and afterwards.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let (mut service, port) = bench.serve("memory")?;
    let pid = service.pid();
    settle();
    report.at_most("resident memory, idle after the start", "MB", resident(pid, "VmRSS")?, IDLE_LIMIT);
    use_a_little(port)?;
    settle();
    report.at_most("resident memory, idle after some use", "MB", resident(pid, "VmRSS")?, IDLE_LIMIT);

    let peak = peak_during(pid, || run_operation(port, "/api/v1/recovery/backups").map(drop))?;
    report.at_most("resident memory, peak of a backup", "MB", peak, WORK_LIMIT);
    let path = format!("/api/v1/recovery/backups/{}/restore", bench.newest_backup()?);
    let peak = peak_during(pid, || run_operation(port, &path).map(drop))?;
    report.at_most("resident memory, peak of a restore", "MB", peak, WORK_LIMIT);
    settle();
    report.note("resident memory, idle after both, MB", resident(pid, "VmRSS")?);
    service.stop()?;
    bench.drop_replaced()
}

/// What a Dashboard asks for in its first minutes.
fn use_a_little(port: u16) -> Result<()> {
    for _ in 0..50 {
        for path in ["/health/live", "/health/ready", "/api/v1/recovery/status", "/api/v1/recovery/backups"] {
            http::request(port, "GET", path, &[])?.json()?;
        }
        http::request(port, "GET", "/api/v1/recovery/operations", &[("X-Admin-Secret", ADMIN_SECRET)])?
            .json()?;
    }
    Ok(())
}

fn settle() {
    std::thread::sleep(Duration::from_secs(2));
}

/// The highest value during some work: of what the kernel remembers and of what was seen every 20 ms.
fn peak_during(pid: u32, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    // 5: the kernel's high-water mark starts anew.
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("cannot reset the high-water mark")?;
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    let sampler = std::thread::spawn(move || -> Result<f64> {
        let mut peak: f64 = 0.0;
        while !flag.load(Ordering::Relaxed) {
            peak = peak.max(resident(pid, "VmRSS")?);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(peak)
    });
    let outcome = work();
    ended.store(true, Ordering::Relaxed);
    let seen = sampler.join().map_err(|_| anyhow::anyhow!("the sampler failed"))??;
    outcome?;
    Ok(seen.max(resident(pid, "VmHWM")?))
}

/// A line of `/proc/PID/status` in megabytes (10^6 bytes).
fn resident(pid: u32, field: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse(&status, field).with_context(|| format!("/proc/{pid}/status has no {field}"))
}

fn parse(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_megabytes() {
        let status = "Name:\tnova\nVmHWM:\t   20000 kB\nVmRSS:\t    1000 kB\n";
        assert_eq!(parse(status, "VmRSS"), Some(1.024));
        assert_eq!(parse(status, "VmHWM"), Some(20.48));
        assert_eq!(parse(status, "VmSwap"), None);
    }
}
