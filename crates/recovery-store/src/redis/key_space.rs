//! Many keys of Redis, in steps that none of its other clients notices.

use std::collections::BTreeMap;

use async_trait::async_trait;
use fred::{
    error::{Error, ErrorKind},
    interfaces::{ClientLike, KeysInterface},
    types::{InfoKind, Key, Value},
};
use recovery_core::{
    keys::{DumpedKey, KeySelection, RedisKey},
    port::{Dump, KeySpace, KeyValueError, ScanPosition},
};

use super::{Purpose, RedisStore};

/// How many places of its table the server looks at in one call: some tenths of a millisecond.
const SCAN_COUNT: u32 = 1_000;
/// How many keys are removed with one call: about a millisecond. What is large the server frees in the background.
const UNLINK_COUNT: usize = 1_000;

#[async_trait]
impl KeySpace for RedisStore {
    async fn databases(&self) -> Result<BTreeMap<u8, u64>, KeyValueError> {
        let info: String = self
            .call(self.system_database(), Purpose::Prompt, |client| async move {
                client.info(Some(InfoKind::Keyspace)).await
            })
            .await?;
        Ok(key_counts(&info))
    }

    async fn scan(
        &self,
        selection: &KeySelection,
        position: ScanPosition,
    ) -> Result<(Vec<RedisKey>, Option<ScanPosition>), KeyValueError> {
        if selection.patterns.is_empty() {
            return Ok((Vec::new(), None));
        }
        let (cursor, pattern) = (position.0.to_string(), wide_pattern(&selection.patterns));
        let (mut keys, next) = self
            .call(selection.database, Purpose::Bulk, |client| async move {
                page(client.scan_page(cursor, pattern, Some(SCAN_COUNT), None).await?)
            })
            .await?;
        keys.retain(|key| selection.matches(key));
        Ok((keys, next))
    }

    async fn dump(&self, database: u8, keys: &[RedisKey]) -> Result<Dump, KeyValueError> {
        self.dump_some(database, keys).await
    }

    async fn restore(&self, database: u8, keys: &[DumpedKey]) -> Result<(), KeyValueError> {
        self.restore_all(database, keys).await
    }

    async fn unlink(&self, database: u8, keys: &[RedisKey]) -> Result<u64, KeyValueError> {
        let mut removed = 0;
        for keys in keys.chunks(UNLINK_COUNT) {
            let keys: Vec<Key> = keys.iter().map(fred_key).collect();
            removed += self
                .call(database, Purpose::Bulk, |client| async move { client.unlink::<u64, _>(keys).await })
                .await?;
        }
        Ok(removed)
    }
}

pub(super) fn fred_key(key: &RedisKey) -> Key {
    Key::from(key.0.as_slice())
}

pub(super) fn not_understood() -> Error {
    Error::new(ErrorKind::Protocol, "the answer is not what the command gives")
}

/// The keys and the next cursor, out of what `SCAN` answers.
fn page(answer: Value) -> Result<(Vec<RedisKey>, Option<ScanPosition>), Error> {
    let Value::Array(parts) = answer else { return Err(not_understood()) };
    let [cursor, Value::Array(found)] = <[Value; 2]>::try_from(parts).map_err(|_| not_understood())? else {
        return Err(not_understood());
    };
    let cursor = cursor.as_u64().ok_or_else(not_understood)?;
    let keys: Option<Vec<RedisKey>> =
        found.into_iter().map(|key| key.into_owned_bytes().map(RedisKey)).collect();
    let next = (cursor != 0).then_some(ScanPosition(cursor));
    Ok((keys.ok_or_else(not_understood)?, next))
}

/// How many keys the databases have, out of what `INFO keyspace` answers: lines like `db0:keys=3,expires=0,avg_ttl=0`.
fn key_counts(info: &str) -> BTreeMap<u8, u64> {
    let count = |line: &str| {
        let (number, properties) = line.trim().strip_prefix("db")?.split_once(':')?;
        let keys = properties.split(',').find_map(|property| property.strip_prefix("keys="))?;
        Some((number.parse().ok()?, keys.parse().ok()?))
    };
    info.lines().filter_map(count).filter(|(_, keys)| *keys > 0).collect()
}

/// One pattern that every key matches which matches one of these: it keeps the server from sending keys in vain.
fn wide_pattern(patterns: &[String]) -> String {
    if let [pattern] = patterns {
        return pattern.clone();
    }
    let literal = |pattern: &str| -> String {
        pattern.chars().take_while(|char| !matches!(char, '*' | '?' | '[' | '\\')).collect()
    };
    let mut patterns = patterns.iter().map(|pattern| literal(pattern));
    let mut common = patterns.next().unwrap_or_default();
    for pattern in patterns {
        common = common.chars().zip(pattern.chars()).map_while(|(a, b)| (a == b).then_some(a)).collect();
    }
    common + "*"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_the_databases_are_read() {
        let info = "# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=12\r\ndb7:keys=12000,expires=0,avg_ttl=0,subexpiry=0\r\n\
                    db300:keys=1\r\ndb8:keys=0\r\nsomething:else\r\n";
        assert_eq!(key_counts(info), BTreeMap::from([(0, 3), (7, 12_000)]));
        assert_eq!(key_counts("# Keyspace\r\n"), BTreeMap::new());
    }

    #[test]
    fn one_pattern_is_wide_enough_for_all() {
        let check = |patterns: &[&str], expect: &str| {
            let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            assert_eq!(wide_pattern(&patterns), expect, "{patterns:?}");
        };
        check(&["nova:[a]?*"], "nova:[a]?*");
        check(&["nova:cache:embed:*", "nova:catalog:*", "nova:catalog"], "nova:ca*");
        check(&["queue", "queue"], "queue*");
        check(&["größe:*", "grüße:*"], "gr*");
        check(&[r"a\*b", "a*"], "a*");
        check(&["*", "nova:*"], "*");
        check(&["x[a]", "x?"], "x*");
    }

    #[test]
    fn what_is_no_page_is_not_understood() {
        let keys = || Value::Array(vec![Value::from("a"), Value::Bytes(b"\xff".to_vec().into())]);
        let (found, next) = page(Value::Array(vec![Value::from("17"), keys()])).unwrap();
        assert_eq!(found, [RedisKey(b"a".to_vec()), RedisKey(b"\xff".to_vec())]);
        assert_eq!(next, Some(ScanPosition(17)));
        assert_eq!(page(Value::Array(vec![Value::from("0"), keys()])).unwrap().1, None);
        for wrong in [
            Value::Null,
            Value::Array(Vec::new()),
            Value::Array(vec![Value::from("0")]),
            Value::Array(vec![Value::from("x"), keys()]),
            Value::Array(vec![Value::from("0"), Value::from("a")]),
            Value::Array(vec![Value::from("0"), Value::Array(vec![Value::Null])]),
        ] {
            assert!(page(wrong.clone()).is_err(), "{wrong:?}");
        }
    }
}
