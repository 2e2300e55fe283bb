use std::{collections::BTreeSet, sync::Arc};

use super::{Container, ContainerId, ContainerState, Health, ServiceState};
use crate::{Problem, ServiceName};

/// All containers of the project as they were when they were last looked at.
///
/// While the engine does not answer, the names and labels of what ran or ought to are still there and every state and
/// health is unknown: what was true a minute ago is never told as if it were true now.
#[derive(Clone, Debug)]
pub struct Snapshot {
    revision: u64,
    standing: Standing,
    containers: Arc<[Container]>,
}

/// How the engine that a snapshot comes from stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was not reached yet.
    Unasked,
    /// It answers.
    Up(EngineVersion),
    /// It does not answer.
    Away(Box<Problem>),
}

/// What an engine says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineVersion {
    /// Its version, for example `28.3.3`.
    pub version: String,
    /// The version of its API that is spoken with it, for example `1.44`.
    pub api: String,
}

impl Snapshot {
    /// What is known before the engine was asked.
    #[must_use]
    pub fn unasked() -> Self {
        Self { revision: 0, standing: Standing::Unasked, containers: Arc::from([]) }
    }

    /// The next snapshot: what the engine just said.
    #[must_use]
    pub fn seen(&self, version: EngineVersion, mut containers: Vec<Container>) -> Self {
        containers.sort_by(|a, b| {
            (a.service(), a.compose.number, &a.name).cmp(&(b.service(), b.compose.number, &b.name))
        });
        Self { revision: self.revision + 1, standing: Standing::Up(version), containers: containers.into() }
    }

    /// The next snapshot: the engine does not answer.
    #[must_use]
    pub fn away(&self, problem: Problem) -> Self {
        let at_work = self.containers.iter().filter(|container| container.should_run());
        let containers = at_work.map(|container| Container {
            state: ContainerState::Unknown,
            health: Health::Unknown,
            exit_code: None,
            finished_at: None,
            started_at: None,
            ..container.clone()
        });
        Self {
            revision: self.revision + 1,
            standing: Standing::Away(Box::new(problem)),
            containers: containers.collect(),
        }
    }

    /// Its number: each is greater than the one before.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How the engine stands.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether the containers are those that the engine just told of.
    #[must_use]
    pub fn is_current(&self) -> bool {
        matches!(self.standing, Standing::Up(_))
    }

    /// Whether the other snapshot says the same.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.standing == other.standing && self.containers == other.containers
    }

    /// Every container, in the order of services and numbers.
    #[must_use]
    pub fn containers(&self) -> &[Container] {
        &self.containers
    }

    /// The container of this id.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> Option<&Container> {
        self.containers.iter().find(|container| container.id == *id)
    }

    /// The containers of a service in their order, without those that were made for one command.
    pub fn of_service<'a>(&'a self, service: &'a ServiceName) -> impl Iterator<Item = &'a Container> {
        self.containers
            .iter()
            .filter(move |container| container.service() == service && !container.compose.one_off)
    }

    /// What a service's containers amount to.
    #[must_use]
    pub fn service(&self, service: &ServiceName) -> ServiceState {
        let found = ServiceState::of(service.clone(), self.of_service(service));
        // Whether there is one is not known either.
        if found.containers == 0 && !self.is_current() {
            ServiceState::unknown(service.clone())
        } else {
            found
        }
    }

    /// The services that have a container, without those that were made for one command.
    #[must_use]
    pub fn services(&self) -> BTreeSet<&ServiceName> {
        self.containers
            .iter()
            .filter(|container| !container.compose.one_off)
            .map(Container::service)
            .collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        ErrorCode,
        container::{ComposeLabels, RestartPolicy},
    };

    /// A container of a service, as `state/health`.
    pub(in crate::container) fn container(service: &str, number: u32, words: &str) -> Container {
        let (state, health) = words.split_once('/').unwrap();
        let state = ContainerState::of(state);
        Container {
            id: format!("{:012x}{number:04x}", service.len()).parse().unwrap(),
            name: format!("nova-{service}-{number}"),
            compose: ComposeLabels {
                project: "nova".parse().unwrap(),
                service: service.parse().unwrap(),
                number,
                one_off: false,
                depends_on: Vec::new(),
                working_dir: None,
                config_files: None,
                config_hash: None,
            },
            state,
            health: Health::of(state, Some(health)),
            health_check: None,
            exit_code: (state == ContainerState::Exited).then_some(0),
            finished_at: None,
            started_at: None,
            restart_count: 0,
            restart_policy: RestartPolicy::Always,
            stop_timeout: Duration::from_secs(10),
            ports: Vec::new(),
            network_of: None,
            terminal: false,
            image: "busybox".to_owned(),
        }
    }

    fn version() -> EngineVersion {
        EngineVersion { version: "20.10.24".to_owned(), api: "1.41".to_owned() }
    }

    fn name(service: &str) -> ServiceName {
        service.parse().unwrap()
    }

    #[test]
    fn what_is_not_known_now_is_never_told_as_good() {
        let unasked = Snapshot::unasked();
        assert_eq!(unasked.service(&name("redis")).status(), "unknown");
        let mut job = container("migrate", 1, "exited/none");
        job.restart_policy = RestartPolicy::No;
        let up = unasked.seen(version(), vec![container("redis", 1, "running/healthy"), job]);
        assert!(up.service(&name("redis")).is_up());
        assert_eq!(up.service(&name("web")).status(), "not_found");
        let away = up.away(Problem::new(ErrorCode::DependencyUnavailable, "The engine is away."));
        let redis = away.service(&name("redis"));
        assert_eq!((redis.status(), redis.health.as_str(), redis.is_up()), ("unknown", "unknown", false));
        assert_eq!(redis.container_name.as_deref(), Some("nova-redis-1"), "which one it was is still known");
        assert_eq!(away.service(&name("web")).status(), "unknown");
        assert_eq!(away.services().len(), 1, "a job that was done is not missed");
        assert!(unasked.revision() < up.revision() && up.revision() < away.revision());
    }

    #[test]
    fn a_service_is_matched_exactly_and_without_what_ran_one_command() {
        let mut one_off = container("postgres", 9, "exited/none");
        one_off.compose.one_off = true;
        let up = Snapshot::unasked().seen(
            version(),
            vec![one_off, container("postgres", 1, "running/healthy"), container("Redis", 1, "running/none")],
        );
        assert!(up.service(&name("postgres")).is_up());
        for other in ["post", "Postgres", "nova-postgres", "postgres-1", "redis"] {
            assert_eq!(up.service(&name(other)).status(), "not_found", "{other}");
        }
        assert_eq!(up.services().len(), 2);
    }
}
