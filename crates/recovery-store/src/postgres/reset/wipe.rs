//! Deleting the rows, and looking whether it was those and no others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

use recovery_core::{
    port::DatabaseError,
    schema::{Doomed, TableName, TableWipe, WipedRows},
};

use super::{
    catalog::{Catalog, Relation},
    count, order,
    reach::Search,
    sequences,
};
use crate::postgres::session::{Session, StatementError};

/// From so many rows on, emptying a table at once is worth a lock against readers.
const MANY: u64 = 1000;

/// How many rows this transaction has deleted from each of these ordinary tables so far.
const DELETED: &str = "SELECT t.oid, pg_catalog.pg_stat_get_xact_tuples_deleted(t.oid)
    FROM pg_catalog.unnest($1::pg_catalog.oid[]) t (oid)";

/// What is known while rows are deleted.
struct Wiping<'a> {
    session: &'a Session,
    catalog: &'a Catalog,
    wipe: &'a TableWipe,
    before: BTreeMap<TableName, u64>,
    done: &'a AtomicU64,
}

/// Deletes them.
pub(super) async fn wipe(
    session: &Session,
    wipe: &TableWipe,
    done: &AtomicU64,
) -> Result<WipedRows, DatabaseError> {
    let catalog = Catalog::read(session).await?;
    for table in wipe.wiped.union(&wipe.following) {
        catalog.table(table)?;
    }
    let before = count::exact(session, catalog.tables.iter()).await?;
    let wiping = Wiping { session, catalog: &catalog, wipe, before, done };
    let doomed = Doomed { wiped: wipe.wiped.clone(), following: wipe.following.clone() };
    let mut search = Search::exact(session, &catalog, &doomed);
    let reach = search.run().await?;
    let deletions = wiping.deletions().await?;

    // Triggers are written for the search path that clients have. Ours are the only statements that could mind, and
    // they name the schema of everything.
    let doing = "preparing to delete rows";
    session.batch(doing, "SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL search_path TO DEFAULT").await?;
    wiping.null_references(&search).await?;
    let mut left: BTreeSet<&TableName> =
        wipe.wiped.iter().filter(|table| wiping.rows_of(table) > 0).collect();
    let truncated = wiping.truncate(&left).await?;
    left.retain(|table| !truncated.contains(table));
    left.extend(wipe.following.iter().filter(|table| search.list(table).is_some()));
    for group in order::groups(&left, &wiping.references()) {
        wiping.delete(&group, &search).await?;
        wiping.advance(group.len());
    }
    wiping.delete_new_ones(&search).await?;
    session.batch(doing, "SET LOCAL search_path TO pg_catalog").await?;
    sequences::restart(session, &catalog, &wipe.wiped).await?;
    let deleted = wiping.check(&search, &deletions).await?;
    let references_cleared = reach.referring.iter().map(|(key, count)| (key.clone(), count.rows)).collect();
    Ok(WipedRows { deleted, references_cleared })
}

