//! The console over a real engine: services that do not come up, logs, profiles.

use super::browser::Page;
use crate::services::Platform;

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
    command: [sh, -c, 'echo chat is served; test ! -e /ill || { echo the chat is ill >&2; exit 3; }; exec sleep infinity']
  dashboard: *sleeper
  tailscale:
    <<: *sleeper
    profiles: [tailscale]
networks:
  inside: {internal: true}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn services_are_restarted_and_say_why_they_do_not_come_up() {
    let platform = Platform::of(PLATFORM);
    let service = platform.world.serve().await;
    service.backup().await;
    let page = Page::signed_in(&service).await;
    page.until_text("[data-key=chat-api]", "Running").await;
    page.press("#services", "Log: chat-api").await;
    page.until_text("#log-chat-api", "chat is served").await;

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
}
