//! What comes after the rows are gone: keys, directories, backups. None of it can be taken back or be left out, so each
//! part is done as far as it can be, whatever became of the one before.

use recovery_core::{
    Progress, Unit, crash_point,
    port::{BackupMaker, Emptied, OperationContext},
};
use serde_json::json;

use super::note;
use crate::{DirectoryOutcome, Order, Reset, ResetReport, empty_directories, plan::Plan};

const AGAIN: &str = "Send the same reset again to go on.";

impl Reset {
    /// Removes what goes besides rows.
    pub(super) async fn finish(
        &self,
        order: &Order,
        plan: &Plan,
        backups: &dyn BackupMaker,
        report: &mut ResetReport,
        context: &dyn OperationContext,
    ) {
        self.remove_keys(plan, report, context).await;
        note(context, "keys removed", json!({ "keys": report.keys.values().sum::<u64>() })).await;
        self.empty_directories(plan, report, context).await;
        let files: u64 = report.directories.iter().map(|(_, gone)| gone.files).sum();
        note(context, "directories emptied", json!({ "files": files })).await;
        self.remove_backups(order, plan, backups, report, context).await;
        note(context, "backups removed", json!({ "backups": report.backups.len() })).await;
    }

    async fn remove_keys(&self, plan: &Plan, report: &mut ResetReport, context: &dyn OperationContext) {
        if let Some(why) = plan.keys.away() {
            report.errors.push(format!("{} Its keys are as they were. {AGAIN}", why.detail));
            return;
        }
        let progress = |done: u64| {
            let unit = Unit::Keys;
            context.report(Progress { done, unit, ..Progress::phase("removing keys") });
        };
        let deleted = self.keys().delete(&plan.keys.going, &progress).await;
        report.keys = deleted.databases;
        report.errors.extend(deleted.failed.into_iter().map(|(database, error)| {
            format!(
                "Not every key of Redis' database {database} that should be gone is gone: {error}. {AGAIN}"
            )
        }));
    }

    async fn empty_directories(&self, plan: &Plan, report: &mut ResetReport, context: &dyn OperationContext) {
        for directory in &plan.directories {
            if let Some(why) = directory.unusable() {
                let name = directory.path.display();
                report.errors.push(format!("The directory {name} is as it was: {why}. {AGAIN}"));
            }
        }
        let progress = |done: u64| {
            let unit = Unit::Files;
            context.report(Progress { done, unit, ..Progress::phase("emptying directories") });
        };
        let going = plan.directories.iter().filter(|directory| directory.goes());
        let paths = going.map(|directory| directory.path.as_path());
        for DirectoryOutcome { path, result } in
            empty_directories(self.directories.as_ref(), paths, &progress).await
        {
            let name = path.display();
            match result {
                Ok(Emptied { removed, left, why }) => {
                    if left > 0 {
                        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                        report.errors.push(format!(
                            "{left} entries of the directory {name} could not be removed{why}. {AGAIN}"
                        ));
                    }
                    report.directories.push((path, removed));
                }
                Err(error) => {
                    report
                        .errors
                        .push(format!("The directory {name} could not be emptied: {error}. {AGAIN}"));
                }
            }
        }
    }

    async fn remove_backups(
        &self,
        order: &Order,
        plan: &Plan,
        backups: &dyn BackupMaker,
        report: &mut ResetReport,
        context: &dyn OperationContext,
    ) {
        let own = report.safety_backup.as_ref().map(|backup| backup.filename.clone());
        report.pinned = plan.pinned.iter().map(|backup| backup.filename.clone()).collect();
        if !plan.backups.is_empty() {
            context.report(Progress::phase("removing backups"));
        }
        for backup in &plan.backups {
            // It was made after the plan; this is for the case that it was not.
            if own.as_ref() == Some(&backup.filename) {
                continue;
            }
            match backups.remove(&backup.filename, order.include_pinned).await {
                Ok(()) => report.backups.push((backup.filename.clone(), backup.size_bytes)),
                Err(error) => {
                    report
                        .errors
                        .push(format!("The backup {} is still there: {error} {AGAIN}", backup.filename));
                }
            }
            crash_point("reset:backup-removed");
        }
    }
}
