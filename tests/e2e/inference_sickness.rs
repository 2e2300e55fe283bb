//! A server of language models that is sick is found so, restarted and well again; what a person wants of it
//! is respected.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    inference_stage::{backend, load, start, until_answered, until_ready},
    places::{key, set_key},
    proving_ground::{Ground, Pace},
    service::{Service, until},
};

const PACE: Pace = Pace { cache: 0.2, load: 0.2, token_ms: 20 };
/// Seconds between two looks.
const INTERVAL: f64 = 1.0;
const BACKEND: &str = "nova:config:inference.backend";
const STATE: &str = "nova:config:inference.state";
const URL: &str = "nova:config:inference.url";

/// A ground whose servers are looked at often, with this one serving.
async fn serving(name: &str) -> (Ground, Service) {
    let ground = Ground::new(PACE);
    let service = watched(&ground).await;
    start(&service, name).await;
    until_ready(&service, name).await;
    (ground, service)
}

async fn watched(ground: &Ground) -> Service {
    let often = INTERVAL.to_string();
    ground.world.serve_with(|command| _ = command.env("INFERENCE_MONITOR_SECS", often)).await
}

/// When a server's container was last started, and which one it is.
fn started(ground: &Ground, name: &str) -> String {
    let format = "{{.Id}} {{.State.StartedAt}}";
    ground.engine.docker(&["inspect", "--format", format, &ground.container(name)])
}

/// Waits until the service has begun to do something about a sickness, and then until the server is well.
async fn nursed(ground: &Ground, service: &Service, sickness: &str, looks_take: Duration) {
    let begun = Instant::now();
    until(&format!("{sickness} to be found"), async || backend(service).await["state"] != "ready").await;
    // Three looks, each when the one before is over and the interval with it, and a machine that is busy.
    let most = 4 * (Duration::from_secs_f64(INTERVAL) + looks_take) + Duration::from_secs(5);
    assert!(begun.elapsed() < most, "{sickness}: {:?}", begun.elapsed());
    until_ready(service, "vllm").await;
    assert_eq!(ground.running(), ["vllm"], "{sickness}");
    let operations = service.get_json("/operations").await.assert_ok();
    let newest = &operations[0];
    assert_eq!(
        (&newest["kind"], &newest["actor"]),
        (&json!("start_backend"), &json!("recovery service")),
        "{newest}"
    );
}

#[tokio::test]
async fn every_sickness_is_found_within_three_looks_and_the_server_is_well_again() {
    let (ground, mut service) = serving("vllm").await;
    let quick = Duration::ZERO;
    for (words, looks_take) in [("status=500", quick), ("closed", quick), ("hang", Duration::from_secs(5))] {
        let before = started(&ground, "vllm");
        ground.mood("vllm", "now", words);
        nursed(&ground, &service, words, looks_take).await;
        assert_ne!(started(&ground, "vllm"), before, "{words}");
        // Another process of the service has not restarted it a moment ago.
        service.kill();
        service = watched(&ground).await;
        until_ready(&service, "vllm").await;
    }
    ground.engine.docker(&["rm", "--force", &ground.container("vllm")]);
    nursed(&ground, &service, "gone", quick).await;
}

#[tokio::test]
async fn a_server_that_says_that_it_is_well_and_makes_no_tokens_is_found_out() {
    let (ground, service) = serving("vllm").await;
    let before = started(&ground, "vllm");
    ground.mood("vllm", "now", "engine-hang");
    nursed(&ground, &service, "engine-hang", Duration::from_secs(5)).await;
    assert_ne!(started(&ground, "vllm"), before);
}

#[tokio::test]
async fn what_a_person_wants_is_respected() {
    let (ground, service) = serving("vllm").await;
    // Stopped by hand.
    let before = started(&ground, "vllm");
    ground.engine.docker(&["stop", &ground.container("vllm")]);
    until("it to be told", async || backend(&service).await["state"] == "stopped").await;
    assert_eq!(key(&ground.world.redis, STATE), "stopped");
    let stays = Instant::now();
    until("some looks to be over", async || stays.elapsed() > Duration::from_secs(5)).await;
    assert!(ground.running().is_empty());
    assert_eq!(started(&ground, "vllm"), before);

    // A server of their own.
    start(&service, "vllm").await;
    until_ready(&service, "vllm").await;
    let own = "http://192.0.2.1:8000";
    set_key(&ground.world.redis, URL, own);
    set_key(&ground.world.redis, BACKEND, "\"custom\"");
    ground.mood("vllm", "now", "status=500");
    let before = started(&ground, "vllm");
    until("hands to be off", async || backend(&service).await["state"] == "stopped").await;
    let stays = Instant::now();
    until("some looks to be over", async || stays.elapsed() > Duration::from_secs(5)).await;
    assert_eq!(started(&ground, "vllm"), before, "it is not looked after any more");
    let now = (key(&ground.world.redis, BACKEND), key(&ground.world.redis, URL));
    assert_eq!(now, ("\"custom\"".to_owned(), own.to_owned()));
}

#[tokio::test]
async fn a_name_that_is_written_too_early_is_put_right_and_no_request_is_dropped() {
    let (ground, service) = serving("vllm").await;
    let redis = &ground.world.redis;
    // So long is nothing to be had there.
    ground.mood("sglang", "always", "load=6");
    let load = load(&ground, 20, (5, 30), Duration::ZERO);
    until_answered(&load, "vllm", 20).await;
    set_key(redis, BACKEND, "\"sglang\"");
    start(&service, "sglang").await;
    assert_eq!(key(redis, BACKEND), "vllm", "at once");
    // Once more, in the middle of it.
    set_key(redis, BACKEND, "\"sglang\"");
    until("it to be put right", async || key(redis, BACKEND) == "vllm").await;
    assert_eq!(backend(&service).await["state"], "starting");
    until_ready(&service, "sglang").await;
    assert_eq!((key(redis, BACKEND), key(redis, STATE)), ("sglang".to_owned(), "ready".to_owned()));
    until_answered(&load, "sglang", 20).await;
    let tally = load.finish().await;
    assert_eq!(tally.dropped(), 0, "{tally}");
}
