//! The OpenAPI document: shapes and texts from the handlers, access and errors from the table of endpoints, so that
//! no route can forget them.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, OpenApi as Document, Ref, RefOr, ResponseBuilder,
        path::Operation,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{endpoints::ENDPOINTS, handlers, present};
use crate::{auth::Access, view};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nova Recovery",
        description = "Backs up and restores the database of Nova, and stays up while everything else is down."
    ),
    paths(
        handlers::health::live,
        handlers::health::ready,
        handlers::health::status,
        handlers::health::openapi,
        handlers::metrics::metrics,
        handlers::backups::list,
        handlers::backups::create,
        handlers::backups::manifest,
        handlers::backups::delete,
        handlers::download::download,
        handlers::upload::upload,
        handlers::backups::verify,
        handlers::backups::pin,
        handlers::backups::unpin,
        handlers::backups::restore,
        handlers::environment::show,
        handlers::environment::change,
        handlers::profiles::change,
        handlers::integrations::remote_access,
        handlers::integrations::chat_integrations,
        handlers::factory_reset::categories,
        handlers::factory_reset::preview,
        handlers::factory_reset::reset,
        handlers::restores::list,
        handlers::restores::drop_replaced,
        handlers::restores::rollback,
        handlers::services::list,
        handlers::services::all,
        handlers::services::restart_all,
        handlers::services::restart,
        handlers::services::logs,
        handlers::inference::hardware,
        handlers::inference::detect,
        handlers::inference::gpu_stats,
        handlers::inference::gpu_stats_short,
        handlers::backends::list,
        handlers::backends::status,
        handlers::backends::stop,
        handlers::backends::start,
        handlers::backends::switch_model,
        handlers::backends::pull,
        handlers::inference::search,
        handlers::inference::recommended,
        handlers::inference::recommendation,
        handlers::operations::list,
        handlers::operations::get,
        handlers::operations::cancel,
        handlers::diagnostics::show,
        handlers::diagnostics::chat,
        handlers::events::events,
        handlers::audit::audit,
        handlers::session::begin,
        handlers::session::end,
    ),
    components(schemas(view::ProblemBody)),
    modifiers(&Rules)
)]
struct Interface;

/// What holds for every route of a kind.
struct Rules;

impl Modify for Rules {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let header = |name| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
        components.add_security_scheme("admin_secret", header("X-Admin-Secret"));
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        components.add_security_scheme("admin_token", SecurityScheme::Http(token));
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(present::COOKIE)));
        components.add_security_scheme("session", cookie);
        for endpoint in ENDPOINTS {
            let item = document.paths.paths.get_mut(&endpoint.full_path());
            let operation = item.and_then(|item| match endpoint.method {
                "GET" => item.get.as_mut(),
                "POST" => item.post.as_mut(),
                "PATCH" => item.patch.as_mut(),
                "DELETE" => item.delete.as_mut(),
                _ => None,
            });
            if let Some(operation) = operation {
                describe(operation, endpoint.access);
            }
        }
    }
}

fn describe(operation: &mut Operation, access: Access) {
    if access != Access::Open {
        let schemes = ["admin_secret", "admin_token", "session"];
        operation.security =
            Some(schemes.map(|name| SecurityRequirement::new::<_, _, String>(name, [])).to_vec());
    }
    if access == Access::Explicit {
        let note = "Needs explicit credentials even from a trusted network.";
        operation.description = Some(match operation.description.take() {
            Some(text) => format!("{text}\n\n{note}"),
            None => note.to_owned(),
        });
    }
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    let response = ResponseBuilder::new()
        .description("What went wrong, and what to do")
        .content("application/problem+json", problem)
        .build();
    operation.responses.responses.insert("default".to_owned(), RefOr::T(response));
}

/// The OpenAPI document as JSON, for people: indented, with a line end at its end.
#[must_use]
pub fn openapi_json() -> String {
    let mut text = Interface::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document: serde_json::Value = serde_json::from_str(&openapi_json()).unwrap();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        let routes: BTreeSet<(String, String)> =
            ENDPOINTS.iter().map(|endpoint| (endpoint.method.to_owned(), endpoint.full_path())).collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn the_checked_in_document_is_this_one() {
        let checked_in = include_str!("../../../../docs/openapi.json");
        assert!(
            checked_in == openapi_json(),
            "docs/openapi.json is out of date; `cargo xtask openapi` writes it anew"
        );
    }
}
