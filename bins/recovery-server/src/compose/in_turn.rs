//! Compose for whoever waits for its turn: it is told to change one thing after the other.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use recovery_core::{
    ServiceName,
    compose::{ComposeModel, ComposeVersion},
    port::{Compose, ComposeError, OnProgress},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Compose, behind the permit that every change of the project needs.
pub(super) struct InTurn {
    pub(super) compose: Arc<dyn Compose>,
    pub(super) changing: Arc<Semaphore>,
}

impl InTurn {
    /// The permit; none only where the semaphore is closed, which it never is.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.changing).acquire_owned().await.ok()
    }
}

#[async_trait]
impl Compose for InTurn {
    async fn version(&self) -> Result<ComposeVersion, ComposeError> {
        self.compose.version().await
    }

    async fn model(&self) -> Result<ComposeModel, ComposeError> {
        self.compose.model().await
    }

    async fn check_env(&self, candidate: &Path) -> Result<(), ComposeError> {
        self.compose.check_env(candidate).await
    }

    async fn start(
        &self,
        services: &[ServiceName],
        progress: OnProgress<'_>,
    ) -> Result<String, ComposeError> {
        let _turn = self.turn().await;
        self.compose.start(services, progress).await
    }

    async fn stop(&self, services: &[ServiceName], grace: Option<Duration>) -> Result<String, ComposeError> {
        let _turn = self.turn().await;
        self.compose.stop(services, grace).await
    }

    async fn pull(&self, services: &[ServiceName], progress: OnProgress<'_>) -> Result<(), ComposeError> {
        let _turn = self.turn().await;
        self.compose.pull(services, progress).await
    }
}
