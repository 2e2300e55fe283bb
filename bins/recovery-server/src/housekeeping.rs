//! What the service does by itself, now and then: dropping databases that restores replaced, once their time is over,
//! and writing back keys of Redis that a restore could not.

use std::time::Duration;

use recovery_backup::BackupError;
use recovery_core::{Actor, ErrorCode, OperationId, OperationKind, port::DatabaseError};

use crate::{app::App, operations::chain};

/// How often; less than what counts between two looks ([`kept`](crate::kept)).
const INTERVAL: Duration = Duration::from_secs(600);

/// Goes on until it is dropped.
pub(crate) async fn run(app: &App) {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        write_keys(app).await;
        drop_expired(app).await;
    }
}

/// Writes back the keys of Redis that a restore or rollback could not, because Redis was away.
async fn write_keys(app: &App) {
    if !app.backups.has_unwritten_keys().await.unwrap_or_else(|error| {
        tracing::warn!("it is not known whether keys are to be written back: {}", chain(&error));
        false
    }) {
        return;
    }
    let lock = app.backups.lock(OperationKind::CleanUp, OperationId::new(), &Actor::service()).await;
    let done = match lock {
        Ok(lock) => app.backups.finish_keys(&lock).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(done) => done.iter().for_each(|done| tracing::warn!("{done}")),
        Err(error) => tracing::info!("keys of Redis are still not written back: {}", chain(&error)),
    }
}

/// Drops every replaced database that need not be kept any longer, each in an operation of its own, one after the
/// other. What is in the way of one is in the way of all: the rest waits for the next time.
pub(crate) async fn drop_expired(app: &App) {
    for restore in expired(app).await {
        match app.start_drop_replaced(Actor::service(), restore).await {
            Ok(operation) => {
                app.operations.wait(operation.id).await;
            }
            Err(failure) if failure.problem().code == ErrorCode::Busy => {
                tracing::debug!("a replaced database stays a little longer: {}", failure.problem().detail);
                return;
            }
            Err(failure) => {
                failure.log();
                return;
            }
        }
    }
}

async fn expired(app: &App) -> Vec<OperationId> {
    let now = app.clock.now();
    match app.backups.replaced().await {
        Ok(replaced) => app.kept_time.expired(&replaced, now).await,
        Err(BackupError::Database(DatabaseError::NotConfigured { .. })) => Vec::new(),
        Err(error) => {
            tracing::info!("replaced databases cannot be looked for: {}", chain(&error));
            Vec::new()
        }
    }
}
