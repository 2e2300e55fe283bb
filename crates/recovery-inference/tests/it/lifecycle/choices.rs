//! What people do while the owner is at work.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use recovery_core::ErrorCode;
use recovery_inference::lifecycle::{Begun, Left, Refusal, State, Timing, Wish};
use recovery_testkit::{EngineContainer, MemoryDocuments, Sickness};

use super::{
    owner::{Process, serving, start, switch},
    world::World,
};

const BACKEND: &str = "nova:config:inference.backend";

#[tokio::test(start_paused = true)]
async fn a_server_of_a_person_s_own_that_is_chosen_during_a_change_stays_chosen() {
    for (fits, word) in [(true, "custom"), (false, "\"none\"")] {
        for seconds in [1, 30, 100, 115] {
            let (world, _, process) = serving("ollama", fits).await;
            let load = world.load();
            let Begun::Accepted(end) = process.ask(start("vllm")).await.unwrap() else { panic!() };
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            world.redis.put(1, BACKEND, word);
            // Where the gateway has not been told anything yet, it stays so; what has begun is not torn apart.
            match end.await.unwrap() {
                Ok(done) => assert_eq!(done.left, Left::Nothing),
                Err(problem) => {
                    assert_eq!(problem.code, ErrorCode::Conflict, "{problem:?}");
                    assert_eq!(world.running(), ["ollama"]);
                    assert!(fits && seconds < 90, "{word} after {seconds} s");
                }
            }
            process.until(State::Stopped).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(world.route().starts_with(word), "after {seconds} s: {}", world.route());
            assert_eq!(process.lifecycle.status().backend, None);
            let tally = load.end().await;
            assert_eq!(tally.dropped.load(Relaxed), 0, "{word} after {seconds} s: {tally:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_take_back_what_was_just_chosen_and_a_start_does() {
    let (world, _, process) = serving("ollama", true).await;
    world.redis.put(1, BACKEND, "custom");
    process.done(Wish::Stop).await.unwrap();
    assert!(world.route().starts_with("custom "), "{}", world.route());
    assert!(world.running().is_empty());

    let (world, _, process) = serving("ollama", true).await;
    world.redis.put(1, BACKEND, "custom");
    process.done(start("vllm")).await.unwrap();
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 ready");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_started_by_hand_again_is_taken_over() {
    let (world, _, process) = serving("vllm", true).await;
    world.stop_by_hand("vllm");
    process.until(State::Stopped).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.starts("vllm"), 1, "nobody else starts it");
    world.start_by_hand("vllm");
    process.until(State::Ready).await;
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 ready");
    assert_eq!(process.lifecycle.status().model.as_deref(), Some("qwen"));
    assert_eq!(world.starts("vllm"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_stopped_on_purpose_or_left_for_a_server_of_a_person_s_own_is_not_taken_over() {
    let (world, _, process) = serving("vllm", true).await;
    process.done(Wish::Stop).await.unwrap();
    world.start_by_hand("ollama");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(process.lifecycle.status().state, State::Stopped);

    let (world, _, process) = serving("vllm", true).await;
    world.stop_by_hand("vllm");
    process.until(State::Stopped).await;
    world.redis.put(1, BACKEND, "custom");
    world.start_by_hand("vllm");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(process.lifecycle.status().state, State::Stopped);
    assert!(world.route().starts_with("custom "), "{}", world.route());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_until_a_sick_server_has_been_restarted() {
    for wish in [start("sglang"), start("vllm"), Wish::Stop] {
        let (world, _, process) = serving("vllm", false).await;
        world.servers["vllm"].sick(Some(Sickness::Hung));
        process.until(State::Draining).await;
        let done = process.done(wish.clone()).await;
        world.servers["vllm"].sick(None);
        match wish {
            Wish::Stop => assert!(done.unwrap().serving.is_none() && world.running().is_empty()),
            Wish::Start { backend } if backend.as_str() == "sglang" => {
                assert_eq!((done.unwrap().serving, world.running()), (Some(backend), vec!["sglang"]));
            }
            // It hangs on: nobody cured it in time.
            _ => drop(done.unwrap_err()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_taken_over_as_it_is() {
    let (world, documents, process) = serving("vllm", true).await;
    process.kill().await;
    world.servers["vllm"].sick(Some(Sickness::Overloaded));
    let process = Process::start(&world, &documents, true);
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.route(), "vllm http://nova-vllm:8000 ready", "the gateway is not sent elsewhere");
    }
    assert_eq!(process.lifecycle.status().state, State::Ready);
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_done_is_refused_as_such_without_the_engine_too() {
    let (world, documents) = (World::new(Timing::default()), MemoryDocuments::new());
    world.engine.add(EngineContainer::of("ollama"));
    world.engine.away();
    let process = Process::start(&world, &documents, true);
    for (wish, unknown) in
        [(start("llamacpp"), true), (switch("llamacpp", "a"), true), (switch("ollama", "a"), false)]
    {
        let refusal = process.ask(wish).await.unwrap_err();
        assert_eq!(matches!(refusal, Refusal::UnknownBackend { .. }), unknown, "{refusal:?}");
        assert_ne!(refusal, Refusal::EngineAway);
    }
    assert_eq!(process.ask(Wish::Stop).await.unwrap_err(), Refusal::EngineAway);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_does_not_come_up_is_taken_back_by_the_next_process_too() {
    let mut ended = false;
    let mut seconds = 0;
    while !ended {
        let (world, documents, process) = serving("vllm", false).await;
        let load = world.load();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let Begun::Accepted(mut end) = process.ask(switch("vllm", super::world::BAD_MODEL)).await.unwrap()
        else {
            panic!()
        };
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        ended = end.try_recv().is_ok();
        process.kill().await;
        let process = Process::start(&world, &documents, false);
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut status = process.lifecycle.watch();
        let at_rest = |state| matches!(state, State::Ready | State::Error);
        let waited = status.wait_for(|status| at_rest(status.state));
        tokio::time::timeout(Timing::DRAIN * 4, waited).await.expect("it comes to rest").unwrap();
        assert_eq!(world.models.0.lock().unwrap()["VLLM_MODEL"], "qwen", "after {seconds} s");
        assert_eq!(world.running(), ["vllm"], "after {seconds} s");
        assert_eq!(world.route(), "vllm http://nova-vllm:8000 ready", "after {seconds} s");
        let tally = load.end().await;
        assert_eq!(tally.dropped.load(Relaxed), 0, "after {seconds} s: {tally:?}");
        seconds += if seconds < 4 { 1 } else { 9 };
    }
    assert!(seconds > 60, "it took {seconds} s");
}
