//! Health, overview and the description of the interface.

use std::sync::OnceLock;

use actix_web::{
    HttpResponse,
    http::header::ContentType,
    web::{Bytes, Data, Json},
};

use crate::{
    app::App,
    view::{Live, Ready, Status},
};

/// Liveness: answers even while every dependency is down.
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 200, body = Live)))]
pub(crate) async fn live() -> Json<Live> {
    Json(Live::default())
}

/// Readiness: whether the database can be reached, within three seconds.
#[utoipa::path(get, path = "/health/ready", tag = "health",
    responses((status = 200, body = Ready), (status = 503, body = Ready)))]
pub(crate) async fn ready(app: Data<App>) -> HttpResponse {
    match app.ready().await {
        Ok(()) => HttpResponse::Ok().json(Ready::connected()),
        Err(problem) => HttpResponse::ServiceUnavailable().json(Ready::degraded(problem.detail)),
    }
}

/// Everything at a glance. What cannot be reached says so in its own part.
#[utoipa::path(get, path = "/api/v1/recovery/status", tag = "health", responses((status = 200, body = Status)))]
pub(crate) async fn status(app: Data<App>) -> HttpResponse {
    let json = app.into_inner().status_json().await;
    HttpResponse::Ok().content_type(ContentType::json()).body(json)
}

/// This document.
#[utoipa::path(get, path = "/api/v1/recovery/openapi.json", tag = "health",
    responses((status = 200, description = "The OpenAPI document", content_type = "application/json")))]
pub(crate) async fn openapi() -> HttpResponse {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| crate::http::openapi_json().into());
    HttpResponse::Ok().content_type(ContentType::json()).body(document.clone())
}
