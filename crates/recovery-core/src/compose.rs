//! A Compose project as its files define it: what services there are, and what they need to be started.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use crate::{ProfileName, ServiceName};

/// The version of a Compose program, for example `2.26.1-4`. Ordered by its numbers alone.
#[derive(Clone, Debug)]
pub struct ComposeVersion {
    numbers: (u32, u32, u32),
    text: String,
}

/// A text that is not the version of a Compose program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the version of a Compose program")]
pub struct InvalidComposeVersion;

impl ComposeVersion {
    /// The first number: 1 for the `docker-compose` of Python, which is not supported any more.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.numbers.0
    }

    /// The three numbers.
    #[must_use]
    pub fn numbers(&self) -> (u32, u32, u32) {
        self.numbers
    }
}

impl FromStr for ComposeVersion {
    type Err = InvalidComposeVersion;

    /// Reads what `docker compose version --short` prints: `2.26.1-4`, or `v2.40.3` in some builds.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '~' | '_');
        if text.len() > 64 || !text.chars().all(is_plain) {
            return Err(InvalidComposeVersion);
        }
        let numbers = text.split(['-', '+', '~']).next().unwrap_or_default();
        let mut numbers = numbers.split('.').map(|number| number.parse::<u32>().ok());
        let mut next = || numbers.next().flatten().ok_or(InvalidComposeVersion);
        Ok(Self { numbers: (next()?, next()?, next()?), text: text.to_owned() })
    }
}

impl PartialEq for ComposeVersion {
    fn eq(&self, other: &Self) -> bool {
        self.numbers == other.numbers
    }
}

impl Eq for ComposeVersion {}

impl PartialOrd for ComposeVersion {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ComposeVersion {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.numbers.cmp(&other.numbers)
    }
}

impl fmt::Display for ComposeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a service waits for in one that it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependencyCondition {
    /// That it runs.
    Started,
    /// That its health check succeeds.
    Healthy,
    /// That it has run to its end, with status 0.
    Completed,
}

/// Another service that a service depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComposeDependency {
    /// The other service.
    pub service: ServiceName,
    /// What must be so before the one that depends on it is started.
    pub condition: DependencyCondition,
    /// Whether the one that depends on it cannot be started without it.
    pub required: bool,
}

/// A service as the Compose files define it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComposeService {
    /// The profiles that it belongs to; none for a service that is always part of the project.
    pub profiles: BTreeSet<ProfileName>,
    /// The image that its containers are made of; `None` where the files leave its name to Compose.
    pub image: Option<String>,
    /// Whether its image is built from a directory rather than pulled.
    pub built: bool,
    /// What it depends on, in the order of the names.
    pub depends_on: Vec<ComposeDependency>,
}

/// The services that the Compose files define, of every profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComposeModel {
    /// By their names.
    pub services: BTreeMap<ServiceName, ComposeService>,
}

impl ComposeModel {
    /// Every profile with its services, both in the order of their names.
    #[must_use]
    pub fn profiles(&self) -> BTreeMap<ProfileName, Vec<ServiceName>> {
        let mut profiles: BTreeMap<ProfileName, Vec<ServiceName>> = BTreeMap::new();
        for (name, service) in &self.services {
            for profile in &service.profiles {
                profiles.entry(profile.clone()).or_default().push(name.clone());
            }
        }
        profiles
    }

    /// The first thing that `services` need and that is not so, in the order of their names, where `standing` says how
    /// each service of the project stands. What is started together counts as being so.
    #[must_use]
    pub fn first_unmet(
        &self,
        services: &[ServiceName],
        standing: &BTreeMap<ServiceName, ServiceStanding>,
    ) -> Option<UnmetDependency> {
        services.iter().find_map(|name| {
            let depends_on = &self.services.get(name)?.depends_on;
            // Compose only warns about what is not required.
            let needed = depends_on.iter().filter(|needed| needed.required);
            needed.filter(|needed| !services.contains(&needed.service)).find_map(|needed| {
                let found = standing.get(&needed.service).copied().unwrap_or(ServiceStanding::Absent);
                (!found.meets(needed.condition)).then(|| UnmetDependency {
                    service: name.clone(),
                    dependency: needed.service.clone(),
                    condition: needed.condition,
                    found,
                })
            })
        })
    }
}

/// How a service stands, as far as those that depend on it care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceStanding {
    /// It has no container.
    Absent,
    /// Its container was created, is paused, restarts, or is being removed.
    NotRunning,
    /// Its container has ended with this status.
    Exited(i64),
    /// It runs, and has no health check.
    Running,
    /// It runs, and its health check has not succeeded yet.
    Starting,
    /// It runs, and its health check fails.
    Unhealthy,
    /// It runs, and its health check succeeds.
    Healthy,
}

impl ServiceStanding {
    /// Whether one that depends on it may be started. A service without a health check is never healthy.
    #[must_use]
    pub fn meets(self, condition: DependencyCondition) -> bool {
        match condition {
            DependencyCondition::Started => {
                matches!(self, Self::Running | Self::Starting | Self::Unhealthy | Self::Healthy)
            }
            DependencyCondition::Healthy => self == Self::Healthy,
            DependencyCondition::Completed => self == Self::Exited(0),
        }
    }
}

