//! Drills over HTTP: asked for, and what is shown of them.

use std::time::Duration;

use recovery_core::port::DatabaseError;
use recovery_testkit::{DatabasePoint, ToolPoint, exits};
use serde_json::Value;

use crate::world::{Answer, Call, World};

async fn drill(world: &World, name: &str) -> Answer {
    let call = Call::post(&format!("backups/{name}/verify")).admin().json(r#"{"level": "restore"}"#);
    world.send(call).await
}

async fn entry(world: &World) -> Value {
    world.send(Call::get("backups")).await.json[0].clone()
}

#[actix_web::test]
async fn a_drill_is_an_operation_whose_result_is_shown_everywhere() {
    let world = World::new();
    let name = world.backup().await;
    assert_eq!(entry(&world).await["last_drill"], Value::Null);
    let status = world.send(Call::get("status")).await.json;
    assert_eq!((&status["drill"]["last"], status["drill"]["next_due"].is_string()), (&Value::Null, true));

    let report = drill(&world, &name).await;
    assert_eq!((report.status, &report.json["verification"]), (200, &"verified".into()), "{}", report.text);
    assert_eq!(
        (&report.json["level"], &report.json["drill"]["result"]),
        (&"restore".into(), &"verified".into())
    );
    let operation = world.send(Call::get("operations").admin()).await.json[0].clone();
    assert_eq!((&operation["kind"], &operation["target"]), (&"drill".into(), &name.clone().into()));
    assert_eq!(world.database.database_names(), ["nova", "postgres"]);

    world.clock.advance(Duration::from_secs(3600));
    let entry = entry(&world).await;
    assert_eq!(
        (&entry["verified_level"], &entry["last_drill"]["result"]),
        (&"restore".into(), &"verified".into())
    );
    let status = world.send(Call::get("status")).await.json;
    assert_eq!(status["drill"]["age_seconds"], 3600, "{status}");
    assert_eq!(status["drill"]["last"]["filename"], name);
    assert_eq!(status["drill"]["next_due"], "2026-02-07T12:00:01Z");
    let metrics = world.send(Call::get("/metrics").admin()).await.text;
    assert!(metrics.contains("nova_recovery_last_drill_result{result=\"verified\"} 1\n"), "{metrics}");
    assert!(metrics.contains("nova_recovery_last_good_drill_age_seconds 3600\n"), "{metrics}");

    // The backup goes, and with it what is known of it; that restoring was proven stays known.
    world.send(Call::delete(&format!("backups/{name}")).admin()).await;
    let status = world.send(Call::get("status")).await.json;
    assert_eq!(status["drill"]["last"]["filename"], name);
}

#[actix_web::test]
async fn a_drill_that_finds_a_bad_backup_says_so_and_one_that_finds_nothing_out_leaves_it_at_that() {
    let world = World::new();
    let name = world.backup().await;
    for _ in 0..2 {
        world.tools.faults().fail_next(ToolPoint::Load, || exits(1, "pg_restore: error: no"));
    }
    let report = drill(&world, &name).await;
    assert_eq!((report.status, &report.json["verification"]), (200, &"failed".into()), "{}", report.text);

    world.database.stop();
    let answer = drill(&world, &name).await;
    assert_eq!((answer.status, answer.code()), (503, "database_unavailable"));
    let entry = entry(&world).await;
    assert_eq!(
        (&entry["verification"], &entry["last_drill"]["result"]),
        (&"failed".into(), &"could_not_verify".into())
    );
    assert!(!entry["last_drill"]["problems"][0].as_str().unwrap().is_empty(), "{entry}");
}

#[actix_web::test]
async fn a_server_without_room_says_nothing_about_the_backup() {
    let world = World::new();
    let name = world.backup().await;
    let full = || DatabaseError::DiskFull { doing: "creating a database".into(), source: "full".into() };
    world.tools.faults().fail_next(ToolPoint::Load, || exits(1, "pg_restore: error: no"));
    let mut second = world.tools.faults().hold_next(ToolPoint::Load);
    let fill = async {
        second.reached().await;
        // The scratch database was made; the next one, with which the server is asked for its room, is not.
        world.database.faults().fail_next(DatabasePoint::CreateDatabase, full);
        second.fail(exits(1, "pg_restore: error: no"));
    };
    let (answer, ()) = tokio::join!(drill(&world, &name), fill);
    assert_eq!((answer.status, answer.code()), (507, "insufficient_storage"), "{}", answer.text);
    let entry = entry(&world).await;
    assert_eq!(
        (&entry["verification"], &entry["last_drill"]["result"]),
        (&"verified".into(), &"could_not_verify".into())
    );
    assert_eq!(world.database.database_names(), ["nova", "postgres"]);
}

#[actix_web::test]
async fn a_drill_waits_for_nobody_and_is_not_remembered_where_it_was_refused() {
    let world = World::new();
    let name = world.backup().await;
    let mut hold = world.tools.faults().hold_next(ToolPoint::Dump);
    let backup = world.send(Call::post("backups").admin().header("prefer", "respond-async")).await;
    hold.reached().await;
    let answer = drill(&world, &name).await;
    assert_eq!((answer.status, answer.code()), (409, "busy"));
    assert_eq!(entry(&world).await["last_drill"], Value::Null);
    hold.release();
    world.ended(&backup.json["id"]).await;
}
