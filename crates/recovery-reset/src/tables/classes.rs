//! Whether the rows of a table are wanted.

use std::collections::{BTreeMap, BTreeSet};

use recovery_core::schema::{Doomed, Schema, TableName};

use crate::CategoryKey;

/// What a reset is to do with a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableClass {
    /// Every row goes.
    Wiped {
        /// The category that it belongs to.
        category: CategoryKey,
    },
    /// Every row stays.
    Kept {
        /// The category that it belongs to.
        category: CategoryKey,
    },
    /// Every row stays in every reset.
    Never,
    /// Every row goes, although no category has it: what is emptied so that migrations run again.
    Emptied,
    /// Rows go that depend on rows that go; the others stay.
    Unclassified,
}

impl TableClass {
    /// Its category, where it has one.
    #[must_use]
    pub fn category(&self) -> Option<&CategoryKey> {
        match self {
            Self::Wiped { category } | Self::Kept { category } => Some(category),
            Self::Never | Self::Emptied | Self::Unclassified => None,
        }
    }

    /// Whether every row goes.
    #[must_use]
    pub fn goes(&self) -> bool {
        matches!(self, Self::Wiped { .. } | Self::Emptied)
    }
}

/// What a reset is to do with each table. Tables that it does not name are [`TableClass::Unclassified`]; names of tables
/// that do not exist do no harm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableClasses {
    classes: BTreeMap<TableName, TableClass>,
}

impl TableClasses {
    /// Says what to do with a table, in place of what was said of it before.
    pub fn set(&mut self, table: TableName, class: TableClass) {
        self.classes.insert(table, class);
    }

    /// What to do with a table.
    #[must_use]
    pub fn of(&self, table: &TableName) -> &TableClass {
        self.classes.get(table).unwrap_or(&TableClass::Unclassified)
    }

    /// Which rows are to go, as the question to the database. Of the tables that there are alone.
    #[must_use]
    pub fn doomed(&self, schema: &Schema) -> Doomed {
        let those = |is_one: fn(&TableClass) -> bool| -> BTreeSet<TableName> {
            schema.tables.keys().filter(|table| is_one(self.of(table))).cloned().collect()
        };
        Doomed {
            wiped: those(TableClass::goes),
            following: those(|class| *class == TableClass::Unclassified),
        }
    }
}

impl FromIterator<(TableName, TableClass)> for TableClasses {
    fn from_iter<I: IntoIterator<Item = (TableName, TableClass)>>(classes: I) -> Self {
        Self { classes: classes.into_iter().collect() }
    }
}
