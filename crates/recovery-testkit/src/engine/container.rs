use std::{sync::Arc, time::Duration};

use recovery_core::{
    container::{
        ComposeLabels, Container, ContainerId, ContainerState, Dependency, Health, HealthCheck, RestartPolicy,
    },
    port::{Exec, ExecOutput, LogLine, OutputStream},
};

/// What becomes of a container's program when it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It runs, and is healthy where somebody looks for the second time.
    Well,
    /// It runs, and its health check never succeeds: it is unhealthy where somebody looks for the third time.
    Unhealthy,
    /// It runs, and its health check never comes to an end.
    Undecided,
    /// It ends at once, with this exit status; the engine then does as the restart policy says.
    Ends(i64),
}

/// A container of the fake engine, to be described further before it is added.
#[derive(Clone)]
pub struct EngineContainer {
    pub(super) container: Container,
    pub(super) fate: Fate,
    pub(super) log: Vec<LogLine>,
    /// How often it was looked at since its last start.
    pub(super) looks: u32,
    pub(super) program: Arc<dyn Fn(&Exec) -> ExecOutput + Send + Sync>,
}

impl EngineContainer {
    /// The running first container of a service of the project `nova`, without a health check, with the restart
    /// policy `unless-stopped`.
    #[must_use]
    pub fn of(service: &str) -> Self {
        Self::replica(service, 1)
    }

    /// The same, and the how-manieth of its service.
    #[must_use]
    pub fn replica(service: &str, number: u32) -> Self {
        let service = service.parse().expect("the name of a service");
        let container = Container {
            id: new_id(),
            name: format!("nova-{service}-{number}"),
            compose: ComposeLabels {
                project: "nova".parse().expect("the name of a project"),
                service,
                number,
                one_off: false,
                depends_on: Vec::new(),
                working_dir: Some("/srv/nova".to_owned()),
                config_files: Some("/srv/nova/docker-compose.yml".to_owned()),
                config_hash: Some("0".repeat(64)),
            },
            state: ContainerState::Running,
            health: Health::None,
            health_check: None,
            exit_code: None,
            started_at: None,
            finished_at: None,
            restart_count: 0,
            restart_policy: RestartPolicy::Always,
            stop_timeout: Duration::from_secs(10),
            ports: Vec::new(),
            network_of: None,
            terminal: false,
            image: "busybox".to_owned(),
        };
        let program = Arc::new(|exec: &Exec| ExecOutput {
            exit_code: 0,
            stdout: exec.command.join(" ").into_bytes(),
            stderr: Vec::new(),
            truncated: false,
        });
        Self { container, fate: Fate::Well, log: Vec::new(), looks: 0, program }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> ContainerId {
        self.container.id.clone()
    }

    /// Gives it a health check, which says this now.
    #[must_use]
    pub fn health(self, health: Health) -> Self {
        let check = HealthCheck {
            start_period: Duration::ZERO,
            interval: Duration::from_millis(20),
            timeout: Duration::from_millis(20),
            retries: 2,
        };
        self.with(|container| {
            container.health = health;
            container.health_check = Some(check);
        })
    }

    /// Puts it into another state. One that has ended did so with status 0.
    #[must_use]
    pub fn state(self, state: ContainerState) -> Self {
        self.with(|container| {
            container.state = state;
            container.health = Health::of(state, None);
            container.exit_code = (state == ContainerState::Exited).then_some(0);
        })
    }

    /// Makes it depend on another service, and say whether it is to be restarted with it.
    #[must_use]
    pub fn depends_on(self, service: &str, restart: bool) -> Self {
        let service = service.parse().expect("the name of a service");
        self.with(|container| container.compose.depends_on.push(Dependency { service, restart }))
    }

    /// Changes what the engine says of it.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Container)) -> Self {
        change(&mut self.container);
        self
    }

    /// Decides what becomes of it when it is started.
    #[must_use]
    pub fn fate(mut self, fate: Fate) -> Self {
        self.fate = fate;
        self
    }

    /// Lets it have printed these lines.
    #[must_use]
    pub fn printed<'a>(self, lines: impl IntoIterator<Item = &'a str>) -> Self {
        self.wrote(OutputStream::Stdout, lines)
    }

    /// Lets it have printed these lines to standard error.
    #[must_use]
    pub fn complained<'a>(self, lines: impl IntoIterator<Item = &'a str>) -> Self {
        self.wrote(OutputStream::Stderr, lines)
    }

    fn wrote<'a>(mut self, stream: OutputStream, lines: impl IntoIterator<Item = &'a str>) -> Self {
        self.log.extend(lines.into_iter().map(|line| LogLine { stream, text: line.to_owned() }));
        self
    }

    /// Decides what commands in it do; otherwise they print themselves.
    #[must_use]
    pub fn program(mut self, program: impl Fn(&Exec) -> ExecOutput + Send + Sync + 'static) -> Self {
        self.program = Arc::new(program);
        self
    }

    /// What the engine will say of it.
    #[must_use]
    pub fn into_container(self) -> Container {
        self.container
    }

    /// Somebody looks at it: time passes for its program.
    pub(super) fn look(&mut self) -> Container {
        self.looks += 1;
        let container = &mut self.container;
        if container.state == ContainerState::Running && container.health == Health::Starting {
            container.health = match (self.fate, self.looks) {
                (Fate::Well, 2..) => Health::Healthy,
                (Fate::Unhealthy, 3..) => Health::Unhealthy,
                (_, _) => Health::Starting,
            };
        }
        let restarts = match (self.fate, container.restart_policy) {
            (Fate::Ends(_), RestartPolicy::Always) => true,
            (Fate::Ends(code), RestartPolicy::OnFailure) => code != 0,
            _ => false,
        };
        if container.state == ContainerState::Restarting && restarts {
            container.restart_count += 1;
        }
        container.clone()
    }

    /// The engine starts its program.
    pub(super) fn start(&mut self, at: time::OffsetDateTime) {
        self.looks = 0;
        let container = &mut self.container;
        container.started_at = Some(at);
        container.restart_count = 0;
        (container.state, container.exit_code) = match self.fate {
            Fate::Ends(code) => {
                let again = match container.restart_policy {
                    RestartPolicy::Always => true,
                    RestartPolicy::OnFailure => code != 0,
                    RestartPolicy::No => false,
                };
                let state = if again { ContainerState::Restarting } else { ContainerState::Exited };
                (state, Some(code))
            }
            _ => (ContainerState::Running, None),
        };
        let starting = container.health_check.map(|_| "starting");
        container.health = Health::of(container.state, starting);
    }
}

fn new_id() -> ContainerId {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:064x}", NEXT.fetch_add(1, Relaxed)).chars().rev().collect::<String>().parse().expect("an id")
}
