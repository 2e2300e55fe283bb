//! A database in memory, as a factory reset sees it.

mod rows;
mod spec;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use recovery_core::{
    port::{DatabaseError, ResetDatabase, ResetTransaction},
    schema::{Doomed, Reach, Schema, TableName, TableWipe, WipedRows},
};

use self::rows::Rows;
use crate::{Faults, lock};

pub use spec::{SampleColumn, SampleKey, SampleRow, SampleTable, sample_schema, sample_sql};

/// Where a [`FakeTables`] can fail or be held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetPoint {
    /// `schema` outside of a transaction.
    Schema,
    /// `reach` outside of a transaction.
    Reach,
    /// `begin_reset`.
    Begin,
    /// `hold_writers`.
    HoldWriters,
    /// `schema` in the transaction.
    SchemaInside,
    /// `reach` in the transaction.
    ReachInside,
    /// `wipe`, before anything is deleted.
    Wipe,
    /// `commit`, before anything is done: the transaction is undone.
    Commit,
    /// `commit`, after it is done: it is so, and the answer is lost.
    CommitAnswer,
    /// `was_committed`.
    WasCommitted,
}

/// The faults of a [`FakeTables`].
pub type ResetFaults = Faults<ResetPoint, DatabaseError>;

#[derive(Debug, Default)]
struct State {
    rows: Rows,
    /// Tables that another session has written to and not let go of.
    held: BTreeMap<TableName, usize>,
    /// Whom the transaction that keeps writers away belongs to.
    writers_held_by: Option<u64>,
    next: u64,
    /// How each transaction ended; none while it is under way.
    ended: BTreeMap<u64, Option<bool>>,
    /// The transactions that are open, by the name of their session.
    open: BTreeMap<u64, String>,
}

/// A database in memory with tables of numbers and foreign keys between them. It implements `ResetDatabase`; clones are
/// the same database.
///
/// Stricter than production: it panics where rows are deleted without writers being kept away before, twice in one
/// transaction, or from a table that is both wiped and following.
#[derive(Clone, Debug, Default)]
pub struct FakeTables {
    state: Arc<Mutex<State>>,
    faults: ResetFaults,
}

impl FakeTables {
    /// A database with these tables.
    #[must_use]
    pub fn new(tables: impl IntoIterator<Item = SampleTable>) -> Self {
        let fake = Self::default();
        tables.into_iter().for_each(|table| fake.put(table));
        fake
    }

    /// What is to fail.
    #[must_use]
    pub fn faults(&self) -> &ResetFaults {
        &self.faults
    }

    /// Puts a table there, in place of one of the same name.
    pub fn put(&self, table: SampleTable) {
        lock(&self.state).rows.tables.insert(table.name.clone(), table);
    }

    /// Every table as it is now.
    #[must_use]
    pub fn tables(&self) -> Vec<SampleTable> {
        lock(&self.state).rows.tables.values().cloned().collect()
    }

    /// The rows of a table. Panics where there is none.
    #[must_use]
    pub fn rows(&self, table: &TableName) -> Vec<SampleRow> {
        lock(&self.state).rows.tables.get(table).expect("a table of the fake").rows.clone()
    }

    /// The rows that would go, by their tables.
    #[must_use]
    pub fn going(&self, doomed: &Doomed) -> BTreeMap<TableName, Vec<SampleRow>> {
        let state = lock(&self.state);
        let mut going: BTreeMap<TableName, Vec<SampleRow>> = BTreeMap::new();
        for (table, place) in state.rows.going(doomed) {
            let row = state.rows.tables[&table].rows[place].clone();
            going.entry(table).or_default().push(row);
        }
        going
    }

    /// Adds a row as another session would; whether that is possible at once: not while writers are kept away.
    #[must_use]
    pub fn insert(&self, table: &TableName, row: SampleRow) -> bool {
        let mut state = lock(&self.state);
        let free = state.writers_held_by.is_none();
        if free {
            state.rows.tables.get_mut(table).expect("a table of the fake").rows.push(row);
        }
        free
    }

    /// As if another session had written to a table and not ended its transaction, until the returned value is dropped.
    #[must_use]
    pub fn hold(&self, table: &TableName) -> HeldTable {
        *lock(&self.state).held.entry(table.clone()).or_default() += 1;
        HeldTable { state: Arc::clone(&self.state), table: table.clone() }
    }

    /// Ends the transactions whose session has this name, as a crash of the connection would.
    pub fn end_sessions(&self, application_name: &str) {
        let mut state = lock(&self.state);
        let ended: Vec<u64> =
            state.open.iter().filter(|(_, name)| *name == application_name).map(|(id, _)| *id).collect();
        for id in ended {
            state.end(id, false);
        }
    }

    /// How many transactions are open.
    #[must_use]
    pub fn open_transactions(&self) -> usize {
        lock(&self.state).open.len()
    }
}

/// A table that another session holds. Dropping it lets go of the table.
#[derive(Debug)]
pub struct HeldTable {
    state: Arc<Mutex<State>>,
    table: TableName,
}

impl Drop for HeldTable {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if let Some(count) = state.held.get_mut(&self.table) {
            *count -= 1;
        }
    }
}

impl State {
    fn schema(&self) -> Schema {
        sample_schema(&self.rows.tables.values().cloned().collect::<Vec<_>>())
    }

    fn end(&mut self, id: u64, committed: bool) {
        if self.open.remove(&id).is_some() {
            self.ended.insert(id, Some(committed));
        }
        if self.writers_held_by == Some(id) {
            self.writers_held_by = None;
        }
    }
}

