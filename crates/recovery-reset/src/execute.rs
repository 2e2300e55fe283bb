//! Doing it: everything that can fail for a reason that can be foreseen comes before the first row goes for good, and
//! everything after that goes on to the end, whatever it meets.

mod rest;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use recovery_core::{
    BackupInfo, OperationId, Progress, Unit, crash_point,
    port::{BackupMaker, Besides, Cancelled, DatabaseError, OperationContext, ResetTransaction},
    schema::WipedRows,
};
use serde_json::{Value, json};

use crate::{
    Order, Reset, ResetError, ResetReport,
    plan::{self, Plan, Reseed},
    service::Look,
    tables::TablePlan,
};

/// How often is asked how a transaction ended whose connection was lost, with a second between.
const ASKED: u32 = 20;

impl Reset {
    /// Wipes what is not kept. `backups` are those under the lock that the caller has taken.
    ///
    /// # Errors
    /// See [`ResetError`]: with one exception everything is as it was then. What fails after the rows are gone is no
    /// error but told in the report.
    pub async fn run(
        &self,
        order: &Order,
        backups: &dyn BackupMaker,
        context: &dyn OperationContext,
    ) -> Result<ResetReport, ResetError> {
        context.report(Progress::phase("planning"));
        let all = backups.backups().await.map_err(ResetError::Backups)?;
        let plan = unless_cancelled(context, self.plan(order, Look::Check, all)).await?;
        plan.check(order, self.categories())?;
        if order.selection.wiped(self.categories()).next().is_none() && !plan.reseed.planned {
            return Ok(self.nothing(order, plan.reseed));
        }
        let keep: Vec<&str> =
            order.selection.kept(self.categories()).map(|category| category.key.as_str()).collect();
        context.record("resetting", json!({ "keep": keep })).await?;
        let mut safety = None;
        let wiped = self.wipe_rows(order, &plan, backups, &mut safety, context).await;
        let (rows, emptied, reseed) = match wiped {
            Ok(wiped) => wiped,
            Err(error) => {
                if let (Some(made), false) = (&safety, matches!(error, ResetError::EndUnknown { .. })) {
                    discard(backups, made).await;
                }
                return Err(error);
            }
        };
        crash_point("reset:committed");
        let mut report =
            ResetReport { rows, tables: emptied, safety_backup: safety, ..self.nothing(order, reseed) };
        report.wiped =
            order.selection.wiped(self.categories()).map(|category| category.key.clone()).collect();
        let rows: u64 = report.rows.deleted.values().sum();
        note(context, "committed", json!({ "rows": rows, "tables": report.rows.deleted.len() })).await;
        self.finish(order, &plan, backups, &mut report, context).await;
        Ok(report)
    }

    /// The report of a reset that did nothing.
    fn nothing(&self, order: &Order, reseed: Reseed) -> ResetReport {
        ResetReport {
            wiped: Vec::new(),
            kept: order.selection.kept(self.categories()).map(|category| category.key.clone()).collect(),
            errors: Vec::new(),
            tables: 0,
            rows: WipedRows::default(),
            keys: Default::default(),
            directories: Vec::new(),
            backups: Vec::new(),
            pinned: Vec::new(),
            safety_backup: None,
            reseed,
        }
    }

    /// The transaction, from its begin to its end. `safety` is set as soon as there is a safety backup.
    async fn wipe_rows(
        &self,
        order: &Order,
        plan: &Plan,
        backups: &dyn BackupMaker,
        safety: &mut Option<BackupInfo>,
        context: &dyn OperationContext,
    ) -> Result<(WipedRows, u64, Reseed), ResetError> {
        let transaction = self.database.begin_reset(&session_name(context.id())).await?;
        // What is written from here on would be in no backup, and gone.
        context.report(Progress::phase("waiting for locks"));
        unless_cancelled(context, async { Ok(transaction.hold_writers().await?) }).await?;
        crash_point("reset:locked");
        context.report(Progress::phase("counting"));
        let (tables, reseed) =
            unless_cancelled(context, self.plan_again(order, transaction.as_ref())).await?;
        plan::check_tables(&tables, self.categories())?;
        if order.safety_backup {
            let besides = besides(plan);
            let made = backups.safety_backup(&besides, context).await.map_err(ResetError::SafetyBackup)?;
            let facts = json!({ "safety_backup": made.filename });
            *safety = Some(made);
            context.record("saved", facts).await?;
        }
        let wipe = tables.wipe();
        let emptied = wipe.wiped.len() as u64;
        let total = emptied + wipe.following.len() as u64;
        let rows = wipe_watched(transaction.as_ref(), &wipe, total, context).await?;
        crash_point("reset:wiped");
        backups.still_held().await.map_err(ResetError::Backups)?;
        context.seal()?;
        let safety = safety.as_ref().map(|backup| &backup.filename);
        let facts = json!({
            "transaction": transaction.id(),
            "rows": rows.deleted.values().sum::<u64>(),
            "tables": rows.deleted.len(),
            "safety_backup": safety,
            "reseed": reseed.planned,
        });
        context.record("committing", facts).await?;
        self.commit(transaction).await?;
        Ok((rows, emptied, reseed))
    }

