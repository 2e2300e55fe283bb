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
    /// found at least once; one may be found twice.
    async fn scan(
        &self,
        selection: &KeySelection,
        position: ScanPosition,
    ) -> Result<(Vec<RedisKey>, Option<ScanPosition>), KeyValueError>;

    /// What these keys hold (`DUMP`); those that are gone are left out.
    async fn dump(&self, database: u8, keys: &[RedisKey]) -> Result<Vec<DumpedKey>, KeyValueError>;

    /// Writes keys with what they held, in place of what they hold now (`RESTORE … REPLACE ABSTTL`). One whose time is
    /// over is removed.
    async fn restore(&self, database: u8, keys: &[DumpedKey]) -> Result<(), KeyValueError>;

    /// Removes keys (`UNLINK`) and returns how many there were.
    async fn unlink(&self, database: u8, keys: &[RedisKey]) -> Result<u64, KeyValueError>;
}

/// Where a scan goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanPosition(pub u64);
