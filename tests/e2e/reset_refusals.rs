//! Factory reset: what is refused changes nothing, and what is away is told.

use std::{fs, os::unix::fs::symlink, process::Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    outages::Standing,
    reset::assert_same,
    reset_world::ResetWorld,
    service::{BASE, DATABASE, Service, until},
};

/// Wipes chats alone.
fn chats(own: &ResetWorld) -> Value {
    json!({ "keep": own.all_but(&["chat_history"]), "confirm": "RESET", "safety_backup": false })
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_change_nothing() {
    let mut own = ResetWorld::new().await;
    own.world.variables.push(("TRUSTED_NETWORK_CIDRS".to_owned(), "127.0.0.0/8".to_owned()));
    let service = own.world.serve().await;
    own.rebuild();
    let before = own.listing();
    for (body, status, code) in [
        (json!({ "confirm": "RESET" }), 422, "invalid_body"),
        (json!({ "keep": null, "confirm": "RESET" }), 422, "invalid_body"),
        (json!({ "keep": ["users"], "confirm": "RESET" }), 400, "invalid_request"),
        (json!({ "keep": [""], "confirm": "RESET" }), 400, "invalid_request"),
        (json!({ "keep": ["backups", "backups"], "confirm": "RESET" }), 400, "invalid_request"),
        (json!({ "keep": [], "confirm": "reset" }), 400, "confirmation_required"),
        (json!({ "keep": [], "confirm": "YES" }), 400, "confirmation_required"),
        (json!({ "keep": [] }), 422, "invalid_body"),
    ] {
        own.reset(&service, body).await.assert_problem(status, code);
    }
    let nobody = service.request(Method::POST, &format!("{BASE}/factory-reset")).json(&chats(&own));
    service.send(nobody).await.assert_problem(401, "credentials_required");
    // From the trusted network a look is allowed.
    let look =
        service.request(Method::POST, &format!("{BASE}/factory-reset/preview")).json(&json!({"keep": []}));
    assert_eq!(service.send(look).await.assert_ok()["possible"], true);
    let output = own.world.run(&["reset", "--keep", "backups", "--confirm", "reset"]);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let output = own.world.run(&["reset", "--keep", "nonsense", "--confirm", "RESET"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_same(&own.listing(), &before, "after wrong requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_operation_in_the_way_is_named() {
    let own = ResetWorld::new().await;
    own.rebuild();
    let before = own.listing();
    let (standing, id) = Standing::at(&own.world, "backup:dumped", "/backups").await;
    let answer = own.reset(&standing.service, chats(&own)).await;
    answer.assert_problem(409, "busy");
    assert_eq!(answer.body["operation_id"], id.as_str(), "{answer:?}");
    standing.go_on();
    standing.service.finished(&id).await;
    let mut after = own.listing();
    after.backups.retain(|name, _| before.backups.contains_key(name));
    assert_same(&after, &before, "after a busy reset");
}

/// Waits until a reset is in a phase.
async fn until_in(service: &Service, id: &str, phase: &str) {
    until(phase, async || service.operation(id).await["progress"]["phase"] == phase).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_somebody_writes_to_is_waited_for_and_nothing_is_changed_meanwhile() {
    let own = ResetWorld::new().await;
    let service = own.world.serve().await;
    own.rebuild();
    let before = own.listing();
    let mut writer = own.world.postgres.client("psql", DATABASE);
    writer.args(["-c", "BEGIN; LOCK TABLE users IN ROW EXCLUSIVE MODE; SELECT pg_sleep(300)"]);
    let mut writer = writer.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let held =
        "SELECT count(*) > 0 FROM pg_locks WHERE mode = 'RowExclusiveLock' AND relation = 'users'::regclass";
    until("the table to be locked", async || own.world.postgres.psql(DATABASE, held).trim() == "t").await;
    let request = service.admin(Method::POST, "/factory-reset").json(&chats(&own));
    let answer = service.send(request.header("Prefer", "respond-async")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.body["id"].as_str().unwrap().to_owned();
    until_in(&service, &id, "waiting for locks").await;
    service.post(&format!("/operations/{id}/cancel")).await;
    let ended = service.finished(&id).await;
    assert_eq!(ended["state"], "cancelled", "{ended}");
    own.world.postgres.psql(
        DATABASE,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%' AND pid <> pg_backend_pid()",
    );
    writer.wait().unwrap();
    assert_same(&own.listing(), &before, "after a cancelled reset");
    // Once the writer is gone, it goes.
    until("the writer to be gone", async || own.world.postgres.psql(DATABASE, held).trim() == "f").await;
    own.reset(&service, chats(&own)).await.assert_ok();
    assert_eq!(own.world.count("messages"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nothing_is_begun_unless_that_is_accepted() {
    let mut own = ResetWorld::new().await;
    let service = own.world.serve().await;
    own.rebuild();
    let before = own.tables();
    own.world.redis.stop();
    own.reset(&service, chats(&own)).await.assert_problem(503, "dependency_unavailable");
    let preview = own.preview(&service, &own.all_but(&["chat_history"])).await;
    assert_eq!(preview["possible"], false, "{preview}");
    assert!(preview["redis_error"].is_string(), "{preview}");
    assert!(own.tables() == before, "nothing is changed");
    // What has no keys does not need it.
    let keep = own.all_but(&["api_keys"]);
    let answer =
        own.reset(&service, json!({ "keep": keep, "confirm": "RESET", "safety_backup": false })).await;
    assert_eq!(answer.assert_ok()["errors"], Value::Null);
    assert_eq!(own.world.count("api_keys"), 0);
    let mut partial = chats(&own);
    partial["accept_partial"] = json!(true);
    let answer = own.reset(&service, partial).await.assert_ok();
    assert!(answer["errors"][0].as_str().unwrap().contains("Redis"), "{answer}");
    assert_eq!(own.world.count("messages"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_no_directory_is_refused_and_a_missing_one_is_nothing_to_do() {
    let own = ResetWorld::new().await;
    let service = own.world.serve().await;
    own.rebuild();
    let tasks = own.all_but(&["task_pipeline_history", "cortex_state"]);
    let body = json!({ "keep": tasks, "confirm": "RESET", "safety_backup": false });
    let shots = own.data().join("friction-screenshots");
    fs::remove_dir_all(&shots).unwrap();
    symlink(own.data().join("elsewhere"), &shots).unwrap();
    let before = own.listing();
    let answer = own.reset(&service, body.clone()).await;
    answer.assert_problem(409, "conflict");
    let message = answer.body["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("symbolic link"), "{answer:?}");
    assert_same(&own.listing(), &before, "a link in place of a directory");

    let mut partial = body.clone();
    partial["accept_partial"] = json!(true);
    let answer = own.reset(&service, partial).await.assert_ok();
    assert!(answer["errors"][0].as_str().unwrap().contains("symbolic link"), "{answer}");
    assert_eq!(own.listing().files, before.files, "nothing is removed through the link");

    own.rebuild();
    fs::remove_dir_all(&shots).unwrap();
    let answer = own.reset(&service, body).await.assert_ok();
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    assert_eq!(own.world.count("tasks"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_command_line_it_is_the_same_directly_and_through_a_service() {
    let own = ResetWorld::new().await;
    own.rebuild();
    let before = own.listing();
    let direct = own.world.run_json(&["reset", "--preview", "--exact"]);
    let keep: Vec<Value> = own.defaults().into_iter().map(Value::from).collect();
    assert_eq!(direct["kept"], Value::Array(keep));
    {
        let service = own.world.serve().await;
        let remote = own.world.run_json(&["--url", &service.url, "reset", "--preview", "--exact"]);
        assert_eq!(remote, direct);
        assert_same(&own.listing(), &before, "after previews");
        let keep = own.all_but(&["chat_history"]).join(",");
        let args =
            ["--url", &service.url, "reset", "--keep", &keep, "--confirm", "RESET", "--no-safety-backup"];
        let done = own.world.run_json(&args);
        assert_eq!(done["wiped"], json!(["chat_history"]));
    }
    assert_eq!(own.world.count("messages"), 0);
    let keep = own.all_but(&["api_keys"]).join(",");
    let done = own.world.run_json(&["reset", "--keep", &keep, "--confirm", "RESET"]);
    assert_eq!(done["wiped"], json!(["api_keys"]));
    assert!(done["safety_backup"]["filename"].is_string(), "{done}");
    assert_eq!(own.world.count("api_keys"), 0);
}
