//! The variables of the `.env` that name models, changed as everybody else's changes are.

use std::sync::Arc;

use async_trait::async_trait;
use recovery_core::{
    Actor, ErrorCode, Problem,
    port::{AuditEntry, AuditLog, AuditOutcome, Clock},
};
use recovery_env::{EnvKey, Environment};
use recovery_inference::lifecycle::ModelVariables;

use crate::operations::{Failure, chain};

/// The `.env`, as far as models go.
pub(super) struct EnvModels {
    pub(super) environment: Environment,
    pub(super) audit: Arc<dyn AuditLog>,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl ModelVariables for EnvModels {
    async fn get(&self, variable: &str) -> Result<String, Problem> {
        let key = key(variable)?;
        let (document, _) = self.environment.document().await.map_err(|error| Failure::of(error).log())?;
        Ok(document.get(&key).unwrap_or_default())
    }

    async fn set(&self, variable: &str, model: &str) -> Result<(), Problem> {
        let key = key(variable)?;
        let changed = self.environment.change(&key, |_| model.to_owned()).await;
        let entry = AuditEntry {
            at: self.clock.now(),
            actor: Actor::service(),
            action: "change_environment".to_owned(),
            target: Some(variable.to_owned()),
            outcome: if changed.is_ok() { AuditOutcome::Succeeded } else { AuditOutcome::Failed },
            operation_id: None,
        };
        if let Err(error) = self.audit.append(entry).await {
            tracing::error!("the audit log cannot be written: {}", chain(&error));
        }
        changed.map_err(|error| Failure::of(error).log())
    }
}

fn key(variable: &str) -> Result<EnvKey, Problem> {
    variable.parse().map_err(|_| {
        let words = format!("{variable} is not the name of a variable.");
        Problem::new(ErrorCode::EnvironmentRefused, words).hint("Mend model_variable in INFERENCE_BACKENDS.")
    })
}
