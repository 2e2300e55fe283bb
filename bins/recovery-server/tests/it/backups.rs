//! Backups and restores over HTTP.

use std::time::Duration;

use recovery_core::{
    OperationState,
    port::{AuditOutcome, DatabaseError},
};
use recovery_testkit::{DatabasePoint, ToolPoint};

use crate::world::{Call, World};

#[actix_web::test]
async fn make_list_inspect_check_restore_roll_back_delete() {
    let world = World::new();
    let name = world.backup().await;
    let list = world.send(Call::get("backups")).await.json;
    assert_eq!((&list[0]["filename"], &list[0]["kind"]), (&name.clone().into(), &"manual".into()));
    let manifest = world.send(Call::get(&format!("backups/{name}")).admin()).await;
    assert_eq!(manifest.json["database"], "nova");
    let report = world.send(Call::post(&format!("backups/{name}/verify")).admin().json("")).await;
    assert_eq!(
        (&report.json["verification"], &report.json["level"]),
        (&"verified".into(), &"contents".into()),
        "{}",
        report.text
    );

    world.database.set_rows("public.notes", 0);
    let restored = world.send(Call::post(&format!("backups/{name}/restore")).admin()).await;
    assert_eq!((restored.status, &restored.json["restored"]), (200, &true.into()), "{}", restored.text);
    assert_eq!(world.database.rows()["public.notes"], 3);

    let restores = world.send(Call::get("restores").admin()).await.json;
    let id = restores[0]["id"].as_str().unwrap().to_owned();
    world.clock.advance(Duration::from_secs(1));
    let rolled_back = world.send(Call::post(&format!("restores/{id}/rollback")).admin()).await;
    assert_eq!(rolled_back.status, 200, "{}", rolled_back.text);
    assert_eq!(world.database.rows()["public.notes"], 0);

    let id = world.send(Call::get("restores").admin()).await.json[0]["id"].as_str().unwrap().to_owned();
    let dropped = world.send(Call::delete(&format!("restores/{id}")).admin()).await;
    assert_eq!((dropped.status, &dropped.json["dropped"]), (200, &true.into()), "{}", dropped.text);
    for gone in [Call::post(&format!("restores/{id}/rollback")), Call::delete(&format!("restores/{id}"))] {
        let gone = world.send(gone.admin().header("Prefer", "respond-async")).await;
        assert_eq!((gone.status, gone.code()), (404, "not_found"), "it is not even begun");
    }

    let deleted = world.send(Call::delete(&format!("backups/{name}")).admin()).await;
    assert_eq!((&deleted.json["filename"], &deleted.json["deleted"]), (&name.into(), &true.into()));
    assert!(world.send(Call::get("backups")).await.json.as_array().unwrap().is_empty());
}

#[actix_web::test]
async fn a_restore_that_is_cancelled_at_the_last_moment_does_not_swap() {
    let world = World::new();
    let name = world.backup().await;
    world.database.set_rows("public.notes", 7);
    let mut last_moment = world.database.faults().hold_next(DatabasePoint::Probe);
    let path = format!("backups/{name}/restore");
    let begun = world.send(Call::post(&path).admin().header("prefer", "respond-async")).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    last_moment.reached().await;
    let cancel = format!("operations/{}/cancel", begun.json["id"].as_str().unwrap());
    assert!(world.send(Call::post(&cancel).admin()).await.status < 300);
    last_moment.release();
    assert_eq!(world.ended(&begun.json["id"]).await.state, OperationState::Cancelled);
    assert_eq!(world.database.rows()["public.notes"], 7);
    assert_eq!(world.database.database_names(), ["nova", "postgres"]);
}

#[actix_web::test]
async fn a_rollback_whose_database_does_not_answer_afterwards_says_so() {
    let world = World::new();
    let name = world.backup().await;
    let restored = world.send(Call::post(&format!("backups/{name}/restore")).admin()).await;
    assert_eq!(restored.json["warnings"], serde_json::json!([]), "{}", restored.text);
    let path = format!("restores/{}/rollback", restored.json["id"].as_str().unwrap());
    world.clock.advance(Duration::from_secs(1));
    let mut before_the_swap = world.database.faults().hold_next(DatabasePoint::Probe);
    let fall_silent = async {
        before_the_swap.reached().await;
        for _ in 0..200 {
            world
                .database
                .faults()
                .fail_next(DatabasePoint::Probe, || DatabaseError::TimedOut { doing: "probing".to_owned() });
        }
        before_the_swap.release();
    };
    let (answer, ()) = tokio::join!(world.send(Call::post(&path).admin()), fall_silent);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let warnings = answer.json["warnings"].to_string();
    assert!(warnings.contains("has not answered a query since"), "{}", answer.text);
}

