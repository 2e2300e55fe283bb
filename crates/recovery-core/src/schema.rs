//! What is said of the tables of a database and of the foreign keys between them: enough to know what goes with what
//! when rows are deleted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

/// A table by its schema and name, as the catalogue has them. Shown without the schema where that is `public`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
}

impl TableName {
    /// A table of the schema `public`.
    #[must_use]
    pub fn public(name: impl Into<String>) -> Self {
        Self { schema: "public".to_owned(), name: name.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema != "public" {
            write!(f, "{}.", self.schema)?;
        }
        f.write_str(&self.name)
    }
}

/// A number of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many.
    pub rows: u64,
    /// Whether they were counted; otherwise it is what the planner's statistics say.
    pub exact: bool,
}

/// What happens to a row when the row that it refers to is deleted: `confdeltype` of `pg_constraint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// The deletion fails, unless the row is gone by the end of the statement, or of the transaction where the key is
    /// deferred.
    NoAction,
    /// The deletion fails.
    Restrict,
    /// The row is deleted, too.
    Cascade,
    /// Its columns become NULL.
    SetNull,
    /// Its columns get their defaults.
    SetDefault,
}

/// A column of a foreign key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumn {
    /// Its name.
    pub name: String,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whether its default is NULL.
    pub defaults_to_null: bool,
    /// Whether `SET NULL` and `SET DEFAULT` change it (since PostgreSQL 15 that may be some of the columns).
    pub is_set: bool,
}

/// A foreign key: rows of `table` refer to rows of `referenced`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// The table that has it. For one of a partition, the partitioned table.
    pub table: TableName,
    /// Its name, which is unique in its table: `partition.name` for one that a partition alone has.
    pub name: String,
    /// The table that it refers to; the same for a self-reference.
    pub referenced: TableName,
    /// What a deletion of the referenced row does.
    pub on_delete: OnDelete,
    /// Its columns in `table`, in order.
    pub columns: Vec<KeyColumn>,
    /// Whether it is declared `MATCH FULL`: all of its columns are NULL or none. Otherwise one is enough for a row to
    /// refer to nothing.
    pub match_full: bool,
}

impl ForeignKey {
    /// Whether a row that refers to another by it goes with that one, or else keeps it from going.
    #[must_use]
    pub fn binds(&self) -> bool {
        !matches!(self.on_delete, OnDelete::SetNull | OnDelete::SetDefault)
    }

    /// Whether its columns can take what `SET NULL` or `SET DEFAULT` gives them, as far as NULL goes; whether a default
    /// that is not NULL refers to a row is another matter ([`Reach::dangling`]). False for the other actions.
    #[must_use]
    pub fn can_be_cleared(&self) -> bool {
        let becomes_null = |column: &&KeyColumn| {
            column.is_set && (self.on_delete == OnDelete::SetNull || column.defaults_to_null)
        };
        let nulls = self.columns.iter().filter(becomes_null).count();
        let halves = self.match_full && self.on_delete == OnDelete::SetNull && nulls < self.columns.len();
        !self.binds() && !halves && self.columns.iter().filter(becomes_null).all(|column| column.nullable)
    }

    /// The columns that are set to NULL so that a row refers to nothing, whatever its action: all that may be. `None`
    /// where that is not enough.
    #[must_use]
    pub fn nullable_columns(&self) -> Option<Vec<&KeyColumn>> {
        let nullable: Vec<&KeyColumn> = self.columns.iter().filter(|column| column.nullable).collect();
        let enough = if self.match_full { self.columns.len() } else { 1 };
        (nullable.len() >= enough).then_some(nullable)
    }

    /// What names it in a database.
    #[must_use]
    pub fn id(&self) -> ForeignKeyId {
        ForeignKeyId { table: self.table.clone(), name: self.name.clone() }
    }
}

/// What names a foreign key in a database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ForeignKeyId {
    /// The table that has it.
    pub table: TableName,
    /// Its name.
    pub name: String,
}

