//! The project of the contract on a real engine, and clients of it.

use std::sync::Arc;

use async_trait::async_trait;
use recovery_core::{ServiceName, container::Container, port::ContainerEngine};
use recovery_docker::DockerEngine as Client;
use recovery_testkit::{
    contract::{EngineDeed, EngineFixture},
    servers::{DockerEngine, DockerProject},
};

/// The services of the contract.
pub(crate) const SERVICES: &str = r#"
x-sleeper: &sleeper
  image: debian:trixie-slim
  command: [sleep, infinity]
  init: true
  restart: unless-stopped
services:
  talker:
    <<: *sleeper
    command: [sh, -c, 'echo out 1; echo out 2; echo out 3; echo err 1 >&2; exec sleep infinity']
  terminal:
    <<: *sleeper
    tty: true
    command: [sh, -c, 'echo one; echo two; exec sleep infinity']
  asks:
    <<: *sleeper
    depends_on:
      talker: {condition: service_started, restart: true}
  lodger:
    <<: *sleeper
    network_mode: service:talker
  well:
    <<: *sleeper
    healthcheck: {test: [CMD, "true"], interval: 200ms, timeout: 5s, retries: 2}
  sick:
    <<: *sleeper
    healthcheck: {test: [CMD, "false"], interval: 200ms, timeout: 5s, retries: 2}
  twice:
    <<: *sleeper
    scale: 2
  job:
    <<: *sleeper
    restart: "no"
    command: [sh, -c, 'exit 3']
"#;

pub(crate) struct Fixture {
    pub(crate) engine: DockerEngine,
    pub(crate) project: DockerProject,
    /// Another project, with a service of the same name.
    _other: DockerProject,
}

impl Fixture {
    /// The project of the contract, which runs.
    pub(crate) fn of_the_contract() -> Self {
        let engine = DockerEngine::shared();
        let (project, other) = (engine.project(SERVICES), engine.project(SERVICES));
        project.compose(&["up", "--detach"]);
        project.compose(&["run", "--detach", "--no-deps", "talker", "sleep", "infinity"]);
        other.compose(&["up", "--detach", "--no-deps", "talker"]);
        Self { engine, project, _other: other }
    }
}

#[async_trait]
impl EngineFixture for Fixture {
    fn engine(&self) -> Arc<dyn ContainerEngine> {
        Arc::new(client(&self.engine, &self.project))
    }

    async fn deed(&self, service: &str, deed: EngineDeed) {
        let id = self.project.container(service);
        let command: &[&str] = match deed {
            EngineDeed::Kill => &["kill"],
            EngineDeed::Pause => &["pause"],
            EngineDeed::Unpause => &["unpause"],
            EngineDeed::Remove => &["rm", "--force"],
        };
        self.engine.docker(&[command, &[&id]].concat());
    }
}

/// A client of an engine that looks at one project.
pub(crate) fn client(engine: &DockerEngine, project: &DockerProject) -> Client {
    Client::new(engine.host(), project.name().parse().unwrap()).unwrap()
}

/// The first container of a service, as it is now.
pub(crate) async fn container(client: &Client, service: &str) -> Container {
    let service: ServiceName = service.parse().unwrap();
    let snapshot = client.look().await.unwrap();
    snapshot.of_service(&service).next().unwrap().clone()
}
