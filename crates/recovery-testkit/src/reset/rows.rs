//! The rows of the fake, and what foreign keys make of a deletion.

use std::collections::{BTreeMap, BTreeSet};

use recovery_core::{
    port::DatabaseError,
    schema::{Count, Doomed, ForeignKeyId, OnDelete, Reach, TableName, TableWipe, WipedRows},
};

use super::spec::{SampleKey, SampleRow, SampleTable};

/// Rows by their table and their place in it.
type Places = BTreeSet<(TableName, usize)>;

/// The tables, each with its rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub(super) tables: BTreeMap<TableName, SampleTable>,
}

impl Rows {
    /// Every key with its table.
    fn keys(&self) -> impl Iterator<Item = (&SampleTable, &SampleKey)> {
        self.tables.values().flat_map(|table| table.keys.iter().map(move |key| (table, key)))
    }

    /// Which row a row refers to by a key.
    fn referenced(
        &self,
        table: &SampleTable,
        key: &SampleKey,
        row: &SampleRow,
    ) -> Option<(TableName, usize)> {
        let values: Vec<Option<i64>> = key.columns.iter().map(|column| row[table.place(column)]).collect();
        if values.contains(&None) {
            return None;
        }
        let parent = self.tables.get(&key.referenced)?;
        let places: Vec<usize> = key.referenced_columns.iter().map(|column| parent.place(column)).collect();
        let is_it = |row: &SampleRow| places.iter().map(|place| row[*place]).eq(values.iter().copied());
        Some((key.referenced.clone(), parent.rows.iter().position(is_it)?))
    }

    /// The rows of a table that refer by this key to one of these, less those that are of these.
    fn referring(&self, table: &SampleTable, key: &SampleKey, going: &Places) -> Vec<usize> {
        let refers = |(place, row): &(usize, &SampleRow)| {
            !going.contains(&(table.name.clone(), *place))
                && self.referenced(table, key, row).is_some_and(|parent| going.contains(&parent))
        };
        table.rows.iter().enumerate().filter(refers).map(|(place, _)| place).collect()
    }

    /// The rows that go: all of wiped tables, and of following ones those that depend on others.
    pub(super) fn going(&self, doomed: &Doomed) -> Places {
        let of = |name: &TableName| self.tables.get(name).map_or(0, |table| table.rows.len());
        let mut going: Places =
            doomed.wiped.iter().flat_map(|name| (0..of(name)).map(|place| (name.clone(), place))).collect();
        loop {
            let binds = |key: &SampleKey| !matches!(key.on_delete, OnDelete::SetNull | OnDelete::SetDefault);
            let more: Places = self
                .keys()
                .filter(|(table, key)| doomed.following.contains(&table.name) && binds(key))
                .flat_map(|(table, key)| {
                    self.referring(table, key, &going).into_iter().map(|place| (table.name.clone(), place))
                })
                .collect();
            if more.is_empty() {
                return going;
            }
            going.extend(more);
        }
    }

    /// What a row is when a key has lost what it refers to.
    fn cleared(&self, table: &SampleTable, key: &SampleKey, row: &SampleRow) -> SampleRow {
        let mut row = row.clone();
        for column in &key.columns {
            let place = table.place(column);
            let default =
                if key.on_delete == OnDelete::SetDefault { table.columns[place].default } else { None };
            row[place] = default;
        }
        row
    }

    /// Whether a row refers to nothing, or to a row that stays.
    fn is_sound(&self, table: &SampleTable, key: &SampleKey, row: &SampleRow, going: &Places) -> bool {
        let nulls = key.columns.iter().filter(|column| row[table.place(column)].is_none()).count();
        if nulls > 0 {
            return !key.match_full || nulls == key.columns.len();
        }
        self.referenced(table, key, row).is_some_and(|parent| !going.contains(&parent))
    }

