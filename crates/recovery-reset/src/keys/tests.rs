use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use recovery_core::{keys::RedisKey, port::KeyValueError};
use recovery_testkit::{KeySpacePoint, MemoryKeyValue};

use super::*;

const OWN: u8 = 7;

fn categories() -> Categories {
    r#"{"never": [], "categories": [
        {"key": "feeds", "label": "Feeds", "description": "", "default_keep": false, "tables": [],
         "redis": [[6, "*"], [2, "feed:*"], [7, "*"]], "directories": []},
        {"key": "caches", "label": "Caches", "description": "", "default_keep": false, "tables": [],
         "redis": [[2, "cache:*"], [2, "feed:cache:*"]], "directories": []},
        {"key": "config", "label": "Configuration", "description": "", "default_keep": true, "tables": [],
         "redis": [[6, "nova:config:*"], [2, "*:config"], [7, "x*"]], "directories": []}]}"#
        .parse()
        .unwrap()
}

fn keeping(keep: &[&str]) -> (Categories, Selection) {
    let categories = categories();
    let selection = Selection::keeping(&categories, keep).unwrap();
    (categories, selection)
}

fn selection(database: u8, patterns: &[&str], except: &[&str]) -> KeySelection {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    KeySelection { database, patterns: owned(patterns), except: owned(except) }
}

/// Keys of every kind, and many of some.
fn filled() -> MemoryKeyValue {
    let redis = MemoryKeyValue::new();
    for number in 0..1200 {
        redis.put(6, format!("item:{number}"), "x");
    }
    for (database, key) in [
        (6, "nova:config:a"),
        (6, "nova:config:b"),
        (2, "feed:1"),
        (2, "feed:2:config"),
        (2, "feed:cache:1"),
        (2, "cache:1"),
        (2, "cache:config"),
        (2, "stranger"),
        (3, "nobody's:1"),
        (3, "nobody's:2"),
        (7, "nova:system:hardware"),
        (7, "y"),
    ] {
        redis.put(database, key, "x");
    }
    redis.put(6, *b"\xff\x00", "x");
    redis
}

fn key(name: &str) -> CategoryKey {
    name.parse().unwrap()
}

fn exact(keys: u64) -> KeyCount {
    KeyCount { keys, exact: true }
}

#[test]
fn what_is_kept_is_excepted_and_the_own_database_is_not_there() {
    let redis = MemoryKeyValue::new();
    let keys = ResetKeys::new(&redis, OWN);
    let check = |keep: &[&str], expect: &[KeySelection]| {
        let (categories, kept) = keeping(keep);
        assert_eq!(keys.going(&categories, &kept), expect, "{keep:?}");
    };
    check(
        &["config"],
        &[
            selection(2, &["feed:*", "cache:*", "feed:cache:*"], &["*:config"]),
            selection(6, &["*"], &["nova:config:*"]),
        ],
    );
    check(&["config", "feeds"], &[selection(2, &["cache:*", "feed:cache:*"], &["feed:*", "*:config"])]);
    check(&["config", "feeds", "caches"], &[]);
    check(
        &[],
        &[
            selection(2, &["feed:*", "cache:*", "feed:cache:*", "*:config"], &[]),
            selection(6, &["*", "nova:config:*"], &[]),
        ],
    );
}

#[tokio::test]
async fn a_plan_counts_every_key_once_and_changes_nothing() {
    let redis = filled();
    let before = redis.contents();
    let (categories, kept) = keeping(&["config"]);
    let plan = ResetKeys::new(&redis, OWN).plan(&categories, &kept, KeyEffort::Exact).await.unwrap();
    assert_eq!(
        plan.categories,
        BTreeMap::from([
            (key("feeds"), BTreeMap::from([(2, exact(2)), (6, exact(1201))])),
            (key("caches"), BTreeMap::from([(2, exact(1))])),
        ])
    );
    assert_eq!(plan.databases(), BTreeMap::from([(2, exact(3)), (6, exact(1201))]));
    assert_eq!(plan.unclassified, BTreeMap::from([(2, exact(1)), (3, exact(2))]));
    assert_eq!(redis.contents(), before);
}

