//! What keys of Redis hold, out of the server and into it again.
//!
//! Commands are sent in groups. A server answers a group in one go, so a group is kept small, by the number of its
//! keys and by what they hold; only a single large key can keep it busy for long.

use fred::{
    interfaces::{ClientLike, FredResult},
    types::{ClusterHash, CustomCommand, Value},
};
use recovery_core::{
    keys::{DumpedKey, RedisKey},
    port::{Dump, KeyValueError},
};

use super::{Purpose, RedisStore, key_space::not_understood, key_value_error};

/// How many keys a group has at most.
const GROUP_KEYS: usize = 200;
/// How much they hold at most, unless it is one alone.
const GROUP_BYTES: u64 = 4 << 20;

/// A command with its arguments.
type Order = (&'static str, Vec<Value>);

impl RedisStore {
    /// Dumps the first group of these keys.
    pub(super) async fn dump_some(&self, database: u8, keys: &[RedisKey]) -> Result<Dump, KeyValueError> {
        let candidates = keys.get(..GROUP_KEYS).unwrap_or(keys);
        if candidates.is_empty() {
            return Ok(Dump::default());
        }
        let (knows_expire_time, knows_memory) = self.abilities(database).await?;
        let group_length = match knows_memory {
            true => group_length(self.sizes(database, candidates).await?),
            false => 1,
        };
        let group = candidates.get(..group_length).unwrap_or(candidates);
        let keys = match knows_expire_time {
            true => self.dump_with_expire_time(database, group).await?,
            false => self.dump_with_time_left(database, group).await?,
        };
        Ok(Dump { keys, answered: group.len() })
    }

    /// Whether the server knows `PEXPIRETIME`, which came with Redis 7, and lets us ask for `MEMORY USAGE`. It is asked
    /// with a plain key: the error that names an unknown command repeats its arguments, and one with bytes that are no
    /// text is taken for a broken connection.
    async fn abilities(&self, database: u8) -> Result<(bool, bool), KeyValueError> {
        let key = || Value::from("recovery");
        let orders = vec![("PEXPIRETIME", vec![key()]), ("MEMORY", vec!["USAGE".into(), key()])];
        let mut answers = self.group(database, orders).await?.into_iter().map(|answer| answer.is_ok());
        Ok((answers.next().unwrap_or_default(), answers.next().unwrap_or_default()))
    }

    /// About how much memory each key takes.
    async fn sizes(&self, database: u8, keys: &[RedisKey]) -> Result<Vec<u64>, KeyValueError> {
        let orders = keys.iter().map(|key| ("MEMORY", vec![Value::from("USAGE"), bytes(&key.0)]));
        let answers = self.group(database, orders.collect()).await?;
        // One that is gone takes nothing; one that cannot be asked about is dumped alone.
        Ok(answers
            .into_iter()
            .map(|size| size.map_or(GROUP_BYTES, |size| size.as_u64().unwrap_or(0)))
            .collect())
    }

    async fn dump_with_expire_time(
        &self,
        database: u8,
        keys: &[RedisKey],
    ) -> Result<Vec<DumpedKey>, KeyValueError> {
        let orders = keys.iter().flat_map(|key| each(key, "PEXPIRETIME"));
        dumped(keys, self.group(database, orders.collect()).await?, |expires| expires)
    }

    /// The same by how much time a key has left; exact to some milliseconds.
    async fn dump_with_time_left(
        &self,
        database: u8,
        keys: &[RedisKey],
    ) -> Result<Vec<DumpedKey>, KeyValueError> {
        let orders = keys.iter().flat_map(|key| each(key, "PTTL"));
        let orders = std::iter::once(("TIME", Vec::new())).chain(orders);
        let mut answers = self.group(database, orders.collect()).await?.into_iter();
        let time = answers.next().ok_or_else(not_understood).flatten().map_err(key_value_error)?;
        let now = milliseconds(time).ok_or_else(|| key_value_error(not_understood()))?;
        dumped(keys, answers.collect(), |left| now.saturating_add(left))
    }

    /// Writes keys, group by group.
    pub(super) async fn restore_all(&self, database: u8, keys: &[DumpedKey]) -> Result<(), KeyValueError> {
        let mut rest = keys;
        while !rest.is_empty() {
            let sizes = rest.iter().take(GROUP_KEYS).map(|key| key.payload.len() as u64);
            let (group, after) = rest.split_at(group_length(sizes));
            for answer in self.group(database, group.iter().map(restore).collect()).await? {
                answer.map_err(key_value_error)?;
            }
            rest = after;
        }
        Ok(())
    }

    /// Sends a group of commands, and returns the answer to each.
    async fn group(&self, database: u8, orders: Vec<Order>) -> Result<Vec<FredResult<Value>>, KeyValueError> {
        let expected = orders.len();
        let mut answers = self
            .call(database, Purpose::Bulk, |client| async move {
                let pipeline = client.pipeline();
                for (command, arguments) in orders {
                    // This only takes it in; the answer comes from the whole.
                    let command = CustomCommand::new_static(command, ClusterHash::FirstKey, false);
                    let _: () = pipeline.custom(command, arguments).await?;
                }
                Ok(pipeline.try_all::<Value>().await)
            })
            .await?;
        if answers.len() == expected {
            return Ok(answers);
        }
        // Where the connection fails, there is one answer for all.
        let error = answers.pop().and_then(Result::err);
        Err(key_value_error(error.unwrap_or_else(not_understood)))
    }
}

/// How many of the keys with these sizes make a group: at least one.
fn group_length(sizes: impl IntoIterator<Item = u64>) -> usize {
    let mut total = 0_u64;
    let fits = sizes.into_iter().take(GROUP_KEYS).take_while(|size| {
        total = total.saturating_add(*size);
        total <= GROUP_BYTES
    });
    fits.count().max(1)
}

/// Asks for the expiry of a key and then for what it holds: a key that goes in between is seen to be gone.
fn each(key: &RedisKey, expiry: &'static str) -> [Order; 2] {
    [(expiry, vec![bytes(&key.0)]), ("DUMP", vec![bytes(&key.0)])]
}

fn restore(key: &DumpedKey) -> Order {
    // 0 stands for never. A time that is over makes the server remove what is there.
    let expires = key.expires_at_ms.map_or(0, |at| i64::try_from(at.max(1)).unwrap_or(i64::MAX));
    let arguments =
        [bytes(&key.key.0), expires.into(), bytes(&key.payload), "REPLACE".into(), "ABSTTL".into()];
    ("RESTORE", arguments.to_vec())
}

/// The keys that are there, out of what [`each`] was answered. `expires` makes a time of a number that says something
/// about the expiry.
fn dumped(
    keys: &[RedisKey],
    answers: Vec<FredResult<Value>>,
    expires: impl Fn(u64) -> u64,
) -> Result<Vec<DumpedKey>, KeyValueError> {
    let mut answers = answers.into_iter();
    let mut next = || answers.next().ok_or_else(not_understood).flatten().map_err(key_value_error);
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let (expiry, payload) = (next()?, next()?);
        let expiry = expiry.as_i64().ok_or_else(|| key_value_error(not_understood()))?;
        // -1: it never expires; -2: it was gone already, and what there is now is another one.
        if payload.is_null() || expiry < -1 {
            continue;
        }
        let payload = payload.into_owned_bytes().ok_or_else(|| key_value_error(not_understood()))?;
        let expires_at_ms = u64::try_from(expiry).ok().map(&expires);
        found.push(DumpedKey { key: key.clone(), payload, expires_at_ms });
    }
    Ok(found)
}

