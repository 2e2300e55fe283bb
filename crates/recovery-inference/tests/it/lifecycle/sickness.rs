//! Servers that fall ill.

use std::time::Duration;

use recovery_core::container::ContainerState;
use recovery_inference::lifecycle::State;
use recovery_testkit::Sickness;
use tokio::time::Instant;

use super::{
    owner::{serving, start},
    world::{BAD_MODEL, World},
};

/// Makes vLLM sick in one way, and waits until it has been restarted and serves again.
async fn check(what: &str, fall_ill: impl FnOnce(&World)) {
    let (world, _, process) = serving("vllm", true).await;
    tokio::time::sleep(Duration::from_secs(1000)).await;
    assert_eq!(world.starts("vllm"), 1, "a server that is well is left alone");
    fall_ill(&world);
    let began = Instant::now();
    process.until(State::Draining).await;
    // Three looks, the last of which may wait for an answer that does not come.
    let found = began.elapsed();
    assert!(found <= Duration::from_secs(3 * 30 + 10), "{what}: found after {found:?}");
    world.servers["vllm"].sick(None);
    process.until(State::Ready).await;
    assert_eq!(world.starts("vllm"), 2, "{what}");
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 ready", "{what}");
}

#[tokio::test(start_paused = true)]
async fn each_kind_is_found_within_three_looks_and_cured() {
    check("an error", |world| world.servers["vllm"].sick(Some(Sickness::Status(500)))).await;
    check("a server that hangs", |world| world.servers["vllm"].sick(Some(Sickness::Hung))).await;
    check("a model that hangs", |world| world.servers["vllm"].sick(Some(Sickness::EngineHung))).await;
    check("a closed port", |world| world.servers["vllm"].stop()).await;
    check("no container", |world| world.lose("vllm")).await;
}

#[tokio::test(start_paused = true)]
async fn one_failure_or_two_are_no_sickness() {
    let (world, _, process) = serving("vllm", true).await;
    for _ in 0..20 {
        world.servers["vllm"].sick(Some(Sickness::Status(500)));
        tokio::time::sleep(Duration::from_secs(59)).await;
        world.servers["vllm"].sick(None);
        tokio::time::sleep(Duration::from_secs(31)).await;
    }
    assert_eq!(process.lifecycle.status().state, State::Ready);
    assert_eq!(world.starts("vllm"), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_has_much_to_do_is_not_taken_for_one_that_hangs() {
    let (world, _, process) = serving("vllm", true).await;
    world.servers["vllm"].sick(Some(Sickness::Overloaded));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(process.lifecycle.status().state, State::Ready);
    assert_eq!(world.starts("vllm"), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_stopped_by_hand_is_not_restarted() {
    let (world, _, process) = serving("vllm", true).await;
    world.stop_by_hand("vllm");
    process.until(State::Stopped).await;
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert!(world.running().is_empty());
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 stopped");
}

#[tokio::test(start_paused = true)]
async fn one_that_never_recovers_is_given_up_and_reported() {
    let (world, _, process) = serving("vllm", true).await;
    world.models.0.lock().unwrap().insert("VLLM_MODEL".to_owned(), BAD_MODEL.to_owned());
    world.servers["vllm"].stop();
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    let status = process.lifecycle.status();
    assert_eq!(status.state, State::Error);
    let words = status.error.unwrap().detail;
    assert_eq!(words, "vLLM does not come up, however often it is restarted.");
    assert_eq!(world.starts("vllm"), 1 + 8);
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 error");

    // A person who has mended it starts it again.
    world.models.0.lock().unwrap().insert("VLLM_MODEL".to_owned(), "qwen".to_owned());
    process.done(start("vllm")).await.unwrap();
    assert_eq!(process.lifecycle.status().state, State::Ready);
}

#[tokio::test(start_paused = true)]
async fn one_that_flaps_is_not_restarted_for_ever() {
    let (world, _, process) = serving("vllm", true).await;
    let vllm = world.servers["vllm"].clone();
    let flapping = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(200)).await;
            vllm.stop();
        }
    });
    process.until(State::Error).await;
    assert!(world.starts("vllm") <= 9, "{}", world.starts("vllm"));
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert!(world.starts("vllm") <= 9, "{}", world.starts("vllm"));
    flapping.abort();
}

#[tokio::test(start_paused = true)]
async fn one_that_its_engine_restarts_is_asked_and_not_judged_by_its_container() {
    let (world, _, process) = serving("vllm", true).await;
    let id = world.engine.look_for("nova-vllm");
    world.engine.alter(&id, |container| container.state = ContainerState::Paused);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(process.lifecycle.status().state, State::Ready);
}
