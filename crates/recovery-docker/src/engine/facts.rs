//! What the engine's description of a container says. Pure, and tolerant: what is missing or new is not an error.

use std::time::Duration;

use docker_api::models::{ContainerInspect200Response, ContainerSummary, HealthConfig};
use recovery_core::container::{
    ComposeLabels, Container, ContainerId, ContainerState, Health, HealthCheck, RestartPolicy,
};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// What the engine takes where a container does not say.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
const CHECK_RETRIES: u32 = 3;

/// A container as it was inspected; `None` where Compose did not make it.
pub(super) fn of_inspection(told: ContainerInspect200Response) -> Option<Container> {
    let config = told.config?;
    let labels = config.labels.unwrap_or_default();
    let compose = ComposeLabels::read(|name| labels.get(name).map(String::as_str))?;
    let now = told.state;
    let state = word(now.as_ref().and_then(|state| state.status.as_deref()));
    let check =
        now.as_ref().and_then(|state| state.health.as_ref()).and_then(|health| health.status.as_deref());
    let host = told.host_config.unwrap_or_default();
    let text = |pointer: &str| host.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
    let has_ended =
        matches!(state, ContainerState::Exited | ContainerState::Dead | ContainerState::Restarting);
    Some(Container {
        id: told.id?.parse().ok()?,
        name: plain_name(told.name.as_deref()),
        compose,
        state,
        health: Health::of(state, check),
        health_check: config.healthcheck.as_ref().and_then(health_check),
        exit_code: now
            .as_ref()
            .and_then(|state| state.exit_code)
            .filter(|_| has_ended)
            .and_then(|code| i64::try_from(code).ok()),
        started_at: now.as_ref().and_then(|state| state.started_at.as_deref()).and_then(time_of),
        finished_at: now
            .as_ref()
            .filter(|_| has_ended)
            .and_then(|state| state.finished_at.as_deref())
            .and_then(time_of),
        restart_count: told.restart_count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default(),
        restart_policy: match text("/RestartPolicy/Name") {
            "always" | "unless-stopped" => RestartPolicy::Always,
            "on-failure" => RestartPolicy::OnFailure,
            _ => RestartPolicy::No,
        },
        stop_timeout: config
            .stop_timeout
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(STOP_TIMEOUT, Duration::from_secs),
        ports: published(told.network_settings.and_then(|network| network.ports)),
        network_of: text("/NetworkMode").strip_prefix("container:").and_then(|id| id.parse().ok()),
        terminal: config.tty.unwrap_or_default(),
        image: config.image.unwrap_or_default(),
    })
}

/// The little that a list tells of a container: for one whose inspection cannot be understood.
pub(super) fn of_summary(told: ContainerSummary) -> Option<Container> {
    let labels = told.labels.unwrap_or_default();
    let compose = ComposeLabels::read(|name| labels.get(name).map(String::as_str))?;
    let state = word(told.state.as_deref());
    let mut ports: Vec<u16> =
        told.ports.unwrap_or_default().into_iter().filter_map(|port| port.public_port).collect();
    ports.sort_unstable();
    ports.dedup();
    Some(Container {
        id: told.id?.parse().ok()?,
        name: plain_name(told.names.as_ref().and_then(|names| names.first()).map(String::as_str)),
        compose,
        state,
        health: if state == ContainerState::Running { Health::Unknown } else { Health::of(state, None) },
        health_check: None,
        exit_code: None,
        started_at: None,
        finished_at: None,
        restart_count: 0,
        restart_policy: RestartPolicy::No,
        stop_timeout: STOP_TIMEOUT,
        ports,
        network_of: None,
        terminal: false,
        image: told.image.unwrap_or_default(),
    })
}

/// The id in a list.
pub(super) fn id_of(told: &ContainerSummary) -> Option<ContainerId> {
    told.id.as_ref()?.parse().ok()
}

/// The state in a list.
pub(super) fn state_of(told: &ContainerSummary) -> ContainerState {
    word(told.state.as_deref())
}

fn word(word: Option<&str>) -> ContainerState {
    word.map_or(ContainerState::Unknown, ContainerState::of)
}

/// The engine writes names with a slash before them.
fn plain_name(name: Option<&str>) -> String {
    let name = name.unwrap_or_default();
    name.strip_prefix('/').unwrap_or(name).to_owned()
}

fn published(ports: Option<docker_api::models::PortMap>) -> Vec<u16> {
    let mut published: Vec<u16> = ports
        .unwrap_or_default()
        .into_values()
        .flatten()
        .flatten()
        .filter_map(|binding| binding.host_port?.parse().ok())
        .collect();
    published.sort_unstable();
    published.dedup();
    published
}

/// A health check that is switched off (`NONE`) or takes its turn from nowhere is none.
fn health_check(told: &HealthConfig) -> Option<HealthCheck> {
    let test = told.test.as_ref()?.first()?;
    if test == "NONE" {
        return None;
    }
    // Nanoseconds; 0 for the engine's own default.
    let time = |told: Option<i64>| {
        told.and_then(|nanos| u64::try_from(nanos).ok()).filter(|nanos| *nanos > 0).map(Duration::from_nanos)
    };
    Some(HealthCheck {
        start_period: time(told.start_period).unwrap_or_default(),
        interval: time(told.interval).unwrap_or(CHECK_INTERVAL),
        timeout: time(told.timeout).unwrap_or(CHECK_INTERVAL),
        retries: told
            .retries
            .and_then(|retries| u32::try_from(retries).ok())
            .filter(|retries| *retries > 0)
            .unwrap_or(CHECK_RETRIES),
    })
}

/// The engine writes the year 1 for never.
fn time_of(text: &str) -> Option<OffsetDateTime> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    (time.year() > 1).then(|| time.to_offset(UtcOffset::UTC))
}
