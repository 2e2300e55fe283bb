//! Keys in memory, which can be away.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use recovery_core::{
    keys::{DumpedKey, KeySelection, RedisKey},
    port::{Dump, KeySpace, KeyValueError, ScanPosition},
};

/// Keys with their payload and when they expire.
pub(crate) type Keys = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

#[derive(Default)]
pub(crate) struct MemoryKeys {
    databases: Mutex<BTreeMap<u8, Keys>>,
    pub away: AtomicBool,
}

impl MemoryKeys {
    pub(crate) fn set(&self, database: u8, key: &str, payload: &str) {
        self.all().entry(database).or_default().insert(key.into(), (payload.into(), None));
    }

    pub(crate) fn all(&self) -> MutexGuard<'_, BTreeMap<u8, Keys>> {
        self.databases.lock().unwrap()
    }

    fn here(&self) -> Result<MutexGuard<'_, BTreeMap<u8, Keys>>, KeyValueError> {
        if self.away.load(Relaxed) {
            return Err(KeyValueError::Unavailable { source: Box::new(io::Error::other("away")) });
        }
        Ok(self.all())
    }
}

#[async_trait]
impl KeySpace for MemoryKeys {
    async fn databases(&self) -> Result<BTreeMap<u8, u64>, KeyValueError> {
        Ok(self.here()?.iter().map(|(database, keys)| (*database, keys.len() as u64)).collect())
    }

    async fn scan(
        &self,
        selection: &KeySelection,
        position: ScanPosition,
    ) -> Result<(Vec<RedisKey>, Option<ScanPosition>), KeyValueError> {
        let begin = usize::try_from(position.0).unwrap();
        let keys: Vec<RedisKey> = self
            .here()?
            .get(&selection.database)
            .into_iter()
            .flat_map(|keys| keys.keys().cloned().map(RedisKey))
            .collect();
        // Some are found twice, as Redis may do.
        let mut page: Vec<RedisKey> = keys.iter().skip(begin.saturating_sub(1)).take(4).cloned().collect();
        page.retain(|key| selection.matches(key));
        let next = (begin + 3 < keys.len()).then(|| ScanPosition(begin as u64 + 3));
        Ok((page, next))
    }

    async fn dump(&self, database: u8, keys: &[RedisKey]) -> Result<Dump, KeyValueError> {
        let all = self.here()?;
        let answered = keys.len().min(2);
        let found = keys.iter().take(answered).filter_map(|key| {
            let (payload, expires_at_ms) = all.get(&database)?.get(&key.0)?.clone();
            Some(DumpedKey { key: key.clone(), payload, expires_at_ms })
        });
        Ok(Dump { keys: found.collect(), answered })
    }

    async fn restore(&self, database: u8, keys: &[DumpedKey]) -> Result<(), KeyValueError> {
        let mut all = self.here()?;
        for DumpedKey { key, payload, expires_at_ms } in keys {
            all.entry(database).or_default().insert(key.0.clone(), (payload.clone(), *expires_at_ms));
        }
        Ok(())
    }

    async fn unlink(&self, database: u8, keys: &[RedisKey]) -> Result<u64, KeyValueError> {
        let mut all = self.here()?;
        let removed = keys.iter().filter(|key| all.entry(database).or_default().remove(&key.0).is_some());
        Ok(removed.count() as u64)
    }
}
