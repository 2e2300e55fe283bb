//! What connects the platform to the world outside.

use recovery_core::container::ServiceState;
use serde::Serialize;
use utoipa::ToSchema;

/// A container in brief.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ContainerBrief {
    /// The name of its service in the Compose file.
    #[schema(example = "cloudflared")]
    name: String,
    /// Its name; `null` where there is none.
    #[schema(example = "nova-cloudflared-1")]
    container_name: Option<String>,
    /// What it does: `running`, `exited`, …, `not_found`, or `unknown` while the engine does not answer.
    #[schema(example = "running")]
    status: &'static str,
    /// What its health check says: `healthy`, `unhealthy`, `starting`, `none` or `unknown`.
    #[schema(example = "none")]
    health: &'static str,
    /// Whether its program runs.
    running: bool,
}

impl ContainerBrief {
    pub(crate) fn new(service: &str, state: Option<ServiceState>) -> Self {
        Self {
            name: service.to_owned(),
            status: state.as_ref().map_or("unknown", ServiceState::status),
            health: state.as_ref().map_or("unknown", |state| state.health.as_str()),
            running: state.as_ref().is_some_and(ServiceState::is_running),
            container_name: state.and_then(|state| state.container_name),
        }
    }
}

/// Something that needs a token and a container.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Integration {
    /// Whether its token stands in the `.env`.
    pub(crate) configured: bool,
    /// The container that carries it.
    pub(crate) container: ContainerBrief,
    /// Why the `.env` could not be looked at: then `configured` says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// The ways in from outside.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RemoteAccess {
    /// A Cloudflare tunnel.
    pub(crate) cloudflare: Integration,
    /// Tailscale.
    pub(crate) tailscale: Integration,
}

/// The chats that the platform answers in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChatIntegrations {
    /// Telegram.
    pub(crate) telegram: Integration,
    /// Slack.
    pub(crate) slack: Integration,
    /// The container that carries all of them.
    pub(crate) container: ContainerBrief,
}
