//! The removal of keys, in batches with pauses between them, so that Redis goes on answering everybody else.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use recovery_core::{
    crash_point,
    keys::{KeySelection, RedisKey},
    port::{KeyValueError, ScanPosition},
};

use super::ResetKeys;

/// How many keys are removed at once.
const BATCH: usize = 500;
/// How long a pause is at most. It lasts as long as the call before it took: half of the time is everybody else's.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// What a pass that ended without an answer takes from the patience at most: most of it may have gone well.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long it is left alone after it did not answer.
const AWAY_PAUSE: Duration = Duration::from_millis(200);

/// What was removed.
#[derive(Debug, Default)]
pub struct DeletedKeys {
    /// How many keys, by database. Where Redis went away meanwhile it can be more: an answer may have been lost.
    pub databases: BTreeMap<u8, u64>,
    /// Databases in which keys that should be gone may still be there, and why.
    pub failed: Vec<(u8, KeyValueError)>,
}

impl DeletedKeys {
    /// How many keys in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.databases.values().sum()
    }
}

impl ResetKeys<'_> {
    /// Removes keys. `report` is told how many are gone, all databases together. A Redis that goes away is waited for;
    /// what fails in one database keeps nothing from being removed from the next. May be done again: what is gone is
    /// gone.
    pub async fn delete(&self, going: &[KeySelection], report: &(dyn Fn(u64) + Send + Sync)) -> DeletedKeys {
        let mut deleted = DeletedKeys::default();
        let mut patience = self.patience;
        for selection in going.iter().filter(|going| going.database != self.own_database) {
            let before = deleted.total();
            let mut count = 0;
            let report = |so_far: u64| report(before + so_far);
            let result = self.delete_from(selection, &mut count, &mut patience, &report).await;
            if count > 0 {
                *deleted.databases.entry(selection.database).or_default() += count;
            }
            if let Err(error) = result {
                deleted.failed.push((selection.database, error));
            }
        }
        deleted
    }

    async fn delete_from(
        &self,
        selection: &KeySelection,
        count: &mut u64,
        patience: &mut Duration,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), KeyValueError> {
        loop {
            let begun = Instant::now();
            match self.pass(selection, count, report).await {
                Err(KeyValueError::Unavailable { source }) => {
                    *patience = patience.saturating_sub(begun.elapsed().min(LONGEST_WAIT) + AWAY_PAUSE);
                    if patience.is_zero() {
                        return Err(KeyValueError::Unavailable { source });
                    }
                    tokio::time::sleep(AWAY_PAUSE).await;
                    // From the beginning: to a server that was started anew, the old position means nothing.
                }
                result => return result,
            }
        }
    }

    async fn pass(
        &self,
        selection: &KeySelection,
        count: &mut u64,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), KeyValueError> {
        let (mut batch, mut position) = (Vec::new(), Some(ScanPosition::default()));
        while let Some(from) = position {
            let (keys, next) = self.space.scan(selection, from).await?;
            // The port has looked already; what is kept is worth a second look.
            batch.extend(keys.into_iter().filter(|key| selection.matches(key)));
            position = next;
            while batch.len() >= BATCH || (position.is_none() && !batch.is_empty()) {
                let rest = batch.split_off(BATCH.min(batch.len()));
                *count += self.unlink(selection.database, &batch).await?;
                report(*count);
                batch = rest;
            }
        }
        Ok(())
    }

    async fn unlink(&self, database: u8, keys: &[RedisKey]) -> Result<u64, KeyValueError> {
        let begun = Instant::now();
        let removed = self.space.unlink(database, keys).await?;
        crash_point("reset:unlinked");
        tokio::time::sleep(begun.elapsed().min(LONGEST_PAUSE)).await;
        Ok(removed)
    }
}
