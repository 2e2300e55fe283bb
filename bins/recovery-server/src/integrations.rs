//! What connects the platform to the world outside: whether it is configured, and how its container stands.

use recovery_env::{EnvDocument, EnvKey};

use crate::{
    app::App,
    operations::Failure,
    view::{ChatIntegrations, ContainerBrief, Integration, RemoteAccess},
};

/// What the `.env` says, as far as it can be read.
struct Configured {
    document: Option<EnvDocument>,
    error: Option<String>,
}

impl App {
    /// The ways in from outside.
    pub(crate) async fn remote_access(&self) -> RemoteAccess {
        let configured = self.configured().await;
        RemoteAccess {
            cloudflare: self.integration(&configured, "CLOUDFLARE_TUNNEL_TOKEN", "cloudflared"),
            tailscale: self.integration(&configured, "TAILSCALE_AUTHKEY", "tailscale"),
        }
    }

    /// The chats that the platform answers in.
    pub(crate) async fn chat_integrations(&self) -> ChatIntegrations {
        const BRIDGE: &str = "chat-bridge";
        let configured = self.configured().await;
        ChatIntegrations {
            telegram: self.integration(&configured, "TELEGRAM_BOT_TOKEN", BRIDGE),
            slack: self.integration(&configured, "SLACK_BOT_TOKEN", BRIDGE),
            container: self.container_brief(BRIDGE),
        }
    }

    fn integration(&self, configured: &Configured, token: &str, service: &str) -> Integration {
        Integration {
            configured: configured.has(token),
            container: self.container_brief(service),
            error: configured.error.clone(),
        }
    }

    fn container_brief(&self, service: &str) -> ContainerBrief {
        let state = service.parse().ok().map(|name| self.services.snapshot().service(&name));
        ContainerBrief::new(service, state)
    }

    async fn configured(&self) -> Configured {
        let environment = self.environment.clone();
        let document = async move { Ok(environment.document().await?.0) };
        match self.read_in_time(document).await {
            Ok(document) => Configured { document: Some(document), error: None },
            Err(failure) => Configured { document: None, error: Some(Failure::log(failure).detail) },
        }
    }
}

impl Configured {
    /// Whether a variable has a value. The value itself stays here.
    fn has(&self, variable: &str) -> bool {
        let value = |document: &EnvDocument| document.get(&variable.parse::<EnvKey>().ok()?);
        self.document.as_ref().and_then(value).is_some_and(|value| !value.trim().is_empty())
    }
}
