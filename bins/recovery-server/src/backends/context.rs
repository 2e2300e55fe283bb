//! What the owner of the servers sees of an operation that begins only once it has agreed to the change.

use std::sync::Arc;

use async_trait::async_trait;
use recovery_core::{
    OperationId, Progress,
    port::{Cancelled, OperationContext, StateError},
};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The context of an operation that is about to begin.
///
/// The end of the service cancels every operation; a change is not taken back for that, since the next process goes on
/// with it.
pub(super) struct Awaited {
    id: OperationId,
    begun: watch::Sender<Begun>,
    stopping: CancellationToken,
}

/// Whether the operation has begun.
#[derive(Clone)]
enum Begun {
    NotYet,
    Yes(Arc<dyn OperationContext>),
    /// It could not, and never will.
    Never,
}

impl Awaited {
    pub(super) fn new(id: OperationId, stopping: CancellationToken) -> Arc<Self> {
        Arc::new(Self { id, begun: watch::Sender::new(Begun::NotYet), stopping })
    }

    /// The operation has begun, with this context.
    pub(super) fn begins(&self, context: Arc<dyn OperationContext>) {
        self.begun.send_replace(Begun::Yes(context));
    }

    /// The operation could not be begun: what is asked to write a step down fails.
    pub(super) fn never_begins(&self) {
        self.begun.send_replace(Begun::Never);
    }

    fn now(&self) -> Option<Arc<dyn OperationContext>> {
        match &*self.begun.borrow() {
            Begun::Yes(context) => Some(Arc::clone(context)),
            Begun::NotYet | Begun::Never => None,
        }
    }

    async fn once_begun(&self) -> Option<Arc<dyn OperationContext>> {
        let mut begun = self.begun.subscribe();
        let known = begun.wait_for(|begun| !matches!(begun, Begun::NotYet)).await.ok()?.clone();
        match known {
            Begun::Yes(context) => Some(context),
            Begun::NotYet | Begun::Never => None,
        }
    }
}

#[async_trait]
impl OperationContext for Awaited {
    fn id(&self) -> OperationId {
        self.id
    }

    fn report(&self, progress: Progress) {
        if let Some(context) = self.now() {
            context.report(progress);
        }
    }

    fn is_cancelled(&self) -> bool {
        !self.stopping.is_cancelled() && self.now().is_some_and(|context| context.is_cancelled())
    }

    async fn cancelled(&self) {
        if let Some(context) = self.once_begun().await {
            context.cancelled().await;
            if !self.stopping.is_cancelled() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    fn seal(&self) -> Result<(), Cancelled> {
        match self.now() {
            Some(context) if !self.stopping.is_cancelled() => context.seal(),
            _ => Ok(()),
        }
    }

    async fn record(&self, step: &str, facts: Value) -> Result<(), StateError> {
        match self.once_begun().await {
            Some(context) => context.record(step, facts).await,
            None => Err(StateError::Format {
                what: "the operation".to_owned(),
                why: "it could not be begun".to_owned(),
            }),
        }
    }
}
