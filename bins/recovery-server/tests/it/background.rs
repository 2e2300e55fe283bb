//! What goes on by itself.

use std::time::{Duration, Instant};

use recovery_testkit::DatabasePoint;

use crate::world::{Call, World};

#[actix_web::test]
async fn a_replaced_database_is_dropped_when_its_time_is_over() {
    let world = World::new();
    let name = world.backup().await;
    let restored = world.send(Call::post(&format!("backups/{name}/restore")).admin()).await;
    assert_eq!(restored.status, 200, "{}", restored.text);
    let kept = |world: &World| world.database.database_names().iter().any(|name| name.contains("__before_"));
    assert!(kept(&world));
    world.clock.advance(Duration::from_secs(366 * 24 * 3600));
    let world = world.restarted();
    world.app.start().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while kept(&world) {
        assert!(Instant::now() < deadline, "{:?}", world.database.database_names());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let operation = world.app.operations().list().remove(0);
    assert_eq!((operation.kind.as_str(), operation.actor.as_str()), ("drop_replaced", "recovery service"));
    world.app.shutdown(Duration::from_secs(1)).await;
}

#[actix_web::test]
async fn a_database_that_hangs_holds_neither_the_overview_nor_the_probe() {
    let world = World::new();
    let _overview = world.database.faults().hold_next(DatabasePoint::Overview);
    let begun = Instant::now();
    let status = world.send(Call::get("status")).await;
    assert_eq!((status.status, &status.json["database"]["connected"]), (200, &false.into()));
    let _ping = world.database.faults().hold_next(DatabasePoint::Ping);
    assert_eq!(world.send(Call::get("/health/ready")).await.status, 503);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
