//! Databases that restores replaced: list, bring back, drop.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Json},
};
use serde_json::Map;

use super::Caller;
use crate::{
    app::App,
    http::{
        body::{Nothing, OptionalBody},
        error::ApiError,
        path,
        waiting::answer,
    },
    view::{DroppedReplaced, Operation, Replaced, RolledBack},
};

/// The databases that restores and rollbacks replaced and that are still kept, newest first.
#[utoipa::path(get, path = "/api/v1/recovery/restores", tag = "restores",
    responses((status = 200, body = Vec<Replaced>)))]
pub(crate) async fn list(app: Data<App>) -> Result<Json<Vec<Replaced>>, ApiError> {
    let backups = app.backups.clone();
    let replaced =
        app.on_runtime(async move { backups.replaced().await }).await.ok_or_else(ApiError::internal)??;
    Ok(Json(replaced.into_iter().map(Replaced::from).collect()))
}

/// Takes a restore back: the database that it replaced becomes the live one again, and the present one is kept.
#[utoipa::path(post, path = "/api/v1/recovery/restores/{id}/rollback", tag = "restores",
    params(("id" = String, Path, description = "The restore's id"),
        ("Prefer" = Option<String>, Header, description = "`respond-async` to be answered at once")),
    responses((status = 200, body = RolledBack), (status = 202, body = Operation)))]
pub(crate) async fn rollback(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    id: path::Id,
    _: OptionalBody<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let started = app.start_rollback(caller.actor(), id.0).await?;
    answer(&app, &request, started, Map::new()).await
}

/// Drops the database that a restore replaced; the restore can then not be taken back any more.
#[utoipa::path(delete, path = "/api/v1/recovery/restores/{id}", tag = "restores",
    params(("id" = String, Path, description = "The restore's id")),
    responses((status = 200, body = DroppedReplaced), (status = 202, body = Operation)))]
pub(crate) async fn drop_replaced(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    id: path::Id,
    _: OptionalBody<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let started = app.start_drop_replaced(caller.actor(), id.0).await?;
    answer(&app, &request, started, Map::new()).await
}