    pub(super) fn reach(&self, doomed: &Doomed) -> Reach {
        let going = self.going(doomed);
        let mut reach = Reach::default();
        for (name, _) in going.iter().filter(|(name, _)| doomed.following.contains(name)) {
            let count = reach.following.entry(name.clone()).or_insert(Count { rows: 0, exact: true });
            count.rows += 1;
        }
        for (table, key) in self.keys() {
            let referring = self.referring(table, key, &going);
            let dangles = |place: &&usize| {
                let row = self.cleared(table, key, &table.rows[**place]);
                key.on_delete == OnDelete::SetDefault && !self.is_sound(table, key, &row, &going)
            };
            let dangling = referring.iter().filter(dangles).count() as u64;
            for (map, rows) in
                [(&mut reach.referring, referring.len() as u64), (&mut reach.dangling, dangling)]
            {
                if rows > 0 {
                    map.insert(table.key_id(key), Count { rows, exact: true });
                }
            }
        }
        reach
    }

    /// Deletes what PostgreSQL would, or fails as it would, or as the adapter does over rows that were to stay.
    pub(super) fn wipe(&mut self, wipe: &TableWipe) -> Result<WipedRows, DatabaseError> {
        let refused =
            |why: String| DatabaseError::Refused { doing: "deleting rows".to_owned(), source: why.into() };
        let doomed = Doomed { wiped: wipe.wiped.clone(), following: wipe.following.clone() };
        if let Some(name) = wipe.wiped.union(&wipe.following).find(|name| !self.tables.contains_key(*name)) {
            return Err(refused(format!("there is no table {name}")));
        }
        let going = self.going(&doomed);
        let mut changed: BTreeMap<(TableName, usize), SampleRow> = BTreeMap::new();
        let mut references_cleared: Vec<(ForeignKeyId, u64)> = Vec::new();
        for (table, key) in self.keys() {
            let referring = self.referring(table, key, &going);
            if referring.is_empty() {
                continue;
            }
            let id = table.key_id(key);
            let nulled = wipe.nulled.contains(&id);
            if !nulled && key.on_delete == OnDelete::Cascade {
                let what = format!("would have lost {} rows that were to stay", referring.len());
                return Err(DatabaseError::Unplanned { table: table.name.to_string(), what });
            }
            if !nulled && matches!(key.on_delete, OnDelete::NoAction | OnDelete::Restrict) {
                return Err(refused(format!("violates foreign key constraint \"{}\"", key.name)));
            }
            for place in &referring {
                let at = (table.name.clone(), *place);
                let row = changed.get(&at).unwrap_or(&table.rows[*place]).clone();
                let row = if nulled { nulled_row(table, key, row) } else { self.cleared(table, key, &row) };
                let is_null = |column: &String| row[table.place(column)].is_none();
                let may_be = |column: &String| table.columns[table.place(column)].nullable;
                if key.columns.iter().any(|column| is_null(column) && !may_be(column)) {
                    return Err(refused(format!("null value in a column of \"{}\"", key.name)));
                }
                if !self.is_sound(table, key, &row, &going) {
                    return Err(refused(format!("violates foreign key constraint \"{}\"", key.name)));
                }
                changed.insert(at, row);
            }
            references_cleared.push((id, referring.len() as u64));
        }
        references_cleared.sort();
        let mut deleted: BTreeMap<TableName, u64> = BTreeMap::new();
        for (name, _) in &going {
            *deleted.entry(name.clone()).or_default() += 1;
        }
        for ((name, place), row) in changed {
            self.tables.get_mut(&name).expect("a table of the fake").rows[place] = row;
        }
        for (name, table) in &mut self.tables {
            let mut place = 0;
            table.rows.retain(|_| {
                place += 1;
                !going.contains(&(name.clone(), place - 1))
            });
        }
        Ok(WipedRows { deleted, references_cleared })
    }
}

/// The columns that may be NULL become so.
fn nulled_row(table: &SampleTable, key: &SampleKey, mut row: SampleRow) -> SampleRow {
    for place in key.columns.iter().map(|column| table.place(column)) {
        if table.columns[place].nullable {
            row[place] = None;
        }
    }
    row
}
