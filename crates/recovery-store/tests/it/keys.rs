//! Many keys of a real Redis: which ones a pattern means, what they hold, and who else gets an answer meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use recovery_core::{
    keys::{DumpedKey, KeySelection, RedisKey, matches_pattern},
    port::{KeySpace, KeyValueError, ScanPosition},
};
use recovery_store::RedisStore;
use recovery_testkit::servers::{RedisReply, RedisServer, RedisSession};

use crate::until;

fn store(server: &RedisServer) -> RedisStore {
    RedisStore::new(&server.url(7).into()).unwrap()
}

/// Numbers that look random and are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    /// Up to `longest` pieces.
    fn text(&mut self, pieces: &[&[u8]], longest: usize) -> Vec<u8> {
        (0..self.below(longest + 1)).flat_map(|_| pieces[self.below(pieces.len())].to_vec()).collect()
    }
}

#[test]
fn a_pattern_means_the_same_keys_as_to_redis() {
    let server = RedisServer::start();
    let mut redis = server.session(0);
    let mut numbers = Numbers(0x5eed_4eda);
    let letters: &[&[u8]] =
        &[b"a", b"b", b"c", b"-", b"]", b"[", b"^", b"\\", b"*", b"?", b"\0", b"\xff", b"\x7f", b"\x80"];
    let mut keys: BTreeSet<Vec<u8>> = (0..600).map(|_| numbers.text(letters, 6)).collect();
    keys.insert(Vec::new());
    for key in &keys {
        redis.ok(&[b"SET".as_slice(), key, b"x"]);
    }
    let more: &[&[u8]] = &[
        b"[a-c]",
        b"[^a]",
        b"[c-a]",
        b"[",
        b"[^",
        b"[a-",
        b"[\\",
        b"\\*",
        b"**",
        b"*",
        b"[\x20-\xff]",
        b"[]",
    ];
    let pieces = [letters, more].concat();
    let (mut matched, mut not) = (0, 0);
    for round in 0..4_000 {
        let pattern = numbers.text(&pieces, 1 + round % 7);
        let theirs: BTreeSet<Vec<u8>> = redis.keys(&pattern).into_iter().collect();
        let ours: BTreeSet<Vec<u8>> =
            keys.iter().filter(|key| matches_pattern(&pattern, key)).cloned().collect();
        let shown = RedisKey(pattern);
        let apart: Vec<String> =
            theirs.symmetric_difference(&ours).map(|key| RedisKey(key.clone()).to_string()).collect();
        assert!(apart.is_empty(), "{shown}: not the same of {apart:?}");
        matched += ours.len();
        not += keys.len() - ours.len();
    }
    assert!(matched > 10_000 && not > 10_000, "it was a test: {matched} and {not}");
}

/// Keys of every kind, with names of every kind.
fn fill(redis: &mut RedisSession) {
    let later = "99999999999999";
    for command in [
        &[&b"SET"[..], b"text", b"value"][..],
        &[b"SET", b"QUEUED", b"QUEUED"],
        &[b"SET", b"number", b"12"],
        &[b"SET", b"\xff\x00\r\n", b"\x00\xff"],
        &[b"SET", b"", b"the empty key"],
        &[b"SET", b"expires", b"x", b"PXAT", later.as_bytes()],
        &[b"RPUSH", b"list", b"a", b"\xff", b"c"],
        &[b"HSET", b"hash", b"field", b"value", b"\x00", b""],
        // Of one member: the order of more is that of a hash table, and so another after the way back.
        &[b"SADD", b"set", b"x"],
        &[b"ZADD", b"sorted", b"1.5", b"a", b"-inf", b"b"],
        &[b"XADD", b"stream", b"1-1", b"field", b"value"],
        &[b"XGROUP", b"CREATE", b"stream", b"group", b"0"],
        &[b"SETBIT", b"bits", b"1000", b"1"],
        &[b"PFADD", b"log", b"a", b"b"],
    ] {
        redis.ok(command);
    }
}

async fn every_key(store: &RedisStore, selection: &KeySelection) -> BTreeSet<RedisKey> {
    let (mut keys, mut position) = (BTreeSet::new(), Some(ScanPosition::default()));
    while let Some(from) = position {
        let (found, next) = store.scan(selection, from).await.unwrap();
        keys.extend(found);
        position = next;
    }
    keys
}

