use time::OffsetDateTime;

use super::{Container, ContainerState, Health};
use crate::ServiceName;

/// How the program of a container ended that does not run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastExit {
    /// Its exit status: 137 is a kill, by somebody or for lack of memory.
    pub code: i64,
    /// When, UTC; `None` where the engine does not say.
    pub at: Option<OffsetDateTime>,
}

/// What the containers of one service amount to: one where it has one, several where it is scaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceState {
    /// The service.
    pub service: ServiceName,
    /// The name of the container that stands worst; `None` where there is none.
    pub container_name: Option<String>,
    /// What the container that stands worst does; `None` where there is none.
    pub state: Option<ContainerState>,
    /// What the health check of the container that stands worst says.
    pub health: Health,
    /// How the program of the container that stands worst ended, where it has ended.
    pub last_exit: Option<LastExit>,
    /// The ports of the host that lead to the service, ascending.
    pub ports: Vec<u16>,
    /// How many containers it has.
    pub containers: usize,
    /// How many of them are up.
    pub up: usize,
}

impl ServiceState {
    /// A service without a container.
    #[must_use]
    pub fn absent(service: ServiceName) -> Self {
        Self {
            service,
            container_name: None,
            state: None,
            health: Health::None,
            last_exit: None,
            ports: Vec::new(),
            containers: 0,
            up: 0,
        }
    }

    /// A service of which nobody can tell whether it has a container.
    #[must_use]
    pub fn unknown(service: ServiceName) -> Self {
        Self { state: Some(ContainerState::Unknown), health: Health::Unknown, ..Self::absent(service) }
    }

    /// Sums the containers of a service up. Where one stands worse than another it is the one that counts: a service
    /// with a dead replica is not well.
    #[must_use]
    pub fn of<'a>(service: ServiceName, containers: impl IntoIterator<Item = &'a Container>) -> Self {
        let mut containers: Vec<&Container> = containers.into_iter().collect();
        containers.sort_by_key(|container| (standing(container), container.compose.number));
        let Some(worst) = containers.first() else { return Self::absent(service) };
        let mut ports: Vec<u16> = containers.iter().flat_map(|container| &container.ports).copied().collect();
        ports.sort_unstable();
        ports.dedup();
        Self {
            service,
            container_name: Some(worst.name.clone()),
            state: Some(worst.state),
            health: worst.health,
            last_exit: worst.exit_code.map(|code| LastExit { code, at: worst.finished_at }),
            ports,
            containers: containers.len(),
            up: containers.iter().filter(|container| container.is_up()).count(),
        }
    }

    /// The word for the state; `not_found` where there is no container.
    #[must_use]
    pub fn status(&self) -> &'static str {
        self.state.map_or("not_found", ContainerState::as_str)
    }

    /// Whether every container of it is up, and there is one.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.containers > 0 && self.up == self.containers
    }

    /// Whether its program runs, healthy or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == Some(ContainerState::Running)
    }
}

/// The worst comes first.
fn standing(container: &Container) -> (u8, u8) {
    let state = match container.state {
        ContainerState::Dead => 0,
        ContainerState::Restarting => 1,
        ContainerState::Exited => 2,
        ContainerState::Paused => 3,
        ContainerState::Removing => 4,
        ContainerState::Created => 5,
        ContainerState::Unknown => 6,
        ContainerState::Running => 7,
    };
    (state, weight(container.health))
}

fn weight(health: Health) -> u8 {
    match health {
        Health::Unhealthy => 0,
        Health::Starting => 1,
        Health::Unknown => 2,
        Health::None => 3,
        Health::Healthy => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::snapshot::tests::container;

    /// Containers of one service, each as `state/health`, and what they amount to.
    fn check(containers: &[&str], expect: &str) {
        let containers: Vec<Container> =
            (1..).zip(containers).map(|(number, words)| container("worker", number, words)).collect();
        let service = ServiceState::of("worker".parse().unwrap(), &containers);
        let name = service.container_name.clone().unwrap_or_default();
        let sum = format!("{name} {}/{} {}", service.status(), service.health.as_str(), service.is_up());
        assert_eq!(sum, expect);
    }

    #[test]
    fn the_worst_replica_counts() {
        check(&[], " not_found/none false");
        check(&["running/none"], "nova-worker-1 running/none true");
        check(&["running/healthy", "running/healthy"], "nova-worker-1 running/healthy true");
        check(&["running/healthy", "exited/none"], "nova-worker-2 exited/none false");
        check(&["running/healthy", "running/unhealthy"], "nova-worker-2 running/unhealthy false");
        check(&["running/starting", "running/healthy"], "nova-worker-1 running/starting false");
        check(&["paused/unknown", "restarting/none"], "nova-worker-2 restarting/none false");
        check(&["unknown/unknown"], "nova-worker-1 unknown/unknown false");
    }

    #[test]
    fn the_ports_of_all_replicas_are_told_once() {
        let mut containers = [container("web", 1, "running/none"), container("web", 2, "running/none")];
        containers[0].ports = vec![8080, 9090];
        containers[1].ports = vec![80, 8080];
        let service = ServiceState::of("web".parse().unwrap(), &containers);
        assert_eq!(service.ports, [80, 8080, 9090]);
    }
}
