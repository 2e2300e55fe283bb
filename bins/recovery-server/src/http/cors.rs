//! Cross-origin calls: the listed origins may call, with the methods and headers that the interface has.

use actix_web::{
    Error, HttpResponse, ResponseError as _,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderMap, HeaderValue},
    },
    middleware::Next,
    web,
};

use super::error::ApiError;
use crate::{app::App, auth::Refusal};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PATCH, DELETE");
const HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, X-Admin-Secret, Content-Type, If-Match, Prefer, Last-Event-ID");
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Location, Preference-Applied, Retry-After, Content-Disposition, Content-Range, Accept-Ranges, ETag, X-Request-Id",
);

/// Answers preflights, and marks the answers that a listed origin may read.
pub(super) async fn cors(
    app: web::Data<App>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let listed =
        origin.clone().filter(|origin| origin.to_str().is_ok_and(|origin| app.auth.allows_origin(origin)));
    let preflight = request.method() == Method::OPTIONS
        && origin.is_some()
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (preflight, &listed) {
        (false, _) => next.call(request).await?.map_into_boxed_body(),
        (true, None) => request.into_response(ApiError::from(Refusal::ForeignOrigin).error_response()),
        (true, Some(_)) => {
            let mut response = HttpResponse::NoContent().finish();
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            request.into_response(response)
        }
    };
    mark(response.headers_mut(), listed, preflight);
    Ok(response)
}

fn mark(headers: &mut HeaderMap, listed: Option<HeaderValue>, preflight: bool) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = listed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        // For callers that ask their browser to send whatever it has along; the console's cookie helps no page but its
        // own.
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if !preflight {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}
