//! What can be wrong, each with its own words, and nothing half done.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use recovery_core::{
    compose::ServiceStanding,
    port::{Compose, ComposeError, ImageTrouble},
};

use crate::compose_fixture::{Fixture, names, start};

/// A machine with these programs and no others.
fn programs(scripts: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, script) in scripts {
        let path = directory.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    directory
}

const NO_PLUGIN: &str = "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1";

#[tokio::test]
async fn a_machine_without_compose_or_with_an_old_one_says_so() {
    let fixture = Fixture::new("services: {}\n");
    for (scripts, too_old) in [
        (&[][..], None),
        (&[("docker", NO_PLUGIN)], None),
        (&[("docker", "echo unknown flag: --short >&2; exit 125")], None),
        (&[("docker", NO_PLUGIN), ("docker-compose", "echo 1.29.2")], Some("1.29.2")),
        (&[("docker-compose", "exit 3")], None),
        (&[("docker-compose", "echo something else")], None),
    ] {
        let programs = programs(scripts);
        let compose = fixture.with(|settings| settings.path = programs.path().display().to_string());
        for error in [
            compose.version().await.unwrap_err(),
            compose.model().await.unwrap_err(),
            start(&compose, &["any"]).await.unwrap_err(),
            compose.stop(&names(&["any"]), None).await.unwrap_err(),
        ] {
            match (&error, too_old) {
                (ComposeError::NotInstalled, None) => {}
                (ComposeError::TooOld { found, .. }, Some(version)) if found == version => {}
                _ => panic!("{scripts:?}: {error:?}"),
            }
        }
    }
}

#[tokio::test]
async fn compose_that_is_installed_or_removed_meanwhile_is_noticed() {
    let fixture = Fixture::new("services: {}\n");
    let programs = programs(&[]);
    let compose = fixture.with(|settings| settings.path = programs.path().display().to_string());
    compose.version().await.unwrap_err();
    let program = programs.path().join("docker-compose");
    std::os::unix::fs::symlink(recovery_testkit::servers::DockerEngine::compose_program(), &program).unwrap();
    compose.model().await.expect("it was installed");
    fs::remove_file(&program).unwrap();
    let error = compose.model().await.unwrap_err();
    assert!(matches!(error, ComposeError::Run { .. }), "{error:?}");
    let error = compose.model().await.unwrap_err();
    assert!(matches!(error, ComposeError::NotInstalled), "{error:?}");
}

#[tokio::test]
async fn a_compose_that_floods_or_talks_nonsense_is_ended() {
    let fixture = Fixture::new("services: {}\n");
    let flood = programs(&[(
        "docker-compose",
        "case \"$*\" in *version*) echo 2.26.1;; *) exec /usr/bin/tr '\\0' x </dev/zero;; esac",
    )]);
    let compose = fixture.with(|settings| settings.path = flood.path().display().to_string());
    let error = compose.model().await.unwrap_err();
    assert!(matches!(error, ComposeError::Run { .. }), "{error:?}");
    let nonsense =
        programs(&[("docker-compose", "case \"$*\" in *version*) echo 2.26.1;; *) echo nonsense;; esac")]);
    let compose = fixture.with(|settings| settings.path = nonsense.path().display().to_string());
    let error = compose.model().await.unwrap_err();
    assert!(matches!(error, ComposeError::Answer { .. }), "{error:?}");
}

#[tokio::test]
async fn broken_and_missing_files_are_told_apart() {
    let fixture = Fixture::new("services:\n  a:\n    image: x\n    imagee: y\n");
    let error = fixture.cli().model().await.unwrap_err().to_string();
    assert!(error.contains("imagee") && !error.contains("/tmp"), "{error}");
    fixture.project.write("docker-compose.yml", "services:\n  a: [\n");
    for error in [
        fixture.cli().model().await.unwrap_err(),
        start(&fixture.cli(), &["a"]).await.unwrap_err(),
        fixture.cli().stop(&names(&["a"]), None).await.unwrap_err(),
        fixture.cli().pull(&names(&["a"]), &|_| {}).await.unwrap_err(),
    ] {
        assert!(matches!(error, ComposeError::Invalid { .. }), "{error:?}");
    }
    fs::remove_file(fixture.project.path("docker-compose.yml")).unwrap();
    let error = fixture.cli().model().await.unwrap_err();
    assert!(matches!(error, ComposeError::NoFile { file: None }), "{error:?}");
    let named = fixture.with(|settings| settings.files = Arc::new(vec![PathBuf::from("gpu.yml")]));
    let error = named.model().await.unwrap_err();
    assert!(matches!(&error, ComposeError::NoFile { file: Some(file) } if file == "gpu.yml"), "{error:?}");
}