#[tokio::test]
async fn a_plan_that_must_be_quick_estimates() {
    let redis = filled();
    let (categories, kept) = keeping(&["config"]);
    let quick = KeyEffort::Within(Duration::ZERO);
    let plan = ResetKeys::new(&redis, OWN).plan(&categories, &kept, quick).await.unwrap();
    let count = plan.databases()[&6];
    assert!(!count.exact && (600..2400).contains(&count.keys), "{count:?}");
    assert_eq!(plan.unclassified[&3], exact(2), "the server counts whole databases itself");

    let slow = KeyEffort::Within(Duration::from_secs(60));
    let slow = ResetKeys::new(&redis, OWN).plan(&categories, &kept, slow).await.unwrap();
    let all = ResetKeys::new(&redis, OWN).plan(&categories, &kept, KeyEffort::Exact).await.unwrap();
    assert_eq!(slow, all, "what could be counted in time is exact");
}

#[tokio::test]
async fn exactly_what_was_planned_is_removed() {
    for keep in [&["config"][..], &["feeds"], &["caches", "config"], &["feeds", "caches", "config"], &[]] {
        let redis = filled();
        let (categories, kept) = keeping(keep);
        let keys = ResetKeys::new(&redis, OWN);
        let plan = keys.plan(&categories, &kept, KeyEffort::Exact).await.unwrap();
        let goes = |database: u8, key: &[u8]| {
            let key = RedisKey(key.to_vec());
            plan.going.iter().any(|going| going.database == database && going.matches(&key))
        };
        let mut expect = redis.contents();
        let before = expect.len();
        expect.retain(|(database, key), _| *database == OWN || !goes(*database, key));

        let told = Mutex::new(vec![0]);
        let deleted = keys.delete(&plan.going, &|count| told.lock().unwrap().push(count)).await;
        assert!(deleted.failed.is_empty(), "{deleted:?}");
        assert_eq!(redis.contents(), expect, "{keep:?}");
        assert_eq!(deleted.total(), (before - expect.len()) as u64, "{keep:?}");
        let planned: BTreeMap<u8, u64> =
            plan.databases().into_iter().map(|(database, count)| (database, count.keys)).collect();
        assert_eq!(deleted.databases, planned, "{keep:?}");
        let told = told.into_inner().unwrap();
        assert!(told.is_sorted() && told.last() == Some(&deleted.total()), "{told:?}");
        assert_eq!(keys.delete(&plan.going, &|_| ()).await.total(), 0, "again");
    }
}

#[tokio::test]
async fn the_own_database_is_left_alone_even_where_it_is_asked_for() {
    let redis = filled();
    let before = redis.contents();
    let deleted = ResetKeys::new(&redis, OWN).delete(&[KeySelection::everything(OWN)], &|_| ()).await;
    assert!(deleted.databases.is_empty() && deleted.failed.is_empty(), "{deleted:?}");
    assert_eq!(redis.contents(), before);
}

fn unavailable() -> KeyValueError {
    KeyValueError::Unavailable { source: "connection reset".into() }
}

#[tokio::test]
async fn a_redis_that_goes_away_for_a_moment_is_waited_for() {
    let redis = filled();
    for point in [KeySpacePoint::Unlink, KeySpacePoint::Scan, KeySpacePoint::Unlink] {
        redis.faults().fail_next(point, unavailable);
    }
    let (categories, kept) = keeping(&["config"]);
    let keys = ResetKeys::new(&redis, OWN);
    let deleted = keys.delete(&keys.going(&categories, &kept), &|_| ()).await;
    redis.faults().assert_spent();
    assert_eq!((deleted.total(), deleted.failed.len()), (1204, 0));
}

#[tokio::test]
async fn one_that_stays_away_is_given_up_and_one_that_refuses_keeps_the_next_database_from_nothing() {
    let redis = filled();
    let (categories, kept) = keeping(&["config"]);
    let keys = ResetKeys::new(&redis, OWN).waiting(Duration::from_millis(300));
    let going = keys.going(&categories, &kept);
    redis.away();
    let before = redis.contents();
    let deleted = keys.delete(&going, &|_| ()).await;
    let databases: BTreeSet<u8> = deleted.failed.iter().map(|(database, _)| *database).collect();
    assert_eq!((deleted.total(), databases), (0, BTreeSet::from([2, 6])));
    assert_eq!(redis.contents(), before);
    assert!(keys.plan(&categories, &kept, KeyEffort::Exact).await.is_err());

    redis.back();
    redis.faults().fail_next(KeySpacePoint::Unlink, || KeyValueError::Refused { source: "NOPERM".into() });
    let deleted = keys.delete(&going, &|_| ()).await;
    assert!(matches!(deleted.failed[..], [(2, KeyValueError::Refused { .. })]), "{deleted:?}");
    assert_eq!(deleted.databases, BTreeMap::from([(6, 1201)]));
}
