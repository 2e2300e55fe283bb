//! `kill -9` in restores that take another way: in place, with included directories, and from old archives.

use std::{fs, path::PathBuf};

use crate::{
    crash::{Scene, post, words},
    crash_points,
    service::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_in_place_that_is_killed_leaves_the_database_as_it_was() {
    let world = World::new();
    let (postgres, password) = (&world.postgres, "keeper-password");
    postgres.psql(
        "postgres",
        &format!("CREATE ROLE keeper LOGIN PASSWORD '{password}'; ALTER DATABASE nova OWNER TO keeper"),
    );
    for table in ["users", "messages", "platform_config"] {
        postgres.psql("nova", &format!("ALTER TABLE {table} OWNER TO keeper"));
    }
    let (user, own) = (format!("nova:{}@", postgres.password()), format!("keeper:{password}@"));
    let url = postgres.url("nova").replace(&user, &own);
    let scene = Scene::of(world.with("DATABASE_URL", url)).await;
    let restore = || post(format!("/backups/{}/restore", scene.backup));
    for (round, moment) in crash_points::RESTORE_IN_PLACE.iter().enumerate() {
        let now = scene.change(&format!("round {round}"));
        scene.cut_off(moment, restore()).await;
        // The safety backup is kept: nobody is left to say that it is not needed.
        let service = scene.start_again(moment, &[&scene.backup], round + 1).await;
        words(&service, "restore", moment).await;
        assert!(scene.world.postgres.pg_dump_text("nova") == now, "{moment}: the live database is another");
    }
    let service = scene.world.serve().await;
    let report = service.post(&format!("/backups/{}/restore", scene.backup)).await.assert_ok();
    assert_eq!(report["strategy"], "in_place", "{report}");
    assert!(scene.world.postgres.pg_dump_text("nova") == scene.then);
}

/// A scene with a directory of one page, and the path of that.
async fn scene_with_a_page(text: &str) -> (Scene, PathBuf) {
    let world = World::new();
    let sources = world.directory.path().join("sources");
    fs::create_dir(&sources).unwrap();
    let page = sources.join("page");
    fs::write(&page, text).unwrap();
    let include = format!("sources={}", sources.display());
    (Scene::of(world.with("BACKUP_INCLUDE", include)).await, page)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_with_files_that_is_killed_leaves_files_that_fit_the_rows() {
    let (scene, page) = scene_with_a_page("then").await;
    let (mut not_yet, mut done) = (0, 0);
    for (round, moment) in crash_points::ROLLBACK_WITH_FILES.iter().enumerate() {
        let now = scene.change(&format!("round {round}"));
        fs::write(&page, "now").unwrap();
        let id = scene.restore().await;
        assert_eq!(fs::read_to_string(&page).unwrap(), "then");
        scene.cut_off(moment, post(format!("/restores/{id}/rollback"))).await;
        let service = scene.start_again(moment, &[&scene.backup], round).await;
        words(&service, "rollback", moment).await;
        if scene.world.postgres.pg_dump_text("nova") == now {
            done += 1;
        } else {
            not_yet += 1;
            assert!(scene.world.postgres.pg_dump_text("nova") == scene.then, "{moment}: neither of the two");
            assert_eq!(fs::read_to_string(&page).unwrap(), "then", "{moment}");
            service.post(&format!("/restores/{id}/rollback")).await.assert_ok();
            assert!(scene.world.postgres.pg_dump_text("nova") == now, "{moment}: rolled back at last");
        }
        assert_eq!(fs::read_to_string(&page).unwrap(), "now", "{moment}");
        service.backup().await;
    }
    assert!(not_yet > 0 && done > 0, "{not_yet} not yet, {done} done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_with_files_that_is_killed_leaves_files_that_fit_the_rows() {
    let (scene, page) = scene_with_a_page("then").await;
    let (mut as_before, mut restored) = (0, 0);
    for (round, moment) in crash_points::RESTORE_WITH_FILES.iter().enumerate() {
        let now = scene.change(&format!("round {round}"));
        fs::write(&page, "now").unwrap();
        scene.cut_off(moment, post(format!("/backups/{}/restore", scene.backup))).await;
        let service = scene.start_again(moment, &[&scene.backup], round).await;
        words(&service, "restore", moment).await;
        let found = scene.world.postgres.pg_dump_text("nova");
        let expected = if found == now {
            as_before += 1;
            "now"
        } else {
            assert!(
                found == scene.then,
                "{moment}: the live database is neither the old one nor the new one"
            );
            restored += 1;
            "then"
        };
        assert_eq!(fs::read_to_string(&page).unwrap(), expected, "{moment}");
        assert_eq!(staged(&scene), None, "{moment}");
        service.backup().await;
    }
    assert!(as_before > 0 && restored > 0, "{as_before} as before, {restored} restored");
}

/// What is still staged beside the directories.
fn staged(scene: &Scene) -> Option<String> {
    let mut entries = fs::read_dir(scene.world.directory.path()).unwrap();
    entries.find_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.contains(".recovery-").then_some(name)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_of_an_old_archive_that_is_killed_is_done_with_its_files_or_is_not() {
    let old = "nova-backup-2025-01-31_23-59-59.tar.gz";
    let sample =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/recovery-backup/tests/samples/python-tarfile.tar.gz");
    let (scene, page) = scene_with_a_page("now").await;
    let sources = page.parent().unwrap();
    fs::copy(sample, scene.world.backups().join(old)).unwrap();
    scene.world.serve().await.post(&format!("/backups/{old}/verify")).await.assert_ok();
    let (mut as_before, mut restored) = (0, 0);
    for (round, moment) in crash_points::RESTORE_LEGACY.iter().enumerate() {
        let now = scene.change(&format!("round {round}"));
        scene.cut_off(moment, post(format!("/backups/{old}/restore"))).await;
        let service = scene.start_again(moment, &[&scene.backup, old], round).await;
        words(&service, "restore", moment).await;
        assert_eq!(staged(&scene), None, "{moment}");
        if scene.world.postgres.pg_dump_text("nova") == now {
            as_before += 1;
        } else {
            restored += 1;
            assert_eq!(scene.world.count("memories"), 3, "{moment}");
            assert_eq!(fs::read_to_string(sources.join("a.txt")).unwrap(), "hello", "{moment}");
            assert!(!page.exists(), "{moment}");
            let kept = service.get_json("/restores").await.assert_ok();
            let id = kept[0]["id"].as_str().unwrap();
            service.post(&format!("/restores/{id}/rollback")).await.assert_ok();
            assert!(scene.world.postgres.pg_dump_text("nova") == now, "{moment}: rolled back");
        }
        assert_eq!(fs::read_to_string(&page).unwrap(), "now", "{moment}");
        assert!(!sources.join("a.txt").exists(), "{moment}");
        service.backup().await;
    }
    assert!(as_before > 5 && restored > 1, "{as_before} as before, {restored} restored");
}
