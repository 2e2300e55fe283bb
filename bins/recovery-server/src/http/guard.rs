//! Stands before every handler: lets the caller in or not, keeps what changes something going when its client hangs
//! up, and writes it into the audit log, refused or not.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::{
    Error, HttpMessage as _, HttpRequest, ResponseError as _,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};
use futures_util::FutureExt as _;
use recovery_core::{
    Actor, ErrorCode, OperationId,
    port::{AuditEntry, AuditOutcome},
};
use tracing::Instrument as _;

use super::{endpoints::Endpoint, error::ApiError, present};
use crate::{
    app::App,
    auth::{Access, Caller},
    operations::chain,
};

/// The longest target that is written down, in characters.
const LONGEST_TARGET: usize = 100;

pub(super) async fn guard(
    endpoint: Endpoint,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(app) = request.app_data::<Data<App>>().cloned() else {
        return Ok(request.into_response(ApiError::internal().error_response()));
    };
    // A handle on the request, for the case that a panic takes the original with it.
    let spare = request.request().clone();
    let Some(action) = endpoint.action else {
        let work = admit(&app, endpoint.access, request, next);
        return match AssertUnwindSafe(work).catch_unwind().await {
            Ok(response) => response,
            Err(_) => Ok(panicked(spare)),
        };
    };
    let work = async move {
        let actor_if_refused =
            Actor::new(format!("nobody known from {}", present::client(&app.auth, request.request())));
        let response = admit(&app, endpoint.access, request, next).await?;
        let actor = response.request().extensions().get::<Caller>().map(Caller::actor);
        let known = actor.is_some() || response.status().is_success();
        let entry = AuditEntry {
            at: app.clock.now(),
            actor: actor.unwrap_or(actor_if_refused),
            action: action.to_owned(),
            target: target(&response),
            outcome: outcome(&response),
            operation_id: response.response().extensions().get::<OperationId>().copied(),
        };
        if known || app.strangers.may_write(Instant::now()) {
            write(&app, entry).await;
        }
        Ok(response)
    };
    // In a task of its own: a client that hangs up drops this future, not the task.
    match actix_web::rt::spawn(work.in_current_span()).await {
        Ok(response) => response,
        Err(_) => Ok(panicked(spare)),
    }
}

fn panicked(request: HttpRequest) -> ServiceResponse<BoxBody> {
    tracing::error!("a request handler panicked");
    ServiceResponse::new(request, ApiError::internal().error_response())
}

async fn admit(
    app: &App,
    access: Access,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if access != Access::Open {
        let admitted = app.auth.admit(access, &present::presented(&app.auth, request.request())).await;
        match admitted {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
            }
            Err(refusal) => {
                return Ok(request.into_response(ApiError::from(refusal).error_response()));
            }
        }
    }
    next.call(request).await
}

fn outcome(response: &ServiceResponse<BoxBody>) -> AuditOutcome {
    let extensions = response.response().extensions();
    let began_something = extensions.contains::<OperationId>();
    let cancelled = extensions.get::<ErrorCode>() == Some(&ErrorCode::Cancelled);
    match response.status().as_u16() {
        202 => AuditOutcome::Accepted,
        ..400 => AuditOutcome::Succeeded,
        // The operation that a 409 names is the one in the way, unless it is its own that somebody cancelled.
        409 if !cancelled => AuditOutcome::Refused,
        400..500 if !began_something => AuditOutcome::Refused,
        _ => AuditOutcome::Failed,
    }
}

/// What a request is about where its path does not tell: a handler leaves it with the request, for the audit log.
pub(super) struct Target(String);

impl Target {
    /// In a few words. Never a secret.
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

/// What the request is about, made harmless: what its handler says, else what the variable part of its path names.
fn target(response: &ServiceResponse<BoxBody>) -> Option<String> {
    let request = response.request();
    let said = request.extensions().get::<Target>().map(|target| target.0.clone());
    let words = said.or_else(|| request.match_info().iter().next().map(|(_, value)| value.to_owned()))?;
    Some(words.chars().filter(|c| !c.is_control()).take(LONGEST_TARGET).collect())
}

async fn write(app: &Data<App>, entry: AuditEntry) {
    let audit = Arc::clone(&app.audit);
    let written = app.on_runtime(async move { audit.append(entry).await }).await;
    if let Some(Err(error)) = written {
        tracing::error!("the audit log cannot be written: {}", chain(&error));
    }
}

/// How much of the audit log people without credentials can fill: the log drops its oldest entries, and they must not
/// be able to drive out those of others.
#[derive(Default)]
pub(crate) struct Strangers {
    window: Mutex<Option<(Instant, u32)>>,
}

impl Strangers {
    const ENTRIES: u32 = 20;
    const WINDOW: Duration = Duration::from_secs(60);

    fn may_write(&self, now: Instant) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        match window.as_mut() {
            Some((begun, count)) if now.saturating_duration_since(*begun) < Self::WINDOW => {
                *count += 1;
                *count <= Self::ENTRIES
            }
            _ => {
                *window = Some((now, 1));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_fill_only_so_much_of_the_audit_log() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        let written = (0..100).filter(|_| strangers.may_write(now)).count();
        assert_eq!(written, 20);
        assert!(strangers.may_write(now + Strangers::WINDOW));
    }
}
