//! Factory reset: what can be reset, what would go, and the reset itself.

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse,
    web::{Data, Json},
};
use recovery_reset::{Order, check_confirmation};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Caller, fields};
use crate::{
    app::App,
    factory_reset::target,
    http::{body::Body, error::ApiError, guard::Target, waiting::answer},
    view::{Operation, ResetCategory, ResetDone, ResetPreview},
};

/// What can be reset, in the order in which it is shown.
#[utoipa::path(get, path = "/api/v1/recovery/factory-reset/categories", tag = "factory reset",
    responses((status = 200, body = Vec<ResetCategory>)))]
pub(crate) async fn categories(app: Data<App>) -> Json<Vec<ResetCategory>> {
    Json(app.reset.categories().all().iter().map(ResetCategory::from).collect())
}

/// What is to be looked at.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Preview {
    /// The categories that would be kept; all others would be wiped.
    #[schema(example = json!(["users_and_auth", "api_keys"]))]
    keep: Vec<String>,
    /// Whether everything is to be counted, however long that takes; otherwise large numbers are estimates.
    #[serde(default)]
    exact: bool,
    /// As in the reset.
    reseed: Option<bool>,
    /// As in the reset.
    #[serde(default)]
    accept_partial: bool,
    /// As in the reset.
    #[serde(default)]
    include_pinned: bool,
}

/// What a factory reset would do. Changes nothing.
#[utoipa::path(post, path = "/api/v1/recovery/factory-reset/preview", tag = "factory reset", request_body = Preview,
    responses((status = 200, body = ResetPreview)))]
pub(crate) async fn preview(app: Data<App>, body: Body<Preview>) -> Result<Json<ResetPreview>, ApiError> {
    let Preview { keep, exact, reseed, accept_partial, include_pinned } = body.0;
    let order = Order { reseed, accept_partial, include_pinned, ..Order::new(app.keeping(&keep)?) };
    Ok(Json(app.preview_reset(order, exact).await?))
}

/// What is to be reset.
#[derive(Deserialize, ToSchema)]
pub(crate) struct FactoryReset {
    /// The categories that are kept; all others are wiped.
    #[schema(example = json!(["users_and_auth", "api_keys"]))]
    keep: Vec<String>,
    /// The word `RESET`.
    #[schema(example = "RESET")]
    confirm: String,
    /// Whether the platform's migrations run again; where it is left out, what is wiped decides.
    reseed: Option<bool>,
    /// `false` for no safety backup, for a database that is too broken for one: then there is no way back.
    safety_backup: Option<bool>,
    /// Whether Redis or a directory may be away: what is there is reset all the same.
    #[serde(default)]
    accept_partial: bool,
    /// Whether pinned backups go, too, where backups go.
    #[serde(default)]
    include_pinned: bool,
}

/// Wipes every category that is not kept: rows, keys of Redis, files, backups.
///
/// It makes a safety backup of all of it first, refuses where rows of a kept category would be lost, and deletes all rows
/// or none. Answers when it is done, or after a while with the operation that goes on.
#[utoipa::path(post, path = "/api/v1/recovery/factory-reset", tag = "factory reset", request_body = FactoryReset,
    params(("Prefer" = Option<String>, Header, description = "`respond-async` to be answered at once")),
    responses((status = 200, body = ResetDone), (status = 202, body = Operation)))]
pub(crate) async fn reset(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    body: Body<FactoryReset>,
) -> Result<HttpResponse, ApiError> {
    let FactoryReset { keep, confirm, reseed, safety_backup, accept_partial, include_pinned } = body.0;
    let selection = app.keeping(&keep)?;
    request.extensions_mut().insert(Target::new(target(&selection.list(app.reset.categories()))));
    check_confirmation(&confirm)?;
    let safety_backup = safety_backup.unwrap_or(true);
    let order = Order { selection, safety_backup, accept_partial, include_pinned, reseed };
    let started = app.start_reset(caller.actor(), order).await?;
    answer(&app, &request, started, fields([])).await
}
