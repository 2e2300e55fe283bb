//! Health and overview.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Backup, DrillRecord, Progress, Services, timestamp};
use crate::{dependencies::Dependency, schedule::Standing};

/// The service is alive.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Live {
    /// Always `ok`.
    status: &'static str,
    /// Always `recovery`.
    service: &'static str,
}

impl Default for Live {
    fn default() -> Self {
        Self { status: "ok", service: "recovery" }
    }
}

/// Whether the database can be reached.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Ready {
    /// `ok` or `degraded`.
    status: &'static str,
    /// `connected`, or why not.
    db: String,
}

impl Ready {
    pub(crate) fn connected() -> Self {
        Self { status: "ok", db: "connected".to_owned() }
    }

    pub(crate) fn degraded(reason: String) -> Self {
        Self { status: "degraded", db: reason }
    }
}

/// Everything at a glance. Where something cannot be reached, its own part says so.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Status {
    /// The services of the platform.
    pub(crate) services: Services,
    /// The protected database.
    pub(crate) database: DatabaseStatus,
    /// The backups.
    pub(crate) backups: BackupStatus,
    /// The disk with the backups; null where it does not answer.
    #[schema(required)]
    pub(crate) disk: Option<DiskStatus>,
    /// The drills of restoring.
    pub(crate) drill: DrillStatus,
    /// The backups that the service makes by itself.
    pub(crate) checkpoints: CheckpointStatus,
    /// What the service depends on.
    pub(crate) dependencies: Vec<DependencyStatus>,
    /// The newest operation that is running.
    pub(crate) operation: Option<RunningOperation>,
    /// The version of this program.
    #[schema(example = "0.1.0")]
    pub(crate) version: &'static str,
    /// When the service was started.
    #[schema(format = DateTime)]
    pub(crate) started_at: String,
}

/// A running operation, as far as everybody may know: who asked for it and what it is about is told to admins alone.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RunningOperation {
    /// What it does: `backup`, `verify`, `restore`, `rollback`, `drop_replaced`, `delete_backup`, …
    kind: &'static str,
    /// `running`.
    state: &'static str,
    /// When it began.
    #[schema(format = DateTime)]
    started_at: String,
    /// Where it is.
    progress: Progress,
}

impl From<&recovery_core::Operation> for RunningOperation {
    fn from(operation: &recovery_core::Operation) -> Self {
        Self {
            kind: operation.kind.as_str(),
            state: operation.state.as_str(),
            started_at: timestamp(operation.started_at),
            progress: Progress::from(&operation.progress),
        }
    }
}

/// The protected database.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DatabaseStatus {
    /// Whether it answers.
    pub(crate) connected: bool,
    /// Its name; null where none is configured.
    #[schema(example = "nova")]
    pub(crate) name: Option<String>,
    /// Its size, for people; `unknown` while it does not answer.
    #[schema(example = "893 MB")]
    pub(crate) size: String,
    /// Its size.
    pub(crate) size_bytes: Option<u64>,
    /// How many tables it has; 0 while it does not answer.
    pub(crate) table_count: u64,
    /// The version of its server.
    pub(crate) server_version: Option<String>,
    /// Why it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

/// The backups.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct BackupStatus {
    /// How many there are.
    pub(crate) count: usize,
    /// The newest.
    pub(crate) latest: Option<Backup>,
    /// How much room they take.
    pub(crate) total_size_bytes: u64,
    /// Why they cannot be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

/// The disk that the backups lie on.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct DiskStatus {
    /// How many bytes can still be written to it.
    pub(crate) free_bytes: u64,
    /// How many bytes it has in all.
    pub(crate) total_bytes: u64,
}

/// The drills of restoring.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct DrillStatus {
    /// The last one.
    pub(crate) last: Option<DrillRecord>,
    /// When a drill last found a backup good.
    #[schema(format = DateTime)]
    pub(crate) last_verified_at: Option<String>,
    /// How long ago that is.
    pub(crate) age_seconds: Option<u64>,
    /// When the next one is due; null where drills by themselves are turned off.
    #[schema(format = DateTime)]
    pub(crate) next_due: Option<String>,
}

/// The backups that the service makes by itself.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct CheckpointStatus {
    /// Whether it makes any.
    pub(crate) enabled: bool,
    /// How long after the newest good one the next one is made.
    pub(crate) interval_seconds: Option<f64>,
    /// When the newest good one was made.
    #[schema(format = DateTime)]
    pub(crate) last: Option<String>,
    /// When the next one is due: now, where it is overdue.
    #[schema(format = DateTime)]
    pub(crate) next_due: Option<String>,
    /// Why there is none since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<LastError>,
}

/// Why something that the service does by itself did not succeed the last time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LastError {
    /// The kind of error.
    #[schema(example = "database_unavailable")]
    code: &'static str,
    /// What happened.
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// When the last try began.
    #[schema(format = DateTime)]
    at: Option<String>,
    /// How many tries in a row came to nothing.
    failures: u32,
}

impl LastError {
    /// What there is to tell of how a job stands; `None` where nothing failed.
    pub(crate) fn of(standing: &Standing) -> Option<Self> {
        let problem = standing.problem.as_ref()?;
        Some(Self {
            code: problem.code.as_str(),
            detail: problem.detail.clone(),
            hint: problem.hint.clone(),
            at: standing.failed_at.map(timestamp),
            failures: standing.failures,
        })
    }
}

/// Something that the service depends on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DependencyStatus {
    /// `postgres`, `redis`, `docker` or `compose`.
    name: &'static str,
    /// `up`, `down`, or `unknown` in the first moments.
    state: &'static str,
    /// Since when.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// Its version, where the service asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl DependencyStatus {
    pub(crate) fn new(name: &'static str, dependency: Dependency) -> Self {
        let (error, hint) = match dependency.problem {
            Some(problem) => (Some(problem.detail), problem.hint),
            None => (None, None),
        };
        let state = match dependency.up {
            Some(true) => "up",
            Some(false) => "down",
            None => "unknown",
        };
        let version = dependency.version;
        Self { name, state, since: dependency.since.map(timestamp), version, error, hint }
    }
}

/// A console session has begun; its cookie is in the headers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SessionBegun {
    /// When it ends.
    #[schema(format = DateTime)]
    pub(crate) expires_at: String,
}
