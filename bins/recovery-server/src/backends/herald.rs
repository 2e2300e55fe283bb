//! What the owner begins by itself, as operations of the service.

use std::sync::Arc;

use async_trait::async_trait;
use recovery_core::{
    Actor, OperationId, Problem,
    port::{OperationContext, Unwatched},
};
use recovery_env::Environment;
use recovery_inference::lifecycle::{Done, Herald, Wish};
use secrecy::SecretString;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    change::{ended, kind, target, to_result},
    context::Awaited,
};
use crate::{
    operations::{NewOperation, Operations},
    redact::Redactor,
};

/// Makes an operation of what the owner begins by itself.
pub(crate) struct Announcer {
    pub(crate) operations: Operations,
    pub(crate) environment: Environment,
    pub(crate) own_secrets: Vec<SecretString>,
    pub(crate) stopping: CancellationToken,
}

#[async_trait]
impl Herald for Announcer {
    async fn announce(
        &self,
        wish: &Wish,
        why: &str,
        end: oneshot::Receiver<Result<Done, Problem>>,
    ) -> Arc<dyn OperationContext> {
        let target = target(wish);
        tracing::warn!(
            target = target.as_deref(),
            "an inference server is changed without being asked: {why}"
        );
        let new = NewOperation { id: OperationId::new(), kind: kind(wish), actor: Actor::service(), target };
        let awaited = Awaited::new(new.id, self.stopping.clone());
        let (begun, stopping) = (Arc::clone(&awaited), self.stopping.clone());
        let started = self.operations.start(new, move |context| async move {
            begun.begins(context);
            to_result(ended(end, &stopping).await?, None)
        });
        match started.await {
            Ok(_) => awaited,
            // It is done all the same: a server that is sick is not left so because a disk is full.
            Err(failure) => {
                failure.log();
                Arc::new(Unwatched::new())
            }
        }
    }

    async fn presentable(&self, lines: Vec<String>) -> Vec<String> {
        if lines.is_empty() {
            return lines;
        }
        // Where it is not known what is secret, nothing is told.
        let Ok((document, _)) = self.environment.document().await else { return Vec::new() };
        let redactor = Redactor::of(Some(&document), &self.own_secrets);
        lines.iter().map(|line| redactor.redact(line)).collect()
    }
}
