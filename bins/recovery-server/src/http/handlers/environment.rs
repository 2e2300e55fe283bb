//! The environment of the platform: the variables of its `.env` that may be seen and changed.

use std::collections::BTreeMap;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderMap},
    web::Data,
};
use recovery_core::port::EnvVersion;
use recovery_env::{Expected, Shown};
use serde::Deserialize;
use utoipa::ToSchema;

use super::SecretText;
use crate::{
    app::App,
    http::{body::Body, error::ApiError},
    view::Variables,
};

/// The variables of the `.env` that may be seen, those that are secret masked.
///
/// Only variables that stand in the file are among them. The `ETag` names the content of the file; sent back as
/// `If-Match` with a change, it keeps that from undoing what somebody else has done meanwhile. It is valid until the
/// service restarts.
#[utoipa::path(get, path = "/api/v1/recovery/env", tag = "environment",
    responses((status = 200, body = Variables, headers(("ETag" = String, description = "Names the content of the file")))))]
pub(crate) async fn show(app: Data<App>) -> Result<HttpResponse, ApiError> {
    Ok(answer(app.environment().await?))
}

/// A change of the environment.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Change {
    /// The variables that are to have new values. Others stay as they are.
    #[schema(value_type = BTreeMap<String, String>, example = json!({"LOG_LEVEL": "debug"}))]
    updates: BTreeMap<String, SecretText>,
}

/// Gives variables new values, all of them or none.
///
/// May be changed: CLOUDFLARE_TUNNEL_TOKEN, TAILSCALE_AUTHKEY, COMPOSE_PROFILES, CORS_ALLOWED_ORIGINS, REQUIRE_AUTH,
/// TRUSTED_PROXY_HEADER, GOOGLE_CLIENT_ID, REGISTRATION_MODE, VLLM_MODEL, SGLANG_MODEL, VLLM_GPU_MEMORY_UTILIZATION,
/// NOVA_INFERENCE_MODE, OLLAMA_BASE_URL, NOVA_GITHUB_REPO, NOVA_GITHUB_USER, NOVA_GITHUB_EMAIL, SELFMOD_ENABLED,
/// SELFMOD_RATE_LIMIT_PER_HOUR, DEFAULT_CHAT_MODEL, LLM_ROUTING_STRATEGY, LOG_LEVEL, HF_TOKEN, EDITOR_FLAVOR,
/// EDITOR_WORKSPACE, EDITOR_DOTFILES_REPO, VSCODE_CONFIG_PATH, NEOVIM_CONFIG_PATH.
///
/// The answer holds the variables of the change as they now stand, masked. A mask that is sent back leaves the secret
/// as it is. Everything else in the file, comments and order included, stays as it was; a change after which Docker
/// Compose could not read the project is refused. Running containers see a change once they are made anew.
#[utoipa::path(patch, path = "/api/v1/recovery/env", tag = "environment", request_body = Change,
    params(("If-Match" = Option<String>, Header, description = "The `ETag` of what was read: 412 where the file has changed since")),
    responses((status = 200, body = Variables, headers(("ETag" = String, description = "Names the new content of the file")))))]
pub(crate) async fn change(
    app: Data<App>,
    request: HttpRequest,
    body: Body<Change>,
) -> Result<HttpResponse, ApiError> {
    let updates = body.0.updates.into_iter().map(|(key, value)| (key, value.0)).collect();
    Ok(answer(app.change_environment(updates, expected(request.headers())).await?))
}

fn answer(shown: Shown) -> HttpResponse {
    let tag = format!("\"{}\"", shown.version.as_str());
    HttpResponse::Ok().insert_header((header::ETAG, tag)).json(Variables::from(shown))
}

/// What `If-Match` demands. What is no strong tag matches nothing.
fn expected(headers: &HeaderMap) -> Expected {
    let mut values = headers.get_all(header::IF_MATCH).peekable();
    if values.peek().is_none() {
        return Expected::Any;
    }
    let tags: Vec<&str> = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    if tags == ["*"] {
        return Expected::Any;
    }
    let strong = |tag: &&str| tag.strip_prefix('"')?.strip_suffix('"').map(EnvVersion::new);
    Expected::OneOf(tags.iter().filter_map(strong).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_if_match_demands() {
        let check = |values: &[&str], expect: Expected| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_MATCH, value.parse().unwrap());
            }
            assert_eq!(expected(&headers), expect, "{values:?}");
        };
        let one_of = |names: &[&str]| Expected::OneOf(names.iter().copied().map(EnvVersion::new).collect());
        check(&[], Expected::Any);
        check(&["*"], Expected::Any);
        check(&["\"a1\""], one_of(&["a1"]));
        check(&["\"a1\", \"b2\"", "\"c3\""], one_of(&["a1", "b2", "c3"]));
        check(&["W/\"a1\""], one_of(&[]));
        check(&["a1"], one_of(&[]));
        check(&[""], one_of(&[]));
    }
}
