//! `kill -9` in a restore of what a factory reset has saved, and in its rollback: keys of Redis go with the rows.

use std::process::Command;

use serde_json::json;

use crate::{
    crash::{Scene, post, words},
    crash_points,
    service::World,
};

/// Runs a command in the database of Redis that the reset has emptied.
fn redis(world: &World, arguments: &[&str]) -> String {
    let port = world.redis.port().to_string();
    let output = Command::new("redis-cli").args(["-p", &port, "-n", "6"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What the two keys hold: one that the backup has, and one that it has not.
fn keys(world: &World) -> [String; 2] {
    ["feed:1", "feed:2"].map(|key| redis(world, &["GET", key]))
}

/// A scene whose backup is what a reset of Redis alone has saved.
async fn scene_after_a_reset() -> Scene {
    let mut scene = Scene::new().await;
    redis(&scene.world, &["SET", "feed:1", "then"]);
    let service = scene.world.serve().await;
    let all = service.get_json("/factory-reset/categories").await.assert_ok();
    let mut keep: Vec<&str> =
        all.as_array().unwrap().iter().map(|category| category["key"].as_str().unwrap()).collect();
    keep.retain(|key| *key != "intel_data");
    let body = json!({ "keep": keep, "confirm": "RESET", "reseed": false });
    let request = service.admin(reqwest::Method::POST, "/factory-reset").json(&body);
    let answer = service.send(request).await.assert_ok();
    assert_eq!(answer["safety_backup"]["keys"], 1, "{answer}");
    assert_eq!(keys(&scene.world), ["", ""]);
    scene.backup = answer["safety_backup"]["filename"].as_str().unwrap().to_owned();
    drop(service);
    scene
}

/// What happens in the time after the reset; returns what the database looks like then.
fn go_on(scene: &Scene, mark: &str) -> String {
    redis(&scene.world, &["SET", "feed:1", mark]);
    redis(&scene.world, &["DEL", "feed:2"]);
    scene.change(mark)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_with_keys_that_is_killed_leaves_keys_that_fit_the_rows() {
    let scene = scene_after_a_reset().await;
    let (mut as_before, mut restored) = (0, 0);
    for moment in crash_points::RESTORE_WITH_KEYS {
        let now = go_on(&scene, "now");
        scene.cut_off(moment, post(format!("/backups/{}/restore", scene.backup))).await;
        let service = scene.start_again(moment, &[&scene.backup], 1).await;
        words(&service, "restore", moment).await;
        if scene.world.postgres.pg_dump_text("nova") == now {
            as_before += 1;
            assert_eq!(keys(&scene.world), ["now", ""], "{moment}");
            continue;
        }
        restored += 1;
        assert!(scene.world.postgres.pg_dump_text("nova") == scene.then, "{moment}: neither of the two");
        assert_eq!(keys(&scene.world), ["then", ""], "{moment}");
        let restores = service.get_json("/restores").await.assert_ok();
        assert_eq!(restores[0]["keys"], true, "{moment}: {restores}");
        let id = restores[0]["id"].as_str().unwrap();
        service.post(&format!("/restores/{id}/rollback")).await.assert_ok();
        assert!(scene.world.postgres.pg_dump_text("nova") == now, "{moment}: rolled back");
        assert_eq!(keys(&scene.world), ["now", ""], "{moment}: nothing of what they held is lost");
    }
    assert!(as_before > 0 && restored > 0, "{as_before} as before, {restored} restored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_with_keys_that_is_killed_leaves_keys_that_fit_the_rows() {
    let scene = scene_after_a_reset().await;
    let (mut not_yet, mut done) = (0, 0);
    for moment in crash_points::ROLLBACK_WITH_KEYS {
        let now = go_on(&scene, "now");
        let id = scene.restore().await;
        redis(&scene.world, &["SET", "feed:2", "in the time between"]);
        scene.cut_off(moment, post(format!("/restores/{id}/rollback"))).await;
        let service = scene.start_again(moment, &[&scene.backup], 1).await;
        words(&service, "rollback", moment).await;
        if scene.world.postgres.pg_dump_text("nova") == now {
            done += 1;
        } else {
            not_yet += 1;
            assert!(scene.world.postgres.pg_dump_text("nova") == scene.then, "{moment}: neither of the two");
            assert_eq!(keys(&scene.world)[0], "then", "{moment}");
            service.post(&format!("/restores/{id}/rollback")).await.assert_ok();
        }
        // What no restore has written is nobody's business here.
        assert_eq!(keys(&scene.world), ["now", "in the time between"], "{moment}");
    }
    assert!(not_yet > 0 && done > 0, "{not_yet} not yet, {done} done");
}
