//! One database of the fake server: what a dump of it holds, and what it does not.

use std::collections::{BTreeMap, BTreeSet};

use recovery_core::database::{DatabaseProfile, LocaleProvider, RowCounts, Ties};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a dump of a fake database holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FakeContents {
    /// Rows by table, named as in [`RowCounts`].
    pub tables: BTreeMap<String, u64>,
    /// How many large objects there are.
    pub large_objects: u64,
    /// Installed extensions with their versions.
    pub extensions: BTreeMap<String, String>,
    /// The roles that something in it belongs to or is granted to.
    pub roles: BTreeSet<String>,
    /// The rows of `platform_config`.
    pub config: BTreeMap<String, Value>,
    /// The newest entry of `schema_migrations`.
    pub schema_version: Option<String>,
}

impl FakeContents {
    pub(crate) fn set_config(&mut self, key: &str, value: Value) {
        self.config.insert(key.to_owned(), value);
        self.tables.insert("public.platform_config".to_owned(), self.config.len() as u64);
    }

    pub(crate) fn row_counts(&self) -> RowCounts {
        RowCounts { tables: self.tables.clone(), large_objects: self.large_objects }
    }

    /// As large as an empty database, and a little for each row.
    pub(crate) fn size_bytes(&self) -> u64 {
        7_500_000 + 100 * (self.tables.values().sum::<u64>() + self.large_objects)
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A database of the fake server.
#[derive(Clone, Debug, PartialEq)]
pub struct FakeEntry {
    /// What belongs to it without being in a dump.
    pub profile: DatabaseProfile,
    /// What a dump holds.
    pub contents: FakeContents,
    /// Whether sessions may begin.
    pub accepts_sessions: bool,
    /// Whether dropping it was cut off.
    pub is_invalid: bool,
    /// Whether the planner has statistics of it.
    pub analyzed: bool,
    /// What holds it where it is; its slots are all in use.
    pub ties: Ties,
}

impl FakeEntry {
    /// An empty database of this owner, with the settings of the official container image.
    #[must_use]
    pub fn owned_by(owner: &str) -> Self {
        let profile = DatabaseProfile {
            owner: owner.to_owned(),
            encoding: "UTF8".to_owned(),
            locale_provider: LocaleProvider::Libc,
            collate: "C.UTF-8".to_owned(),
            ctype: "C.UTF-8".to_owned(),
            locale: None,
            icu_rules: None,
            connection_limit: -1,
            tablespace: "pg_default".to_owned(),
            comment: None,
            settings: Vec::new(),
            privileges: None,
        };
        let (contents, ties) = (FakeContents::default(), Ties::default());
        Self { profile, contents, accepts_sessions: true, is_invalid: false, analyzed: false, ties }
    }
}
