//! What `docker compose ps --all --format json` prints: an array before Compose 2.21, an object on each line since.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use recovery_core::{
    ProjectName, ServiceName,
    compose::{ComposeVersion, ServiceStanding},
    port::ComposeError,
};
use serde::Deserialize;

use super::arguments::Task;

const WORKING_DIRECTORY: &str = "com.docker.compose.project.working_dir";
const ONE_OFF: &str = "com.docker.compose.oneoff";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    service: String,
    state: String,
    #[serde(default)]
    health: String,
    #[serde(default)]
    exit_code: i64,
    /// `name=value,name=value`; not before Compose 2.21.
    labels: Option<String>,
}

/// The containers of the project that belong to its services.
#[derive(Debug)]
pub(super) struct Containers(Vec<Container>);

#[derive(Debug)]
struct Container {
    service: ServiceName,
    standing: ServiceStanding,
    /// Whether it is in use now.
    live: bool,
    /// Whether it was made and has never run.
    created: bool,
    /// Where Compose was called when it was made.
    directory: Option<PathBuf>,
}

impl Containers {
    pub(super) fn parse(json: &[u8], version: &ComposeVersion) -> Result<Self, ComposeError> {
        let answer = |what: String| ComposeError::Answer { doing: Task::Containers.to_string(), what };
        let lines = lines(json).map_err(answer)?;
        let mut containers = Vec::new();
        for line in lines {
            let Some(labels) = &line.labels else {
                return Err(ComposeError::TooOld { found: version.to_string(), needed: "2.21" });
            };
            let one_off = label(labels, ONE_OFF).is_some_and(|value| value.eq_ignore_ascii_case("true"));
            if let (Ok(service), false) = (line.service.parse(), one_off) {
                containers.push(Container {
                    service,
                    standing: standing(&line),
                    live: matches!(line.state.as_str(), "running" | "restarting" | "paused"),
                    created: line.state == "created",
                    directory: label(labels, WORKING_DIRECTORY).map(PathBuf::from),
                });
            }
        }
        Ok(Self(containers))
    }

    /// Refuses where a container that is in use was made from another directory than this one.
    pub(super) fn check_place(&self, project: &ProjectName, here: &Path) -> Result<(), ComposeError> {
        let mut live = self.0.iter().filter(|container| container.live);
        let elsewhere = live.find_map(|container| {
            let there = container.directory.as_deref()?;
            (!same(there, here)).then_some((&container.service, there))
        });
        match elsewhere {
            Some((service, there)) => Err(ComposeError::Elsewhere {
                project: project.clone(),
                directories: format!(
                    "{service} was started from {}, and the project is seen at {}",
                    there.display(),
                    here.display()
                )
                .into(),
            }),
            None => Ok(()),
        }
    }

    /// Whether a service has a container.
    pub(super) fn has(&self, service: &ServiceName) -> bool {
        self.0.iter().any(|container| container.service == *service)
    }

    /// Whether a service has containers and none of them has ever run.
    pub(super) fn only_created(&self, service: &ServiceName) -> bool {
        let mut own = self.0.iter().filter(|container| container.service == *service).peekable();
        own.peek().is_some() && own.all(|container| container.created)
    }

    /// How each service stands that has a container: like the one of its containers that is the furthest from healthy.
    pub(super) fn standing(&self) -> BTreeMap<ServiceName, ServiceStanding> {
        let mut standing: BTreeMap<ServiceName, ServiceStanding> = BTreeMap::new();
        for container in &self.0 {
            let worst = standing.entry(container.service.clone()).or_insert(container.standing);
            if rank(container.standing) > rank(*worst) {
                *worst = container.standing;
            }
        }
        standing
    }
}

fn lines(json: &[u8]) -> Result<Vec<Line>, String> {
    let wrong = |error: serde_json::Error| {
        format!("not the expected JSON (line {}, column {})", error.line(), error.column())
    };
    if json.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice(json).map_err(wrong);
    }
    serde_json::Deserializer::from_slice(json).into_iter().collect::<Result<_, _>>().map_err(wrong)
}

fn standing(line: &Line) -> ServiceStanding {
    match (line.state.as_str(), line.health.as_str()) {
        ("running", "healthy") => ServiceStanding::Healthy,
        ("running", "starting") => ServiceStanding::Starting,
        ("running", "unhealthy") => ServiceStanding::Unhealthy,
        ("running", _) => ServiceStanding::Running,
        ("exited" | "dead", _) => ServiceStanding::Exited(line.exit_code),
        _ => ServiceStanding::NotRunning,
    }
}

fn rank(standing: ServiceStanding) -> u8 {
    match standing {
        ServiceStanding::Healthy => 0,
        ServiceStanding::Running => 1,
        ServiceStanding::Starting => 2,
        ServiceStanding::Unhealthy => 3,
        ServiceStanding::Exited(0) => 4,
        ServiceStanding::Exited(_) => 5,
        ServiceStanding::NotRunning => 6,
        ServiceStanding::Absent => 7,
    }
}

/// The value of a label. Commas stand between labels and within values: what has no `=` goes on with the last value.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let begins =
        |at: usize| labels.get(..at).is_some_and(|before| before.is_empty() || before.ends_with(','));
    let at = labels
        .match_indices(name)
        .map(|(at, _)| at)
        .find(|at| begins(*at) && labels.get(at + name.len()..).is_some_and(|rest| rest.starts_with('=')))?;
    let value = labels.get(at + name.len() + 1..)?;
    let mut end = 0;
    for (index, part) in value.split(',').enumerate() {
        if index > 0 && part.contains('=') {
            break;
        }
        end += part.len() + usize::from(index > 0);
    }
    value.get(..end)
}

