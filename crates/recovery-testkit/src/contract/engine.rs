//! What `ContainerEngine` promises.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use recovery_core::{
    ServiceName,
    container::{Container, ContainerId, ContainerState, Health, RestartPolicy, Snapshot, Standing},
    port::{ContainerEngine, EngineError, Exec, OutputStream},
};

use super::soon;

/// A project with these services, all of them running unless it says otherwise, and another project beside it that
/// has a service `talker`, too:
///
/// | service | containers | what it does |
/// |---|---|---|
/// | `talker` | 1, and one made for one command | printed `out 1` to `out 3`, then `err 1` to standard error |
/// | `terminal` | 1 | has a terminal, and printed `one` and `two` there |
/// | `asks` | 1 | depends on `talker` and asks to be restarted with it |
/// | `lodger` | 1 | has the network of `talker` |
/// | `well` | 1 | has a health check, which succeeds |
/// | `sick` | 1 | has a health check, which fails |
/// | `twice` | 2 | |
/// | `job` | 1 | is not started again, and has ended with status 3 |
///
/// `talker` runs `sh -c 'echo out; echo err >&2; exit 3'` and `seq 1000` as every shell does.
#[async_trait]
pub trait EngineFixture: Send + Sync {
    /// A client of the engine that was asked nothing yet.
    fn engine(&self) -> Arc<dyn ContainerEngine>;

    /// Does something to the one container of a service.
    async fn deed(&self, service: &str, deed: EngineDeed);
}

/// What others do to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineDeed {
    /// Kill its program.
    Kill,
    /// Freeze its program.
    Pause,
    /// Let it go on.
    Unpause,
    /// Remove it, whatever it does.
    Remove,
}

/// What holds while the engine answers. Leaves the containers of `talker`, `asks` and `twice` as they were.
pub async fn container_engine(fixture: &dyn EngineFixture) {
    let engine = fixture.engine();
    let unasked = engine.snapshot();
    assert_eq!((unasked.revision(), unasked.standing()), (0, &Standing::Unasked));
    assert!(unasked.containers().is_empty());
    what_is_told(engine.as_ref()).await;
    what_is_printed(engine.as_ref()).await;
    commands(engine.as_ref()).await;
    restarts(engine.as_ref()).await;
    nobody(engine.as_ref()).await;
    what_happens(fixture).await;
}

fn name(service: &str) -> ServiceName {
    service.parse().unwrap()
}

/// The first container of a service.
fn of(snapshot: &Snapshot, service: &str) -> Container {
    let service = name(service);
    snapshot.of_service(&service).next().unwrap_or_else(|| panic!("no container of {service}")).clone()
}

async fn what_is_told(engine: &dyn ContainerEngine) {
    soon("the health checks have come to an end", async || {
        let snapshot = engine.look().await.unwrap();
        of(&snapshot, "well").health == Health::Healthy && of(&snapshot, "sick").health == Health::Unhealthy
    })
    .await;
    let snapshot = engine.look().await.unwrap();
    assert!(snapshot.is_current() && snapshot.revision() > 0);
    assert!(matches!(snapshot.standing(), Standing::Up(version) if !version.version.is_empty()));
    let services: Vec<&str> = snapshot.services().into_iter().map(ServiceName::as_str).collect();
    assert_eq!(services, ["asks", "job", "lodger", "sick", "talker", "terminal", "twice", "well"]);

    let talkers: Vec<&Container> =
        snapshot.containers().iter().filter(|container| container.service().as_str() == "talker").collect();
    assert_eq!(talkers.len(), 2, "none of the other project, and the one that was made for one command");
    assert_eq!(talkers.iter().filter(|talker| talker.compose.one_off).count(), 1);
    let talker = of(&snapshot, "talker");
    assert_eq!(
        (talker.state, talker.health, talker.exit_code),
        (ContainerState::Running, Health::None, None)
    );
    assert!(talker.started_at.is_some() && talker.health_check.is_none() && !talker.terminal);
    assert!(talker.compose.working_dir.is_some() && talker.compose.config_files.is_some());
    assert_eq!(snapshot.container(&talker.id), Some(&talker));
    assert_eq!(engine.inspect(&talker.id).await.unwrap(), talker, "one container is told of as all are");

    let asks = of(&snapshot, "asks");
    let depends_on: Vec<(&str, bool)> =
        asks.compose.depends_on.iter().map(|on| (on.service.as_str(), on.restart)).collect();
    assert_eq!(depends_on, [("talker", true)]);
    assert_eq!(of(&snapshot, "lodger").network_of.as_ref(), Some(&talker.id));
    assert!(of(&snapshot, "terminal").terminal);
    assert!(of(&snapshot, "well").health_check.is_some() && of(&snapshot, "well").is_up());
    assert!(!of(&snapshot, "sick").is_up());

    let twice = name("twice");
    let numbers: Vec<u32> = snapshot.of_service(&twice).map(|container| container.compose.number).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(snapshot.service(&twice).up, 2);

    let job = of(&snapshot, "job");
    assert_eq!((job.state, job.exit_code), (ContainerState::Exited, Some(3)));
    assert_eq!(job.restart_policy, RestartPolicy::No);
}

