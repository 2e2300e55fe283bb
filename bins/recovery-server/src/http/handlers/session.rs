//! The console's session: begins with the admin secret, lives in a cookie.

use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, http::header::SET_COOKIE, web::Data};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use utoipa::ToSchema;

use super::SecretText;
use crate::{
    app::App,
    auth::{Caller, Client, Credential, Presented, Refusal, Sessions},
    http::{
        body::{Body, Nothing, OptionalBody},
        error::ApiError,
        present::{COOKIE, presented},
    },
    view::{SessionBegun, timestamp},
};

/// The admin secret.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SignIn {
    /// The admin secret.
    #[schema(value_type = String, format = Password)]
    secret: SecretText,
}

/// Begins a session: sets a cookie that counts as credentials for twelve hours.
#[utoipa::path(post, path = "/api/v1/recovery/session", tag = "session", request_body = SignIn,
    responses((status = 200, body = SessionBegun)))]
pub(crate) async fn begin(
    app: Data<App>,
    request: HttpRequest,
    body: Body<SignIn>,
) -> Result<HttpResponse, ApiError> {
    let secret = body.0.secret.0;
    if secret.expose_secret().is_empty() {
        return Err(Refusal::NoCredentials.into());
    }
    let presented = presented(&app.auth, &request);
    let session = app.auth.sign_in(&presented, secret.expose_secret().as_bytes()).await?;
    note(&request, presented.client, Credential::Secret);
    let cookie = cookie(&presented, session.id.expose_secret(), Sessions::LIFETIME.whole_seconds());
    Ok(HttpResponse::Ok()
        .insert_header((SET_COOKIE, cookie))
        .json(SessionBegun { expires_at: timestamp(session.expires_at) }))
}

/// Ends the session.
#[utoipa::path(delete, path = "/api/v1/recovery/session", tag = "session",
    responses((status = 204, description = "There is no session any more")))]
pub(crate) async fn end(
    app: Data<App>,
    request: HttpRequest,
    _: OptionalBody<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let presented = presented(&app.auth, &request);
    if app.auth.sign_out(&presented)? {
        note(&request, presented.client, Credential::Session);
    }
    Ok(HttpResponse::NoContent().insert_header((SET_COOKIE, cookie(&presented, "", 0))).finish())
}

/// One that no script can read and no other site sends along; where the browser speaks TLS, never sent without.
fn cookie(presented: &Presented<'_>, value: &str, seconds: i64) -> String {
    let secure = if presented.secure { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

/// Tells the audit log who it was.
fn note(request: &HttpRequest, client: Client, credential: Credential) {
    request.extensions_mut().insert(Caller { client, credential });
}
