//! Changes between the servers of language models under load, over the real interface: no request is dropped, and
//! without the waiting for the gateway's caches some are.

use std::time::Duration;

use recovery_tests::{load::Load, stand_in::gateway::FALLBACK};

use crate::{
    inference_stage::{load, start, switch_model, until_answered, until_ready},
    proving_ground::{Ground, Pace},
    service::Service,
};

/// How much is done.
struct Size {
    changes: usize,
    switches: usize,
    /// The shortest and the longest stream.
    tokens: (u64, u64),
    pace: Pace,
}

impl Size {
    /// The full load takes some twenty minutes; `cargo xtask soak` asks for it.
    fn asked_for() -> Self {
        if std::env::var_os("NOVA_RECOVERY_FULL_LOAD").is_some() {
            let pace = Pace { cache: 5.0, load: 8.0, token_ms: 250 };
            return Self { changes: 10, switches: 10, tokens: (4, 160), pace };
        }
        Self { changes: 4, switches: 2, tokens: (5, 40), pace: Pace { cache: 1.0, load: 1.0, token_ms: 100 } }
    }
}

#[tokio::test]
async fn changes_and_model_switches_under_load_drop_nothing() {
    let Size { changes, mut switches, tokens, pace } = Size::asked_for();
    let ground = Ground::new(pace);
    let service = ground.world.serve().await;
    start(&service, "ollama").await;
    until_ready(&service, "ollama").await;
    let load = load(&ground, 50, tokens, Duration::ZERO);
    until_answered(&load, "ollama", 50).await;
    let switch = async |name: &str, number: usize| {
        switch_model(&service, name, &format!("qwen/medium-{number}")).await;
        let seen = until_ready(&service, name).await;
        told(&load, &format!("another model of {name}"), &seen);
        until_answered(&load, name, 50).await;
    };
    for number in 0..changes {
        let name = ["vllm", "sglang", "ollama"][number % 3];
        start(&service, name).await;
        let seen = until_ready(&service, name).await;
        told(&load, name, &seen);
        until_answered(&load, name, 50).await;
        if name != "ollama" && switches > 0 {
            switches -= 1;
            switch(name, number).await;
        }
    }
    if switches > 0 {
        start(&service, "vllm").await;
        until_ready(&service, "vllm").await;
    }
    for number in 0..switches {
        switch("vllm", 100 + number).await;
    }
    let tally = load.finish().await;
    println!("{tally}");
    assert_eq!(tally.dropped(), 0, "{tally}");
    for by in ["ollama", "vllm", "sglang", FALLBACK] {
        assert!(tally.complete_by(by) > 0, "{by}: {tally}");
    }
}

fn told(load: &Load, what: &str, seen: &[String]) {
    println!("{what}:\n  {}\n{}", seen.join("\n  "), load.so_far());
}

/// Few clients that pause: what they have in hand is nothing now and then, while the gateway still leads them.
async fn quiet_changes(service: &Service, load: &Load, most: usize) {
    for name in ["vllm", "sglang", "ollama"].into_iter().cycle().take(most) {
        if load.so_far().dropped() > 0 {
            break;
        }
        start(service, name).await;
        until_ready(service, name).await;
        until_answered(load, name, 3).await;
    }
}

#[tokio::test]
async fn a_quiet_gateway_is_waited_for_and_without_that_requests_are_dropped() {
    let dropped = async |ttl: &str| {
        // As long as they last in the field.
        let ground = Ground::new(Pace { cache: 5.0, load: 0.5, token_ms: 20 });
        let service =
            ground.world.serve_with(|command| _ = command.env("GATEWAY_CONFIG_TTL_SECS", ttl)).await;
        start(&service, "ollama").await;
        until_ready(&service, "ollama").await;
        let load = load(&ground, 2, (5, 20), Duration::from_secs(4));
        until_answered(&load, "ollama", 3).await;
        quiet_changes(&service, &load, if ttl == "0" { 9 } else { 3 }).await;
        let tally = load.finish().await;
        println!("{ttl} s:\n{tally}");
        tally.dropped()
    };
    let (waiting, not_waiting) = tokio::join!(dropped("10"), dropped("0"));
    assert_eq!(waiting, 0);
    assert!(not_waiting > 0, "a test that does not see what it is there for");
}
