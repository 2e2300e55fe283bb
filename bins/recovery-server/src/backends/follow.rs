//! Telling those who watch the events of every change of the servers of language models.

use std::{sync::Arc, time::Duration};

use crate::{app::App, operations::Happening, view::BackendStatus};

/// Events come this often at most.
const PACE: Duration = Duration::from_millis(200);

impl App {
    /// How the servers of language models stand.
    pub(crate) fn backend_status(&self) -> BackendStatus {
        let status = self.backends.lifecycle.status();
        let spec = status.backend.as_ref().and_then(|name| self.backends.specs.get(name));
        let container = spec.map(|spec| (spec.service(), self.services.snapshot().service(spec.service())));
        BackendStatus::new(&status, container, self.backend_change().map(|running| running.id))
    }

    /// Tells those who watch the events of every change.
    pub(crate) async fn follow_backends(&self) {
        let mut changes = self.backends.lifecycle.watch();
        let mut told = self.backend_status();
        while changes.changed().await.is_ok() {
            changes.borrow_and_update();
            let status = self.backend_status();
            if status != told {
                told = status.clone();
                self.operations.events().publish(Happening::Backend(Arc::new(status)));
            }
            tokio::time::sleep(PACE).await;
        }
    }
}
