//! Bad requests, and how they are answered.

use actix_web::http::Method;
use serde_json::json;

use crate::world::{Call, World};

async fn check(call: Call, status: u16, code: &str) {
    let answer = World::new().send(call).await;
    answer.assert_problem();
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text);
}

#[actix_web::test]
async fn unknown_addresses_and_methods() {
    check(Call::get("/nothing"), 404, "not_found").await;
    check(Call::get("nothing"), 404, "not_found").await;
    check(Call::get("backups/"), 404, "not_found").await;
    check(Call::get("operations/x").admin(), 404, "not_found").await;
    let answer = World::new().send(Call::new(Method::PUT, "backups")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, POST")));
}

#[actix_web::test]
async fn names_that_are_none_reach_no_file() {
    for name in ["..%2fx", "..%252fx", "%2e%2e%2fx", "x%00.tar", "%ff", "%", &"x".repeat(300), ".partial-x"] {
        for call in [
            Call::delete(&format!("backups/{name}")),
            Call::get(&format!("backups/{name}/download")),
            Call::post(&format!("backups/{name}/restore")),
        ] {
            check(call.admin(), 400, "invalid_name").await;
        }
    }
    check(Call::delete("backups/a/b").admin(), 404, "not_found").await;
    check(Call::delete("backups/../../etc/passwd").admin(), 404, "not_found").await;
}

#[actix_web::test]
async fn bodies_that_cannot_be_read() {
    let name = "backups/nova-backup-2026-01-31_23-59-59.tar/verify";
    check(Call::post("session").json("{"), 422, "invalid_body").await;
    check(Call::post("session").json(""), 422, "invalid_body").await;
    check(Call::post("session").json("[]"), 422, "invalid_body").await;
    check(Call::post("session").body("secret=x"), 415, "unsupported_media_type").await;
    check(Call::post(name).admin().json(r#"{"level":"everything"}"#), 422, "invalid_body").await;
    check(
        Call::post("backups").admin().header("content-type", "text/plain").body("x"),
        415,
        "unsupported_media_type",
    )
    .await;
    check(Call::post("session").json(&" ".repeat(1024 * 1024 + 1)), 413, "body_too_large").await;
    check(Call::get("status").header("x-large", &"x".repeat(20_000)), 400, "invalid_request").await;
    check(Call::get("audit?limit=0").admin(), 400, "invalid_request").await;

    let answer = World::new().send(Call::post("session").json("{}")).await;
    let whole = json!({
        "type": "urn:nova-recovery:problem:invalid_body",
        "title": "Invalid request body",
        "status": 422,
        "code": "invalid_body",
        "detail": "The request body lacks the field secret.",
        "errors": [{ "field": "secret", "message": "is missing" }]
    });
    assert_eq!(answer.json, whole);
}

#[actix_web::test]
async fn an_empty_json_body_is_fine_where_none_is_needed() {
    let world = World::new();
    let answer = world.send(Call::post("backups").admin().json("")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[actix_web::test]
async fn a_request_has_an_id_of_its_own_or_of_its_sender() {
    let world = World::new();
    let id = |call| async { world.send(call).await.header("x-request-id").unwrap().to_owned() };
    assert_eq!(id(Call::get("status").header("x-request-id", "abc-1.2_3")).await, "abc-1.2_3");
    for bad in ["", "a b", "x\"y", &"x".repeat(65)] {
        let given = id(Call::get("status").header("x-request-id", bad)).await;
        assert_eq!(given.len(), 32, "{bad:?}");
    }
    assert_ne!(id(Call::get("status")).await, id(Call::get("status")).await);
}

#[actix_web::test]
async fn a_dead_database_degrades_only_what_needs_it() {
    let world = World::new();
    world.backup().await;
    world.database.stop();
    world.key_value.away();
    assert_eq!(world.send(Call::get("/health/live")).await.status, 200);
    let ready = world.send(Call::get("/health/ready")).await;
    assert_eq!((ready.status, ready.json["status"].as_str()), (503, Some("degraded")));
    let status = world.send(Call::get("status")).await;
    assert_eq!(status.status, 200);
    assert_eq!(status.json["database"]["connected"], false);
    assert!(status.json["database"]["error"].is_string());
    assert_eq!(status.json["backups"]["count"], 1);
    let answer = world.send(Call::post("backups").admin()).await;
    assert_eq!((answer.status, answer.code()), (503, "database_unavailable"));
    answer.assert_problem();
}

#[actix_web::test]
async fn metrics_are_for_admins_unless_they_are_opened() {
    let world = World::new();
    world.backup().await;
    let text = world.send(Call::get("/metrics").admin()).await.text;
    for line in [
        "nova_recovery_backups 1",
        "nova_recovery_operations_total{kind=\"backup\",state=\"succeeded\"} 1",
        "nova_recovery_operations_running 0",
        "nova_recovery_last_backup_success_timestamp_seconds 1769860800",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    let open = World::with(|settings| settings.metrics_open = true);
    assert_eq!(open.send(Call::get("/metrics")).await.status, 200);
}