async fn what_is_printed(engine: &dyn ContainerEngine) {
    let snapshot = engine.snapshot();
    let talker = of(&snapshot, "talker").id;
    // Two streams that are written at once come in either order.
    let log = engine.logs(&talker, 100).await.unwrap();
    let lines = |stream| {
        let lines = log.lines.iter().filter(move |line| line.stream == stream);
        lines.map(|line| line.text.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(lines(OutputStream::Stdout), ["out 1", "out 2", "out 3"]);
    assert_eq!(lines(OutputStream::Stderr), ["err 1"]);
    assert!(!log.truncated);
    assert_eq!(engine.logs(&talker, 2).await.unwrap().lines, log.lines[2..], "the newest");

    let log = engine.logs(&of(&snapshot, "terminal").id, 100).await.unwrap();
    let lines: Vec<&str> = log.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines, ["one", "two"]);
    assert!(log.lines.iter().all(|line| line.stream == OutputStream::Stdout), "a terminal is one stream");
}

async fn commands(engine: &dyn ContainerEngine) {
    let snapshot = engine.snapshot();
    let talker = of(&snapshot, "talker").id;
    let ran = engine.exec(&talker, Exec::new(["sh", "-c", "echo out; echo err >&2; exit 3"])).await.unwrap();
    assert_eq!(
        (ran.exit_code, ran.stdout.as_slice(), ran.stderr.as_slice()),
        (3, &b"out\n"[..], &b"err\n"[..])
    );
    assert!(!ran.truncated);
    let bounded = Exec { max_output: 10, ..Exec::new(["seq", "1000"]) };
    let ran = engine.exec(&talker, bounded).await.unwrap();
    assert_eq!((ran.exit_code, ran.stdout.as_slice(), ran.truncated), (0, &b"1\n2\n3\n4\n5\n"[..], true));
    let job = of(&snapshot, "job").id;
    let refused = engine.exec(&job, Exec::new(["true"])).await;
    assert!(matches!(refused, Err(EngineError::Conflict { .. })), "it does not run: {refused:?}");
}

async fn restarts(engine: &dyn ContainerEngine) {
    let twice = name("twice");
    let snapshot = engine.look().await.unwrap();
    for before in snapshot.of_service(&twice) {
        engine.restart(&before.id, Duration::from_secs(1)).await.unwrap();
        let now = engine.inspect(&before.id).await.unwrap();
        assert_eq!((now.state, now.restart_count), (ContainerState::Running, 0));
        assert!(now.started_at > before.started_at, "it was started anew");
        assert_eq!((&now.id, &now.name, &now.compose), (&before.id, &before.name, &before.compose));
    }
    let job = of(&snapshot, "job");
    engine.restart(&job.id, Duration::from_secs(1)).await.unwrap();
    soon("the job has ended again", async || {
        let now = engine.inspect(&job.id).await.unwrap();
        now.started_at > job.started_at && now.state == ContainerState::Exited && now.exit_code == Some(3)
    })
    .await;
}

/// A container that is not there.
async fn nobody(engine: &dyn ContainerEngine) {
    let nobody: ContainerId =
        "00000000000000000000000000000000000000000000000000000000000000ff".parse().unwrap();
    let answers = [
        engine.inspect(&nobody).await.map(drop),
        engine.restart(&nobody, Duration::from_secs(1)).await,
        engine.logs(&nobody, 1).await.map(drop),
        engine.exec(&nobody, Exec::new(["true"])).await.map(drop),
    ];
    for answer in answers {
        assert!(matches!(answer, Err(EngineError::NoSuchContainer { .. })), "{answer:?}");
    }
}

/// What is seen by one who watches.
async fn what_happens(fixture: &dyn EngineFixture) {
    let engine = fixture.engine();
    let seeing = async {
        let state = async |service: &'static str, expect: &str| {
            let mut snapshot = engine.snapshot();
            let seen = async {
                while snapshot.service(&name(service)).status() != expect {
                    let newer = engine.newer_than(snapshot.revision()).await;
                    assert!(newer.revision() > snapshot.revision());
                    snapshot = newer;
                }
            };
            let seen = tokio::time::timeout(super::SOON, seen).await;
            assert!(seen.is_ok(), "{service} is never seen {expect}");
        };
        let first = engine.newer_than(0).await;
        assert!(first.is_current());
        assert_eq!(
            engine.newer_than(0).await.revision(),
            first.revision(),
            "one that is there is not waited for"
        );
        state("sick", "running").await;
        fixture.deed("sick", EngineDeed::Pause).await;
        state("sick", "paused").await;
        fixture.deed("sick", EngineDeed::Unpause).await;
        state("sick", "running").await;
        fixture.deed("sick", EngineDeed::Kill).await;
        state("sick", "exited").await;
        fixture.deed("sick", EngineDeed::Remove).await;
        state("sick", "not_found").await;
        fixture.deed("well", EngineDeed::Remove).await;
        state("well", "not_found").await;
    };
    tokio::select! {
        () = engine.watch() => panic!("watching goes on until it is dropped"),
        () = seeing => {}
    }
    let others: BTreeSet<ServiceName> = engine.snapshot().services().into_iter().cloned().collect();
    assert!(others.contains(&name("talker")), "the others are still known");
}

