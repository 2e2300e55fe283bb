use std::collections::BTreeMap;

use crate::{ProjectName, ServiceName};

/// What Compose writes on the containers that it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComposeLabels {
    /// The project (`com.docker.compose.project`).
    pub project: ProjectName,
    /// The service (`com.docker.compose.service`).
    pub service: ServiceName,
    /// The how-manieth container of the service it is, from 1 (`com.docker.compose.container-number`).
    pub number: u32,
    /// Whether it was made by `docker compose run` for one command (`com.docker.compose.oneoff`).
    pub one_off: bool,
    /// The services that it was started after (`com.docker.compose.depends_on`).
    pub depends_on: Vec<Dependency>,
    /// The project directory as the Compose that made it saw it (`com.docker.compose.project.working_dir`).
    pub working_dir: Option<String>,
    /// The Compose files, comma-separated (`com.docker.compose.project.config_files`).
    pub config_files: Option<String>,
    /// The hash of the configuration that it was made with (`com.docker.compose.config-hash`).
    pub config_hash: Option<String>,
}

/// A service that another one was started after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The service that is needed.
    pub service: ServiceName,
    /// Whether the other one is to be restarted when this one was (`depends_on … restart: true`).
    pub restart: bool,
}

impl ComposeLabels {
    /// The label that names the project.
    pub const PROJECT: &'static str = "com.docker.compose.project";
    /// The label that names the service.
    pub const SERVICE: &'static str = "com.docker.compose.service";

    /// Reads the labels of a container; `None` where it is not one of a Compose project.
    ///
    /// `label` gives the value of a label by its name.
    pub fn read<'a>(label: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let of_compose = |name: &str| label(&format!("com.docker.compose.{name}"));
        let text = |name: &str| of_compose(name).filter(|value| !value.is_empty()).map(str::to_owned);
        Some(Self {
            project: label(Self::PROJECT)?.parse().ok()?,
            service: label(Self::SERVICE)?.parse().ok()?,
            number: of_compose("container-number").and_then(|number| number.parse().ok()).unwrap_or(1),
            one_off: of_compose("oneoff").is_some_and(|value| value.eq_ignore_ascii_case("true")),
            depends_on: of_compose("depends_on").map(dependencies).unwrap_or_default(),
            working_dir: text("project.working_dir"),
            config_files: text("project.config_files"),
            config_hash: text("config-hash"),
        })
    }

    /// Reads the labels out of a map.
    #[must_use]
    pub fn of(labels: &BTreeMap<String, String>) -> Option<Self> {
        Self::read(|name| labels.get(name).map(String::as_str))
    }
}

/// `db:service_healthy:true,redis:service_started:false`; an older Compose leaves the end out.
fn dependencies(value: &str) -> Vec<Dependency> {
    value
        .split(',')
        .filter_map(|entry| {
            let mut parts = entry.trim().split(':');
            let service = parts.next()?.parse().ok()?;
            let restart = parts.nth(1).is_some_and(|restart| restart.eq_ignore_ascii_case("true"));
            Some(Dependency { service, restart })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Option<ComposeLabels> {
        let map =
            pairs.iter().map(|(name, value)| (format!("com.docker.compose.{name}"), (*value).to_owned()));
        ComposeLabels::of(&map.collect())
    }

    #[test]
    fn what_compose_writes_is_read() {
        // As Compose 2.26 writes them.
        let read = labels(&[
            ("project", "nova"),
            ("service", "chat-api"),
            ("container-number", "2"),
            ("oneoff", "False"),
            ("depends_on", "postgres:service_healthy:true,redis:service_started:false"),
            ("project.working_dir", "/srv/nova"),
            ("project.config_files", "/srv/nova/docker-compose.yml,/srv/nova/gpu.yml"),
            ("config-hash", "abc"),
        ])
        .unwrap();
        assert_eq!((read.project.as_str(), read.service.as_str(), read.number), ("nova", "chat-api", 2));
        assert!(!read.one_off);
        assert_eq!(read.working_dir.as_deref(), Some("/srv/nova"));
        let depends_on: Vec<_> = read.depends_on.iter().map(|on| (on.service.as_str(), on.restart)).collect();
        assert_eq!(depends_on, [("postgres", true), ("redis", false)]);
    }

    #[test]
    fn what_is_missing_is_taken_as_compose_means_it() {
        let read =
            labels(&[("project", "nova"), ("service", "redis"), ("oneoff", "True"), ("depends_on", "")]);
        let read = read.unwrap();
        assert!(read.one_off && read.depends_on.is_empty() && read.working_dir.is_none());
        assert_eq!(read.number, 1);
        let short = labels(&[("project", "nova"), ("service", "a"), ("depends_on", "b,c:service_started")]);
        assert!(short.unwrap().depends_on.iter().all(|on| !on.restart));
    }

    #[test]
    fn a_container_of_nobody_is_none_of_ours() {
        assert_eq!(labels(&[]), None);
        assert_eq!(labels(&[("project", "nova")]), None);
        assert_eq!(labels(&[("project", "nova"), ("service", "../x")]), None);
    }
}
