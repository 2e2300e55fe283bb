//! What `KeySpace` promises.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use recovery_core::{
    OperationId,
    keys::{DumpedKey, KeySelection, RedisKey},
    port::{KeySpace, KeyValue, KeyValueError, ScanPosition},
};

/// The database in which most of it takes place, and another one.
const DATABASE: u8 = 3;
const OTHER: u8 = 4;
const HOUR_MS: u64 = 3_600_000;

/// What holds while the server answers. Leaves nothing behind.
pub async fn key_space<S: KeyValue + KeySpace>(store: &S) {
    // No pattern takes these letters for anything but themselves.
    let prefix = format!("recovery-contract:{}:", OperationId::new());
    let key = |name: &str| RedisKey(format!("{prefix}{name}").into_bytes());
    store.set(DATABASE, &format!("{prefix}template"), "value").await.unwrap();
    let template = one(store, &key("template")).await.expect("it was set");
    assert_eq!(template.expires_at_ms, None, "it never expires");

    moved(store, &prefix, &template).await;
    large(store, &prefix).await;
    scanned(store, &prefix, &template).await;

    // Whether as refused or as unavailable is left open.
    let (keys, everything) = ([key("template")], KeySelection::everything(255));
    let (scan, dump, restore, unlink) = tokio::join!(
        store.scan(&everything, ScanPosition::default()),
        store.dump(255, &keys),
        store.restore(255, std::slice::from_ref(&template)),
        store.unlink(255, &keys),
    );
    let errors = [scan.err(), dump.err(), restore.err(), unlink.err()];
    assert!(errors.iter().all(Option::is_some), "a database that the server does not have: {errors:?}");

    assert_eq!(store.unlink(DATABASE, &[key("template")]).await.unwrap(), 1, "a refusal breaks nothing");
    for database in [DATABASE, OTHER] {
        let all = KeySelection { database, patterns: vec![format!("{prefix}*")], except: Vec::new() };
        assert_eq!(found(store, &all).await, BTreeSet::new(), "everything is gone again");
    }
}

/// What holds while the server does not answer: every call says so, and within a bounded time.
pub async fn key_space_away(store: &dyn KeySpace) {
    let key = RedisKey(b"key".to_vec());
    let dumped = DumpedKey { key: key.clone(), payload: vec![0; 20], expires_at_ms: None };
    let (everything, keys, dumped) = (KeySelection::everything(1), [key], [dumped]);
    let calls = async {
        tokio::join!(
            store.databases(),
            store.scan(&everything, ScanPosition::default()),
            store.dump(1, &keys),
            store.restore(1, &dumped),
            store.unlink(1, &keys),
        )
    };
    let (databases, scan, dump, restore, unlink) =
        tokio::time::timeout(super::SOON, calls).await.expect("no call hangs");
    let results = [databases.map(drop), scan.map(drop), dump.map(drop), restore, unlink.map(drop)];
    for result in results {
        let error = result.expect_err("nobody answers");
        assert!(matches!(error, KeyValueError::Unavailable { .. }), "{error:?}");
    }
}

