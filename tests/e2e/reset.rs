//! Factory reset: for every choice of what is kept, exactly what was to go is gone, and everything else is there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    reset_oracle::{expected, sort},
    reset_world::{Listing, ResetWorld},
    service::{DATABASE, Service},
};

/// Says where two listings differ, which is shorter than both.
pub(crate) fn assert_same(found: &Listing, expect: &Listing, what: &str) {
    for (table, rows) in &expect.tables {
        let found = &found.tables[table];
        if found == rows {
            continue;
        }
        let missing: Vec<_> = rows.iter().filter(|row| !found.contains(row)).take(3).collect();
        let more: Vec<_> = found.iter().filter(|row| !rows.contains(row)).take(3).collect();
        assert!(
            missing.is_empty() && more.is_empty(),
            "{what}: {table}: missing {missing:?}, too many {more:?}"
        );
    }
    let names = |listing: &Listing| listing.keys.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expect), "{what}");
    let paths = |listing: &Listing| listing.files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(found), paths(expect), "{what}");
    assert_eq!(found.backups, expect.backups, "{what}");
    assert!(found == expect, "{what}: they differ in a value");
}

/// Resets with these categories kept, and compares everything with what there must be then. Returns the answer.
async fn check(own: &ResetWorld, service: &Service, keep: &[&str], safety_backup: bool) -> Value {
    own.rebuild();
    let what = format!("keeping {}", keep.join(", "));
    let before = own.listing();
    let wiped = own.all_but(keep);
    let reseed = wiped.iter().any(|key| own.category(key)["seeded_by_migrations"] == true);
    let preview = own.preview(service, keep).await;
    assert_same(&own.listing(), &before, &format!("{what}: a preview changes nothing"));
    let answer =
        own.reset(service, json!({ "keep": keep, "confirm": "RESET", "safety_backup": safety_backup })).await;
    let mut after = own.listing();
    let Ok(mut expect) = expected(own, &before, keep, reseed) else {
        let conflicts = expected(own, &before, keep, reseed).unwrap_err();
        answer.assert_problem(409, "conflict");
        let named = |list: &Value, field: &str| -> BTreeSet<String> {
            list.as_array().unwrap().iter().map(|own| own[field].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(named(&answer.body["errors"], "field"), conflicts, "{what}");
        assert_eq!(named(&preview["conflicts"], "table"), conflicts, "{what}");
        assert_eq!(preview["possible"], false, "{what}");
        assert_same(&after, &before, &what);
        return Value::Null;
    };
    let answer = answer.assert_ok();
    expect.tables.values_mut().for_each(|rows| sort(rows));
    if let Some(safety) = answer["safety_backup"]["filename"].as_str() {
        assert_eq!(answer["safety_backup"]["verification"], "verified", "{what}");
        assert!(after.backups.remove(safety).is_some(), "{what}: {safety} is not there");
    }
    assert_same(&after, &expect, &what);
    assert_eq!(preview["possible"], true, "{what}");
    assert_eq!(answer["wiped"], json!(wiped), "{what}");
    assert_eq!(answer["kept"], json!(keep), "{what}");
    assert_eq!(answer["errors"], Value::Null, "{what}");
    assert_eq!(answer["safety_backup"].is_null(), !safety_backup || wiped.is_empty(), "{what}");
    assert_eq!(answer["reseed"]["done"], reseed, "{what}");
    compare_with_plan(&preview, &answer, &before, &after, &what);
    answer
}

/// The preview, the answer and what became of everything agree.
fn compare_with_plan(preview: &Value, answer: &Value, before: &Listing, after: &Listing, what: &str) {
    let rows = |listing: &Listing| listing.tables.values().map(Vec::len).sum::<usize>();
    let (stats, totals) = (&answer["stats"], &preview["totals"]);
    let migrations = |listing: &Listing| listing.tables["schema_migrations"].len();
    let gone = rows(before) - rows(after);
    assert_eq!(stats["rows_deleted"], gone, "{what}");
    assert_eq!(totals["rows"], gone - (migrations(before) - migrations(after)), "{what}");
    let keys = before.keys.len() - after.keys.len();
    assert_eq!((&stats["redis_keys_deleted"], &totals["redis_keys"]), (&json!(keys), &json!(keys)), "{what}");
    let backups = before.backups.len() - after.backups.len();
    assert_eq!(
        (&stats["backup_files_removed"], &totals["backups"]),
        (&json!(backups), &json!(backups)),
        "{what}"
    );
    assert_eq!(stats["filesystem_files_removed"], totals["files"], "{what}");
    for field in ["backup_bytes_reclaimed", "tables_truncated"] {
        assert!(stats[field].is_u64(), "{field}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_reset_takes_what_it_says_and_nothing_else() {
    let own = ResetWorld::new().await;
    let service = own.world.serve().await;
    let answer = check(&own, &service, &own.defaults(), true).await;
    assert!(answer["stats"]["tables_truncated"].as_u64().unwrap() > 30, "{answer}");
    let next = "INSERT INTO activity_events (kind, summary, at) VALUES ('k', 's', now()) RETURNING id";
    assert_eq!(own.world.postgres.psql(DATABASE, next).trim(), "1", "sequences begin anew");

    // Once more: there is nothing left, and that does no harm.
    let again = json!({ "keep": own.defaults(), "confirm": "RESET", "safety_backup": false });
    let again = own.reset(&service, again).await.assert_ok();
    assert_eq!(again["stats"]["redis_keys_deleted"], 0, "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_kept_and_nothing_kept() {
    let own = ResetWorld::new().await;
    let service = own.world.serve().await;
    check(&own, &service, &own.keys(), true).await;
    let answer = check(&own, &service, &[], true).await;
    assert!(answer["safety_backup"]["filename"].is_string(), "{answer}");
    assert_eq!(answer["stats"]["backup_files_removed"], 2, "{answer}");
}

/// Wipes each of these categories alone; those that are refused are these.
async fn each_alone(keys: std::ops::Range<usize>, in_the_way: &[&str]) {
    let own = ResetWorld::new().await;
    let service = own.world.serve().await;
    let mut refused = Vec::new();
    for key in own.keys().into_iter().skip(keys.start).take(keys.len()) {
        if check(&own, &service, &own.all_but(&[key]), false).await.is_null() {
            refused.push(key);
        }
    }
    assert_eq!(refused, in_the_way);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_the_first_six_categories_alone() {
    // Goals that are kept list the tasks that they led to.
    each_alone(0..6, &["task_pipeline_history"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_the_last_six_categories_alone() {
    each_alone(6..12, &["memory_and_knowledge", "users_and_auth"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_refers_to_wiped_users_goes_with_its_own_categories() {
    let own = ResetWorld::new().await;
    let service = own.world.serve().await;
    // Kept API keys would be lost with their users, which is refused; nothing of theirs is.
    let keep = ["platform_config", "backups"];
    let answer = check(&own, &service, &keep, false).await;
    assert!(answer["stats"]["rows_deleted"].as_u64().unwrap() > 1000, "{answer}");
    let answer = check(&own, &service, &own.all_but(&["users_and_auth"]), false).await;
    assert!(answer.is_null(), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_safety_backup_of_a_reset_restores_everything() {
    let own = ResetWorld::new().await;
    let service = own.world.serve().await;
    own.rebuild();
    let before = own.listing();
    let keep = ["backups"];
    let answer = own.reset(&service, json!({ "keep": keep, "confirm": "RESET" })).await.assert_ok();
    let safety = answer["safety_backup"]["filename"].as_str().unwrap();
    assert!(own.listing().tables["users"].is_empty());
    service.post(&format!("/backups/{safety}/restore")).await.assert_ok();
    let mut after = own.listing();
    assert!(after.backups.remove(safety).is_some());
    // What a restore replaced is kept beside it, for a rollback.
    after.files.retain(|path, _| {
        !path.iter().any(|part| part.to_str().is_some_and(|part| part.contains("before-")))
    });
    assert_same(&after, &before, "after the restore");
}
