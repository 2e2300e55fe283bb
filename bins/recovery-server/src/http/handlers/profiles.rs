//! Compose profiles: start, stop.

use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web::Data};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{Caller, fields};
use crate::{
    app::App,
    compose::ProfileAction,
    http::{body::Body, error::ApiError, guard::Target, waiting::answer},
    view::{Operation, ProfileChanged},
};

/// What is to be done with a profile.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ProfileChange {
    /// The profile.
    #[schema(example = "cloudflare-tunnel")]
    profile: String,
    /// `start` or `stop`.
    #[schema(example = "start")]
    action: String,
}

/// Starts or stops the services of a Compose profile.
///
/// Only they are touched: what they depend on must run already, and is never made anew. An image that is not there is
/// pulled. `COMPOSE_PROFILES` in the `.env` follows. Answers when it is done, or after a while with the operation that
/// goes on.
#[utoipa::path(post, path = "/api/v1/recovery/compose-profiles", tag = "environment", request_body = ProfileChange,
    params(("Prefer" = Option<String>, Header, description = "`respond-async` to be answered at once")),
    responses((status = 200, body = ProfileChanged), (status = 202, body = Operation)))]
pub(crate) async fn change(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    body: Body<ProfileChange>,
) -> Result<HttpResponse, ApiError> {
    let ProfileChange { profile, action } = body.0;
    request.extensions_mut().insert(Target::new(format!("{action} {profile}")));
    let action = ProfileAction::parse(&action)?;
    let started = app.change_profile(caller.actor(), &profile, action).await?;
    let known =
        fields([("profile", json!(profile)), ("action", json!(action.as_str())), ("ok", json!(false))]);
    answer(&app, &request, started, known).await
}
