//! A project with the services of the contract, and Compose over it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use recovery_core::{
    ServiceName,
    compose::ServiceStanding,
    port::{Compose, ComposeError},
};
use recovery_docker::{ComposeCli, ComposeSettings};
use recovery_process::ProcessRunner;
use recovery_testkit::{
    contract::ComposeFixture,
    servers::{DockerEngine, DockerProject},
};

/// The services of the contract; `base` has a directory of the project mounted, as PostgreSQL has.
pub(crate) const SERVICES: &str = r"
x-sleeper: &sleeper
  image: debian:trixie-slim
  command: [sleep, infinity]
  stop_grace_period: 0s
services:
  base:
    <<: *sleeper
    volumes: ['./data:/data']
    environment:
      VALUE: ${DEMANDED:?must be set}
  tool:
    <<: *sleeper
    profiles: [tools]
    depends_on: [base]
  helper:
    <<: *sleeper
    profiles: [tools, more]
    depends_on: [tool]
  needy:
    <<: *sleeper
    profiles: [needs]
    depends_on:
      gone: {condition: service_healthy}
  gone:
    <<: *sleeper
    profiles: [never]
  imageless:
    image: nova-recovery-nowhere.invalid/no/such:image
    profiles: [nowhere]
";

pub(crate) struct Fixture {
    pub(crate) engine: DockerEngine,
    pub(crate) project: DockerProject,
    /// Where the program is found under the name of a program of its own.
    programs: tempfile::TempDir,
    other: tempfile::TempDir,
}

impl Fixture {
    /// A project of these services. Nothing runs.
    pub(crate) fn new(services: &str) -> Self {
        Self::on(DockerEngine::shared(), services)
    }

    /// The same on this engine.
    pub(crate) fn on(engine: DockerEngine, services: &str) -> Self {
        let project = engine.project(services);
        project.write(".env", "DEMANDED=1\n");
        let programs = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(DockerEngine::compose_program(), programs.path().join("docker-compose"))
            .unwrap();
        Self { engine, project, programs, other: tempfile::tempdir().unwrap() }
    }

    /// The project of the contract, in which `base` runs.
    pub(crate) fn of_the_contract() -> Self {
        let fixture = Self::new(SERVICES);
        fixture.project.compose(&["up", "--detach", "base"]);
        fixture
    }

    pub(crate) fn settings(&self) -> ComposeSettings {
        ComposeSettings {
            project: self.project.name().parse().unwrap(),
            directory: self.project.directory().to_owned(),
            files: Arc::new(Vec::<PathBuf>::new()),
            env_file: self.project.path(".env"),
            engine: self.engine.host().to_owned(),
            path: self.programs.path().display().to_string(),
            patience: ComposeSettings::PATIENCE,
        }
    }

    pub(crate) fn with(&self, change: impl FnOnce(&mut ComposeSettings)) -> ComposeCli {
        let mut settings = self.settings();
        change(&mut settings);
        ComposeCli::new(settings, Arc::new(ProcessRunner::new()))
    }

    pub(crate) fn cli(&self) -> ComposeCli {
        self.with(|_| {})
    }

    /// The same files in another directory, as a container sees them that has the project mounted somewhere else.
    pub(crate) fn seen_at_another_path(&self) -> ComposeCli {
        for name in ["docker-compose.yml", ".env"] {
            std::fs::copy(self.project.path(name), self.other.path().join(name)).unwrap();
        }
        self.with(|settings| {
            settings.directory = self.other.path().to_owned();
            settings.env_file = self.other.path().join(".env");
        })
    }

    pub(crate) fn other_directory(&self) -> &Path {
        self.other.path()
    }

    /// Id, start and mounts of the container of a service, and how it stands.
    pub(crate) fn inspect(&self, service: &str) -> Option<(String, ServiceStanding)> {
        let filters = [
            format!("label=com.docker.compose.project={}", self.project.name()),
            format!("label=com.docker.compose.service={service}"),
        ];
        let ids = self.engine.docker(&[
            "ps",
            "--all",
            "--quiet",
            "--no-trunc",
            "--filter",
            &filters[0],
            "--filter",
            &filters[1],
        ]);
        let id = ids.split_whitespace().next()?;
        let format = "{{.State.Status}} {{.State.ExitCode}} {{.State.StartedAt}} {{json .Mounts}}";
        let text = self.engine.docker(&["inspect", "--format", format, id]);
        let mut words = text.splitn(3, ' ');
        let (state, status) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
        let standing = match state {
            "running" => ServiceStanding::Running,
            "exited" => ServiceStanding::Exited(status),
            _ => ServiceStanding::NotRunning,
        };
        Some((format!("{id} {}", words.next().unwrap()), standing))
    }
}

#[async_trait]
impl ComposeFixture for Fixture {
    fn compose(&self) -> Arc<dyn Compose> {
        Arc::new(self.cli())
    }

    fn elsewhere(&self) -> Arc<dyn Compose> {
        Arc::new(self.seen_at_another_path())
    }

    async fn container(&self, service: &str) -> Option<(String, ServiceStanding)> {
        self.inspect(service)
    }
}

pub(crate) fn names(services: &[&str]) -> Vec<ServiceName> {
    services.iter().map(|service| service.parse().unwrap()).collect()
}

pub(crate) async fn start(compose: &dyn Compose, services: &[&str]) -> Result<String, ComposeError> {
    compose.start(&names(services), &|_| {}).await
}
