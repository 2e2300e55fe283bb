//! Redis in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use recovery_core::{
    keys::{DumpedKey, KeySelection, RedisKey},
    port::{Dump, KeySpace, KeyValue, KeyValueError, ScanPosition},
};

use crate::{Faults, lock};

/// A Redis server with the usual sixteen databases. Clones are connections to the same server.
#[derive(Clone, Debug, Default)]
pub struct MemoryKeyValue {
    values: Arc<Mutex<Contents>>,
    away: Arc<AtomicBool>,
    /// How many milliseconds it takes to answer about one key.
    delay: Arc<AtomicU64>,
    faults: Faults<KeySpacePoint, KeyValueError>,
}

/// What a server holds, by database and key.
type Contents = BTreeMap<(u8, Vec<u8>), MemoryValue>;

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryValue {
    /// The value.
    pub value: Vec<u8>,
    /// When it expires, in milliseconds since 1970 UTC; `None` for never.
    pub expires_at_ms: Option<u64>,
}

/// Where a fake `KeySpace` can be told to fail: as the call begins, before anything is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySpacePoint {
    /// `databases`
    Databases,
    /// `scan`
    Scan,
    /// `dump`
    Dump,
    /// `restore`
    Restore,
    /// `unlink`
    Unlink,
}

/// What its dumps begin with: it takes no others.
const DUMP: &[u8] = b"\0dump of a fake\0";
/// A dump answers at most with so many keys, so that callers have to ask again.
const DUMP_KEYS: usize = 7;
/// Or so many bytes.
const DUMP_BYTES: usize = 4 << 20;
/// In how many places keys lie.
const PLACES: u64 = 32;
/// How many of them one call looks at.
const PLACES_A_CALL: u64 = 2;

impl MemoryKeyValue {
    /// An empty server that answers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the server away: nothing answers, the values stay.
    pub fn away(&self) {
        self.away.store(true, Relaxed);
    }

    /// Lets it take so long to answer about one key from now on.
    pub fn slow(&self, delay: Duration) {
        self.delay.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    async fn wait(&self) {
        let delay = self.delay.load(Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
    }

    /// Brings the server back.
    pub fn back(&self) {
        self.away.store(false, Relaxed);
    }

    /// The faults that it has in store.
    #[must_use]
    pub fn faults(&self) -> &Faults<KeySpacePoint, KeyValueError> {
        &self.faults
    }

    /// Removes a key, as another program would.
    pub fn remove(&self, database: u8, key: &str) {
        self.present().remove(&(database, key.as_bytes().to_vec()));
    }

    /// Sets a key that never expires, as another program would.
    pub fn put(&self, database: u8, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        let value = MemoryValue { value: value.into(), expires_at_ms: None };
        self.present().insert((database, key.into()), value);
    }

    /// Everything that it holds, by database and key.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<(u8, Vec<u8>), MemoryValue> {
        self.present().clone()
    }

    /// What is there, without what has expired.
    fn present(&self) -> std::sync::MutexGuard<'_, Contents> {
        let mut values = lock(&self.values);
        let now = now_ms();
        values.retain(|_, value| value.expires_at_ms.is_none_or(|expires| expires > now));
        values
    }

    fn check(&self, database: u8) -> Result<(), KeyValueError> {
        if self.away.load(Relaxed) {
            return Err(KeyValueError::Unavailable { source: "connection refused".into() });
        }
        if database > 15 {
            return Err(refused("ERR DB index is out of range"));
        }
        Ok(())
    }

    async fn pass(&self, point: KeySpacePoint, database: u8) -> Result<(), KeyValueError> {
        self.check(database)?;
        self.faults.pass(point).await
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

fn refused(why: &str) -> KeyValueError {
    KeyValueError::Refused { source: why.into() }
}

/// Where a key lies (FNV-1a).
fn place(key: &[u8]) -> u64 {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)) % PLACES
}

