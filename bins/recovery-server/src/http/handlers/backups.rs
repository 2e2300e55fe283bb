//! Backups: list, make, inspect, check, restore, delete.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Json},
};
use recovery_core::{BackupKind, VerifyLevel};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{Caller, fields};
use crate::{
    app::App,
    auth::Access,
    http::{
        body::{Nothing, OptionalBody},
        error::ApiError,
        path, present,
        waiting::answer,
    },
    view::{self, Backup, Deleted, Made, Operation, Restored, Verified},
};

/// Every backup, newest first. What is wrong with one is told in words to admins alone.
#[utoipa::path(get, path = "/api/v1/recovery/backups", tag = "backups",
    responses((status = 200, body = Vec<Backup>)))]
pub(crate) async fn list(app: Data<App>, request: HttpRequest) -> Result<Json<Vec<Backup>>, ApiError> {
    let backups = app.list_backups().await?.into_iter().map(Backup::from);
    let admitted = app.auth.admit(Access::Admin, &present::presented(&app.auth, &request)).await;
    Ok(Json(if admitted.is_ok() { backups.collect() } else { backups.map(Backup::for_strangers).collect() }))
}

/// Makes a backup. Answers when it is done, or after a while with the operation that goes on.
#[utoipa::path(post, path = "/api/v1/recovery/backups", tag = "backups",
    params(("Prefer" = Option<String>, Header, description = "`respond-async` to be answered at once")),
    responses((status = 200, body = Made), (status = 202, body = Operation)))]
pub(crate) async fn create(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    _: OptionalBody<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let started = app.start_backup(caller.actor(), BackupKind::Manual).await?;
    let known = [("created_at", json!(view::timestamp(started.started_at))), ("size_bytes", json!(0))];
    answer(&app, &request, started, fields(known)).await
}

/// What a backup holds: its manifest.
#[utoipa::path(get, path = "/api/v1/recovery/backups/{filename}", tag = "backups",
    params(("filename" = String, Path, description = "The backup's name")),
    responses((status = 200, description = "The first member of the archive, `manifest.json`", body = Object)))]
pub(crate) async fn manifest(app: Data<App>, name: path::Backup) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(app.backups.manifest(&name.0).await?))
}

/// Deletes a backup that is not pinned.
#[utoipa::path(delete, path = "/api/v1/recovery/backups/{filename}", tag = "backups",
    params(("filename" = String, Path, description = "The backup's name")),
    responses((status = 200, body = Deleted), (status = 202, body = Operation)))]
pub(crate) async fn delete(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    name: path::Backup,
    _: OptionalBody<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let known = fields([("filename", json!(name.0))]);
    let started = app.start_delete(caller.actor(), name.0).await?;
    answer(&app, &request, started, known).await
}

/// Pins a backup: it stays until it is unpinned, whatever its age, and cannot be deleted.
#[utoipa::path(post, path = "/api/v1/recovery/backups/{filename}/pin", tag = "backups",
    params(("filename" = String, Path, description = "The backup's name")),
    responses((status = 200, body = Backup)))]
pub(crate) async fn pin(
    app: Data<App>,
    name: path::Backup,
    _: OptionalBody<Nothing>,
) -> Result<Json<Backup>, ApiError> {
    Ok(Json(app.set_pinned(name.0, true).await?.into()))
}

/// Unpins a backup: it goes when its time is over, and can be deleted.
#[utoipa::path(post, path = "/api/v1/recovery/backups/{filename}/unpin", tag = "backups",
    params(("filename" = String, Path, description = "The backup's name")),
    responses((status = 200, body = Backup)))]
pub(crate) async fn unpin(
    app: Data<App>,
    name: path::Backup,
    _: OptionalBody<Nothing>,
) -> Result<Json<Backup>, ApiError> {
    Ok(Json(app.set_pinned(name.0, false).await?.into()))
}

/// How thoroughly a backup is to be checked.
#[derive(Default, Deserialize, ToSchema)]
pub(crate) struct Verify {
    /// `hashes` reads every byte and compares it with the manifest; `contents`, the default, also decodes every file
    /// of the dump to its end; `restore` also loads it into a scratch database and compares the rows: a drill.
    #[serde(default)]
    level: Level,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Hashes,
    #[default]
    Contents,
    Restore,
}

impl From<Level> for VerifyLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Hashes => Self::Hashes,
            Level::Contents => Self::Contents,
            Level::Restore => Self::Restore,
        }
    }
}

/// Checks a backup. That it is damaged is an answer, not an error; that it could not be checked is an error, and what
/// was known of it stands.
#[utoipa::path(post, path = "/api/v1/recovery/backups/{filename}/verify", tag = "backups",
    params(("filename" = String, Path, description = "The backup's name"),
        ("Prefer" = Option<String>, Header, description = "`respond-async` to be answered at once")),
    request_body(content = Option<Verify>),
    responses((status = 200, body = Verified), (status = 202, body = Operation)))]
pub(crate) async fn verify(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    name: path::Backup,
    body: OptionalBody<Verify>,
) -> Result<HttpResponse, ApiError> {
    let known = fields([("filename", json!(name.0))]);
    let started = app.start_verify(caller.actor(), name.0, body.0.level.into()).await?;
    answer(&app, &request, started, known).await
}

/// Replaces the database by the contents of a backup. The database that was there is kept for a rollback.
#[utoipa::path(post, path = "/api/v1/recovery/backups/{filename}/restore", tag = "backups",
    params(("filename" = String, Path, description = "The backup's name"),
        ("Prefer" = Option<String>, Header, description = "`respond-async` to be answered at once")),
    responses((status = 200, body = Restored), (status = 202, body = Operation)))]
pub(crate) async fn restore(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    name: path::Backup,
    _: OptionalBody<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let known = fields([("filename", json!(name.0)), ("restored", json!(false))]);
    let started = app.start_restore(caller.actor(), name.0).await?;
    answer(&app, &request, started, known).await
}
