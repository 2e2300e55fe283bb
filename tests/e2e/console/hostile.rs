//! Texts of others that would like to be more than text: wherever they come from, they are shown and do nothing.

use std::fs;

use serde_json::{Value, json};
use thirtyfour::By;

use super::{browser::Page, elsewhere::Elsewhere, with_gpu, world};
use crate::{
    service::{DATABASE, until},
    services::Platform,
};

/// Ends what it stands in, makes an element that runs something, and is an address that does.
const HOSTILE: &str = "</script><img src=x onerror=harm=1>javascript:harm=1";
/// The part of it that may be the name of a file.
const IMAGE: &str = "<img src=x onerror=harm=1>";

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_others_stay_texts() {
    let world = world();
    world.postgres.psql(DATABASE, &format!("CREATE TABLE \"{HOSTILE}\" (id int)"));
    let project = world.directory.path().join("project");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("docker-compose.yml"), "services: {chat-api: {image: x}}").unwrap();
    fs::write(project.join(".env"), format!("LOG_LEVEL='{HOSTILE}'\n")).unwrap();
    let world = world
        .with("COMPOSE_PROJECT_NAME", "nova-hostile")
        .with("COMPOSE_PROJECT_DIR", project.to_str().unwrap())
        .with("NOVA_ENV_FILE", project.join(".env").to_str().unwrap());
    let service = world.serve().await;
    let name = service.backup().await;
    // In the audit log, and in the words of an error.
    let change = json!({"profile": HOSTILE, "action": "start"});
    service.send(service.admin(reqwest::Method::POST, "/compose-profiles").json(&change)).await;

    let page = Page::signed_in(&service).await;
    page.until_text("#audit", HOSTILE).await;
    until("the value", async || {
        page.run("return document.getElementById('env-LOG_LEVEL')?.value").await == HOSTILE
    })
    .await;
    page.write("#env-new", "LOG_FORMAT").await;
    page.keys("\n").await;
    page.write("#env-LOG_FORMAT", HOSTILE).await;
    page.press("#environment", "Save 1 change").await;
    page.until_text("#environment [role=alert]", "LOG_FORMAT").await;

    // The table's name in the plan of a restore.
    page.press("#backups", &format!("Restore …: {name}")).await;
    page.until_text("dialog", HOSTILE).await;
    page.press("dialog", "Cancel").await;

    // A file whose name is markup.
    let file = world.directory.path().join(format!("{IMAGE}.tar"));
    fs::write(&file, "").unwrap();
    let input = page.driver.find(By::Css("#upload")).await.unwrap();
    input.send_keys(file.to_str().unwrap()).await.unwrap();
    page.until_text("#backup-list [role=alert]", IMAGE).await;
    unharmed(&page).await;

    // What runs strings as code or markup does not work in this page at all.
    let markup = "try { document.body.insertAdjacentHTML('beforeend', '<b></b>'); return 'done' } catch { return 'refused' }";
    assert_eq!(page.run(markup).await, json!("refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn models_and_what_they_say_stay_texts() {
    let elsewhere = Elsewhere::start(vec![
        (
            "/api/models",
            json!([{"id": "someone/Model-7B", "config": {"model_type": IMAGE}, "tags": [HOSTILE]}]),
        ),
        ("/api/tags", json!({"models": [{"name": "llama"}]})),
        ("/v1/chat/completions", json!({"choices": [{"message": {"content": format!("Try {HOSTILE}")}}]})),
    ]);
    let world = with_gpu(world(), IMAGE);
    let recommended = json!([{
        "id": "someone/Other-7B", "name": HOSTILE, "category": "chat", "min_vram_gb": 8, "parameters_b": 7,
        "backends": ["vllm"], "description": format!("about {HOSTILE}"),
    }]);
    let file = |name: &str, text: String| {
        let path = world.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let list = file("models.json", recommended.to_string());
    let env = file(".env", format!("OLLAMA_BASE_URL={}\n", elsewhere.address));
    let world = world
        .with("RECOMMENDED_MODELS_FILE", list)
        .with("HF_ENDPOINT", &elsewhere.address)
        .with("NOVA_ENV_FILE", env);
    let service = world.serve().await;
    let page = Page::signed_in(&service).await;
    page.until_text("#inference .details", IMAGE).await;
    page.until_text("#inference .rows", &format!("about {HOSTILE}")).await;

    page.element("#model-backend").await.send_keys("vllm").await.unwrap();
    page.write("#model-query", "model").await;
    page.keys("\n").await;
    page.until_text("#inference .rows", "someone/Model-7B").await;
    page.until_text("#inference .rows", IMAGE).await;

    page.write("#question", HOSTILE).await;
    page.keys("\n").await;
    page.until_text("#diagnostics .turn.is-user", HOSTILE).await;
    page.until_text("#diagnostics .turn.is-assistant", &format!("Try {HOSTILE}")).await;
    unharmed(&page).await;
}

const PLATFORM: &str = r#"
services:
  chat-api:
    image: debian:trixie-slim
    init: true
    network_mode: none
    command: [sh, -c, 'echo "ERROR: </script><img src=x onerror=harm=1>javascript:harm=1"; exec sleep infinity']
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_containers_say_stays_text() {
    let platform = Platform::of(PLATFORM);
    // Somebody else's container that claims to belong to the platform, under a name that no service can have.
    let project = format!("com.docker.compose.project={}", platform.project.name());
    let label = format!("com.docker.compose.service={HOSTILE}");
    let other = format!("{}-hostile", platform.project.name());
    let run = ["run", "--detach", "--rm", "--init", "--network", "none", "--name", &other];
    let labels = ["--label", &project, "--label", &label, "debian:trixie-slim", "sleep", "infinity"];
    platform.engine.docker(&[run.as_slice(), labels.as_slice()].concat());

    let service = platform.world.serve().await;
    let page = Page::signed_in(&service).await;
    page.until_text("[data-key=chat-api] .state", "Running").await;
    page.press("#services", "Log: chat-api").await;
    page.until_text("#log-chat-api", HOSTILE).await;
    page.press("#diagnostics", "Look for errors").await;
    page.until_text("#diagnostics .log", HOSTILE).await;
    unharmed(&page).await;
}

/// No text has become an element, and none has run.
async fn unharmed(page: &Page) {
    assert_eq!(page.run("return window.harm ?? null").await, Value::Null);
    let images = page.run("return [...document.images].map((image) => image.getAttribute('src'))").await;
    let own = |source: &Value| source.as_str().is_some_and(|source| source.starts_with("/console/"));
    assert!(images.as_array().unwrap().iter().all(own), "{images}");
    let elsewhere = "return [...document.querySelectorAll('[href], [src], [action]')]
        .map((e) => e.getAttribute('href') ?? e.getAttribute('src') ?? e.getAttribute('action'))
        .filter((address) => !/^(#|\\/(?!\\/))/.test(address))";
    assert_eq!(page.run(elsewhere).await, json!([]), "every address is one of this service");
    let scripts = page.run("return [...document.scripts].map((script) => script.getAttribute('src'))").await;
    assert_eq!(scripts.as_array().unwrap().len(), 1, "{scripts}");
}