impl Wiping<'_> {
    fn rows_of(&self, table: &TableName) -> u64 {
        self.before.get(table).copied().unwrap_or_default()
    }

    /// Who refers to whom.
    fn references(&self) -> Vec<(&TableName, &TableName)> {
        self.catalog.keys.iter().map(|key| (&key.key.table, &key.key.referenced)).collect()
    }

    fn advance(&self, tables: usize) {
        self.done.fetch_add(tables as u64, Ordering::Relaxed);
    }

    /// Takes references away that are declared to block.
    async fn null_references(&self, search: &Search<'_>) -> Result<(), DatabaseError> {
        for key in self.catalog.keys.iter().filter(|key| self.wipe.nulled.contains(&key.id)) {
            let Some((condition, _)) = search.condition(key, None) else { continue };
            let nullable = key.key.columns.iter().zip(&key.columns).filter(|(column, _)| column.nullable);
            let columns: Vec<String> = nullable.map(|(_, quoted)| format!("{quoted} = NULL")).collect();
            let sql = format!("UPDATE {} child SET {} WHERE {condition}", key.from, columns.join(", "));
            self.statement(&format!("taking references away from {}", key.key.table), &sql).await?;
        }
        Ok(())
    }

    /// Empties those tables at once for which that is worth it, where nothing that stays refers to them. No row is
    /// looked at, and none that refers by a key without an index is looked for.
    async fn truncate<'a>(
        &'a self,
        left: &BTreeSet<&'a TableName>,
    ) -> Result<BTreeSet<&'a TableName>, DatabaseError> {
        let may_be = |table: &&TableName| {
            self.catalog.tables.get(*table).is_some_and(|relation| relation.may_be_truncated)
        };
        let references = self.references();
        let closed = order::closed(self.wipe.wiped.iter().filter(may_be).collect(), &references);
        let many: BTreeSet<&TableName> =
            left.intersection(&closed).filter(|table| self.rows_of(table) >= MANY).copied().collect();
        let all = order::with_referrers(&many, &references);
        if all.is_empty() {
            return Ok(all);
        }
        let names: Vec<&str> =
            all.iter().filter_map(|table| self.catalog.tables.get(*table)).map(|r| r.sql.as_str()).collect();
        let list = names.join(", ");
        let doing = "emptying tables";
        self.session.batch(doing, "SAVEPOINT before_locks").await?;
        let lock = format!("LOCK TABLE {list} IN ACCESS EXCLUSIVE MODE NOWAIT");
        match self.session.batch_raw(doing, &lock).await {
            Ok(()) => {}
            // lock_not_available: somebody reads one of them. Nobody has to wait for that where rows are deleted.
            Err(error) if error.sqlstate() == Some("55P03") => {
                self.session.batch(doing, "ROLLBACK TO before_locks; RELEASE before_locks").await?;
                return Ok(BTreeSet::new());
            }
            Err(error) => return Err(self.told(error, doing)),
        }
        self.statement(doing, &format!("TRUNCATE {list}")).await?;
        self.session.batch(doing, "RELEASE before_locks").await?;
        self.advance(all.len());
        Ok(all)
    }

    /// Deletes from tables that refer to each other, in one statement: keys are looked at when it ends.
    async fn delete(&self, group: &BTreeSet<&TableName>, search: &Search<'_>) -> Result<(), DatabaseError> {
        let mut statements = Vec::new();
        for table in group {
            let relation = self.catalog.table(table)?;
            statements.push(match search.list(table) {
                None => format!("DELETE FROM {}", relation.sql),
                Some((list, _)) => format!(
                    "DELETE FROM {} going USING {list} gone
                     WHERE gone.part = going.tableoid AND gone.place = going.ctid",
                    relation.sql
                ),
            });
        }
        let Some(last) = statements.pop() else { return Ok(()) };
        let others: Vec<String> = statements
            .iter()
            .enumerate()
            .map(|(at, statement)| format!("deleted_{at} AS ({statement})"))
            .collect();
        let sql = if others.is_empty() { last } else { format!("WITH {} {last}", others.join(", ")) };
        let names: Vec<String> = group.iter().map(ToString::to_string).collect();
        self.statement(&format!("deleting rows of {}", names.join(", ")), &sql).await.map(drop)
    }

    /// Deletes rows that triggers have put into wiped tables meanwhile, a few times: such rows can make new ones.
    async fn delete_new_ones(&self, search: &Search<'_>) -> Result<(), DatabaseError> {
        for _ in 0..3 {
            let wiped = self.catalog.tables.iter().filter(|(table, _)| self.wipe.wiped.contains(table));
            let rows = count::exact(self.session, wiped).await?;
            let left = rows.iter().filter(|(_, rows)| **rows > 0).map(|(table, _)| table).collect();
            for group in order::groups(&left, &self.references()) {
                self.delete(&group, search).await?;
            }
            if left.is_empty() {
                break;
            }
        }
        Ok(())
    }

    async fn statement(&self, doing: &str, sql: &str) -> Result<u64, DatabaseError> {
        self.session.single(doing, sql).await.map_err(|error| self.told(error, doing))
    }

    fn told(&self, error: StatementError, doing: &str) -> DatabaseError {
        error.into_database_error(doing, self.session.database())
    }

    /// How many rows this transaction has deleted from each table. Partitioned ones are left out: a row that moves to
    /// another partition counts as deleted.
    async fn deletions(&self) -> Result<BTreeMap<u32, i64>, DatabaseError> {
        let ordinary = |relation: &&Relation| !relation.is_partitioned;
        let oids: Vec<u32> =
            self.catalog.tables.values().filter(ordinary).map(|relation| relation.oid).collect();
        let rows = self.session.query("counting deleted rows", DELETED, &[&oids]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get::<_, Option<i64>>(1).unwrap_or_default())).collect())
    }

    /// Looks whether the rows are gone that were to go, and no others, whatever triggers and rules have done.
    async fn check(
        &self,
        search: &Search<'_>,
        deletions_before: &BTreeMap<u32, i64>,
    ) -> Result<BTreeMap<TableName, u64>, DatabaseError> {
        let after = count::exact(self.session, self.catalog.tables.iter()).await?;
        let deletions_after = self.deletions().await?;
        let mut deleted = BTreeMap::new();
        for (table, relation) in &self.catalog.tables {
            let (before, after) = (self.rows_of(table), after.get(table).copied().unwrap_or_default());
            let to_go = if self.wipe.wiped.contains(table) {
                before
            } else {
                search.list(table).map_or(0, |(_, rows)| rows)
            };
            let unplanned = |what: String| Err(DatabaseError::Unplanned { table: table.to_string(), what });
            if after < before - to_go {
                return unplanned(format!(
                    "would have lost {} rows that were to stay",
                    before - to_go - after
                ));
            }
            let is_wiped = self.wipe.wiped.contains(table);
            if (is_wiped || to_go > 0) && after > before - to_go {
                return unplanned(format!(
                    "would still have {} rows that were to go",
                    after + to_go - before
                ));
            }
            let deletions = |of: &BTreeMap<u32, i64>| of.get(&relation.oid).copied().unwrap_or_default();
            if to_go == 0
                && !self.wipe.wiped.contains(table)
                && deletions(&deletions_after) > deletions(deletions_before)
            {
                return unplanned("would have lost rows that were to stay, and got others".to_owned());
            }
            if to_go > 0 {
                deleted.insert(table.clone(), to_go);
            }
        }
        Ok(deleted)
    }
}
