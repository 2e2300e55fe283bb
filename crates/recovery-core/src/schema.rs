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
    /// Its name, which is unique in its table.
    pub name: String,
    /// The table that it refers to; the same for a self-reference.
    pub referenced: TableName,
    /// What a deletion of the referenced row does.
    pub on_delete: OnDelete,
    /// Its columns in `table`, in order.
    pub columns: Vec<KeyColumn>,
}

impl ForeignKey {
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
}

/// What is to be done with the rows of a database, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableWipe {
    /// Tables of which every row goes.
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
    /// How many rows each table has lost; none where it was empty.
    pub deleted: BTreeMap<TableName, u64>,
    /// How many rows have lost a reference, by foreign key.
    pub references_cleared: Vec<(ForeignKeyId, u64)>,
}