/// Whether two paths are written for the same directory; links are not followed, since those of the host are not ours.
fn same(one: &Path, other: &Path) -> bool {
    let parts = |path: &Path| -> Vec<std::ffi::OsString> {
        path.components()
            .filter(|part| !matches!(part, Component::CurDir))
            .map(|part| part.as_os_str().to_owned())
            .collect()
    };
    parts(one) == parts(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(service: &str, state: &str, health: &str, exit: i32, labels: &str) -> String {
        format!(
            r#"{{"Command":"\"sleep\"","ExitCode":{exit},"Health":"{health}","Labels":"{labels}","Name":"nova-{service}-1","Service":"{service}","State":"{state}"}}"#
        )
    }

    fn parsed(text: &str) -> Result<Containers, ComposeError> {
        Containers::parse(text.as_bytes(), &"2.26.1-4".parse().unwrap())
    }

    fn labels(directory: &str, one_off: &str) -> String {
        format!(
            "com.docker.compose.depends_on=db:service_healthy:false,cache:service_started:true,com.docker.compose.oneoff={one_off},com.docker.compose.project.working_dir={directory},com.docker.compose.version=2.26.1"
        )
    }

    fn place(containers: &str, here: &str) -> Result<(), ComposeError> {
        parsed(containers).unwrap().check_place(&"nova".parse().unwrap(), Path::new(here))
    }

    #[test]
    fn services_stand_like_their_worst_container() {
        use ServiceStanding as Standing;
        let here = labels("/srv/nova", "False");
        let standing = |containers: &[(&str, &str, i32)]| {
            let lines: Vec<String> = containers
                .iter()
                .map(|(state, health, exit)| line("a", state, health, *exit, &here))
                .collect();
            parsed(&lines.join("\n")).unwrap().standing().get("a").copied()
        };
        for (containers, expect) in [
            (&[][..], None),
            (&[("running", "", 0)], Some(Standing::Running)),
            (&[("running", "healthy", 0)], Some(Standing::Healthy)),
            (&[("running", "starting", 0)], Some(Standing::Starting)),
            (&[("running", "unhealthy", 0)], Some(Standing::Unhealthy)),
            (&[("exited", "unhealthy", 137)], Some(Standing::Exited(137))),
            (&[("restarting", "", 1)], Some(Standing::NotRunning)),
            (&[("paused", "healthy", 0)], Some(Standing::NotRunning)),
            (&[("running", "healthy", 0), ("running", "healthy", 0)], Some(Standing::Healthy)),
            (&[("running", "healthy", 0), ("exited", "", 0)], Some(Standing::Exited(0))),
            (&[("exited", "", 0), ("exited", "", 3), ("running", "", 0)], Some(Standing::Exited(3))),
        ] {
            assert_eq!(standing(containers), expect, "{containers:?}");
        }
    }

    #[test]
    fn what_somebody_runs_by_hand_is_no_part_of_a_service() {
        let containers = line("a", "running", "", 0, &labels("/srv/nova", "True"));
        assert!(parsed(&containers).unwrap().standing().is_empty());
        place(&containers, "/project").expect("nor does it say where the project is");
    }

    #[test]
    fn running_containers_of_another_directory_are_noticed() {
        let running = |directory: &str| line("db", "running", "healthy", 0, &labels(directory, "False"));
        place(&running("/srv/nova"), "/srv/nova").unwrap();
        place(&running("/srv/nova"), "/srv/nova/").unwrap();
        place(&running("/srv/a,b"), "/srv/a,b").unwrap();
        for here in ["/project", "/srv/nova2", "/srv", "/srv/nova/nova", "/srv/x/../nova"] {
            let error = place(&running("/srv/nova"), here).unwrap_err();
            assert!(matches!(error, ComposeError::Elsewhere { .. }), "{here}: {error:?}");
            assert!(!error.to_string().contains("/srv"), "{error}");
        }
        for state in ["restarting", "paused"] {
            place(&line("db", state, "", 0, &labels("/srv/nova", "False")), "/project").unwrap_err();
        }
        for state in ["exited", "created", "dead"] {
            place(&line("db", state, "", 0, &labels("/srv/nova", "False")), "/project").unwrap();
        }
        let both = format!("{}\n{}", running("/project"), running("/srv/nova"));
        place(&both, "/project").unwrap_err();
        place("", "/project").expect("nothing runs, nothing can be lost");
    }

    #[test]
    fn what_an_older_compose_says_is_not_enough() {
        // Compose 2.17: an array, and no labels.
        let array = r#"[{"ID":"5355","Name":"nova-db-1","Command":"x","Project":"nova","Service":"db","State":"running","Health":"","ExitCode":0,"Publishers":[]}]"#;
        let error = parsed(array).unwrap_err();
        assert!(matches!(error, ComposeError::TooOld { needed: "2.21", .. }), "{error:?}");
        assert!(parsed("[]").unwrap().standing().is_empty());
        for text in ["hunter2", "{}", r#"{"Service":1}"#] {
            let error = format!("{:?}", parsed(text).unwrap_err());
            assert!(error.contains("not the expected JSON") && !error.contains("hunter2"), "{error}");
        }
    }
}
