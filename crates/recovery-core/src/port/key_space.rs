use std::collections::BTreeMap;

use async_trait::async_trait;

use super::KeyValueError;
use crate::keys::{DumpedKey, KeySelection, RedisKey};

/// The keys of a Redis server, many at a time. No call blocks the server for long: what goes through all keys goes in
/// steps.
#[async_trait]
pub trait KeySpace: Send + Sync {
    /// How many keys each numbered database holds; those that hold none are not there.
    async fn databases(&self) -> Result<BTreeMap<u8, u64>, KeyValueError>;

    /// Goes on through the keys of a selection (`SCAN`): the next batch, which may be empty, and where to go on; `None`
    /// when it is over. Begin with [`ScanPosition::default`]. A key that is there from the first call to the last is
    /// found at least once, whatever else is written or removed meanwhile; one may be found twice.
    async fn scan(
        &self,
        selection: &KeySelection,
        position: ScanPosition,
    ) -> Result<(Vec<RedisKey>, Option<ScanPosition>), KeyValueError>;

    /// What the first of these keys hold (`DUMP`), in their order: of as many as fit into some megabytes, at least of
    /// one. Those that are gone are left out. Ask again for the rest.
    async fn dump(&self, database: u8, keys: &[RedisKey]) -> Result<Dump, KeyValueError>;

    /// Writes keys with what they held, in place of what they hold now (`RESTORE … REPLACE ABSTTL`). One whose time is
    /// over is removed. After an error some may be written and others not; writing all again is no harm.
    async fn restore(&self, database: u8, keys: &[DumpedKey]) -> Result<(), KeyValueError>;

    /// Removes keys (`UNLINK`) and returns how many there were.
    async fn unlink(&self, database: u8, keys: &[RedisKey]) -> Result<u64, KeyValueError>;
}

/// What keys hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// Those that are there.
    pub keys: Vec<DumpedKey>,
    /// How many of the keys that were asked for are answered with this, the ones that are gone included. 0 only where
    /// none were asked for.
    pub answered: usize,
}

/// Where a scan goes on: a cursor of Redis, which counts with its bits in reverse order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanPosition(pub u64);

impl ScanPosition {
    /// About which part of the keys is behind it, from 0 to 1. Keys lie in no order that means anything, so what holds
    /// of this part is likely to hold of all.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "it is about as much")]
    pub fn part(self) -> f64 {
        self.0.reverse_bits() as f64 / u64::MAX as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_tells_how_much_is_behind_it() {
        // A table of 8: its cursors in the order in which Redis hands them out.
        let parts = [0, 4, 2, 6, 1, 5, 3, 7].map(|cursor| ScanPosition(cursor).part());
        for (index, part) in (0_u8..).zip(parts) {
            assert!((part - f64::from(index) / 8.0).abs() < 1e-9, "{parts:?}");
        }
    }
}
