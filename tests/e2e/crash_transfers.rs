//! `kill -9` at every moment of an upload and of a drill.

use std::fs;

use reqwest::Method;

use crate::{
    crash::{Scene, before, drill, post, words},
    crash_points,
    service::next_second,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_killed_is_there_and_good_or_is_not() {
    let scene = Scene::new().await;
    let now = scene.change("now");
    let service = scene.world.serve().await;
    let name = service.backup().await;
    let archive = fs::read(scene.world.backups().join(&name)).unwrap();
    service.send(service.admin(Method::DELETE, &format!("/backups/{name}"))).await.assert_ok();
    drop(service);
    // The name is free now, and must not be that of another backup.
    next_second().await;
    for (round, moment) in crash_points::of("upload").iter().enumerate() {
        let request = post("/backups/upload".into()).with("application/x-tar", archive.clone());
        scene.cut_off(moment, request).await;
        let service = scene.start_again(moment, &[&scene.backup], round + 1).await;
        let words = words(&service, "upload", moment).await;
        let kept = scene.world.files().contains(&name);
        assert_eq!(kept, !before("upload", moment, "upload:renamed"), "{moment}: {words}");
        assert_eq!(words.contains("is kept"), kept && moment != "upload:finished:after", "{moment}: {words}");
        if kept {
            assert!(fs::read(scene.world.backups().join(&name)).unwrap() == archive, "{moment}");
            let backups = service.get_json("/backups").await.assert_ok();
            let uploaded =
                backups.as_array().unwrap().iter().find(|backup| backup["filename"] == name.as_str());
            assert_eq!(uploaded.unwrap()["uploaded"], true, "{moment}");
            service.send(service.admin(Method::DELETE, &format!("/backups/{name}"))).await.assert_ok();
        }
        assert!(scene.world.postgres.pg_dump_text("nova") == now, "{moment}: the live database is another");
        service.backup().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_is_killed_leaves_nothing() {
    let scene = Scene::new().await;
    for (round, moment) in crash_points::of("drill").iter().enumerate() {
        let now = scene.change(&format!("round {round}"));
        scene.cut_off(moment, drill(&scene.backup)).await;
        let service = scene.start_again(moment, &[&scene.backup], round).await;
        words(&service, "drill", moment).await;
        assert!(scene.world.postgres.pg_dump_text("nova") == now, "{moment}: the live database is another");
        assert_eq!(scene.world.databases(), ["nova"], "{moment}");
        service.backup().await;
    }
}
