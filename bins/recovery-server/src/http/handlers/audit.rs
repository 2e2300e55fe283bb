//! Who did what.

use actix_web::{
    HttpRequest,
    web::{Data, Json},
};

use super::number;
use crate::{app::App, http::error::ApiError, view::AuditRecord};

/// The newest entries of the audit log, newest first.
#[utoipa::path(get, path = "/api/v1/recovery/audit", tag = "operations",
    params(("limit" = Option<usize>, Query, description = "How many, 1 to 1000; 100 where it is left out")),
    responses((status = 200, body = Vec<AuditRecord>)))]
pub(crate) async fn audit(app: Data<App>, request: HttpRequest) -> Result<Json<Vec<AuditRecord>>, ApiError> {
    let entries = app.audit.newest(number(&request, "limit", 100, 1000)?).await?;
    Ok(Json(entries.into_iter().map(AuditRecord::from).collect()))
}