#[async_trait]
impl ResetDatabase for FakeTables {
    async fn schema(&self, _exact: bool) -> Result<Schema, DatabaseError> {
        self.faults.pass(ResetPoint::Schema).await?;
        Ok(lock(&self.state).schema())
    }

    async fn reach(&self, doomed: &Doomed, _exact: bool) -> Result<Reach, DatabaseError> {
        self.faults.pass(ResetPoint::Reach).await?;
        check_disjoint(&doomed.wiped, &doomed.following);
        Ok(lock(&self.state).rows.reach(doomed))
    }

    async fn begin_reset(&self, application_name: &str) -> Result<Box<dyn ResetTransaction>, DatabaseError> {
        self.faults.pass(ResetPoint::Begin).await?;
        let mut state = lock(&self.state);
        state.next += 1;
        let id = state.next;
        state.ended.insert(id, None);
        state.open.insert(id, application_name.to_owned());
        Ok(Box::new(FakeReset {
            database: self.clone(),
            number: id,
            id: id.to_string(),
            rows: Mutex::new(state.rows.clone()),
            wiped: Mutex::new(false),
        }))
    }

    async fn was_committed(&self, transaction: &str) -> Result<Option<bool>, DatabaseError> {
        self.faults.pass(ResetPoint::WasCommitted).await?;
        let id = transaction.parse::<u64>().ok();
        match id.and_then(|id| lock(&self.state).ended.get(&id).copied()) {
            None => Ok(None),
            Some(Some(committed)) => Ok(Some(committed)),
            Some(None) => {
                Err(DatabaseError::TimedOut { doing: "asking how it ended: committing the reset".to_owned() })
            }
        }
    }
}

fn check_disjoint(wiped: &BTreeSet<TableName>, following: &BTreeSet<TableName>) {
    let both: Vec<&TableName> = wiped.intersection(following).collect();
    assert!(both.is_empty(), "both wiped and following: {both:?}");
}

/// A transaction of the fake: what it would make of the rows.
struct FakeReset {
    database: FakeTables,
    number: u64,
    id: String,
    rows: Mutex<Rows>,
    wiped: Mutex<bool>,
}

impl FakeReset {
    fn check_open(&self, doing: &str) -> Result<(), DatabaseError> {
        if lock(&self.database.state).open.contains_key(&self.number) {
            return Ok(());
        }
        let source = "the connection of the transaction is gone".into();
        Err(DatabaseError::Unavailable { doing: doing.to_owned(), source })
    }

    fn has_writers_held(&self) -> bool {
        lock(&self.database.state).writers_held_by == Some(self.number)
    }
}

#[async_trait]
impl ResetTransaction for FakeReset {
    fn id(&self) -> &str {
        &self.id
    }

    async fn hold_writers(&self) -> Result<(), DatabaseError> {
        self.database.faults.pass(ResetPoint::HoldWriters).await?;
        self.check_open("waiting for other sessions to let go of the tables")?;
        let mut state = lock(&self.database.state);
        let held: Vec<String> =
            state.held.iter().filter(|(_, count)| **count > 0).map(|(table, _)| table.to_string()).collect();
        if !held.is_empty() || state.writers_held_by.is_some_and(|id| id != self.number) {
            let doing = format!("waiting for other sessions to let go of {}", held.join(", "));
            return Err(DatabaseError::TimedOut { doing });
        }
        state.writers_held_by = Some(self.number);
        // What others have written meanwhile is seen.
        *lock(&self.rows) = state.rows.clone();
        Ok(())
    }

    async fn schema(&self) -> Result<Schema, DatabaseError> {
        self.database.faults.pass(ResetPoint::SchemaInside).await?;
        self.check_open("reading which tables there are")?;
        let tables: Vec<SampleTable> = lock(&self.rows).tables.values().cloned().collect();
        Ok(sample_schema(&tables))
    }

    async fn reach(&self, doomed: &Doomed) -> Result<Reach, DatabaseError> {
        self.database.faults.pass(ResetPoint::ReachInside).await?;
        self.check_open("looking for rows that depend on others")?;
        check_disjoint(&doomed.wiped, &doomed.following);
        Ok(lock(&self.rows).reach(doomed))
    }

    async fn wipe(&self, wipe: &TableWipe, done: &AtomicU64) -> Result<WipedRows, DatabaseError> {
        self.database.faults.pass(ResetPoint::Wipe).await?;
        self.check_open("deleting rows")?;
        assert!(self.has_writers_held(), "rows are deleted while others write");
        assert!(!std::mem::replace(&mut *lock(&self.wiped), true), "rows are deleted twice");
        check_disjoint(&wipe.wiped, &wipe.following);
        let wiped = lock(&self.rows).wipe(wipe);
        if wiped.is_err() {
            lock(&self.database.state).end(self.number, false);
        }
        let wiped = wiped?;
        done.fetch_add(wiped.deleted.len() as u64, Ordering::Relaxed);
        Ok(wiped)
    }

    async fn commit(self: Box<Self>) -> Result<(), DatabaseError> {
        let doing = "committing the reset";
        let failed = self.database.faults.pass(ResetPoint::Commit).await;
        if let Err(error) = failed {
            lock(&self.database.state).end(self.number, false);
            return Err(error);
        }
        self.check_open(doing)?;
        {
            let mut state = lock(&self.database.state);
            if *lock(&self.wiped) {
                state.rows = lock(&self.rows).clone();
            }
            state.end(self.number, true);
        }
        self.database.faults.pass(ResetPoint::CommitAnswer).await
    }
}

impl Drop for FakeReset {
    fn drop(&mut self) {
        lock(&self.database.state).end(self.number, false);
    }
}