/// The number of a place in the order in which Redis visits places, or the other way round.
fn reversed(number: u64) -> u64 {
    number.reverse_bits() >> (u64::BITS - PLACES.ilog2())
}

#[async_trait]
impl KeyValue for MemoryKeyValue {
    async fn get(&self, database: u8, key: &str) -> Result<Option<String>, KeyValueError> {
        self.wait().await;
        self.check(database)?;
        let value = self.present().get(&(database, key.as_bytes().to_vec())).cloned();
        Ok(value.map(|value| String::from_utf8(value.value).expect("a value that is a text")))
    }

    async fn set(&self, database: u8, key: &str, value: &str) -> Result<(), KeyValueError> {
        self.wait().await;
        self.check(database)?;
        self.put(database, key, value);
        Ok(())
    }

    async fn ping(&self) -> Result<(), KeyValueError> {
        self.check(0)
    }
}

#[async_trait]
impl KeySpace for MemoryKeyValue {
    async fn databases(&self) -> Result<BTreeMap<u8, u64>, KeyValueError> {
        self.pass(KeySpacePoint::Databases, 0).await?;
        let mut databases = BTreeMap::new();
        for (database, _) in self.present().keys() {
            *databases.entry(*database).or_default() += 1;
        }
        Ok(databases)
    }

    /// Finds a key again in every call but the first: Redis may, while its table grows or shrinks.
    async fn scan(
        &self,
        selection: &KeySelection,
        position: ScanPosition,
    ) -> Result<(Vec<RedisKey>, Option<ScanPosition>), KeyValueError> {
        self.pass(KeySpacePoint::Scan, selection.database).await?;
        assert!(position.0 < PLACES, "no call has returned this position: {position:?}");
        let begin = reversed(position.0);
        let end = begin + PLACES_A_CALL;
        let (mut found, mut again) = (Vec::new(), None);
        for (database, key) in self.present().keys() {
            let key = RedisKey(key.clone());
            let place = reversed(place(&key.0));
            if *database != selection.database || place >= end || !selection.matches(&key) {
                continue;
            }
            if place < begin {
                again = Some(key);
            } else {
                found.push(key);
            }
        }
        found.extend(again);
        Ok((found, (end < PLACES).then(|| ScanPosition(reversed(end)))))
    }

    async fn dump(&self, database: u8, keys: &[RedisKey]) -> Result<Dump, KeyValueError> {
        self.pass(KeySpacePoint::Dump, database).await?;
        let values = self.present();
        let (mut dump, mut bytes) = (Dump::default(), 0);
        for key in keys.iter().take(DUMP_KEYS) {
            let value = values.get(&(database, key.0.clone()));
            bytes += value.map_or(0, |value| value.value.len());
            if dump.answered > 0 && bytes > DUMP_BYTES {
                break;
            }
            dump.answered += 1;
            dump.keys.extend(value.map(|value| DumpedKey {
                key: key.clone(),
                payload: [DUMP, &value.value].concat(),
                expires_at_ms: value.expires_at_ms,
            }));
        }
        Ok(dump)
    }

    async fn restore(&self, database: u8, keys: &[DumpedKey]) -> Result<(), KeyValueError> {
        self.pass(KeySpacePoint::Restore, database).await?;
        let mut values = self.present();
        for key in keys {
            let value = key.payload.strip_prefix(DUMP);
            let value = value.ok_or_else(|| refused("ERR DUMP payload version or checksum are wrong"))?;
            let value = MemoryValue { value: value.to_vec(), expires_at_ms: key.expires_at_ms };
            values.insert((database, key.key.0.clone()), value);
        }
        Ok(())
    }

    async fn unlink(&self, database: u8, keys: &[RedisKey]) -> Result<u64, KeyValueError> {
        self.pass(KeySpacePoint::Unlink, database).await?;
        let mut values = self.present();
        let keys: BTreeSet<&RedisKey> = keys.iter().collect();
        Ok(keys.into_iter().filter(|key| values.remove(&(database, key.0.clone())).is_some()).count() as u64)
    }
}