/// What is dumped comes back as it was.
async fn moved(store: &dyn KeySpace, prefix: &str, template: &DumpedKey) {
    let named = |name: &[u8]| RedisKey([prefix.as_bytes(), name].concat());
    let later = now_ms() + HOUR_MS;
    let written: Vec<DumpedKey> = [
        (named(b"plain"), None),
        (named(b"\xff\x00\r\n*[\\"), None),
        (named(b"expires"), Some(later)),
        (named("größer".as_bytes()), Some(later + 1)),
    ]
    .into_iter()
    .map(|(key, expires_at_ms)| DumpedKey { key, payload: template.payload.clone(), expires_at_ms })
    .collect();
    store.restore(DATABASE, &written).await.unwrap();
    let keys: Vec<RedisKey> = written.iter().map(|key| key.key.clone()).collect();

    let asked: Vec<RedisKey> = [vec![named(b"none")], keys.clone(), vec![named(b"nor this")]].concat();
    let dumped = all(store, DATABASE, &asked).await;
    assert_eq!(dumped.len(), written.len(), "keys that are not there are left out");
    for (dumped, written) in dumped.iter().zip(&written) {
        let same = (&dumped.key, &dumped.payload) == (&written.key, &written.payload);
        assert!(same, "in the order in which they were asked for, with what they hold");
        // A server that only tells how much time is left makes it exact to some milliseconds.
        let apart = match (dumped.expires_at_ms, written.expires_at_ms) {
            (Some(one), Some(other)) => one.abs_diff(other),
            (one, other) => u64::from(one != other) * HOUR_MS,
        };
        assert!(
            apart < 2_000,
            "expires at {:?} instead of {:?}",
            dumped.expires_at_ms,
            written.expires_at_ms
        );
    }
    assert_eq!(all(store, OTHER, &asked).await, [], "databases are separate");
    assert_eq!(store.dump(DATABASE, &[]).await.unwrap().answered, 0, "none were asked for");

    let mut again = written.clone();
    again[0].expires_at_ms = Some(later);
    again[2].expires_at_ms = None;
    again[3].expires_at_ms = Some(1);
    store.restore(DATABASE, &again).await.unwrap();
    let expire = |key: &DumpedKey| key.expires_at_ms.is_some();
    let now: Vec<bool> = all(store, DATABASE, &keys).await.iter().map(expire).collect();
    assert_eq!(now, [true, false, false], "what was there is replaced; one whose time is over is removed");

    let broken = DumpedKey { payload: b"no dump of anything".to_vec(), ..written[0].clone() };
    let refused = store.restore(DATABASE, &[broken]).await;
    assert!(matches!(refused, Err(KeyValueError::Refused { .. })), "{refused:?}");
    assert_eq!(all(store, DATABASE, &keys[..1]).await.len(), 1, "what is refused replaces nothing");

    assert_eq!(store.unlink(OTHER, &keys).await.unwrap(), 0, "databases are separate");
    let twice = [keys.clone(), keys.clone(), vec![named(b"none")]].concat();
    assert_eq!(store.unlink(DATABASE, &twice).await.unwrap(), 3, "counted is what was there");
    assert_eq!(all(store, DATABASE, &keys).await, []);
    assert_eq!(store.unlink(DATABASE, &[]).await.unwrap(), 0);
}

/// Large keys are not dumped all at once.
async fn large<S: KeyValue + KeySpace>(store: &S, prefix: &str) {
    let keys = ["one", "two", "three"].map(|name| format!("{prefix}large:{name}"));
    for key in &keys {
        store.set(OTHER, key, &"x".repeat(5 << 20)).await.unwrap();
    }
    let keys = keys.map(|key| RedisKey(key.into_bytes()));
    let first = store.dump(OTHER, &keys).await.unwrap();
    assert_eq!((first.answered, first.keys.len()), (1, 1), "large keys are dumped one by one");
    assert_eq!(all(store, OTHER, &keys).await.len(), 3, "and all of them are");
    store.restore(OTHER, &all(store, OTHER, &keys).await).await.unwrap();
    assert_eq!(store.unlink(OTHER, &keys).await.unwrap(), 3);
}