#[actix_web::test]
async fn a_download_is_the_file() {
    let world = World::new();
    let name = world.backup().await;
    let file = std::fs::read(world.directory.path().join("backups").join(&name)).unwrap();
    let response = world.open(Call::get(&format!("backups/{name}/download")).admin()).await;
    let disposition = response.headers().get("content-disposition").unwrap().to_str().unwrap().to_owned();
    assert_eq!(disposition, format!("attachment; filename=\"{name}\""));
    assert_eq!(actix_web::body::to_bytes(response.into_body()).await.unwrap(), file);
}

#[actix_web::test]
async fn a_caller_who_prefers_it_is_answered_at_once() {
    let world = World::new();
    let mut hold = world.tools.faults().hold_next(ToolPoint::Dump);
    let answer = world.send(Call::post("backups").admin().header("prefer", "respond-async")).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (202, Some("respond-async")));
    let id = answer.json["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), Some(format!("/api/v1/recovery/operations/{id}").as_str()));
    assert_eq!(answer.json["state"], "running");
    hold.reached().await;

    // Everybody may see that something runs, but not who began it, nor its id, nor what it is about.
    let status = world.send(Call::get("status")).await.json;
    let mut shown: Vec<&String> = status["operation"].as_object().unwrap().keys().collect();
    shown.sort();
    assert_eq!(shown, ["kind", "progress", "started_at", "state"]);

    // Whatever else needs the lock is told what is in the way.
    let busy = world.send(Call::post("backups").admin()).await;
    assert_eq!((busy.status, busy.code(), busy.json["operation_id"].as_str()), (409, "busy", Some(id)));
    hold.release();
    assert_eq!(world.ended(&answer.json["id"]).await.state, OperationState::Succeeded);
}

#[actix_web::test]
async fn a_call_that_takes_long_is_answered_with_what_is_known() {
    let world = World::with(|settings| settings.sync_wait = Duration::from_millis(300));
    let mut hold = world.tools.faults().hold_next(ToolPoint::Dump);
    let answer = world.send(Call::post("backups").admin()).await;
    hold.reached().await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("preference-applied"), None);
    assert_eq!((&answer.json["size_bytes"], &answer.json["kind"]), (&0.into(), &"backup".into()));
    assert_eq!(answer.json["filename"], "nova-backup-2026-01-31_12-00-00.tar");
    assert_eq!(answer.json["created_at"], "2026-01-31T12:00:00Z");
    hold.release();
    assert_eq!(world.ended(&answer.json["id"]).await.state, OperationState::Succeeded);
}

#[actix_web::test]
async fn a_client_that_hangs_up_changes_nothing() {
    let world = World::new();
    let mut hold = world.tools.faults().hold_next(ToolPoint::Dump);
    {
        let waiting = world.send(Call::post("backups").admin());
        tokio::pin!(waiting);
        tokio::select! {
            _ = &mut waiting => panic!("the backup is held up"),
            () = hold.reached() => {}
        }
    }
    hold.release();
    let id = world.app.operations().list()[0].id.to_string().into();
    assert_eq!(world.ended(&id).await.state, OperationState::Succeeded);
    assert_eq!(world.send(Call::get("backups")).await.json.as_array().unwrap().len(), 1);
}

#[actix_web::test]
async fn a_cancelled_backup_leaves_nothing() {
    let world = World::new();
    let mut hold = world.tools.faults().hold_next(ToolPoint::Dump);
    let answer = world.send(Call::post("backups").admin().header("prefer", "respond-async")).await;
    hold.reached().await;
    let path = format!("operations/{}/cancel", answer.json["id"].as_str().unwrap());
    assert_eq!(world.send(Call::post(&path).admin()).await.status, 202);
    assert_eq!(world.ended(&answer.json["id"]).await.state, OperationState::Cancelled);
    assert_eq!(world.send(Call::post(&path).admin()).await.status, 409);
    assert!(world.send(Call::get("backups")).await.json.as_array().unwrap().is_empty());
}

#[actix_web::test]
async fn what_somebody_cancels_was_not_refused() {
    let world = World::new();
    let mut hold = world.tools.faults().hold_next(ToolPoint::Dump);
    let cancelling = async {
        hold.reached().await;
        world.app.operations().cancel(world.app.operations().list()[0].id).unwrap();
    };
    let (answer, ()) = tokio::join!(world.send(Call::post("backups").admin()), cancelling);
    assert_eq!((answer.status, answer.code()), (409, "cancelled"));
    let audited = &world.audit.written()[0];
    assert_eq!((audited.action.as_str(), audited.outcome), ("backup", AuditOutcome::Failed));
}

#[actix_web::test]
async fn a_backup_that_fails_says_why() {
    let world = World::new();
    world.tools.faults().fail_next(ToolPoint::Dump, || recovery_testkit::exits(1, "pg_dump: error: no"));
    let answer = world.send(Call::post("backups").admin()).await;
    answer.assert_problem();
    assert_eq!((answer.status, answer.code()), (500, "tool_failed"));
    let operation = world.send(Call::get("operations").admin()).await.json[0].clone();
    assert_eq!(operation["state"], "failed");
    assert_eq!(operation["error"]["code"], "tool_failed");
    assert_eq!(answer.json["operation_id"], operation["id"]);
}
