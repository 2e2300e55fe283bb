//! Every action with the keyboard alone: nothing here is clicked, the focus is never lost, and what came of an action is
//! announced.

use std::fs;

use serde_json::json;
use thirtyfour::Key;

use super::{browser::Page, world};
use crate::{
    service::{SECRET, Service, until},
    services::Platform,
};

const ENTER: &str = "\n";
const SPACE: &str = " ";

/// Opens the console and signs in.
async fn signed_in(service: &Service) -> Page {
    let page = Page::open(service).await;
    page.until_there("#secret").await;
    page.tab_to("secret").await;
    page.keys(SECRET).await;
    page.keys(ENTER).await;
    page.until_text("#connection", "Live").await;
    until("the focus to be at the verdict", async || page.focused().await == "How things stand").await;
    page
}

/// Goes to something with the Tab key, and presses a key there.
async fn press(page: &Page, label: &str, key: &str) {
    page.tab_to(label).await;
    page.keys(key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_signing_in_to_a_restore() {
    let world = world();
    let service = world.serve().await;
    let page = Page::open(&service).await;
    page.until_there("#secret").await;
    page.tab_to("Skip to the contents").await;
    page.tab_to("secret").await;
    page.keys(SECRET).await;
    page.keys(Key::Enter + "").await;
    page.until_text("#session", "Sign out").await;
    until("the focus to be at the verdict", async || page.focused().await == "How things stand").await;

    page.tab_to("Upload a backup").await;
    page.tab_to("Back up now").await;
    page.keys(Key::Enter + "").await;
    page.until_text("#backup-list .notice[role=status]", "is complete and was read back").await;
    let name = world.files().remove(0);
    let restore = format!("Restore …: {name}");
    page.tab_to(&restore).await;
    page.keys(Key::Enter + "").await;
    page.until_text("dialog", "3 tables").await;
    assert!(page.run("return document.activeElement.closest('dialog') !== null").await == json!(true));
    page.keys(Key::Escape + "").await;
    page.until_gone("dialog").await;
    assert_eq!(page.focused().await, restore, "the focus is where it was");

    world.postgres.psql("nova", "DELETE FROM messages");
    page.keys(Key::Enter + "").await;
    page.until_text("dialog", "3 tables").await;
    page.keys("nova").await;
    page.keys(Key::Enter + "").await;
    page.until_text("#backup-list .notice[role=status]", "Restored").await;
    assert_eq!(world.count("messages"), 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_after_backups() {
    let world = world();
    let service = world.serve().await;
    let name = service.backup().await;
    let page = signed_in(&service).await;
    page.until_there(&format!("[aria-label='More about {name}']")).await;
    press(&page, &format!("More about {name}"), ENTER).await;
    until("the drawer to be open", async || page.focused().await == format!("Less about {name}")).await;

    // The first letter chooses how thoroughly.
    press(&page, &format!("level-{name}"), "h").await;
    press(&page, &format!("Verify: {name}"), SPACE).await;
    page.until_text("#backup-list .notice[role=status]", "It is good").await;
    assert_eq!(page.focused().await, format!("Verify: {name}"));
    press(&page, &format!("Pin: {name}"), ENTER).await;
    page.until_text("#backup-list .notice[role=status]", "Pinned").await;
    until("the other way to be offered", async || page.focused().await == format!("Unpin: {name}")).await;
    page.keys(ENTER).await;
    page.until_text("#backup-list .notice[role=status]", "No longer pinned").await;
    page.tab_to(&format!("Download {name}")).await;

    // A dialog keeps the focus, and gives it back.
    let delete = format!("Delete …: {name}");
    press(&page, &delete, SPACE).await;
    page.until_there("dialog").await;
    assert_eq!(page.focused().await, "Cancel");
    page.keys(ENTER).await;
    page.until_gone("dialog").await;
    assert_eq!(page.focused().await, delete);
    page.keys(ENTER).await;
    page.until_there("dialog").await;
    for _ in 0..3 {
        page.keys(Key::Tab + "").await;
        let inside = "return document.activeElement === document.body || document.activeElement.closest('dialog') !== null";
        assert_eq!(page.run(inside).await, json!(true), "behind the dialog nothing can be reached");
    }
    page.tab_to("Delete it").await;
    page.keys(ENTER).await;
    page.until_text("#backup-list", "There is no backup yet").await;
    until("the focus to stay where the backup was", async || page.focused().await == "Backups").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_a_restore_back() {
    let world = world();
    let service = world.serve().await;
    let name = service.backup().await;
    service.post(&format!("/backups/{name}/restore")).await.assert_ok();
    let replaced = || world.databases().into_iter().find(|name| name.contains("__before_"));
    let page = signed_in(&service).await;
    page.until_there("#replaced").await;
    let first = replaced().unwrap();
    press(&page, &format!("Roll back …: {first}"), ENTER).await;
    page.until_text("dialog", "becomes nova again").await;
    page.keys("nova").await;
    page.keys(ENTER).await;
    page.until_text("#replaced", "by a rollback").await;
    let second = replaced().unwrap();
    assert_ne!(first, second);
    press(&page, &format!("Drop …: {second}"), ENTER).await;
    page.until_text("dialog", "is removed for good").await;
    page.keys(second.as_str()).await;
    page.keys(ENTER).await;
    page.until_gone("#replaced").await;
    assert_eq!(replaced(), None);
}

const PLATFORM: &str = r#"
x-sleeper: &sleeper
  image: debian:trixie-slim
  init: true
  command: [sleep, infinity]
  networks: [inside]
services:
  postgres: *sleeper
  chat-api: *sleeper
  tailscale:
    <<: *sleeper
    profiles: [tailscale]
networks:
  inside: {internal: true}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn looking_after_services() {
    let platform = Platform::of(PLATFORM);
    let service = platform.world.serve().await;
    let page = signed_in(&service).await;
    page.until_text("[data-key=chat-api] .state", "Running").await;

    press(&page, "Start: profile tailscale", ENTER).await;
    page.until_text("[data-key=tailscale] .notice[role=status]", "tailscale was started").await;
    until("the other way to be offered", async || page.focused().await == "Stop: profile tailscale").await;
    page.keys(SPACE).await;
    page.until_text("[data-key=tailscale] .notice[role=status]", "tailscale was stopped").await;
    press(&page, "Dismiss: this message", ENTER).await;
    page.until_gone("[data-key=tailscale] .notice").await;
    until("the focus to stay among the services", async || page.focused().await == "Services").await;

    press(&page, "Restart …: postgres", ENTER).await;
    page.until_text("dialog", "Everything that uses the database stops").await;
    page.keys("postgres").await;
    page.keys(ENTER).await;
    page.until_text("[data-key=postgres] .notice[role=status]", "postgres was restarted").await;
    assert_eq!(page.focused().await, "Restart …: postgres");

    press(&page, "Log: chat-api", ENTER).await;
    page.until_text("#log-chat-api", "It has printed nothing").await;
    assert_eq!(page.focused().await, "Hide log: chat-api");
    press(&page, "tail-chat-api", "5").await;
    page.until_text("#log-chat-api", "It has printed nothing").await;
    press(&page, "Read again: log of chat-api", ENTER).await;
    // The log itself has the focus in its turn: it is scrolled with the arrow keys.
    page.tab_to("Log of chat-api").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarting_all_of_them() {
    let platform = Platform::of(PLATFORM);
    let service = platform.world.serve().await;
    let page = signed_in(&service).await;
    page.until_text("[data-key=chat-api] .state", "Running").await;
    press(&page, "Restart: chat-api", SPACE).await;
    page.until_text("[data-key=chat-api] .notice[role=status]", "chat-api was restarted and is up").await;
    assert_eq!(page.focused().await, "Restart: chat-api");
    page.driver.refresh().await.unwrap();
    page.until_text("[data-key=chat-api] .state", "Running").await;
    press(&page, "Restart all …", ENTER).await;
    page.until_there("dialog").await;
    page.tab_to("Restart all").await;
    page.keys(ENTER).await;
    page.until_text("#services .notice[role=status]", "1 service restarted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_advice_and_models() {
    let world = world();
    let env = world.directory.path().join(".env");
    fs::write(&env, "LOG_LEVEL=info\n").unwrap();
    let world = world.with("NOVA_ENV_FILE", env.to_str().unwrap()).with("HF_ENDPOINT", "http://127.0.0.1:1");
    let world = world.with("OLLAMA_LIBRARY_URL", "http://127.0.0.1:1");
    let service = world.serve().await;
    let page = signed_in(&service).await;
    page.until_there("#env-LOG_LEVEL").await;
    page.until_there("#model-query").await;

    press(&page, "Look again: hardware", ENTER).await;
    page.until_text("#inference .notice[role=status]", "Looked again").await;
    page.tab_to("model-query").await;
    page.keys("llama").await;
    page.keys(ENTER).await;
    page.until_there("#inference [role=alert]").await;
    press(&page, "Dismiss: this message", ENTER).await;
    page.until_gone("#inference [role=alert]").await;

    page.tab_to("env-LOG_LEVEL").await;
    page.select_all().await;
    page.keys("debug").await;
    page.keys(ENTER).await;
    page.until_text("#environment .notice[role=status]", "Saved: LOG_LEVEL").await;
    assert_eq!(fs::read_to_string(&env).unwrap(), "LOG_LEVEL=debug\n");
    press(&page, "Look for errors", ENTER).await;
    page.until_text("#diagnostics", "so there are no logs").await;
    page.tab_to("question").await;
    page.keys("Why?").await;
    page.keys(ENTER).await;
    page.until_text("#diagnostics [role=log]", "No language model could be asked").await;

    // From the end the Tab key begins anew at the top.
    press(&page, "Sign out", ENTER).await;
    page.until_there("#secret").await;
    until("the focus to be where one signs in", async || page.focused().await == "secret").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factory_reset() {
    let world = world();
    let service = world.serve().await;
    let page = signed_in(&service).await;
    page.until_there("#keep-chat_history").await;
    press(&page, "keep-runtime_caches", SPACE).await;
    page.until_text(
        "#reset",
        "Goes: Chat history, Tasks and pipeline history, Cortex state, Intel feeds, Knowledge crawler",
    )
    .await;
    press(&page, "Preview", ENTER).await;
    until("the preview to have the focus", async || page.focused().await == "What would go").await;
    page.tab_to("reset-word").await;
    page.keys("no").await;
    page.keys(ENTER).await;
    page.until_text("#reset [role=alert]", "Type RESET").await;
    assert_eq!(page.focused().await, "reset-word");
    page.select_all().await;
    page.keys("RESET").await;
    page.keys(ENTER).await;
    page.until_text("#reset .notice[role=status]", "The reset is done").await;
    assert_eq!((world.count("messages"), world.count("users")), (0, 100));
    until("the focus to stay at the reset", async || page.focused().await == "Factory reset").await;
    press(&page, "When something is broken", ENTER).await;
    page.until_there("#choice-accept_partial").await;
    press(&page, "choice-accept_partial", SPACE).await;
    assert_eq!(
        page.run("return document.getElementById('choice-accept_partial').checked").await,
        json!(true)
    );
}