impl fmt::Display for ServiceStanding {
    /// As the end of a sentence: "postgres …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("has no container"),
            Self::NotRunning => f.write_str("is not running"),
            Self::Exited(status) => write!(f, "has ended with exit status {status}"),
            Self::Running => f.write_str("is running"),
            Self::Starting => f.write_str("is running and not healthy yet"),
            Self::Unhealthy => f.write_str("is unhealthy"),
            Self::Healthy => f.write_str("is healthy"),
        }
    }
}

/// A service cannot be started, because another one is not as it needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmetDependency {
    /// The service that was to be started.
    pub service: ServiceName,
    /// The one that it depends on.
    pub dependency: ServiceName,
    /// What it waits for in the other.
    pub condition: DependencyCondition,
    /// How the other stands.
    pub found: ServiceStanding,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    fn depends(service: &str, condition: DependencyCondition, required: bool) -> ComposeDependency {
        ComposeDependency { service: name(service), condition, required }
    }

    fn model(services: &[(&str, &[&str], Vec<ComposeDependency>)]) -> ComposeModel {
        let services = services.iter().map(|(service, profiles, depends_on)| {
            let profiles = profiles.iter().map(|profile| profile.parse().unwrap()).collect();
            let depends_on = depends_on.clone();
            (name(service), ComposeService { profiles, image: None, built: false, depends_on })
        });
        ComposeModel { services: services.collect() }
    }

    #[test]
    fn versions_are_read_as_compose_prints_them_and_ordered_by_their_numbers() {
        for (text, numbers) in [
            ("2.26.1-4\n", Some((2, 26, 1))),
            ("v2.40.3-desktop.1", Some((2, 40, 3))),
            ("5.0.0", Some((5, 0, 0))),
            ("1.29.2", Some((1, 29, 2))),
            ("2.3.4+ds1", Some((2, 3, 4))),
            ("2.26", None),
            ("dev", None),
            ("", None),
            ("2.26.1\nsecond line", None),
        ] {
            let version = text.parse::<ComposeVersion>();
            assert_eq!(version.map(|version| version.numbers()).ok(), numbers, "{text:?}");
        }
        let version = |text: &str| text.parse::<ComposeVersion>().unwrap();
        assert!(version("2.9.0") < version("2.21.0") && version("v2.21.0-rc.1") == version("2.21.0"));
        assert_eq!(version("v2.26.1-4").to_string(), "2.26.1-4");
    }

    #[test]
    fn profiles_have_all_their_services() {
        let model = model(&[("web", &[], vec![]), ("b", &["chat", "all"], vec![]), ("a", &["chat"], vec![])]);
        let profiles: Vec<(String, Vec<ServiceName>)> =
            model.profiles().into_iter().map(|(profile, services)| (profile.to_string(), services)).collect();
        assert_eq!(
            profiles,
            [("all".to_owned(), vec![name("b")]), ("chat".to_owned(), vec![name("a"), name("b")])]
        );
    }

    #[test]
    fn what_a_service_needs_must_be_so() {
        use DependencyCondition::{Completed, Healthy, Started};
        use ServiceStanding as Standing;
        let unmet = |condition, required, standing: Option<ServiceStanding>| {
            let model = model(&[("web", &[], vec![depends("db", condition, required)])]);
            let standing = standing.map(|standing| (name("db"), standing)).into_iter().collect();
            model.first_unmet(&[name("web")], &standing).map(|unmet| unmet.found)
        };
        for (condition, standing, met) in [
            (Started, Standing::Running, true),
            (Started, Standing::Unhealthy, true),
            (Started, Standing::NotRunning, false),
            (Started, Standing::Exited(0), false),
            (Healthy, Standing::Healthy, true),
            (Healthy, Standing::Starting, false),
            (Healthy, Standing::Running, false),
            (Completed, Standing::Exited(0), true),
            (Completed, Standing::Exited(1), false),
            (Completed, Standing::Running, false),
        ] {
            let found = unmet(condition, true, Some(standing));
            assert_eq!(found.is_none(), met, "{condition:?} {standing:?}");
        }
        assert_eq!(unmet(Started, true, None), Some(Standing::Absent));
        assert_eq!(unmet(Started, false, None), None, "what is not required may be absent");
        assert_eq!(unmet(Healthy, false, Some(Standing::Unhealthy)), None);
    }

    #[test]
    fn what_is_started_together_need_not_run_before() {
        let model = model(&[
            ("web", &[], vec![depends("cache", DependencyCondition::Healthy, true)]),
            ("cache", &[], vec![depends("db", DependencyCondition::Started, true)]),
        ]);
        let nothing = BTreeMap::new();
        let unmet = model.first_unmet(&[name("web"), name("cache")], &nothing).unwrap();
        assert_eq!((unmet.service, unmet.dependency), (name("cache"), name("db")));
        let db = [(name("db"), ServiceStanding::Running)].into();
        assert_eq!(model.first_unmet(&[name("web"), name("cache")], &db), None);
    }
}
