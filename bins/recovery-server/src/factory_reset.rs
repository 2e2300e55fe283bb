//! Factory reset: what would go, and the reset as an operation; and what comes after it, since the platform's migrations
//! run when its orchestrator starts.

use std::sync::Arc;

use recovery_core::{
    Actor, Operation, OperationKind, Problem, ServiceName,
    port::{ContainerEngine, OperationContext},
};
use recovery_docker::{Patience, RestartError, Restarter};
use recovery_reset::{Order, Reseed, Selection};

use crate::{
    actions::to_value,
    app::App,
    operations::Failure,
    services,
    view::{Reseeded, ResetDone, ResetPreview},
};

/// The service that runs the platform's migrations when it starts.
const ORCHESTRATOR: &str = "orchestrator";

impl App {
    /// The categories of these names, which are to be kept.
    ///
    /// # Errors
    /// There is no such category, or one is named twice.
    pub(crate) fn keeping(&self, keep: &[String]) -> Result<Selection, Problem> {
        Ok(Selection::keeping(self.reset.categories(), keep)?)
    }

    /// What a reset would do. Changes nothing, and takes no lock.
    ///
    /// # Errors
    /// PostgreSQL or the backup directory cannot be asked.
    pub(crate) async fn preview_reset(&self, order: Order, exact: bool) -> Result<ResetPreview, Failure> {
        let (reset, backups) = (Arc::clone(&self.reset), Arc::clone(&self.backups));
        self.begun(async move {
            let plan = reset.preview(&order, exact, backups.list().await?).await?;
            Ok(ResetPreview::new(&plan, &order, reset.categories()))
        })
        .await
    }

    /// Wipes what is not kept.
    ///
    /// # Errors
    /// Where it cannot be begun: another operation is in the way, or PostgreSQL is away.
    pub(crate) async fn start_reset(&self, actor: Actor, order: Order) -> Result<Operation, Failure> {
        let target = target(&order.selection.list(self.reset.categories()));
        let (reset, patience) = (Arc::clone(&self.reset), self.services.patience);
        let engine = Arc::clone(self.services.engine());
        self.start_exclusive(OperationKind::FactoryReset, actor, Some(target), move |work| async move {
            let context = work.context.as_ref();
            let report = reset.run(&order, &work.backups.under(&work.lock), context).await?;
            let reseeded = reseed(&report.reseed, engine.as_ref(), patience, context).await;
            to_value(ResetDone::new(report, reseeded))
        })
        .await
    }
}

/// What a reset is about, for lists and the audit log.
pub(crate) fn target(keep: &str) -> String {
    if keep.is_empty() { "keeping nothing".to_owned() } else { format!("keeping {keep}") }
}

/// Restarts the orchestrator where migrations are to run again. That this fails is told, and changes nothing else.
async fn reseed(
    reseed: &Reseed,
    engine: &dyn ContainerEngine,
    patience: Patience,
    context: &dyn OperationContext,
) -> Reseeded {
    let orchestrator = match ORCHESTRATOR.parse::<ServiceName>() {
        Ok(service) if reseed.planned => {
            let restarter = Restarter { engine, patience, context };
            Some(match restarter.restart(&service, &services::spared()).await {
                Ok(_) => "restarted".to_owned(),
                Err(error) => not_restarted(error),
            })
        }
        _ => None,
    };
    Reseeded::new(reseed.planned, reseed.why.clone(), orchestrator)
}

fn not_restarted(error: RestartError) -> String {
    let problem = Failure::of(error).log();
    format!("Not restarted: {} Restart it by hand: the migrations run when it starts.", problem.detail)
}
