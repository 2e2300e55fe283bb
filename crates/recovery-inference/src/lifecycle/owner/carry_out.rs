//! Carrying a wish out, in one of the two ways of changing.

use std::sync::Arc;

use super::{
    MemoryView,
    diary::Told,
    record::Pending,
    wish::{Done, ModelName, Wish},
};
use crate::{
    lifecycle::{
        BreakBeforeMake, Changed, Failed, Left, LifecycleError, MakeBeforeBreak, ModelChange, Parts,
        Protocol, Route, RouteState,
        break_before_make::{drain, halt, serves_on},
        choose,
    },
    server::{BackendName, BackendSpec},
};

/// Makes the change; every step of it may be made again after a crash.
pub(super) async fn carry_out(
    parts: Arc<Parts>,
    memory: Arc<dyn MemoryView>,
    pending: Pending,
    told: Told,
) -> Result<Done, Failed> {
    // Nothing of it has been done.
    let unwritten = |error| Failed { error: LifecycleError::State(error), serving: pending.old.clone() };
    told.begins(pending.clone()).await.map_err(unwritten)?;
    let old = pending.old.as_ref().and_then(|name| parts.backends.get(name));
    match &pending.wish {
        Wish::Stop => stop(&parts, old, &pending, &told).await,
        Wish::Start { backend } | Wish::SwitchModel { backend, .. } => {
            let Some(new) = parts.backends.get(backend) else {
                // The configuration has lost it since.
                return Err(Failed {
                    error: LifecycleError::Gone { backend: backend.to_string() },
                    serving: None,
                });
            };
            let model = match &pending.wish {
                Wish::SwitchModel { model, .. } => Some(model),
                _ => None,
            };
            let changed = change(&parts, memory.as_ref(), (old, new), model, &pending, &told).await?;
            Ok(done(Some(backend.clone()), changed))
        }
    }
}

fn done(serving: Option<BackendName>, changed: Changed) -> Done {
    let warning = changed.warning.map(LifecycleError::problem);
    Done { serving, model: changed.model, left: changed.left, warning }
}

async fn change(
    parts: &Parts,
    memory: &dyn MemoryView,
    (old, new): (Option<&BackendSpec>, &BackendSpec),
    model: Option<&ModelName>,
    pending: &Pending,
    told: &Told,
) -> Result<Changed, Failed> {
    let deadline = pending.deadline();
    let model = match (model, new.model_variable()) {
        (Some(model), Some(variable)) => Some(ModelChange {
            variable: variable.to_owned(),
            model: model.to_string(),
            previous: pending.previous_model.clone(),
        }),
        _ => None,
    };
    if let Some(old) = old.filter(|old| old.name() != new.name()) {
        let choice = choose(memory.facts(old, new).await);
        // A change that was cut off goes on the way that it took.
        let protocol = pending.protocol.unwrap_or(choice.protocol);
        told.chose(protocol).await;
        let reason = choice.reason.as_str();
        return match protocol {
            Protocol::MakeBeforeBreak => {
                MakeBeforeBreak { old, new, deadline, reason }.run(parts, told).await
            }
            Protocol::BreakBeforeMake => {
                BreakBeforeMake { old: Some(old), new, model, deadline, reason }.run(parts, told).await
            }
        };
    }
    let reason = match &model {
        Some(_) => "it is given another model",
        None => "it is started anew with the present settings",
    };
    BreakBeforeMake { old, new, model, deadline, reason }.run(parts, told).await
}

async fn stop(
    parts: &Parts,
    old: Option<&BackendSpec>,
    pending: &Pending,
    told: &Told,
) -> Result<Done, Failed> {
    let mut left = Left::Nothing;
    if let Some(old) = old {
        left = match drain(parts, old, pending.deadline(), "it is to be stopped", told).await {
            Ok(left) => left,
            Err(error) => return Err(serves_on(parts, old, error).await),
        };
        if let Err(error) = halt(parts, old, told).await {
            return Err(Failed { error, serving: Some(old.name().clone()) });
        }
        let _ = parts.routing.lead(Route::to(old, RouteState::Stopped)).await;
    }
    Ok(Done { serving: None, model: None, left, warning: None })
}
