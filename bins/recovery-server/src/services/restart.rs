//! Restarting services: what may be restarted, when, and how it is told.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use recovery_backup::{BackupService, DirectoryLock, ExclusiveLock};
use recovery_core::{
    Actor, ErrorCode, Operation, OperationId, OperationKind, Problem, ServiceName,
    container::{Container, ContainerState, Snapshot},
    port::Cancelled,
};
use recovery_docker::{RestartError, Restarter, restart_order};
use recovery_inference::{
    lifecycle::Wish,
    server::{BackendName, Backends},
};

use super::catalogue::{DASHBOARD, OWN, is_critical, is_own, names};
use crate::{
    actions::to_value,
    app::App,
    backends::{Answer, Change},
    operations::{Failure, NewOperation, chain},
    view::{RestartResult, ServiceRestarted},
};

/// How long the answer that this service is about to restart has to reach its caller.
const LAST_ANSWER: Duration = Duration::from_millis(500);

/// Keeps operations away from the database while something that they need is restarted.
#[expect(dead_code, reason = "held, not read")]
enum Exclusion {
    /// Those of every instance.
    Everywhere(ExclusiveLock),
    /// PostgreSQL does not answer, so those that use the same directory.
    Here(DirectoryLock),
}

impl App {
    /// Restarts a service. `confirmed` is the name that was given as a confirmation.
    ///
    /// # Errors
    /// Where it cannot be begun: it is critical and not confirmed, an operation is in the way, or it is being restarted.
    pub(crate) async fn start_service_restart(
        &self,
        actor: Actor,
        service: ServiceName,
        confirmed: Option<&str>,
    ) -> Result<Operation, Failure> {
        check_confirmed(&service, confirmed)?;
        self.refuse_second_restart(Some(&service))?;
        if let Some(spec) = self.backends.specs.of_service(&service)
            && self.is_owned(spec)?
        {
            return self.restart_backend(actor, spec.name().clone(), service).await;
        }
        let new = NewOperation {
            id: OperationId::new(),
            kind: OperationKind::RestartService,
            actor,
            target: Some(service.to_string()),
        };
        let (operations, backups) = (self.operations.clone(), Arc::clone(&self.backups));
        let (engine, patience) = (Arc::clone(self.services.engine()), self.services.patience);
        self.begun(async move {
            let exclusion = match is_critical(&service) {
                true => Some(exclude(&backups, &new).await?),
                false => None,
            };
            operations
                .start(new, move |context| async move {
                    let _exclusion = exclusion;
                    let restarter =
                        Restarter { engine: engine.as_ref(), patience, context: context.as_ref() };
                    let others = restarter.restart(&service, &spared()).await?;
                    to_value(ServiceRestarted::new(&service, &others))
                })
                .await
        })
        .await
    }

    /// Restarts the server of language models that serves: it finishes its requests first.
    async fn restart_backend(
        &self,
        actor: Actor,
        backend: BackendName,
        service: ServiceName,
    ) -> Result<Operation, Failure> {
        let change = Change { actor, wish: Wish::Start { backend }, drain: None };
        let result = move |_, _| async move { to_value(ServiceRestarted::new(&service, &[])) };
        match self.change_backend(change, result).await? {
            Answer::Accepted(operation) => Ok(*operation),
            Answer::AlreadyStarting(_) => {
                let problem = Problem::new(ErrorCode::Busy, "It is being started already.");
                Err(self.with_backend_change(problem.hint("Wait until it is done.")).into())
            }
        }
    }

    /// Restarts this service itself, in a moment: the caller is answered first.
    ///
    /// # Errors
    /// Where it cannot be begun: it is not confirmed, an operation is in the way, or it does not run in a container of
    /// the project.
    pub(crate) async fn restart_itself(
        &self,
        actor: Actor,
        confirmed: Option<&str>,
    ) -> Result<ServiceName, Failure> {
        let own = own_name()?;
        check_confirmed(&own, confirmed)?;
        self.refuse_second_restart(None)?;
        let new = NewOperation {
            id: OperationId::new(),
            kind: OperationKind::RestartService,
            actor,
            target: Some(own.to_string()),
        };
        let (engine, backups, service) =
            (Arc::clone(self.services.engine()), Arc::clone(&self.backups), own.clone());
        self.begun(async move {
            let snapshot = engine.look().await?;
            let container = snapshot.of_service(&service).find(|container| is_at_work(container));
            let Some(container) = container.cloned() else {
                return Err(RestartError::NoContainer { service }.into());
            };
            let exclusion = exclude(&backups, &new).await?;
            tokio::spawn(async move {
                // Given back by the end of this process, or here where it does not come.
                let _exclusion = exclusion;
                tokio::time::sleep(LAST_ANSWER).await;
                tracing::warn!(container = %container.name, "restarting this service itself");
                if let Err(error) = engine.restart(&container.id, container.stop_timeout).await {
                    tracing::error!("this service was not restarted: {}", chain(&error));
                }
            });
            Ok(())
        })
        .await?;
        Ok(own)
    }

