//! The plan for the tables: a pure function.

use std::collections::{BTreeMap, BTreeSet};

use recovery_core::schema::{Count, ForeignKey, Reach, Schema, TableName, TableWipe};

use crate::CategoryKey;

use super::{Conflict, ConflictReason, TableClass, TableClasses, conflict::reason_of};

/// A table and its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRows {
    /// The table.
    pub table: TableName,
    /// How many rows.
    pub rows: Count,
}

/// A table in no category of which rows go because they depend on rows that go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowingTable {
    /// The table.
    pub table: TableName,
    /// How many of its rows go.
    pub rows: Count,
    /// How many it has.
    pub of: Count,
    /// The tables with rows that go that its rows refer to.
    pub refers_to: BTreeSet<TableName>,
    /// The categories on whose account they go.
    pub wiped: BTreeSet<CategoryKey>,
}

/// A foreign key by which rows that stay refer to rows that go: they lose the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearedReference {
    /// The foreign key.
    pub key: ForeignKey,
    /// What becomes of its table: it is kept, of those that are never touched, or in no category.
    pub class: TableClass,
    /// How many rows lose the reference.
    pub rows: Count,
    /// Whether it becomes NULL although that is not declared so, because it would be in the way otherwise.
    pub forced: bool,
}

/// What becomes of the rows of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablePlan {
    /// The tables of which every row goes, by category.
    pub wiped: BTreeMap<CategoryKey, Vec<TableRows>>,
    /// Tables that are emptied without being part of a category.
    pub emptied: Vec<TableRows>,
    /// Tables in no category that lose rows.
    pub following: Vec<FollowingTable>,
    /// References that rows lose that stay.
    pub cleared: Vec<ClearedReference>,
    /// Tables in no category of which every row stays.
    pub left_alone: Vec<TableRows>,
    /// What is in the way. A plan that has any must not be carried out.
    pub conflicts: Vec<Conflict>,
}

impl TablePlan {
    /// Judges how far the deletion of what [`TableClasses::doomed`] names reaches.
    #[must_use]
    pub fn new(classes: &TableClasses, schema: &Schema, reach: &Reach) -> Self {
        let causes = Causes::new(classes, schema, reach);
        let mut plan = Self::default();
        for (table, rows) in &schema.tables {
            let entry = TableRows { table: table.clone(), rows: *rows };
            match (classes.of(table), reach.following.get(table)) {
                (TableClass::Wiped { category }, _) => {
                    plan.wiped.entry(category.clone()).or_default().push(entry);
                }
                (TableClass::Emptied, _) => plan.emptied.push(entry),
                (TableClass::Unclassified, Some(going)) => plan.following.push(FollowingTable {
                    table: table.clone(),
                    rows: *going,
                    of: *rows,
                    refers_to: causes.direct(table),
                    wiped: causes.categories(table),
                }),
                (TableClass::Unclassified, None) => plan.left_alone.push(entry),
                (TableClass::Kept { .. } | TableClass::Never, _) => {}
            }
        }
        for key in &schema.foreign_keys {
            if let Some(rows) = reach.referring.get(&key.id()) {
                let dangling = reach.dangling.get(&key.id()).copied();
                plan.judge(key, classes.of(&key.table), *rows, dangling, &causes);
            }
        }
        plan
    }

    /// Judges a key by which rows that stay refer to rows that go.
    fn judge(
        &mut self,
        key: &ForeignKey,
        class: &TableClass,
        rows: Count,
        dangling: Option<Count>,
        causes: &Causes<'_>,
    ) {
        let trouble = if !key.can_be_cleared() {
            Some((reason_of(key), rows))
        } else {
            dangling.map(|rows| (ConflictReason::DefaultLeadsNowhere, rows))
        };
        let forced = trouble.is_some() && *class == TableClass::Never && key.nullable_columns().is_some();
        match trouble {
            Some((reason, rows)) if !forced => self.conflicts.push(Conflict {
                key: key.clone(),
                class: class.clone(),
                rows,
                wiped: causes.categories(&key.referenced),
                reason,
            }),
            _ => self.cleared.push(ClearedReference { key: key.clone(), class: class.clone(), rows, forced }),
        }
    }

    /// Whether nothing is in the way.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.conflicts.is_empty()
    }

    /// What the database is asked to do. Where conflicts are, it must not be.
    #[must_use]
    pub fn wipe(&self) -> TableWipe {
        let wiped = self.wiped.values().flatten().chain(&self.emptied);
        let forced = self.cleared.iter().filter(|reference| reference.forced);
        TableWipe {
            wiped: wiped.map(|entry| entry.table.clone()).collect(),
            following: self.following.iter().map(|entry| entry.table.clone()).collect(),
            nulled: forced.map(|reference| reference.key.id()).collect(),
        }
    }
}

/// On whose account the rows of a table go.
struct Causes<'a> {
    classes: &'a TableClasses,
    /// Of each table of which rows follow: the tables with rows that go that its binding keys refer to.
    direct: BTreeMap<&'a TableName, BTreeSet<&'a TableName>>,
}

impl<'a> Causes<'a> {
    fn new(classes: &'a TableClasses, schema: &'a Schema, reach: &Reach) -> Self {
        let goes = |table: &TableName| classes.of(table).goes() || reach.following.contains_key(table);
        let mut direct: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let binding = |key: &&ForeignKey| key.binds() && reach.following.contains_key(&key.table);
        for key in schema.foreign_keys.iter().filter(binding) {
            if key.referenced != key.table && goes(&key.referenced) {
                direct.entry(&key.table).or_default().insert(&key.referenced);
            }
        }
        Self { classes, direct }
    }

    fn direct(&self, table: &TableName) -> BTreeSet<TableName> {
        self.direct.get(table).into_iter().flatten().map(|table| (*table).clone()).collect()
    }

    /// The categories that are wiped from which the rows of this table are reached.
    fn categories(&self, table: &TableName) -> BTreeSet<CategoryKey> {
        let (mut seen, mut todo) = (BTreeSet::from([table]), vec![table]);
        let mut categories = BTreeSet::new();
        while let Some(table) = todo.pop() {
            if let TableClass::Wiped { category } = self.classes.of(table) {
                categories.insert(category.clone());
            }
            for cause in self.direct.get(table).into_iter().flatten() {
                if seen.insert(cause) {
                    todo.push(cause);
                }
            }
        }
        categories
    }
}
