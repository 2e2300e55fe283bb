//! What a reset would do, as a whole, and what is in its way.

mod reseed;

use recovery_core::{BackupInfo, Problem, keys::KeySelection, schema::Schema};

pub use reseed::{MIGRATIONS, Reseed};

use crate::{
    Categories, KeyPlan, Order, PlannedDirectory, ResetError,
    tables::{TableClass, TableClasses, TablePlan},
};

/// What a reset would do.
#[derive(Debug)]
pub struct Plan {
    /// What becomes of the rows.
    pub tables: TablePlan,
    /// What becomes of the keys of Redis.
    pub keys: KeysPlan,
    /// The directories that are emptied, in the order of the file.
    pub directories: Vec<PlannedDirectory>,
    /// The backups that go; empty where backups are kept.
    pub backups: Vec<BackupInfo>,
    /// Backups that would go if they were not pinned.
    pub pinned: Vec<BackupInfo>,
    /// Whether migrations are to run again.
    pub reseed: Reseed,
}

/// What becomes of the keys of Redis.
#[derive(Debug)]
pub struct KeysPlan {
    /// What is removed, by numbered database.
    pub going: Vec<KeySelection>,
    /// How many keys that are; what is in the way where Redis cannot be asked.
    pub counted: Result<KeyPlan, Problem>,
}

impl KeysPlan {
    /// Why Redis cannot be used, where keys are to be removed and it cannot.
    #[must_use]
    pub fn away(&self) -> Option<&Problem> {
        self.counted.as_ref().err().filter(|_| !self.going.is_empty())
    }
}

impl Plan {
    /// Fails where the reset must not be begun. What is away is no obstacle where that was accepted; what would take
    /// rows that are kept always is.
    ///
    /// # Errors
    /// Says what is in the way.
    pub fn check(&self, order: &Order, categories: &Categories) -> Result<(), ResetError> {
        check_tables(&self.tables, categories)?;
        if order.accept_partial {
            return Ok(());
        }
        if let Some(away) = self.keys.away() {
            return Err(ResetError::RedisAway { why: away.clone() });
        }
        let unusable: Vec<PlannedDirectory> =
            self.directories.iter().filter(|directory| directory.unusable().is_some()).cloned().collect();
        if unusable.is_empty() {
            Ok(())
        } else {
            Err(ResetError::DirectoriesUnusable { directories: unusable })
        }
    }
}

/// Fails where rows that are to stay are in the way.
pub(crate) fn check_tables(plan: &TablePlan, categories: &Categories) -> Result<(), ResetError> {
    if plan.is_possible() {
        return Ok(());
    }
    let label = |key: &_| categories.label(key);
    let conflicts = plan.conflicts.iter().map(|conflict| {
        let (sentence, remedy) = (conflict.sentence(label), conflict.remedy(label));
        (conflict.table().to_string(), sentence, remedy)
    });
    Err(ResetError::Conflicts { conflicts: conflicts.collect() })
}

/// What is to be done with each table.
pub(crate) fn classes(order: &Order, categories: &Categories, reseed: &Reseed) -> TableClasses {
    let mut classes = TableClasses::default();
    for category in categories.all() {
        for table in &category.tables {
            let category = category.key.clone();
            let class = if order.selection.keeps(&category) {
                TableClass::Kept { category }
            } else {
                TableClass::Wiped { category }
            };
            classes.set(table.clone(), class);
        }
    }
    for table in categories.never() {
        classes.set(table.clone(), TableClass::Never);
    }
    if reseed.planned {
        classes.set(reseed::migrations(), TableClass::Emptied);
    }
    classes
}

/// Which backups go, and which would if they were not pinned.
pub(crate) fn backups(
    order: &Order,
    categories: &Categories,
    all: Vec<BackupInfo>,
) -> (Vec<BackupInfo>, Vec<BackupInfo>) {
    if !order.selection.wiped(categories).any(|category| category.backups) {
        return Default::default();
    }
    all.into_iter().partition(|backup| order.include_pinned || !backup.pinned)
}

/// Whether migrations are to run again, and why.
pub(crate) fn reseed(order: &Order, categories: &Categories, schema: &Schema) -> Reseed {
    Reseed::decide(order, categories, schema.tables.contains_key(&reseed::migrations()))
}

#[cfg(test)]
mod tests;