/// What every key holds.
async fn every_dump(store: &RedisStore, database: u8) -> Vec<DumpedKey> {
    let keys: Vec<RedisKey> =
        every_key(store, &KeySelection::everything(database)).await.into_iter().collect();
    let (mut rest, mut dumped) = (&keys[..], Vec::new());
    while !rest.is_empty() {
        let dump = store.dump(database, rest).await.unwrap();
        dumped.extend(dump.keys);
        rest = &rest[dump.answered..];
    }
    dumped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_every_kind_come_back_as_they_were() {
    let server = RedisServer::start_protected();
    let store = store(&server);
    fill(&mut server.session(5));
    let before = server.contents();
    assert_eq!(store.databases().await.unwrap(), BTreeMap::from([(5, before.len() as u64)]));

    let dumped = every_dump(&store, 5).await;
    let keys: Vec<RedisKey> = dumped.iter().map(|key| key.key.clone()).collect();
    assert_eq!(store.unlink(5, &keys).await.unwrap(), before.len() as u64);
    assert_eq!(server.contents().len(), 0);
    store.restore(5, &dumped).await.unwrap();
    assert_eq!(server.contents(), before, "byte by byte, and to the millisecond");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_the_newer_commands_will_do() {
    let server = RedisServer::start_without(&["PEXPIRETIME", "MEMORY"]);
    let store = store(&server);
    let mut redis = server.session(5);
    fill(&mut redis);
    for _ in 0..2 {
        let dumped = every_dump(&store, 5).await;
        let expires: BTreeMap<Vec<u8>, u64> =
            dumped.iter().filter_map(|key| Some((key.key.0.clone(), key.expires_at_ms?))).collect();
        assert_eq!(expires.keys().collect::<Vec<_>>(), [b"expires"]);
        assert!(expires[&b"expires"[..]].abs_diff(99_999_999_999_999) < 2_000, "{expires:?}");
        store.restore(5, &dumped).await.unwrap();
    }
    assert_eq!(redis.ok(&["DBSIZE"]), RedisReply::Number(13));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_told_from_one_that_refuses() {
    let mut server = RedisServer::start_without(&["UNLINK"]);
    let store = store(&server);
    let key = [RedisKey(b"key".to_vec())];
    let refused = store.unlink(1, &key).await;
    assert!(matches!(refused, Err(KeyValueError::Refused { .. })), "{refused:?}");
    server.session(1).ok(&["CONFIG", "SET", "maxmemory", "1"]);
    let dumped = [DumpedKey { key: key[0].clone(), payload: vec![0; 20], expires_at_ms: None }];
    let full = store.restore(1, &dumped).await;
    assert!(matches!(full, Err(KeyValueError::Refused { .. })), "{full:?}");

    server.freeze();
    let begun = Instant::now();
    let hangs = store.databases().await;
    assert!(matches!(hangs, Err(KeyValueError::Unavailable { .. })), "{hangs:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "what comes first finds it out soon: {:?}",
        begun.elapsed()
    );
    server.thaw();
    until("it answers again", async || store.databases().await.is_ok()).await;
}

#[test]
fn everybody_else_is_answered_while_many_keys_go() {
    let server = RedisServer::start();
    let mut redis = server.session(6);
    for (prefix, count) in [("other", 160_000), ("nova:feed", 40_000)] {
        let numbers: Vec<usize> = (0..count).collect();
        for numbers in numbers.chunks(1_000) {
            let pairs = numbers.iter().flat_map(|number| [format!("{prefix}:{number}"), "x".repeat(20)]);
            redis.ok(&std::iter::once("MSET".to_owned()).chain(pairs).collect::<Vec<_>>());
        }
    }
    let ended = AtomicBool::new(false);
    let (deleted, worst) = std::thread::scope(|scope| {
        let probe = scope.spawn(|| {
            let mut worst = Duration::ZERO;
            let mut session = server.session(0);
            while !ended.load(Relaxed) {
                let begun = Instant::now();
                session.ok(&["PING"]);
                worst = worst.max(begun.elapsed());
            }
            worst
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let deleted = runtime.block_on(async {
            let store = store(&server);
            let selection = KeySelection {
                database: 6,
                patterns: vec!["nova:*".into(), "nobody:*".into()],
                except: vec!["nova:feed:1*".into()],
            };
            let (mut deleted, mut position) = (0, Some(ScanPosition::default()));
            while let Some(from) = position {
                let (keys, next) = store.scan(&selection, from).await.unwrap();
                deleted += store.unlink(6, &keys).await.unwrap();
                position = next;
            }
            deleted
        });
        ended.store(true, Relaxed);
        (deleted, probe.join().unwrap())
    });
    // 1, 10 to 19, 100 to 199 … 10,000 to 19,999 stay.
    assert_eq!(deleted, 40_000 - 11_111);
    assert_eq!(redis.ok(&["DBSIZE"]), RedisReply::Number(160_000 + 11_111));
    // The machine may be busy with other tests; the bench has the real limit.
    assert!(worst < Duration::from_millis(500), "{worst:?}");
}
