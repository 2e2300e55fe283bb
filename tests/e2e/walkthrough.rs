//! What the README walks through: back up, damage, restore, roll back.

use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{BASE, SECRET, World};

#[tokio::test(flavor = "multi_thread")]
async fn over_http() {
    let world = World::new();
    let service = world.serve().await;

    // The call as the specification prints it, with curl itself.
    let output = std::process::Command::new("curl")
        .args(["-s", "-X", "POST", &format!("{}{BASE}/backups", service.url)])
        .args(["-H", &format!("X-Admin-Secret: {SECRET}")])
        .output()
        .unwrap();
    let first: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!((&first["kind"], &first["verification"]), (&json!("manual"), &json!("verified")));
    let second = service.post("/backups").await.assert_ok();
    assert_ne!(first["filename"], second["filename"]);

    let listed = service.send(service.request(Method::GET, &format!("{BASE}/backups"))).await.assert_ok();
    let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|backup| &backup["filename"]).collect();
    assert_eq!(names, [&second["filename"], &first["filename"]], "newest first, open to everybody");

    world.postgres.psql("nova", "DELETE FROM messages WHERE id > 1000");
    let name = second["filename"].as_str().unwrap();
    let restored = service.post(&format!("/backups/{name}/restore")).await.assert_ok();
    assert_eq!((&restored["filename"], &restored["restored"]), (&second["filename"], &json!(true)));
    assert_eq!(world.count("messages"), 5000);

    let restores = service.get_json("/restores").await.assert_ok();
    assert_eq!(restores[0]["filename"], second["filename"]);
    let id = restores[0]["id"].as_str().unwrap();
    service.post(&format!("/restores/{id}/rollback")).await.assert_ok();
    assert_eq!(world.count("messages"), 1000);

    let deleted = service.send(service.admin(Method::DELETE, &format!("/backups/{name}"))).await.assert_ok();
    assert_eq!((&deleted["filename"], &deleted["deleted"]), (&second["filename"], &json!(true)));
    let status = service.send(service.request(Method::GET, &format!("{BASE}/status"))).await.assert_ok();
    assert_eq!(status["backups"]["count"], 1);
    assert_eq!(status["database"]["connected"], true);
    let disk = ["free_bytes", "total_bytes"].map(|name| status["disk"][name].as_u64().unwrap());
    assert!(0 < disk[0] && disk[0] < disk[1], "{disk:?}");
    assert_eq!(status["backups"]["latest"]["filename"], first["filename"]);
}

/// The command line, with and without a running service.
async fn walk(world: &World, how: &[&str]) {
    let run = |args: &[&str]| world.run_json(&[args, how].concat());
    let backup = run(&["backup"]);
    let name = backup["filename"].as_str().unwrap().to_owned();
    assert_eq!(run(&["backups"])[0]["filename"], backup["filename"]);
    assert_eq!(run(&["verify", &name])["verification"], "verified");
    world.postgres.psql("nova", "DELETE FROM messages WHERE id > 1000");
    assert_eq!(run(&["restore", &name, "--yes"])["restored"], true);
    assert_eq!(world.count("messages"), 5000);
    assert_eq!(run(&["restores"])[0]["filename"], backup["filename"]);
    run(&["rollback", "--yes"]);
    assert_eq!(world.count("messages"), 1000);
    assert_eq!(run(&["status"])["database"]["connected"], true);
    assert_eq!(run(&["delete", &name, "--yes"])["deleted"], true);
    assert_eq!(run(&["backups"]), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_command_line_with_the_service_down() {
    walk(&World::new(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_command_line_through_the_service() {
    let world = World::new();
    let service = world.serve().await;
    walk(&world, &["--url", &service.url]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_command_line_beside_the_service() {
    let world = World::new();
    let _service = world.serve().await;
    walk(&world, &[]).await;
}
