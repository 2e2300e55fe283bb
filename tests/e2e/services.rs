//! The services of a platform on a real engine, as they are shown, restarted and read over HTTP.

use std::{
    os::unix::net::UnixListener,
    time::{Duration, Instant},
};

use recovery_testkit::servers::{DockerEngine, DockerProject};
use reqwest::Method;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::service::{BASE, Service, World, until};

const SERVICES: &str = r#"
x-sleeper: &sleeper
  image: debian:trixie-slim
  init: true
  command: [sleep, infinity]
  restart: unless-stopped
  networks: [inside]
services:
  postgres:
    <<: *sleeper
  redis:
    <<: *sleeper
  chat-api:
    <<: *sleeper
    command: [sh, -c, 'echo chat is served; touch /well; exec sleep infinity']
    healthcheck: {test: [CMD, test, -e, /well], interval: 200ms, timeout: 5s, retries: 2}
    depends_on: [postgres]
  dashboard:
    <<: *sleeper
  worker:
    <<: *sleeper
  migrate:
    <<: *sleeper
    command: ["true"]
    restart: "no"
  tailscale:
    <<: *sleeper
    profiles: [tailscale]
networks:
  inside: {internal: true}
"#;

pub(crate) struct Platform {
    pub(crate) engine: DockerEngine,
    pub(crate) project: DockerProject,
    pub(crate) world: World,
}

impl Platform {
    pub(crate) fn new() -> Self {
        Self::of(SERVICES)
    }

    /// A platform of these services.
    pub(crate) fn of(services: &str) -> Self {
        let engine = DockerEngine::shared();
        let project = engine.project(services);
        project.compose(&["up", "--detach"]);
        let world = World::new()
            .with("DOCKER_HOST", engine.host())
            .with("COMPOSE_PROJECT_NAME", project.name())
            .with("COMPOSE_PROJECT_DIR", project.directory().to_str().unwrap());
        Self { engine, project, world }
    }

    /// `docker COMMAND` on the one container of a service.
    fn docker(&self, command: &str, service: &str) {
        self.engine.docker(&[command, &self.project.container(service)]);
    }

    fn started_at(&self, service: &str) -> String {
        let format = "{{.State.StartedAt}}";
        self.engine.docker(&["inspect", "--format", format, &self.project.container(service)])
    }
}

/// A service in the list; null where it is not in it.
async fn listed(service: &Service, name: &str) -> Value {
    let answer = service.send(service.request(Method::GET, &format!("{BASE}/services"))).await.assert_ok();
    answer.as_array().unwrap().iter().find(|entry| entry["service"] == name).cloned().unwrap_or_default()
}

