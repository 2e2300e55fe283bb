//! Factory reset over HTTP: what is refused, what the answers look like, who may ask.

use recovery_core::{
    port::AuditOutcome,
    schema::{OnDelete, TableName},
};
use recovery_testkit::SampleTable;
use serde_json::json;

use crate::world::{Call, World};

const KEEP_ALL: [&str; 12] = [
    "chat_history",
    "task_pipeline_history",
    "cortex_state",
    "intel_data",
    "knowledge_data",
    "runtime_caches",
    "memory_and_knowledge",
    "api_keys",
    "linked_accounts",
    "platform_config",
    "users_and_auth",
    "backups",
];

/// A world with rows in a wiped table, in a kept one that refers to it, in one that follows, and keys.
fn filled() -> World {
    let world = World::new();
    let rows = |count: i64| (1..=count).map(|id| vec![Some(id)]).collect::<Vec<_>>();
    let with_rows = |table: SampleTable, rows: Vec<Vec<Option<i64>>>| SampleTable { rows, ..table };
    let tables = &world.tables;
    tables.put(with_rows(SampleTable::new("users"), rows(2)));
    tables.put(with_rows(SampleTable::new("conversations"), rows(3)));
    tables.put(with_rows(SampleTable::new("schema_migrations"), rows(4)));
    let refers = |name: &str, to: &str, action| SampleTable::new(name).column("to").key("to", to, action);
    let both = vec![vec![Some(1), Some(1)], vec![Some(2), None]];
    tables.put(with_rows(refers("bookmarks", "conversations", OnDelete::Cascade), both.clone()));
    tables.put(with_rows(refers("api_keys", "users", OnDelete::Cascade), both));
    tables.put(with_rows(SampleTable::new("plugins"), rows(1)));
    world.key_value.put(2, "nova:state:chat_scorer_cursor", "7");
    world.key_value.put(2, "nova:config:kept", "x");
    world
}

fn reset(body: &str) -> Call {
    Call::post("factory-reset").admin().json(body)
}

fn keeping(wiped: &[&str]) -> Vec<&'static str> {
    KEEP_ALL.into_iter().filter(|key| !wiped.contains(key)).collect()
}

fn order(wiped: &[&str]) -> String {
    json!({ "keep": keeping(wiped), "confirm": "RESET", "safety_backup": false }).to_string()
}

fn count(world: &World, table: &str) -> usize {
    world.tables.rows(&TableName::public(table)).len()
}

#[actix_web::test]
async fn everybody_may_see_what_can_be_reset() {
    let world = World::new();
    let answer = world.send(Call::get("factory-reset/categories")).await;
    assert_eq!(answer.status, 200);
    let keys: Vec<&str> =
        answer.json.as_array().unwrap().iter().map(|own| own["key"].as_str().unwrap()).collect();
    assert_eq!(keys, KEEP_ALL);
    let first = &answer.json[0];
    assert_eq!(
        *first,
        json!({
            "key": "chat_history", "label": "Chat history", "default_keep": false, "destructive_warning": null,
            "description": "conversations, messages, agent sessions, activity log, outcome scores",
        })
    );
    assert!(answer.json[11]["destructive_warning"].is_string());
}

