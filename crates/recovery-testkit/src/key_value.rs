//! Redis in memory.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use recovery_core::port::{KeyValue, KeyValueError};

use crate::lock;

/// A Redis server with the usual sixteen databases. Clones are connections to the same server.
#[derive(Clone, Debug, Default)]
pub struct MemoryKeyValue {
    values: Arc<Mutex<BTreeMap<(u8, String), String>>>,
    away: Arc<AtomicBool>,
}

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

    /// Brings the server back.
    pub fn back(&self) {
        self.away.store(false, Relaxed);
    }

    /// Removes a key, as another program would.
    pub fn remove(&self, database: u8, key: &str) {
        lock(&self.values).remove(&(database, key.to_owned()));
    }

    fn check(&self, database: u8) -> Result<(), KeyValueError> {
        if self.away.load(Relaxed) {
            return Err(KeyValueError::Unavailable { source: "connection refused".into() });
        }
        if database > 15 {
            return Err(KeyValueError::Refused { source: "ERR DB index is out of range".into() });
        }
        Ok(())
    }
}

#[async_trait]
impl KeyValue for MemoryKeyValue {
    async fn get(&self, database: u8, key: &str) -> Result<Option<String>, KeyValueError> {
        self.check(database)?;
        Ok(lock(&self.values).get(&(database, key.to_owned())).cloned())
    }

    async fn set(&self, database: u8, key: &str, value: &str) -> Result<(), KeyValueError> {
        self.check(database)?;
        lock(&self.values).insert((database, key.to_owned()), value.to_owned());
        Ok(())
    }

    async fn ping(&self) -> Result<(), KeyValueError> {
        self.check(0)
    }
}