/// A scan finds what it is asked for.
async fn scanned(store: &dyn KeySpace, prefix: &str, template: &DumpedKey) {
    let names = |kind: &str, count: usize| -> BTreeSet<RedisKey> {
        (0..count).map(|number| RedisKey(format!("{prefix}{kind}:{number}").into_bytes())).collect()
    };
    let (feeds, config) = (names("feed", 2_500), names("config", 500));
    let write: Vec<DumpedKey> =
        feeds.union(&config).map(|key| DumpedKey { key: key.clone(), ..template.clone() }).collect();
    store.restore(DATABASE, &write).await.unwrap();
    let select = |patterns: &[&str], except: &[&str]| {
        let all = |patterns: &[&str]| patterns.iter().map(|pattern| format!("{prefix}{pattern}")).collect();
        KeySelection { database: DATABASE, patterns: all(patterns), except: all(except) }
    };

    let databases = store.databases().await.unwrap();
    assert!(databases.get(&DATABASE).is_some_and(|keys| *keys >= 3_000), "{databases:?}");
    assert!(databases.values().all(|keys| *keys > 0), "empty ones are not there: {databases:?}");

    assert_eq!(found(store, &select(&["feed:*"], &[])).await, feeds);
    assert_eq!(found(store, &select(&["feed:*"], &["feed:*"])).await, BTreeSet::new());
    assert_eq!(found(store, &select(&[], &[])).await, BTreeSet::new(), "no pattern, no key");
    let template = BTreeSet::from([template.key.clone()]);
    assert_eq!(found(store, &select(&["*"], &["feed:*", "*fig:*"])).await, template);
    let some = found(store, &select(&["feed:1??", "config:*", "con*:9"], &["*:*7"])).await;
    let ends = |key: &RedisKey, end: u8| key.0.ends_with(&[end]);
    let hundreds = feeds.iter().filter(|key| {
        let number = key.0.strip_prefix(format!("{prefix}feed:").as_bytes()).unwrap();
        number.len() == 3 && number[0] == b'1'
    });
    let expected = hundreds.chain(&config).filter(|key| !ends(key, b'7')).cloned().collect();
    assert_eq!(some, expected, "one of the patterns, and none of the exceptions");

    // Half of them is removed while they are looked for.
    let (mut position, mut seen, mut removed) = (ScanPosition::default(), BTreeSet::new(), 0);
    loop {
        let (keys, next) = store.scan(&select(&["*"], &[]), position).await.unwrap();
        let (go, stay): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| !ends(key, b'5'));
        removed += store
            .unlink(DATABASE, &go.into_iter().filter(|key| feeds.contains(key)).collect::<Vec<_>>())
            .await
            .unwrap();
        seen.extend(stay);
        let Some(next) = next else { break };
        position = next;
    }
    let stays: BTreeSet<RedisKey> = feeds.union(&config).filter(|key| ends(key, b'5')).cloned().collect();
    assert_eq!(seen, stays, "what is there all the time is found");
    assert_eq!(removed, 2_250, "and what is found twice is counted once");

    let rest: Vec<RedisKey> = feeds.union(&config).cloned().collect();
    assert_eq!(store.unlink(DATABASE, &rest).await.unwrap(), 750);
}

/// What a scan finds from its beginning to its end.
async fn found(store: &dyn KeySpace, selection: &KeySelection) -> BTreeSet<RedisKey> {
    let (mut position, mut found) = (ScanPosition::default(), BTreeMap::new());
    loop {
        let (keys, next) = store.scan(selection, position).await.unwrap();
        found.extend(keys.into_iter().map(|key| (key, ())));
        let Some(next) = next else { break };
        assert!(next.part() > position.part(), "it goes on");
        position = next;
    }
    found.into_keys().collect()
}

/// Everything that keys hold, however often that has to be asked.
async fn all(store: &dyn KeySpace, database: u8, keys: &[RedisKey]) -> Vec<DumpedKey> {
    let (mut rest, mut dumped) = (keys, Vec::new());
    while !rest.is_empty() {
        let dump = store.dump(database, rest).await.unwrap();
        assert!(dump.answered > 0 && dump.answered <= rest.len(), "{} answered", dump.answered);
        dumped.extend(dump.keys);
        rest = &rest[dump.answered..];
    }
    dumped
}

async fn one(store: &dyn KeySpace, key: &RedisKey) -> Option<DumpedKey> {
    store.dump(DATABASE, std::slice::from_ref(key)).await.unwrap().keys.pop()
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}
