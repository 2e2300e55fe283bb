//! Factory reset: what can be reset, what would go, and the reset itself.

use actix_web::web::{Data, Json};

use crate::{app::App, view::ResetCategory};

/// What can be reset, in the order in which it is shown.
#[utoipa::path(get, path = "/api/v1/recovery/factory-reset/categories", tag = "factory reset",
    responses((status = 200, body = Vec<ResetCategory>)))]
pub(crate) async fn categories(app: Data<App>) -> Json<Vec<ResetCategory>> {
    Json(app.reset_categories.all().iter().map(ResetCategory::from).collect())
}
