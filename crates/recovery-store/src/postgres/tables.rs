//! What is done with every table: counting rows, collecting statistics.

use std::{
    collections::BTreeMap,
    error::Error as _,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::try_join_all;
use recovery_core::{database::RowCounts, port::DatabaseError};
use tracing::warn;

use super::session::Session;

/// Ordinary tables and the leaves of partitioned ones, less those of PostgreSQL itself, of extensions, and temporary
/// ones: what a dump holds the rows of. The largest come first, so that no worker is left with one at the end; by
/// `relpages`, which is old but free, while asking for the size would wait for a table that somebody has locked.
///
/// The second column is the name that the rows count under. Which partition of a hash-partitioned table a row belongs to
/// may differ from server to server (the hash of an `enum` comes from its OIDs), and `pg_dump` lets it be decided anew;
/// so there the uppermost table partitioned by hash stands for all below it.
const COUNTED: &str = "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
      CASE WHEN c.relispartition THEN
        (SELECT pg_catalog.quote_ident(an.nspname) || '.' || pg_catalog.quote_ident(ac.relname)
         FROM pg_catalog.pg_partition_ancestors(c.oid) WITH ORDINALITY a (relid, height)
         JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = a.relid AND p.partstrat = 'h'
         JOIN pg_catalog.pg_class ac ON ac.oid = a.relid
         JOIN pg_catalog.pg_namespace an ON an.oid = ac.relnamespace
         ORDER BY a.height DESC LIMIT 1)
      END
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                        AND d.deptype = 'e')
    ORDER BY c.relpages DESC, c.oid";

/// Everything that has statistics, less PostgreSQL's own catalogues. A partitioned table stands for its partitions:
/// `ANALYZE` goes down to them.
const ANALYZED: &str = "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE (c.relkind = 'r' OR c.relkind = 'p' OR (c.relkind = 'm' AND c.relispopulated))
      AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY (SELECT pg_catalog.sum(pg_catalog.pg_table_size(t.relid))
              FROM (SELECT c.oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)) t (relid)) DESC, c.oid";

/// A table whose rows are counted.
pub(super) struct Counted {
    /// Its name, quoted.
    pub name: String,
    /// The name that its rows count under: mostly its own.
    under: String,
}

/// The tables whose rows are counted, the largest first.
pub(super) async fn counted(session: &Session) -> Result<Vec<Counted>, DatabaseError> {
    let rows = session.query("listing the tables", COUNTED, &[]).await?;
    let tables = rows.iter().map(|row| {
        let (name, under): (String, Option<String>) = (row.get(0), row.get(1));
        Counted { under: under.unwrap_or_else(|| name.clone()), name }
    });
    Ok(tables.collect())
}

async fn names(session: &Session, sql: &str) -> Result<Vec<String>, DatabaseError> {
    let rows = session.query("listing the tables", sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Counts the rows of these tables exactly; each session takes the next table as soon as it is done with one.
pub(super) async fn count_rows(sessions: &[Session], tables: &[Counted]) -> Result<RowCounts, DatabaseError> {
    let next = AtomicUsize::new(0);
    let shares = try_join_all(sessions.iter().map(|session| count_share(session, tables, &next))).await?;
    let large_objects = match sessions.first() {
        Some(session) => count(session, "FROM pg_catalog.pg_largeobject_metadata").await?,
        None => 0,
    };
    let mut counts = BTreeMap::new();
    for (table, rows) in shares.into_iter().flatten() {
        *counts.entry(table).or_default() += rows;
    }
    Ok(RowCounts { tables: counts, large_objects })
}

async fn count_share(
    session: &Session,
    tables: &[Counted],
    next: &AtomicUsize,
) -> Result<Vec<(String, u64)>, DatabaseError> {
    let mut counts = Vec::new();
    while let Some(table) = tables.get(next.fetch_add(1, Ordering::Relaxed)) {
        counts.push((table.under.clone(), count(session, &format!("FROM ONLY {}", table.name)).await?));
    }
    Ok(counts)
}

async fn count(session: &Session, from: &str) -> Result<u64, DatabaseError> {
    let doing = "counting rows";
    let text = session.text(doing, &format!("SELECT pg_catalog.count(*) {from}")).await?;
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| super::error::refused(doing, "the server did not answer with a number"))
}

/// How long one table may take: some wait for a lock that somebody never gives back, or for a foreign server.
const ANALYZE_LIMIT: &str = "10min";

/// Collects statistics on everything that has them. That one table cannot be analysed (an index expression that fails,
/// a foreign partition that is away, a lock held too long) is logged, and no error: its rows are there all the same.
pub(super) async fn analyze(sessions: &[Session]) -> Result<(), DatabaseError> {
    let Some(first) = sessions.first() else { return Ok(()) };
    let tables = names(first, ANALYZED).await?;
    let next = AtomicUsize::new(0);
    try_join_all(sessions.iter().map(|session| analyze_share(session, &tables, &next))).await?;
    Ok(())
}

async fn analyze_share(
    session: &Session,
    tables: &[String],
    next: &AtomicUsize,
) -> Result<(), DatabaseError> {
    let doing = "collecting statistics";
    let settings = format!("SET vacuum_cost_delay = 0; SET statement_timeout = '{ANALYZE_LIMIT}'");
    session.batch(doing, &settings).await?;
    while let Some(table) = tables.get(next.fetch_add(1, Ordering::Relaxed)) {
        if let Err(error) = session.batch(doing, &format!("ANALYZE {table}")).await {
            // What kind of error it is does not tell whose it is: a foreign server's broken connection looks like ours.
            if session.batch(doing, "SELECT 1").await.is_err() {
                return Err(error);
            }
            let reason = error.source().map(ToString::to_string);
            warn!(table, %error, reason, "no statistics for this table");
        }
    }
    Ok(())
}
