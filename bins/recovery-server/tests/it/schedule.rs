//! What the service does by itself, with a clock of the test's own.

use std::time::Duration;

use recovery_backup::IncludedDirectory;
use recovery_core::{BackupKind, Verification, port::NoticeEvent};
use recovery_testkit::{DatabasePoint, ToolPoint, exits};
use time::{OffsetDateTime, macros::datetime};

use crate::world::{Call, World};

const HOUR: u64 = 3600;
const START: OffsetDateTime = datetime!(2026-01-31 12:00 UTC);

/// A service that makes a checkpoint every six hours. Time goes by only in [`pass`].
async fn world() -> World {
    tokio::time::pause();
    let world = World::with(|settings| settings.checkpoint_interval = Some(Duration::from_secs(6 * HOUR)));
    world.app.start().await;
    world
}

/// Lets so many seconds go by, for the clock and for everything that sleeps.
async fn pass(world: &World, seconds: u64) {
    const STEP: u64 = 20;
    for _ in 0..seconds / STEP {
        world.clock.advance(Duration::from_secs(STEP));
        tokio::time::sleep(Duration::from_secs(STEP)).await;
    }
}

/// The times of the checkpoints, oldest first.
async fn checkpoints(world: &World) -> Vec<OffsetDateTime> {
    let mut times: Vec<_> = world
        .app
        .backups()
        .list()
        .await
        .unwrap()
        .into_iter()
        .filter(|backup| backup.kind == BackupKind::Checkpoint)
        .map(|backup| backup.created_at)
        .collect();
    times.sort();
    times
}

/// What was told, as the event and the reason.
fn told(world: &World) -> Vec<String> {
    let words = |event: NoticeEvent| event.as_str();
    world
        .notifier
        .taken()
        .iter()
        .map(|notice| format!("{} {}", words(notice.event), notice.reason.as_str()))
        .collect()
}

async fn restart(world: World) -> World {
    world.app.shutdown(Duration::from_secs(1)).await;
    let world = world.restarted();
    world.app.start().await;
    world
}

#[actix_web::test]
async fn checkpoints_come_at_their_rate() {
    let world = world().await;
    pass(&world, 60).await;
    assert_eq!(checkpoints(&world).await.len(), 1, "the first is due at once");
    pass(&world, 24 * HOUR).await;
    let times = checkpoints(&world).await;
    assert_eq!(times.len(), 5, "{times:?}");
    for pair in times.windows(2) {
        assert!((pair[1] - pair[0]).whole_seconds().abs_diff(6 * 3600) < 120, "{times:?}");
    }
    let operation = world.app.operations().list().remove(0);
    assert_eq!((operation.kind.as_str(), operation.actor.as_str()), ("backup", "recovery service"));
    assert_eq!(told(&world), Vec::<String>::new());
}

#[actix_web::test]
async fn restarts_neither_put_them_off_nor_repeat_them() {
    let mut world = world().await;
    pass(&world, 60).await;
    // Restarts every two hours, for a day.
    for _ in 0..12 {
        pass(&world, 2 * HOUR).await;
        world = restart(world).await;
    }
    pass(&world, 60).await;
    let times = checkpoints(&world).await;
    assert_eq!(times.len(), 5, "{times:?}");
}

#[actix_web::test]
async fn an_overdue_one_comes_soon_after_the_start() {
    let world = world().await;
    pass(&world, 60).await;
    world.clock.advance(Duration::from_secs(100 * HOUR));
    let world = restart(world).await;
    pass(&world, 60).await;
    assert_eq!(checkpoints(&world).await.len(), 2);
}

#[actix_web::test]
async fn a_backup_that_somebody_asked_for_does_not_take_its_place() {
    let world = world().await;
    pass(&world, 60).await;
    pass(&world, 5 * HOUR).await;
    world.backup().await;
    pass(&world, HOUR + 60).await;
    assert_eq!(checkpoints(&world).await.len(), 2);
}

#[actix_web::test]
async fn one_that_is_found_bad_is_replaced_soon() {
    let world = world().await;
    pass(&world, 60).await;
    let name = world.app.backups().list().await.unwrap().remove(0).filename;
    let path = world.directory.path().join("backups").join(name.as_str());
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 2000;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let checked = world.send(Call::post(&format!("backups/{name}/verify")).admin()).await;
    assert_eq!(checked.json["verification"], "failed", "{}", checked.text);
    pass(&world, 180).await;
    assert_eq!(checkpoints(&world).await.len(), 2);
}

