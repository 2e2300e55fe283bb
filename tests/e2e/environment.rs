//! The environment of a platform, with a real file and the real Compose.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use recovery_testkit::servers::DockerEngine;
use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{Answer, BASE, Service, World, until};

/// What a Compose file may demand of a variable: that it is a port, and that it has a value.
const SERVICES: &str = "
services:
  chat-api:
    image: x
    ports: ['127.0.0.1:${SELFMOD_RATE_LIMIT_PER_HOUR:-8080}:80']
    environment:
      LEVEL: ${LOG_LEVEL:?}
      MODEL: ${VLLM_MODEL-}
      TOKEN: ${HF_TOKEN-}
      PASSWORD: ${POSTGRES_PASSWORD}
";

const ENV: &[u8] = b"\xef\xbb\xbf# Gr\xfc\xdfe\r\nPOSTGRES_PASSWORD='pa$$w hunter2' # from the vault\r\n\
    LOG_LEVEL=debug\r\nexport LOG_LEVEL=info   # for now\r\nHF_TOKEN=hf_hunter2hunter2\r\nOPENAI_API_KEY=sk-hunter2";

struct Platform {
    world: World,
}

impl Platform {
    fn new() -> Self {
        let world = World::new();
        let project = world.directory.path().join("project");
        fs::create_dir(&project).unwrap();
        fs::write(project.join("docker-compose.yml"), SERVICES).unwrap();
        fs::write(project.join(".env"), ENV).unwrap();
        let world = world
            .with("COMPOSE_PROJECT_NAME", "nova-env")
            .with("COMPOSE_PROJECT_DIR", project.to_str().unwrap())
            .with("NOVA_ENV_FILE", project.join(".env").to_str().unwrap());
        Self { world }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.directory.path().join("project").join(name)
    }

    fn env(&self) -> Vec<u8> {
        fs::read(self.path(".env")).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A variable as Compose itself would give it to the service.
    fn as_compose_reads(&self, name: &str) -> Value {
        let output = Command::new(DockerEngine::compose_program())
            .args(["--project-directory", self.path("").to_str().unwrap(), "config", "--format", "json"])
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let config: Value = serde_json::from_slice(&output.stdout).unwrap();
        let value = config["services"]["chat-api"]["environment"][name].as_str().unwrap();
        // Compose prints a `$` as it would have to stand in a Compose file.
        value.replace("$$", "$").into()
    }
}

async fn patch(service: &Service, updates: Value) -> Answer {
    service.send(service.admin(Method::PATCH, "/env").json(&json!({ "updates": updates }))).await
}

fn assert_no_secret(text: &str) {
    assert!(!text.contains("hunter2") && !text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn the_environment_is_shown_and_changed_as_compose_reads_it() {
    let platform = Platform::new();
    let mut service = platform.world.serve().await;
    let shown = service.get_json("/env").await;
    let tag = shown.headers["etag"].clone();
    assert_eq!(shown.assert_ok(), json!({ "HF_TOKEN": "hf_h...ter2", "LOG_LEVEL": "info" }));

    let model = r#"it's a "model" \ with $HOME and # all"#;
    let updates = json!({ "LOG_LEVEL": "warning", "VLLM_MODEL": model, "HF_TOKEN": "hf_h...ter2" });
    let changed = patch(&service, updates.clone()).await;
    assert_ne!(changed.headers["etag"], tag);
    assert_eq!(changed.assert_ok(), updates);
    let mut expect = ENV.to_vec();
    let at = expect.windows(5).position(|window| window == b"=info").unwrap();
    expect.splice(at..at + 5, *b"=warning");
    expect.extend_from_slice(b"\r\nVLLM_MODEL=\"it's a \\\"model\\\" \\\\ with \\$HOME and # all\"\r\n");
    assert_eq!(String::from_utf8_lossy(&platform.env()), String::from_utf8_lossy(&expect));
    assert_eq!(platform.env(), expect, "no other byte has changed");
    assert_eq!(fs::read(platform.path(".env.previous")).unwrap(), ENV);
    assert_eq!(platform.names(), [".env", ".env.previous", "docker-compose.yml"]);
    for (name, value) in [
        ("LEVEL", "warning"),
        ("MODEL", model),
        ("TOKEN", "hf_hunter2hunter2"),
        ("PASSWORD", "pa$$w hunter2"),
    ] {
        assert_eq!(platform.as_compose_reads(name), value, "{name}");
    }

    let get = platform.world.run(&["env", "get", "VLLM_MODEL"]);
    assert_eq!((get.status.code(), String::from_utf8(get.stdout).unwrap()), (Some(0), format!("{model}\n")));
    let through = ["--url", &service.url, "env", "get"];
    assert_eq!(platform.world.run_json(&through), platform.world.run_json(&["env", "get"]));
    assert_eq!(platform.world.run_json(&through)["HF_TOKEN"], "hf_h...ter2");
    for (arguments, status) in [
        (&["env", "get", "POSTGRES_PASSWORD"][..], 3),
        (&["env", "set", "POSTGRES_PASSWORD=x"], 2),
        (&["env", "set", "HF_TOKEN=x"], 2),
        (&["env", "set", "SELFMOD_RATE_LIMIT_PER_HOUR=x"], 2),
        (&["--url", &service.url, "env", "set", "PATH=x"], 2),
        // It has this value already.
        (&["env", "set", "LOG_LEVEL=warning"], 0),
        (&["--url", &service.url, "env", "set", "LOG_LEVEL=warning"], 0),
    ] {
        let output = platform.world.run(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
    }
    assert_eq!(platform.env(), expect);

    let late = service
        .admin(Method::PATCH, "/env")
        .header("If-Match", tag)
        .json(&json!({ "updates": { "LOG_LEVEL": "s3cret" } }));
    service.send(late).await.assert_problem(412, "precondition_failed");
    for (updates, status, code) in [
        (json!({ "SELFMOD_RATE_LIMIT_PER_HOUR": "s3cret" }), 422, "environment_refused"),
        (json!({ "LOG_LEVEL": "" }), 422, "environment_refused"),
        (json!({ "LOG_LEVEL": "s3cret\n" }), 422, "invalid_body"),
        (json!({ "LOG_LEVEL": "x", "POSTGRES_PASSWORD": "s3cret" }), 400, "invalid_request"),
        (json!({ "COMPOSE_FILE": "s3cret.yml" }), 400, "invalid_request"),
    ] {
        let refused = patch(&service, updates).await;
        refused.assert_problem(status, code);
        assert_no_secret(&refused.body.to_string());
        assert_eq!(platform.env(), expect, "nothing is written");
    }

    let audit = service.get_json("/audit?limit=100").await.assert_ok();
    let outcomes: Vec<&str> =
        audit.as_array().unwrap().iter().map(|entry| entry["outcome"].as_str().unwrap()).collect();
    // Of the command line, three times refused and twice done.
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "succeeded").count(), 1 + 2);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "refused").count(), 6 + 3);
    let state = platform.world.backups().join(".state");
    assert_no_secret(&fs::read_to_string(state.join("audit.jsonl")).unwrap());
    assert!(
        fs::read_dir(&state)
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_string_lossy().starts_with("env-candidate") })
    );
    service.stop().await;
    assert_no_secret(&service.log());
}

