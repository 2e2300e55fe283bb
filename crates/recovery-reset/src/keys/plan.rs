//! How many keys would go.

use std::{
    collections::{BTreeMap, HashSet, hash_map::RandomState},
    hash::BuildHasher,
    time::{Duration, Instant},
};

use recovery_core::{
    keys::{KeySelection, RedisKey},
    port::{KeyValueError, ScanPosition},
};

use super::{KeyClass, Patterns, ResetKeys};
use crate::{Categories, CategoryKey, Selection};

/// How many keys of a database are remembered while they are counted: some 40 MB. Beyond that, one that a scan finds
/// twice is counted twice.
const MOST_REMEMBERED: usize = 2_000_000;

/// How much is done to count keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEffort {
    /// Every key is looked at.
    Exact,
    /// After about this time, what is not yet looked at is estimated by what is.
    Within(Duration),
}

/// A number of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyCount {
    /// How many.
    pub keys: u64,
    /// Whether they were counted; otherwise it is an estimate.
    pub exact: bool,
}

/// What would become of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPlan {
    /// Which keys go.
    pub going: Vec<KeySelection>,
    /// How many go with each wiped category, by database; none where there are none. A key that belongs to several is
    /// counted with the first.
    pub categories: BTreeMap<CategoryKey, BTreeMap<u8, KeyCount>>,
    /// How many belong to no category, by database. They stay.
    pub unclassified: BTreeMap<u8, KeyCount>,
}

impl KeyPlan {
    /// How many keys go, by database.
    #[must_use]
    pub fn databases(&self) -> BTreeMap<u8, KeyCount> {
        let mut databases: BTreeMap<u8, KeyCount> = BTreeMap::new();
        for (database, count) in self.categories.values().flatten() {
            let total = databases.entry(*database).or_insert(KeyCount { keys: 0, exact: true });
            total.keys = total.keys.saturating_add(count.keys);
            total.exact &= count.exact;
        }
        databases
    }
}

impl ResetKeys<'_> {
    /// Counts what would go. Changes nothing.
    ///
    /// # Errors
    /// Redis does not answer, or refuses to.
    pub async fn plan(
        &self,
        categories: &Categories,
        selection: &Selection,
        effort: KeyEffort,
    ) -> Result<KeyPlan, KeyValueError> {
        let begun = Instant::now();
        let mut plan = KeyPlan { going: self.going(categories, selection), ..KeyPlan::default() };
        let mut patterns = self.patterns(categories, selection);
        let (mut under_way, hasher) = (Vec::new(), RandomState::new());
        for (database, keys) in self.space.databases().await? {
            if database == self.own_database {
                continue;
            }
            match patterns.remove(&database) {
                None => {
                    plan.unclassified.insert(database, KeyCount { keys, exact: true });
                }
                Some(patterns) => under_way.push(Tally::new(database, patterns, &hasher)),
            }
        }
        // In turns, so that an estimate has seen something of each database.
        let mut done = Vec::new();
        while !under_way.is_empty() {
            let late = matches!(effort, KeyEffort::Within(limit) if begun.elapsed() >= limit);
            for mut tally in std::mem::take(&mut under_way) {
                let enough = late && tally.behind() > 0.0;
                if enough || self.next_page(&mut tally).await? {
                    done.push(tally);
                } else {
                    under_way.push(tally);
                }
            }
        }
        for tally in done {
            tally.add_to(&mut plan);
        }
        Ok(plan)
    }

    /// Counts the next page; whether it was the last.
    async fn next_page(&self, tally: &mut Tally<'_>) -> Result<bool, KeyValueError> {
        let Some(position) = tally.position else { return Ok(true) };
        let (keys, next) = self.space.scan(&tally.everything, position).await?;
        for key in &keys {
            tally.count(key);
        }
        tally.position = next;
        Ok(next.is_none())
    }
}

/// What was counted in one database.
struct Tally<'a> {
    patterns: Patterns,
    everything: KeySelection,
    /// Where to go on; `None` once everything was looked at.
    position: Option<ScanPosition>,
    /// By the place of the category in `patterns.wiped`.
    going: Vec<u64>,
    nobodys: u64,
    /// Hashes of what was counted: two keys of a million have the same with a probability of 1 to 30 millions.
    seen: HashSet<u64>,
    hasher: &'a RandomState,
}

impl<'a> Tally<'a> {
    fn new(database: u8, patterns: Patterns, hasher: &'a RandomState) -> Self {
        let going = vec![0; patterns.wiped.len()];
        Self {
            patterns,
            everything: KeySelection::everything(database),
            position: Some(ScanPosition::default()),
            going,
            nobodys: 0,
            seen: HashSet::new(),
            hasher,
        }
    }

    fn count(&mut self, key: &RedisKey) {
        let class = self.patterns.class(key);
        if class == KeyClass::Kept {
            return;
        }
        if self.seen.len() < MOST_REMEMBERED && !self.seen.insert(self.hasher.hash_one(key)) {
            return;
        }
        let count = match class {
            KeyClass::Goes(place) => self.going.get_mut(place),
            KeyClass::Kept | KeyClass::Nobodys => Some(&mut self.nobodys),
        };
        if let Some(count) = count {
            *count += 1;
        }
    }

    /// Which part of the keys was looked at.
    fn behind(&self) -> f64 {
        self.position.map_or(1.0, ScanPosition::part)
    }

    fn add_to(self, plan: &mut KeyPlan) {
        let (part, database) = (self.behind(), self.everything.database);
        let exact = self.position.is_none() && self.seen.len() < MOST_REMEMBERED;
        let count = |keys: u64| KeyCount { keys: scaled(keys, part), exact };
        for ((category, _), keys) in self.patterns.wiped.iter().zip(&self.going) {
            if *keys > 0 {
                plan.categories.entry(category.clone()).or_default().insert(database, count(*keys));
            }
        }
        if self.nobodys > 0 {
            plan.unclassified.insert(database, count(self.nobodys));
        }
    }
}

/// As many as there are likely to be of all, where so many are in a part.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is an estimate, and a conversion to an integer saturates"
)]
fn scaled(keys: u64, part: f64) -> u64 {
    if part >= 1.0 { keys } else { (keys as f64 / part).round() as u64 }
}
