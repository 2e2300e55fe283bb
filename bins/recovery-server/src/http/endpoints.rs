//! Every route, once.

use std::sync::Arc;

use actix_web::{
    Route,
    body::BoxBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    guard as route_guard,
    http::Method,
    middleware::{Next, from_fn},
    web::{self, Data, ServiceConfig},
};

use super::{BASE, cors::cors, error::ApiError, guard::guard, handlers, observe::observe};
use crate::{app::App, auth::Access};

/// One method of one path.
#[derive(Clone, Copy)]
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    /// Below [`BASE`] where it does not begin with a slash.
    pub(super) path: &'static str,
    pub(super) access: Access,
    /// What the audit log calls it; `None` for what changes nothing.
    pub(super) action: Option<&'static str>,
    handler: fn(Route) -> Route,
}

impl Endpoint {
    pub(super) fn full_path(&self) -> String {
        if self.path.starts_with('/') { self.path.to_owned() } else { format!("{BASE}/{}", self.path) }
    }
}

macro_rules! endpoint {
    ($method:literal $path:literal, $access:ident, $handler:path) => {
        endpoint!(@ $method $path, $access, None, $handler)
    };
    ($method:literal $path:literal, $access:ident, $action:literal, $handler:path) => {
        endpoint!(@ $method $path, $access, Some($action), $handler)
    };
    (@ $method:literal $path:literal, $access:ident, $action:expr, $handler:path) => {
        Endpoint {
            method: $method,
            path: $path,
            access: Access::$access,
            action: $action,
            handler: |route| route.to($handler),
        }
    };
}

/// The routes. What the contract leaves open is [`Access::Open`]; everything else demands an admin, and what destroys
/// or discloses demands credentials.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    endpoint!("GET" "/health/live", Open, handlers::health::live),
    endpoint!("GET" "/health/ready", Open, handlers::health::ready),
    endpoint!("GET" "/metrics", Admin, handlers::metrics::metrics),
    endpoint!("GET" "openapi.json", Open, handlers::health::openapi),
    endpoint!("GET" "status", Open, handlers::health::status),
    endpoint!("GET" "backups", Open, handlers::backups::list),
    endpoint!("POST" "backups", Admin, "backup", handlers::backups::create),
    // Before the routes with a name in their place.
    endpoint!("POST" "backups/upload", Explicit, "upload", handlers::upload::upload),
    endpoint!("GET" "backups/{filename}", Admin, handlers::backups::manifest),
    endpoint!("DELETE" "backups/{filename}", Explicit, "delete_backup", handlers::backups::delete),
    endpoint!("GET" "backups/{filename}/download", Explicit, "download", handlers::download::download),
    endpoint!("POST" "backups/{filename}/verify", Admin, "verify", handlers::backups::verify),
    endpoint!("POST" "backups/{filename}/pin", Admin, "pin", handlers::backups::pin),
    endpoint!("POST" "backups/{filename}/unpin", Admin, "unpin", handlers::backups::unpin),
    endpoint!("POST" "backups/{filename}/restore", Explicit, "restore", handlers::backups::restore),
    endpoint!("GET" "env", Admin, handlers::environment::show),
    endpoint!("PATCH" "env", Admin, "change_environment", handlers::environment::change),
    endpoint!("POST" "compose-profiles", Admin, "change_profile", handlers::profiles::change),
    endpoint!("GET" "remote-access/status", Admin, handlers::integrations::remote_access),
    endpoint!("GET" "chat-integrations/status", Admin, handlers::integrations::chat_integrations),
    endpoint!("GET" "restores", Admin, handlers::restores::list),
    endpoint!("DELETE" "restores/{id}", Explicit, "drop_replaced", handlers::restores::drop_replaced),
    endpoint!("POST" "restores/{id}/rollback", Explicit, "rollback", handlers::restores::rollback),
    endpoint!("GET" "factory-reset/categories", Open, handlers::factory_reset::categories),
    endpoint!("POST" "factory-reset/preview", Admin, handlers::factory_reset::preview),
    endpoint!("POST" "factory-reset", Explicit, "factory_reset", handlers::factory_reset::reset),
    endpoint!("GET" "services", Open, handlers::services::list),
    endpoint!("GET" "services/all", Open, handlers::services::all),
    endpoint!("POST" "services/restart-all", Admin, "restart_services", handlers::services::restart_all),
    endpoint!("POST" "services/{name}/restart", Admin, "restart_service", handlers::services::restart),
    endpoint!("GET" "services/{name}/logs", Admin, handlers::services::logs),
    endpoint!("GET" "inference/hardware", Admin, handlers::inference::hardware),
    endpoint!("POST" "inference/hardware/detect", Admin, "detect_hardware", handlers::inference::detect),
    endpoint!("GET" "inference/hardware/gpu-stats", Admin, handlers::inference::gpu_stats),
    endpoint!("GET" "hardware/gpu-stats", Admin, handlers::inference::gpu_stats_short),
    endpoint!("GET" "inference/backends", Admin, handlers::backends::list),
    endpoint!("GET" "inference/backend", Admin, handlers::backends::status),
    endpoint!("POST" "inference/backend/stop", Admin, "stop_backend", handlers::backends::stop),
    endpoint!("POST" "inference/backend/{name}/start", Admin, "start_backend", handlers::backends::start),
    endpoint!("POST" "inference/backend/{name}/switch-model", Admin, "switch_model", handlers::backends::switch_model),
    endpoint!("POST" "inference/models/pull", Admin, "pull_model", handlers::backends::pull),
    endpoint!("GET" "inference/models/search", Admin, handlers::inference::search),
    endpoint!("GET" "inference/models/recommended", Admin, handlers::inference::recommended),
    endpoint!("GET" "inference/recommendation", Admin, handlers::inference::recommendation),
    endpoint!("GET" "operations", Admin, handlers::operations::list),
    endpoint!("GET" "operations/{id}", Admin, handlers::operations::get),
    endpoint!("POST" "operations/{id}/cancel", Admin, "cancel", handlers::operations::cancel),
    endpoint!("GET" "diagnostics", Admin, handlers::diagnostics::show),
    endpoint!("POST" "troubleshoot/chat", Admin, "troubleshoot", handlers::diagnostics::chat),
    endpoint!("GET" "events", Admin, handlers::events::events),
    endpoint!("GET" "audit", Admin, handlers::audit::audit),
    endpoint!("POST" "session", Open, "sign_in", handlers::session::begin),
    endpoint!("DELETE" "session", Open, "sign_out", handlers::session::end),
];

