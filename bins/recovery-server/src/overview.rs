//! Everything at a glance. Each part is asked by itself and given a moment: one dead dependency leaves the others
//! legible, and a server that hangs makes nobody wait long.

use std::{sync::Arc, time::Duration};

use recovery_backup::BackupError;
use recovery_core::{BackupInfo, DrillHistory, ErrorCode, Problem, database::DatabaseOverview};
use time::OffsetDateTime;

use crate::{
    app::App,
    dependencies::silent,
    operations::Failure,
    schedule::{Checkpoints, Drills, good_checkpoints, made_checkpoints},
    view::{
        self, BackupStatus, CheckpointStatus, DatabaseStatus, DependencyStatus, DiskStatus, DrillStatus,
        LastError, Status,
    },
};

/// How long each part is waited for.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long the readiness probe waits: its answer is due within three seconds.
const PROBE_PATIENCE: Duration = Duration::from_millis(2500);

impl App {
    /// The overview.
    pub async fn status(&self) -> Status {
        let (database, backups, drill, disk) = tokio::join!(
            self.database_status(),
            self.list_backups(),
            self.drill_status(),
            self.disk_status()
        );
        let checkpoints = self.checkpoint_status(backups.as_deref().unwrap_or_default()).await;
        let known = self.dependencies.known();
        Status {
            services: self.services.counted(),
            database,
            backups: backup_status(backups),
            checkpoints,
            disk,
            drill,
            dependencies: vec![
                DependencyStatus::new("postgres", known.database),
                DependencyStatus::new("redis", known.redis),
                DependencyStatus::new("docker", known.docker),
                DependencyStatus::new("compose", known.compose),
            ],
            operation: self.operations.running().first().map(view::RunningOperation::from),
            version: env!("CARGO_PKG_VERSION"),
            started_at: view::timestamp(self.started_at),
        }
    }

    /// Whether the database answers now.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ready(&self) -> Result<(), Problem> {
        let database = Arc::clone(&self.database);
        let ping = self.on_runtime(async move { database.ping().await.map_err(Problem::from) });
        let answer = tokio::time::timeout(PROBE_PATIENCE, ping)
            .await
            .ok()
            .flatten()
            .unwrap_or_else(|| Err(silent("PostgreSQL")));
        self.dependencies.note_database(answer.clone());
        answer
    }

    pub(crate) async fn database_status(&self) -> DatabaseStatus {
        let known = self.dependencies.known().database;
        // One that is known to be away is asked again in the background, not while somebody waits.
        let overview = match (known.up, known.problem) {
            (Some(false), Some(problem)) => Err(problem),
            _ => self.ask_database().await,
        };
        let name = self.database_name.clone();
        match overview {
            Ok(overview) => DatabaseStatus {
                connected: true,
                name,
                size: view::pretty_size(overview.size_bytes),
                size_bytes: Some(overview.size_bytes),
                table_count: overview.table_count,
                server_version: Some(overview.server_version.to_string()),
                error: None,
                hint: None,
            },
            Err(problem) => DatabaseStatus {
                connected: false,
                name,
                size: "unknown".to_owned(),
                size_bytes: None,
                table_count: 0,
                server_version: None,
                error: Some(problem.detail),
                hint: problem.hint,
            },
        }
    }

    async fn ask_database(&self) -> Result<DatabaseOverview, Problem> {
        let database = Arc::clone(&self.database);
        let overview = self.on_runtime(async move { database.overview().await.map_err(Problem::from) });
        tokio::time::timeout(PATIENCE, overview)
            .await
            .ok()
            .flatten()
            .unwrap_or_else(|| Err(silent("PostgreSQL")))
    }

    /// How much room the backups have.
    async fn disk_status(&self) -> Option<DiskStatus> {
        let backups = self.backups.clone();
        let room = self.on_runtime(async move { backups.room().await });
        let (free_bytes, total_bytes) = tokio::time::timeout(PATIENCE, room).await.ok()??.ok()?;
        Some(DiskStatus { free_bytes, total_bytes })
    }

    /// How the backups stand that the service makes by itself.
    async fn checkpoint_status(&self, backups: &[BackupInfo]) -> CheckpointStatus {
        let interval = self.checkpoint_interval.filter(|_| self.database_name.is_some());
        let times: Vec<OffsetDateTime> = good_checkpoints(backups, self.database_name.as_deref())
            .map(|checkpoint| checkpoint.created_at)
            .collect();
        let last = times.into_iter().max().map(view::timestamp);
        let Some(interval) = interval else {
            return CheckpointStatus { last, ..CheckpointStatus::default() };
        };
        let made: Vec<OffsetDateTime> = made_checkpoints(backups, self.database_name.as_deref())
            .map(|checkpoint| checkpoint.created_at)
            .collect();
        let name = Checkpoints::SUBJECT.name;
        let standing = self.schedule.standing(name, interval, &made, self.clock.now()).await;
        CheckpointStatus {
            enabled: true,
            interval_seconds: Some(interval.as_secs_f64()),
            last,
            next_due: Some(view::timestamp(standing.next_due)),
            last_error: LastError::of(&standing),
        }
    }

    async fn drill_status(&self) -> DrillStatus {
        let Some(drills) = self.drills().await else { return DrillStatus::default() };
        let now = self.clock.now();
        let verified_at = drills.last_verified.as_ref().map(|drill| drill.at);
        let next_due = match self.drill_interval {
            Some(interval) => {
                let (name, done) = (Drills::SUBJECT.name, verified_at.as_slice());
                let standing = self.schedule.standing(name, interval.unsigned_abs(), done, now).await;
                Some(drills.next_due(interval, now).max(standing.next_due))
            }
            None => None,
        };
        DrillStatus {
            last: drills.last.map(view::DrillRecord::from).map(view::DrillRecord::for_strangers),
            last_verified_at: verified_at.map(view::timestamp),
            age_seconds: verified_at.map(|at| (now - at).whole_seconds().max(0).unsigned_abs()),
            next_due: next_due.map(view::timestamp),
        }
    }

    /// The drills that are remembered, unless the state directory hangs.
    pub(crate) async fn drills(&self) -> Option<DrillHistory> {
        let backups = Arc::clone(&self.backups);
        let drills = self.on_runtime(async move { backups.drills().await });
        tokio::time::timeout(PATIENCE, drills).await.ok().flatten()
    }

    /// Every backup, newest first, unless the directory hangs.
    pub(crate) async fn list_backups(&self) -> Result<Vec<BackupInfo>, Problem> {
        let backups = Arc::clone(&self.backups);
        let list = self.on_runtime(async move { backups.list().await });
        let listed: Option<Result<_, BackupError>> =
            tokio::time::timeout(PATIENCE * 2, list).await.ok().flatten();
        match listed {
            Some(list) => list.map_err(|error| Failure::of(error).log()),
            None => Err(Problem::new(
                ErrorCode::StorageUnavailable,
                "The backup directory did not answer in time.",
            )
            .hint("Check the disk or network share that BACKUP_DIR lies on.")),
        }
    }
}

fn backup_status(backups: Result<Vec<BackupInfo>, Problem>) -> BackupStatus {
    match backups {
        Ok(backups) => BackupStatus {
            count: backups.len(),
            total_size_bytes: backups.iter().map(|backup| backup.size_bytes).sum(),
            latest: backups.into_iter().next().map(view::Backup::from).map(view::Backup::for_strangers),
            error: None,
            hint: None,
        },
        Err(problem) => {
            BackupStatus { error: Some(problem.detail), hint: problem.hint, ..BackupStatus::default() }
        }
    }
}
