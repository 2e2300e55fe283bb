//! The containers of a Compose project, as the engine describes them.
//!
//! A [`Snapshot`] holds all of them as they were when they were last looked at; a [`ServiceState`] is what those of one
//! service amount to. Which services the platform has, and which of them it can do without, is not decided here.

mod labels;
mod service;
mod snapshot;

use std::{fmt, time::Duration};

use time::OffsetDateTime;

pub use labels::{ComposeLabels, Dependency};
pub use service::{LastExit, ServiceState};
pub use snapshot::{EngineVersion, Snapshot, Standing};

use crate::ServiceName;

/// The id that the engine gave a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

/// A text that is not the id of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a container")]
pub struct InvalidContainerId;

impl ContainerId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ContainerId {
    type Err = InvalidContainerId;

    /// Ids are hexadecimal: nothing else becomes part of an address at the engine.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_id = (12..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id { Ok(Self(text.to_owned())) } else { Err(InvalidContainerId) }
    }
}

impl fmt::Display for ContainerId {
    /// The first twelve digits, as the Docker command line shows them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerState {
    /// It was made and never started.
    Created,
    /// Its program runs.
    Running,
    /// Its program is frozen.
    Paused,
    /// Its program has ended and is about to be started again by the engine.
    Restarting,
    /// It is being removed.
    Removing,
    /// Its program has ended.
    Exited,
    /// It could not be removed; it is good for nothing.
    Dead,
    /// Nobody can tell now, or the engine uses a word that is not known here.
    Unknown,
}

impl ContainerState {
    /// The engine's own word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
        }
    }

    /// What the engine's word means; a word of an engine newer than this program is [`Self::Unknown`].
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word {
            "created" => Self::Created,
            "running" => Self::Running,
            "paused" => Self::Paused,
            "restarting" => Self::Restarting,
            "removing" => Self::Removing,
            "exited" => Self::Exited,
            "dead" => Self::Dead,
            _ => Self::Unknown,
        }
    }
}

/// What the health check of a container says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// The last check was good.
    Healthy,
    /// So many checks in a row failed that the engine calls it unhealthy.
    Unhealthy,
    /// No check was good yet since the start, and it is too early to call it unhealthy.
    Starting,
    /// There is nothing to check: it has no health check, or it does not run.
    None,
    /// Nobody can tell now.
    Unknown,
}

impl Health {
    /// The engine's own word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Starting => "starting",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }

    /// What the engine says of a container in this state; `word` is `None` where it has no health check. The engine
    /// keeps the last word when a container stops or freezes, where it says nothing about now.
    #[must_use]
    pub fn of(state: ContainerState, word: Option<&str>) -> Self {
        match state {
            ContainerState::Running => match word {
                None | Some("" | "none") => Self::None,
                Some("healthy") => Self::Healthy,
                Some("unhealthy") => Self::Unhealthy,
                Some("starting") => Self::Starting,
                Some(_) => Self::Unknown,
            },
            ContainerState::Paused if word.is_some() => Self::Unknown,
            ContainerState::Unknown => Self::Unknown,
            _ => Self::None,
        }
    }
}

/// How often the engine checks a container's health, and how long it takes until it calls it unhealthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// How long after the start failures do not count.
    pub start_period: Duration,
    /// How long after the end of one check the next begins.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// How many failures in a row make it unhealthy.
    pub retries: u32,
}

impl HealthCheck {
    /// The longest time after a start until the engine has called the container healthy or unhealthy.
    #[must_use]
    pub fn verdict_within(&self) -> Duration {
        self.start_period
            .saturating_add((self.interval.saturating_add(self.timeout)).saturating_mul(self.retries))
    }
}

/// One container of the project, as the engine describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// Its name, for example `nova-chat-api-1`.
    pub name: String,
    /// What Compose wrote on it.
    pub compose: ComposeLabels,
    /// What it does.
    pub state: ContainerState,
    /// What its health check says.
    pub health: Health,
    /// Its health check, where it has one.
    pub health_check: Option<HealthCheck>,
    /// What its program ended with, where it has ended.
    pub exit_code: Option<i64>,
    /// When its program was last started, UTC.
    pub started_at: Option<OffsetDateTime>,
    /// When its program ended, UTC, where it has ended.
    pub finished_at: Option<OffsetDateTime>,
    /// How often the engine has started it again by itself since somebody started it.
    pub restart_count: u64,
    /// When the engine starts it again by itself.
    pub restart_policy: RestartPolicy,
    /// How long it is given to stop before it is killed.
    pub stop_timeout: Duration,
    /// The ports of the host that lead to it, ascending.
    pub ports: Vec<u16>,
    /// The container whose network it uses (`network_mode: service:…`).
    pub network_of: Option<ContainerId>,
    /// Whether it has a terminal: its output is then one stream.
    pub terminal: bool,
    /// The image that it was made of, as it was named.
    pub image: String,
}

/// When the engine starts a container again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Never.
    No,
    /// When its program failed.
    OnFailure,
    /// Whenever its program has ended, unless somebody stopped it.
    Always,
}

impl Container {
    /// The service that it belongs to.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        &self.compose.service
    }

    /// Whether it runs and nothing is known against it.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == ContainerState::Running && matches!(self.health, Health::Healthy | Health::None)
    }

    /// Whether it is at work or ought to be: not a job that is done, and not one that nobody started.
    #[must_use]
    pub fn should_run(&self) -> bool {
        let failed = self.exit_code.is_some_and(|code| code != 0);
        match self.state {
            ContainerState::Exited => match self.restart_policy {
                RestartPolicy::Always => true,
                RestartPolicy::OnFailure | RestartPolicy::No => failed,
            },
            ContainerState::Created => self.restart_policy != RestartPolicy::No,
            ContainerState::Removing => false,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_lead_elsewhere() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        assert_eq!(id.parse::<ContainerId>().unwrap().to_string(), "0123456789ab");
        for text in
            ["", "nova-postgres", "../../v1.41/info", "0123456789ab/json", "0123456789a", "0123456789ab "]
        {
            assert!(text.parse::<ContainerId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_state_is_known_by_its_own_word() {
        for word in ["created", "running", "paused", "restarting", "removing", "exited", "dead"] {
            assert_eq!(ContainerState::of(word).as_str(), word);
        }
        assert_eq!(ContainerState::of("stopping"), ContainerState::Unknown);
    }

    #[test]
    fn health_says_something_only_of_what_runs() {
        let check = |state: &str, word: Option<&str>, expect: &str| {
            assert_eq!(Health::of(ContainerState::of(state), word).as_str(), expect, "{state} {word:?}");
        };
        check("running", None, "none");
        check("running", Some("none"), "none");
        check("running", Some("healthy"), "healthy");
        check("running", Some("unhealthy"), "unhealthy");
        check("running", Some("starting"), "starting");
        check("running", Some("splendid"), "unknown");
        check("exited", Some("healthy"), "none");
        check("restarting", Some("healthy"), "none");
        check("paused", Some("healthy"), "unknown");
        check("paused", None, "none");
        check("stopping", Some("healthy"), "unknown");
    }

    #[test]
    fn the_verdict_comes_after_the_last_check_at_the_latest() {
        let check = HealthCheck {
            start_period: Duration::from_secs(10),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            retries: 4,
        };
        assert_eq!(check.verdict_within(), Duration::from_secs(42));
        let endless = HealthCheck { interval: Duration::MAX, ..check };
        assert_eq!(endless.verdict_within(), Duration::MAX);
    }
}
