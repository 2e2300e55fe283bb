//! What a request presents, taken out of its headers.

use actix_web::{
    HttpRequest,
    http::{
        Method,
        header::{self, HeaderMap, HeaderName},
    },
};

use crate::auth::{Auth, Client, Presented, lies_in};

/// The name of the console's cookie.
pub(super) const COOKIE: &str = "nova_recovery_session";

const ADMIN_SECRET: HeaderName = HeaderName::from_static("x-admin-secret");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Where a request came from.
pub(super) fn client(auth: &Auth, request: &HttpRequest) -> Client {
    let headers = request.headers();
    let passed_on = [header::FORWARDED, header::X_FORWARDED_FOR, header::X_FORWARDED_HOST, header::VIA]
        .into_iter()
        .any(|name| headers.contains_key(name));
    Client::new(
        request.peer_addr().map(|peer| peer.ip()),
        only(headers, &REAL_IP),
        passed_on || headers.contains_key(REAL_IP),
        &auth.settings().trusted_proxies,
    )
}

/// Everything that counts for whether it is let in.
pub(super) fn presented<'a>(auth: &Auth, request: &'a HttpRequest) -> Presented<'a> {
    let headers = request.headers();
    let proxies = &auth.settings().trusted_proxies;
    let proxied = request.peer_addr().is_some_and(|peer| lies_in(peer.ip(), proxies));
    let host = if proxied && headers.contains_key(header::X_FORWARDED_HOST) {
        header::X_FORWARDED_HOST
    } else {
        header::HOST
    };
    let scheme = proxied.then(|| only(headers, &header::X_FORWARDED_PROTO)).flatten();
    Presented {
        client: client(auth, request),
        secret: headers
            .get(ADMIN_SECRET)
            .map(|value| value.as_bytes().trim_ascii())
            .filter(|s| !s.is_empty()),
        token: headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.to_str().ok()?)),
        session: cookie(headers),
        host: only(headers, &host),
        secure: scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
        origin: origin(headers),
        changes: !matches!(*request.method(), Method::GET | Method::HEAD),
    }
}

/// The value of a header that stands there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// An `Origin` that cannot be read is a foreign one.
fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.contains_key(header::ORIGIN).then(|| only(headers, &header::ORIGIN).unwrap_or("null"))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE && !value.is_empty())
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_is_one() {
        for (value, expect) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Bearer", None),
            ("Bearer  ", None),
            ("Basic abc", None),
            ("abc", None),
        ] {
            assert_eq!(bearer(value), expect, "{value:?}");
        }
    }
}
