//! Restarting services: one container after the other, each only when the one before is well again, then what depends
//! on them.
//!
//! Which services may be restarted is decided by whoever asks.

mod error;
mod order;
mod settle;

use std::{collections::BTreeSet, time::Duration};

use recovery_core::{
    Progress, ServiceName, Unit,
    container::{Container, ContainerId},
    port::{Cancelled, ContainerEngine, EngineError, OperationContext},
};

pub use error::RestartError;
pub use order::restart_order;

/// How patient a restart is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long a container without a health check must run untouched to count as well.
    pub stable: Duration,
    /// How often a container is looked at meanwhile.
    pub poll: Duration,
    /// How long one with a health check may take beyond the time that the check itself needs.
    pub margin: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stable: Duration::from_secs(3),
            poll: Duration::from_millis(250),
            margin: Duration::from_secs(5),
        }
    }
}

/// Restarts services of a project.
#[derive(Clone, Copy)]
pub struct Restarter<'a> {
    /// The engine that has their containers.
    pub engine: &'a dyn ContainerEngine,
    /// How patient it is.
    pub patience: Patience,
    /// Hears how far it is, and tells whether somebody asked to stop: it then ends between two containers.
    pub context: &'a dyn OperationContext,
}

impl Restarter<'_> {
    /// Restarts every container of a service in turn and waits for each to be well, then what depends on them and runs:
    /// containers in their network, and services that ask for it (`depends_on … restart: true`), except `spared`.
    /// Returns the services that were restarted besides.
    ///
    /// # Errors
    /// See [`RestartError`]. The first container that does not come up ends it: the replicas after it go on as they are.
    pub async fn restart(
        &self,
        service: &ServiceName,
        spared: &BTreeSet<ServiceName>,
    ) -> Result<Vec<ServiceName>, RestartError> {
        let snapshot = self.engine.look().await?;
        let dependants = order::dependants(&snapshot, service, spared);
        self.restart_alone(service).await?;
        for dependant in &dependants {
            let restarted = self.restart_alone(dependant).await;
            restarted.map_err(|error| match error {
                RestartError::Cancelled(cancelled) => RestartError::Cancelled(cancelled),
                error => RestartError::Dependant { service: service.clone(), error: Box::new(error) },
            })?;
        }
        Ok(dependants)
    }

    /// Restarts every container of a service in turn and waits for each to be well. What depends on it stays as it is.
    ///
    /// # Errors
    /// See [`RestartError`].
    pub async fn restart_alone(&self, service: &ServiceName) -> Result<(), RestartError> {
        let mut done: BTreeSet<ContainerId> = BTreeSet::new();
        let mut before: Option<usize> = None;
        // Looked at anew for each: Compose may have made one anew since.
        loop {
            let snapshot = self.engine.look().await?;
            let all: Vec<&Container> = snapshot.of_service(service).collect();
            if all.is_empty() {
                return Err(RestartError::NoContainer { service: service.clone() });
            }
            let total = *before.get_or_insert(all.len());
            let Some(next) = all.into_iter().find(|container| !done.contains(&container.id)) else {
                return Ok(());
            };
            // One that is made anew over and over is not chased for ever.
            if done.len() >= total.max(1) * 2 {
                return Ok(());
            }
            if self.context.is_cancelled() {
                return Err(Cancelled.into());
            }
            self.report(service, done.len(), total);
            done.insert(next.id.clone());
            match self.restart_container(next).await {
                Err(RestartError::Engine(EngineError::NoSuchContainer { .. })) => {}
                other => other?,
            }
        }
    }

    async fn restart_container(&self, container: &Container) -> Result<(), RestartError> {
        tracing::info!(container = %container.name, id = %container.id, "restarting");
        self.engine.restart(&container.id, container.stop_timeout).await?;
        settle::until_well(self, container).await
    }

    fn report(&self, service: &ServiceName, done: usize, total: usize) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.context.report(Progress {
            phase: format!("restarting {service}"),
            done: count(done.min(total)),
            total: Some(count(total)),
            unit: Unit::Steps,
            tables: None,
        });
    }
}
