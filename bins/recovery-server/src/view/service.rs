//! The services of the platform.

use recovery_core::{
    Problem, ProfileName, ServiceName,
    container::ServiceState,
    port::{LogTail, OutputStream},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::timestamp;

/// One service of the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ServiceStatus)]
pub struct Service {
    /// Its name in the Compose file.
    #[schema(example = "chat-api")]
    pub(crate) service: String,
    /// The name of its container; of the one that stands worst where it has several.
    #[schema(example = "nova-chat-api-1")]
    container_name: Option<String>,
    /// What its container does: `running`, `exited`, `restarting`, `paused`, `created`, `removing`, `dead`,
    /// `not_found`, or `unknown` while the engine does not answer.
    #[schema(example = "running")]
    status: &'static str,
    /// What its health check says: `healthy`, `unhealthy`, `starting`, `none` or `unknown`.
    #[schema(example = "healthy")]
    health: &'static str,
    /// How its program ended, where it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_exit: Option<LastExit>,
    /// The ports of the host that lead to it.
    ports: Vec<u16>,
    /// Whether the platform does without it.
    pub(crate) optional: bool,
    /// The Compose profile that it belongs to, where it is optional.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    /// Its containers, where it has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<Replicas>,
    #[serde(skip)]
    up: bool,
}

/// How the program of a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastExit {
    /// Its exit status; 137 is a kill, by somebody or for lack of memory.
    #[schema(example = 137)]
    code: i64,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    at: Option<String>,
}

/// The containers of a service that is scaled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Replicas {
    /// How many there are.
    total: usize,
    /// How many of them are up.
    up: usize,
}

impl Service {
    pub(crate) fn new(state: ServiceState, profile: Option<&ProfileName>) -> Self {
        Self {
            status: state.status(),
            health: state.health.as_str(),
            up: state.is_up(),
            replicas: (state.containers > 1).then_some(Replicas { total: state.containers, up: state.up }),
            last_exit: state.last_exit.map(|exit| LastExit { code: exit.code, at: exit.at.map(timestamp) }),
            service: state.service.into(),
            container_name: state.container_name,
            ports: state.ports,
            optional: profile.is_some(),
            profile: profile.map(ToString::to_string),
        }
    }

    /// The same service without a container.
    pub(crate) fn gone(&self) -> Self {
        Self {
            container_name: None,
            status: "not_found",
            health: "none",
            last_exit: None,
            ports: Vec::new(),
            replicas: None,
            up: false,
            ..self.clone()
        }
    }
}

/// The services of the platform that count for whether it is well.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Services {
    /// How many are up.
    up: usize,
    /// How many are not.
    down: usize,
    /// How many there are.
    total: usize,
    /// Each of them.
    details: Vec<Service>,
    /// Why nothing is known of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Services {
    pub(crate) fn of(details: Vec<Service>) -> Self {
        let up = details.iter().filter(|service| service.up).count();
        Self { up, down: details.len() - up, total: details.len(), details, error: None, hint: None }
    }

    pub(crate) fn with_problem(self, problem: &Problem) -> Self {
        Self { error: Some(problem.detail.clone()), hint: problem.hint.clone(), ..self }
    }
}

/// Every service that there is or could be.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServiceLists {
    /// What the platform does not work without, and the recovery service.
    pub(crate) core: Vec<Service>,
    /// What belongs to a Compose profile.
    pub(crate) optional: Vec<Service>,
    /// What else the project has.
    pub(crate) other: Vec<Service>,
}

/// A service was restarted.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServiceRestarted {
    /// Its name.
    service: String,
    /// `restarted`; `restarting` where the answer comes before.
    #[schema(example = "restarted")]
    action: &'static str,
    /// Whether it came up.
    ok: bool,
    /// What depends on it and was restarted with it.
    also_restarted: Vec<String>,
}

impl ServiceRestarted {
    pub(crate) fn new(service: &ServiceName, others: &[ServiceName]) -> Self {
        Self {
            service: service.to_string(),
            action: "restarted",
            ok: true,
            also_restarted: others.iter().map(ToString::to_string).collect(),
        }
    }

    pub(crate) fn soon(service: &ServiceName) -> Self {
        Self { action: "restarting", ..Self::new(service, &[]) }
    }
}

/// What became of one service when all were restarted.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RestartResult {
    /// Its name.
    service: String,
    /// What was done: `restarted`.
    action: &'static str,
    /// Whether it came up.
    ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl RestartResult {
    pub(crate) fn restarted(service: &ServiceName) -> Self {
        Self { service: service.to_string(), action: "restarted", ok: true, error: None, hint: None }
    }

    pub(crate) fn failed(service: &ServiceName, problem: &Problem) -> Self {
        let (error, hint) = (Some(problem.detail.clone()), problem.hint.clone());
        Self { ok: false, error, hint, ..Self::restarted(service) }
    }
}

/// The last lines that a service printed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServiceLogs {
    /// The service.
    service: String,
    /// The lines, oldest first; where it has several containers, one container after the other.
    lines: Vec<LogLine>,
    /// Whether earlier lines were left out because they were too many bytes.
    truncated: bool,
}

/// A line that a container printed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LogLine {
    /// The name of the container.
    container_name: String,
    /// `stdout` or `stderr`.
    stream: &'static str,
    /// The line.
    text: String,
}

impl ServiceLogs {
    pub(crate) fn new(service: &ServiceName, logs: Vec<(String, LogTail)>) -> Self {
        let truncated = logs.iter().any(|(_, tail)| tail.truncated);
        let of_one = |(name, tail): (String, LogTail)| {
            tail.lines.into_iter().map(move |line| LogLine {
                container_name: name.clone(),
                stream: match line.stream {
                    OutputStream::Stdout => "stdout",
                    OutputStream::Stderr => "stderr",
                },
                text: line.text,
            })
        };
        Self { service: service.to_string(), lines: logs.into_iter().flat_map(of_one).collect(), truncated }
    }
}
