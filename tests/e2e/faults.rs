//! A world that does not play along.

use std::fs;

use reqwest::Method;
use serde_json::json;

use crate::service::{BASE, SECRET, World, script, until};

/// Checks that a text that the outside sees shows nothing that it may not.
fn assert_discreet(world: &World, text: &str) {
    for secret in [world.postgres.password(), SECRET, "postgres://", world.directory.path().to_str().unwrap()]
    {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_everything_down_it_starts_and_says_what_is_wrong() {
    let mut world = World::new();
    world.postgres.stop_immediately();
    world.redis.stop();
    let service = world.serve().await;
    let live = service.send(service.request(Method::GET, "/health/live")).await.assert_ok();
    assert_eq!(live, json!({ "status": "ok", "service": "recovery" }));
    let ready = service.send(service.request(Method::GET, "/health/ready")).await;
    assert_eq!((ready.status.as_u16(), &ready.body["status"]), (503, &json!("degraded")), "{ready:?}");
    let status = service.send(service.request(Method::GET, &format!("{BASE}/status"))).await.assert_ok();
    assert_eq!(status["database"]["connected"], false);
    assert_eq!(status["backups"]["count"], 0);
    let answer = service.post("/backups").await;
    answer.assert_problem(503, "database_unavailable");
    for body in [&ready.body, &status, &answer.body] {
        assert_discreet(&world, &body.to_string());
    }

    world.postgres.restart();
    until("the service to be ready", async || {
        service.send(service.request(Method::GET, "/health/ready")).await.status == 200
    })
    .await;
    service.backup().await;
    assert!(!service.log().contains(world.postgres.password()));
    assert!(!service.log().contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_database_url_is_told_and_does_not_stop_it() {
    for (url, words) in [
        ("postgres://nova:hidden-password@127.0.0.1:1/nova", "does not answer"),
        ("postgres://nova:hidden-password@127.0.0.1:1/nova?sslmode=require", "TLS"),
        ("not-a-url-with-hidden-password", "DATABASE_URL"),
    ] {
        let world = World::new().with("DATABASE_URL", url);
        let service = world.serve().await;
        let answer = service.post("/backups").await;
        answer.assert_problem(503, "database_unavailable");
        assert!(answer.body.to_string().contains(words), "{url}: {answer:?}");
        assert!(!answer.body.to_string().contains("hidden-password"));
        assert!(!service.log().contains("hidden-password"), "{}", service.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_without_showing_it() {
    let world = World::new();
    let url = world.postgres.url("nova").replace(world.postgres.password(), "hidden-password");
    let world = world.with("DATABASE_URL", url);
    let service = world.serve().await;
    let answer = service.post("/backups").await;
    answer.assert_problem(503, "database_unavailable");
    assert!(answer.body["detail"].as_str().unwrap().contains("refuses the sign-in"), "{answer:?}");
    let ready = service.send(service.request(Method::GET, "/health/ready")).await;
    assert_eq!(ready.status, 503);
    assert!(!format!("{}{}{}", answer.body, ready.body, service.log()).contains("hidden-password"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_in_the_middle_of_a_restore_is_whole_afterwards() {
    let mut world = World::new();
    world.slow_to_load();
    let service = world.serve().await;
    let name = service.backup().await;
    let before = world.postgres.pg_dump_text("nova");
    let id = service.begin(&format!("/backups/{name}/restore")).await;
    world.until_loading().await;
    world.postgres.stop_immediately();
    let operation = service.finished(&id).await;
    assert_eq!(operation["state"], "failed", "{operation}");
    assert_eq!(operation["error"]["code"], "database_unavailable", "{operation}");
    world.postgres.restart();
    assert!(world.postgres.pg_dump_text("nova") == before);
    assert_eq!(world.files(), [name]);
    // The next operation clears up what could not be dropped while the server was down.
    let next = service.backup().await;
    service.post(&format!("/backups/{next}/verify")).await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_client_programs_the_answer_says_what_to_install() {
    let empty = tempfile::tempdir().unwrap();
    let world = World::new().with("PG_BIN_DIR", empty.path().to_str().unwrap());
    let service = world.serve().await;
    let answer = service.post("/backups").await;
    answer.assert_problem(503, "tool_unavailable");
    assert!(answer.body["hint"].as_str().unwrap().contains("postgresql-client"), "{answer:?}");
    assert_eq!(world.files(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_older_than_the_server_is_refused() {
    let programs = tempfile::tempdir().unwrap();
    script(&programs.path().join("pg_dump"), "echo 'pg_dump (PostgreSQL) 9.6.24'");
    script(&programs.path().join("pg_restore"), "echo 'pg_restore (PostgreSQL) 9.6.24'");
    let world = World::new().with("PG_BIN_DIR", programs.path().to_str().unwrap());
    let answer = world.serve().await.post("/backups").await;
    answer.assert_problem(503, "tool_unavailable");
    assert!(answer.body["detail"].as_str().unwrap().contains("9.6"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_directory_that_cannot_be_written_is_told() {
    let world = World::new();
    fs::write(world.backups(), "a file is no directory").unwrap();
    let state = world.directory.path().join("state");
    let world = world.with("STATE_DIR", state.to_str().unwrap());
    let service = world.serve().await;
    let answer = service.post("/backups").await;
    answer.assert_problem(503, "storage_unavailable");
    assert_discreet(&world, &answer.body.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_restores_is_refused_and_told_of_the_first() {
    let world = World::new();
    world.slow_to_load();
    let service = world.serve().await;
    let name = service.backup().await;
    let id = service.begin(&format!("/backups/{name}/restore")).await;
    let second = service.post(&format!("/backups/{name}/restore")).await;
    second.assert_problem(409, "busy");
    assert_eq!(second.body["operation_id"], json!(id));
    assert_eq!(world.run(&["backup"]).status.code(), Some(4), "the command line is refused as well");

    service.post(&format!("/operations/{id}/cancel")).await;
    let operation = service.finished(&id).await;
    assert_eq!(operation["state"], "cancelled", "{operation}");
    assert_eq!(world.databases(), ["nova"]);
    assert_eq!(world.files(), [name]);
}
