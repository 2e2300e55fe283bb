//! The stack under `docker/`: the service's own image beside a PostgreSQL 17, a Redis and stand-ins for Nova's services,
//! as `docker compose -f docker/compose.yml up -d` starts it.

use std::{fs, path::PathBuf, process::Command};

use recovery_testkit::servers::{DockerEngine, DockerProject, free_port};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::service::{BASE, SECRET, until};

/// The two Compose files in a directory of the test's own, as a checkout would have them.
pub(crate) struct Stack {
    pub engine: DockerEngine,
    pub project: DockerProject,
    port: u16,
    client: Client,
}

impl Stack {
    /// Starts it; `more` stands in its `.env` besides what the test needs.
    pub(crate) fn start(more: &str) -> Self {
        let engine = DockerEngine::shared();
        let project = engine.project("services: {}");
        let stack = Self { engine, project, port: free_port(), client: Client::new() };
        let here = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docker"));
        fs::create_dir(stack.path("docker")).unwrap();
        for name in ["compose.yml", "compose.sample.yml"] {
            fs::copy(here.join(name), stack.path("docker").join(name)).unwrap();
        }
        let image = std::env::var("NOVA_RECOVERY_IMAGE").expect(
            "NOVA_RECOVERY_IMAGE names the service's image; `cargo xtask test` builds it and sets this",
        );
        stack.project.write(
            "docker/.env",
            &format!(
                "# The stack of a test.\nCOMPOSE_PROJECT_NAME={}\nDOCKER_SOCKET={}\nRECOVERY_IMAGE={image}\n\
                 RECOVERY_PORT={}\nNOVA_ADMIN_SECRET={SECRET}\nCOMPOSE_FILE=compose.yml:compose.sample.yml\n\
                 COMPOSE_PROFILES=\nLOG_LEVEL=info # of the others\n{more}",
                stack.project.name(),
                stack.engine.socket().display(),
                stack.port,
            ),
        );
        stack.up();
        stack
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.project.path(name)
    }

