//! Compose profiles, with a real engine and a real Compose.

use std::fs;

use recovery_testkit::servers::{DockerEngine, DockerProject};
use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{Answer, Service, World, until};

/// A stand-in for the database with a directory of the project mounted, and a bridge that needs it.
const SERVICES: &str = "
x-sleeper: &sleeper
  image: debian:trixie-slim
  command: [sleep, infinity]
  stop_grace_period: 0s
services:
  postgres:
    <<: *sleeper
    volumes: ['./data:/var/lib/postgresql/data']
    environment: {PASSWORD: '${POSTGRES_PASSWORD:?}'}
  chat-bridge:
    <<: *sleeper
    profiles: [bridges]
    depends_on: [postgres]
  cloudflared:
    <<: *sleeper
    profiles: [cloudflare-tunnel]
    image: nova-recovery-nowhere.invalid/no/such:image
";

const ENV: &str = "# Nova\nPOSTGRES_PASSWORD='pa$$ss word' # from the vault\nCOMPOSE_PROFILES=website\n\
    CLOUDFLARE_TUNNEL_TOKEN=abcdefghijklmnopqrstuvwxyz\n";

struct Platform {
    engine: DockerEngine,
    project: DockerProject,
    world: World,
}

impl Platform {
    /// A project in which the database runs, and a world whose service looks after it.
    fn new() -> Self {
        let engine = DockerEngine::shared();
        let project = engine.project(SERVICES);
        project.write(".env", ENV);
        project.compose(&["up", "--detach", "postgres"]);
        let world = World::new()
            .with("DOCKER_HOST", engine.host())
            .with("COMPOSE_PROJECT_NAME", project.name())
            .with("COMPOSE_PROJECT_DIR", project.directory().to_str().unwrap())
            .with("NOVA_ENV_FILE", project.path(".env").to_str().unwrap());
        Self { engine, project, world }
    }

    /// What must never change of the database's container: its id, its start and its mounts.
    fn postgres(&self) -> String {
        let format = "{{.Id}} {{.State.StartedAt}} {{json .Mounts}}";
        self.engine.docker(&["inspect", "--format", format, &self.project.container("postgres")])
    }

    fn running(&self, service: &str) -> bool {
        let filter = format!("label=com.docker.compose.project={}", self.project.name());
        let format = "{{.Label \"com.docker.compose.service\"}}";
        let running = self.engine.docker(&["ps", "--filter", &filter, "--format", format]);
        running.lines().any(|name| name == service)
    }

    fn env(&self) -> String {
        fs::read_to_string(self.project.path(".env")).unwrap()
    }
}

async fn change(service: &Service, profile: &str, action: &str) -> Answer {
    let body = json!({ "profile": profile, "action": action });
    service.send(service.admin(Method::POST, "/compose-profiles").json(&body)).await
}