/// What holds while the engine does not answer, for a client that was asked nothing yet: every call says so within
/// seconds, and nothing is claimed.
pub async fn container_engine_away(engine: &dyn ContainerEngine) {
    let id: ContainerId = "00000000000000000000000000000000000000000000000000000000000000ff".parse().unwrap();
    let calls = async {
        let (look, inspect, restart, logs, exec) = tokio::join!(
            engine.look(),
            engine.inspect(&id),
            engine.restart(&id, Duration::from_secs(1)),
            engine.logs(&id, 1),
            engine.exec(&id, Exec::new(["true"])),
        );
        [look.map(drop), inspect.map(drop), restart, logs.map(drop), exec.map(drop)]
    };
    let answers = tokio::time::timeout(Duration::from_secs(60), calls).await.expect("no call hangs");
    for answer in answers {
        let told = matches!(
            answer,
            Err(EngineError::NoEngine { .. }
                | EngineError::NotAllowed { .. }
                | EngineError::Broken { .. }
                | EngineError::TimedOut { .. })
        );
        assert!(told, "{answer:?}");
    }
    tokio::select! {
        () = engine.watch() => panic!("watching goes on until it is dropped"),
        snapshot = engine.newer_than(0) => {
            assert!(matches!(snapshot.standing(), Standing::Away(_)), "{:?}", snapshot.standing());
            assert_eq!(snapshot.service(&name("talker")).status(), "unknown");
        }
    }
}
