//! What goes on by itself.

use std::time::{Duration, Instant};

use recovery_core::port::KeyValue as _;
use recovery_testkit::DatabasePoint;
use serde_json::json;

use crate::{
    access,
    world::{Call, World},
};

#[actix_web::test]
async fn a_replaced_database_is_dropped_when_its_time_is_over_and_by_no_leap_of_the_clock() {
    tokio::time::pause();
    let world = World::new();
    let name = world.backup().await;
    let restored = world.send(Call::post(&format!("backups/{name}/restore")).admin()).await;
    assert_eq!(restored.status, 200, "{}", restored.text);
    let kept = |world: &World| world.database.database_names().iter().any(|name| name.contains("__before_"));
    let step = Duration::from_secs(600);
    world.app.start().await;
    tokio::time::sleep(step).await;
    // The clock leaps, and the service is started anew besides.
    world.clock.advance(Duration::from_secs(366 * 24 * 3600));
    world.app.shutdown(Duration::from_secs(1)).await;
    let world = world.restarted();
    world.app.start().await;
    let mut steps = 0;
    while kept(&world) {
        assert!(steps < 72 * 6 + 6, "{:?}", world.database.database_names());
        tokio::time::sleep(step).await;
        world.clock.advance(step);
        steps += 1;
    }
    assert!(steps > 72 * 6 - 6, "{steps}");
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
    assert_eq!(status.json["database"]["name"], "nova");
    let _ping = world.database.faults().hold_next(DatabasePoint::Ping);
    assert_eq!(world.send(Call::get("/health/ready")).await.status, 503);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[actix_web::test]
async fn the_secret_and_the_key_of_tokens_are_known_before_their_keepers_go_away() {
    let world = World::new();
    world.key_value.set(1, "nova:config:auth.admin_secret", r#""rotated-secret""#).await.unwrap();
    world.database.set_platform_config("auth.jwt_secret", json!(access::KEY));
    let mut asked = world.database.faults().hold_next(DatabasePoint::PlatformConfig);
    world.app.start().await;
    // Both are asked for together, and nobody has shown a secret or a token yet.
    tokio::time::timeout(Duration::from_secs(20), asked.reached()).await.unwrap();
    world.key_value.away();
    assert_eq!(world.send(Call::get("operations").secret("rotated-secret")).await.status, 200);
    assert_eq!(world.send(Call::get("operations").admin()).await.status, 401);

    asked.release();
    let bearer = format!("Bearer {}", access::token(&world));
    let signed_in = || Call::get("operations").header("authorization", &bearer);
    assert_eq!(world.send(signed_in()).await.status, 200);
    world.database.stop();
    assert_eq!(world.send(signed_in()).await.status, 200);
    world.app.shutdown(Duration::from_secs(1)).await;
}
