//! Changes while Redis, or what is written down, is away.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use recovery_inference::lifecycle::{Left, State, Timing, Wish};
use recovery_testkit::MemoryDocuments;

use super::{
    owner::{Process, serving, start, switch},
    world::World,
};

/// Redis goes away at once, and comes back after so many seconds.
async fn away_for(world: &World, seconds: u64) {
    world.redis.away();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    world.redis.back();
}

#[tokio::test(start_paused = true)]
async fn one_server_instead_of_the_other_waits_for_redis_and_drops_nothing() {
    for wish in [start("sglang"), switch("vllm", "org/other")] {
        let (world, _, process) = serving("vllm", false).await;
        let load = world.load();
        tokio::time::sleep(Duration::from_secs(20)).await;
        let (done, ()) = tokio::join!(process.done(wish.clone()), async {
            let away = away_for(&world, 200);
            let seen = async {
                tokio::time::sleep(Duration::from_secs(100)).await;
                assert_eq!(world.running(), ["vllm"], "the gateway does not know yet");
                let (_, words) = process.lifecycle.status().progress.unwrap();
                assert_eq!(words, "vLLM serves on until Redis is back to tell the gateway.");
            };
            tokio::join!(away, seen);
        });
        assert_eq!(done.unwrap().left, Left::Nothing, "{wish:?}");
        let tally = load.end().await;
        assert_eq!(tally.dropped.load(Relaxed), 0, "{wish:?}: {tally:?}");
        assert!(world.route().ends_with("ready"), "{}", world.route());
    }
}

#[tokio::test(start_paused = true)]
async fn where_redis_stays_away_the_deadline_holds_and_what_is_cut_off_is_counted() {
    let (world, _, process) = serving("vllm", false).await;
    let load = world.load();
    tokio::time::sleep(Duration::from_secs(20)).await;
    world.redis.away();
    let began = tokio::time::Instant::now();
    let done = process.done(Wish::Stop).await.unwrap();
    assert!(began.elapsed() <= Timing::DRAIN + Duration::from_secs(15), "{:?}", began.elapsed());
    let Left::Requests(left) = done.left else { panic!("{done:?}") };
    assert_eq!(left, world.servers["vllm"].cut());
    assert!(world.running().is_empty());
    assert_eq!(process.lifecycle.status().state, State::Stopped);
    world.redis.back();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 stopped", "it is written later");
    load.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_choice_that_cannot_be_read_at_first_is_respected_later() {
    let (world, documents, process) = serving("ollama", true).await;
    process.kill().await;
    world.redis.put(1, "nova:config:inference.backend", "custom");
    world.redis.away();
    let process = Process::start(&world, &documents, true);
    process.until(State::Ready).await;
    world.redis.back();
    process.until(State::Stopped).await;
    assert!(world.route().starts_with("custom "), "{}", world.route());
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_could_not_be_written_goes_before_what_was_chosen_earlier() {
    let (world, documents) = (World::new(Timing::default()), MemoryDocuments::new());
    world.redis.put(1, "nova:config:inference.backend", "\"none\"");
    let process = Process::start(&world, &documents, true);
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.redis.away();
    process.done(start("ollama")).await.unwrap();
    world.redis.back();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.route(), "ollama http://ollama:11434 ready");
    assert_eq!(process.lifecycle.status().state, State::Ready);
}

/// Whoever looks after the settings and whoever changes them wait for the same Redis.
#[tokio::test(start_paused = true)]
async fn a_redis_that_is_slow_to_answer_holds_no_change_up_for_ever() {
    let (world, _, process) = serving("vllm", false).await;
    world.redis.slow(Duration::from_millis(700));
    let changed = tokio::time::timeout(Duration::from_secs(3600), process.done(start("sglang"))).await;
    changed.expect("it comes to an end").unwrap();
    assert_eq!(world.running(), ["sglang"]);
    assert_eq!(process.lifecycle.status().state, State::Ready);
}