async fn until_it_is(service: &Service, name: &str, status: &str, health: &str) {
    until(&format!("{name} to be seen as {status} and {health}"), async || {
        let listed = listed(service, name).await;
        (&listed["status"], &listed["health"]) == (&json!(status), &json!(health))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_services_is_seen() {
    let platform = Platform::new();
    let service = platform.world.serve().await;
    until_it_is(&service, "chat-api", "running", "healthy").await;
    until_it_is(&service, "postgres", "running", "none").await;
    until_it_is(&service, "orchestrator", "not_found", "none").await;
    assert_eq!(listed(&service, "migrate").await, Value::Null, "a job that is done is not missed");
    assert_eq!(listed(&service, "tailscale").await, Value::Null);

    platform.docker("stop", "worker");
    until_it_is(&service, "worker", "exited", "none").await;
    platform.docker("start", "worker");
    until_it_is(&service, "worker", "running", "none").await;
    platform.docker("kill", "worker");
    until_it_is(&service, "worker", "exited", "none").await;
    let exit = listed(&service, "worker").await["last_exit"].clone();
    assert_eq!(exit["code"], 137);
    let at = OffsetDateTime::parse(exit["at"].as_str().unwrap(), &Rfc3339).unwrap();
    assert!((OffsetDateTime::now_utc() - at).abs() < time::Duration::minutes(1), "{exit}");
    platform.docker("start", "worker");
    platform.docker("pause", "chat-api");
    until_it_is(&service, "chat-api", "paused", "unknown").await;
    platform.docker("unpause", "chat-api");
    until_it_is(&service, "chat-api", "running", "healthy").await;
    let chat = platform.project.container("chat-api");
    platform.engine.docker(&["exec", &chat, "rm", "/well"]);
    until_it_is(&service, "chat-api", "running", "unhealthy").await;
    platform.project.compose(&[
        "up",
        "--detach",
        "--no-deps",
        "--no-recreate",
        "--scale",
        "worker=3",
        "worker",
    ]);
    until("three workers", async || {
        listed(&service, "worker").await["replicas"] == json!({"total": 3, "up": 3})
    })
    .await;

    let status = service.get_json("/status").await.assert_ok();
    // Of the core, three are not there and the chat is unwell; the workers are well.
    let services = &status["services"];
    assert_eq!((&services["up"], &services["down"], &services["total"]), (&json!(4), &json!(4), &json!(8)));
    let dependencies = status["dependencies"].as_array().unwrap();
    let docker = dependencies.iter().find(|dependency| dependency["name"] == "docker").unwrap();
    assert_eq!(docker["state"], "up");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_restarted_and_their_logs_read() {
    let platform = Platform::new();
    let service = platform.world.serve().await;
    let before = platform.started_at("chat-api");
    let answer = service.post("/services/chat-api/restart").await.assert_ok();
    assert_eq!(
        answer,
        json!({"service": "chat-api", "action": "restarted", "ok": true, "also_restarted": []})
    );
    assert_ne!(platform.started_at("chat-api"), before);
    assert_eq!(listed(&service, "chat-api").await["health"], "healthy", "the answer came when it was well");

    let logs = service.get_json("/services/chat-api/logs?tail=1").await.assert_ok();
    assert_eq!(logs["lines"].as_array().unwrap().len(), 1);
    assert_eq!(logs["lines"][0]["text"], "chat is served");

    let postgres = platform.started_at("postgres");
    service.post("/services/postgres/restart").await.assert_problem(403, "critical_service");
    for name in ["post", "..%2Fchat-api", "nova-postgres", "Chat-Api"] {
        service.post(&format!("/services/{name}/restart")).await.assert_problem(404, "not_found");
    }
    let all = service.post("/services/restart-all").await.assert_ok();
    let results: Vec<(&str, bool)> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|result| (result["service"].as_str().unwrap(), result["ok"].as_bool().unwrap()))
        .collect();
    assert_eq!(results, [("chat-api", true), ("worker", true), ("dashboard", true)]);
    assert_eq!(platform.started_at("postgres"), postgres);

    let confirmed = service.admin(Method::POST, "/services/postgres/restart");
    service.send(confirmed.json(&json!({"confirm": "postgres"}))).await.assert_ok();
    assert_ne!(platform.started_at("postgres"), postgres);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_never_answers_holds_up_nobody() {
    let world = World::new();
    let path = world.directory.path().join("silent.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let world = world.with("DOCKER_HOST", format!("unix://{}", path.display()));
    let service = world.serve().await;
    let quick = async |path: &str, limit: Duration| {
        let began = Instant::now();
        let answer = service.send(service.request(Method::GET, path)).await;
        assert!(began.elapsed() < limit, "{path}: {:?}", began.elapsed());
        answer.assert_ok()
    };
    quick("/health/live", Duration::from_secs(1)).await;
    let services = quick(&format!("{BASE}/services"), Duration::from_secs(1)).await;
    assert_eq!(
        (services[0]["service"].as_str(), services[0]["status"].as_str()),
        (Some("postgres"), Some("unknown"))
    );
    quick(&format!("{BASE}/status"), Duration::from_secs(5)).await;
    until("the engine to be known as down", async || {
        let status = quick(&format!("{BASE}/status"), Duration::from_secs(5)).await;
        let dependencies = status["dependencies"].as_array().unwrap();
        dependencies.iter().any(|dependency| dependency["name"] == "docker" && dependency["state"] == "down")
    })
    .await;
    service.post("/services/chat-api/restart").await.assert_problem(503, "dependency_unavailable");
    service.backup().await;
}