/// Adds every route.
fn configure(app: Data<App>, config: &mut ServiceConfig) {
    let mut paths: Vec<String> = ENDPOINTS.iter().map(Endpoint::full_path).collect();
    paths.dedup();
    for path in paths {
        let mut resource = web::resource(path.clone());
        let mut allow = Vec::new();
        for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.full_path() == path) {
            allow.push(endpoint.method);
            if endpoint.method == "GET" {
                allow.push("HEAD");
            }
            let mut endpoint = *endpoint;
            if endpoint.path == "/metrics" && app.metrics_open {
                endpoint.access = Access::Open;
            }
            let checked =
                from_fn(move |request: ServiceRequest, next: Next<BoxBody>| guard(endpoint, request, next));
            resource = resource.route((endpoint.handler)(method_route(endpoint.method)).wrap(checked));
        }
        let allow = allow.join(", ");
        config.service(resource.default_service(web::to(move || {
            let allow = allow.clone();
            async move { Err::<String, _>(ApiError::method_not_allowed(&allow)) }
        })));
    }
    handlers::console::configure(config);
    config.app_data(app).default_service(web::to(|| async { Err::<String, _>(ApiError::not_found()) }));
}

/// Whoever may GET may ask for the headers alone.
fn method_route(method: &str) -> Route {
    match method {
        "GET" => web::route().guard(route_guard::Any(route_guard::Get()).or(route_guard::Head())),
        "POST" => web::post(),
        "DELETE" => web::delete(),
        "PATCH" => web::patch(),
        other => web::method(Method::from_bytes(other.as_bytes()).unwrap_or(Method::TRACE)),
    }
}

/// The whole interface over a service: every route, and the layers around them.
pub fn application(
    app: Arc<App>,
) -> actix_web::App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let app = Data::from(app);
    actix_web::App::new()
        .configure(|config| configure(app, config))
        .wrap(from_fn(cors))
        .wrap(from_fn(observe))
}
