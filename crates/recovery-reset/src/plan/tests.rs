use recovery_core::{
    keys::RedisKey,
    schema::{Count, TableName},
};

use super::*;
use crate::{DirectoryState, Selection, categories::tests::EVERY};

fn order(keep: &[&str]) -> (Categories, Order) {
    let categories = Categories::built_in().unwrap();
    let selection = Selection::keeping(&categories, keep).unwrap();
    (categories, Order::new(selection))
}

fn all_but(one: &str) -> Vec<&'static str> {
    EVERY.into_iter().filter(|key| *key != one).collect()
}

#[test]
fn a_key_that_a_kept_category_has_a_claim_to_stays() {
    let redis = recovery_testkit::MemoryKeyValue::new();
    let check = |keep: &[&str], database: u8, keys: &[&str], expect: &[&str]| {
        let (categories, order) = order(keep);
        let going = crate::ResetKeys::new(&redis, 7).going(&categories, &order.selection);
        let selection = going.iter().find(|selection| selection.database == database);
        let goes = |key: &&str| {
            selection.is_some_and(|selection| selection.matches(&RedisKey(key.as_bytes().to_vec())))
        };
        let going: Vec<&str> = keys.iter().copied().filter(goes).collect();
        assert_eq!(going, expect, "{keep:?}");
    };
    let keys = ["feed:1", "nova:config:x", "neural_router:last_trained_count:1"];
    check(&all_but("intel_data"), 6, &keys, &["feed:1"]);
    // The `*` of the intel feeds covers them.
    check(&all_but("platform_config"), 6, &keys, &[]);
    check(&all_but("memory_and_knowledge"), 6, &keys, &[]);
    check(&[], 6, &keys, &keys);
    check(&EVERY, 6, &keys, &[]);
    let keys = ["nova:config:a", "nova:cache:embed:a"];
    check(&all_but("platform_config"), 1, &keys, &["nova:config:a"]);
    check(&all_but("runtime_caches"), 1, &keys, &["nova:cache:embed:a"]);
}

#[test]
fn migrations_run_again_where_something_is_missing_without_them_or_somebody_says_so() {
    let schema = |tables: &[&str]| Schema {
        tables: tables.iter().map(|name| (TableName::public(*name), Count::default())).collect(),
        foreign_keys: Vec::new(),
    };
    let check = |keep: &[&str], asked: Option<bool>, tables: &[&str], planned: bool, why: &str| {
        let (categories, mut order) = order(keep);
        order.reseed = asked;
        let found = reseed(&order, &categories, &schema(tables));
        assert_eq!(found.planned, planned, "{found:?}");
        assert!(found.why.contains(why), "{found:?}");
        let class = classes(&order, &categories, &found).of(&TableName::public(MIGRATIONS)).clone();
        assert_eq!(class == TableClass::Emptied, planned);
        assert_eq!(class == TableClass::Never, !planned);
    };
    let there = ["schema_migrations", "users"];
    check(&EVERY, None, &there, false, "Nothing is wiped that");
    check(&all_but("chat_history"), None, &there, false, "Nothing is wiped that");
    check(
        &all_but("cortex_state"),
        None,
        &there,
        true,
        "in part by the platform's migrations: Cortex state.",
    );
    check(&[], None, &there, true, "Cortex state, Intel feeds, Platform configuration.");
    check(&[], Some(false), &there, false, "asked not to");
    check(&EVERY, Some(true), &there, true, "asked for");
    check(&[], None, &["users"], false, "no table schema_migrations");
    check(&EVERY, Some(true), &["users"], false, "no table schema_migrations");
}

#[test]
fn what_is_away_is_an_obstacle_unless_that_is_accepted() {
    let away = recovery_core::Problem::new(recovery_core::ErrorCode::DependencyUnavailable, "Redis is away.");
    let mut plan = Plan {
        tables: TablePlan::default(),
        keys: KeysPlan { going: Vec::new(), counted: Err(away) },
        directories: Vec::new(),
        backups: Vec::new(),
        pinned: Vec::new(),
        reseed: Reseed { planned: false, why: String::new() },
    };
    let (categories, strict) = order(&all_but("intel_data"));
    let lenient = Order { accept_partial: true, ..strict.clone() };
    assert!(plan.check(&strict, &categories).is_ok(), "no key is to be removed");
    plan.keys.going = vec![recovery_core::keys::KeySelection::everything(6)];
    assert!(matches!(plan.check(&strict, &categories), Err(ResetError::RedisAway { .. })));
    assert!(plan.check(&lenient, &categories).is_ok());
    plan.keys.counted = Ok(KeyPlan::default());
    assert!(plan.check(&strict, &categories).is_ok());
    for (state, fits) in [
        (DirectoryState::Holds(None), true),
        (DirectoryState::Missing, true),
        (DirectoryState::Unusable("it is a symbolic link".to_owned()), false),
    ] {
        let category = "intel_data".parse().unwrap();
        plan.directories = vec![PlannedDirectory { category, path: "/data/x".into(), state }];
        assert_eq!(plan.check(&strict, &categories).is_ok(), fits, "{:?}", plan.directories);
        assert!(plan.check(&lenient, &categories).is_ok());
    }
}
