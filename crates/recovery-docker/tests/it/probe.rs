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

#[tokio::test]
async fn the_contract_and_nothing_is_left() {
    let engine = DockerEngine::shared();
    let client = Client::new(engine.host(), "nova".parse().unwrap()).unwrap();
    contract::gpu_engine(&client, IMAGE, async || probes(&engine)).await;

    // Nobody waits for it any more: it is removed all the same.
    let probe = Probe {
        image: IMAGE.to_owned(),
        command: vec!["sleep".to_owned(), "1000".to_owned()],
        gpus: GpuRequest::None,
        timeout: Duration::from_secs(60),
        max_output: 10,
    };
    {
        let mut probing = std::pin::pin!(client.probe(probe));
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
}