#[tokio::test]
async fn a_profile_is_started_and_stopped_and_the_database_is_left_alone() {
    let platform = Platform::new();
    let postgres = platform.postgres();
    assert!(postgres.contains("/var/lib/postgresql/data"));
    let service = platform.world.serve().await;

    let started = change(&service, "bridges", "start").await.assert_ok();
    assert_eq!(
        (&started["profile"], &started["service"], &started["action"], &started["ok"]),
        (&json!("bridges"), &json!("chat-bridge"), &json!("start"), &json!(true))
    );
    assert!(started["output"].as_str().unwrap().contains("chat-bridge-1 Started"), "{started}");
    assert_eq!(started.get("warnings"), None, "{started}");
    assert!(platform.running("chat-bridge"));
    assert_eq!(platform.env(), ENV.replace("=website\n", "=website,bridges\n"));
    // What Compose itself now takes for the project.
    let services = platform.project.compose(&["config", "--services"]);
    assert!(services.lines().any(|name| name == "chat-bridge"), "{services}");

    until("the container to be seen", async || {
        let chats = service.get_json("/chat-integrations/status").await.assert_ok();
        chats["container"]["running"] == true && chats["telegram"]["configured"] == false
    })
    .await;
    let access = service.get_json("/remote-access/status").await.assert_ok();
    assert_eq!(
        (&access["cloudflare"]["configured"], &access["tailscale"]["configured"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(access["cloudflare"]["container"]["status"], "not_found");

    let stopped = change(&service, "bridges", "stop").await.assert_ok();
    assert_eq!(stopped["action"], "stop");
    assert!(!platform.running("chat-bridge"));
    assert_eq!(platform.env(), ENV);
    assert_eq!(platform.postgres(), postgres, "the same container with the same mounts, not restarted");

    let status = service.get_json("/status").await.assert_ok();
    let dependencies = status["dependencies"].as_array().unwrap();
    let compose = dependencies.iter().find(|dependency| dependency["name"] == "compose").unwrap();
    assert_eq!(compose["state"], "up");
    assert!(compose["version"].as_str().unwrap().starts_with(|c: char| c.is_ascii_digit()), "{compose}");
}

#[tokio::test]
async fn what_keeps_a_profile_from_starting_is_named_and_nothing_changes() {
    let platform = Platform::new();
    let service = platform.world.serve().await;
    let answer = change(&service, "bridge", "start").await;
    answer.assert_problem(400, "invalid_request");
    assert_eq!(answer.body["hint"], "Profiles are bridges, cloudflare-tunnel.");

    let answer = change(&service, "cloudflare-tunnel", "start").await;
    answer.assert_problem(409, "conflict");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.starts_with("The image nova-recovery-nowhere.invalid/no/such:image"), "{detail}");

    platform.project.compose(&["stop", "postgres"]);
    let answer = change(&service, "bridges", "start").await;
    answer.assert_problem(409, "conflict");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.starts_with("The service chat-bridge needs postgres, which has ended"), "{detail}");
    assert!(!platform.running("postgres"), "what it needs is not started on the way");

    platform.project.write(
        "docker-compose.yml",
        "services:\n  chat-bridge: {image: x, profiles: [bridges], imagee: y}\n",
    );
    let answer = change(&service, "bridges", "start").await;
    answer.assert_problem(409, "conflict");
    assert!(answer.body["detail"].as_str().unwrap().contains("imagee"), "{answer:?}");
    assert_eq!(platform.env(), ENV);
}

#[tokio::test]
async fn a_project_that_is_mounted_elsewhere_is_not_changed() {
    let platform = Platform::new();
    let postgres = platform.postgres();
    let elsewhere = tempfile::tempdir().unwrap();
    for name in ["docker-compose.yml", ".env"] {
        fs::copy(platform.project.path(name), elsewhere.path().join(name)).unwrap();
    }
    let directory = elsewhere.path().to_str().unwrap().to_owned();
    let service = platform
        .world
        .serve_with(|command| {
            command.env("COMPOSE_PROJECT_DIR", &directory).env("NOVA_ENV_FILE", format!("{directory}/.env"));
        })
        .await;
    for action in ["start", "stop"] {
        let answer = change(&service, "bridges", action).await;
        answer.assert_problem(409, "conflict");
        let hint = answer.body["hint"].as_str().unwrap();
        assert!(hint.contains("at the path that it has on the host"), "{hint}");
        assert!(!answer.body.to_string().contains("/tmp"), "{answer:?}");
    }
    assert!(!platform.running("chat-bridge"));
    assert_eq!(platform.postgres(), postgres);
    let left: Vec<_> =
        fs::read_dir(elsewhere.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "no directory was made for a mount: {left:?}");
    assert_eq!(fs::read_to_string(elsewhere.path().join(".env")).unwrap(), ENV);
}

#[tokio::test]
async fn the_files_are_those_that_the_env_names() {
    let platform = Platform::new();
    platform.project.write("search.yml", "services:\n  searx: {image: 'debian:trixie-slim', command: [sleep, infinity], stop_grace_period: 0s, profiles: [search]}\n");
    platform.project.write(".env", &format!("{ENV}COMPOSE_FILE=docker-compose.yml:search.yml\n"));
    let service = platform.world.serve().await;
    change(&service, "search", "start").await.assert_ok();
    assert!(platform.running("searx") && platform.running("postgres"));
    until("the service to be listed", async || {
        let services = service.get_json("/services/all").await.assert_ok();
        let optional: &Vec<Value> = services["optional"].as_array().unwrap();
        optional.iter().any(|service| service["service"] == "searx" && service["profile"] == "search")
    })
    .await;
}
