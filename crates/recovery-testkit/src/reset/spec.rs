//! Tables as tests describe them: for the fake in memory and, as SQL, for a real server.

use std::{collections::BTreeSet, fmt::Write as _};

use recovery_core::schema::{Count, ForeignKey, ForeignKeyId, KeyColumn, OnDelete, Schema, TableName};

/// A row: a value for each column.
pub type SampleRow = Vec<Option<i64>>;

/// A column of type `bigint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleColumn {
    /// Its name.
    pub name: String,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Its default.
    pub default: Option<i64>,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleKey {
    /// Its name.
    pub name: String,
    /// The columns that have it.
    pub columns: Vec<String>,
    /// The table that they refer to.
    pub referenced: TableName,
    /// The columns there, of which no two rows have the same values.
    pub referenced_columns: Vec<String>,
    /// What a deletion does.
    pub on_delete: OnDelete,
    /// Whether it is `DEFERRABLE INITIALLY DEFERRED`.
    pub deferred: bool,
    /// Whether it is `MATCH FULL`.
    pub match_full: bool,
}

/// A table of numbers. Its first column is `id`, the primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleTable {
    /// Its name.
    pub name: TableName,
    /// Its columns.
    pub columns: Vec<SampleColumn>,
    /// Its foreign keys.
    pub keys: Vec<SampleKey>,
    /// Its rows.
    pub rows: Vec<SampleRow>,
}

impl SampleTable {
    /// A table of the schema `public` with the column `id`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let id = SampleColumn { name: "id".to_owned(), nullable: false, default: None };
        Self { name: TableName::public(name), columns: vec![id], keys: Vec::new(), rows: Vec::new() }
    }

    /// With a further column that may be NULL.
    #[must_use]
    pub fn column(mut self, name: &str) -> Self {
        self.columns.push(SampleColumn { name: name.to_owned(), nullable: true, default: None });
        self
    }

    /// With the column added last changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut SampleColumn)) -> Self {
        change(self.columns.last_mut().expect("a column"));
        self
    }

    /// With a foreign key from a column of its own to the `id` of another table of `public`, named `<table>_<column>`.
    #[must_use]
    pub fn key(self, column: &str, referenced: &str, on_delete: OnDelete) -> Self {
        self.wide_key(&[column], referenced, &["id"], on_delete)
    }

    /// As [`SampleTable::key`], of several columns.
    #[must_use]
    pub fn wide_key(mut self, columns: &[&str], referenced: &str, to: &[&str], on_delete: OnDelete) -> Self {
        let strings = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        self.keys.push(SampleKey {
            name: format!("{}_{}", self.name.name, columns.join("_")),
            columns: strings(columns),
            referenced: TableName::public(referenced),
            referenced_columns: strings(to),
            on_delete,
            deferred: false,
            match_full: false,
        });
        self
    }

    /// With a row. The values that are left out are NULL.
    #[must_use]
    pub fn row(mut self, values: &[Option<i64>]) -> Self {
        let mut row = values.to_vec();
        row.resize(self.columns.len(), None);
        self.rows.push(row);
        self
    }

    /// With rows of which only the `id` is set.
    #[must_use]
    pub fn ids(self, ids: impl IntoIterator<Item = i64>) -> Self {
        ids.into_iter().fold(self, |table, id| table.row(&[Some(id)]))
    }

    /// The place of a column.
    ///
    /// # Panics
    /// Panics where there is none of this name.
    #[must_use]
    pub fn place(&self, column: &str) -> usize {
        let place = self.columns.iter().position(|one| one.name == column);
        place.unwrap_or_else(|| panic!("{} has no column {column}", self.name))
    }

    /// What names a key of it.
    #[must_use]
    pub fn key_id(&self, key: &SampleKey) -> ForeignKeyId {
        ForeignKeyId { table: self.name.clone(), name: key.name.clone() }
    }

    fn foreign_key(&self, key: &SampleKey) -> ForeignKey {
        let column = |name: &String| {
            let column = &self.columns[self.place(name)];
            KeyColumn {
                name: name.clone(),
                nullable: column.nullable,
                defaults_to_null: column.default.is_none(),
                is_set: true,
            }
        };
        ForeignKey {
            table: self.name.clone(),
            name: key.name.clone(),
            referenced: key.referenced.clone(),
            on_delete: key.on_delete,
            columns: key.columns.iter().map(column).collect(),
            match_full: key.match_full,
        }
    }
}

