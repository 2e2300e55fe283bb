//! Two instances of the service at once.

use std::process::Stdio;

use crate::{
    outages::Standing,
    service::{Service, World, until},
};

/// A restore that takes some seconds to load.
async fn loading(world: &World, service: &Service) -> String {
    world.slow_to_load();
    world.postgres.psql("nova", "DELETE FROM slow WHERE id > 3");
    let name = service.backup().await;
    let id = service.begin(&format!("/backups/{name}/restore")).await;
    world.until_loading().await;
    id
}

/// Waits until a service that has just begun has found out that it must not clear up yet.
async fn held_off(service: &Service) {
    until("the second service to find the first at work", async || {
        service.log().contains("clearing up after the last run must wait")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_on_one_directory_do_not_touch_each_other_s_work() {
    let world = World::new();
    let first = world.serve().await;
    let id = loading(&world, &first).await;
    let (databases, files) = (world.databases(), world.files());
    assert_eq!(databases.len(), 2, "the live one and the one that is being loaded");

    let second = world.serve().await;
    held_off(&second).await;
    assert_eq!(world.databases(), databases, "the start of the second has dropped the first's work");
    assert_eq!(world.files(), files);
    let refused = second.post("/backups").await;
    refused.assert_problem(409, "busy");
    let detail = refused.body["detail"].as_str().unwrap();
    assert_eq!(refused.body["operation_id"], id.as_str());
    for part in ["restore", "admin secret", "since", "UTC"] {
        assert!(detail.contains(part), "{detail}");
    }
    let operations = second.get_json("/operations").await.assert_ok();
    let states: Vec<&str> = operations
        .as_array()
        .unwrap()
        .iter()
        .filter(|operation| operation["id"] == id.as_str())
        .map(|operation| operation["state"].as_str().unwrap())
        .collect();
    assert!(!states.contains(&"interrupted"), "{operations}");

    assert_eq!(first.finished(&id).await["state"], "succeeded");
    until("the second to have learnt the end", async || {
        second.get_json(&format!("/operations/{id}")).await.body["state"] == "succeeded"
    })
    .await;
    second.backup().await;
    first.backup().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_with_a_directory_each_do_not_touch_each_other_s_work() {
    let world = World::new();
    let first = world.serve().await;
    let id = loading(&world, &first).await;
    let databases = world.databases();
    assert_eq!(databases.len(), 2);

    let elsewhere = tempfile::tempdir().unwrap();
    let second = world
        .serve_with(|command| {
            command.env("BACKUP_DIR", elsewhere.path());
        })
        .await;
    held_off(&second).await;
    assert_eq!(world.databases(), databases, "the start of the second has dropped the first's work");
    let refused = second.post("/backups").await;
    refused.assert_problem(409, "busy");
    let detail = refused.body["detail"].as_str().unwrap();
    for part in ["restore", "admin secret", "since", "UTC"] {
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(first.finished(&id).await["state"], "succeeded");
    until("the second to be let in", async || second.post("/backups").await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_begin_together_clear_up_once_and_both_work() {
    let world = World::new();
    world.slow_to_load();
    let mut first = world.serve().await;
    let name = first.backup().await;
    let id = first.begin(&format!("/backups/{name}/restore")).await;
    world.until_loading().await;
    first.kill();
    let (second, third) = tokio::join!(world.serve(), world.serve());
    for service in [&second, &third] {
        until("the restore to be closed", async || service.operation(&id).await["state"] == "interrupted")
            .await;
    }
    until("what it left to be gone", async || world.databases() == ["nova"]).await;
    let journal = std::fs::read_to_string(world.backups().join(".state/journal.jsonl")).unwrap();
    let closed = journal.lines().filter(|line| line.contains(&id) && line.contains("\"finished\"")).count();
    assert_eq!(closed, 1, "{journal}");
    second.backup().await;
    third.backup().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_outlives_its_service_is_ended_by_the_next_start() {
    let world = World::new();
    let (mut standing, id) = Standing::at(&world, "backup:dumping:after", "/backups").await;
    // It waits for the snapshot's locks, and the dump waits for it; it gets them when the service is killed.
    let mut holder = world.postgres.client("psql", "nova");
    holder.env("PGAPPNAME", "holder").args(["-c", "BEGIN; LOCK TABLE messages; SELECT pg_sleep(600)"]);
    holder.stdout(Stdio::null()).stderr(Stdio::null());
    let mut holder = holder.spawn().unwrap();
    let count = |sql: &str| world.postgres.psql("postgres", sql).parse::<u32>().unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder' AND wait_event_type = 'Lock'";
    until("the table to be wanted", async || count(waiting) > 0).await;
    standing.go_on();
    let dumping = "SELECT count(*) FROM pg_stat_activity
                   WHERE application_name LIKE 'nova-recovery-dump-%' AND wait_event_type = 'Lock'";
    until("the dump to wait", async || count(dumping) > 0).await;
    standing.service.kill();
    assert!(count(dumping) > 0, "pg_dump does not notice that nobody waits for it");
    let service = world.serve().await;
    until("the backup to be closed", async || {
        service.operation(&id).await["error"]["detail"].as_str().unwrap().contains("was cut off")
    })
    .await;
    // By itself it would go on for as long as it may wait for a lock, which is a minute.
    assert_eq!(count(dumping), 0, "the dump goes on");
    until("its files to be gone", async || world.files().is_empty()).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'";
    world.postgres.psql("postgres", end);
    holder.wait().unwrap();
    service.backup().await;
}
