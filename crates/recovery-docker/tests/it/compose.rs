//! Compose as the port promises it, and what it leaves alone.

use std::{path::PathBuf, sync::Arc};

use recovery_core::{compose::ServiceStanding, port::Compose};
use recovery_docker::{ComposeCli, ComposeSettings};
use recovery_testkit::{FakeRunner, contract, exits};

use crate::compose_fixture::{Fixture, SERVICES, names, start};

#[tokio::test]
async fn it_keeps_what_the_port_promises() {
    contract::compose(&Fixture::of_the_contract()).await;
}

#[tokio::test]
async fn what_a_profile_depends_on_is_left_alone_even_where_its_definition_has_changed() {
    let fixture = Fixture::of_the_contract();
    let base = fixture.inspect("base").unwrap();
    assert!(base.0.contains("/data"), "{base:?}");
    // Compose would make `base` anew now.
    fixture.project.write(".env", "DEMANDED=another value\n");
    start(&fixture.cli(), &["tool"]).await.unwrap();
    assert_eq!(fixture.inspect("tool").unwrap().1, ServiceStanding::Running);
    fixture.cli().stop(&names(&["tool"]), None).await.unwrap();
    assert_eq!(
        fixture.inspect("base").unwrap(),
        base,
        "the same container with the same mounts, not restarted"
    );
}

#[tokio::test]
async fn a_project_that_is_seen_at_another_path_is_not_changed() {
    let fixture = Fixture::of_the_contract();
    let base = fixture.inspect("base").unwrap();
    let elsewhere = fixture.seen_at_another_path();
    let error = start(&elsewhere, &["base"]).await.unwrap_err();
    let problem = recovery_core::Problem::from(error);
    assert!(problem.hint.unwrap().contains("Mount the project's directory"));
    elsewhere.stop(&names(&["base"]), None).await.unwrap_err();
    assert_eq!(fixture.inspect("base").unwrap(), base);
    assert!(!fixture.other_directory().join("data").exists(), "no empty directory in place of the real one");
    // Where nothing runs, nothing can be lost, and the project may have moved.
    fixture.project.compose(&["stop"]);
    start(&elsewhere, &["base"]).await.expect("the project has moved");
}

#[tokio::test]
async fn several_files_are_read_in_their_order_and_from_the_project_s_directory() {
    let fixture = Fixture::new(SERVICES);
    fixture.project.write(
        "more.yml",
        "services:\n  tool:\n    profiles: [extra]\n  added:\n    image: debian:trixie-slim\n",
    );
    let compose = fixture.with(|settings| {
        settings.files = Arc::new(["docker-compose.yml", "more.yml"].map(PathBuf::from).to_vec());
    });
    let model = compose.model().await.unwrap();
    assert!(model.services.contains_key("added"));
    let profiles: Vec<String> = model.services["tool"].profiles.iter().map(ToString::to_string).collect();
    assert_eq!(profiles, ["extra", "tools"]);
    assert!(!fixture.cli().model().await.unwrap().services.contains_key("added"));
}

#[tokio::test]
async fn what_is_named_together_is_started_in_its_order() {
    let fixture = Fixture::new(
        "services:
  first:
    image: debian:trixie-slim
    command: [sh, -c, 'touch /tmp/ready; sleep infinity']
    stop_grace_period: 0s
    healthcheck: {test: [CMD, test, -e, /tmp/ready], interval: 200ms, timeout: 5s, retries: 50}
    profiles: [pair]
  second:
    image: debian:trixie-slim
    command: [sleep, infinity]
    stop_grace_period: 0s
    profiles: [pair]
    depends_on:
      first: {condition: service_healthy}
",
    );
    let seen = std::sync::Mutex::new(Vec::new());
    let output = fixture
        .cli()
        .start(&names(&["second", "first"]), &|progress| seen.lock().unwrap().push(progress.phase))
        .await
        .unwrap();
    let at = |word: &str| {
        output.lines().position(|line| line.contains(word)).unwrap_or_else(|| panic!("{output}"))
    };
    assert!(at("first-1 Healthy") < at("second-1 Starting"), "{output}");
    assert!(seen.lock().unwrap().iter().all(|phase| phase == "starting"), "{seen:?}");
    assert!(!seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_env_that_is_not_there_is_an_empty_one() {
    let fixture = Fixture::new("services:\n  one:\n    image: 'debian:${TAG:-trixie-slim}'\n");
    fixture.project.write(".env", "TAG=other\n");
    let image =
        async |compose: ComposeCli| compose.model().await.unwrap().services["one"].image.clone().unwrap();
    assert_eq!(image(fixture.cli()).await, "debian:other");
    // The `.env` that lies in the project's directory is not the one that was meant.
    let missing = fixture.with(|settings| settings.env_file = fixture.project.path("missing.env"));
    assert_eq!(image(missing).await, "debian:trixie-slim");
}

#[tokio::test]
async fn compose_gets_nothing_of_our_environment_and_never_touches_what_was_not_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("compose.yml"), "").unwrap();
    let runner = FakeRunner::new();
    runner.install("docker", |command: &recovery_core::port::Command| {
        let asks = |word: &str| command.args.iter().any(|arg| arg == word);
        let stdout = if asks("version") {
            "2.26.1\n"
        } else if asks("config") {
            r#"{"services": {"tool": {"profiles": ["tools"]}}}"#
        } else {
            ""
        };
        recovery_core::port::CommandOutput { stdout: stdout.as_bytes().to_vec(), ..exits(0, "") }
    });
    let settings = ComposeSettings {
        project: "nova".parse().unwrap(),
        directory: directory.path().to_owned(),
        files: Arc::new(Vec::<PathBuf>::new()),
        env_file: directory.path().join(".env"),
        engine: "unix:///var/run/docker.sock".to_owned(),
        path: ComposeSettings::PATH.to_owned(),
        patience: ComposeSettings::PATIENCE,
    };
    let compose = ComposeCli::new(settings, Arc::new(runner.clone()));
    start(&compose, &["tool"]).await.unwrap();
    compose.stop(&names(&["tool"]), None).await.unwrap();
    compose.stop(&names(&["tool"]), Some(std::time::Duration::from_secs(65))).await.unwrap();
    compose.pull(&names(&["tool"]), &|_| {}).await.unwrap();
    for command in runner.calls() {
        let names: Vec<&str> = command.env.iter().map(|(name, _)| name.as_str()).collect();
        let allowed = ["PATH", "LC_ALL", "DOCKER_CLI_HINTS", "COMPOSE_IGNORE_ORPHANS", "DOCKER_HOST"];
        assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
    }
    let changes: Vec<String> = runner
        .calls_of("docker")
        .into_iter()
        .map(|args| args.join(" ").replace(&directory.path().display().to_string(), "DIR"))
        .filter(|args| ["up", "stop", "pull"].iter().any(|verb| args.split(' ').any(|word| word == *verb)))
        .collect();
    let project =
        "compose --ansi never -p nova --project-directory DIR --env-file /dev/null -f DIR/compose.yml";
    assert_eq!(
        changes,
        [
            format!("{project} up --detach --no-deps --no-build tool"),
            format!("{project} stop tool"),
            format!("{project} stop --timeout 65 tool"),
            format!("{project} pull --ignore-buildable tool"),
        ]
    );
}
