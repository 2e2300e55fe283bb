//! What the containers of a Compose project do, now and as it changes:
//! `cargo run -p recovery-docker --example containers -- unix:///var/run/docker.sock nova --follow`.

use recovery_core::{Problem, container::Snapshot, port::ContainerEngine};
use recovery_docker::DockerEngine;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    let project = arguments.next().unwrap_or_else(|| "nova".to_owned());
    let follow = arguments.next().is_some_and(|argument| argument == "--follow");

    let engine = DockerEngine::new(&address, project.parse()?)?;
    match engine.look().await {
        Ok(snapshot) => show(&snapshot),
        Err(error) => {
            let problem = Problem::from(&error);
            println!("{problem} {}", problem.hint.as_deref().unwrap_or_default());
        }
    }
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
