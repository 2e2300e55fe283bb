//! What is said of the keys of Redis: which ones are meant, and what a key holds.

mod glob;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use glob::matches_pattern;

/// A key, which may be any bytes. Shown with everything escaped that is not printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedisKey(pub Vec<u8>);

impl fmt::Display for RedisKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

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

impl KeySelection {
    /// Every key of a database.
    #[must_use]
    pub fn everything(database: u8) -> Self {
        Self { database, patterns: vec!["*".to_owned()], except: Vec::new() }
    }

    /// Whether a key of its database is among them.
    #[must_use]
    pub fn matches(&self, key: &RedisKey) -> bool {
        let any =
            |patterns: &[String]| patterns.iter().any(|pattern| matches_pattern(pattern.as_bytes(), &key.0));
        any(&self.patterns) && !any(&self.except)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_matches_an_exception_is_not_meant() {
        let selection = KeySelection {
            database: 6,
            patterns: vec!["nova:*".into(), "queue".into()],
            except: vec!["nova:config:*".into(), "*:kept".into()],
        };
        let check = |key: &str, expect| assert_eq!(selection.matches(&RedisKey(key.into())), expect, "{key}");
        check("nova:feed:1", true);
        check("queue", true);
        check("nova:config:x", false);
        check("nova:feed:kept", false);
        check("other", false);
        assert!(!KeySelection::default().matches(&RedisKey(b"x".to_vec())), "no pattern means no key");
        assert!(KeySelection::everything(6).matches(&RedisKey(Vec::new())));
    }

    #[test]
    fn keys_are_shown_in_ascii() {
        assert_eq!(RedisKey(b"a:\xff\n\"".to_vec()).to_string(), r#"a:\xff\n\""#);
    }
}
