//! Compose profiles from inside the service's container.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::stack::Stack;

/// What must never change of the database's container.
fn database(stack: &Stack) -> Value {
    let container = stack.inspect("postgres");
    json!([
        container["Id"],
        container["State"]["StartedAt"],
        container["Mounts"],
        container["Config"]["Labels"]
    ])
}

fn running(stack: &Stack, service: &str) -> bool {
    let filter = format!("label=com.docker.compose.project={}", stack.project.name());
    let format = "{{.Label \"com.docker.compose.service\"}}";
    let running = stack.engine.docker(&["ps", "--filter", &filter, "--format", format]);
    running.lines().any(|name| name == service)
}

fn change(profile: &str, action: &str) -> Option<Value> {
    Some(json!({ "profile": profile, "action": action }))
}

#[tokio::test]
async fn a_profile_that_is_started_from_inside_leaves_the_database_as_it_was() {
    let stack = Stack::start("");
    stack.until_healthy("recovery").await;
    let before = database(&stack);
    let env = fs::read_to_string(stack.path("docker/.env")).unwrap();

    let started = stack.ok(Method::POST, "/compose-profiles", change("bridges", "start")).await;
    assert_eq!((&started["service"], &started["ok"]), (&json!("chat-bridge"), &json!(true)), "{started}");
    assert!(running(&stack, "chat-bridge"));
    let now = fs::read_to_string(stack.path("docker/.env")).unwrap();
    assert_eq!(now, env.replace("COMPOSE_PROFILES=\n", "COMPOSE_PROFILES=bridges\n"));
    stack.until_healthy("chat-bridge").await;

    stack.ok(Method::POST, "/compose-profiles", change("bridges", "stop")).await;
    assert!(!running(&stack, "chat-bridge"));
    assert_eq!(fs::read_to_string(stack.path("docker/.env")).unwrap(), env);
    assert_eq!(database(&stack), before, "the same container with the same mounts, not restarted");

    // What was started from the host and what from inside is one project: the host has nothing to do over.
    let container = stack.inspect("chat-bridge")["Id"].clone();
    stack.ok(Method::POST, "/compose-profiles", change("bridges", "start")).await;
    stack.up();
    assert_eq!(stack.inspect("chat-bridge")["Id"], container, "the host does not make it anew");
    assert_eq!(database(&stack), before);
}

#[tokio::test]
async fn a_project_that_is_mounted_elsewhere_in_the_container_is_refused_with_the_remedy() {
    let stack = Stack::start("NOVA_PROJECT_DIR=/project\n");
    stack.until_healthy("recovery").await;
    let before = database(&stack);
    let env = fs::read_to_string(stack.path("docker/.env")).unwrap();
    for action in ["start", "stop"] {
        let (status, answer) = stack.call(Method::POST, "/compose-profiles", change("bridges", action)).await;
        assert_eq!((status, &answer["code"]), (409, &json!("conflict")), "{answer}");
        let hint = answer["hint"].as_str().unwrap();
        assert!(hint.contains("at the path that it has on the host"), "{hint}");
    }
    assert!(!running(&stack, "chat-bridge"));
    assert_eq!(database(&stack), before);
    assert_eq!(fs::read_to_string(stack.path("docker/.env")).unwrap(), env);
}
