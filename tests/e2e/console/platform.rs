//! The console over a real engine: services that do not come up, logs, profiles; and texts that would like to be more
//! than text.

use std::fs;

use serde_json::{Value, json};

use super::{browser::Page, world};
use crate::{
    service::{DATABASE, until},
    services::Platform,
};

const PLATFORM: &str = r#"
x-sleeper: &sleeper
  image: debian:trixie-slim
  init: true
  command: [sleep, infinity]
  networks: [inside]
services:
  postgres: *sleeper
  redis: *sleeper
  chat-api:
    <<: *sleeper
    command: [sh, -c, 'echo "<img src=x onerror=window.harm=1>"; test ! -e /ill || { echo the chat is ill >&2; exit 3; }; exec sleep infinity']
  dashboard: *sleeper
  tailscale:
    <<: *sleeper
    profiles: [tailscale]
networks:
  inside: {internal: true}
"#;

const HOSTILE: &str = "<img src=x onerror=window.harm=1>";

#[tokio::test(flavor = "multi_thread")]
async fn services_are_restarted_and_say_why_they_do_not_come_up() {
    let platform = Platform::of(PLATFORM);
    let service = platform.world.serve().await;
    service.backup().await;
    let page = Page::signed_in(&service).await;
    page.until_text("[data-key=chat-api]", "Running").await;
    page.press("#services", "Log: chat-api").await;
    page.until_text("#log-chat-api", HOSTILE).await;

    page.press("#services", "Restart: chat-api").await;
    page.until_text("[data-key=chat-api] .notice[role=status]", "chat-api was restarted and is up").await;
    let chat = platform.project.container("chat-api");
    platform.engine.docker(&["exec", &chat, "touch", "/ill"]);
    page.press("#services", "Restart: chat-api").await;
    page.until_text("[data-key=chat-api] [role=alert]", "A service did not come up").await;
    page.until_text("[data-key=chat-api] .state", "with code 3").await;
    // Of what is wrong, the verdict names this; the services that were never made are named as such.
    page.until_text("#verdict", "not well").await;

    // What others cannot do without is restarted only when its name was typed.
    page.press("#services", "Restart …: postgres").await;
    page.until_text("dialog", "Everything that uses the database stops").await;
    page.write("dialog input", "postgre").await;
    page.keys("\n").await;
    assert!(page.is_there("dialog").await);
    page.write("dialog input", "postgres").await;
    page.press("dialog", "Restart postgres").await;
    page.until_text("[data-key=postgres] .notice[role=status]", "postgres was restarted").await;

    page.press("#services", "Start: profile tailscale").await;
    page.until_text("[data-key=tailscale] .notice[role=status]", "tailscale was started").await;
    page.until_text("[data-key=tailscale] .state", "Running").await;
    page.press("#services", "Stop: profile tailscale").await;
    page.until_text("[data-key=tailscale] .notice[role=status]", "tailscale was stopped").await;
    unharmed(&page).await;
}

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
    let file = world.directory.path().join("<img src=x onerror=window.harm=1>.tar");
    fs::write(&file, "").unwrap();
    let input = page.driver.find(thirtyfour::By::Css("#upload")).await.unwrap();
    input.send_keys(file.to_str().unwrap()).await.unwrap();
    page.until_text("#backup-list [role=alert]", "<img src=x").await;
    unharmed(&page).await;

    // What runs strings as code or markup does not work in this page at all.
    let markup = "try { document.body.insertAdjacentHTML('beforeend', '<b></b>'); return 'done' } catch { return 'refused' }";
    assert_eq!(page.run(markup).await, json!("refused"));
}

/// No text has become an element, and none has run.
async fn unharmed(page: &Page) {
    assert_eq!(page.run("return window.harm ?? null").await, Value::Null);
    let images = page.run("return [...document.images].map((image) => image.getAttribute('src'))").await;
    let own = |source: &Value| source.as_str().is_some_and(|source| source.starts_with("/console/"));
    assert!(images.as_array().unwrap().iter().all(own), "{images}");
}