/// The tables of a database that hold rows of their own, and the foreign keys between them. Partitions count as their
/// partitioned table; tables of extensions, foreign tables, views and PostgreSQL's own are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// The tables and how many rows they have.
    pub tables: BTreeMap<TableName, Count>,
    /// The foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
}

/// Which rows are to go, as a question: how far does it reach?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doomed {
    /// Tables of which every row goes.
    pub wiped: BTreeSet<TableName>,
    /// Tables of which those rows go that depend on rows that go: they refer to one, by a key of another kind than
    /// `SET NULL` and `SET DEFAULT`.
    pub following: BTreeSet<TableName>,
}

/// How far a deletion reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Of each table in [`Doomed::following`]: how many of its rows go. None where none do.
    pub following: BTreeMap<TableName, Count>,
    /// By foreign key: how many rows that stay refer to rows that go. None where none do.
    pub referring: BTreeMap<ForeignKeyId, Count>,
    /// By foreign key that is `SET DEFAULT`: how many of these would then refer to a row that is not there, which is an
    /// error to PostgreSQL. None where none would.
    pub dangling: BTreeMap<ForeignKeyId, Count>,
}

/// What is to be done with the rows of a database, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableWipe {
    /// Tables of which every row goes, and whose sequences begin anew.
    pub wiped: BTreeSet<TableName>,
    /// Tables of which those rows go that depend on rows that go, and no others.
    pub following: BTreeSet<TableName>,
    /// Foreign keys whose columns are set to NULL where they refer to rows that go, although they are declared to
    /// block that.
    pub nulled: BTreeSet<ForeignKeyId>,
}

/// What was done with the rows of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WipedRows {
    /// How many rows each table has lost. A table that lost none is not there.
    pub deleted: BTreeMap<TableName, u64>,
    /// How many rows that stay have lost a reference, by foreign key, in its order.
    pub references_cleared: Vec<(ForeignKeyId, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(on_delete: OnDelete, match_full: bool, columns: &[(bool, bool, bool)]) -> ForeignKey {
        let column = |(at, &(nullable, defaults_to_null, is_set)): (usize, &(bool, bool, bool))| KeyColumn {
            name: format!("c{at}"),
            nullable,
            defaults_to_null,
            is_set,
        };
        let table = TableName::public("a");
        let columns = columns.iter().enumerate().map(column).collect();
        let name = "k".to_owned();
        ForeignKey { table: table.clone(), name, referenced: table, on_delete, columns, match_full }
    }

    #[test]
    fn a_reference_can_be_cleared_where_its_columns_can_take_it() {
        let check = |on_delete, match_full, columns: &[(bool, bool, bool)], expect: bool| {
            let key = key(on_delete, match_full, columns);
            assert_eq!(key.can_be_cleared(), expect, "{key:?}");
        };
        let (null, not_null) = ((true, true, true), (false, true, true));
        check(OnDelete::SetNull, false, &[null], true);
        check(OnDelete::SetNull, false, &[not_null], false);
        check(OnDelete::SetNull, false, &[(false, true, false), null], true);
        check(OnDelete::SetNull, true, &[(true, true, false), null], false);
        check(OnDelete::SetNull, true, &[null, null], true);
        check(OnDelete::SetDefault, false, &[null], true);
        check(OnDelete::SetDefault, false, &[not_null], false);
        check(OnDelete::SetDefault, false, &[(false, false, true)], true);
        check(OnDelete::Cascade, false, &[null], false);
    }

    #[test]
    fn a_reference_can_be_nulled_where_one_column_may_or_with_match_full_all() {
        let check = |match_full, columns: &[(bool, bool, bool)], expect: Option<&[&str]>| {
            let key = key(OnDelete::Restrict, match_full, columns);
            let names =
                key.nullable_columns().map(|columns| columns.iter().map(|c| c.name.clone()).collect());
            assert_eq!(names, expect.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>()));
        };
        let (null, not_null) = ((true, true, true), (false, true, true));
        check(false, &[not_null], None);
        check(false, &[not_null, null], Some(&["c1"]));
        check(true, &[not_null, null], None);
        check(true, &[null, null], Some(&["c0", "c1"]));
    }
}