    /// `docker compose -f docker/compose.yml -f docker/compose.sample.yml up -d` in the repository's root.
    pub(crate) fn up(&self) {
        let mut compose = Command::new(DockerEngine::compose_program());
        compose.env_clear().env("PATH", "/usr/bin:/bin").env("DOCKER_HOST", self.engine.host());
        compose.env("PWD", self.project.directory()).current_dir(self.project.directory());
        compose.args(["-f", "docker/compose.yml", "-f", "docker/compose.sample.yml", "up", "-d"]);
        let output = compose.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What the engine knows of a service's one container.
    pub(crate) fn inspect(&self, service: &str) -> Value {
        let json = self.engine.docker(&["inspect", &self.project.container(service)]);
        let list: Value = serde_json::from_str(&json).unwrap();
        list[0].clone()
    }

    pub(crate) async fn until_healthy(&self, service: &str) {
        until(&format!("{service} to be healthy"), async || {
            self.inspect(service)["State"]["Health"]["Status"] == "healthy"
        })
        .await;
    }

    /// Runs SQL in the PostgreSQL container.
    pub(crate) fn psql(&self, sql: &str) -> String {
        let container = self.project.container("postgres");
        let psql = ["exec", &container, "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "nova", "-c", sql];
        self.engine.docker(&psql).trim().to_owned()
    }

    /// Runs a command in the service's container.
    pub(crate) fn recovery(&self, args: &[&str]) -> String {
        let container = self.project.container("recovery");
        self.engine.docker(&[&["exec", &container, "nova-recovery"], args].concat())
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("http://127.0.0.1:{}{BASE}{path}", self.port);
        let mut request = self.client.request(method, url).header("X-Admin-Secret", SECRET);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    pub(crate) async fn ok(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!(status, 200, "{path}: {answer}\n{}", self.log());
        answer
    }

    fn log(&self) -> String {
        self.engine.docker(&["logs", "--tail", "30", &self.project.container("recovery")])
    }
}

#[tokio::test]
async fn the_stack_backs_its_database_up_and_looks_after_its_services() {
    // All but Compose goes through the proxy.
    let stack = Stack::start("COMPOSE_PROFILES=socket-proxy\nDOCKER_SDK_HOST=tcp://socket-proxy:2375\n");
    for service in ["recovery", "postgres", "redis", "orchestrator", "chat-api"] {
        stack.until_healthy(service).await;
    }
    let recovery = stack.inspect("recovery");
    assert_eq!(recovery["HostConfig"]["ReadonlyRootfs"], true);
    assert_eq!(recovery["HostConfig"]["CapDrop"], json!(["ALL"]));
    assert_eq!(recovery["Config"]["ExposedPorts"], json!({ "8888/tcp": {} }));

    let by_proxy = |args: &[&str]| {
        let docker =
            ["exec", &stack.project.container("recovery"), "docker", "-H", "tcp://socket-proxy:2375"];
        stack.engine.try_docker(&[&docker[..], args].concat())
    };
    let database = stack.project.container("postgres");
    by_proxy(&["inspect", &database]).expect("what it takes to watch is let through");
    for refused in [
        &["exec", &database, "true"][..],
        &["rm", "--force", &database],
        &["stop", &database],
        &["volume", "ls"],
        &["create", DockerEngine::IMAGE],
    ] {
        let error = by_proxy(refused).expect_err("the proxy lets nothing else through");
        assert!(error.contains("403"), "{refused:?}: {error}");
    }

    // A backup of PostgreSQL 17 with its client programs, and back.
    stack.psql("CREATE EXTENSION vector");
    stack.psql("CREATE TABLE memories (id int PRIMARY KEY, at vector(3))");
    stack.psql("INSERT INTO memories SELECT i, '[1,2,3]' FROM generate_series(1, 1000) i");
    let backup = stack.ok(Method::POST, "/backups", None).await;
    assert_eq!(backup["verification"], "verified", "{backup}");
    for version in ["server_version", "client_version"] {
        assert!(backup[version].as_str().unwrap().starts_with("17."), "{backup}");
    }
    let file = backup["filename"].as_str().unwrap();
    assert!(stack.path("backups").join(file).exists(), "backups lie on the host");
    stack.psql("DROP TABLE memories");
    let restored = stack.ok(Method::POST, &format!("/backups/{file}/restore"), None).await;
    assert_eq!(restored["restored"], true);
    assert_eq!(stack.psql("SELECT count(*), sum(at) FROM memories"), "1000|[1000,2000,3000]");

    // Its services are seen and restarted; the database is not touched without its name.
    until("all services to be seen as up", async || {
        let (_, services) = stack.call(Method::GET, "/services", None).await;
        let core = services.as_array().map(Vec::as_slice).unwrap_or_default().iter().take(7);
        core.filter(|service| service["health"] == "healthy").count() == 7
    })
    .await;
    let database = stack.inspect("postgres");
    let before = stack.inspect("orchestrator")["State"]["StartedAt"].clone();
    let restarted = stack.ok(Method::POST, "/services/orchestrator/restart", None).await;
    let expect = json!({ "service": "orchestrator", "action": "restarted", "ok": true, "also_restarted": ["chat-api"] });
    assert_eq!(restarted, expect, "chat-api has `restart: true` for it");
    assert_ne!(stack.inspect("orchestrator")["State"]["StartedAt"], before);
    assert_eq!(stack.call(Method::POST, "/services/postgres/restart", None).await.0, 403);
    assert_eq!(stack.inspect("postgres")["State"]["StartedAt"], database["State"]["StartedAt"]);

    // The project's own `.env`, on the host.
    let before = fs::read_to_string(stack.path("docker/.env")).unwrap();
    let changed = stack.ok(Method::PATCH, "/env", Some(json!({ "updates": { "LOG_LEVEL": "debug" } }))).await;
    assert_eq!(changed["LOG_LEVEL"], "debug");
    let after = fs::read_to_string(stack.path("docker/.env")).unwrap();
    assert_eq!(after, before.replace("LOG_LEVEL=info # of the others", "LOG_LEVEL=debug # of the others"));
}

#[tokio::test]
async fn a_profile_is_started_from_inside_and_everything_else_stays_as_it_was() {
    let stack = Stack::start("NOVA_PROJECT_DIR=${PWD}/docker\n");
    stack.until_healthy("recovery").await;
    let database = stack.inspect("postgres");
    let unchanged = |stack: &Stack| {
        let now = stack.inspect("postgres");
        for part in ["Id", "Mounts"] {
            assert_eq!(now[part], database[part], "{part}");
        }
        assert_eq!(now["State"]["StartedAt"], database["State"]["StartedAt"]);
    };
    let change = |action: &str| Some(json!({ "profile": "website", "action": action }));
    let started = stack.ok(Method::POST, "/compose-profiles", change("start")).await;
    assert_eq!((&started["service"], &started["ok"]), (&json!("website"), &json!(true)), "{started}");
    stack.until_healthy("website").await;
    let env = || fs::read_to_string(stack.path("docker/.env")).unwrap();
    assert!(env().contains("COMPOSE_PROFILES=website\n"), "{}", env());
    unchanged(&stack);
    stack.ok(Method::POST, "/compose-profiles", change("stop")).await;
    assert_eq!(stack.inspect("website")["State"]["Running"], false);
    assert!(env().contains("COMPOSE_PROFILES=\n"), "{}", env());
    unchanged(&stack);

    // Mounted where the host does not have it, relative paths would lead to other directories.
    let moved = env().replace("NOVA_PROJECT_DIR=${PWD}/docker\n", "NOVA_PROJECT_DIR=/project\n");
    assert_ne!(moved, env());
    stack.project.write("docker/.env", &moved);
    stack.up();
    stack.until_healthy("recovery").await;
    let (status, problem) = stack.call(Method::POST, "/compose-profiles", change("start")).await;
    assert_eq!((status, &problem["code"]), (409, &json!("conflict")), "{problem}");
    assert!(problem["hint"].as_str().unwrap().contains("COMPOSE_PROJECT_DIR"), "{problem}");
    assert_eq!(stack.inspect("website")["State"]["Running"], false);
    unchanged(&stack);
    assert_eq!(env(), moved, "nothing is written where nothing is done");
}
