//! Operations: list, look at, cancel.

use actix_web::{
    HttpResponse,
    web::{Data, Json},
};

use super::Caller;
use crate::{
    app::App,
    http::{
        body::{Nothing, OptionalBody},
        error::ApiError,
        path,
    },
    operations::CancelError,
    view::Operation,
};

/// The operations that are running and those that ended lately, newest first.
#[utoipa::path(get, path = "/api/v1/recovery/operations", tag = "operations",
    responses((status = 200, body = Vec<Operation>)))]
pub(crate) async fn list(app: Data<App>) -> Json<Vec<Operation>> {
    Json(app.operations.list().iter().map(Operation::from).collect())
}

/// One operation.
#[utoipa::path(get, path = "/api/v1/recovery/operations/{id}", tag = "operations",
    params(("id" = String, Path, description = "The operation's id")),
    responses((status = 200, body = Operation)))]
pub(crate) async fn get(app: Data<App>, id: path::Id) -> Result<Json<Operation>, ApiError> {
    let operation = app.operations.get(id.0).ok_or(CancelError::NotFound(id.0))?;
    Ok(Json(Operation::from(operation)))
}

/// Asks an operation to stop. It has stopped when its state says so.
#[utoipa::path(post, path = "/api/v1/recovery/operations/{id}/cancel", tag = "operations",
    params(("id" = String, Path, description = "The operation's id")),
    responses((status = 202, body = Operation)))]
pub(crate) async fn cancel(
    app: Data<App>,
    _: Caller,
    id: path::Id,
    _: OptionalBody<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let operation = app.operations.cancel(id.0)?;
    let mut response = HttpResponse::Accepted().json(Operation::from(operation));
    response.extensions_mut().insert(id.0);
    Ok(response)
}