    /// The plan for the tables as they are in the transaction: others may have written since the first one.
    async fn plan_again(
        &self,
        order: &Order,
        transaction: &dyn ResetTransaction,
    ) -> Result<(TablePlan, Reseed), ResetError> {
        let schema = transaction.schema().await?;
        let (classes, reseed) = self.classes(order, &schema);
        let reach = transaction.reach(&classes.doomed(&schema)).await?;
        Ok((TablePlan::new(&classes, &schema, &reach), reseed))
    }

    /// Commits, and finds out how that ended where the connection is lost meanwhile.
    async fn commit(&self, transaction: Box<dyn ResetTransaction>) -> Result<(), ResetError> {
        let id = transaction.id().to_owned();
        let Err(error) = transaction.commit().await else { return Ok(()) };
        if !matches!(error, DatabaseError::Unavailable { .. }) {
            return Err(error.into());
        }
        tracing::warn!(%error, "it is not known how the transaction of the reset ended");
        for _ in 0..ASKED {
            match self.database.was_committed(&id).await {
                Ok(Some(true)) => return Ok(()),
                Ok(Some(false)) => return Err(error.into()),
                Ok(None) => break,
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
        Err(ResetError::EndUnknown { source: error })
    }
}

/// By which the sessions of a reset are known, so that one that outlives its process can be ended.
#[must_use]
pub fn session_name(operation: OperationId) -> String {
    format!("nova-recovery-reset-{}", operation.short())
}

/// What a safety backup holds besides the database: everything else that goes, as far as it is there.
fn besides(plan: &Plan) -> Besides {
    let directories = plan.directories.iter().filter(|directory| directory.goes());
    let keys = if plan.keys.away().is_some() { Vec::new() } else { plan.keys.going.clone() };
    Besides { directories: directories.map(|directory| directory.path.clone()).collect(), keys }
}

/// Deletes the rows and says how far that is. It can be cancelled: then the server undoes it.
async fn wipe_watched(
    transaction: &dyn ResetTransaction,
    wipe: &recovery_core::schema::TableWipe,
    total: u64,
    context: &dyn OperationContext,
) -> Result<WipedRows, ResetError> {
    let done = AtomicU64::new(0);
    let report = || {
        let done = done.load(Relaxed).min(total);
        let unit = Unit::Tables;
        context.report(Progress { done, total: Some(total), unit, ..Progress::phase("deleting rows") });
    };
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    let mut work =
        std::pin::pin!(unless_cancelled(context, async { Ok(transaction.wipe(wipe, &done).await?) }));
    loop {
        tokio::select! {
            wiped = &mut work => return wiped,
            _ = pace.tick() => report(),
        }
    }
}

/// Removes a safety backup that nothing was changed after.
async fn discard(backups: &dyn BackupMaker, made: &BackupInfo) {
    tracing::info!(backup = %made.filename, "nothing was changed, so the safety backup is not needed");
    if let Err(error) = backups.remove(&made.filename, false).await {
        tracing::warn!(backup = %made.filename, %error, "the safety backup stays");
    }
}

/// Writes down a step that nothing must wait for or fail over: the rows are gone.
async fn note(context: &dyn OperationContext, step: &str, facts: Value) {
    if let Err(error) = context.record(step, facts).await {
        tracing::warn!(step, %error, "the journal does not say how far the reset is");
    }
}

/// Does something, unless the operation is cancelled before it is done.
async fn unless_cancelled<T>(
    context: &dyn OperationContext,
    work: impl Future<Output = Result<T, ResetError>>,
) -> Result<T, ResetError> {
    tokio::select! {
        done = work => done,
        () = context.cancelled() => Err(Cancelled.into()),
    }
}