#[tokio::test]
async fn an_engine_that_is_away_is_named() {
    let fixture = Fixture::new("services:\n  a:\n    image: debian:trixie-slim\n");
    for engine in ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:1"] {
        let compose = fixture.with(|settings| settings.engine = engine.to_owned());
        compose.model().await.expect("the files can be read without it");
        for error in [
            start(&compose, &["a"]).await.unwrap_err(),
            compose.stop(&names(&["a"]), None).await.unwrap_err(),
        ] {
            assert!(matches!(error, ComposeError::EngineUnavailable), "{error:?}");
        }
    }
}

const FAULTY: &str = "
x-sleeper: &sleeper
  image: debian:trixie-slim
  command: [sleep, infinity]
  stop_grace_period: 0s
services:
  built: {build: ., profiles: [a]}
  gpu:
    <<: *sleeper
    profiles: [a]
    deploy: {resources: {reservations: {devices: [{driver: nvidia, count: all, capabilities: [gpu]}]}}}
  rocm: {<<: *sleeper, profiles: [a], devices: ['/dev/kfd:/dev/kfd']}
  runtime: {<<: *sleeper, profiles: [a], runtime: nvidia}
  port: {<<: *sleeper, profiles: [a], ports: ['127.0.0.1:${PORT}:80']}
  sick:
    <<: *sleeper
    profiles: [a]
    healthcheck: {test: [CMD, 'false'], interval: 100ms, timeout: 5s, retries: 1}
  needs-sick:
    <<: *sleeper
    profiles: [a]
    depends_on:
      sick: {condition: service_healthy}
";

#[tokio::test]
async fn what_keeps_a_service_from_starting_is_named_and_leaves_nothing() {
    let fixture = Fixture::new(FAULTY);
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    fixture.project.write(".env", &format!("PORT={port}\n"));
    let compose = fixture.cli();
    let failed = async |service: &str| {
        let error = start(&compose, &[service]).await.unwrap_err();
        assert_eq!(fixture.inspect(service), None, "{service} has left a container");
        error
    };
    for service in ["gpu", "rocm", "runtime"] {
        let error = failed(service).await;
        assert!(matches!(error, ComposeError::NoGpu), "{service}: {error:?}");
    }
    let error = failed("port").await;
    assert!(matches!(error, ComposeError::PortTaken { port: Some(found) } if found == port), "{error:?}");
    let error = failed("built").await;
    assert!(matches!(error, ComposeError::ImageMissing { trouble: ImageTrouble::NotBuilt, .. }), "{error:?}");
    compose.pull(&names(&["built"]), &|_| {}).await.expect("what is built is not pulled");
    drop(taken);
    start(&compose, &["port"]).await.expect("the port is free now");
    assert_eq!(fixture.inspect("port").unwrap().1, ServiceStanding::Running);
}

#[tokio::test]
async fn a_dependency_that_is_not_well_is_named() {
    let fixture = Fixture::new(FAULTY);
    fixture.project.write(".env", "PORT=1\n");
    let compose = fixture.cli();
    let dependency = async |services: &[&str]| match start(&compose, services).await.unwrap_err() {
        ComposeError::DependencyNotReady(unmet) => (unmet.service, unmet.dependency, unmet.found),
        other => panic!("{other:?}"),
    };
    let expect = |found| (names(&["needs-sick"])[0].clone(), names(&["sick"])[0].clone(), found);
    assert_eq!(dependency(&["needs-sick"]).await, expect(ServiceStanding::Absent));
    assert_eq!(dependency(&["sick", "needs-sick"]).await, expect(ServiceStanding::Unhealthy));
    assert!(fixture.inspect("sick").is_some(), "one that ran stays: its log says why");
    assert_eq!(fixture.inspect("needs-sick"), None, "one that never ran does not");
    // It is unhealthy by now, and known to be.
    assert_eq!(dependency(&["needs-sick"]).await, expect(ServiceStanding::Unhealthy));
    compose.stop(&names(&["sick"]), None).await.unwrap();
    assert_eq!(dependency(&["needs-sick"]).await, expect(ServiceStanding::Exited(137)));
}