    /// Restarts every service that runs, except the critical ones and the inference servers, each after those that it
    /// depends on and the dashboard last. One that fails keeps none of the others.
    ///
    /// # Errors
    /// Where it cannot be begun, for example because something is being restarted.
    pub(crate) async fn start_restart_of_all(&self, actor: Actor) -> Result<Operation, Failure> {
        self.refuse_second_restart(None)?;
        let new = NewOperation {
            id: OperationId::new(),
            kind: OperationKind::RestartServices,
            actor,
            target: None,
        };
        let (engine, patience) = (Arc::clone(self.services.engine()), self.services.patience);
        let (operations, backends) = (self.operations.clone(), self.backends.specs.clone());
        self.begun(async move {
            // Before it begins, so that an engine that is away is an error and not an empty list.
            let snapshot = engine.look().await?;
            operations
                .start(new, move |context| async move {
                    let restarter =
                        Restarter { engine: engine.as_ref(), patience, context: context.as_ref() };
                    let mut results = Vec::new();
                    for service in in_order(&snapshot, &backends) {
                        if context.is_cancelled() {
                            return Err(Cancelled.into());
                        }
                        results.push(match restarter.restart_alone(&service).await {
                            Err(RestartError::Cancelled(cancelled)) => return Err(cancelled.into()),
                            Err(error) => RestartResult::failed(&service, &Failure::of(error).log()),
                            Ok(()) => RestartResult::restarted(&service),
                        });
                    }
                    to_value(results)
                })
                .await
        })
        .await
    }

    /// Fails where this service is being restarted, or all are; without a service, where any is.
    fn refuse_second_restart(&self, service: Option<&ServiceName>) -> Result<(), Failure> {
        let in_the_way = self.operations.running().into_iter().find(|operation| match operation.kind {
            OperationKind::RestartServices => true,
            OperationKind::RestartService => {
                service.is_none_or(|service| operation.target.as_deref() == Some(service.as_str()))
            }
            _ => false,
        });
        match in_the_way {
            None => Ok(()),
            Some(operation) => {
                let what = operation.target.as_deref().unwrap_or("Everything");
                Err(Problem::new(ErrorCode::Busy, format!("{what} is being restarted already."))
                    .hint("Wait until it is done; its operation shows how far it is.")
                    .operation(operation.id)
                    .into())
            }
        }
    }
}

/// Keeps every operation away that uses the database, or fails where one is under way.
async fn exclude(backups: &BackupService, new: &NewOperation) -> Result<Exclusion, Failure> {
    match backups.lock(new.kind, new.id, &new.actor).await {
        Ok(lock) => Ok(Exclusion::Everywhere(lock)),
        Err(error) => {
            let failure = Failure::of(error);
            if failure.problem().code == ErrorCode::Busy {
                return Err(failure);
            }
            // A PostgreSQL that does not answer may be the very thing that is to be restarted.
            Ok(Exclusion::Here(backups.lock_directory(new.kind, new.id, &new.actor).await?))
        }
    }
}

fn check_confirmed(service: &ServiceName, confirmed: Option<&str>) -> Result<(), Problem> {
    if !is_critical(service) || confirmed == Some(service.as_str()) {
        return Ok(());
    }
    let words = if is_own(service) {
        "This would restart the recovery service itself.".to_owned()
    } else {
        format!("The platform does not work while {service} restarts.")
    };
    Err(Problem::new(ErrorCode::CriticalService, words)
        .hint(format!("Send {{\"confirm\": \"{service}\"}} to restart it all the same.")))
}

/// What is never restarted because something else was.
pub(crate) fn spared() -> BTreeSet<ServiceName> {
    let critical = names(["postgres", "redis", OWN]);
    critical.into_iter().collect()
}

/// What is restarted when everything is, in its order.
fn in_order(snapshot: &Snapshot, backends: &Backends) -> Vec<ServiceName> {
    // Servers of language models take minutes to load a model, and have an owner.
    let has_owner = |service: &ServiceName| backends.of_service(service).is_some();
    let services = snapshot.services().into_iter().filter(|service| {
        !is_critical(service) && !has_owner(service) && snapshot.of_service(service).any(is_at_work)
    });
    let last = DASHBOARD.parse().ok();
    restart_order(snapshot, &services.cloned().collect(), last.as_ref())
}

fn is_at_work(container: &Container) -> bool {
    matches!(container.state, ContainerState::Running | ContainerState::Restarting)
}

fn own_name() -> Result<ServiceName, Problem> {
    OWN.parse().map_err(|_| Problem::new(ErrorCode::Internal, "This service has no name."))
}
