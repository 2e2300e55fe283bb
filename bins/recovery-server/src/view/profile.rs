//! Compose profiles.

use recovery_core::{ProfileName, ServiceName};
use serde::Serialize;
use utoipa::ToSchema;

use crate::compose::ProfileAction;

/// What became of a profile.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProfileChanged {
    /// The profile.
    #[schema(example = "cloudflare-tunnel")]
    profile: String,
    /// The service that it is there for.
    #[schema(example = "cloudflared")]
    service: Option<String>,
    /// Every service of it.
    services: Vec<String>,
    /// What was done: `start` or `stop`.
    action: &'static str,
    /// Always `true`: what fails is an error.
    ok: bool,
    /// What Compose said, a line for each thing that it did.
    #[schema(example = "Container nova-cloudflared-1 Started")]
    output: String,
    /// What did not go as it should, for example that `COMPOSE_PROFILES` in the `.env` could not be written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl ProfileChanged {
    pub(crate) fn new(
        profile: &ProfileName,
        services: &[ServiceName],
        action: ProfileAction,
        output: String,
        warning: Option<String>,
    ) -> Self {
        Self {
            profile: profile.to_string(),
            service: services.first().map(ToString::to_string),
            services: services.iter().map(ToString::to_string).collect(),
            action: action.as_str(),
            ok: true,
            output,
            warnings: warning.into_iter().collect(),
        }
    }
}
