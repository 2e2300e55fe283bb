//! What the containers of a Compose project do:
//! `cargo run -p recovery-docker --example containers -- unix:///var/run/docker.sock nova`; with `--follow` as a third
//! argument also how it changes, until it is stopped.

use recovery_core::{Problem, container::Snapshot, port::ContainerEngine};
use recovery_docker::DockerEngine;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    let project = arguments.next().unwrap_or_else(|| "nova".to_owned());
    let follow = arguments.next().is_some_and(|argument| argument == "--follow");

    let engine = DockerEngine::new(&address, project.parse()?)?;
    show(&*engine.look().await.map_err(|error| Problem::from(&error))?);
    if follow {
        let show_changes = async {
            let mut snapshot = engine.snapshot();
            loop {
                snapshot = engine.newer_than(snapshot.revision()).await;
                show(&snapshot);
            }
        };
        tokio::join!(engine.watch(), show_changes);
    }
    Ok(())
}

fn show(snapshot: &Snapshot) {
    println!("{:?}", snapshot.standing());
    for service in snapshot.services() {
        let state = snapshot.service(service);
        println!("  {service}: {}, {}, ports {:?}", state.status(), state.health.as_str(), state.ports);
    }
}
