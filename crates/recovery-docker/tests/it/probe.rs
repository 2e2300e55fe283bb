//! Looking at GPUs with a real engine that has none.

use std::time::Duration;

use recovery_core::port::{GpuEngine as _, GpuRequest, Probe};
use recovery_docker::DockerEngine as Client;
use recovery_testkit::{contract, servers::DockerEngine};

const IMAGE: &str = "debian:trixie-slim";

fn probes(engine: &DockerEngine) -> usize {
    let filter = "label=io.nova-recovery.probe";
    engine.docker(&["ps", "--all", "--quiet", "--filter", filter]).lines().count()
}

async fn gone(engine: &DockerEngine) {
    let gone = async {
        while probes(engine) > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("no container of a probe is left");
}

/// Leaves a container as one that is looked after for so many seconds more. Returns its id.
fn leave(engine: &DockerEngine, seconds: i64) -> String {
    let dead = time::OffsetDateTime::now_utc().unix_timestamp() + seconds;
    let label = format!("io.nova-recovery.probe={dead}");
    engine.docker(&["create", "--network", "none", "--label", &label, IMAGE, "sleep", "1000"])
}

#[tokio::test]
async fn the_contract_and_nothing_is_left() {
    let engine = DockerEngine::shared();
    let client = Client::new(engine.host(), "nova".parse().unwrap()).unwrap();
    let looked_after = std::sync::Mutex::new(String::new());
    let leave = async |of_a_crash: bool| {
        let id = leave(&engine, if of_a_crash { -1 } else { 600 });
        if !of_a_crash {
            *looked_after.lock().unwrap() = id;
        }
    };
    contract::gpu_engine(&client, IMAGE, async || probes(&engine), leave).await;
    engine.docker(&["rm", "--force", looked_after.lock().unwrap().trim()]);

    // Nobody waits for it any more: it is removed all the same.
    let probe = || Probe {
        image: IMAGE.to_owned(),
        command: vec!["sleep".to_owned(), "1000".to_owned()],
        gpus: GpuRequest::None,
        timeout: Duration::from_secs(60),
        max_output: 10,
    };
    {
        let mut probing = std::pin::pin!(client.probe(probe()));
        let started = async {
            while probes(&engine) == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            ended = &mut probing => panic!("{ended:?}"),
            () = started => {}
        }
    }
    gone(&engine).await;

    // Whenever that is, also while the engine is making it.
    for milliseconds in (0..60).step_by(2) {
        let hung_up = tokio::time::timeout(Duration::from_millis(milliseconds), client.probe(probe())).await;
        assert!(hung_up.is_err(), "{hung_up:?}");
    }
    // What it has begun to make, it ends: only then it is seen that nothing is left.
    client.probe(Probe { command: vec!["true".to_owned()], ..probe() }).await.unwrap();
    gone(&engine).await;
}
