//! What holds for every request: an id that is in every line of the log and in the answer, bounded headers, headers
//! that keep browsers from misreading the answer, and one line in the log.

use std::time::Instant;

use actix_web::{
    Error, ResponseError as _,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    web,
};
use recovery_core::{ErrorCode, Problem};
use tracing::Instrument as _;
use uuid::Uuid;

use super::{error::ApiError, present};
use crate::app::App;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// All headers of a request together, with the address, in bytes.
const LARGEST_HEAD: usize = 16 * 1024;

/// The outermost layer.
pub(super) async fn observe(
    app: web::Data<App>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = request_id(request.headers());
    let span = tracing::info_span!("request", id = %id, method = %request.method(), path = request.path());
    async move {
        let begun = Instant::now();
        let client = present::client(&app.auth, request.request());
        let response = if head_size(&request) > LARGEST_HEAD {
            let problem = Problem::new(ErrorCode::InvalidRequest, "The request's headers are too large.");
            request.into_response(ApiError::from(problem).error_response())
        } else {
            named(next.call(request).await?.map_into_boxed_body())
        };
        Ok(finish(response, &id, client, begun))
    }
    .instrument(span)
    .await
}

fn finish(
    mut response: ServiceResponse<BoxBody>,
    id: &str,
    client: crate::auth::Client,
    begun: Instant,
) -> ServiceResponse<BoxBody> {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    let (status, milliseconds) = (response.status().as_u16(), begun.elapsed().as_millis());
    if response.status().is_server_error() {
        tracing::warn!(status, %client, milliseconds, "answered");
    } else if response.request().path().starts_with("/health/") {
        tracing::debug!(status, %client, milliseconds, "answered");
    } else {
        tracing::info!(status, %client, milliseconds, "answered");
    }
    response
}

/// Gives the framework's own errors, which have no body, the form of every other error.
fn named(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    if status.as_u16() < 400 || response.headers().contains_key(header::CONTENT_TYPE) {
        return response;
    }
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, ApiError::of_status(status).error_response())
}

/// The caller's id where it is harmless, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let harmless = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    match headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(harmless) {
        Some(id) => id.to_owned(),
        None => Uuid::new_v4().simple().to_string(),
    }
}

fn head_size(request: &ServiceRequest) -> usize {
    let headers: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    headers + request.uri().path().len() + request.uri().query().map_or(0, str::len)
}
