//! What becomes of the keys of Redis: which go, which are nobody's, and their removal.
//!
//! A key goes where a pattern of a wiped category matches it and no pattern of a kept category in the same database
//! does. Databases are never flushed, and the one in which this service keeps what is its own is left alone.

mod delete;
mod plan;

use std::{collections::BTreeMap, time::Duration};

use recovery_core::{
    keys::{KeySelection, RedisKey},
    port::KeySpace,
};

use crate::{Categories, Category, CategoryKey, Selection};

pub use delete::DeletedKeys;
pub use plan::{KeyCount, KeyEffort, KeyPlan};

/// The keys of a Redis server, as a reset sees them.
pub struct ResetKeys<'a> {
    space: &'a dyn KeySpace,
    own_database: u8,
    patience: Duration,
}

/// How long Redis may be away before a removal is given up.
const PATIENCE: Duration = Duration::from_secs(20);

impl<'a> ResetKeys<'a> {
    /// The keys of this server. `own_database` is the numbered database of this service, which is left alone whatever
    /// the categories say.
    #[must_use]
    pub fn new(space: &'a dyn KeySpace, own_database: u8) -> Self {
        Self { space, own_database, patience: PATIENCE }
    }

    /// Gives a removal up when Redis was away for so long; 20 seconds where nothing is said.
    #[must_use]
    pub fn waiting(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The keys that go: one selection for each database in which a wiped category has a pattern.
    #[must_use]
    pub fn going(&self, categories: &Categories, selection: &Selection) -> Vec<KeySelection> {
        let databases = self.patterns(categories, selection);
        databases
            .into_values()
            .map(|patterns| patterns.going)
            .filter(|going| !going.patterns.is_empty())
            .collect()
    }

    /// The patterns by database.
    fn patterns(&self, categories: &Categories, selection: &Selection) -> BTreeMap<u8, Patterns> {
        let mut databases: BTreeMap<u8, Patterns> = BTreeMap::new();
        for category in categories.all() {
            for (database, of_category) in by_database(category) {
                if database == self.own_database {
                    continue;
                }
                let patterns = databases.entry(database).or_default();
                patterns.going.database = database;
                patterns.kept.database = database;
                if selection.keeps(&category.key) {
                    patterns.going.except.extend(of_category.patterns.iter().cloned());
                    patterns.kept.patterns.extend(of_category.patterns);
                } else {
                    patterns.going.patterns.extend(of_category.patterns.iter().cloned());
                    patterns.wiped.push((category.key.clone(), of_category));
                }
            }
        }
        databases
    }
}

/// What is said of the keys of one database.
#[derive(Default)]
struct Patterns {
    /// What goes of it.
    going: KeySelection,
    /// What belongs to kept categories.
    kept: KeySelection,
    /// The patterns of each wiped category, in the order of the file.
    wiped: Vec<(CategoryKey, KeySelection)>,
}

/// What a key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum KeyClass {
    /// It goes, with the category of this place among the wiped ones of its database.
    Goes(usize),
    /// It is kept.
    Kept,
    /// It belongs to no category.
    Nobodys,
}

impl Patterns {
    fn class(&self, key: &RedisKey) -> KeyClass {
        if self.kept.matches(key) {
            return KeyClass::Kept;
        }
        match self.wiped.iter().position(|(_, patterns)| patterns.matches(key)) {
            Some(place) => KeyClass::Goes(place),
            None => KeyClass::Nobodys,
        }
    }
}

/// The patterns of a category by database.
fn by_database(category: &Category) -> BTreeMap<u8, KeySelection> {
    let mut databases: BTreeMap<u8, KeySelection> = BTreeMap::new();
    for pattern in &category.keys {
        let selection = databases.entry(pattern.database).or_default();
        selection.database = pattern.database;
        selection.patterns.push(pattern.pattern.clone());
    }
    databases
}

#[cfg(test)]
mod tests;