/// What a database with these tables says of itself.
#[must_use]
pub fn sample_schema(tables: &[SampleTable]) -> Schema {
    let counted = |table: &SampleTable| Count { rows: table.rows.len() as u64, exact: true };
    let mut foreign_keys: Vec<ForeignKey> =
        tables.iter().flat_map(|table| table.keys.iter().map(|key| table.foreign_key(key))).collect();
    foreign_keys.sort_by_key(ForeignKey::id);
    Schema { tables: tables.iter().map(|table| (table.name.clone(), counted(table))).collect(), foreign_keys }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn in_sql(table: &TableName) -> String {
    format!("{}.{}", quoted(&table.schema), quoted(&table.name))
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// The statements that make these tables, their rows and at last their foreign keys.
#[must_use]
pub fn sample_sql(tables: &[SampleTable]) -> String {
    let mut sql = String::new();
    for table in tables {
        let columns: Vec<String> = table.columns.iter().map(column_in_sql).collect();
        writeln!(sql, "CREATE TABLE {} ({});", in_sql(&table.name), columns.join(", ")).unwrap();
        let rows: Vec<String> = table.rows.iter().map(|row| row_in_sql(row)).collect();
        for some in rows.chunks(1000) {
            writeln!(sql, "INSERT INTO {} VALUES {};", in_sql(&table.name), some.join(", ")).unwrap();
        }
    }
    let mut unique = BTreeSet::new();
    for key in tables.iter().flat_map(|table| &table.keys) {
        if key.referenced_columns != ["id"] && unique.insert((&key.referenced, &key.referenced_columns)) {
            let columns = list(&key.referenced_columns);
            writeln!(sql, "ALTER TABLE {} ADD UNIQUE ({columns});", in_sql(&key.referenced)).unwrap();
        }
    }
    for table in tables {
        for key in &table.keys {
            writeln!(sql, "ALTER TABLE {} ADD {};", in_sql(&table.name), key_in_sql(key)).unwrap();
        }
    }
    sql
}

fn column_in_sql(column: &SampleColumn) -> String {
    let name = quoted(&column.name);
    if column.name == "id" {
        return format!("{name} bigint PRIMARY KEY");
    }
    let null = if column.nullable { "" } else { " NOT NULL" };
    let default = column.default.map(|value| format!(" DEFAULT {value}")).unwrap_or_default();
    format!("{name} bigint{null}{default}")
}

fn row_in_sql(row: &[Option<i64>]) -> String {
    let value = |value: &Option<i64>| value.map_or_else(|| "NULL".to_owned(), |value| value.to_string());
    format!("({})", row.iter().map(value).collect::<Vec<_>>().join(", "))
}

fn key_in_sql(key: &SampleKey) -> String {
    let action = match key.on_delete {
        OnDelete::NoAction => "NO ACTION",
        OnDelete::Restrict => "RESTRICT",
        OnDelete::Cascade => "CASCADE",
        OnDelete::SetNull => "SET NULL",
        OnDelete::SetDefault => "SET DEFAULT",
    };
    let matching = if key.match_full { " MATCH FULL" } else { "" };
    let deferred = if key.deferred { " DEFERRABLE INITIALLY DEFERRED" } else { "" };
    format!(
        "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){matching} ON DELETE {action}{deferred}",
        quoted(&key.name),
        list(&key.columns),
        in_sql(&key.referenced),
        list(&key.referenced_columns)
    )
}
