//! `kill -9` of the service at each transition of a change between servers of language models, under load: the next
//! start goes on with it, and no request is dropped.

use std::time::Duration;

use recovery_tests::load::Load;
use reqwest::Method;
use serde_json::json;

use crate::{
    inference_stage::{backend, load, start, until_answered, until_ready},
    places::key,
    proving_ground::{Ground, Pace},
    service::{Service, until},
};

const PACE: Pace = Pace { cache: 0.5, load: 0.3, token_ms: 50 };

/// A ground with a server that serves twenty clients.
async fn busy(first: &str) -> (Ground, Load) {
    let ground = Ground::new(PACE);
    let service = ground.world.serve().await;
    start(&service, first).await;
    until_ready(&service, first).await;
    let load = load(&ground, 20, (2, 20), Duration::ZERO);
    until_answered(&load, first, 20).await;
    (ground, load)
}

/// Lets a service begin this change of the server that serves and die at this moment.
async fn cut_off(ground: &Ground, serving: &str, moment: &str, path: &str, body: serde_json::Value) {
    let crash = ground.world.crash_binary();
    let mut service = ground.world.serve_by(crash, |command| _ = command.env("NOVA_CRASH_AT", moment)).await;
    until_ready(&service, serving).await;
    // It may die before it has answered.
    let _ = service.admin(Method::POST, path).json(&body).send().await;
    let status = service.ended(&format!("the service to die at {moment}")).await;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{moment}");
}

/// Waits until this one serves, alone, and the gateway is told so.
async fn converged(ground: &Ground, service: &Service, name: &str, moment: &str) {
    until_ready(service, name).await;
    let redis = &ground.world.redis;
    assert_eq!(key(redis, "nova:config:inference.backend"), name, "{moment}");
    assert_eq!(key(redis, "nova:config:inference.state"), "ready", "{moment}");
    assert_eq!(key(redis, "nova:config:inference.url"), ground.places.address(name), "{moment}");
    until("one server to run, and no other", async || ground.running() == [name]).await;
    until("the operations to be closed", async || {
        let operations = service.get_json("/operations").await.assert_ok();
        operations.as_array().unwrap().iter().all(|operation| operation["state"] != "running")
    })
    .await;
}

#[tokio::test]
async fn a_change_that_is_cut_off_is_gone_on_with_and_drops_nothing() {
    let (ground, load) = busy("vllm").await;
    let mut serving = "vllm";
    for step in [
        "starting:after",
        "loading:after",
        "draining:before",
        "draining:after",
        "stopping:after",
        "finished:before",
    ] {
        let moment = format!("start_backend:{step}");
        let next = if serving == "vllm" { "sglang" } else { "vllm" };
        cut_off(&ground, serving, &moment, &format!("/inference/backend/{next}/start"), json!({})).await;
        let service = ground.world.serve().await;
        converged(&ground, &service, next, &moment).await;
        until_answered(&load, next, 20).await;
        assert_eq!(load.so_far().dropped(), 0, "{moment}: {}", load.so_far());
        serving = next;
    }
    println!("{}", load.finish().await);
}

#[tokio::test]
async fn a_model_switch_that_is_cut_off_is_gone_on_with_and_drops_nothing() {
    let (ground, load) = busy("vllm").await;
    for (number, step) in [
        "draining:after",
        "stopping:after",
        "updating:after",
        "starting:after",
        "loading:after",
        "finished:before",
    ]
    .into_iter()
    .enumerate()
    {
        let (moment, model) = (format!("switch_model:{step}"), format!("qwen/medium-{number}"));
        let path = "/inference/backend/vllm/switch-model";
        cut_off(&ground, "vllm", &moment, path, json!({ "model": model })).await;
        let service = ground.world.serve().await;
        converged(&ground, &service, "vllm", &moment).await;
        assert_eq!(backend(&service).await["active_model"], model, "{moment}");
        until_answered(&load, "vllm", 20).await;
        assert_eq!(load.so_far().dropped(), 0, "{moment}: {}", load.so_far());
    }
    println!("{}", load.finish().await);
}

#[tokio::test]
async fn a_stop_that_is_cut_off_is_gone_on_with_and_drops_nothing() {
    let (ground, load) = busy("sglang").await;
    for step in ["draining:after", "stopping:after"] {
        let moment = format!("stop_backend:{step}");
        cut_off(&ground, "sglang", &moment, "/inference/backend/stop", json!({})).await;
        let service = ground.world.serve().await;
        until(&format!("nothing to run after {moment}"), async || {
            backend(&service).await["state"] == "stopped" && ground.running().is_empty()
        })
        .await;
        assert_ne!(key(&ground.world.redis, "nova:config:inference.state"), "ready", "{moment}");
        assert_eq!(load.so_far().dropped(), 0, "{moment}: {}", load.so_far());
        start(&service, "sglang").await;
        until_ready(&service, "sglang").await;
    }
    println!("{}", load.finish().await);
}