#[actix_web::test]
async fn what_is_asked_for_wrongly_changes_nothing() {
    let world = filled();
    let (tables, keys) = (world.tables.tables(), world.key_value.contents());
    for (body, status, code) in [
        (r#"{"confirm": "RESET"}"#, 422, "invalid_body"),
        (r#"{"keep": null, "confirm": "RESET"}"#, 422, "invalid_body"),
        (r#"{"keep": "api_keys", "confirm": "RESET"}"#, 422, "invalid_body"),
        (r#"{"keep": []}"#, 422, "invalid_body"),
        (r#"{"keep": [], "confirm": "reset"}"#, 400, "confirmation_required"),
        (r#"{"keep": [], "confirm": ""}"#, 400, "confirmation_required"),
        (r#"{"keep": [], "confirm": "RESET "}"#, 400, "confirmation_required"),
        (r#"{"keep": ["nonsense"], "confirm": "RESET"}"#, 400, "invalid_request"),
        (r#"{"keep": [""], "confirm": "RESET"}"#, 400, "invalid_request"),
        (r#"{"keep": ["backups", "backups"], "confirm": "RESET"}"#, 400, "invalid_request"),
        (r#"{"keep": [], "confirm": "RESET", "safety_backup": "no"}"#, 422, "invalid_body"),
        (r#"{"keep": [], "confirm": "RESET", "accept_partial": 1}"#, 422, "invalid_body"),
        ("", 422, "invalid_body"),
        ("[]", 422, "invalid_body"),
    ] {
        let answer = world.send(reset(body)).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}: {}", answer.text);
    }
    let answer = world.send(reset(r#"{"keep": ["nonsense"], "confirm": "RESET"}"#)).await;
    assert_eq!(answer.json["errors"], json!([{ "field": "keep.0", "message": "is no category" }]));
    let answer = world.send(Call::post("factory-reset/preview").admin().json("{}")).await;
    assert_eq!((answer.status, answer.code()), (422, "invalid_body"));
    assert_eq!(world.tables.tables(), tables);
    assert_eq!(world.key_value.contents(), keys);
    assert!(world.app.operations().list().is_empty(), "nothing was begun");
}

#[actix_web::test]
async fn a_trusted_network_may_look_and_not_reset() {
    let world = filled();
    let body = order(&["chat_history"]);
    for call in [Call::post("factory-reset").json(&body), Call::post("factory-reset/preview").json(&body)] {
        assert_eq!(world.send(call).await.status, 401);
    }
    let trusted = |path: &str| Call::post(path).from("10.1.2.3").header("host", "recovery").json(&body);
    let answer = world.send(trusted("factory-reset")).await;
    assert_eq!((answer.status, answer.code()), (401, "credentials_required"), "{}", answer.text);
    assert_eq!(world.send(trusted("factory-reset/preview")).await.status, 200);
    assert_eq!(count(&world, "conversations"), 3);
}

#[actix_web::test]
async fn a_preview_names_everything_and_changes_nothing() {
    let world = filled();
    let tables = world.tables.tables();
    let body = json!({ "keep": keeping(&["chat_history"]), "exact": true }).to_string();
    let answer = world.send(Call::post("factory-reset/preview").admin().json(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let preview = &answer.json;
    assert_eq!(preview["possible"], true);
    assert_eq!(preview["wiped"], json!(["chat_history"]));
    assert_eq!(
        preview["categories"][0],
        json!({
            "key": "chat_history", "label": "Chat history", "directories": [], "backups": null,
            "tables": [{ "table": "conversations", "rows": 3, "exact": true }],
            "redis": [{ "database": 2, "keys": 1, "exact": true }],
        })
    );
    assert_eq!(
        preview["following"],
        json!([{ "table": "bookmarks", "rows": 1, "of": 2, "exact": true, "refers_to": ["conversations"],
            "because_of": ["chat_history"] }])
    );
    assert_eq!(preview["unclassified"]["tables"], json!([{ "table": "plugins", "rows": 1, "exact": true }]));
    assert_eq!(preview["reseed"]["planned"], false);
    assert_eq!(preview["totals"]["rows"], 4);
    assert_eq!(world.tables.tables(), tables);
}

#[actix_web::test]
async fn a_reset_wipes_and_tells_in_the_shape_of_the_contract() {
    let world = filled();
    let answer = world.send(reset(&order(&["chat_history"]))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let done = &answer.json;
    assert_eq!(done["wiped"], json!(["chat_history"]));
    assert_eq!(done["kept"], json!(keeping(&["chat_history"])));
    assert!(done["errors"].is_null() && done["safety_backup"].is_null(), "{done}");
    let stats = &done["stats"];
    assert_eq!((&stats["tables_truncated"], &stats["rows_deleted"]), (&json!(1), &json!(4)));
    assert_eq!(stats["redis_keys_deleted"], 1);
    for field in ["filesystem_files_removed", "backup_files_removed", "backup_bytes_reclaimed"] {
        assert_eq!(stats[field], 0, "{field}");
    }
    assert_eq!(done["detail"]["rows"], json!({ "conversations": 3, "bookmarks": 1 }));
    assert_eq!(done["reseed"]["done"], false);
    assert_eq!(
        (count(&world, "conversations"), count(&world, "bookmarks"), count(&world, "users")),
        (0, 1, 2)
    );
    assert!(!world.key_value.contents().contains_key(&(2, b"nova:state:chat_scorer_cursor".to_vec())));
    let entry = world.audit.written().pop().unwrap();
    assert_eq!((entry.action.as_str(), entry.outcome), ("factory_reset", AuditOutcome::Succeeded));
    assert!(entry.target.unwrap().starts_with("keeping task_pipeline_history,"));
    assert!(entry.operation_id.is_some());
}

#[actix_web::test]
async fn everything_kept_is_nothing_to_do() {
    let world = filled();
    let tables = world.tables.tables();
    let answer = world.send(reset(&order(&[]))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!((&answer.json["wiped"], &answer.json["reseed"]["done"]), (&json!([]), &json!(false)));
    assert_eq!(world.tables.tables(), tables);
}

#[actix_web::test]
async fn kept_rows_that_would_be_lost_are_named_and_nothing_is_changed() {
    let world = filled();
    let tables = world.tables.tables();
    let answer = world.send(reset(&order(&["users_and_auth", "chat_history"]))).await;
    assert_eq!((answer.status, answer.code()), (409, "conflict"), "{}", answer.text);
    let errors = answer.json["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["field"], "api_keys");
    let message = errors[0]["message"].as_str().unwrap();
    assert!(message.contains("1 row refers from api_keys") && message.contains("API keys"), "{message}");
    assert!(answer.json["detail"].as_str().unwrap().ends_with("Nothing was changed."));
    assert_eq!(world.tables.tables(), tables);
    assert_eq!(world.tables.open_transactions(), 0);
}

#[actix_web::test]
async fn redis_that_is_away_is_told_first_and_accepted_only_by_word() {
    let world = filled();
    let tables = world.tables.tables();
    world.key_value.away();
    let answer = world.send(reset(&order(&["chat_history"]))).await;
    assert_eq!((answer.status, answer.code()), (503, "dependency_unavailable"), "{}", answer.text);
    assert_eq!(world.tables.tables(), tables);
    let body = json!({ "keep": keeping(&["chat_history"]) }).to_string();
    let preview = world.send(Call::post("factory-reset/preview").admin().json(&body)).await;
    assert_eq!(preview.status, 200);
    assert_eq!(preview.json["possible"], false);
    assert!(preview.json["redis_error"].is_string());

    let body = json!({ "keep": keeping(&["chat_history"]), "confirm": "RESET", "safety_backup": false,
        "accept_partial": true });
    let answer = world.send(reset(&body.to_string())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.json["errors"][0].as_str().unwrap().contains("Redis"), "{}", answer.text);
    assert_eq!(count(&world, "conversations"), 0);
}

#[actix_web::test]
async fn migrations_run_again_only_where_something_is_missing_without_them() {
    let world = filled();
    let wiped = json!({ "keep": keeping(&["cortex_state"]), "confirm": "RESET", "safety_backup": false,
        "reseed": false });
    let answer = world.send(reset(&wiped.to_string())).await;
    assert_eq!(answer.json["reseed"]["done"], false, "{}", answer.text);
    assert_eq!(count(&world, "schema_migrations"), 4);
    let answer = world.send(reset(&order(&["cortex_state"]))).await;
    let reseed = &answer.json["reseed"];
    assert_eq!(reseed["done"], true, "{}", answer.text);
    assert!(reseed["why"].as_str().unwrap().contains("Cortex state"));
    assert!(reseed["orchestrator"].as_str().unwrap().starts_with("Not restarted: "), "{reseed}");
    assert_eq!(count(&world, "schema_migrations"), 0);
}

#[actix_web::test]
async fn a_directory_that_holds_the_backups_is_never_emptied() {
    let world = World::with(|settings| {
        let around = settings.backup.directory.parent().unwrap().to_owned();
        let text = json!({ "never": [], "categories": [{ "key": "files", "label": "Files", "description": "",
            "default_keep": false, "tables": [], "redis": [], "directories": [around] }] });
        settings.reset_categories = text.to_string().parse().unwrap();
    });
    let body = json!({ "keep": [], "confirm": "RESET", "safety_backup": false });
    let answer = world.send(reset(&body.to_string())).await;
    assert_eq!((answer.status, answer.code()), (409, "conflict"), "{}", answer.text);
    let message = answer.json["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("keeps its own files in it"), "{message}");
    let body = json!({ "keep": [], "confirm": "RESET", "safety_backup": false, "accept_partial": true });
    let answer = world.send(reset(&body.to_string())).await;
    assert_eq!(answer.json["stats"]["filesystem_files_removed"], 0, "{}", answer.text);
    assert!(answer.json["errors"][0].as_str().unwrap().contains("as it was"), "{}", answer.text);
}
