//! Drills over HTTP: asked for, and what is shown of them.

use std::time::{Duration, Instant};

use recovery_core::{Actor, OperationKind, OperationState, port::DatabaseError};
use recovery_server::app::AppSettings;
use recovery_testkit::{DatabasePoint, ToolPoint, exits};
use serde_json::Value;

use crate::world::{Answer, Call, World};

const HOUR: Duration = Duration::from_secs(3600);

async fn drill(world: &World, name: &str) -> Answer {
    let call = Call::post(&format!("backups/{name}/verify")).admin().json(r#"{"level": "restore"}"#);
    world.send(call).await
}

async fn entry(world: &World) -> Value {
    world.send(Call::get("backups")).await.json[0].clone()
}

#[actix_web::test]
async fn a_drill_is_an_operation_whose_result_is_shown_everywhere() {
    let world = World::with(|settings| settings.drill_interval = Some(Duration::from_secs(7 * 24 * 3600)));
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
    let told = entry["last_drill"]["problems"][0].as_str().unwrap();
    assert!(told.starts_with("1; "), "{told}");

    // Why is told to admins alone.
    world.database.start();
    for _ in 0..2 {
        let said = "pg_restore: error: COPY failed for table \"t\": ERROR:  invalid value: \"a secret\"";
        world.tools.faults().fail_next(ToolPoint::Load, move || exits(1, said));
    }
    drill(&world, &name).await;
    for open in ["backups", "status"] {
        let text = world.send(Call::get(open)).await.text;
        assert!(!text.contains("COPY failed") && text.contains("1; the list"), "{text}");
    }
    let told = world.send(Call::get("backups").admin()).await.text;
    assert!(told.contains("COPY failed for table") && !told.contains("a secret"), "{told}");
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
async fn a_server_that_makes_no_database_either_says_nothing_about_the_backup() {
    let world = World::new();
    let name = world.backup().await;
    let down = || DatabaseError::Unavailable {
        doing: "creating a database".into(),
        source: "too many clients".into(),
    };
    world.tools.faults().fail_next(ToolPoint::Load, || exits(1, "pg_restore: error: no"));
    let mut second = world.tools.faults().hold_next(ToolPoint::Load);
    let refuse = async {
        second.reached().await;
        world.database.faults().fail_next(DatabasePoint::CreateDatabase, down);
        second.fail(exits(1, "pg_restore: error: no"));
    };
    let (answer, ()) = tokio::join!(drill(&world, &name), refuse);
    assert_eq!((answer.status, answer.code()), (500, "tool_failed"), "{}", answer.text);
    let entry = entry(&world).await;
    assert_eq!(
        (&entry["verification"], &entry["last_drill"]["result"]),
        (&"verified".into(), &"could_not_verify".into())
    );
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

#[actix_web::test]
async fn a_drill_that_goes_on_by_itself_gives_way_and_one_that_was_asked_for_does_not() {
    let world = World::new();
    let name = world.backup().await;
    let other = world.backup().await;
    let calls = |number: usize| match number {
        0 => Call::post("backups"),
        1 => Call::delete(&format!("backups/{other}")),
        _ => Call::post(&format!("backups/{name}/verify")).json(r#"{"level": "restore"}"#),
    };
    for round in 0..6 {
        let (actor, expect) = if round < 3 { (Actor::new("somebody"), 409) } else { (Actor::service(), 200) };
        let mut hold = world.tools.faults().hold_next(ToolPoint::Load);
        let drill = world.app.start_drill(actor, name.parse().unwrap()).await.unwrap();
        hold.reached().await;
        let answer = world.send(calls(round % 3).admin()).await;
        assert_eq!(answer.status, expect, "{}", answer.text);
        hold.release();
        let ended = world.app.operations().wait(drill.id).await.unwrap();
        let expect = if expect == 200 { OperationState::Cancelled } else { OperationState::Succeeded };
        assert_eq!(ended.state, expect);
    }
}

/// How many drills the service has made by itself, once the last of them has ended.
async fn made_by_itself(world: &World, count: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let operations = world.app.operations().list();
        let own = operations.iter().filter(|operation| {
            operation.kind == OperationKind::Drill && operation.actor == Actor::service()
        });
        let own: Vec<_> = own.filter(|operation| operation.finished_at.is_some()).collect();
        if own.len() >= count {
            return own.iter().filter_map(|operation| operation.target.clone()).collect();
        }
        assert!(Instant::now() < deadline, "{operations:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[actix_web::test]
async fn drills_come_by_themselves_at_their_rate_whether_the_service_restarts_or_not() {
    let hourly = |settings: &mut AppSettings| settings.drill_interval = Some(HOUR);
    let world = World::new();
    let name = world.backup().await;
    let mut world = world.restarted_with(hourly);
    world.app.start().await;
    assert_eq!(made_by_itself(&world, 1).await, std::slice::from_ref(&name));
    let drilled_at = world.app.backups().drills().await.last.unwrap().at;
    let newer = world.backup().await;
    // None is due, however often the service is started.
    for _ in 0..3 {
        world.app.shutdown(Duration::from_secs(1)).await;
        world.clock.advance(HOUR / 4);
        world = world.restarted_with(hourly);
        world.app.start().await;
    }
    world.app.shutdown(Duration::from_secs(1)).await;
    world.clock.advance(HOUR / 4);
    let world = world.restarted_with(hourly);
    world.app.start().await;
    assert_eq!(made_by_itself(&world, 2).await, [newer, name], "two, and the newest backup is tried");
    let drills = world.app.backups().drills().await;
    assert_eq!((drills.last.unwrap().at - drilled_at).whole_seconds(), 3601);
    world.app.shutdown(Duration::from_secs(1)).await;
}

#[actix_web::test]
async fn what_is_bad_or_from_elsewhere_is_not_tried_by_itself() {
    let world = World::new();
    let good = world.backup().await;
    let bad = world.backup().await;
    let foreign = world.backup().await;
    let path = |name: &str| world.directory.path().join("backups").join(name);
    let archive = std::fs::read(path(&foreign)).unwrap();
    world.send(Call::delete(&format!("backups/{foreign}")).admin()).await;
    assert_eq!(world.send(Call::post("backups/upload").admin().bytes(&archive)).await.status, 200);
    let mut bytes = std::fs::read(path(&bad)).unwrap();
    let middle = bytes.len() * 3 / 4;
    bytes[middle] ^= 1;
    std::fs::write(path(&bad), bytes).unwrap();
    world.send(Call::post(&format!("backups/{bad}/verify")).admin().json("{}")).await;
    let world = world.restarted_with(|settings| settings.drill_interval = Some(HOUR));
    world.app.start().await;
    assert_eq!(made_by_itself(&world, 1).await, [good]);
    world.app.shutdown(Duration::from_secs(1)).await;
}

#[actix_web::test]
async fn a_drill_that_finds_its_backup_bad_is_told() {
    let world = World::new();
    let name = world.backup().await;
    for _ in 0..2 {
        world.tools.faults().fail_next(ToolPoint::Load, || exits(1, "pg_restore: error: no"));
    }
    let world = world.restarted_with(|settings| settings.drill_interval = Some(HOUR));
    world.app.start().await;
    made_by_itself(&world, 1).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.notifier.taken().is_empty() {
        assert!(Instant::now() < deadline, "nobody is told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let told = world.notifier.taken().remove(0);
    assert!(format!("{told:?}").contains(&name), "{told:?}");
    world.app.shutdown(Duration::from_secs(1)).await;
}
