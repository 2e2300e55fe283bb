//! The console: its page at `/`, its files below `/console`.

use actix_web::{
    HttpRequest, HttpResponse, ResponseError as _, guard,
    http::header::{self, HeaderName},
    web::{self, ServiceConfig},
};

use crate::{
    console::{Asset, Console, PATH},
    http::error::ApiError,
};

/// The page runs its own modules and asks its own service, and nothing else; nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";

/// Adds the routes. They are for browsers and no part of the interface, so the OpenAPI document leaves them out.
pub(in crate::http) fn configure(config: &mut ServiceConfig) {
    let readable = || web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    let other = || web::to(|| async { ApiError::method_not_allowed("GET, HEAD").error_response() });
    config.service(web::resource("/").route(readable().to(page)).default_service(other()));
    config.service(
        web::resource(format!("{PATH}/{{version}}/{{name}}"))
            .route(readable().to(file))
            .default_service(other()),
    );
}

async fn page(request: HttpRequest) -> HttpResponse {
    // Asked for each time, answered with a 304 as long as the program is the same.
    answer(&request, &Console::get().page, "no-cache")
}

async fn file(request: HttpRequest, path: web::Path<(String, String)>) -> HttpResponse {
    let (version, name) = path.into_inner();
    match Console::get().file(&version, &name) {
        Some(asset) => answer(&request, asset, "public, max-age=31536000, immutable"),
        None => ApiError::not_found().error_response(),
    }
}

fn answer(request: &HttpRequest, asset: &Asset, cache: &'static str) -> HttpResponse {
    let known = header_has(request, header::IF_NONE_MATCH, |tag| {
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == asset.etag
    });
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::ETAG, asset.etag.as_str()))
        .insert_header((header::CACHE_CONTROL, cache))
        .insert_header((header::VARY, "accept-encoding"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY));
    if known {
        return response.finish();
    }
    response.content_type(asset.content_type);
    let compressed = header_has(request, header::ACCEPT_ENCODING, accepts_gzip);
    if compressed && !asset.gzip.is_empty() {
        response.insert_header((header::CONTENT_ENCODING, "gzip")).body(asset.gzip.clone())
    } else {
        response.body(asset.plain.clone())
    }
}

/// Whether one of the elements of a header, which is a list, is what is looked for.
fn header_has(request: &HttpRequest, name: HeaderName, is_it: impl Fn(&str) -> bool) -> bool {
    let values = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|element| is_it(element.trim()))
}

/// Whether an element of `Accept-Encoding` lets gzip be used: `gzip;q=0` forbids it.
fn accepts_gzip(element: &str) -> bool {
    let (name, weight) = element.split_once(';').unwrap_or((element, ""));
    let forbidden = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0_f32));
    name.trim().eq_ignore_ascii_case("gzip") && !forbidden
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[actix_web::test]
    async fn the_page_is_asked_for_each_time_and_sent_once() {
        let first = page(TestRequest::default().to_http_request()).await;
        assert_eq!(first.status(), 200);
        assert_eq!(first.headers().get("cache-control").unwrap(), "no-cache");
        let tag = first.headers().get("etag").unwrap().clone();
        let again =
            page(TestRequest::default().insert_header(("if-none-match", tag)).to_http_request()).await;
        assert_eq!(again.status(), 304);
        let other =
            page(TestRequest::default().insert_header(("if-none-match", "\"other\"")).to_http_request())
                .await;
        assert_eq!(other.status(), 200);
    }

    #[actix_web::test]
    async fn it_is_compressed_for_whoever_can_read_that() {
        for (accepted, compressed) in [
            (Some("gzip, deflate, br"), true),
            (Some("br;q=1, GZIP;q=0.5"), true),
            (Some("gzip;q=0"), false),
            (Some("br"), false),
            (None, false),
        ] {
            let request = accepted.map_or_else(TestRequest::default, |accepted| {
                TestRequest::default().insert_header(("accept-encoding", accepted))
            });
            let answer = page(request.to_http_request()).await;
            assert_eq!(answer.headers().contains_key("content-encoding"), compressed, "{accepted:?}");
            assert_eq!(answer.headers().get("vary").unwrap(), "accept-encoding");
        }
    }
}
