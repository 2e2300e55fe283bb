//! Which services the platform has, and what may be done to which.

use std::collections::BTreeMap;

use recovery_core::{ProfileName, ServiceName};

/// What the platform does not work without, in the order in which it is shown.
pub(super) const CORE: [&str; 7] =
    ["postgres", "redis", "orchestrator", "llm-gateway", "memory-service", "chat-api", "dashboard"];
/// This service itself.
pub(super) const OWN: &str = "recovery";
/// May be the proxy that a caller's request came through, so it is restarted last.
pub(super) const DASHBOARD: &str = "dashboard";
/// Restarted only where it is confirmed, and never while an operation uses the database.
const CRITICAL: [&str; 3] = ["postgres", "redis", OWN];
/// What the platform can do without, in the order in which it is shown, and the profile that each belongs to.
const OPTIONAL: [(&str, &str); 9] = [
    ("ollama", "local-ollama"),
    ("nova-vllm", "local-vllm"),
    ("nova-sglang", "local-sglang"),
    ("cloudflared", "cloudflare-tunnel"),
    ("tailscale", "tailscale"),
    ("chat-bridge", "bridges"),
    ("website", "website"),
    ("editor-vscode", "editor-vscode"),
    ("editor-neovim", "editor-neovim"),
];

/// Whether a service is restarted only where it is confirmed.
pub(crate) fn is_critical(service: &ServiceName) -> bool {
    CRITICAL.contains(&service.as_str())
}

/// Whether it is this service.
pub(crate) fn is_own(service: &ServiceName) -> bool {
    service.as_str() == OWN
}

/// Names that stand in the source.
pub(super) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<ServiceName> {
    names.into_iter().filter_map(|name| name.parse().ok()).collect()
}

/// The optional services and the profile that each belongs to: the known ones first, then what else the Compose files
/// define.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profiles(Vec<(ServiceName, ProfileName)>);

impl Default for Profiles {
    /// The known ones.
    fn default() -> Self {
        let known = OPTIONAL.iter();
        Self(
            known
                .filter_map(|(service, profile)| Some((service.parse().ok()?, profile.parse().ok()?)))
                .collect(),
        )
    }
}

impl Profiles {
    /// The known ones, and what the Compose files say: that counts where both speak of a service.
    pub(crate) fn with(defined: &BTreeMap<ServiceName, ProfileName>) -> Self {
        let Self(mut profiles) = Self::default();
        for (service, profile) in &mut profiles {
            if let Some(defined) = defined.get(service) {
                profile.clone_from(defined);
            }
        }
        let others =
            defined.iter().filter(|(service, _)| !profiles.iter().any(|(known, _)| known == *service));
        let others: Vec<_> = others.map(|(service, profile)| (service.clone(), profile.clone())).collect();
        profiles.extend(others);
        profiles.retain(|(service, _)| !CORE.contains(&service.as_str()) && !is_own(service));
        Self(profiles)
    }

    /// The profile of a service; `None` where it is not optional.
    pub(crate) fn of(&self, service: &ServiceName) -> Option<&ProfileName> {
        self.0.iter().find(|(optional, _)| optional == service).map(|(_, profile)| profile)
    }

    /// Every profile with its services.
    pub(crate) fn by_profile(&self) -> BTreeMap<ProfileName, Vec<ServiceName>> {
        let mut profiles: BTreeMap<ProfileName, Vec<ServiceName>> = BTreeMap::new();
        for (service, profile) in &self.0 {
            profiles.entry(profile.clone()).or_default().push(service.clone());
        }
        profiles
    }

    /// The optional services in their order.
    pub(super) fn services(&self) -> impl Iterator<Item = &ServiceName> {
        self.0.iter().map(|(service, _)| service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_tables_is_one() {
        assert_eq!(names(CORE).len(), CORE.len());
        assert_eq!(Profiles::default().0.len(), OPTIONAL.len());
    }

    #[test]
    fn what_the_compose_files_say_counts_and_nothing_makes_the_core_optional() {
        let defined = [("ollama", "ai"), ("searx", "search"), ("postgres", "db"), ("recovery", "x")];
        let defined =
            defined.map(|(service, profile)| (service.parse().unwrap(), profile.parse().unwrap())).into();
        let profiles = Profiles::with(&defined);
        let of = |service: &str| profiles.of(&service.parse().unwrap()).map(ProfileName::as_str);
        assert_eq!(of("ollama"), Some("ai"));
        assert_eq!(of("tailscale"), Some("tailscale"));
        assert_eq!(of("searx"), Some("search"));
        assert_eq!(of("postgres"), None);
        assert_eq!(of("recovery"), None);
        assert_eq!(profiles.services().last().unwrap().as_str(), "searx");
    }
}
