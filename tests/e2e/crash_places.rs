//! `kill -9` in restores that take another way: in place, and with included directories.

use std::fs;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_with_files_that_is_killed_leaves_files_that_fit_the_rows() {
    let world = World::new();
    let sources = world.directory.path().join("sources");
    fs::create_dir(&sources).unwrap();
    let page = sources.join("page");
    fs::write(&page, "then").unwrap();
    let scene = Scene::of(world.with("BACKUP_INCLUDE", format!("sources={}", sources.display()))).await;
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
        let staged = fs::read_dir(scene.world.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .find(|name| name.contains(".recovery-"));
        assert_eq!(staged, None, "{moment}");
        service.backup().await;
    }
    assert!(as_before > 0 && restored > 0, "{as_before} as before, {restored} restored");
}
