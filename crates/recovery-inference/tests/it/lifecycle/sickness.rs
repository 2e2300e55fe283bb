//! Servers that fall ill.

use std::time::Duration;

use recovery_core::{
    container::ContainerState,
    port::{LogLine, OutputStream},
};
use recovery_inference::lifecycle::{Monitor, State};
use recovery_testkit::{ComposePoint, Sickness};
use tokio::time::Instant;

use super::{
    owner::{Process, serving, start, switch},
    world::{BAD_MODEL, SECRET, World},
};

/// Lets a server have printed these lines.
fn print(world: &World, name: &str, lines: &[&str]) {
    let line = |text: &&str| LogLine { stream: OutputStream::Stderr, text: (*text).to_owned() };
    world.engine.print(&world.container(name), lines.iter().map(line));
}

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

#[tokio::test(start_paused = true)]
async fn a_crash_loop_is_found_early_and_told_with_the_end_of_its_log() {
    let (world, _, process) = serving("ollama", true).await;
    world.models.0.lock().unwrap().insert("VLLM_MODEL".to_owned(), BAD_MODEL.to_owned());
    print(&world, "vllm", &["Loading.", "", "HF_TOKEN=hunter2", "CUDA out of memory."]);
    let began = Instant::now();
    let problem = process.done(start("vllm")).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(
        problem.detail,
        "vLLM ends each time that it is started: 2 starts so far. The last lines of its log: Loading. | HF_TOKEN=[removed] | CUDA out of memory."
    );
    let status = process.lifecycle.status();
    assert_eq!(status.error.unwrap().detail, problem.detail);
    let told =
        String::from_utf8(world.redis.contents().values().flat_map(|value| value.value.clone()).collect());
    assert!(!told.unwrap().contains(SECRET), "what the server printed stays here");
}

#[tokio::test(start_paused = true)]
async fn restarts_of_long_ago_are_no_crash_loop() {
    let (world, documents, process) = serving("vllm", true).await;
    process.kill().await;
    world.engine.alter(&world.container("vllm"), |container| container.restart_count = 7);
    // It has just been restarted, and loads its model.
    world.servers["vllm"].stop();
    world.servers["vllm"].start();
    let process = Process::start(&world, &documents, true);
    process.until(State::Ready).await;
    assert_eq!((world.starts("vllm"), world.running()), (1, vec!["vllm"]));

    process.kill().await;
    world.servers["vllm"].stop();
    let process = Process::start(&world, &documents, true);
    process.until(State::Starting).await;
    world.engine.alter(&world.container("vllm"), |container| container.restart_count = 9);
    process.until(State::Error).await;
    let words = process.lifecycle.status().error.unwrap().detail;
    assert!(words.contains("2 starts so far"), "{words}");
}

/// Up each time that somebody looks, and ended in between.
#[tokio::test(start_paused = true)]
async fn one_that_ends_between_two_looks_is_found_restarted_and_in_the_end_given_up() {
    let (world, _, process) = serving("vllm", true).await;
    print(&world, "vllm", &["Segmentation fault."]);
    let (engine, vllm) = (world.engine.clone(), world.container("vllm"));
    let crashing = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(20)).await;
            engine.alter(&vllm, |container| {
                if container.state == ContainerState::Running {
                    container.restart_count += 1;
                }
            });
        }
    });
    let began = Instant::now();
    process.until(State::Draining).await;
    assert!(began.elapsed() <= Duration::from_secs(4 * 30 + 10), "{:?}", began.elapsed());
    process.until(State::Error).await;
    let mut status = process.lifecycle.watch();
    let given_up = status.wait_for(|status| {
        status.error.as_ref().is_some_and(|problem| problem.detail.contains("however often"))
    });
    let words = tokio::time::timeout(Duration::from_secs(3 * 3600), given_up).await.unwrap().unwrap().clone();
    assert!(words.error.unwrap().detail.ends_with(" The last lines of its log: Segmentation fault."));
    crashing.abort();
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert!(world.starts("vllm") <= 9, "{}", world.starts("vllm"));
    assert!(world.running().is_empty(), "its engine does not go on with it either");
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 error");
}

#[tokio::test(start_paused = true)]
async fn restarts_come_at_longer_and_longer_intervals() {
    let (world, _, process) = serving("vllm", true).await;
    world.models.0.lock().unwrap().insert("VLLM_MODEL".to_owned(), BAD_MODEL.to_owned());
    world.servers["vllm"].stop();
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(process.lifecycle.status().state, State::Error);
    let starts = world.started_at("vllm");
    let pauses: Vec<u64> = starts[1..].windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    let expect = [30, 60, 120, 240, 480, 600, 600];
    assert_eq!(pauses.len(), expect.len(), "{pauses:?}");
    for (pause, least) in pauses.iter().zip(expect) {
        // Three looks, and the gateway's caches before it is stopped.
        assert!((least..least.max(90) + 60).contains(pause), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_well_for_ten_minutes_each_time_is_never_given_up() {
    let (world, _, process) = serving("vllm", true).await;
    for _ in 0..3 * Monitor::MOST_RESTARTS {
        world.servers["vllm"].sick(Some(Sickness::Status(500)));
        process.until(State::Draining).await;
        world.servers["vllm"].sick(None);
        process.until(State::Ready).await;
        tokio::time::sleep(Monitor::RECOVERED + Duration::from_secs(60)).await;
        assert_eq!(process.lifecycle.status().state, State::Ready);
    }
}

#[tokio::test(start_paused = true)]
async fn what_served_before_comes_back_even_where_the_way_back_failed_at_first() {
    let (world, _, process) = serving("vllm", true).await;
    let trouble = || recovery_core::port::ComposeError::EngineUnavailable;
    // Once for the new model, once for the way back.
    world.compose.faults().fail_next(ComposePoint::Start, trouble);
    world.compose.faults().fail_next(ComposePoint::Start, trouble);
    let problem = process.done(switch("vllm", "org/other")).await.unwrap_err();
    assert_eq!(problem.code, recovery_core::ErrorCode::DependencyUnavailable);
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 error");
    process.until(State::Ready).await;
    assert_eq!(world.models.0.lock().unwrap()["VLLM_MODEL"], "qwen");
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 ready");
}
