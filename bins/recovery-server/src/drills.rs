//! Drills that the service makes by itself: the newest good backup is restored into a scratch database, one interval
//! after the last good drill. Whether one is due is read from the history of drills, so that restarts neither put it off
//! nor repeat it.

use std::time::Duration;

use recovery_core::{Actor, BackupInfo, BackupKind, ErrorCode, OperationState, Verification};

use crate::app::App;

/// How often it is looked whether one is due, at least.
const LOOK: Duration = Duration::from_secs(60);
/// How long is waited after a failure, and at most after many.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(5 * 60), Duration::from_secs(6 * 3600));

/// What came of a try.
enum Tried {
    /// A backup was found good.
    Good,
    /// There is nothing to try, or something is in the way.
    NotNow,
    /// A backup was found bad, or nothing could be found out; why.
    Failed(String),
}

/// Goes on until it is dropped.
pub(crate) async fn run(app: &App) {
    let Some(interval) = app.drill_interval else { return };
    let look = LOOK.min(interval.unsigned_abs() / 4);
    let mut failures = 0;
    loop {
        // Whoever starts the service may have something to do with it first.
        tokio::time::sleep(look).await;
        let now = app.clock.now();
        if app.drills().await.is_none_or(|drills| drills.next_due(interval, now) > now) {
            continue;
        }
        match attempt(app).await {
            Tried::Good => failures = 0,
            Tried::NotNow => {}
            Tried::Failed(why) => {
                tracing::error!("a restore drill failed: {why}");
                tokio::time::sleep(back_off(failures)).await;
                failures += 1;
            }
        }
    }
}

fn back_off(failures: u32) -> Duration {
    BACK_OFF.0.saturating_mul(1 << failures.min(16)).min(BACK_OFF.1)
}

async fn attempt(app: &App) -> Tried {
    let backups = match app.list_backups().await {
        Ok(backups) => backups,
        Err(problem) => return Tried::Failed(problem.detail),
    };
    let own: Vec<&BackupInfo> = own_backups(&backups, app.database_name.as_deref()).collect();
    let Some(newest) = own.iter().find(|backup| backup.verification == Verification::Verified) else {
        let bad = own.iter().any(|backup| backup.verification == Verification::Failed);
        return if bad { Tried::Failed("there is no good backup to try".to_owned()) } else { Tried::NotNow };
    };
    let operation = match app.start_drill(Actor::service(), newest.filename.clone()).await {
        Ok(operation) => app.operations.wait(operation.id).await,
        Err(failure) if failure.problem().code == ErrorCode::Busy => return Tried::NotNow,
        Err(failure) => return Tried::Failed(failure.log().detail),
    };
    let Some(operation) = operation else { return Tried::NotNow };
    let result = operation.result.as_ref();
    match (operation.state, result.and_then(|result| result.get("problems")?.get(0)?.as_str())) {
        (OperationState::Succeeded, None) => Tried::Good,
        (OperationState::Succeeded, Some(why)) => Tried::Failed(format!("{}: {why}", newest.filename)),
        (OperationState::Failed, _) => {
            let why = operation.error.map_or_else(String::new, |problem| problem.detail);
            Tried::Failed(format!("{}: {why}", newest.filename))
        }
        _ => Tried::NotNow,
    }
}

/// The backups of a database that were made here. What came from elsewhere may hold anything, and is loaded only where
/// somebody asks for it.
fn own_backups<'a>(
    backups: &'a [BackupInfo],
    database: Option<&'a str>,
) -> impl Iterator<Item = &'a BackupInfo> {
    backups.iter().filter(move |backup| {
        !backup.uploaded
            && backup.kind != BackupKind::Legacy
            && database.is_some()
            && backup.database.as_deref() == database
    })
}