#[tokio::test]
async fn a_file_that_is_away_or_broken_is_told_and_is_used_once_it_is_there() {
    let platform = Platform::new();
    let service = platform.world.serve().await;
    fs::remove_file(platform.path(".env")).unwrap();
    service.get_json("/env").await.assert_problem(503, "storage_unavailable");
    patch(&service, json!({ "LOG_LEVEL": "x" })).await.assert_problem(503, "storage_unavailable");
    assert_eq!(platform.names(), ["docker-compose.yml"], "none is made");

    fs::create_dir(platform.path(".env")).unwrap();
    service.get_json("/env").await.assert_problem(503, "storage_unavailable");
    fs::remove_dir(platform.path(".env")).unwrap();

    fs::write(platform.path(".env"), "A=1\nHF_TOKEN=\"hunter2\n").unwrap();
    let broken = service.get_json("/env").await;
    broken.assert_problem(409, "conflict");
    assert!(broken.body["detail"].as_str().unwrap().contains("line 2"), "{broken:?}");
    assert_no_secret(&broken.body.to_string());
    patch(&service, json!({ "LOG_LEVEL": "x" })).await.assert_problem(409, "conflict");

    // A megabyte in one line.
    let long = format!("LOG_LEVEL=info\nLONG={}\n", "x".repeat(1024 * 1024));
    fs::write(platform.path(".env"), &long).unwrap();
    patch(&service, json!({ "LOG_LEVEL": "debug" })).await.assert_ok();
    assert!(platform.env() == long.replace("=info", "=debug").as_bytes());

    let large = "x".repeat(2 * 1024 * 1024);
    let request = service.admin(Method::PATCH, "/env").json(&json!({ "updates": { "LOG_LEVEL": large } }));
    service.send(request).await.assert_problem(413, "body_too_large");
}

#[tokio::test]
async fn a_service_that_is_killed_while_it_writes_leaves_a_whole_file() {
    let platform = Platform::new();
    // Without a Compose file there is nobody to ask, so that it writes more often.
    fs::remove_file(platform.path("docker-compose.yml")).unwrap();
    let tail = "x".repeat(50_000);
    let content = |level: usize| format!("LOG_LEVEL={level}\nLONG={tail}\n");
    for round in 0..2 {
        fs::write(platform.path(".env"), content(0)).unwrap();
        let mut service = platform.world.serve().await;
        let request = |level: usize| {
            service
                .request(Method::PATCH, &format!("{BASE}/env"))
                .header("X-Admin-Secret", crate::service::SECRET)
                .json(&json!({ "updates": { "LOG_LEVEL": level.to_string() } }))
        };
        let requests: Vec<_> = (1..500).map(request).collect();
        let writing = tokio::spawn(async move {
            for request in requests {
                if request.send().await.is_err() {
                    return;
                }
            }
        });
        let enough = format!("LOG_LEVEL={}", 3 + 5 * round);
        until("some changes", async || platform.env().starts_with(enough.as_bytes())).await;
        service.kill();
        writing.await.unwrap();
        let text = String::from_utf8(platform.env()).unwrap();
        let level: usize =
            text.strip_prefix("LOG_LEVEL=").unwrap().split('\n').next().unwrap().parse().unwrap();
        assert!(text == content(level), "round {round}: a half is written, {} bytes", text.len());
        let service = platform.world.serve().await;
        patch(&service, json!({ "LOG_LEVEL": "last" })).await.assert_ok();
        assert_eq!(platform.names(), [".env", ".env.previous"], "nothing is left lying about");
    }
}