/// What `TIME` answers (seconds and microseconds) in milliseconds.
fn milliseconds(time: Value) -> Option<u64> {
    let [seconds, microseconds] = <[Value; 2]>::try_from(time.into_array()).ok()?;
    seconds.as_u64()?.checked_mul(1000)?.checked_add(microseconds.as_u64()? / 1000)
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_holds_what_fits_and_at_least_one() {
        assert_eq!(group_length([1; 3]), 3);
        assert_eq!(group_length([1; 1000]), GROUP_KEYS);
        assert_eq!(group_length([GROUP_BYTES + 1, 1]), 1);
        assert_eq!(group_length([GROUP_BYTES / 2, GROUP_BYTES / 2, 1]), 2);
        assert_eq!(group_length([u64::MAX, u64::MAX]), 1);
    }

    #[test]
    fn keys_that_are_gone_are_left_out() {
        let keys = [b"a", b"b", b"c", b"d"].map(|key| RedisKey(key.to_vec()));
        let payload = || Value::Bytes(b"\x00\xff".to_vec().into());
        let answers = [(-1, payload()), (-2, Value::Null), (-2, payload()), (5, payload())];
        let answers =
            answers.into_iter().flat_map(|(expiry, payload)| [Ok(Value::Integer(expiry)), Ok(payload)]);
        let found = dumped(&keys, answers.collect(), |left| left + 100).unwrap();
        let expected = |index: usize, expires_at_ms| DumpedKey {
            key: keys[index].clone(),
            payload: vec![0, 255],
            expires_at_ms,
        };
        assert_eq!(found, [expected(0, None), expected(3, Some(105))]);
        let missing = dumped(&keys, vec![Ok(Value::Integer(1))], |expires| expires);
        assert!(missing.is_err(), "an answer is missing");
        let refused =
            fred::error::Error::new(fred::error::ErrorKind::Unknown, "NOPERM this user has no permissions");
        let refused = dumped(&keys, vec![Err(refused)], |expires| expires);
        assert!(matches!(refused, Err(KeyValueError::Refused { .. })), "{refused:?}");
    }
}
