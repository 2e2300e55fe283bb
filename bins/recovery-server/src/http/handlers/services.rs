//! The services of the platform: list, restart, read their logs.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::ContentType,
    web::{Bytes, Data, Json},
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{Caller, fields, number};
use crate::{
    app::App,
    http::{
        body::{Nothing, OptionalBody},
        error::ApiError,
        path,
        waiting::answer,
    },
    services::is_own,
    view::{Operation, RestartResult, Service, ServiceLists, ServiceLogs, ServiceRestarted},
};

/// How many lines of a log are shown where nobody says, and at most.
const LINES: (usize, usize) = (100, 5000);

/// The core services, present or not, then every other service of the project that runs or ought to.
#[utoipa::path(get, path = "/api/v1/recovery/services", tag = "services",
    responses((status = 200, body = Vec<Service>)))]
pub(crate) async fn list(app: Data<App>) -> HttpResponse {
    as_json(app.services.listed_json())
}

/// Every service that there is or could be: the core ones and recovery itself, those of a Compose profile, and others.
#[utoipa::path(get, path = "/api/v1/recovery/services/all", tag = "services",
    responses((status = 200, body = ServiceLists)))]
pub(crate) async fn all(app: Data<App>) -> HttpResponse {
    as_json(app.services.all_json())
}

fn as_json(body: Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(body)
}

/// A restart that must be meant.
#[derive(Default, Deserialize, ToSchema)]
pub(crate) struct Confirmation {
    /// The name of the service once more: needed for postgres, redis and recovery.
    #[serde(default)]
    confirm: Option<String>,
}

/// Restarts a service, one container after the other, and waits until it is well; then what depends on it and asks for
/// that. Answers when it is done, or after a while with the operation that goes on. For recovery itself it answers
/// first.
#[utoipa::path(post, path = "/api/v1/recovery/services/{name}/restart", tag = "services",
    params(("name" = String, Path, description = "The service's name"),
        ("Prefer" = Option<String>, Header, description = "`respond-async` to be answered at once")),
    request_body(content = Option<Confirmation>),
    responses((status = 200, body = ServiceRestarted), (status = 202, body = Operation)))]
pub(crate) async fn restart(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    name: path::Service,
    body: OptionalBody<Confirmation>,
) -> Result<HttpResponse, ApiError> {
    let confirmed = body.0.confirm.as_deref();
    if is_own(&name.0) {
        let own = app.restart_itself(caller.actor(), confirmed).await?;
        return Ok(HttpResponse::Accepted().json(ServiceRestarted::soon(&own)));
    }
    let known = fields([("service", json!(name.0)), ("action", json!("restarting"))]);
    let started = app.start_service_restart(caller.actor(), name.0, confirmed).await?;
    answer(&app, &request, started, known).await
}

/// Restarts the services that run, except postgres, redis, recovery and the inference servers, each after those that
/// it depends on; the dashboard comes last. One that fails keeps none of the others.
#[utoipa::path(post, path = "/api/v1/recovery/services/restart-all", tag = "services",
    params(("Prefer" = Option<String>, Header, description = "`respond-async` to be answered at once")),
    responses((status = 200, body = Vec<RestartResult>), (status = 202, body = Operation)))]
pub(crate) async fn restart_all(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    _: OptionalBody<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let started = app.start_restart_of_all(caller.actor()).await?;
    answer(&app, &request, started, fields([])).await
}

/// The last lines that a service printed.
#[utoipa::path(get, path = "/api/v1/recovery/services/{name}/logs", tag = "services",
    params(("name" = String, Path, description = "The service's name"),
        ("tail" = Option<usize>, Query, description = "How many lines of each container, from 1 to 5000; otherwise 100")),
    responses((status = 200, body = ServiceLogs)))]
pub(crate) async fn logs(
    app: Data<App>,
    request: HttpRequest,
    name: path::Service,
) -> Result<Json<ServiceLogs>, ApiError> {
    let (default, most) = LINES;
    let lines = number(&request, "tail", default, most)?;
    let (own, service) = (app.clone(), name.0.clone());
    let logs = app.on_runtime(async move { own.services.logs(&service, lines).await }).await;
    Ok(Json(ServiceLogs::new(&name.0, logs.ok_or_else(ApiError::internal)??)))
}
