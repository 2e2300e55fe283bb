//! What is said of the keys of Redis: which ones are meant, and what a key holds.

use serde::{Deserialize, Serialize};

/// A key, which may be any bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedisKey(pub Vec<u8>);

/// A pattern for keys in one numbered database, as Redis' `KEYS` understands it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyPattern {
    /// The numbered database.
    pub database: u8,
    /// The pattern: `*`, `?`, `[…]` and `\` have a meaning, everything else stands for itself.
    pub pattern: String,
}

/// Keys of one numbered database: those that match one of `patterns` and none of `except`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySelection {
    /// The numbered database.
    pub database: u8,
    /// Patterns of which a key matches at least one.
    pub patterns: Vec<String>,
    /// Patterns of which it matches none.
    pub except: Vec<String>,
}

/// A key with everything that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpedKey {
    /// The key.
    pub key: RedisKey,
    /// What it holds, as `DUMP` gives it.
    pub payload: Vec<u8>,
    /// When it expires, in milliseconds since 1970 UTC; `None` for never.
    pub expires_at_ms: Option<u64>,
}