#[actix_web::test]
async fn drills_that_find_everything_bad_neither_run_through_the_backups_nor_call_for_new_ones() {
    tokio::time::pause();
    let world = World::with(|settings| {
        settings.checkpoint_interval = Some(Duration::from_secs(6 * HOUR));
        settings.drill_interval = Some(Duration::from_secs(24 * HOUR));
    });
    for _ in 0..2 {
        world.backup().await;
    }
    for _ in 0..20 {
        world.tools.faults().fail_next(ToolPoint::Load, || exits(1, "pg_restore: error: no"));
    }
    world.app.start().await;
    pass(&world, 23 * HOUR).await;
    let status = world.send(Call::get("status")).await.json;
    assert_eq!(status["drill"]["last"]["result"], "failed", "{status}");
    let due = status["drill"]["next_due"].as_str().unwrap();
    assert!(due.starts_with("2026-02-01T12:"), "{due}");
    let backups = world.app.backups().list().await.unwrap();
    let bad: Vec<_> = backups.iter().filter(|backup| backup.verification == Verification::Failed).collect();
    assert_eq!(bad.len(), 1, "{bad:?}");
    let times = checkpoints(&world).await;
    assert_eq!(times.len(), 4, "{times:?}");

    // A checkpoint that is found bad by a drill is not replaced before its time.
    let newest = backups.iter().find(|backup| backup.kind == BackupKind::Checkpoint).unwrap();
    let call = Call::post(&format!("backups/{}/verify", newest.filename)).admin();
    let checked = world.send(call.json(r#"{"level": "restore"}"#)).await;
    assert_eq!(checked.json["verification"], "failed", "{}", checked.text);
    pass(&world, 20 * 60).await;
    assert_eq!(checkpoints(&world).await, times);
}

#[actix_web::test]
async fn a_checkpoint_without_an_included_directory_is_made_and_told() {
    tokio::time::pause();
    let away = tempfile::tempdir().unwrap();
    let path = away.path().join("sources");
    let world = World::with(|settings| {
        settings.checkpoint_interval = Some(Duration::from_secs(6 * HOUR));
        let (name, path) = ("sources".parse().unwrap(), path.clone());
        settings.backup.include = vec![IncludedDirectory { name, path }];
    });
    world.app.start().await;
    pass(&world, 60).await;
    assert_eq!(told(&world), ["failed storage_unavailable"]);
    pass(&world, 20 * 60).await;
    assert_eq!(checkpoints(&world).await.len(), 1, "it is not made again and again");
    std::fs::create_dir(&path).unwrap();
    pass(&world, 6 * HOUR).await;
    assert_eq!(told(&world), ["failed storage_unavailable", "recovered storage_unavailable"]);
}

#[actix_web::test]
async fn a_failure_is_told_once_retried_with_patience_and_its_end_is_told() {
    let world = world().await;
    pass(&world, 60).await;
    world.database.stop();
    pass(&world, 6 * HOUR + 60).await;
    assert_eq!(told(&world), ["failed database_unavailable"]);
    let failures = || async {
        world.send(Call::get("status")).await.json["checkpoints"]["last_error"]["failures"].clone()
    };
    // Retried after 1, 2, 4, 8, 16, 32 and 60 minutes.
    pass(&world, 64 * 60).await;
    assert_eq!(failures().await, 7);
    assert_eq!(told(&world), ["failed database_unavailable"]);

    let world = restart(world).await;
    pass(&world, 10 * 60).await;
    assert_eq!(
        world.send(Call::get("status")).await.json["checkpoints"]["last_error"]["failures"],
        7,
        "a restart does not shorten the pause"
    );
    world.database.start();
    pass(&world, HOUR).await;
    assert_eq!(told(&world), ["failed database_unavailable", "recovered database_unavailable"]);
    assert_eq!(checkpoints(&world).await.len(), 2);
    assert!(world.send(Call::get("status")).await.json["checkpoints"]["last_error"].is_null());
}

#[actix_web::test]
async fn another_reason_is_told_too() {
    let world = world().await;
    pass(&world, 60).await;
    world.database.stop();
    pass(&world, 6 * HOUR + 60).await;
    world.database.start();
    world.database.faults().fail_next(DatabasePoint::Snapshot, || {
        recovery_core::port::DatabaseError::TimedOut { doing: "taking a snapshot".to_owned() }
    });
    pass(&world, 10 * 60).await;
    let all = ["failed database_unavailable", "failed timed_out", "recovered timed_out"];
    assert_eq!(told(&world), all);
}

#[actix_web::test]
async fn a_newest_one_from_the_future_stops_nothing_and_is_not_repeated_at_once() {
    let mut world = world().await;
    pass(&world, 60).await;
    world.clock.set(START - Duration::from_secs(1000 * HOUR));
    // Restarts every hour do not put it off.
    for _ in 0..5 {
        pass(&world, HOUR).await;
        world = restart(world).await;
    }
    assert_eq!(checkpoints(&world).await.len(), 1, "not a second in the same moment");
    pass(&world, HOUR + 120).await;
    assert_eq!(checkpoints(&world).await.len(), 2, "an interval after it was noticed");
    pass(&world, 5 * HOUR).await;
    assert_eq!(checkpoints(&world).await.len(), 2);
    pass(&world, HOUR + 60).await;
    assert_eq!(checkpoints(&world).await.len(), 3);
}

#[actix_web::test]
async fn what_is_in_the_way_is_waited_for() {
    let world = world().await;
    pass(&world, 60).await;
    let name = world.app.backups().list().await.unwrap().remove(0).filename;
    let mut held = world.tools.faults().hold_next(ToolPoint::Load);
    let restore =
        world.send(Call::post(&format!("backups/{name}/restore")).admin().header("prefer", "respond-async"));
    assert_eq!(restore.await.status, 202);
    held.reached().await;
    pass(&world, 8 * HOUR).await;
    assert_eq!(checkpoints(&world).await.len(), 1);
    held.release();
    pass(&world, 60).await;
    assert_eq!(checkpoints(&world).await.len(), 2, "soon after it is free");
    assert_eq!(told(&world), Vec::<String>::new(), "that is no failure");
}

#[actix_web::test]
async fn a_service_that_dies_of_it_over_and_over_does_not_hammer_and_tells() {
    let mut world = world().await;
    let mut begun = Vec::new();
    for _ in 0..5 {
        // Each run of the service ends in the middle of a dump, and the next one starts a minute later.
        let mut held = world.tools.faults().hold_next(ToolPoint::Dump);
        let waited = std::cell::Cell::new(0);
        let until_dumping = async {
            loop {
                pass(&world, 20).await;
                waited.set(waited.get() + 20);
            }
        };
        tokio::select! {
            () = until_dumping => {}
            () = held.reached() => {}
        }
        begun.push(waited.get());
        world = restart(world).await;
    }
    assert!(begun.windows(2).skip(1).all(|pair| pair[1] > pair[0] * 3 / 2), "{begun:?}");
    assert_eq!(told(&world), ["failed interrupted"]);
}
