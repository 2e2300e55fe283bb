//! Keys of Redis in an archive, and on their way back.
//!
//! They stand there as `redis/db<N>.resp`, one member for each numbered database: commands in Redis' own protocol, so
//! that an operator needs no more than `redis-cli -n N --pipe < redis/dbN.resp`. This program never sends such bytes on:
//! it reads them as [`Command`]s, of the one form that is written, and hands keys to the port.

mod format;
mod stored;

pub(crate) use format::{Command, Commands, check, write_restore, write_unlink};
pub(crate) use stored::{Batch, Batches, StoredKeys};

/// The directory of the members inside the archive.
pub(crate) const REDIS: &str = "redis";

/// The largest number of a database: Redis has sixteen, unless somebody has changed that.
pub(crate) const LAST_DATABASE: u8 = 15;

/// The path of the member that has the keys of a numbered database.
pub(crate) fn path_of(database: u8) -> String {
    format!("{REDIS}/db{database}.resp")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]
mod tests;
