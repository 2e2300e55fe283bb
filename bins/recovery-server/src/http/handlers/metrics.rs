//! What Prometheus reads.

use std::{
    fmt::{Display, Write as _},
    sync::atomic::Ordering::Relaxed,
};

use actix_web::{HttpResponse, web::Data};
use recovery_core::{BackupInfo, DrillHistory, DrillResult, OperationKind, OperationState, Verification};
use recovery_inference::gpu_stats::{GpuFigures, GpuStats};
use time::OffsetDateTime;

use crate::{app::App, schedule::good_checkpoints};

/// Figures for Prometheus. Open to everybody with `METRICS_OPEN=true`.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Prometheus text format", content_type = "text/plain")))]
pub(crate) async fn metrics(app: Data<App>) -> HttpResponse {
    let mut page = Page::default();
    page.metric("nova_recovery_build_info", "gauge", "The version of this program.");
    page.labelled("nova_recovery_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let now = app.clock.now();
    page.one(
        "nova_recovery_uptime_seconds",
        "gauge",
        "Seconds since the service was started.",
        seconds(now - app.started_at),
    );
    if let Some(bytes) = resident_bytes() {
        page.one("process_resident_memory_bytes", "gauge", "Resident memory in bytes.", bytes);
    }
    let known = app.dependencies.known();
    page.metric("nova_recovery_dependency_up", "gauge", "Whether a dependency answers.");
    for (name, dependency) in [("postgres", known.database), ("redis", known.redis)] {
        if let Some(up) = dependency.up {
            page.labelled("nova_recovery_dependency_up", &[("dependency", name)], u8::from(up));
        }
    }
    // While the directory cannot be read, these are missing rather than 0.
    if let Ok(backups) = app.list_backups().await {
        page.backups(&backups, now);
        page.good_backups(&backups, app.database_name.as_deref(), now);
    }
    if let Some(drills) = app.drills().await {
        page.drills(&drills, now);
    }
    page.one(
        "nova_recovery_scheduled_failures_total",
        "counter",
        "Tries of what the service does by itself that failed since it was started.",
        app.schedule.failures(),
    );
    page.one(
        "nova_recovery_retention_removed_total",
        "counter",
        "Backups that had had their time and were removed since the service was started.",
        app.removed.load(Relaxed),
    );
    // A machine without GPUs is not asked again and again.
    if app.inference.has_gpu() {
        let service = app.clone().into_inner();
        let stats = app.on_runtime(async move { service.inference.gpu_stats().await }).await.flatten();
        page.gpus(stats.as_deref());
    }
    page.operations(&app);
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(page.text)
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        let _ = writeln!(self.text, "{name} {value}");
    }

    /// The labels are words of ours: nothing in them needs escaping.
    fn labelled(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let _ = writeln!(self.text, "{name}{{{}}} {value}", labels.join(","));
    }

    fn backups(&mut self, backups: &[BackupInfo], now: OffsetDateTime) {
        self.one("nova_recovery_backups", "gauge", "How many backups there are.", backups.len());
        let bytes: u64 = backups.iter().map(|backup| backup.size_bytes).sum();
        self.one("nova_recovery_backup_bytes", "gauge", "How much room backups take.", bytes);
        if let Some(newest) = backups.first() {
            let age = seconds(now - newest.created_at);
            self.one(
                "nova_recovery_newest_backup_age_seconds",
                "gauge",
                "The age of the newest backup.",
                age,
            );
        }
    }

    fn drills(&mut self, drills: &DrillHistory, now: OffsetDateTime) {
        if let Some(drill) = &drills.last {
            let name = "nova_recovery_last_drill_result";
            self.metric(name, "gauge", "How the last restore drill ended: 1 for what it was.");
            for result in [DrillResult::Verified, DrillResult::Failed, DrillResult::CouldNotVerify] {
                self.labelled(name, &[("result", result.as_str())], u8::from(drill.result == result));
            }
        }
        if let Some(drill) = &drills.last_verified {
            self.one(
                "nova_recovery_last_good_drill_age_seconds",
                "gauge",
                "Seconds since a restore drill last found a backup good.",
                seconds(now - drill.at),
            );
        }
    }

    fn good_backups(&mut self, backups: &[BackupInfo], database: Option<&str>, now: OffsetDateTime) {
        let good = |backup: &&BackupInfo| {
            backup.verification == Verification::Verified
                && database.is_some()
                && backup.database.as_deref() == database
        };
        if let Some(newest) = backups.iter().find(good) {
            self.one(
                "nova_recovery_newest_good_backup_age_seconds",
                "gauge",
                "The age of the newest backup of the protected database that was found good.",
                seconds(now - newest.created_at),
            );
        }
        if let Some(newest) = good_checkpoints(backups, database).next() {
            self.one(
                "nova_recovery_last_checkpoint_success_timestamp_seconds",
                "gauge",
                "When the newest good checkpoint was made, in Unix time.",
                newest.created_at.unix_timestamp(),
            );
        }
    }

    /// What cannot be asked is missing rather than 0.
    fn gpus(&mut self, stats: Option<&GpuStats>) {
        type Figure = fn(&GpuFigures) -> Option<f64>;
        const MIB: f64 = 1024.0 * 1024.0;
        #[expect(clippy::cast_precision_loss, reason = "no GPU has 2^53 MiB")]
        let figures: [(&str, &str, Figure); 5] = [
            ("nova_recovery_gpu_utilization_ratio", "How busy a GPU is.", |gpu| {
                gpu.utilization_pct.map(|pct| pct / 100.0)
            }),
            ("nova_recovery_gpu_memory_used_bytes", "The memory in use on a GPU.", |gpu| {
                gpu.memory_used_mib.map(|mib| mib as f64 * MIB)
            }),
            ("nova_recovery_gpu_memory_bytes", "The memory of a GPU.", |gpu| {
                gpu.memory_total_mib.map(|mib| mib as f64 * MIB)
            }),
            ("nova_recovery_gpu_temperature_celsius", "The temperature of a GPU.", |gpu| gpu.temperature_c),
            ("nova_recovery_gpu_power_watts", "What a GPU draws.", |gpu| gpu.power_draw_w),
        ];
        let Some(stats) = stats else { return };
        for (name, help, figure) in figures {
            self.metric(name, "gauge", help);
            for gpu in &stats.gpus {
                if let Some(value) = figure(gpu) {
                    self.labelled(name, &[("gpu", &gpu.index.to_string())], value);
                }
            }
        }
    }

    fn operations(&mut self, app: &App) {
        self.metric(
            "nova_recovery_operations_total",
            "counter",
            "Operations that ended since the service was started.",
        );
        for (kind, state, count) in app.operations.tally().iter() {
            self.labelled("nova_recovery_operations_total", &[("kind", kind), ("state", state)], count);
        }
        let operations = app.operations.list();
        let running = operations.iter().filter(|operation| operation.finished_at.is_none()).count();
        self.one("nova_recovery_operations_running", "gauge", "Operations that are running.", running);
        let last_backup = operations
            .iter()
            .filter(|operation| {
                operation.kind == OperationKind::Backup && operation.state == OperationState::Succeeded
            })
            .filter_map(|operation| operation.finished_at)
            .max();
        if let Some(at) = last_backup {
            self.one(
                "nova_recovery_last_backup_success_timestamp_seconds",
                "gauge",
                "When a backup was last completed, in Unix time.",
                at.unix_timestamp(),
            );
        }
    }
}

fn seconds(duration: time::Duration) -> i64 {
    duration.whole_seconds().max(0)
}

/// `VmRSS` of this process.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
