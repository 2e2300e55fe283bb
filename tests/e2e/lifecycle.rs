//! Clients that go away, ends of every kind, and what the next start makes of them.

use std::time::Duration;

use serde_json::json;

use crate::service::{SECRET, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_changes_nothing() {
    let world = World::new();
    world.slow_to_load();
    world.postgres.psql("nova", "DELETE FROM slow WHERE id > 2");
    let service = world.serve().await;
    let name = service.backup().await;
    world.postgres.psql("nova", "DELETE FROM messages");
    let impatient = reqwest::Client::builder().timeout(Duration::from_millis(300)).build().unwrap();
    let url = format!("{}{}/backups/{name}/restore", service.url, crate::service::BASE);
    assert!(impatient.post(url).header("X-Admin-Secret", SECRET).send().await.unwrap_err().is_timeout());
    let operations = service.get_json("/operations").await.assert_ok();
    let restore =
        operations.as_array().unwrap().iter().find(|operation| operation["kind"] == "restore").unwrap();
    let ended = service.finished(restore["id"].as_str().unwrap()).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(world.count("messages"), 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_longer_than_the_wait_goes_on_as_an_operation() {
    let world = World::new().with("SYNC_WAIT_SECS", "1");
    world.slow_to_load();
    world.postgres.psql("nova", "DELETE FROM slow WHERE id > 2");
    let service = world.serve().await;
    let name = service.backup().await;
    let answer = service.post(&format!("/backups/{name}/restore")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!((&answer.body["filename"], &answer.body["restored"]), (&json!(name), &json!(false)));
    assert_eq!((&answer.body["kind"], &answer.body["state"]), (&json!("restore"), &json!("running")));
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    let id = answer.body["id"].as_str().unwrap();
    assert!(location.ends_with(&format!("/operations/{id}")), "{location}");
    assert_eq!(service.finished(id).await["result"]["restored"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_of_a_restore_ends_it_cleanly() {
    let world = World::new();
    world.slow_to_load();
    let mut service = world.serve().await;
    let name = service.backup().await;
    let id = service.begin(&format!("/backups/{name}/restore")).await;
    world.until_loading().await;
    let begun = std::time::Instant::now();
    let status = service.stop().await;
    assert!(status.success(), "{status:?}");
    assert!(begun.elapsed() < Duration::from_secs(9), "docker would have killed it: {:?}", begun.elapsed());
    assert_eq!(world.databases(), ["nova"]);
    assert_eq!(world.files(), [name]);

    let service = world.serve().await;
    let operation = service.operation(&id).await;
    assert!(["interrupted", "cancelled"].contains(&operation["state"].as_str().unwrap()), "{operation}");
    assert!(operation["error"]["detail"].is_string(), "{operation}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_in_the_middle_leaves_is_cleared_up_by_the_next_start() {
    let world = World::new();
    world.slow_to_load();
    let mut service = world.serve().await;
    let name = service.backup().await;
    let before = world.postgres.pg_dump_text("nova");
    let id = service.begin(&format!("/backups/{name}/restore")).await;
    world.until_loading().await;
    service.kill();
    assert_eq!(world.databases().len(), 2, "the scratch database is left over");

    let service = world.serve().await;
    until("the leftovers to be cleared up", async || {
        world.databases() == ["nova"] && world.files() == [name.as_str()]
    })
    .await;
    until("the operation to be closed", async || service.operation(&id).await["state"] == "interrupted")
        .await;
    assert!(world.postgres.pg_dump_text("nova") == before);
    service.backup().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_stream_tells_of_an_operation_and_is_resumed() {
    use futures_util::StreamExt;
    let world = World::new();
    let service = world.serve().await;
    let open = async |last: Option<&str>| {
        let mut request = service.admin(reqwest::Method::GET, "/events");
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        response.bytes_stream()
    };
    let mut stream = open(None).await;
    service.backup().await;
    let mut text = String::new();
    while !text.contains("succeeded") {
        let chunk =
            tokio::time::timeout(Duration::from_secs(20), stream.next()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(text.contains("dumping") || text.contains("preparing"), "{text}");
    let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id:")).map(str::trim).collect();
    let mut resumed = open(ids.first().copied()).await;
    let mut again = String::new();
    while !again.contains("succeeded") {
        let chunk =
            tokio::time::timeout(Duration::from_secs(20), resumed.next()).await.unwrap().unwrap().unwrap();
        again.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(!again.contains(&format!("id: {}\n", ids[0])), "what was seen is not sent again");
}
